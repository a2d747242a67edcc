"""The accept loop: a full descriptor table, the cap on connections, many connections that come and go."""

import asyncio
import socket
from contextlib import ExitStack

import pytest

from letterhead import App, AsyncClient, Client, Limits, Rejected
from letterhead.server.server import Server
from tests import leaks
from tests.conftest import Run
from tests.net.conftest import Serve
from tests.net.processes import running
from tests.net.raw import all_received, code_of, connect, echo_app, opening, received

CAP = Limits(connections=5, linger_quiet_seconds=0.05)


def test_a_full_descriptor_table_is_survived() -> None:
    with running("crowded") as program, Client(program.address) as client:
        assert client.call("fill") > 100
        with ExitStack() as stack:
            waiting = [stack.enter_context(connect(program.address)) for _ in range(20)]
            for sock in waiting:
                sock.sendall(opening(None, "letterhead.ping", "let in"))
            before = client.call("processor-seconds")
            for number in range(30):
                assert client.call("letterhead.ping", number) == number, "who is in is served"
            assert client.call("processor-seconds") - before < 5.0
            client.call("empty")
            for sock in waiting:
                assert received(sock).result == "let in"
        program.process.terminate()
        assert program.ended() == 0
    (line,) = [line for line in program.errors.splitlines() if "INFO" not in line]  # of the end
    assert "no more connections for the moment" in line


def test_connections_above_the_cap_are_refused_at_the_door_with_a_frame(serve: Serve) -> None:
    with serve(echo_app(CAP), "127.0.0.1:0") as served, ExitStack() as stack:
        address = served.server.addresses[0]
        inside = [stack.enter_context(connect(address)) for _ in range(5)]
        for sock in inside:
            sock.sendall(opening(None, "echo", "in"))
            assert received(sock).result == "in"
        with connect(address) as outside:
            refused, *more = all_received(outside)
            assert (code_of(refused), more) == ("too-many", [])
            assert (refused.header["status"], refused.header.get("id")) == ("too-many", None)
            assert refused.json()["error"]["limit"] == 5
        with Client(address) as client:
            with pytest.raises(Rejected) as caught:
                client.call("echo", 1)
            assert (caught.value.status, caught.value.limit) == ("too-many", 5)
            inside.pop().close()
            assert leaks.run(_answered(client)) == 1
        assert served.server.shared.counters.turned_away >= 2


async def _answered(client: Client) -> int:
    """What the client gets once the server has seen that somebody left."""
    async with asyncio.timeout(leaks.PATIENCE):
        while True:
            try:
                return int(await asyncio.to_thread(client.call, "echo", 1))
            except Rejected:
                continue


def test_the_cap_holds_when_many_come_at_once(run: Run) -> None:
    async def main() -> None:
        async with Server(echo_app(CAP), ["127.0.0.1:0"]) as server:
            clients = [AsyncClient(server.addresses[0]) for _ in range(40)]
            results = await asyncio.gather(*(client.call("echo", 1) for client in clients), return_exceptions=True)
            assert results.count(1) == 5
            rejected = [result for result in results if isinstance(result, Rejected)]
            assert len(rejected) == 35
            assert {error.status for error in rejected} == {"too-many"}
            for client in clients:
                await client.close()
            await leaks.until(lambda: not server.shared.connections)

    run(main())


def test_who_is_being_turned_away_takes_no_place(serve: Serve) -> None:
    """A refused connection is closed with patience; meanwhile a place that came free is given to the next."""
    limits = Limits(connections=2, linger_quiet_seconds=leaks.PATIENCE, linger_seconds=leaks.PATIENCE)
    with serve(echo_app(limits), "127.0.0.1:0") as served, ExitStack() as stack:
        address = served.server.addresses[0]
        inside = [stack.enter_context(connect(address)) for _ in range(2)]
        for sock in inside:
            sock.sendall(opening(None, "echo", "in"))
            assert received(sock).result == "in"
        refused = [stack.enter_context(connect(address)) for _ in range(4)]
        for sock in refused:
            assert code_of(received(sock)) == "too-many"
        for sock in inside:
            sock.close()
        with Client(address) as client:
            assert leaks.run(_answered(client)) == 1
        for sock in refused:
            sock.close()


@pytest.mark.parametrize("how", ["close", "half-close", "reset"])
def test_three_hundred_connections_come_and_go_without_a_trace(serve: Serve, how: str) -> None:
    app = echo_app(Limits(linger_quiet_seconds=0.05))

    async def empty(server: Server) -> None:
        await leaks.until(lambda: not server.shared.connections)

    with serve(app, "127.0.0.1:0") as served:
        for _ in range(3):
            with ExitStack() as stack:
                socks = [stack.enter_context(connect(served.server.addresses[0])) for _ in range(100)]
                for number, sock in enumerate(socks):
                    sock.sendall(opening(1 if number % 2 else None, "echo", number))
                for number, sock in enumerate(socks):
                    if number % 2:
                        assert received(sock).header["max-open"] == 128
                    assert received(sock).result == number
                    if how == "half-close":
                        sock.shutdown(socket.SHUT_WR)
                        assert all_received(sock) == []
                    elif how == "reset":
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        served.run(empty(served.server))
        counters = served.server.shared.counters
        assert (counters.accepted, counters.connections_now, counters.open_now) == (300, 0, 0)


def test_a_connection_that_is_gone_before_it_is_looked_at_does_no_harm(run: Run) -> None:
    async def main() -> None:
        async with Server(echo_app(), ["127.0.0.1:0"]) as server:
            for _ in range(30):  # the loop does not run meanwhile
                sock = connect(server.addresses[0])
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()
            async with AsyncClient(server.addresses[0]) as client:
                assert await client.call("echo", 1) == 1
            await leaks.until(lambda: not server.shared.connections)

    run(main())


def test_requests_that_the_kernel_had_queued_are_answered_at_the_end(run: Run) -> None:
    app = App(limits=Limits(linger_quiet_seconds=0.05))
    socks: list[socket.socket] = []

    async def main() -> None:
        server = Server(app, ["127.0.0.1:0"])
        await server.start()
        for number in range(20):  # the server has not had a turn to accept them
            sock = connect(server.addresses[0])
            sock.sendall(opening(None, "letterhead.ping", number))
            sock.shutdown(socket.SHUT_WR)
            socks.append(sock)
        await server.close()

    run(main())
    for number, sock in enumerate(socks):
        with sock:
            assert [frame.result for frame in all_received(sock)] == [number]

"""A server that is away: who waits for it, for how long, how often it is tried, and what is told in the end."""

import asyncio
import socket
import threading
import time

import pytest

from letterhead import (
    AsyncClient,
    Client,
    ConnectionFailed,
    ConnectionLost,
    ConnectRefused,
    DeadlineExceeded,
    Limits,
    NoReply,
)
from letterhead.server.server import Server
from tests import leaks
from tests.classic import server as classic
from tests.net import peers
from tests.net.kinds import Make, each_client
from tests.net.ports import free_port
from tests.net.raw import echo_app
from tests.net.resolving import Found, resolver
from tests.wire.frames import frame

FAST = Limits(linger_quiet_seconds=0.05, drain_seconds=0.1)
LIMITS = Limits(reconnect_seconds=0.02, reconnect_max_seconds=0.1)


class Counting:
    """Counts the connections that it plays something on."""

    def __init__(self, play: peers.Play) -> None:
        self.number = 0
        self._play = play

    def __call__(self, sock: socket.socket) -> None:
        self.number += 1
        self._play(sock)


# -- who waits -----------------------------------------------------------------------------------------------------


@each_client
async def test_before_the_first_connection_a_call_fails_at_once(make: Make) -> None:
    caller = make(f"127.0.0.1:{free_port()}")
    with pytest.raises(ConnectRefused) as caught:
        await caller.call("echo", 1, timeout=leaks.PATIENCE)
    assert "tried for" not in str(caught.value)


@each_client
async def test_after_it_calls_wait_for_the_server_to_come_back(make: Make) -> None:
    address = f"127.0.0.1:{free_port()}"
    caller = make(address, limits=LIMITS)
    async with Server(echo_app(FAST), [address]):
        assert await caller.call("echo", 1) == 1
    calls = [asyncio.ensure_future(caller.call("echo", n)) for n in range(5)]
    await leaks.until(lambda: caller.client.counters["connect-failed"] > 1)
    assert caller.client.state == "reconnecting"
    async with Server(echo_app(FAST), [address]):
        assert await asyncio.gather(*calls) == list(range(5))
        assert caller.client.state == "ready"


@each_client
async def test_who_wants_to_waits_for_the_first_connection_too(make: Make) -> None:
    address = f"127.0.0.1:{free_port()}"
    caller = make(address, limits=LIMITS, wait_for_ready=True)
    call = asyncio.ensure_future(caller.call("echo", 1))
    await leaks.until(lambda: caller.client.counters["connect-failed"] > 1)
    async with Server(echo_app(FAST), [address]):
        assert await call == 1


@each_client
async def test_who_does_not_want_to_waits_for_none(make: Make) -> None:
    address = f"127.0.0.1:{free_port()}"
    caller = make(address, limits=LIMITS, wait_for_ready=False)
    async with Server(echo_app(FAST), [address]):
        assert await caller.call("echo", 1) == 1
    for _ in range(3):
        with pytest.raises(ConnectRefused):
            await caller.call("echo", 1)
    async with Server(echo_app(FAST), [address]):
        assert await caller.call("echo", 2) == 2


@each_client
async def test_out_of_time_a_call_ends_with_why_there_is_no_connection(make: Make) -> None:
    caller = make(f"127.0.0.1:{free_port()}", limits=LIMITS, wait_for_ready=True)
    with pytest.raises(ConnectRefused, match=r"tried for 0\.3 s"):
        await caller.call("echo", 1, timeout=0.3)


@each_client
async def test_so_does_a_stream_without_a_timeout(make: Make) -> None:
    limits = Limits(reconnect_seconds=0.02, reconnect_max_seconds=0.1, deadline_seconds=0.3)
    caller = make(f"127.0.0.1:{free_port()}", limits=limits, wait_for_ready=True)
    stream = await caller.stream("count", to=3)
    with pytest.raises(ConnectRefused, match="tried for"):
        await stream.next()


@each_client
async def test_a_stream_that_lost_its_connection_before_its_first_item_does_not_wait_for_ever(make: Make) -> None:
    address = f"127.0.0.1:{free_port()}"
    limits = Limits(reconnect_seconds=0.02, reconnect_max_seconds=0.1, deadline_seconds=0.3)
    caller = make(address, limits=limits, idempotent=["silent"])
    app = echo_app(FAST)
    started = asyncio.Event()

    @app.action
    async def silent() -> None:
        started.set()
        await asyncio.Event().wait()

    async with Server(app, [address]) as server:
        stream = await caller.stream("silent")
        await started.wait()
        await asyncio.sleep(0.4)  # its first limit has passed: none holds while it is open
        for connection in list(server.shared.connections):
            connection.abort()
    with pytest.raises(DeadlineExceeded, match="it was sent once"):
        await stream.next()


# -- how often it is tried -----------------------------------------------------------------------------------------


def goes_away_after_hello(sock: socket.socket) -> None:
    """A proxy leads to a server that always goes away."""
    sock.recv(65536)
    sock.sendall(frame({"id": 1, "max-open": 8, "credit": 1 << 20}) + frame({"closing": 0}))
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        continue


def goes_away_at_once(sock: socket.socket) -> None:
    sock.sendall(frame({"closing": 0}))
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        continue


PLAYS = {
    "hangs up": peers.closes_after_request,
    "goes away after its hello": goes_away_after_hello,
    "goes away without one": goes_away_at_once,
}


@pytest.mark.parametrize("what", PLAYS)
def test_who_accepts_and_does_not_answer_is_not_tried_all_the_time(what: str) -> None:
    counting = Counting(PLAYS[what])

    @each_client
    async def tried(make: Make) -> None:
        caller = make(address, wait_for_ready=True)
        calls = (caller.call("echo", n, timeout=0.6) for n in range(10))
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(error, ConnectionFailed | DeadlineExceeded) for error in ended)

    with peers.peer(counting) as address:
        for kind in ("Client-asyncio", "AsyncClient-asyncio"):
            counting.number = 0
            tried(kind)
            # Waits of 50, 100, 200 ms on average, while ten call; without them there are hundreds of attempts.
            assert 1 < counting.number < 40


@each_client
async def test_who_is_not_there_is_not_tried_all_the_time(make: Make) -> None:
    caller = make(f"127.0.0.1:{free_port()}", wait_for_ready=True)
    ended = await asyncio.gather(*(caller.call("echo", n, timeout=0.6) for n in range(10)), return_exceptions=True)
    assert {type(error) for error in ended} == {ConnectRefused}
    assert 1 < caller.client.counters["connect-failed"] < 40


@each_client
async def test_a_call_that_waits_behind_a_ping_is_not_lost_with_it(make: Make) -> None:
    """Nothing of it was written: it waits for whoever answers."""
    with peers.peer(peers.closes_after_request) as address:
        caller = make(address, limits=LIMITS, wait_for_ready=True)
        with pytest.raises(NoReply, match="tried for"):
            await caller.call("size", b"bytes", timeout=0.3)
        assert caller.client.counters["connect-failed"] > 1
        await caller.close()  # it may have connected once more, and who serves here waits for what it says


# -- what is given up ----------------------------------------------------------------------------------------------


@each_client
async def test_a_call_that_waits_ends_with_the_close_of_its_client(make: Make) -> None:
    caller = make(f"127.0.0.1:{free_port()}", limits=LIMITS, wait_for_ready=True)
    call = asyncio.ensure_future(caller.call("echo", 1))
    await leaks.until(lambda: caller.client.counters["connect-failed"])
    await caller.close()
    with pytest.raises(ConnectionLost, match="client was closed"):
        await call


def test_a_cancelled_call_is_not_sent_again() -> None:
    runs: list[str] = []
    app = echo_app(FAST)
    begun = asyncio.Event()

    @app.action
    async def hold(name: str) -> str:
        runs.append(name)
        begun.set()
        await asyncio.Event().wait()
        return name

    async def main() -> None:
        address = f"127.0.0.1:{free_port()}"
        async with AsyncClient(address, idempotent=["hold", "echo"], limits=LIMITS) as client:
            async with Server(app, [address]) as server:
                await client.call("echo", 1)
                call = asyncio.ensure_future(client.call("hold", name="a"))
                await begun.wait()
                call.cancel()
                await asyncio.wait([call])
                for connection in list(server.shared.connections):
                    connection.abort()
                await client.call("echo", 2)
            assert runs == ["a"]

    leaks.run(main())


def test_a_call_cancelled_while_it_connects_to_a_classic_server_is_forgotten() -> None:
    async def main() -> None:
        with classic.running() as (host, port):
            address = f"{host}:{port}"
            client = AsyncClient(address, limits=LIMITS, wait_for_ready=True)
            assert await client.call("search", "ring")
        async with client:
            call = asyncio.ensure_future(client.call("search", "ring"))
            await leaks.until(lambda: client.counters["connect-failed"] > 1)
            call.cancel()
            await asyncio.wait([call])
            failed = client.counters["connect-failed"]
            await asyncio.sleep(0.3)
            assert client.counters["connect-failed"] <= failed + 1

    leaks.run(main())


@each_client
async def test_who_waits_for_a_server_loses_no_call_to_what_only_hangs_up(make: Make) -> None:
    """A proxy takes connections before there is a server behind it."""
    port = free_port()
    caller = make(f"127.0.0.1:{port}", limits=LIMITS, wait_for_ready=True)
    call = asyncio.ensure_future(caller.call("echo", 1))

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", port):
        await leaks.until(lambda: caller.client.counters["connect-failed"] > 1)
    assert not call.done()
    async with Server(echo_app(), [f"127.0.0.1:{port}"]):
        assert await call == 1


# -- classic servers -----------------------------------------------------------------------------------------------


@each_client
async def test_a_classic_server_that_comes_back_is_ready_again(make: Make) -> None:
    port = free_port()
    caller = make(f"127.0.0.1:{port}", limits=LIMITS)
    with classic.running(port=port):
        assert await caller.call("search", "ring")
    calls = [asyncio.ensure_future(caller.call("search", "ring")) for _ in range(8)]
    await leaks.until(lambda: caller.client.counters["connect-failed"] > 2)
    with classic.running(port=port):
        assert all(await asyncio.gather(*calls))
        assert caller.client.state != "reconnecting"


@each_client
async def test_a_classic_server_that_is_away_is_tried_by_one_call_at_a_time(make: Make) -> None:
    port = free_port()
    caller = make(f"127.0.0.1:{port}")
    with classic.running(port=port):
        assert await caller.call("search", "ring")
    calls = (caller.call("search", "ring", timeout=0.6) for _ in range(10))
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(error) for error in ended} == {ConnectRefused}
    assert 1 < caller.client.counters["connect-failed"] < 40


# -- threads -------------------------------------------------------------------------------------------------------


def test_closing_from_another_thread_ends_a_wait() -> None:
    client = Client(f"127.0.0.1:{free_port()}", wait_for_ready=True)
    outcome: list[BaseException] = []

    def call() -> None:
        try:
            client.call("echo", 1)
        except ConnectionFailed as error:
            outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    until = time.monotonic() + leaks.PATIENCE
    while not client.counters["connect-failed"] and time.monotonic() < until:
        time.sleep(0.01)
    client.close()
    thread.join(leaks.PATIENCE)
    assert type(outcome[0]) is ConnectionLost


@pytest.mark.parametrize("several", [False, True])
def test_closing_from_another_thread_ends_the_connecting(several: bool) -> None:
    """No thread stays behind that still tries to reach somebody."""
    outcome: list[BaseException] = []
    with peers.full_backlog() as dead:
        client = Client([dead, f"127.0.0.1:{free_port()}"] if several else dead, wait_for_ready=True)

        def call() -> None:
            try:
                client.call("echo", 1)
            except ConnectionFailed as error:
                outcome.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        until = time.monotonic() + leaks.PATIENCE
        while client.state == "idle" and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.1)
        client.close()
        names = {thread.name for thread in threading.enumerate()}
        thread.join(leaks.PATIENCE)
        assert time.monotonic() < until - leaks.PATIENCE / 2
    assert type(outcome[0]) is ConnectionLost
    assert "letterhead-connect" not in names


# -- names ---------------------------------------------------------------------------------------------------------


@each_client
async def test_a_name_that_cannot_be_resolved_for_a_while_is_waited_for(make: Make) -> None:
    known: list[Found] = []

    def answer() -> list[Found]:
        if not known:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return known

    async with Server(echo_app(FAST), ["127.0.0.1:0"]) as server:
        host, _, port = server.addresses[0].rpartition(":")
        with resolver(answer):
            caller = make("name.test:80", limits=LIMITS, wait_for_ready=True)
            call = asyncio.ensure_future(caller.call("echo", 1))
            await leaks.until(lambda: caller.client.counters["connect-failed"] > 2)
            known.append((host, int(port)))
            assert await call == 1
            await caller.close()

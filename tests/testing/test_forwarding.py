"""`testing.proxy`: real sockets through a bad network."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from letterhead import App, AsyncClient, Client, LetterheadError, ListenFailed, UsageError, testing
from letterhead.testing import Faults, Proxy
from letterhead.testing.background import running
from letterhead.transport.address import parse
from tests import leaks
from tests.conftest import Run
from tests.echoing import all_received, echoing, received, until


@contextmanager
def connection_to(address: str) -> Iterator[socket.socket]:
    place = parse(address)
    if place.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(leaks.PATIENCE)
            sock.connect(place.path)
            yield sock
    else:
        with socket.create_connection((place.host, place.port), timeout=leaks.PATIENCE) as sock:
            yield sock


@contextmanager
def echo_behind(faults: Faults | None = None) -> Iterator[tuple[Proxy, socket.socket]]:
    """A byte echo behind a proxy, and a connection to it."""
    with (
        echoing() as server,
        testing.proxy(server.addresses[0], faults) as proxy,
        connection_to(proxy.address) as sock,
    ):
        yield proxy, sock


def sizes() -> App:
    app = App()

    @app.action
    async def size(content: bytes) -> int:
        return len(content)

    return app


@pytest.mark.smoke
def test_with_runs_it_in_a_thread_of_its_own() -> None:
    with echo_behind() as (proxy, sock):
        sock.sendall(b"hello")
        assert received(sock, 5) == b"hello"
        assert (proxy.counts.to_server, proxy.counts.to_client) == (5, 5)
        assert "letterhead-proxy" in [thread.name for thread in threading.enumerate()]


def test_async_with_runs_it_on_the_loop_that_runs(run: Run) -> None:
    async def main(target: str) -> None:
        before = threading.active_count()
        async with (
            testing.proxy(target, Faults(delay=0.001)) as proxy,
            AsyncClient(proxy.address) as client,
        ):
            assert await client.call("size", bytes(1_000_000)) == 1_000_000
            assert threading.active_count() == before
            assert proxy.counts.open_now == 1

    with running(sizes(), "127.0.0.1:0") as served:
        run(main(served.server.addresses[0]))


def test_a_reset_is_a_real_one_on_every_loop(run: Run) -> None:
    async def main(target: str) -> None:
        async with testing.proxy(target) as proxy:
            with connection_to(proxy.address) as sock:
                sock.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_sendall(sock, b"hello")
                assert await loop.sock_recv(sock, 5) == b"hello"
                proxy.reset_all()
                with pytest.raises(ConnectionResetError):
                    await loop.sock_recv(sock, 5)

    with echoing() as server:
        run(main(server.addresses[0]))


def test_unix_sockets_on_both_sides(short_path: Path) -> None:
    target, listen = f"unix:{short_path / 'target'}", f"unix:{short_path / 'proxy'}"
    with running(sizes(), target), testing.proxy(target, listen=listen) as proxy:
        assert proxy.address == listen
        with Client(listen) as client:
            assert client.call("size", bytes(1_000_000)) == 1_000_000
            proxy.refuse()
            proxy.reset_all()
            with pytest.raises(LetterheadError):
                client.call("size", b"", timeout=0.5)
            proxy.heal()
            assert client.call("size", b"123") == 3
    assert list(short_path.iterdir()) == []


def test_a_half_close_passes_through_and_the_other_direction_goes_on() -> None:
    with echo_behind(Faults(delay=0.01)) as (proxy, sock):
        sock.sendall(b"last words")
        sock.shutdown(socket.SHUT_WR)
        assert all_received(sock) == b"last words"
        until(lambda: not proxy.counts.open_now)


def test_a_reset_is_a_real_one_for_both_sides() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        with testing.proxy(f"{host}:{port}") as proxy, connection_to(proxy.address) as sock:
            there, _ = listener.accept()
            with there:
                there.settimeout(leaks.PATIENCE)
                proxy.reset_all()
                for end in (sock, there):
                    with pytest.raises(ConnectionResetError):
                        end.recv(1)
                assert proxy.counts.reset == 1


def test_a_reset_of_one_side_s_system_is_passed_on_behind_what_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        with testing.proxy(f"{host}:{port}") as proxy, connection_to(proxy.address) as sock:
            there, _ = listener.accept()
            there.settimeout(leaks.PATIENCE)
            sock.sendall(b"unread")
            assert there.recv(1) == b"u"
            there.close()  # with bytes unread: the system resets
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
            assert proxy.counts.reset == 0, "it was not the network"


def test_after_so_many_bytes_comes_the_reset() -> None:
    with echo_behind(Faults(reset_after=100, direction="to-client")) as (proxy, sock):
        sock.sendall(bytes(100))
        assert received(sock, 100) == bytes(100)
        sock.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
        assert (proxy.counts.to_client, proxy.counts.reset) == (100, 1)


def test_a_receiver_that_takes_nothing_stops_the_sender() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        with testing.proxy(f"{host}:{port}") as proxy, connection_to(proxy.address) as sock:
            there, _ = listener.accept()
            with there:
                there.settimeout(leaks.PATIENCE)
                sock.settimeout(0.2)
                sent = 0
                with pytest.raises(TimeoutError):
                    while sent < 1 << 30:
                        sent += sock.send(bytes(1 << 16))
                taken = 0
                sock.shutdown(socket.SHUT_WR)
                while data := there.recv(1 << 20):
                    taken += len(data)
                assert taken == sent
                assert proxy.counts.to_server == sent


def test_a_half_open_connection_ends_for_nobody() -> None:
    with echo_behind(Faults(half_open_after=3, direction="to-server")) as (proxy, sock):
        sock.sendall(b"abcdef")
        until(lambda: proxy.counts.half_open)
        proxy.heal()
        sock.sendall(bytes(1_000))
        sock.shutdown(socket.SHUT_WR)
        until(lambda: proxy.counts.swallowed >= 1_003)
        sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            while sock.recv(100):
                continue
        assert proxy.counts.open_now == 1


def test_a_partition_holds_everything_until_it_is_healed() -> None:
    with echo_behind() as (proxy, sock):
        proxy.partition()
        sock.sendall(b"hello")
        with connection_to(proxy.address) as late:
            late.sendall(b"too")
            sock.settimeout(0.1)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            proxy.heal()
            sock.settimeout(leaks.PATIENCE)
            assert received(sock, 5) == b"hello"
            assert received(late, 3) == b"too"


def test_refused_connections_are_refused_by_the_system_and_the_port_is_kept() -> None:
    with echo_behind() as (proxy, sock):
        address = proxy.address
        proxy.refuse()
        proxy.refuse()
        for _ in range(3):
            with pytest.raises(ConnectionRefusedError), connection_to(address):
                pytest.fail("it connected")
        sock.sendall(b"still here")
        assert received(sock, 10) == b"still here"
        proxy.heal()
        assert proxy.address == address
        with connection_to(address) as another:
            another.sendall(b"again")
            assert received(another, 5) == b"again"


def test_a_target_that_is_not_there_resets_the_client() -> None:
    with testing.proxy("127.0.0.1:1") as proxy:
        with pytest.raises(ConnectionResetError), connection_to(proxy.address) as sock:
            sock.recv(1)
        assert proxy.counts.unreachable == 1
        until(lambda: not proxy.counts.open_now)


def test_its_end_resets_what_is_open() -> None:
    with echoing() as server:
        with testing.proxy(server.addresses[0]) as proxy, connection_to(proxy.address) as sock:
            sock.sendall(b"hello")
            assert received(sock, 5) == b"hello"
            proxy.__exit__(None, None, None)
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        until(lambda: not server.connections_now)


def test_its_end_does_not_wait_for_connections_that_are_being_made() -> None:
    with echoing() as server, testing.proxy(server.addresses[0]) as proxy:
        proxy.partition()
        with connection_to(proxy.address):
            until(lambda: proxy.counts.connections)


def test_an_address_in_use_is_told() -> None:
    with (
        testing.proxy("127.0.0.1:1") as proxy,
        pytest.raises(ListenFailed, match="in use"),
        testing.proxy("127.0.0.1:1", listen=proxy.address),
    ):
        pytest.fail("it began")


def test_it_has_an_address_only_while_it_runs() -> None:
    proxy = testing.proxy("127.0.0.1:1")
    with pytest.raises(UsageError, match="does not run"):
        _ = proxy.address
    with proxy, pytest.raises(UsageError, match="runs already"):
        proxy.__enter__()


def test_what_is_no_address_is_told_at_once() -> None:
    with pytest.raises(UsageError, match="an address is HOST:PORT"):
        testing.proxy("localhost")


def test_many_connections_at_once_are_all_served() -> None:
    async def main(target: str) -> None:
        async with testing.proxy(target) as proxy:
            host, port = proxy.address.split(":")

            async def one(number: int) -> None:
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"%4d" % number)
                assert await reader.readexactly(4) == b"%4d" % number
                writer.close()
                await writer.wait_closed()

            await asyncio.gather(*map(one, range(200)))
            assert proxy.counts.connections == 200
            await leaks.until(lambda: not proxy.counts.open_now)

    with echoing() as server:
        leaks.run(main(server.addresses[0]))

"""Connecting to names with several addresses, blocking and on both event loops: all three do the same."""

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from letterhead import AsyncClient, Client, ConnectionFailed, ConnectRefused, ConnectTimedOut, Limits
from letterhead.transport import connect_async as async_dial
from letterhead.transport.address import Address
from letterhead.transport.connect import Attempts, connect
from letterhead.transport.happy_eyeballs import Race
from tests import leaks
from tests.net import peers
from tests.net.conftest import Serve
from tests.net.ports import free_port
from tests.net.raw import echo_app
from tests.net.resolving import Found, hanging_resolver, resolver

NAME = Address("name.test", 80)
Dial = Callable[..., None]


@pytest.fixture(params=["blocking", "asyncio", "uvloop"])
def dial(request: pytest.FixtureRequest) -> Dial:
    """`dial(address, limits)`: a connection made and closed again."""

    def dial(address: Address, limits: Limits | None = None) -> None:
        if request.param == "blocking":
            connect(address, None, limits or Limits()).close()
            return

        async def main() -> None:
            closed = asyncio.get_running_loop().create_future()

            class Protocol(asyncio.Protocol):
                def connection_lost(self, exc: Exception | None) -> None:
                    closed.set_result(None)

            transport, protocol = await async_dial.connect(address, Protocol, limits or Limits())
            assert isinstance(protocol, Protocol)
            transport.close()
            await closed

        leaks.run(main(), request.param)

    return dial


@contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[Found]:
    """A listener that keeps what comes in its queue."""
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        yield host, listener.getsockname()[1]


@contextmanager
def unanswered() -> Iterator[Found]:
    """A place that does not answer."""
    with peers.full_backlog() as address:
        host, _, port = address.partition(":")
        yield host, int(port)


def refused() -> Found:
    return "127.0.0.1", free_port()


@pytest.mark.smoke
def test_an_address_that_does_not_answer_costs_a_moment_and_not_the_whole_time(dial: Dial) -> None:
    with unanswered() as silent, listening() as there, resolver(lambda: [silent, there]):
        began = time.monotonic()
        dial(NAME, Limits(connect_seconds=leaks.PATIENCE * 2, eyeballs_seconds=0.05))
        assert 0.05 <= time.monotonic() - began < leaks.PATIENCE


def test_the_next_address_is_tried_at_once_where_one_fails(dial: Dial) -> None:
    with listening() as there, resolver(lambda: [refused(), refused(), there]):
        dial(NAME, Limits(connect_seconds=leaks.PATIENCE * 3, eyeballs_seconds=leaks.PATIENCE * 2))


def test_an_address_without_a_family_here_is_passed_over(dial: Dial) -> None:
    # A link-local address without its link leads nowhere, whether or not this machine has IPv6.
    with listening() as there, resolver(lambda: [("fe80::1", 80), there]):
        dial(NAME, Limits(connect_seconds=leaks.PATIENCE * 3, eyeballs_seconds=leaks.PATIENCE * 2))


def test_one_that_answers_late_wins_if_no_other_does(dial: Dial) -> None:
    """What was begun first goes on beside the later ones."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        filling = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            filling.append(sock)

        def make_room() -> None:
            time.sleep(0.2)
            for _ in range(2):
                listener.accept()[0].close()

        thread = threading.Thread(target=make_room)
        thread.start()
        try:
            with unanswered() as silent, resolver(lambda: [listener.getsockname(), silent]):
                dial(NAME, Limits(connect_seconds=leaks.PATIENCE, eyeballs_seconds=0.02))
        finally:
            thread.join()
            for sock in filling:
                sock.close()


def test_where_all_fail_each_is_told(dial: Dial) -> None:
    with resolver(lambda: [("127.0.0.1", free_port()), ("127.0.0.2", free_port())]):
        with pytest.raises(ConnectRefused) as caught:
            dial(NAME)
        assert "nothing listens at name.test:80 (127.0.0.1: refused; 127.0.0.2: refused)" in str(caught.value)


def test_where_the_time_is_over_each_is_told(dial: Dial) -> None:
    with unanswered() as silent, resolver(lambda: [refused(), silent]):
        with pytest.raises(ConnectTimedOut) as caught:
            dial(NAME, Limits(connect_seconds=0.1))
        assert str(caught.value) == (
            "name.test:80 did not answer within 0.1 s (127.0.0.1: refused; 127.0.0.1: no answer)"
        )


def test_a_name_without_addresses_is_a_failure(dial: Dial) -> None:
    with resolver(list), pytest.raises(ConnectionFailed, match=r"the name 'name.test' has no address"):
        dial(NAME)


def test_names_are_looked_up_anew_for_each_connection(dial: Dial) -> None:
    with listening("127.0.0.1") as one, listening("127.0.0.2") as other:
        answers = iter([[one], [other]])
        with resolver(lambda: next(answers)):
            dial(NAME)
            dial(NAME)
        assert next(answers, None) is None


def test_a_name_that_cannot_be_resolved_now_may_be_later(dial: Dial) -> None:
    with listening() as there:

        def fails() -> list[Found]:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        with resolver(fails), pytest.raises(ConnectionFailed, match=r"cannot be resolved: Temporary failure"):
            dial(NAME)
        with resolver(lambda: [there]):
            dial(NAME)


def test_a_resolver_that_hangs_holds_nobody_up_longer_than_connecting_may_take(dial: Dial) -> None:
    with hanging_resolver():
        began = time.monotonic()
        with pytest.raises(ConnectTimedOut, match=r"the name 'name.test' was not resolved within 0.1 s"):
            dial(NAME, Limits(connect_seconds=0.1))
        assert time.monotonic() - began < leaks.PATIENCE


def test_the_time_a_name_took_counts(dial: Dial) -> None:
    with unanswered() as silent:

        def slow() -> list[Found]:
            time.sleep(0.2)
            return [silent]

        with resolver(slow), pytest.raises(ConnectTimedOut):
            began = time.monotonic()
            dial(NAME, Limits(connect_seconds=0.3))
        assert 0.3 <= time.monotonic() - began < leaks.PATIENCE


def test_numbers_and_paths_are_reached_while_the_resolver_hangs(dial: Dial, short_path: Path) -> None:
    path = str(short_path / "s")
    with socket.socket(socket.AF_UNIX) as unix, listening() as (_, port), listening("::1") as (_, port6):
        unix.bind(path)
        unix.listen()
        with hanging_resolver():
            for address in (Address("127.0.0.1", port), Address("::1", port6), Address(path=path, scheme="unix")):
                dial(address)


def test_looking_a_number_up_begins_no_thread(dial: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        begun.append(thread.name)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    with listening() as (host, port):
        dial(Address(host, port))
        assert begun == []
        dial(Address("localhost", port))
        assert len(begun) == 1, "a name does"


def test_the_port_one_sends_from_is_no_server(dial: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may choose the very port that is asked for: then a socket is connected to itself."""
    port = free_port()

    class Bound(socket.socket):
        def connect_ex(self, address: Any) -> int:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(("127.0.0.1", port))
            return super().connect_ex(address)

    monkeypatch.setattr(socket, "socket", Bound)
    with pytest.raises(ConnectRefused):
        dial(Address("127.0.0.1", port))


def test_without_a_free_descriptor_the_reason_is_told(dial: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    made = socket.socket

    def none_free(family: int = -1, *args: object) -> socket.socket:
        if family == socket.AF_INET and not args[1:]:
            raise OSError(errno.EMFILE, "Too many open files")
        return made(family, *args)  # type: ignore[arg-type]

    with resolver(lambda: [("127.0.0.1", 1), ("127.0.0.2", 1)]):
        monkeypatch.setattr("letterhead.transport.connect.socket.socket", none_free)
        with pytest.raises(ConnectionFailed, match="Too many open files") as caught:
            dial(NAME)
        monkeypatch.undo()
    assert not isinstance(caught.value, ConnectRefused)


@contextmanager
def full_queue(path: str) -> Iterator[socket.socket]:
    """A Unix listener whose queue is full."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as first:
            first.connect(path)
            yield listener


def test_a_full_queue_of_a_unix_socket_is_waited_for(dial: Dial, short_path: Path) -> None:
    path = str(short_path / "s")
    with full_queue(path) as listener:

        def make_room() -> None:
            time.sleep(0.1)
            listener.accept()[0].close()

        thread = threading.Thread(target=make_room)
        thread.start()
        dial(Address(path=path, scheme="unix"), Limits(connect_seconds=leaks.PATIENCE))
        thread.join()


def test_a_full_queue_of_a_unix_socket_is_not_waited_for_without_end(dial: Dial, short_path: Path) -> None:
    path = str(short_path / "s")
    with full_queue(path), pytest.raises(ConnectTimedOut, match=r"did not answer within 0.1 s"):
        dial(Address(path=path, scheme="unix"), Limits(connect_seconds=0.1))


@pytest.mark.parametrize("loop", list(leaks.LOOPS))
@pytest.mark.parametrize("where", ["resolving", "connecting"])
def test_connecting_that_is_cancelled_leaves_nothing(loop: str, where: str) -> None:
    async def main() -> None:
        connecting = asyncio.ensure_future(async_dial.connect(NAME, asyncio.Protocol, Limits(eyeballs_seconds=0.01)))
        await asyncio.sleep(0.1)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    if where == "resolving":
        with hanging_resolver():
            leaks.run(main(), loop)
    else:
        with unanswered() as silent, resolver(lambda: [silent, silent, silent]):
            leaks.run(main(), loop)


@pytest.mark.parametrize("loop", list(leaks.LOOPS))
def test_who_lost_is_watched_no_longer(loop: str) -> None:
    """A descriptor that is watched after its end would wake whoever gets its number next."""

    async def main() -> None:
        running = asyncio.get_running_loop()
        transport, _ = await async_dial.connect(NAME, asyncio.Protocol, Limits(eyeballs_seconds=0.01))
        own = transport.get_extra_info("socket").fileno()
        assert not any(running.remove_writer(number) for number in range(3, 256) if number != own)
        transport.abort()
        await asyncio.sleep(0.05)

    with unanswered() as silent, listening() as there, resolver(lambda: [silent, silent, there]):
        leaks.run(main(), loop)


def test_of_two_that_connect_in_the_same_moment_one_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(leaks.PATIENCE)
        where = socket.AF_INET, listener.getsockname()
        attempts = Attempts(Race([where, where], now=0.0, seconds=10.0, stagger=0.0))
        begun = attempts.begin(0.0)
        assert len(begun) == 2
        accepted = [listener.accept()[0], listener.accept()[0]]
        for number in begun:
            attempts.ended(number, 0.0)
        winner = attempts.taken()
        assert winner is not None
        winner.close()
        for sock in accepted:
            sock.settimeout(leaks.PATIENCE)
            assert sock.recv(1) == b""
            sock.close()


def test_both_clients_reach_a_server_whose_first_address_does_not_answer(serve: Serve) -> None:
    app = echo_app(Limits(linger_quiet_seconds=0.05))
    limits = Limits(eyeballs_seconds=0.02)
    with unanswered() as silent, serve(app, "127.0.0.1:0") as served:
        host, _, port = served.server.addresses[0].rpartition(":")
        with resolver(lambda: [silent, (host, int(port))]):
            with Client("name.test:80", limits=limits) as client:
                assert client.call("echo", 1) == 1

            async def main() -> None:
                async with AsyncClient("name.test:80", limits=limits) as client:
                    assert await client.call("echo", 1) == 1

            leaks.run(main())

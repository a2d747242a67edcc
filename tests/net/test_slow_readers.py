"""Peers that do not read: they cost the server a bounded buffer and no other connection, and in the end their own."""

import asyncio
import contextlib
import multiprocessing.resource_tracker
import socket
import time
from collections.abc import Iterator

import pytest

from letterhead import App, Client, Limits
from letterhead.server.connection import ServerConnection
from letterhead.server.server import Server
from tests import leaks
from tests.app.jobs import large
from tests.net.conftest import Serve
from tests.net.raw import all_received, connect, echo_app, named, opening, received
from tests.wire.frames import frame

MIB = 1024 * 1024


@pytest.fixture(autouse=True, scope="module")
def resource_tracker() -> None:
    """What worker processes need, and leave running."""
    multiprocessing.resource_tracker.ensure_running()


def counted_app(limits: Limits) -> App:
    """`data` gives a mebibyte and counts; `in_thread` does so in a thread, `after_upload` once it got an item."""
    app = echo_app(limits)
    app.state.count = 0

    @app.action
    async def data() -> bytes:
        app.state.count += 1
        return bytes(MIB)

    @app.action
    def in_thread() -> bytes:
        app.state.count += 1
        return bytes(MIB)

    @app.action
    def after_upload(items: Iterator[bytes]) -> bytes:
        app.state.count += len([*items])
        return bytes(MIB)

    app.action(run="process")(large)
    return app


async def stopped_reading(server: Server) -> ServerConnection:
    """Wait until one of the connections is not read any longer."""

    def paused() -> list[ServerConnection]:
        connections = [each for each in server.shared.connections if isinstance(each, ServerConnection)]
        return [each for each in connections if not each.reading]

    await leaks.until(paused)
    return paused()[0]


@pytest.mark.smoke
def test_a_reader_that_stops_is_not_read_and_harms_no_other(serve: Serve) -> None:
    app = counted_app(Limits(linger_quiet_seconds=0.05))
    with serve(app, "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        requests = b"".join(opening(number, "data") for number in range(1, 65))
        sock.sendall(requests)
        served.run(stopped_reading(served.server))
        began = app.state.count
        # Requests that come now are not even read: what is not taken stays with the peer.
        sock.sendall(b"".join(opening(number, "data") for number in range(65, 129)))
        with Client(served.server.addresses[0]) as other:
            for number in range(50):
                assert other.call("echo", number) == number
        assert app.state.count == began
        frames = [received(sock) for _ in range(129)]
        assert [frame.header["id"] for frame in frames] == [1, *range(1, 129)]
        assert sum(len(frame.content) for frame in frames) == 128 * MIB


def test_a_classic_peer_that_does_not_read_gets_no_further_request_run(serve: Serve) -> None:
    app = counted_app(Limits(linger_quiet_seconds=0.05))
    with serve(app, "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(b"".join(opening(None, "data") for _ in range(60)))
        served.run(stopped_reading(served.server))
        assert app.state.count < 60
        sock.shutdown(socket.SHUT_WR)
        assert [len(received(sock).content) for _ in range(60)] == [MIB] * 60


def test_a_peer_that_takes_nothing_for_too_long_is_closed(serve: Serve) -> None:
    app = counted_app(Limits(write_seconds=0.2))
    with serve(app, "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(b"".join(opening(number, "data") for number in range(1, 121)))
        served.run(stopped_reading(served.server))
        served.run(_all_gone(served.server))
        assert served.server.shared.counters.open_now == 0
        with pytest.raises((ConnectionError, Exception), match=r"reset|inside a frame"):
            all_received(sock)


async def _all_gone(server: Server) -> None:
    await leaks.until(lambda: not server.shared.connections)


def test_a_peer_that_takes_a_little_now_and_then_is_not_closed(serve: Serve) -> None:
    """Each pause is shorter than the time without progress, all of them together are much longer."""
    app = counted_app(Limits(write_seconds=1.0, linger_quiet_seconds=0.05))
    with serve(app, "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(b"".join(opening(number, "data") for number in range(1, 61)))
        served.run(stopped_reading(served.server))
        taken = bytearray()
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            taken += sock.recv(256 * 1024)
            served.run(asyncio.sleep(0.02))
        assert served.server.shared.connections
        sock.settimeout(leaks.PATIENCE)
        while len(taken) < 60 * MIB:
            more = sock.recv(MIB)
            assert more
            taken += more


def test_a_slow_peer_on_a_unix_socket_is_no_different(serve: Serve, short_path: object) -> None:
    app = counted_app(Limits(write_seconds=0.2))
    with serve(app, f"unix:{short_path}/s") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(b"".join(opening(number, "data") for number in range(1, 61)))
        served.run(stopped_reading(served.server))
        served.run(_all_gone(served.server))
        assert sock.family == socket.AF_UNIX


@pytest.mark.smoke
def test_a_peer_that_takes_a_byte_now_and_then_is_closed(serve: Serve) -> None:
    """It never stands still for as long as a peer may, and would keep its answers in memory for days."""
    app = counted_app(Limits(write_seconds=60.0, content_quiet_seconds=0.3, content_rate=10_000_000))
    with serve(app, "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(b"".join(opening(number, "data") for number in range(1, 121)))
        served.run(stopped_reading(served.server))

        async def until_closed() -> None:
            while served.server.shared.connections:
                with contextlib.suppress(OSError):
                    sock.recv(1)
                await asyncio.sleep(0.02)

        served.run(asyncio.wait_for(until_closed(), leaks.PATIENCE))
        assert served.server.shared.counters.stalled == 1
        assert served.server.shared.budget.used == 0


@pytest.mark.parametrize("action", ["in_thread", "after_upload", "large"])
def test_handlers_that_wait_for_a_thread_or_a_process_do_not_begin_while_answers_are_not_taken(
    serve: Serve, action: str
) -> None:
    app = counted_app(Limits(linger_quiet_seconds=0.05))
    app.threads = 4
    with serve(app, "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        for number in range(1, 129):
            if action == "after_upload":
                sock.sendall(named(number, action, more=True))
                sock.sendall(frame({"id": number, "more": True}, b"x") + frame({"id": number, "more": False}))
            else:
                sock.sendall(named(number, action))
        shared = served.server.shared
        served.run(stopped_reading(served.server))
        held = -1
        while held != shared.budget.used:  # what had begun ends, and nothing else begins
            held = shared.budget.used
            served.run(asyncio.sleep(0.1))
        assert held < 24 * MIB
        with Client(served.server.addresses[0]) as other:
            assert len(other.call("in_thread")) == MIB  # others' handlers do begin
        frames = [received(sock) for _ in range(129)]
        assert sorted(frame.header["id"] for frame in frames) == [1, *range(1, 129)]
        assert sum(len(frame.content) for frame in frames) == 128 * MIB


def test_many_small_requests_do_not_make_a_server_hold_many_large_answers(serve: Serve) -> None:
    app = counted_app(Limits(linger_quiet_seconds=0.05))
    with serve(app, "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        requests = b"".join(opening(number, "data") for number in range(1, 129))
        assert len(requests) < 20_000
        sock.sendall(requests)
        served.run(stopped_reading(served.server))
        for _ in range(20):  # what may begin has begun
            served.run(asyncio.sleep(0.005))
        shared = served.server.shared
        assert app.state.count <= 16 + 16  # what a system takes by itself lets a second lot begin
        assert shared.budget.used < 34 * MIB
        assert shared.counters.open_now == 128 - app.state.count
        frames = [received(sock) for _ in range(129)]
        assert sorted(frame.header["id"] for frame in frames) == [1, *range(1, 129)]
        assert sum(len(frame.content) for frame in frames) == 128 * MIB


def test_while_the_answers_of_one_are_not_taken_another_is_answered_as_long_as_there_is_room(serve: Serve) -> None:
    """Answers count against the bound of the whole server: what would pass it is refused, and said to be so."""
    app = counted_app(Limits(buffered_bytes=6 * MIB))
    with serve(app, "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(b"".join(opening(number, "data") for number in range(1, 17)))
        served.run(stopped_reading(served.server))
        assert served.server.shared.budget.used <= 6 * MIB
        with Client(served.server.addresses[0]) as other:
            assert other.call("echo", 1) == 1
        codes = [received(sock).header.get("status") for _ in range(17)]
        assert set(codes) == {None, "too-many"}

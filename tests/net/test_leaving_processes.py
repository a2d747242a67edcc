"""A process that serves and is told to stop ends with status 0 and within its time, whoever is connected."""

import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from letterhead import Cancelled, Client
from tests.leaks import PATIENCE
from tests.net.processes import Running, file_made, running
from tests.net.raw import all_received, code_of, connect, named, opening, received
from tests.wire.frames import frame

DRAIN = 0.3
BOUND = 9.0
"""Seconds: far more than it takes, on a slow machine too, and less than the limits that would end such peers anyway."""

Peer = Callable[[socket.socket, Path], None]


def silent(sock: socket.socket, begun: Path) -> None:
    """Connects, and says nothing."""


def half_a_header(sock: socket.socket, begun: Path) -> None:
    sock.sendall(opening(None, "letterhead.ping")[:20])


def half_a_content(sock: socket.socket, begun: Path) -> None:
    sock.sendall(opening(1, "letterhead.ping", "x" * 1_000)[:-500])
    assert received(sock).header["max-open"] == 128


def idle(sock: socket.socket, begun: Path) -> None:
    sock.sendall(opening(1, "letterhead.ping"))
    received(sock)
    assert received(sock).header["id"] == 1


def idle_classic(sock: socket.socket, begun: Path) -> None:
    sock.sendall(opening(None, "letterhead.ping"))
    assert received(sock).result is None


def asks(action: str, **fields: object) -> Peer:
    """Who calls this and waits for the answer."""

    def play(sock: socket.socket, begun: Path) -> None:
        sock.sendall(named(1, action, json.dumps({"begun": str(begun)}).encode(), **fields))
        file_made(begun)

    return play


def never_reads(sock: socket.socket, begun: Path) -> None:
    """Asks for more than the kernel's buffers hold, and takes nothing of it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    asks("endless")(sock, begun)
    sock.sendall(frame({"id": 1, "credit": 2**30}))


PEERS: dict[str, Peer] = {
    "silent": silent,
    "half a header": half_a_header,
    "half a content": half_a_content,
    "idle": idle,
    "idle and classic": idle_classic,
    "never reads": never_reads,
    "a stream that nobody reads": asks("endless"),
    "a thread's stream that nobody reads": asks("endless-thread"),
    "a thread that never returns": asks("wait-thread"),
    "a handler that cannot be cancelled": asks("stubborn"),
    "a worker that never returns": asks("spin"),
    "a worker that cannot be asked to": asks("spin-on"),
}


def took(program: Running) -> float:
    """Tell it to stop; how long its end took."""
    began = time.monotonic()
    program.signal(signal.SIGTERM)
    assert program.ended() == 0, program.errors
    assert program.out.split() == ["stopped", "left"]
    assert "Traceback" not in program.errors
    assert "destroyed" not in program.errors
    return time.monotonic() - began


@pytest.mark.parametrize("who", PEERS)
def test_a_server_ends_in_its_time_whoever_is_connected(who: str, tmp_path: Path) -> None:
    with running("slow", str(DRAIN)) as program, connect(program.address) as sock:
        PEERS[who](sock, tmp_path / "begun")
        assert took(program) < BOUND


def test_a_server_ends_in_its_time_with_five_hundred_connections(tmp_path: Path) -> None:
    with running("slow", str(DRAIN)) as program, ExitStack() as stack:
        for number in range(500):
            sock = stack.enter_context(connect(program.address))
            play = (silent, half_a_header, half_a_content, idle, asks("wait-thread"))[number % 5]
            play(sock, tmp_path / "begun")
        assert took(program) < BOUND


@pytest.mark.parametrize("action", ["wait-thread", "stubborn", "spin", "spin-on"])
def test_who_waits_for_what_never_ends_is_told_that_it_was_cancelled(action: str, tmp_path: Path) -> None:
    with running("slow", str(DRAIN)) as program, connect(program.address) as sock:
        asks(action)(sock, tmp_path / "begun")
        received(sock)
        program.signal(signal.SIGTERM)
        closing, told = all_received(sock)
        assert (closing.header["closing"], told.header["id"], code_of(told)) == (1, 1, "cancelled")
        assert program.ended() == 0


def test_an_endless_stream_that_looks_whether_the_server_leaves_ends_in_order(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with running("slow", "30") as program, Client(program.address) as client:
        ended: list[object] = []

        def read() -> None:
            try:
                ended.append(list(client.stream("ticks", begun=str(begun)))[:1])
            except Exception as error:
                ended.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        file_made(begun)
        assert took(program) < PATIENCE
        reader.join(PATIENCE)
        assert ended == [[0]]


def test_a_stream_that_does_not_look_is_cancelled(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with running("slow", str(DRAIN)) as program, Client(program.address) as client:
        items = client.stream("endless", begun=str(begun))
        next(items)
        program.signal(signal.SIGTERM)
        with pytest.raises(Cancelled, match="going away"):
            for _ in items:
                continue
        assert program.ended() == 0

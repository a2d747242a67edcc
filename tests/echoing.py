"""An `EchoServer` in a thread of its own, and peers of it on plain sockets."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from letterhead import Limits
from letterhead.echo import EchoServer
from tests.leaks import PATIENCE


@contextmanager
def echoing(*where: str, limits: Limits | None = None) -> Iterator[EchoServer]:
    """A server that runs while the block does; at its end it is told to stop, and must."""
    server = EchoServer(*(where or ("127.0.0.1:0",)), limits=limits)
    thread = threading.Thread(target=server.run, name="echo")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the server does not stop"


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread or process brings about; an error if it never does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


def received(sock: socket.socket, size: int) -> bytes:
    """Exactly so many bytes; fewer only where the stream ended."""
    got = bytearray()
    while len(got) < size:
        data = sock.recv(min(size - len(got), 1 << 20))
        if not data:
            break
        got += data
    return bytes(got)


def all_received(sock: socket.socket) -> bytes:
    """What comes until the end of the stream."""
    return b"".join(iter(lambda: sock.recv(1 << 20), b""))


def send_until_nothing_goes(sock: socket.socket, server: EchoServer) -> int:
    """Send, and read nothing, until server and system take no more; how many bytes went."""
    sock.setblocking(False)
    went, quiet_since = 0, time.monotonic()
    while time.monotonic() < quiet_since + 0.2:
        before = server.received
        try:
            went += sock.send((bytes(range(256)) * 257)[went % 256 :])
        except BlockingIOError:
            time.sleep(0.005)
            if server.received == before:
                continue
        quiet_since = time.monotonic()
    sock.settimeout(PATIENCE)
    return went


def pattern(size: int) -> bytes:
    """What `send_until_nothing_goes` sends."""
    return (bytes(range(256)) * (size // 256 + 1))[:size]

"""Servers that are none, or odd ones: each accepts one connection after the other in a thread of its own."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.leaks import PATIENCE

RESET = struct.pack("ii", 1, 0)
Play = Callable[[socket.socket], None]


@contextmanager
def peer(play: Play) -> Iterator[str]:
    """Somebody who does `play` on each connection and then closes it; yields the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ending = threading.Event()

        def serve() -> None:
            while True:
                sock, _ = listener.accept()
                if ending.is_set():
                    sock.close()
                    return
                sock.settimeout(PATIENCE)
                with sock, suppress(OSError):
                    play(sock)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        host, port = listener.getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            ending.set()
            socket.create_connection((host, port)).close()
            thread.join(PATIENCE)


def says(data: bytes) -> Play:
    """Reads a little, says this, waits for the end."""

    def play(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            continue

    return play


def closes_at_once(sock: socket.socket) -> None:
    """Accepts and hangs up."""


def closes_after_request(sock: socket.socket) -> None:
    """Reads the request and hangs up."""
    sock.recv(65536)


def resets(sock: socket.socket) -> None:
    """Reads the request, then resets."""
    sock.recv(65536)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def never_answers(sock: socket.socket) -> None:
    """Reads until the client goes."""
    while sock.recv(65536):
        continue


@contextmanager
def full_backlog() -> Iterator[str]:
    """A listener that accepts nobody and whose queue is full: connecting to it takes for ever."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting: list[socket.socket] = []
        try:
            for _ in range(64):
                sock = socket.socket()
                waiting.append(sock)
                sock.settimeout(0.2)
                sock.connect(listener.getsockname())
            raise AssertionError("this system's queues have no end")
        except TimeoutError:
            yield ":".join(map(str, listener.getsockname()))
        finally:
            for sock in waiting:
                sock.close()

"""How a blocking client's wire waits for bytes: it looks for a moment, then sleeps."""

import socket
import threading
import time
from typing import Any

import pytest

from letterhead.transport.wire import SocketWire


class Silent(socket.socket):
    """A socket that nothing comes to; it counts the receives that would sleep, and the tries that do not."""

    tries = 0
    sleeps = 0

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        if flags & socket.MSG_DONTWAIT:
            self.tries += 1
            time.sleep(1e-3)  # longer than a look lasts: one try is one look
        else:
            self.sleeps += 1
        raise BlockingIOError


def test_looks_in_vain_become_rare() -> None:
    with Silent() as silent:
        wire = SocketWire(silent)
        for _ in range(1_000):
            assert wire.receive_into(memoryview(bytearray(1)), 1.0) is None
        assert silent.sleeps == 1_000
        assert 8 <= silent.tries <= 12  # after 0, 1, 3, 7, 15, 31, 63, 127, then each time 255 left out


def test_after_many_looks_in_vain_soon_answers_are_looked_for_again() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = SocketWire(ours)
        view = memoryview(bytearray(8))
        for _ in range(3):
            assert wire.receive_into(view, 0.0) is None
        for number in range(10):
            theirs.send(bytes([number]))
            assert wire.receive_into(view, 1.0) == 1
            assert view[0] == number


@pytest.mark.parametrize("seconds", [0.0, 0.05], ids=["soon", "late"])
def test_bytes_and_the_end_come_whether_it_looks_or_sleeps(seconds: float) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        wire = SocketWire(ours)
        view = memoryview(bytearray(8))

        def speak() -> None:
            with theirs:
                time.sleep(seconds)
                theirs.sendall(b"a")
                time.sleep(seconds)

        speaker = threading.Thread(target=speak)
        speaker.start()
        assert wire.receive_into(view, None) == 1
        assert wire.receive_into(view, None) == 0
        speaker.join()


def test_nothing_within_the_bound_is_none() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = SocketWire(ours)
        began = time.monotonic()
        assert wire.receive_into(memoryview(bytearray(8)), 0.05) is None
        assert time.monotonic() - began >= 0.04

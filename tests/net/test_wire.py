"""How a blocking client's wire waits for bytes: it looks for a moment, then sleeps."""

import signal
import socket
import struct
import threading
import time
from collections import deque
from typing import Any

import pytest

from letterhead.transport.wire import Received, SocketWire


class Silent(socket.socket):
    """A socket that nothing comes to; it counts the receives that would sleep, and the tries that do not."""

    tries = 0
    sleeps = 0

    def __init__(self) -> None:
        super().__init__()
        self.bounds: list[float] = []

    def setsockopt(self, *args: Any) -> None:
        seconds, micros = struct.unpack("@ll", args[2])
        self.bounds.append(seconds + micros / 1e6)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        if flags & socket.MSG_DONTWAIT:
            self.tries += 1
            time.sleep(1e-3)  # longer than a look lasts: one try is one look
        else:
            self.sleeps += 1
        raise BlockingIOError


@pytest.fixture
def inbox() -> "deque[Received]":
    return deque()


def test_looks_in_vain_become_rare(inbox: "deque[Received]") -> None:
    with Silent() as silent:
        wire = SocketWire(silent)
        for _ in range(1_000):
            assert not wire.receive(inbox, None, 1.0)
        assert silent.sleeps == 1_000
        assert 8 <= silent.tries <= 12  # after 0, 1, 3, 7, 15, 31, 63, 127, then each time 255 left out


def test_a_long_wait_ends_early_rather_than_late(inbox: "deque[Received]") -> None:
    """The system's timers may end late by an eighth of what they are given."""
    with Silent() as silent:
        wire = SocketWire(silent)
        left = 25.0
        while left > 1e-3:  # as if each wait ended as late as it may
            assert not wire.receive(inbox, None, left)
            late = silent.bounds[-1] * 9 / 8
            assert late <= left or left <= 0.04
            left -= late
        assert len(silent.bounds) <= 10
        assert wire.receive(inbox, None, None) is False
        assert silent.bounds[-1] == 0.0  # as long as it takes


def test_waits_that_shrink_slowly_seldom_set_a_bound_anew(inbox: "deque[Received]") -> None:
    with Silent() as silent:
        wire = SocketWire(silent)
        for call in range(1_000):
            assert not wire.receive(inbox, None, 15.0 - call * 0.005)
        assert 1 < len(silent.bounds) <= 5


def test_after_many_looks_in_vain_soon_answers_are_looked_for_again(inbox: "deque[Received]") -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = SocketWire(ours)
        for _ in range(3):
            assert not wire.receive(inbox, None, 0.001)
        for number in range(10):
            theirs.send(bytes([number]))
            assert wire.receive(inbox, None, 1.0)
            assert inbox.pop() == bytes([number])


@pytest.mark.parametrize("own", [False, True], ids=["bytes", "view"])
@pytest.mark.parametrize("seconds", [0.0, 0.05], ids=["soon", "late"])
def test_bytes_and_the_end_come_whether_it_looks_or_sleeps(seconds: float, own: bool, inbox: "deque[Received]") -> None:
    ours, theirs = socket.socketpair()
    with ours:
        wire = SocketWire(ours)
        view = memoryview(bytearray(8)) if own else None

        def speak() -> None:
            with theirs:
                time.sleep(seconds)
                theirs.sendall(b"a")
                time.sleep(seconds)

        speaker = threading.Thread(target=speak)
        speaker.start()
        assert wire.receive(inbox, view, None)
        assert wire.receive(inbox, view, None)
        assert list(inbox) == ([1, 0] if own else [b"a", b""])
        if view is not None:
            assert bytes(view[:1]) == b"a"
        speaker.join()


def test_nothing_within_the_bound_is_said(inbox: "deque[Received]") -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = SocketWire(ours)
        began = time.monotonic()
        assert not wire.receive(inbox, None, 0.05)
        assert time.monotonic() - began >= 0.03
        assert not wire.receive(inbox, None, 0), "and nothing is waited for"
        assert not inbox


def test_what_was_received_is_kept_whatever_a_signal_handler_raises() -> None:
    """Exceptions come between any two instructions of Python; what the system gave is in the inbox by then."""
    failures = 0
    armed = False  # a signal may come late, by way of another thread

    class Interrupted(Exception):
        """What the signal raises in the main thread."""

    def interrupt(*_: object) -> None:
        if armed:
            raise Interrupted

    inbox: deque[Received] = deque()
    ours, theirs = socket.socketpair()
    before = signal.signal(signal.SIGALRM, interrupt)
    with ours, theirs:
        wire = SocketWire(ours)
        try:
            for number in range(2_000):
                theirs.send(b"%04d" % number)
                try:
                    armed = True
                    signal.setitimer(signal.ITIMER_REAL, 1e-6 + number % 50 * 1e-6)
                    while len(inbox) <= number:
                        wire.receive(inbox, None, 1.0)
                    armed = False
                except Interrupted:
                    armed = False
                    failures += 1
                    while len(inbox) <= number:
                        assert wire.receive(inbox, None, 1.0), "it was received, and is lost"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert list(inbox) == [b"%04d" % number for number in range(2_000)]
    assert failures

"""A blocking byte pipe, as ``Client`` uses it: a connected socket, or anything else that does the same.

Sending never blocks and says how much went; receiving blocks, with a bound. The bound is ``SO_RCVTIMEO``, set only when
it changes: ``settimeout`` would cost a poll for each call.

Before it sleeps, a receiver looks for a moment (``_LOOK_SECONDS``) whether bytes come: to put a core to sleep and wake
it costs both sides more than that, on virtual machines above all, where a round trip took 150 µs so and 62 µs with a
look, at the same processor time of the client and half of the server's. Where nothing comes so soon the next looks are
left out, twice as many each time, so that waiting for slow answers costs no processor time worth counting.

What the bytes mean is not known here.
"""

import contextlib
import errno
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from letterhead.errors import LetterheadError
from letterhead.message import Buffer

PIECES = 64
"""Pieces that one ``send`` is given at most: the system's own bound is 1,024, and few are enough."""
_LEAST, _WANTED, _MOST = 1 / 2, 3 / 4, 7 / 8
"""How much of a long wait is left to the system, whose timers may end late by an eighth of the time (Linux, HZ).

A bound from the least to the most stays as it is: to set one is a call of the system.
"""
_SHORT_SECONDS = 0.04
_LOOK_SECONDS = 200e-6
_MOST_SKIPS = 255
"""At most so many receives do not look, after many looks that found nothing."""
_SIZES = (64 * 1024,)  # arguments of ``recv`` and ``recv_into``, for ``map``
_ALL = (0,)
_AT_ONCE = (socket.MSG_DONTWAIT,)

Received = bytes | int | Exception
"""What came on a wire: bytes, or a number of them, or why no more come."""


class Wire(Protocol):
    """What ``Client`` needs of a pipe. Any method may raise OSError when the pipe broke."""

    def send(self, pieces: Sequence[Buffer]) -> int:
        """Send as much as goes without waiting; how many bytes went (0 where none would)."""

    def receive(self, inbox: "deque[Received]", view: memoryview | None, timeout: float | None) -> bool:
        """Wait for bytes; whether any came, or the end of the stream, before ``timeout`` seconds passed.

        Where none came this may return earlier: whoever waits looks at the time, and waits again.

        Args:
            inbox: gets them: the bytes; or, where a view is given, how many went there. No bytes, or 0, are the end of
                the stream. An exception that a signal handler raises must not come between receiving and appending.
            view: where they go, or None.
            timeout: None: as long as it takes; 0: do not wait.
        """

    def wait(self, *, write: bool, read: bool, timeout: float | None) -> bool:
        """Wait until bytes can be sent or received; whether it is so (False when ``timeout`` seconds passed)."""

    def shutdown(self) -> None:
        """End both directions; a thread that waits here wakes up."""

    def close(self) -> None:
        """Free the pipe; nobody waits on it any more."""


def is_interruption(error: BaseException) -> bool:
    """Whether a signal handler raised this, and not the pipe: a TimeoutError is what many raise after an alarm."""
    if threading.get_ident() != threading.main_thread().ident or isinstance(error, LetterheadError):
        return False
    return not isinstance(error, OSError) or (isinstance(error, TimeoutError) and error.errno is None)


class SocketWire:
    """A connected stream socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(None)
        self._socket = sock
        self._bound: float | None = None
        self._skips = 0  # receives that do not look, since the last look found nothing
        self._skips_left = 0  # how many of them are still to come

    def send(self, pieces: Sequence[Buffer]) -> int:
        try:
            if len(pieces) == 1:
                return self._socket.send(pieces[0], socket.MSG_DONTWAIT)
            return self._socket.sendmsg(pieces, (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def receive(self, inbox: "deque[Received]", view: memoryview | None, timeout: float | None) -> bool:
        # ``extend`` receives and appends within one C call: no signal handler runs between the two.
        if timeout is not None and timeout <= 0:
            return self._look(inbox, view, 0.0)
        bound = self._bound
        if timeout is not bound and (
            timeout is None or bound is None or not timeout * _LEAST <= bound <= timeout * _MOST
        ):
            self._set_bound(timeout)
        if self._skips_left:
            self._skips_left -= 1
        elif self._look(inbox, view, _LOOK_SECONDS):
            self._skips = 0
            return True
        else:
            self._skips = self._skips_left = min(2 * self._skips + 1, _MOST_SKIPS)
        try:
            if view is None:
                inbox.extend(map(self._socket.recv, _SIZES))
            else:
                inbox.extend(map(self._socket.recv_into, (view,)))
        except BlockingIOError:
            return False
        return True

    def _look(self, inbox: "deque[Received]", view: memoryview | None, seconds: float) -> bool:
        """Receive without sleeping; whether anything came within a moment."""
        until = time.perf_counter() + seconds
        while True:
            try:
                if view is None:
                    inbox.extend(map(self._socket.recv, _SIZES, _AT_ONCE))
                else:
                    inbox.extend(map(self._socket.recv_into, (view,), _ALL, _AT_ONCE))
            except BlockingIOError:
                if time.perf_counter() >= until:
                    return False
            else:
                return True

    def _set_bound(self, timeout: float | None) -> None:
        bound = timeout if timeout is None or timeout <= _SHORT_SECONDS else timeout * _WANTED
        micros = 0 if bound is None else max(1, int(bound * 1e6))  # zero would mean without bound
        packed = struct.pack("@ll", micros // 1_000_000, micros % 1_000_000)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, packed)
        self._bound = bound

    def wait(self, *, write: bool, read: bool, timeout: float | None) -> bool:
        number = self._socket.fileno()
        if number < 0:  # closed by whoever noticed its end first
            raise OSError(errno.EBADF, "the connection is closed")
        poller = select.poll()
        poller.register(number, (select.POLLOUT if write else 0) | (select.POLLIN if read else 0))
        return bool(poller.poll(None if timeout is None else max(0, timeout * 1000)))

    def shutdown(self) -> None:
        with contextlib.suppress(OSError):  # it was not connected any more
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()

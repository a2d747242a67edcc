"""One byte pipe of an event loop, under either side of a conversation.

Received bytes go through one scratch buffer for all connections of a thread, since each read is worked off before the
next; large content goes straight into its own. What a turn of the loop produced is sent with one write. Unsent bytes
above the high mark stop the reading; unsent bytes without progress end the connection.

Nothing is decided here that a conversation could decide: this knows transports and timers.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from typing import cast

from letterhead import clock
from letterhead.limits import Limits
from letterhead.message import Buffer
from letterhead.protocol.timers import NEVER

SCRATCH = 64 * 1024
_JOIN_BELOW = 64 * 1024
# CVE-2024-12254: asyncio's ``writelines`` forgot to call ``pause_writing``, so unsent bytes would have had no bound.
_WRITELINES_NEVER_PAUSES = (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2)
_local = threading.local()


def scratch() -> memoryview:
    """This thread's receive buffer."""
    view: memoryview | None = getattr(_local, "view", None)
    if view is None:
        view = _local.view = memoryview(bytearray(SCRATCH))
    return view


class Pipe(asyncio.BufferedProtocol):
    """A connection's bytes; subclasses put a conversation on it.

    Attributes:
        sent: bytes handed to the transport so far.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.sent = 0
        self._scratch = scratch()
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._reading = True
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._stalled: tuple[float, int] | None = None  # since when, and how many bytes had gone by then

    # -- transport → pipe ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have asyncio's interface without being its subclasses.
        stream = cast("asyncio.Transport", transport)
        self._transport = stream
        stream.set_write_buffer_limits(high=self.limits.write_high, low=self.limits.write_low)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def pause_writing(self) -> None:
        self._writable = False
        self._update_reading()

    def resume_writing(self) -> None:
        self._writable = True
        self._update_reading()

    # -- pipe → transport ------------------------------------------------------------------------------------------

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Send pieces with one write."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if len(pieces) == 1:
            self.sent += len(pieces[0])
            transport.write(pieces[0])
        else:
            total = sum(map(len, pieces))
            self.sent += total
            if total < _JOIN_BELOW or _WRITELINES_NEVER_PAUSES:
                transport.write(b"".join(pieces))
            else:
                transport.writelines(pieces)
        if self._stalled is None and transport.get_write_buffer_size():
            now = clock.monotonic()
            self._stalled = (now, self.sent - transport.get_write_buffer_size())
            self.wake_at(now + self.limits.write_seconds)

    def wants_to_read(self) -> bool:
        """Whether the conversation takes more bytes at the moment."""
        return True

    def reading_changed(self, reading: bool) -> None:
        """Reading stopped or goes on."""

    def _update_reading(self) -> None:
        reading = self._writable and self.wants_to_read()
        if reading is self._reading or self._transport is None or self._transport.is_closing():
            return
        self._reading = reading
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
        self.reading_changed(reading)

    # -- time ------------------------------------------------------------------------------------------------------

    def wake_at(self, due: float) -> None:
        """Call ``on_time`` then (or earlier: it looks by itself). A timer is only replaced by an earlier one."""
        if due == NEVER or self._transport is None:
            return
        if self._timer is not None:
            if due >= self._due:
                return
            self._timer.cancel()
        self._due = due
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, due - clock.monotonic()), self._fire)

    def _fire(self) -> None:
        self._timer = None
        if self._transport is None:
            return
        now = clock.monotonic()
        if self._write_stalled(now):
            self.stalled()
            return
        self.on_time(now)

    def on_time(self, now: float) -> None:
        """Time has passed."""

    def stalled(self) -> None:
        """The peer took nothing for ``write_seconds``."""
        if self._transport is not None:
            self._transport.abort()

    def _write_stalled(self, now: float) -> bool:
        if self._stalled is None or self._transport is None:
            return False
        unsent = self._transport.get_write_buffer_size()
        if not unsent:
            self._stalled = None
            return False
        since, gone = self._stalled
        if self.sent - unsent > gone:
            since, gone = now, self.sent - unsent
            self._stalled = (since, gone)
        if now >= since + self.limits.write_seconds:
            return True
        self.wake_at(since + self.limits.write_seconds)
        return False


class Turn:
    """Collects the pipes that have something to send until the event loop comes round, and flushes each once."""

    def __init__(self) -> None:
        self._dirty: list[Callable[[], None]] = []

    def add(self, flush: Callable[[], None]) -> None:
        """Call ``flush`` at the end of this turn."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._over)
        self._dirty.append(flush)

    def _over(self) -> None:
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for flush in dirty:
                flush()

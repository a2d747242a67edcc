"""``StreamProtocol``: one stream of bytes on an event loop, under the server's connections and the async client's.

Received bytes go through one scratch buffer for all connections of a thread, since each read is worked off before the
next; large content goes straight into its own. What one turn of the loop produced is sent with one write
(``WriteBatch``). Unsent bytes above the high mark stop the reading; unsent bytes without progress end the connection.

Nothing is decided here that a conversation could decide: this module knows transports and timers.

Whatever the loop calls later runs in an empty context: the one that happens to be current may belong to a handler,
whose context variables are no business of other calls on the connection, and would be kept alive by it.
"""

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable, Sequence
from typing import cast

from letterhead import clock
from letterhead.limits import Limits
from letterhead.message import Buffer
from letterhead.protocol.timers import NEVER

SCRATCH = 64 * 1024
"""Bytes of the scratch buffer, and so of one read."""
_JOIN_BELOW = 64 * 1024
# CVE-2024-12254: the ``writelines`` of asyncio's own transports forgot to call ``pause_writing``, so unsent bytes would
# have had no bound.
_WRITELINES_NEVER_PAUSES = (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2)
_local = threading.local()


def scratch() -> memoryview:
    """This thread's receive buffer, ``SCRATCH`` bytes."""
    view: memoryview | None = getattr(_local, "view", None)
    if view is None:
        view = _local.view = memoryview(bytearray(SCRATCH))
    return view


class StreamProtocol(asyncio.BufferedProtocol):
    """A stream of bytes; subclasses put a conversation on it.

    A subclass overrides ``get_buffer``, ``buffer_updated`` and ``eof_received``, which receive, and as it needs them
    ``wants_to_read``, ``reading_changed``, ``on_time`` and ``write_timed_out``. It calls ``write``, ``wake_at`` and
    ``update_reading``.

    Attributes:
        limits: the marks between which unsent bytes stop the reading, and how long a peer may take nothing.
        transport: what the bytes go to; None before the connection is made and after it is lost.
        scratch: what ``get_buffer`` gives out where the bytes have no buffer of their own. All connections of the
            thread share it, so its bytes are worked off in ``buffer_updated``.
        sent: bytes handed to the transport so far.
        reading: whether the transport is read.
        wakes_at: when ``on_time`` is called next, as ``clock.monotonic`` counts; ``NEVER`` where no timer runs.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.transport: asyncio.Transport | None = None
        self.scratch = scratch()
        self.sent = 0
        self.reading = True
        self.wakes_at = NEVER
        self._writable = True
        self._joins_all = False
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: tuple[float, int] | None = None  # since when, and how many bytes had gone by then

    # -- called by the transport -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have asyncio's interface without being its subclasses, and without its fault.
        self._joins_all = _WRITELINES_NEVER_PAUSES and isinstance(transport, asyncio.Transport)
        stream = cast("asyncio.Transport", transport)
        self.transport = stream
        stream.set_write_buffer_limits(high=self.limits.write_high, low=self.limits.write_low)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._cancel_timer()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.scratch

    def data_received(self, data: Buffer) -> None:
        """Take bytes that came, any number of them, from a pipe that has no use for ``get_buffer``."""
        left = memoryview(data).cast("B")
        while left:
            buffer = self.get_buffer(len(left))
            count = min(len(buffer), len(left))
            buffer[:count] = left[:count]
            left = left[count:]
            self.buffer_updated(count)

    def pause_writing(self) -> None:
        self._writable = False
        self.update_reading()

    def resume_writing(self) -> None:
        self._writable = True
        self.update_reading()

    # -- called by subclasses --------------------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        """Bytes that were written and that the transport still holds."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    def write(self, pieces: Sequence[Buffer]) -> None:
        """Send pieces with one write. Nothing happens where the connection is closed, or closing."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if len(pieces) == 1:
            self.sent += len(pieces[0])
            transport.write(pieces[0])
        else:
            total = sum(map(len, pieces))
            self.sent += total
            if total < _JOIN_BELOW or self._joins_all:
                transport.write(b"".join(pieces))
            else:
                transport.writelines(pieces)
        if self._stalled is None and transport.get_write_buffer_size():
            now = clock.monotonic()
            self._stalled = (now, self.sent - transport.get_write_buffer_size())
            self.wake_at(now + self.limits.write_seconds)

    def update_reading(self) -> None:
        """Pause or resume the reading, as ``wants_to_read`` and the unsent bytes have it."""
        reading = self._writable and self.wants_to_read()
        if reading is self.reading or self.transport is None or self.transport.is_closing():
            return
        self.reading = reading
        if reading:
            # asyncio's loops call what reads in the context in which reading was resumed.
            contextvars.Context().run(self.transport.resume_reading)
        else:
            self.transport.pause_reading()
        self.reading_changed(reading)

    def wake_at(self, due: float) -> None:
        """Call ``on_time`` at ``due`` or earlier. A timer that runs is only replaced by an earlier one."""
        if due >= self.wakes_at or self.transport is None:
            return
        self._cancel_timer()
        delay = max(0.0, due - clock.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._wake, context=contextvars.Context())
        self.wakes_at = due

    # -- overridden by subclasses ----------------------------------------------------------------------------------

    def wants_to_read(self) -> bool:
        """Whether the conversation takes more bytes at the moment."""
        return True

    def reading_changed(self, reading: bool) -> None:
        """Reading was paused or resumed."""

    def on_time(self, now: float) -> None:
        """The moment of ``wake_at`` has come, or an earlier one: look at the time, and call ``wake_at`` again."""

    def write_timed_out(self) -> None:
        """The peer took nothing for ``Limits.write_seconds``."""
        if self.transport is not None:
            self.transport.abort()

    # -- time ------------------------------------------------------------------------------------------------------

    def _cancel_timer(self) -> None:
        self.wakes_at = NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        self.wakes_at = NEVER
        if self.transport is None:
            return
        now = clock.monotonic()
        if self._write_is_late(now):
            self.write_timed_out()
        else:
            self.on_time(now)

    def _write_is_late(self, now: float) -> bool:
        if self._stalled is None:
            return False
        unsent = self.unsent
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


class WriteBatch:
    """Collects the connections that have something to send until the event loop comes round, and flushes each once."""

    def __init__(self) -> None:
        self._dirty: list[Callable[[], None]] = []
        self._context = contextvars.Context()

    def add(self, flush: Callable[[], None]) -> None:
        """Call ``flush`` at the end of this turn of the loop."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush, context=self._context)
        self._dirty.append(flush)

    def _flush(self) -> None:
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for flush in dirty:
                try:
                    flush()
                except Exception as error:  # of one connection: the others still send
                    told = {"message": "a connection could not send", "exception": error}
                    asyncio.get_running_loop().call_exception_handler(told)

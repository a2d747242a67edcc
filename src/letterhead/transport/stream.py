"""``StreamProtocol``: one stream of bytes on an event loop, under the server's connections and the async client's.

Received bytes go through one scratch buffer for all connections of a thread, since each read is worked off before the
next; large content goes straight into its own. What one loop iteration produced is sent with one write
(``WriteBatch``). Unsent bytes above the high mark stop the reading; unsent bytes without progress end the connection.

Nothing is decided here that a conversation could decide: this module knows transports and timers.

What fails in one conversation (a log handler that raises, for instance) is reported to the loop's exception handler and
costs that connection: it would have no timer any more, or miss what it was about to send.

Whatever the loop calls later runs in an empty context: the one that happens to be current may belong to a handler,
whose context variables are no business of other calls on the connection, and would be kept alive by it.
"""

import asyncio
import contextvars
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from letterhead import clock
from letterhead.limits import Limits
from letterhead.message import Buffer
from letterhead.protocol.timers import NEVER, WriteTimer

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
        self._write_timer = WriteTimer(limits)

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
        timer = self._write_timer
        if timer.due != NEVER and not transport.get_write_buffer_size():  # all went since it was looked last
            timer.check(self.sent, 0, 0.0)
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
        if timer.due == NEVER and transport.get_write_buffer_size():
            timer.check(self.sent - self.unsent, self.unsent, clock.monotonic())
            self.wake_at(timer.due)

    def update_reading(self) -> None:
        """Pause or resume the reading, as ``wants_to_read`` and the unsent bytes have it."""
        reading = self._writable and self.wants_to_read()
        if reading is self.reading or self.transport is None or self.transport.is_closing():
            return
        if reading:
            self._resume(self.transport)
        else:
            self.transport.pause_reading()
            self.reading = False
        self.reading_changed(reading)

    def read_on(self) -> None:
        """Read whatever comes from now on, wanted or not; ``reading_changed`` is not told."""
        if self.transport is not None and not self.reading:
            self._resume(self.transport)

    def _resume(self, transport: asyncio.Transport) -> None:
        # asyncio's loops call what reads in the context in which reading was resumed.
        contextvars.Context().run(transport.resume_reading)
        self.reading = True

    def wake_at(self, due: float) -> None:
        """Call ``on_time`` at ``due`` or earlier. A timer that runs is only replaced by an earlier one."""
        if due >= self.wakes_at or self.transport is None:
            return
        self._cancel_timer()
        delay = clock.seconds_until(due)
        self._timer = asyncio.get_running_loop().call_later(delay, self._wake, context=contextvars.Context())
        self.wakes_at = due

    def abort(self) -> None:
        """Close at once; what is not sent is lost."""
        if self.transport is not None:
            self.transport.abort()

    # -- overridden by subclasses ----------------------------------------------------------------------------------

    def wants_to_read(self) -> bool:
        """Whether the conversation takes more bytes at the moment."""
        return True

    def reading_changed(self, reading: bool) -> None:
        """Reading was paused or resumed."""

    def on_time(self, now: float) -> None:
        """The moment of ``wake_at`` has come, or an earlier one: look at the time, and call ``wake_at`` again."""

    def write_timed_out(self) -> None:
        """The peer took nothing for ``Limits.write_seconds``, or too little for too long."""
        self.abort()

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
        try:
            if self._write_timer.check(self.sent - self.unsent, self.unsent, now):
                self.write_timed_out()
            else:
                self.wake_at(self._write_timer.due)
                self.on_time(now)
        except Exception:
            self.abort()
            raise


class WriteBatch:
    """Collects the connections that have something to send until the event loop comes round, and flushes each once."""

    def __init__(self) -> None:
        self._dirty: deque[Callable[[], None]] = deque()

    def add(self, flush: Callable[[], None]) -> None:
        """Call ``flush`` at the end of this loop iteration. What it raises is reported to the loop's handler."""
        if not self._dirty:
            self._flush_soon()
        self._dirty.append(flush)

    def _flush_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._flush, context=contextvars.Context())

    def _flush(self) -> None:
        dirty = self._dirty
        try:
            while dirty:
                flush = dirty.popleft()
                try:
                    flush()
                except Exception as error:
                    asyncio.get_running_loop().call_exception_handler(
                        {"message": "what was to be sent on a connection could not be", "exception": error}
                    )
        finally:
            if dirty:  # it was interrupted
                self._flush_soon()

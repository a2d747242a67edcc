"""One connection of a server: its protocol on a stream, its requests on a runner, and the lingering close.

What lives here: when bytes are read, handed over and written, and when the connection is closed. What they mean is
``protocol/server.py``'s, and where handlers run is the runner's.
"""

import asyncio
import contextvars
import logging
from collections.abc import Callable
from typing import assert_never

from letterhead import clock
from letterhead.content.encoded import Encoded
from letterhead.errors import Refused
from letterhead.protocol.events import Ended, Readable, Stop, Writable
from letterhead.protocol.flow import Item
from letterhead.protocol.requests import Request
from letterhead.protocol.server import ServerProtocol
from letterhead.protocol.states import Phase
from letterhead.protocol.timers import Wait
from letterhead.server.shared import Shared
from letterhead.transport.stream import SCRATCH, StreamProtocol

_GATHERED = 64 * 1024
"""Bytes of items that are sent before the loop iteration is over."""


class ServerConnection(StreamProtocol):
    """The server's end of one connection.

    Args:
        shared: what all connections of the server share.
        caller: the peer's address, for logs and handlers.
        rejected: refuse the connection with this as soon as it is made.
    """

    def __init__(self, shared: Shared, caller: str, rejected: Refused | None = None) -> None:
        super().__init__(shared.app.limits)
        self.caller = caller
        self._shared = shared
        self._rejected = rejected
        app = shared.app
        self._protocol = ServerProtocol(
            app.limits, clock.monotonic(), shared.headers, shared.budget, shared.counters, app.compression
        )
        self._direct = False  # the bytes being read go into large content's own buffer
        self._receiving = False  # what is brought about meanwhile is sent with one write, behind it
        self._flush_queued = False
        self._gathered = 0  # bytes of items in ``out``
        self._paused = False  # handlers that wait for a thread or a process do not begin: the peer takes no answers
        self._taking_events = False  # what they bring about is seen to behind them
        self._rest: asyncio.Handle | None = None  # the loop has an iteration before more is read
        self._starting: asyncio.Handle | None = None  # and before more handlers begin
        self._draining = False
        self._peer_ended = False
        self._closing_since: float | None = None
        self._quiet_since = 0.0

    # -- transport → conversation ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._shared.joined(self)
        if self._rejected is not None:
            self._protocol.fail(self._rejected)
        self._advance()

    def get_buffer(self, sizehint: int) -> memoryview:
        own = self._protocol.buffer()
        self._direct = own is not None
        return self.scratch if own is None else own

    def buffer_updated(self, nbytes: int) -> None:
        now = clock.monotonic()
        self._shared.counters.bytes_received += nbytes
        if self._closing_since is not None:
            self._quiet_since = now
            return
        self._receiving = True
        try:
            if self._direct:
                self._protocol.filled(nbytes, now)
            else:
                self._protocol.receive(bytes(self.scratch[:nbytes]), now)
            self._advance()
        finally:
            self._receiving = False
            self._flush()
        if nbytes == SCRATCH and self._protocol.buffer() is None:  # large content costs nothing to read
            self._rest_from_reading()

    def eof_received(self) -> bool:
        self._peer_ended = True
        if self._closing_since is not None:
            self._close()
        else:
            self._protocol.end_of_stream(clock.monotonic())
            self._advance()
        return True  # the transport stays open: what was accepted is still answered

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if exc is not None:
            self._shared.counters.lost += 1
        try:
            self._protocol.lost()
            self._take_events()
        finally:
            if self._paused:
                self._shared.runner.resume(self)
            self._shared.left(self)

    def pause_writing(self) -> None:
        self._protocol.paused = True
        super().pause_writing()

    def resume_writing(self) -> None:
        self._protocol.paused = False
        super().resume_writing()
        now = clock.monotonic()
        self._sent(now)
        self._protocol.resume_writing(now)
        self._advance()

    def wants_to_read(self) -> bool:
        return self._protocol.reads and self._rest is None

    def reading_changed(self, reading: bool) -> None:
        if reading:
            self._protocol.resume_reading(clock.monotonic())
            self.wake_at(self._protocol.due)  # the timer may have passed meanwhile
        else:
            self._protocol.timer.pause(clock.monotonic())

    def _rest_from_reading(self) -> None:
        """Read no more in this loop iteration: uvloop reads up to 32 times while more is there, and others wait.

        How long a read takes to be worked off cannot be seen here: handlers may begin later.
        """
        if self._rest is None:
            self._rest = self._soon(self._rested)
            self.update_reading()

    def _rested(self) -> None:
        self._rest = None
        self.update_reading()

    @staticmethod
    def _soon(function: Callable[[], None]) -> asyncio.Handle:
        return asyncio.get_running_loop().call_soon(function, context=contextvars.Context())

    # -- the conversation's wishes ---------------------------------------------------------------------------------

    def _advance(self) -> None:
        """The conversation moved: hand out its events, send what it said, keep its time."""
        protocol = self._protocol
        try:
            if protocol.events:
                self._take_events()
        finally:
            if protocol.starts_more and self._starting is None:
                self._starting = self._soon(self._start_more)
            if protocol.out or protocol.ending:
                self._flush_soon()
            if not self.reading or protocol.phase is Phase.CLASSIC:
                self.update_reading()
            if protocol.due < self.wakes_at:
                self.wake_at(protocol.due)

    def _start_more(self) -> None:
        """The handlers started in the last loop iteration have taken their first step: start more."""
        self._starting = None
        self._protocol.start_more()
        self._advance()

    def _take_events(self) -> None:
        if self._taking_events:
            return
        protocol, runner = self._protocol, self._shared.runner
        self._taking_events = True
        try:
            while protocol.events:
                event = protocol.events.pop(0)
                if isinstance(event, Request):
                    runner.start(event, self)
                elif isinstance(event, Stop):
                    runner.stop(event.request)
                elif isinstance(event, Readable):
                    runner.readable(event.exchange)
                elif isinstance(event, Writable):
                    runner.writable(event.exchange)
                elif isinstance(event, Ended):
                    self._say_closed(event.error)
                else:
                    assert_never(event)
        finally:
            self._taking_events = False

    def _say_closed(self, error: Refused) -> None:
        """The connection is closed because of its peer, or was never let in."""
        shared, caller, refused = self._shared, self.caller, self._rejected is not None
        if refused:
            shared.log.say(
                logging.WARNING, "connection-refused", "closed the connection of %s: %s: %s",
                caller, error.code, error.message, peer=caller, code=error.code,
            )  # fmt: skip
            return
        shared.counters.misbehaved += 1
        shared.log.say(
            logging.WARNING, "peer-misbehaved", "closed the connection of %s: %s: %s",
            caller, error.code, error.message, peer=caller, code=error.code, reason=error.message,
        )  # fmt: skip

    # -- from the runner -------------------------------------------------------------------------------------------

    def answer(self, request: Request, outcome: Encoded | Refused | None) -> None:
        """Send the answer to a request although something of it still runs; ``finish`` follows."""
        self._protocol.answer(request, outcome, clock.monotonic())
        self._flush_soon()

    def finish(self, request: Request, outcome: Encoded | Refused | None) -> None:
        """Nothing of a request runs any more; its answer, where it has none yet."""
        protocol = self._protocol
        protocol.finish(request, outcome, clock.monotonic())
        if self._shared.awaited:
            self._shared.look()
        if not self._taking_events and (not self._flush_comes or protocol.events or not self.reading):
            self._advance()

    def streams(self, request: Request) -> None:
        """The answer to a request is a stream; raises what ``ServerProtocol.streams`` does."""
        self._protocol.streams(request)

    def unpacked(self, request: Request, content: bytes) -> None:
        """The content of a request was decompressed."""
        self._protocol.unpacked(request, content)

    def send_item(self, request: Request, item: Encoded) -> int:
        """Send an item of a result: how many bytes that took; 0 where it may not be sent yet."""
        protocol = self._protocol
        if not protocol.may_send(request):
            return 0
        cost = protocol.send_item(request, item)
        self._gathered += cost
        if self._gathered >= _GATHERED:
            self._flush()
        else:
            self._flush_soon()
        if not cost:
            self._advance()
        return cost

    def take(self, request: Request) -> Item | None:
        """The next item of an upload; None where none is there."""
        protocol = self._protocol
        item = protocol.take(request)
        if protocol.out:  # credit
            self._flush_soon()
        return item

    def fail(self, request: Request, why: Refused) -> None:
        """The request cannot be answered, whatever its handler says."""
        self._protocol.fail_exchange(request, why)
        self._flush_soon()

    # -- sending ---------------------------------------------------------------------------------------------------

    @property
    def _flush_comes(self) -> bool:
        """Whether what is to be sent will be, without anything more being done."""
        return self._receiving or self._flush_queued

    def _flush_soon(self) -> None:
        """Send what this loop iteration gives to send, at its end, with the write batch."""
        if not self._flush_comes:
            self._shared.batch.add(self._flush_batch)
            self._flush_queued = True

    def _flush_batch(self) -> None:
        self._flush_queued = False
        try:
            self._flush()
        except BaseException:
            self.abort()  # of what was to be sent nobody knows how much was
            raise

    def _flush(self) -> None:
        protocol = self._protocol
        pieces = protocol.out
        if pieces:
            protocol.out = []
            self._gathered = 0
            before = self.sent
            self.write(pieces)
            self._shared.counters.bytes_sent += self.sent - before
            self._sent(clock.monotonic())
            if protocol.events or protocol.out or protocol.starts_more:
                self._advance()
        if protocol.ending:
            self._begin_close(idle=self._draining and not pieces and protocol.timer.wait is Wait.IDLE)

    def _sent(self, now: float) -> None:
        """Tell the protocol how much is sent, and the runner whether the peer takes its answers."""
        protocol = self._protocol
        protocol.sent(now, self.unsent)
        if protocol.takes_answers is self._paused and self.transport is not None:
            self._paused = not self._paused
            (self._shared.runner.pause if self._paused else self._shared.runner.resume)(self)

    def on_time(self, now: float) -> None:
        if self._closing_since is None:
            self._sent(now)
            self._protocol.tick(now)
            self._advance()
            return
        limits = self.limits
        over = min(self._quiet_since + limits.linger_quiet_seconds, self._closing_since + limits.linger_seconds)
        if now >= over:
            self._close()
        else:
            self.wake_at(over)

    # -- ends ------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Answer what was accepted, then close."""
        self._draining = True
        self._protocol.drain(clock.monotonic())
        self._advance()

    def cut_off(self) -> None:
        """Answer what is open with ``cancelled``, then close."""
        self._protocol.cut_off()
        self._advance()

    def write_timed_out(self) -> None:
        shared, unsent = self._shared, self.unsent
        super().write_timed_out()
        shared.counters.stalled += 1
        shared.log.say(
            logging.WARNING, "peer-stalled", "cut the connection of %s: it took too little, with %d bytes unsent",
            self.caller, unsent, peer=self.caller, unsent=unsent,
        )  # fmt: skip

    def abort(self) -> None:
        """Close at once; what is not sent is lost."""
        if self.transport is not None:
            self.transport.abort()

    def _begin_close(self, *, idle: bool) -> None:
        """Shut our sending side, then read and drop for a while: a reset must not overtake the last reply.

        Where the server ends while the connection idles, the peer has been quiet already since the last reply.
        """
        if self._closing_since is not None or self.transport is None:
            return
        self._closing_since = self._quiet_since = now = clock.monotonic()
        if idle and not self.transport.get_write_buffer_size():
            self._quiet_since = self._protocol.timer.last
        quiet_enough = now >= self._quiet_since + self.limits.linger_quiet_seconds
        if self._peer_ended or quiet_enough or not self.transport.can_write_eof():
            self._close()
            return
        self.read_on()
        try:
            self.transport.write_eof()
        except OSError:  # the peer is gone already
            self._close()
            return
        self.wake_at(self._quiet_since + self.limits.linger_quiet_seconds)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.close()

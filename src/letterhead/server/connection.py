"""One connection of a server: a responder on a pipe, its requests on a runner, and the lingering close."""

import asyncio
import logging

from letterhead import clock
from letterhead.content.encoded import Encoded
from letterhead.errors import Refused
from letterhead.protocol.flow import Item, Items, Room
from letterhead.protocol.requests import Request, Stop
from letterhead.protocol.server import ServerProtocol
from letterhead.protocol.timers import Wait
from letterhead.server.shared import Shared
from letterhead.transport.stream import SCRATCH, StreamProtocol

_GATHERED = 64 * 1024
"""Bytes of items that are sent before the turn of the loop is over."""


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
        self._responder = ServerProtocol(
            app.limits, clock.monotonic(), shared.headers, shared.budget, shared.counters, app.compression
        )
        self._direct = False  # the bytes being read go into large content's own buffer
        self._queued = False  # a flush is queued
        self._gathered = 0  # bytes of items in ``out``
        self._moving = False  # events are being handed out: what they bring about is seen to behind them
        self._resting = False  # the loop has a turn before more is read
        self._draining = False
        self._peer_ended = False
        self._closing_since: float | None = None
        self._quiet_since = 0.0

    # -- transport → conversation ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._shared.joined(self, turned_away=self._rejected is not None)
        if self._rejected is not None:
            self._responder.fail(self._rejected)
        self._turn()

    def get_buffer(self, sizehint: int) -> memoryview:
        own = self._responder.buffer()
        self._direct = own is not None
        return self.scratch if own is None else own

    def buffer_updated(self, nbytes: int) -> None:
        now = clock.monotonic()
        self._shared.counters.bytes_received += nbytes
        if self._closing_since is not None:
            self._quiet_since = now
            return
        # What this read brings about is sent when it is worked off, with one write.
        queued, self._queued = self._queued, True
        try:
            if self._direct:
                self._responder.filled(nbytes, now)
            else:
                self._responder.receive(bytes(self.scratch[:nbytes]), now)
            self._turn()
        finally:
            self._queued = queued
        self._flush()
        if nbytes == SCRATCH and self._responder.buffer() is None:  # large content costs nothing to read
            self._rest()

    def eof_received(self) -> bool:
        self._peer_ended = True
        if self._closing_since is not None:
            self._close()
        else:
            self._responder.end_of_stream(clock.monotonic())
            self._turn()
        return True  # the transport stays open: what was accepted is still answered

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if exc is not None:
            self._shared.counters.lost += 1
        self._responder.lost()
        try:
            self._take_events()
        finally:
            self._shared.left(self)

    def pause_writing(self) -> None:
        self._responder.congested = True
        super().pause_writing()

    def resume_writing(self) -> None:
        self._responder.congested = False
        super().resume_writing()
        self._responder.proceed(clock.monotonic())
        self._turn()

    def wants_to_read(self) -> bool:
        return self._responder.reads and not self._resting

    def reading_changed(self, reading: bool) -> None:
        if reading:
            self._responder.resume(clock.monotonic())
            self.wake_at(self._responder.due)  # the timer may have passed meanwhile
        else:
            self._responder.patience.pause(clock.monotonic())

    def _rest(self) -> None:
        """Read no more in this turn of the loop: uvloop reads up to 32 times while more is there, and others wait.

        How long a read takes to be worked off cannot be seen here: handlers may begin later.
        """
        self._resting = True
        self.update_reading()
        asyncio.get_running_loop().call_soon(self._rested)

    def _rested(self) -> None:
        self._resting = False
        self.update_reading()

    # -- the conversation's wishes ---------------------------------------------------------------------------------

    def _turn(self) -> None:
        """The conversation moved: hand out its events, send what it said, keep its time."""
        responder = self._responder
        if responder.events:
            self._moving = True
            try:
                self._take_events()
            finally:
                self._moving = False
        if responder.out or responder.ending:
            self._flush_soon()
        if not self.reading or responder.classic:
            self.update_reading()
        if responder.due < self.wakes_at:
            self.wake_at(responder.due)

    def _take_events(self) -> None:
        responder, runner = self._responder, self._shared.runner
        while responder.events:
            events, responder.events = responder.events, []
            for event in events:
                if isinstance(event, Request):
                    runner.start(event, self)
                elif isinstance(event, Stop):
                    runner.stop(event.request)
                elif isinstance(event, Items):
                    runner.items(event.exchange)
                elif isinstance(event, Room):
                    runner.room(event.exchange)
                else:
                    self._say_closed(event.error)

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
        """The answer to a request of which something still runs; ``finish`` is to follow."""
        self._responder.answer(request, outcome, clock.monotonic())
        self._flush_soon()

    def finish(self, request: Request, outcome: Encoded | Refused | None) -> None:
        """Nothing of a request runs any more; its answer, where it has none yet."""
        responder = self._responder
        responder.finish(request, outcome, clock.monotonic())
        if self._shared.awaited:
            self._shared.look()
        if not self._moving and (not self._queued or responder.events or not self.reading):
            self._turn()

    def streams(self, request: Request) -> None:
        """Its answer is a stream; raises what ``ServerProtocol.streams`` does."""
        self._responder.streams(request)

    def unpacked(self, request: Request, content: bytes) -> None:
        """Its content was decompressed."""
        self._responder.unpacked(request, content)

    def send_item(self, request: Request, item: Encoded) -> int:
        """Send an item of a result: how many bytes that took; 0 where it may not be sent before there is room."""
        responder = self._responder
        if not responder.may_send(request):
            return 0
        cost = responder.send_item(request, item)
        self._gathered += cost
        if self._gathered >= _GATHERED:
            self._flush()
        elif not self._queued:
            self._flush_soon()
        return cost

    def take(self, request: Request) -> Item | None:
        """The next item of an upload; None where none is there."""
        responder = self._responder
        item = responder.take(request)
        if responder.out and not self._queued:  # credit
            self._flush_soon()
        return item

    def fail(self, request: Request, why: Refused) -> None:
        """The request cannot be answered, whatever its handler says."""
        self._responder.fail_exchange(request, why)
        self._flush_soon()

    # -- sending ---------------------------------------------------------------------------------------------------

    def _flush_soon(self) -> None:
        """Send at the end of this turn what it gives to send."""
        if not self._queued:
            self._queued = True
            self._shared.batch.add(self._flush_batch)

    def _flush_batch(self) -> None:
        self._queued = False
        try:
            if self._responder.events:  # an item could not be sent
                self._turn()
            self._flush()
        except BaseException:
            self.abort()  # of what was to be sent nobody knows how much was: other connections go on
            raise

    def _flush(self) -> None:
        responder = self._responder
        pieces = responder.out
        if pieces:
            responder.out = []
            self._gathered = 0
            before = self.sent
            self.write(pieces)
            self._shared.counters.bytes_sent += self.sent - before
            self._proceed()
        if responder.ending:
            self._begin_close(idle=self._draining and not pieces and responder.patience.wait is Wait.NEXT)

    def _proceed(self) -> None:
        """A classic connection's next request may have waited for the last answers to be taken."""
        if self._responder.classic and not self._responder.congested:
            self._responder.proceed(clock.monotonic())
            self._turn()

    def on_time(self, now: float) -> None:
        if self._closing_since is None:
            self._responder.tick(now)
            self._turn()
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
        self._responder.drain(clock.monotonic())
        self._turn()

    def cut_off(self) -> None:
        """Answer what is open with ``cancelled``, then close."""
        self._responder.cut_off()
        self._turn()

    def write_timed_out(self) -> None:
        shared, unsent = self._shared, self.unsent
        super().write_timed_out()
        shared.counters.stalled += 1
        shared.log.say(
            logging.WARNING, "peer-stalled", "cut the connection of %s: it took nothing for %g s, with %d bytes unsent",
            self.caller, self.limits.write_seconds, unsent, peer=self.caller, unsent=unsent,
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
            self._quiet_since = self._responder.patience.last
        quiet_enough = now >= self._quiet_since + self.limits.linger_quiet_seconds
        if self._peer_ended or quiet_enough or not self.transport.can_write_eof():
            self._close()
            return
        if not self.reading:
            self.reading = True
            self.transport.resume_reading()
        try:
            self.transport.write_eof()
        except OSError:  # the peer is gone already
            self._close()
            return
        self.wake_at(self._quiet_since + self.limits.linger_quiet_seconds)

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.close()

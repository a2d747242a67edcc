"""One connection of the async client: a requester on a pipe.

It reads always. Unsent bytes above the high mark hold up uploads, and nothing else: if they stopped both sides from
reading, each would wait for the other.
"""

import asyncio
from typing import Protocol

from letterhead import clock
from letterhead.client.keepalive import NEVER, Liveness, Sign
from letterhead.content.encoded import Encoded
from letterhead.errors import ConnectionFailed
from letterhead.protocol.calls import Call
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.events import Readable
from letterhead.protocol.retry import Elsewhere
from letterhead.protocol.states import Phase
from letterhead.transport import address as addresses
from letterhead.transport.stream import StreamProtocol, WriteBatch


class Owner(Protocol):
    """What a connection tells its client."""

    def learnt(self, connection: "ClientConnection") -> None:
        """A server was found to multiplex."""

    def handed_back(self, back: Elsewhere, connection: "ClientConnection") -> None:
        """Calls that were not answered on this connection."""

    def left(self, connection: "ClientConnection") -> None:
        """A connection is gone."""


class ClientConnection(StreamProtocol):
    """A requester on a pipe.

    Attributes:
        requester: the conversation.
        closed: done once the connection is gone.
        parted: the owner knows that it has ended.
    """

    def __init__(self, owner: Owner, requester: ClientProtocol, batch: WriteBatch, *, keep_alive: bool) -> None:
        super().__init__(requester.limits)
        self.requester = requester
        self.parted = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._batch = batch
        self._direct = False
        self._queued = False
        self._multiplexed = False
        self._heard = 0.0  # when bytes came last
        self._keep_alive = keep_alive
        self._liveness = Liveness(requester.limits.ping_after_seconds, requester.limits.ping_wait_seconds)

    @property
    def is_open(self) -> bool:
        """Whether it was made and is not gone."""
        return self.transport is not None

    def submit(self, call: Call) -> None:
        """Send a call here, or keep it until it may be sent."""
        call.home = self
        if self._liveness.due == NEVER:
            self._expect()
        self.requester.submit(call)
        self._send_soon()
        if self.requester.events:  # also where it superseded another
            self._moved()

    def learn(self) -> None:
        """Ask what the server offers."""
        self.requester.learn()
        self._send_soon()

    def cancel(self, call: Call, *, late: bool) -> None:
        """The caller of this call does not wait any longer; ``late`` says that its time is over."""
        self.requester.cancel(call, late=late)
        self._moved()

    def give_back(self, call: Call) -> None:
        """Credit is due for the items that were taken of its result."""
        self.requester.give_back(call)
        self._moved()

    def send_item(self, call: Call, item: Encoded) -> int:
        """Send an item of its upload; how many bytes that took."""
        cost = self.requester.send_item(call, item)
        self._send_soon()
        return cost

    def end_upload(self, call: Call) -> None:
        """No more items will come."""
        self.requester.end_upload(call)
        self._send_soon()

    def flush(self) -> None:
        """Send now what would be sent at the end of this turn, so that the pipe can say whether it takes more."""
        requester = self.requester
        if requester.out:
            pieces, requester.out = requester.out, []
            self.write(pieces)

    def close(self, error: ConnectionFailed) -> None:
        """End the connection: what is open fails with ``error``."""
        self.requester.lost(error)
        self._moved()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)

    def pause_writing(self) -> None:
        self.requester.congested = True

    def resume_writing(self) -> None:
        self.requester.relieved()
        self._moved()

    def get_buffer(self, sizehint: int) -> memoryview:
        own = self.requester.buffer()
        self._direct = own is not None
        return self.scratch if own is None else own

    def buffer_updated(self, nbytes: int) -> None:
        self._heard = clock.monotonic()
        if self._direct:
            self.requester.filled(nbytes)
        else:
            self.requester.receive(bytes(self.scratch[:nbytes]))
        self._moved()

    def eof_received(self) -> bool:
        self.requester.end_of_stream()
        self._moved()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if exc is None:
            self.requester.end_of_stream()
        else:
            self.requester.end_of_stream(addresses.how_it_broke(exc))
        self._moved()
        self._owner.left(self)
        if not self.closed.done():
            self.closed.set_result(None)

    def on_time(self, now: float) -> None:
        if now >= self._liveness.due:
            self._look(now)
        self._moved()
        self.wake_at(self._liveness.due)

    def _expect(self) -> None:
        """Something is expected from now on."""
        self._liveness.expect(clock.monotonic())
        self.wake_at(self._liveness.due)

    def _look(self, now: float) -> None:
        """Nothing may have come for long: is the server there?"""
        requester, liveness = self.requester, self._liveness
        if requester.phase is Phase.PROBING or requester.leaving:
            # Nothing may be asked: a classic server may take its time, and one that leaves takes no more requests.
            liveness.expect(now)
            return
        sign = liveness.look(now, self._heard, requester.busy or self._keep_alive)
        if sign is Sign.ASK:
            requester.ping()
        elif sign is Sign.GONE:
            requester.end_of_stream(f"gave no sign of life for {liveness.patience:g} s; the connection was given up")

    def write_timed_out(self) -> None:
        seconds = self.limits.write_seconds
        self.requester.end_of_stream(f"took nothing of what was sent for {seconds:g} s; the connection was closed")
        self._moved()

    def _moved(self) -> None:
        requester = self.requester
        while requester.events:
            events, requester.events = requester.events, []
            for event in events:
                if isinstance(event, Elsewhere):
                    self._owner.handed_back(event, self)
                    continue
                if isinstance(event, Call):
                    tell(event)
                else:
                    call = event.exchange
                    _wake(call.waiter if isinstance(event, Readable) else call.sender)
        if not self._multiplexed and requester.phase is Phase.MULTIPLEXED:
            self._multiplexed = True
            self._owner.learnt(self)
        if requester.withholds:
            requester.tick(clock.monotonic())
            if requester.withholds:
                self.wake_at(requester.due)
        self._send_soon()
        if requester.ended and self.transport is not None:
            self.transport.abort()  # what is unsent is for nobody: an upload that was refused, or given up

    def _send_soon(self) -> None:
        if self.requester.out and not self._queued:
            self._batch.add(self._flush_batch)
            self._queued = True

    def _flush_batch(self) -> None:
        self._queued = False
        self.flush()


def tell(call: Call) -> None:
    """It has ended: wake whoever waits for that."""
    _wake(call.waiter)
    if call.sender is not None:
        _wake(call.sender)
    if call.on_end is not None:
        call.on_end(call)


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)

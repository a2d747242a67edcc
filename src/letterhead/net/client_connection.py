"""One connection of the async client: a requester on a pipe."""

import asyncio
from typing import Protocol

from letterhead.errors import ConnectionFailed
from letterhead.exchange.asking import Elsewhere, Phase
from letterhead.exchange.calls import Call
from letterhead.exchange.requester import Requester
from letterhead.net import address as addresses
from letterhead.net.connection import Pipe, Turn


class Owner(Protocol):
    """What a connection tells its client."""

    def joined(self, connection: "ClientConnection") -> None:
        """A connection was made."""

    def learnt(self, connection: "ClientConnection") -> None:
        """A server was found to multiplex."""

    def handed_back(self, back: Elsewhere, connection: "ClientConnection") -> None:
        """Calls that were not written on a connection that has ended."""

    def left(self, connection: "ClientConnection") -> None:
        """A connection is gone."""


class ClientConnection(Pipe):
    """A requester on a pipe."""

    def __init__(self, owner: Owner, requester: Requester, turn: Turn) -> None:
        super().__init__(requester.limits)
        self.requester = requester
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._turn = turn
        self._direct = False
        self._queued = False
        self._multiplexed = False

    def submit(self, call: Call) -> None:
        """Send a call here, or keep it until it may be sent."""
        call.home = self
        self.requester.submit(call)
        if not self._queued and self.requester.out:
            self._queued = True
            self._turn.add(self._flush)
        if self.requester.events:
            self._moved()

    def cancel(self, call: Call, *, late: bool) -> None:
        """The caller of this call does not wait any longer; ``late`` says that its time is over."""
        self.requester.cancel(call, late=late)
        self._moved()

    def close(self, error: ConnectionFailed) -> None:
        """End the connection: what is open fails with ``error``."""
        self.requester.lost(error)
        self._moved()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(sock, "setsockopt"):
            addresses.tune(sock, self.limits)
        self._owner.joined(self)

    def pause_writing(self) -> None:
        """A client reads always: if unsent bytes stopped both sides from reading, each would wait for the other."""

    def resume_writing(self) -> None:
        """As above."""

    def get_buffer(self, sizehint: int) -> memoryview:
        own = self.requester.buffer()
        self._direct = own is not None
        return self._scratch if own is None else own

    def buffer_updated(self, nbytes: int) -> None:
        if self._direct:
            self.requester.filled(nbytes)
        else:
            self.requester.receive(bytes(self._scratch[:nbytes]))
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

    def stalled(self) -> None:
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
                waiter = event.waiter if isinstance(event, Call) else event.exchange.waiter
                if waiter is not None and not waiter.done():
                    waiter.set_result(None)
        if not self._multiplexed and requester.phase is Phase.MULTIPLEXED:
            self._multiplexed = True
            self._owner.learnt(self)
        if requester.out and not self._queued:
            self._queued = True
            self._turn.add(self._flush)
        if requester.ended and self._transport is not None:
            self._transport.abort()  # what is unsent is for nobody: an upload that was refused, or given up

    def _flush(self) -> None:
        self._queued = False
        requester = self.requester
        if requester.out:
            pieces, requester.out = requester.out, []
            self.write(pieces)

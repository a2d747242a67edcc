"""Two transports with a network between them that may be bad: what one receives, the other sends, by a ``Line``.

Here is the only place that moves bytes through faults, for pipes in memory and for sockets alike. It decides nothing:
it asks the line what passes, when, and whom to read. A side that takes nothing more is not sent more, then the line
fills, then the other side is not read. Neither the client nor the server is known here, nor what their bytes mean.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from letterhead.testing.faults import NEVER, Line, Mark, Passage
from letterhead.transport.stream import scratch

_WRITE_HIGH = 64 * 1024


class Relay:
    """One connection through a network.

    Args:
        line: decides.
        reset: resets a transport.
        told: what was done to it, as a sentence, each thing once.

    Attributes:
        client: the protocol of the transport that leads to the client.
        server: the one of that to the server.
        ended: done once neither has a transport any more.
        is_cut: both sides are reset.
    """

    def __init__(self, line: Line, reset: Callable[[asyncio.Transport], None], told: Callable[[str], None]) -> None:
        self.line = line
        self.told = told
        self.reset = reset
        self.client = Side(self, line.to_server)
        self.server = Side(self, line.to_client)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_cut = False
        self._told_stall = self._told_vanished = False

    def moved(self) -> None:
        """The line's faults have changed, or it was parted or joined again."""
        self.client.pump()
        self.server.pump()

    def cut(self) -> None:
        """Reset both sides, also one that is still to come."""
        self.is_cut = True
        for side in (self.client, self.server):
            if side.transport is not None:
                self.reset(side.transport)

    def give_up(self) -> None:
        """A side cannot be had: reset the other, if that is there."""
        for side in (self.client, self.server):
            side.gone = side.gone or side.transport is None
        self.cut()
        self.over()

    def over(self) -> None:
        """Both streams have ended, or a side is gone: close what is open and has nothing more to get."""
        if self.client.finished and self.server.finished:
            for side in (self.client, self.server):
                if side.transport is not None:
                    side.transport.close()
        if self.client.gone and self.server.gone and not self.ended.done():
            self.ended.set_result(None)

    def notice(self) -> None:
        """Say once that something stands still, or that all is swallowed from now on."""
        if self.line.stalled and not self._told_stall:
            self._told_stall = True
            self.told("stalled")
        if self.line.vanished and not self._told_vanished:
            self._told_vanished = True
            self.told("half open")
            self.client.update_reading()
            self.server.update_reading()


class Side(asyncio.BufferedProtocol):
    """One of the two transports.

    Attributes:
        passage: where goes what is received here.
        gone: its transport has been and is no more.
        finished: it has been told the end of its stream.
    """

    def __init__(self, relay: Relay, passage: Passage) -> None:
        self.passage = passage
        self.transport: asyncio.Transport | None = None
        self.gone = False
        self.finished = False
        self._relay = relay
        self._loop = asyncio.get_running_loop()
        self._scratch = scratch()
        self._writable = False
        self._reading = True
        self._heard_end = False
        self._next: asyncio.TimerHandle | None = None
        self._waits_for_loop = False

    @property
    def other(self) -> "Side":
        """The side that gets what is received here."""
        return self._relay.server if self is self._relay.client else self._relay.client

    # -- transport → passage ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have asyncio's interface without being its subclasses.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=_WRITE_HIGH)
        self._writable = True
        if self._relay.is_cut:
            self._relay.cut()
        self.other.pump()  # what came before for this side

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        self.passage.put(bytes(self._scratch[:nbytes]), self._loop.time())
        self.pump()

    def eof_received(self) -> bool:
        self._heard_end = True
        self.passage.end(self._loop.time())
        self.pump()
        return True  # the other direction goes on

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self.other.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.gone = True
        self._writable = False
        self.other.passage.drop()
        if exc is not None or not self._heard_end:
            self.passage.break_off(self._loop.time())
        self.other.pump()
        self.pump()
        self._relay.over()

    # -- passage → the other side ----------------------------------------------------------------------------------

    def pump(self) -> None:
        """Hand on what may pass now, and see that the rest does when it may."""
        if self._waits_for_loop:
            return
        if self._next is not None:
            self._next.cancel()
            self._next = None
        passage, to = self.passage, self.other
        while (transport := to._taking()) is not None:
            what = passage.take(self._loop.time())
            if isinstance(what, bytes):
                transport.write(what)
                if passage.faults.single_bytes:
                    break
            elif what is None:
                break
            elif not self._hand_on(what, transport):
                return
        self.update_reading()
        self._relay.notice()
        due = passage.due
        if due == NEVER or to._taking() is None:
            return
        if due > self._loop.time():
            self._next = self._loop.call_at(due, self.pump)
        else:
            self._waits_for_loop = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """After a loop iteration, in which the other side could read its byte."""
        self._waits_for_loop = False
        self.pump()

    def _taking(self) -> asyncio.Transport | None:
        """The other side's transport, as long as that takes what is written."""
        transport = self.transport
        return transport if self._writable and transport is not None and not transport.is_closing() else None

    def _hand_on(self, mark: Mark, transport: asyncio.Transport) -> bool:
        """Do to the other side's transport what a mark says; whether the connection goes on."""
        if mark is Mark.END:
            self.other.finished = True
            try:
                transport.write_eof()
            except OSError:  # that side is gone, and will say so
                self._relay.cut()
                return False
            self._relay.over()
            return True
        if mark is Mark.CUT:
            self._relay.told("reset")
        self._relay.cut()
        return False

    def update_reading(self) -> None:
        """Read this side as long as the passage takes bytes."""
        transport = self.transport
        if transport is None or transport.is_closing() or self.passage.reads is self._reading:
            return
        self._reading = self.passage.reads
        if self._reading:
            transport.resume_reading()
        else:
            transport.pause_reading()

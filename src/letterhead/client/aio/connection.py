"""One connection of the async client: an asyncio protocol between a transport and the client's core.

It reads always. Unsent bytes above the high mark hold up uploads, and nothing else: if they stopped both sides from
reading, each would wait for the other.

What bytes mean is not known here, nor which call they belong to.
"""

import asyncio
import contextlib
import contextvars
import socket
from asyncio.trsock import TransportSocket
from typing import Protocol

from letterhead import clock
from letterhead.client.calls import Call
from letterhead.client.connection import Connection
from letterhead.client.core import ClientCore, Dial
from letterhead.limits import Limits
from letterhead.transport import address as addresses
from letterhead.transport.stream import StreamProtocol, WriteBatch

AioCall = Call["asyncio.Future[None]", "ClientConnection"]
AioConnection = Connection[AioCall, "ClientConnection"]
AioCore = ClientCore["asyncio.Future[None]", "ClientConnection"]
AioDial = Dial["asyncio.Future[None]", "ClientConnection"]


class Owner(Protocol):
    """The client's engine, as its connections, streams and uploads know it."""

    core: AioCore

    def handle(self) -> None:
        """Do what the core's events ask for."""

    def leave(self, call: AioCall) -> None:
        """Nobody wants the rest of a call."""


class ClientConnection(StreamProtocol):
    """The client's end of one connection.

    Args:
        owner: the client.
        dial: what asked for it.
        limits: bounds on unsent bytes.
        batch: collects the connections that have something to send.

    Attributes:
        connection: what the core knows of it; None until it is made.
        closed: done once it is gone, or will never be made.
    """

    def __init__(self, owner: Owner, dial: AioDial, limits: Limits, batch: WriteBatch) -> None:
        super().__init__(limits)
        self.connection: AioConnection | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._dial = dial
        self._batch = batch
        self._direct = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        owner = self._owner
        self.connection = owner.core.connected(self._dial, self, clock.monotonic())
        owner.handle()

    def pause_writing(self) -> None:
        if self.connection is not None:
            self._owner.core.pause_writing(self.connection)

    def resume_writing(self) -> None:
        if self.connection is not None:
            self._owner.core.resume_writing(self.connection, clock.monotonic())
            self._owner.handle()

    def get_buffer(self, sizehint: int) -> memoryview:
        own = None if self.connection is None else self.connection.protocol.buffer()
        self._direct = own is not None
        return self.scratch if own is None else own

    def buffer_updated(self, nbytes: int) -> None:
        connection, owner = self.connection, self._owner
        if connection is None:
            return
        if self._direct:
            owner.core.filled(connection, nbytes, clock.monotonic())
        else:
            owner.core.received(connection, bytes(self.scratch[:nbytes]), clock.monotonic())
        owner.handle()

    def eof_received(self) -> bool:
        self._over("closed the connection")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._over("closed the connection" if exc is None else addresses.how_it_broke(exc))
        if not self.closed.done():
            self.closed.set_result(None)

    def write_timed_out(self) -> None:
        if self.connection is not None:
            self._owner.core.stalled(self.connection, clock.monotonic())
            self._owner.handle()

    def _over(self, how: str) -> None:
        if self.connection is not None:
            self._owner.core.closed(self.connection, how, clock.monotonic())
            self._owner.handle()

    def send_soon(self) -> None:
        """Send what there is to send at the end of this loop iteration."""
        self._batch.add(self.flush)

    def flush(self) -> None:
        """Send it now, so that the transport can say whether it takes more."""
        if self.connection is not None:
            protocol = self.connection.protocol
            if protocol.out:
                pieces, protocol.out = protocol.out, []
                self.write(pieces)

    def abort(self) -> None:
        """Close at once; what is unsent is for nobody."""
        if self.transport is not None:
            # Not within ``connection_made``: uvloop would then leave the socket to the collector.
            asyncio.get_running_loop().call_soon(self.transport.abort, context=contextvars.Context())
        elif not self.closed.done():
            self.closed.set_result(None)

    def hang_up(self) -> None:
        """The loop was closed: tell the peer, which uvloop has done already, and asyncio leaves to the collector."""
        sock = None if self.transport is None else self.transport.get_extra_info("socket")
        if isinstance(sock, TransportSocket):
            with contextlib.suppress(OSError):  # it was not connected any more
                sock.shutdown(socket.SHUT_RDWR)

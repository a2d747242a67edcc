"""The server: listening sockets, an accept loop of its own, an orderly end.

Accepting is not left to the event loop: on a full descriptor table asyncio logs and tries again without end, and
uvloop says nothing at all. Here accepting rests for a moment, is said once, and goes on.

What is said on a connection is not known here, nor how handlers run.
"""

import asyncio
import contextvars
import logging
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from letterhead.app.context import SERVING
from letterhead.app.hooks import run_hooks
from letterhead.app.service import Service
from letterhead.errors import TooMany, Unavailable, UsageError
from letterhead.log import say
from letterhead.server.connection import ServerConnection
from letterhead.server.shared import Shared
from letterhead.server.shutdown import Leaving, arrived_bytes_are_read, take
from letterhead.transport import address as addresses
from letterhead.transport.address import Listener
from letterhead.transport.listen import OUT_OF_RESOURCES, REST_SECONDS, Listeners, most_connections

log = logging.getLogger("letterhead.server")

_AT_ONCE = 128
_REFUSED_AT_ONCE = 64


class Server:
    """A running server; use it as an async context manager, or ``start`` and ``close`` it.

    Attributes:
        addresses: where it listens, as a client would write it (the real port where 0 was asked for).
    """

    def __init__(self, app: Service, where: Sequence[str]) -> None:
        self.app = app
        self._where = [addresses.parse(text) for text in where]
        self._listeners = Listeners(log, "whoever reaches it may call every action")
        self.addresses = self._listeners.addresses
        self._shared: Shared | None = None
        self._leaving: Leaving | None = None
        self._adopting: set[asyncio.Task[None]] = set()
        self._most = 0
        self._resting = False
        self._rest_ends: asyncio.TimerHandle | None = None
        self._said_full = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(None if error is None else 0.0)

    async def start(self) -> None:
        """Listen, run the start hooks, accept.

        Raises:
            ListenFailed: an address cannot be listened at; the sentence says what to do.
            UsageError: it runs already, or an action's ``run="process"`` lacks its extra.
            Exception: whatever a start hook raises.
        """
        if self._shared is not None:
            raise UsageError("this server is running already")
        limits = self.app.limits
        try:
            self._listeners.open(self._where, limits)
            shared = Shared(self.app)
            try:
                await run_hooks(self.app.start_hooks)
                contextvars.Context().run(self._accept_again)  # it may be a handler that starts the server
            except BaseException:
                self._close_listeners()
                await shared.runner.close()
                raise
        except BaseException:
            self._close_listeners()
            raise
        self._most = most_connections(limits)
        self._shared = shared
        self._leaving = Leaving(shared, self._stop_accepting, self._abandon, self._ended)
        SERVING.append(asyncio.get_running_loop())

    # -- accepting -------------------------------------------------------------------------------------------------

    def _accept_again(self) -> None:
        self._resting = False
        loop = asyncio.get_running_loop()
        for listener in self._listeners.listeners:
            for sock in listener.sockets:
                loop.add_reader(sock.fileno(), self._accept, listener, sock)

    def _accept(self, listener: Listener, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, name = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in OUT_OF_RESOURCES:
                    why = error.strerror or str(error)
                    say(log, logging.ERROR, "accept-failed", "a connection could not be accepted: %s", why, reason=why)
                    return
                self._rest(error)
                return
            self._said_full = False
            connection = self._welcome(addresses.of_peer(name))
            if connection is None:
                sock.close()
                continue
            # A context of its own: it may be a handler that closes the server, and so makes it accept a last time.
            task = asyncio.get_running_loop().create_task(
                self._adopt(listener, sock, connection), context=contextvars.Context()
            )
            self._adopting.add(task)
            task.add_done_callback(self._adopting.discard)

    def _rest(self, error: OSError) -> None:
        """Descriptors or memory ran out: stop accepting for a moment; what waits stays in the kernel's queue."""
        if self._resting:
            return
        loop = asyncio.get_running_loop()
        for listener in self._listeners.sockets:
            loop.remove_reader(listener.fileno())
        self._rest_ends = loop.call_later(REST_SECONDS, self._accept_again)
        self._resting = True
        if not self._said_full:
            self._said_full = True
            why = error.strerror or str(error)
            say(
                log, logging.ERROR, "accept-resting",
                "no more connections for the moment: %s; raise the limit on open files", why, reason=why,
            )  # fmt: skip

    # -- letting in ------------------------------------------------------------------------------------------------

    def attach(self, transport: asyncio.Transport, peer: str) -> None:
        """Serve a peer that comes by another way than the server's addresses.

        The connection counts like an accepted one, and the same limits hold for it. Where the server has as many as it
        may, the peer is told so, and the connection is closed.

        This is called on the server's event loop. From then on the transport is the server's: it is given its protocol
        by ``set_protocol``, and that is told ``connection_made``. The protocol is an ``asyncio.BufferedProtocol``; a
        transport that has bytes in its own hands may give them to its ``data_received`` instead. What came before is
        lost to the server, so call this before anything is read, such as in the ``connection_made`` of the protocol
        that the transport was made with.

        Args:
            transport: leads to the peer: asyncio's and uvloop's own, or any other that does the same.
            peer: its name in logs and in ``letterhead.current().caller``.

        Raises:
            UsageError: the server does not run.
            Unavailable: the server is leaving.
            Exception: what the transport raises; it is aborted then.
        """
        shared = self.shared
        if shared.runner.draining:
            raise Unavailable("the server is going away")
        connection = self._welcome(peer)
        if connection is None:
            transport.abort()
            return
        try:
            contextvars.Context().run(_put_on, transport, connection)
        except BaseException:
            transport.abort()
            raise
        finally:
            shared.never_joined(connection)

    def _welcome(self, peer: str) -> ServerConnection | None:
        """A conversation for a peer that has come, if only to say why it is turned away; None if not even that."""
        shared = self.shared
        shared.counters.accepted += 1
        refused = None
        if shared.kept >= self._most:
            shared.counters.turned_away += 1
            if len(shared.turned_away) >= _REFUSED_AT_ONCE:
                return None
            refused = TooMany("the server has as many connections as it may; try again", limit=self._most)
        connection = ServerConnection(shared, peer, refused)
        shared.arrives(connection, turned_away=refused is not None)
        return connection

    async def _adopt(self, listener: Listener, sock: socket.socket, connection: ServerConnection) -> None:
        """Put a conversation on an accepted socket."""
        shared = self.shared
        try:
            async with asyncio.timeout(self.app.limits.first_byte_seconds):
                await listener.adopt(sock, connection)
            if shared.runner.draining:  # it may not have been there when the others were told
                await arrived_bytes_are_read()
                take(connection, connection.drain)
        except OSError:
            pass  # it went away before it could be looked at, or is no peer of this transport
        except Exception as error:
            say(
                log, logging.ERROR, "accept-failed", "a connection could not be accepted: %s", addresses.reason(error),
                reason=addresses.reason(error), exc_info=error,
            )  # fmt: skip
        finally:
            if connection in shared.arriving:
                sock.close()
            shared.never_joined(connection)

    @property
    def shared(self) -> Shared:
        """What the connections share.

        Raises:
            UsageError: the server is not running.
        """
        if self._shared is None:
            raise UsageError("this server is not running")
        return self._shared

    # -- the end ---------------------------------------------------------------------------------------------------

    async def drain(self, timeout: float | None = None) -> bool:
        """Stop accepting, tell the clients, and wait until all that was accepted is answered.

        Nothing is cancelled, also when the time is over; ``close`` does that. Handlers see that the server leaves by
        ``letterhead.current().draining``. It may be called several times, and together with ``close``.

        Args:
            timeout: seconds to wait at most; default ``Limits.drain_seconds``.

        Returns:
            Whether everything has ended: nobody is connected, and no handler runs.
        """
        if self._leaving is None:
            return True
        return await self._leaving.drain(self.app.limits.drain_seconds if timeout is None else timeout)

    async def close(self, timeout: float | None = None) -> None:
        """Drain, cancel what is open then, and end; the stop hooks run last.

        What is cancelled is answered ``cancelled``, and has ``Limits.drain_cancel_seconds`` to end before its
        connection is cut. Calls at the same time share one end, and the shortest of their times counts. One whose
        waiting is cancelled does not keep it from going on.

        Args:
            timeout: seconds until what is still open is cancelled; default ``Limits.drain_seconds``.

        Raises:
            Exception: what a stop hook raised; an ExceptionGroup where several did.
        """
        if self._leaving is not None:
            await self._leaving.close(self.app.limits.drain_seconds if timeout is None else timeout)

    def _ended(self) -> None:
        self._shared = self._leaving = None
        SERVING.remove(asyncio.get_running_loop())

    def _stop_accepting(self) -> None:
        try:
            if not self._resting:
                for listener in self._listeners.listeners:
                    for sock in listener.sockets:
                        self._accept(listener, sock)  # what the kernel had accepted for us
        finally:
            self._close_listeners()

    def _abandon(self) -> None:
        for task in list(self._adopting):
            task.cancel()

    def _close_listeners(self) -> None:
        if self._rest_ends is not None:
            self._rest_ends.cancel()
        if not self._resting:
            for listener in self._listeners.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
        self._listeners.close()


def _put_on(transport: asyncio.Transport, connection: ServerConnection) -> None:
    transport.set_protocol(connection)
    connection.connection_made(transport)

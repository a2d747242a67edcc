"""The server: listening sockets, an accept loop of its own, an orderly end.

Accepting is not left to the event loop: on a full descriptor table asyncio logs and tries again without end, and
uvloop says nothing at all. Here accepting rests for a moment, is said once, and goes on.
"""

import asyncio
import contextvars
import logging
import socket
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Self

from letterhead.app.context import SERVING
from letterhead.app.hooks import run_hooks
from letterhead.app.service import Service
from letterhead.errors import TooMany, UsageError
from letterhead.log import say
from letterhead.server.connection import ServerConnection
from letterhead.server.shared import Shared
from letterhead.server.shutdown import Leaving
from letterhead.transport import address as addresses
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
            except BaseException:
                await shared.runner.close()
                raise
        except BaseException:
            self._close_listeners()
            raise
        self._shared = shared
        self._leaving = Leaving(shared, self._stop_accepting, self._ended)
        SERVING.append(asyncio.get_running_loop())
        self._most = most_connections(limits)
        # In a context of its own: what accepts serves all, not who started it, which may be a handler.
        contextvars.Context().run(self._accept_again)

    # -- accepting -------------------------------------------------------------------------------------------------

    def _accept_again(self) -> None:
        self._resting = False
        loop = asyncio.get_running_loop()
        for listener in self._listeners.sockets:
            loop.add_reader(listener.fileno(), self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        shared = self.shared
        for _ in range(_AT_ONCE):
            try:
                sock, name = listener.accept()
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
            shared.counters.accepted += 1
            refused = self._refusal()
            connection = ServerConnection(shared, addresses.of_peer(name), refused)
            if refused is None:
                shared.arriving.add(connection)
            task = asyncio.get_running_loop().create_task(self._adopt(sock, connection))
            self._adopting.add(task)
            task.add_done_callback(self._adopting.discard)

    def _rest(self, error: OSError) -> None:
        """Descriptors or memory ran out: stop accepting for a moment; what waits stays in the kernel's queue."""
        if self._resting:
            return
        self._resting = True
        if not self._said_full:
            self._said_full = True
            why = error.strerror or str(error)
            say(
                log, logging.ERROR, "accept-resting",
                "no more connections for the moment: %s; raise the limit on open files", why, reason=why,
            )  # fmt: skip
        loop = asyncio.get_running_loop()
        for listener in self._listeners.sockets:
            loop.remove_reader(listener.fileno())
        self._rest_ends = loop.call_later(REST_SECONDS, self._accept_again)

    def _refusal(self) -> TooMany | None:
        """Why the connection that was just accepted is turned away, or None."""
        shared = self.shared
        kept = len(shared.connections) - len(shared.turned_away) + len(shared.arriving)
        if kept < self._most:
            return None
        shared.counters.turned_away += 1
        return TooMany("the server has as many connections as it may; try again", limit=self._most)

    async def _adopt(self, sock: socket.socket, connection: ServerConnection) -> None:
        """Put a conversation on an accepted socket, if only to say why it is turned away."""
        shared = self.shared
        if connection not in shared.arriving and len(shared.turned_away) >= _REFUSED_AT_ONCE:
            sock.close()
            return
        try:
            sock.setblocking(False)
            addresses.tune(sock, self.app.limits)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, sock)
        except OSError:
            sock.close()  # it went away before it could be looked at
        finally:
            shared.arriving.discard(connection)

    @property
    def shared(self) -> Shared:
        """What the connections share; also for pipes that are no sockets (``letterhead.testing``).

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

    def _stop_accepting(self) -> Awaitable[None]:
        if not self._resting:
            for listener in self._listeners.sockets:
                self._accept(listener)  # what the kernel had accepted for us
        self._close_listeners()
        return self._all_adopted()

    async def _all_adopted(self) -> None:
        if self._adopting:
            await asyncio.wait(self._adopting)

    def _close_listeners(self) -> None:
        if self._rest_ends is not None:
            self._rest_ends.cancel()
        if self._shared is not None and not self._resting:
            for listener in self._listeners.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
        self._listeners.close()

"""The server: listening sockets, an accept loop of its own, an orderly end.

Accepting is not left to the event loop: on a full descriptor table asyncio logs and tries again without end, and
uvloop says nothing at all. Here accepting rests for a moment, is said once, and goes on.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from letterhead.app.app import Application
from letterhead.app.context import SERVING
from letterhead.app.runner import run_hooks
from letterhead.errors import TooMany, UsageError
from letterhead.net import address as addresses
from letterhead.net.listeners import OUT_OF_RESOURCES, REST_SECONDS, Listeners, most_connections
from letterhead.net.server_connection import ServerConnection
from letterhead.net.shared import Shared

log = logging.getLogger("letterhead.server")

_AT_ONCE = 128
_REFUSED_AT_ONCE = 64


class Server:
    """A running server; use it as an async context manager, or ``start`` and ``close`` it.

    Attributes:
        addresses: where it listens, as a client would write it (the real port where 0 was asked for).
    """

    def __init__(self, app: Application, where: Sequence[str]) -> None:
        self.app = app
        self._where = [addresses.parse(text) for text in where]
        self._listeners = Listeners(log, "whoever reaches it may call every action")
        self.addresses = self._listeners.addresses
        self._shared: Shared | None = None
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
        SERVING.append(asyncio.get_running_loop())
        self._most = most_connections(limits)
        self._accept_again()

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
                    log.error("a connection could not be accepted: %s", error.strerror)
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
            log.error("no more connections for the moment: %s; raise the limit on open files", error.strerror)
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

    async def close(self, timeout: float | None = None) -> None:
        """Stop accepting, answer what was accepted, close.

        Args:
            timeout: seconds until what is still open is cut off; default ``Limits.drain_seconds``.
        """
        shared = self._shared
        if shared is None:
            return
        if timeout is None:
            timeout = self.app.limits.drain_seconds
        if not self._resting:
            for listener in self._listeners.sockets:
                self._accept(listener)  # what the kernel had accepted for us
        self._close_listeners()
        if self._adopting:
            await asyncio.wait(self._adopting)
        await asyncio.sleep(0)  # one turn: what has arrived is read before its connection hears of the end
        shared.runner.draining = True
        if shared.counters.open_now and timeout > 0:
            log.info("%d requests are open: they have up to %g s to end", shared.counters.open_now, timeout)
        for connection in list(shared.connections):
            connection.drain()
        await self._wait_until_empty(shared, timeout)
        for connection in list(shared.connections):
            connection.abort()
        await self._wait_until_empty(shared, 1.0)
        await shared.runner.close()
        self._shared = None
        if asyncio.get_running_loop() in SERVING:
            SERVING.remove(asyncio.get_running_loop())
        await run_hooks(self.app.stop_hooks)

    async def _wait_until_empty(self, shared: Shared, timeout: float) -> None:
        if shared.connections and timeout > 0:
            shared.empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([shared.empty], timeout=timeout)
            shared.empty = None

    def _close_listeners(self) -> None:
        if self._rest_ends is not None:
            self._rest_ends.cancel()
        if self._shared is not None and not self._resting:
            for listener in self._listeners.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
        self._listeners.close()

"""How a server leaves: it stops accepting, tells its connections, waits, cancels what is left, and cleans up.

There is one end, whoever asks for it and however often: it runs in a task of its own, those who ask wait for that, and
one who waits no longer takes nothing from the others. Who asks with less time than was left shortens it for all.

The order, with the limits that bound each step:

1. Nobody new is let in. Who is connected is told, and nothing new is begun. What is open goes on (``drain_seconds``).
2. What is still open is answered ``cancelled``, and its handlers are stopped (``drain_cancel_seconds``).
3. Connections that are still there are cut, and what is left of handlers is left behind.
4. The stop hooks run, each of them.

How connections are accepted is not known here, nor what is said on them.
"""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from letterhead import clock
from letterhead.app.hooks import run_stop_hooks
from letterhead.log import say
from letterhead.protocol.timers import NEVER
from letterhead.server.shared import Shared

log = logging.getLogger("letterhead.server")

_ABORTED_SECONDS = 0.5
"""Until the event loop has told that connections are gone which were cut."""


class Leaving:
    """The end of one server, which may not have begun yet.

    Args:
        shared: the server's connections and runner.
        stop_accepting: closes the listeners at once; what it returns waits for connections that are half made.
        ended: called when all is done.
    """

    def __init__(
        self, shared: Shared, stop_accepting: Callable[[], Awaitable[None]], ended: Callable[[], None]
    ) -> None:
        self._shared = shared
        self._stop_accepting = stop_accepting
        self._ended = ended
        self._began = 0.0
        self._cut_at = NEVER
        self._quiet = True  # nobody was connected when it began: not worth a line to people
        self._telling: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def drain(self, timeout: float) -> bool:
        """Steps 1; whether everything had ended in this time."""
        telling = self._begin(timeout)
        until = clock.monotonic() + timeout
        await asyncio.shield(telling)
        return await self._shared.until(self._shared.is_done, until - clock.monotonic())

    async def close(self, timeout: float) -> None:
        """All steps.

        Raises:
            BaseException: what a stop hook raised, or a group of what several raised.
        """
        if self._closing is not None and asyncio.current_task() is self._closing:
            return  # a stop hook asks for it
        self._begin(timeout)
        self._cut_at = min(self._cut_at, clock.monotonic() + timeout)
        self._shared.look()
        if self._closing is None:
            self._closing = _task(self._close())
        await asyncio.shield(self._closing)

    def _begin(self, timeout: float) -> asyncio.Task[None]:
        if self._telling is None:
            shared, counters = self._shared, self._shared.counters
            self._began = clock.monotonic()
            shared.runner.draining = True
            half_made = self._stop_accepting()
            self._quiet = shared.is_done()
            say(
                log, logging.DEBUG if self._quiet else logging.INFO, "draining",
                "stopping within %g s; open requests: %d, connections: %d",
                timeout, counters.open_now, len(shared.connections),
                open=counters.open_now, connections=len(shared.connections), limit=timeout,
            )  # fmt: skip
            self._telling = _task(self._tell(half_made))
        return self._telling

    async def _tell(self, half_made: Awaitable[None]) -> None:
        await half_made
        await asyncio.sleep(0)  # one turn: what has arrived is read before its connection hears of the end
        for connection in list(self._shared.connections):
            connection.drain()

    async def _close(self) -> None:
        interrupted: asyncio.CancelledError | None = None
        try:
            if self._telling is not None:
                await self._telling
            await self._shared.until(self._done_or_late, self._cut_at - clock.monotonic())
        except asyncio.CancelledError as error:  # the event loop ends: no time is left, but the rest is still done
            interrupted = error
        await self._cut_off()
        try:
            await run_stop_hooks(self._shared.app.stop_hooks)
        finally:
            self._ended()
        if interrupted is not None:
            raise interrupted

    def _done_or_late(self) -> bool:
        return self._shared.is_done() or clock.monotonic() >= self._cut_at

    async def _cut_off(self) -> None:
        shared, counters = self._shared, self._shared.counters
        cancelled = counters.open_now
        for connection in list(shared.connections):
            connection.cut_off()
        await shared.until(shared.is_done, shared.app.limits.drain_cancel_seconds)
        for connection in list(shared.connections):
            connection.abort()
        await shared.until(lambda: not shared.connections, _ABORTED_SECONDS)
        left = counters.open_now
        await shared.runner.close()
        seconds = clock.monotonic() - self._began
        say(
            log, logging.WARNING if cancelled else logging.DEBUG if self._quiet else logging.INFO, "drained",
            "stopped after %.2f s; requests cancelled: %d, handlers left behind: %d", seconds, cancelled, left,
            seconds=round(seconds, 3), cancelled=cancelled, left=left,
        )  # fmt: skip


def _task(coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """A task in a context of its own: a handler may have asked for the end, and is not who runs the stop hooks."""
    return contextvars.Context().run(asyncio.get_running_loop().create_task, coroutine)

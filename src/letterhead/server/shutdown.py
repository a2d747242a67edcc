"""How a server leaves: it stops accepting, tells its connections, waits, cancels what is left, and cleans up.

There is one end, whoever asks for it and however often: it runs in a task of its own, those who ask wait for that, and
one who waits no longer takes nothing from the others. Who asks with less time than was left shortens it for all.

The order, with the limits that bound each step:

1. Nobody new is let in. Who is connected is told, and nothing new is begun. What is open goes on (``drain_seconds``).
2. What is still open is answered ``cancelled``, and its handlers are stopped (``drain_cancel_seconds``).
3. Connections that are still there are cut, and what is left of handlers is left behind.
4. The stop hooks run, each of them.

Nothing that fails on the way keeps the rest from being done: an error of one connection costs that connection, an error
of one step is logged, and where the event loop itself ends, which cancels a step, the next ones are still taken. They
run in the context in which the server was started, so that stop hooks find the context variables that start hooks
have set, and nothing of a handler that happens to close the server.

How connections are accepted is not known here, nor what is said on them.
"""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from letterhead import clock
from letterhead.app.hooks import run_stop_hooks
from letterhead.log import say
from letterhead.protocol.timers import NEVER
from letterhead.server.shared import Connection, Shared

log = logging.getLogger("letterhead.server")

_ABORTED_SECONDS = 0.5
"""Until the event loop has told that connections are gone which were cut."""


class Leaving:
    """The end of one server, which may not have begun yet.

    Args:
        shared: the server's connections and runner.
        stop_accepting: closes the listeners.
        abandon: gives up connections that are still being made.
        ended: called when all is done.
    """

    def __init__(
        self,
        shared: Shared,
        stop_accepting: Callable[[], None],
        abandon: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self._shared = shared
        self._stop_accepting = stop_accepting
        self._abandon = abandon
        self._ended = ended
        self._context = contextvars.copy_context()
        self._began = 0.0
        self._cut_at = NEVER
        self._quiet = True  # nobody was connected when it began: not worth a line to people
        self._cancelled = self._left = 0  # requests, for the log
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
            Exception: what a stop hook raised, or an ExceptionGroup of what several raised.
        """
        if self._closing is not None and asyncio.current_task() is self._closing:
            return  # a stop hook asks for it
        self._begin(timeout)
        self._cut_at = min(self._cut_at, clock.monotonic() + timeout)
        self._shared.look()
        if self._closing is None:
            self._closing = self._task(self._close())
        await asyncio.shield(self._closing)

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # Not by ``context=``, which a task factory of the program's own need not know.
        return self._context.copy().run(asyncio.get_running_loop().create_task, work)

    def _begin(self, timeout: float) -> asyncio.Task[None]:
        if self._telling is None:
            shared, counters = self._shared, self._shared.counters
            self._began = clock.monotonic()
            shared.runner.draining = True
            self._telling = self._task(self._tell())
            _attempt(self._stop_accepting)
            self._quiet = shared.is_done()
            say(
                log, logging.DEBUG if self._quiet else logging.INFO, "draining",
                "stopping within %g s; open requests: %d, connections: %d",
                timeout, counters.open_now, len(shared.connections),
                open=counters.open_now, connections=len(shared.connections), limit=timeout,
            )  # fmt: skip
        return self._telling

    async def _tell(self) -> None:
        """Tell the connections; those that are being made are told when they are there."""
        await arrived_bytes_are_read()
        for connection in list(self._shared.connections):
            take(connection, connection.drain)

    async def _close(self) -> None:
        interrupted: BaseException | None = None
        for step in (self._wait, self._cut_off, self._abort, self._end_handlers):
            try:
                await step()
            except asyncio.CancelledError as error:  # the event loop ends
                interrupted = error
            except Exception as error:
                _report(error)
        self._say_drained()
        try:
            await run_stop_hooks(self._shared.app.stop_hooks)
        finally:
            self._ended()
        if interrupted is not None:
            raise interrupted

    async def _wait(self) -> None:
        """Until all has ended or the time is over."""
        if self._telling is not None:
            await self._telling
        await self._shared.until(self._done_or_late, self._cut_at - clock.monotonic())

    def _done_or_late(self) -> bool:
        return self._shared.is_done() or clock.monotonic() >= self._cut_at

    async def _cut_off(self) -> None:
        """Cancel what is open, and wait until it is answered."""
        shared = self._shared
        self._cancelled = shared.counters.open_now
        _attempt(self._abandon)
        for connection in list(shared.connections):
            take(connection, connection.cut_off)
        await shared.until(shared.is_done, shared.app.limits.drain_cancel_seconds)

    async def _abort(self) -> None:
        """Cut the connections that are left."""
        shared = self._shared
        for connection in list(shared.connections):
            take(connection, connection.abort)
        await shared.until(lambda: not shared.connections, _ABORTED_SECONDS)

    async def _end_handlers(self) -> None:
        self._left = self._shared.counters.open_now
        await self._shared.runner.close()

    def _say_drained(self) -> None:
        seconds, cancelled, left = clock.monotonic() - self._began, self._cancelled, self._left
        say(
            log, logging.WARNING if cancelled else logging.DEBUG if self._quiet else logging.INFO, "drained",
            "stopped after %.2f s; requests cancelled: %d, handlers left behind: %d", seconds, cancelled, left,
            seconds=round(seconds, 3), cancelled=cancelled, left=left,
        )  # fmt: skip


async def arrived_bytes_are_read() -> None:
    """Let the event loop read what has arrived, before its connection hears of the end."""
    for _ in range(2):
        await asyncio.sleep(0)


def take(connection: Connection, step: Callable[[], None]) -> None:
    """Take one connection a step further towards its end. Where that fails it is cut, and nothing is raised."""
    try:
        step()
    except Exception as error:
        _report(error)
        _attempt(connection.abort)


def _attempt(step: Callable[[], None]) -> None:
    try:
        step()
    except Exception as error:
        _report(error)


def _report(error: Exception) -> None:
    say(
        log, logging.ERROR, "leaving-failed", "something failed while the server leaves; the rest goes on: %r", error,
        reason=repr(error), exc_info=error,
    )  # fmt: skip

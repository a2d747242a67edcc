"""``Tasks``: a task for each request, so that nothing of one can be found by another.

Whatever a handler does to its task ends with it: callbacks, cancellations, what libraries keep by the task's identity.
Each task begins in a context of its own, which has nothing of whoever happened to run when the request came.

On Python 3.12 and newer a task makes its first step at once (eager start): one that ends in that step is never
scheduled. Older Pythons have plain tasks, which begin in the next iteration of the event loop. A task factory of the
program's own is asked for every task.

What a task does is nothing to this module, save that it is told when one has ended, whatever ended it.
"""

import asyncio
import contextvars
import sys
from asyncio.tasks import _unregister_task
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from letterhead.app.context import Context

_EAGER = sys.version_info >= (3, 12)
_LAST_SECONDS = 1.0


class Tasks:
    """The tasks that serve the requests of one server.

    Args:
        loop: the server's event loop.
        serve: makes the coroutine that answers a call.
        ended: told of each call once nothing of its task runs any more, and of the error that ended it, if one did. A
            task that is cancelled before its first step, and one that could not be made, have never served the call.

    Attributes:
        closed: all tasks were cancelled, and no more are started.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        serve: Callable[[Context], Coroutine[Any, Any, None]],
        ended: Callable[[Context, BaseException | None], None],
    ) -> None:
        self._loop = loop
        self._serve = serve
        self._ended = ended
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = contextvars.Context()  # of what serves all
        self.closed = False

    def start(self, call: Context) -> None:
        """Serve a call in a task of its own: its first step is made now where that can be, else soon."""
        if _EAGER and asyncio.current_task(self._loop) is not None:
            # A handler's end has brought the next request: its first step is not made inside of that handler's.
            self._loop.call_soon(self._start, call, context=self._context)
        else:
            self._start(call)

    async def close(self) -> None:
        """Cancel all tasks, start no more, and wait for their end."""
        self.closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=_LAST_SECONDS)
        for task in left:
            # It swallows its cancellation. Whoever closes the loop would wait for it, as for all that are registered.
            _unregister_task(task)
            # Nor is it worth a complaint when it is cleared away, as asyncio has it for tasks of its own.
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    def _start(self, call: Context) -> None:
        if self.closed:
            self._ended(call, None)
            return
        coroutine = self._serve(call)
        try:
            task = contextvars.Context().run(self._make, coroutine)
        except Exception as error:  # of the program's own task factory
            coroutine.close()
            self._ended(call, error)
            return
        if task.done():
            self._over(call, task)
        else:
            self._tasks.add(task)
            task.add_done_callback(partial(self._over, call), context=self._context)

    def _make(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        if _EAGER and self._loop.get_task_factory() is None:
            return asyncio.Task(coroutine, loop=self._loop, eager_start=True)  # type: ignore[call-arg]
        return self._loop.create_task(coroutine)

    def _over(self, call: Context, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._ended(call, None if task.cancelled() else task.exception())

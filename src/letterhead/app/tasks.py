"""Handlers in tasks, at the cost of a task only for those that wait.

A handler always runs in a task: ``asyncio.timeout``, task groups, ``current_task()`` work in it. One for each request
would cost more than all else that is done for it (5.7 µs on Python 3.11), and most handlers never wait. So some tasks
are kept parked. A handler's first step is made by hand, at once, while a parked task is the current one
(``asyncio._enter_task`` and ``_leave_task``, which asyncio documents for task implementations of others). If it ends in
that step, the task was never woken and stands ready for the next. If it waits, the task wakes up and goes on with it
from there, waiting for what it waits for.

A task that serves many handlers must not carry anything from one into the next:

* Each task has a context of its own. A handler that leaves a context variable changed retires its task.
* So does one whose task still counts a cancellation.
* What a handler waited for is not kept when it has ended: it may hold a result as large as they come.
* A handler is cancelled only while it waits, hence the cancellation reaches that handler and nothing else.
"""

import asyncio
import contextvars
from asyncio.tasks import _enter_task, _leave_task, _unregister_task
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any

Work = Callable[[Any, "asyncio.Task[None]"], Coroutine[Any, Any, bool]]
"""Makes the coroutine to run, given a job and the task. The coroutine's result: whether the task may serve another."""
_SPARE = 128
_LAST_SECONDS = 1.0


class Tasks:
    """The tasks of one event loop's runner, and the work that they do."""

    def __init__(self, loop: asyncio.AbstractEventLoop, work: Work) -> None:
        self.work = work
        self._loop = loop
        self._parked: list[_Worker] = []
        self._workers: set[_Worker] = set()
        self._later: deque[Any] = deque()

    def run(self, job: Any) -> None:
        """Do the work for a job in a task: its first step now where that can be, else soon."""
        if self._parked:
            worker = self._parked.pop()
            try:
                _enter_task(self._loop, worker.task)
            except RuntimeError:
                # Another task's step is under way (a handler's end brought the next request): not inside that one.
                self._parked.append(worker)
                self._later.append(job)
                if len(self._later) == 1:
                    self._loop.call_soon(self._run_later)
                return
            worker.first_step(job)
        else:
            worker = _Worker(self, self._loop, job)
            self._workers.add(worker)
            worker.task.add_done_callback(lambda _: self._workers.discard(worker))

    def _run_later(self) -> None:
        # What these jobs bring about comes into a queue of its own: it is seen to in the next turn.
        later, self._later = self._later, deque()
        try:
            while later:
                self.run(later.popleft())
        finally:
            if later:
                self._later.extend(later)
                self._loop.call_soon(self._run_later)

    def park(self, worker: "_Worker") -> bool:
        """Keep a worker for the next handler, unless there are enough."""
        if len(self._parked) >= _SPARE:
            return False
        self._parked.append(worker)
        return True

    async def close(self) -> None:
        """Cancel all tasks, the waiting handlers with them, and wait for their end."""
        tasks = [worker.task for worker in self._workers]
        self._parked.clear()
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


class _Worker:
    """One task, and the handler that it goes on with."""

    __slots__ = ("_context", "_coroutine", "_loop", "_tasks", "_waiter", "_waits_for", "task")

    def __init__(self, tasks: Tasks, loop: asyncio.AbstractEventLoop, job: Any) -> None:
        self._tasks = tasks
        self._loop = loop
        self._coroutine: Coroutine[Any, Any, bool] | None = None
        self._waits_for: Any = None
        self._waiter: asyncio.Future[None] | None = None
        # Empty: nothing of whatever happened to be running when the task was needed.
        self._context = contextvars.Context()
        self.task: asyncio.Task[None] = loop.create_task(self._serve(job), context=self._context)

    def first_step(self, job: Any) -> None:
        """Do the work until it ends or waits; only while parked, and with our task entered."""
        task = self.task
        coroutine = self._tasks.work(job, task)
        try:
            waits_for = self._context.run(coroutine.send, None)
        except StopIteration as ended:
            if ended.value and not task.cancelling():
                self._tasks.park(self)
            else:
                task.cancel()
            return
        except asyncio.CancelledError:  # a handler that cancelled itself: as the end of any task, it concerns no other
            task.cancel()
            return
        except BaseException:
            task.cancel()
            raise
        finally:
            _leave_task(self._loop, task)
        self._coroutine = coroutine
        self._waits_for = waits_for
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _serve(self, job: Any) -> None:
        clean = await self._tasks.work(job, self.task)
        while clean and not self.task.cancelling() and self._tasks.park(self):
            self._waiter = self._loop.create_future()
            cancelled: asyncio.CancelledError | None = None
            try:
                await self._waiter
            except asyncio.CancelledError as error:
                if self._coroutine is None:
                    raise
                cancelled = error
            if self._coroutine is not None:
                clean = await self._rest_of(self._coroutine, cancelled)

    def _rest_of(self, coroutine: Coroutine[Any, Any, bool], cancelled: asyncio.CancelledError | None) -> "_Rest":
        rest = _Rest(coroutine, self._waits_for, cancelled)
        self._coroutine = self._waits_for = None
        return rest


class _Rest:
    """The rest of a coroutine whose first step was made elsewhere, as something that a task can await."""

    __slots__ = ("_cancelled", "_coroutine", "_waits_for")

    def __init__(
        self, coroutine: Coroutine[Any, Any, bool], waits_for: Any, cancelled: asyncio.CancelledError | None
    ) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for
        self._cancelled = cancelled

    def __await__(self) -> Generator[Any, None, bool]:
        coroutine, waits_for = self._coroutine, self._waits_for
        self._waits_for = None
        thrown: BaseException | None = self._cancelled
        if thrown is not None and waits_for is not None and waits_for.cancel():
            thrown = None  # as a task does it: what is waited for is cancelled, and passes that on
        while True:
            if thrown is None:
                try:
                    yield waits_for
                except GeneratorExit:
                    coroutine.close()
                    raise
                except BaseException as error:
                    thrown = error
            try:
                waits_for = coroutine.send(None) if thrown is None else coroutine.throw(thrown)
                thrown = None
            except StopIteration as ended:
                return bool(ended.value)

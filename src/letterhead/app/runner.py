"""Where handlers run: on the event loop, in threads, in processes; and what becomes of their results.

Requests are finished exactly once, by a reply or a refusal. Threads cannot be stopped: a request that was cancelled
while its thread ran is finished when the thread returns. Processes can, and are killed.
"""

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from letterhead.app.app import Action, Application, encode_result
from letterhead.app.context import CURRENT, Context
from letterhead.app.describe import OWN_ACTIONS, describe
from letterhead.app.processes import Processes
from letterhead.app.tasks import Tasks
from letterhead.content.registry import decode_content
from letterhead.errors import (
    Cancelled,
    Internal,
    InvalidArgument,
    Refused,
    Unavailable,
    UnknownAction,
    escaped,
)  # fmt: skip
from letterhead.exchange.counters import Counters
from letterhead.exchange.replies import Reply
from letterhead.exchange.requests import Request
from letterhead.wire.header import JSON_TYPES

log = logging.getLogger("letterhead.app")

Finish = Callable[[Request, Reply | Refused], None]


class Job:
    """One request being answered."""

    __slots__ = ("caller", "finish", "future", "request", "task")

    def __init__(self, request: Request, caller: str, finish: Finish) -> None:
        self.request = request
        self.caller = caller
        self.finish = finish
        self.task: asyncio.Task[None] | None = None
        self.future: Future[Any] | None = None


class Runner:
    """Answers the requests of all connections of one server.

    Args:
        app: what to run.
        counters: for ``letterhead.health``.
    """

    def __init__(self, app: Application, counters: Counters) -> None:
        self.app = app
        self.draining = False
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks(self._loop)
        self._plainly = not app.around_hooks
        self._depth = app.limits.content_depth
        self._on_loop = {name: action for name, action in app.actions.items() if action.run == "loop"}
        self._threads: ThreadPoolExecutor | None = None
        self._processes: Processes | None = None
        if any(action.run == "process" for action in app.actions.values()):
            self._processes = Processes(app.processes)

    # -- from the connections --------------------------------------------------------------------------------------

    def start(self, request: Request, caller: str, finish: Finish) -> None:
        """Answer a request; ``finish`` is called once, with a reply or a refusal, in this loop."""
        job = Job(request, caller, finish)
        request.job = job
        self._tasks.run(self._run, job)

    def stop(self, request: Request) -> None:
        """Nobody waits for it: end it as far as that can be done. A job that has not begun never will."""
        job: Job = request.job
        if job.future is not None:
            job.future.cancel()
        elif job.task is not None:
            job.task.cancel()

    async def close(self) -> None:
        """End what still runs on the loop or in processes; running threads end by themselves."""
        await self._tasks.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        if self._processes is not None:
            await self._loop.run_in_executor(None, self._processes.close)

    # -- one request -----------------------------------------------------------------------------------------------

    async def _run(self, job: Job, task: asyncio.Task[None]) -> bool:
        """Answer one request; whether the task may serve another."""
        request = job.request
        if request.stopped is not None:
            job.finish(request, request.stopped)
            return True
        name = request.action
        context = Context(name if isinstance(name, str) else None, job.caller, request)
        CURRENT.set(context)
        before = contextvars.copy_context()
        job.task = task
        outcome: Reply | Refused
        try:
            if self._plainly and request.named and name in self._on_loop and not request.streams:
                # By far the most frequent kind of call, with as few steps as can be.
                arguments = self._on_loop[name].parameters.bind(request, self._depth)
                if request.meaning.timing:
                    request.started = context.now()
                outcome = encode_result(await self._on_loop[name].function(**arguments), self.app.limits)
            else:
                outcome = await self._answer(job, context)
        except Refused as refused:
            outcome = self._failed(job, refused) if refused.relayed else refused
        except asyncio.CancelledError:
            if request.stopped is None and task.cancelling():  # the server is closing, not the caller
                job.finish(request, Unavailable("the server stopped before the answer was ready"))
                raise
            outcome = request.stopped or Cancelled("the handler was cancelled")
        except Exception as error:
            outcome = self._failed(job, error)
        except BaseException:
            job.finish(request, Internal("the handler ended its program"))
            raise
        job.task = None
        job.finish(request, outcome)
        return _same(before, contextvars.copy_context())

    def _failed(self, job: Job, error: Exception) -> Internal:
        name = escaped(str(job.request.action)) if job.request.action is not None else "the binary handler"
        log.error("%s failed for %s", name, job.caller, exc_info=error)
        return Internal("the handler failed; the server's log says how")

    # -- one answer ------------------------------------------------------------------------------------------------

    async def _answer(self, job: Job, context: Context) -> Reply:
        request = job.request
        if request.meaning.timing:
            request.started = context.now()
        if not self.app.around_hooks:
            value = await self._value(job, context)
        else:
            value = await self._around(job, context, 0)
        return encode_result(value, self.app.limits)

    async def _around(self, job: Job, context: Context, depth: int) -> Any:
        hooks = self.app.around_hooks
        if depth == len(hooks):
            return await self._value(job, context)
        return await hooks[depth](context, lambda: self._around(job, context, depth + 1))

    async def _value(self, job: Job, context: Context) -> Any:
        request = job.request
        app = self.app
        if request.binary:
            message = request.message
            return await self._call_plain(job, context, app.binary_handler, message)
        name = request.action
        if request.id is None and name in app.classic_forms:
            return await self._call_plain(job, context, app.classic_forms[name], request.value)
        action = app.actions.get(name) if isinstance(name, str) else None
        if action is None and name not in OWN_ACTIONS:
            shown = str(name)[:200]
            raise UnknownAction(f"invalid action '{shown}'.", action=shown)
        if request.streams:
            raise InvalidArgument(f"{name} takes no stream")
        if action is None:
            return self._own(request)
        arguments = action.parameters.bind(request, app.limits.content_depth)
        if action.run == "loop":
            return await action.function(**arguments)
        if action.run == "inline":
            return action.function(**arguments)
        return await self._elsewhere(job, context, action, arguments)

    async def _call_plain(self, job: Job, context: Context, function: Callable[..., Any], argument: Any) -> Any:
        """A handler that takes one value: on the loop if it is async, else in a thread."""
        if inspect.iscoroutinefunction(function):
            return await function(argument)
        return await self._wait(job, self._in_thread(function, argument))

    async def _elsewhere(self, job: Job, context: Context, action: Action, arguments: dict[str, Any]) -> Any:
        if action.run == "process":
            assert self._processes is not None
            return await self._wait(job, self._processes.submit(action.function, arguments, context))
        return await self._wait(job, self._in_thread(action.function, **arguments))

    def _in_thread(self, function: Callable[..., Any], /, *args: Any, **arguments: Any) -> "Future[Any]":
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.app.threads, thread_name_prefix="letterhead")
        return self._threads.submit(contextvars.copy_context().run, function, *args, **arguments)

    async def _wait(self, job: Job, future: "Future[Any]") -> Any:
        """The result of a thread or process. Ended by ``future.cancel()``, never by cancelling this task."""
        job.future = future
        waiter = self._loop.create_future()

        def done(_: "Future[Any]") -> None:
            self._loop.call_soon_threadsafe(_wake_up, waiter)

        future.add_done_callback(done)
        await waiter
        job.future = None
        if future.cancelled():
            raise asyncio.CancelledError
        return future.result()

    def _own(self, request: Request) -> Any:
        """What every server answers by itself."""
        name = request.action
        if name == "letterhead.ping":
            return self._argument(request)
        if name == "letterhead.describe":
            return describe(self.app)
        return {"status": "draining" if self.draining else "ok", **self._counters.as_dict()}

    def _argument(self, request: Request) -> Any:
        if not request.named:
            return request.value
        shape = request.header.shape
        value = decode_content(
            request.content, shape.type, shape.encoding, shape.byteorder, self.app.limits.content_depth
        )
        return None if value == {} and shape.type in JSON_TYPES else value


def _wake_up(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _same(before: contextvars.Context, after: contextvars.Context) -> bool:
    """Whether a handler left every context variable as it was; values that cannot be compared count as changed."""
    try:
        return before == after
    except Exception:
        return False


async def run_hooks(hooks: list[Callable[[], Any]]) -> None:
    """Call start or stop hooks, one after the other."""
    for hook in hooks:
        result = hook()
        if isinstance(result, Awaitable):
            await result

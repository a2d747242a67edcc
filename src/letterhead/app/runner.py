"""Where handlers run: on the event loop, in threads, in processes; and what becomes of their results.

Requests are finished exactly once, by a reply, the end of a stream, or a refusal. Threads cannot be stopped: a request
that was cancelled while its thread ran is finished when the thread returns. Processes can, and are killed.

A handler that gives or takes a stream runs where others do, save that a thread's is one of those kept for streams: it
may wait for its client without end, and if it waited in the others' threads, one client could take all of them. What
carries its items stands in ``streaming.py`` and ``uploads.py``, and is told here what moves.
"""

import asyncio
import contextlib
import contextvars
import inspect
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from letterhead import clock
from letterhead.app.app import Action, Application, encode_result
from letterhead.app.arguments import Parameters
from letterhead.app.context import CURRENT, Client, Context
from letterhead.app.describe import OWN_ACTIONS, describe
from letterhead.app.encoder import Encoder
from letterhead.app.processes import Processes, WorkerDied
from letterhead.app.streaming import LoopSender, ThreadSender
from letterhead.app.tasks import Tasks
from letterhead.app.threads import Threads
from letterhead.app.turns import Turns
from letterhead.app.uploads import ItemReader, LoopUpload, ThreadUpload
from letterhead.content.encoded import Encoded
from letterhead.errors import Cancelled, Internal, InvalidArgument, Refused, UnknownAction, escaped
from letterhead.log import say
from letterhead.protocol.counters import Counters
from letterhead.protocol.requests import Request
from letterhead.wire.header import content_limit

log = logging.getLogger("letterhead.app")

_LAST_SECONDS = 1.5
_PING = Parameters(lambda value=None: value, "letterhead.ping")


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
        self._tasks = Tasks(self._loop, self._run)
        self._turns = Turns(self._loop)
        self._limits = app.limits
        self._depth = app.limits.content_depth
        self._plain: dict[str, Action] = {}
        if not app.around_hooks:
            self._plain = {name: action for name, action in app.actions.items() if _is_plain(action)}
        self._encoder = Encoder(app)
        self._threads = Threads(app.threads)
        self._stream_threads = Threads(app.threads)
        self._processes: Processes | None = None
        self._closing = Threads(1)
        if any(action.run == "process" for action in app.actions.values()):
            self._processes = Processes(app.processes)

    # -- from the connections --------------------------------------------------------------------------------------

    def start(self, request: Request, client: Client) -> None:
        """Answer a request of this client."""
        call = request.job = Context(request, client.caller)
        call.client = client
        call.server = self
        self._tasks.run(call)

    def stop(self, request: Request) -> None:
        """Nobody waits for it: end it as far as that can be done. One that has not begun never will."""
        call: Context = request.job
        if call.upload is not None:
            call.upload.moved()
        if call.cancel is not None:
            call.cancel()
        elif call.task is not None:
            call.task.cancel()

    def items(self, request: Request) -> None:
        """What its upload was waited for is there."""
        call: Context = request.job
        if call.upload is not None:
            call.upload.moved()

    def room(self, request: Request) -> None:
        """An item of its result may be sent, for which there was no room."""
        call: Context = request.job
        if call.sender is not None:
            call.sender.moved()

    async def close(self) -> None:
        """End what still runs on the loop or in processes, within a second or two; threads end by themselves."""
        self._threads.close()
        self._stream_threads.close()
        self._encoder.close()
        ending: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._tasks.close())]
        if self._processes is not None:  # which waits for them to have gone
            ending.append(asyncio.wrap_future(self._closing.submit(self._processes.close)))
        await asyncio.wait(ending, timeout=_LAST_SECONDS)
        self._closing.close()

    # -- one request -----------------------------------------------------------------------------------------------

    async def _run(self, call: Context, task: asyncio.Task[None]) -> bool:
        """Answer one request; whether the task may serve another."""
        request, finish = call.request, call.client.finish
        if request.stopped is not None:
            finish(request, request.stopped)
            return True
        CURRENT.set(call)
        before = contextvars.copy_context()
        call.task = task
        outcome: Encoded | Refused | None
        try:
            meaning = request.meaning
            plain = request.named and meaning.more is None and meaning.compression is None
            action = self._plain.get(request.action) if plain else None
            if action is not None:
                # By far the most frequent kind of call, with as few steps as can be.
                arguments = action.parameters.bind(request, self._depth)
                if request.timed:
                    request.started = clock.monotonic()
                result = await action.function(**arguments)
                if meaning.accept_compression:
                    outcome = await self._encoder.result(request, result)
                else:
                    outcome = encode_result(result, self._limits, meaning.accept)
            else:
                outcome = await self._answer(call, request)
        except Refused as refused:
            outcome = self._failed(call, refused) if refused.relayed else refused
        except asyncio.CancelledError:
            if request.stopped is None and task.cancelling():  # the server is closing, or the handler cancelled itself
                finish(request, Cancelled("the handler was cancelled"))
                raise
            outcome = request.stopped or Cancelled("the handler was cancelled")
        except Exception as error:
            outcome = self._failed(call, error)
        except GeneratorExit:  # it is cleared away after its loop was closed: there is nobody to be told
            raise
        except KeyboardInterrupt:
            finish(request, Internal("the handler was interrupted"))
            raise
        except BaseException as error:  # also SystemExit: a handler must not end the server for everybody
            outcome = self._failed(call, error)
        call.task = None
        finish(request, outcome)
        del outcome  # an error knows this frame: neither would be freed before the collector comes
        request.content = b""  # the context of this task keeps the request, until its next one
        try:
            return before == contextvars.copy_context()  # did it leave every context variable as it was?
        except Exception:
            return False  # values that cannot be compared count as changed

    def _failed(self, call: Context, error: BaseException) -> Internal:
        action = None if call.request.action is None else escaped(str(call.request.action))
        name = action or "the binary handler"
        if isinstance(error, WorkerDied):
            say(
                log, logging.ERROR, "worker-died", "%s failed for %s: %s", name, call.caller, error,
                action=action, peer=call.caller, reason=str(error),
            )  # fmt: skip
        else:
            say(
                log, logging.ERROR, "handler-failed", "%s failed for %s", name, call.caller,
                action=action, peer=call.caller, code=getattr(error, "code", None), exc_info=error,
            )  # fmt: skip
        return Internal("the handler failed; the server's log says how")

    # -- one answer ------------------------------------------------------------------------------------------------

    async def _answer(self, call: Context, request: Request) -> Encoded | None:
        action = self._named(request)
        streams = action is not None and action.parameters.streams is not None and request.id is not None
        if streams:  # known before it waits for anything: there is no deadline but the client's own
            call.client.streams(request)
        if request.timed:
            request.started = clock.monotonic()
        try:
            result = await self._around(call, 0)
        finally:
            if call.upload is not None:
                call.upload.close()
        if not streams:
            return await self._encoder.result(request, result)
        if result is not None:
            raise TypeError("a hook answered with a value where a stream is to be: it returns what proceed() gave")
        return None

    def _named(self, request: Request) -> Action | None:
        """The action that it names; in classic form that may be any JSON value."""
        name = request.action
        return self.app.actions.get(name) if isinstance(name, str) else None

    async def _around(self, call: Context, depth: int) -> Any:
        hooks = self.app.around_hooks
        if depth == len(hooks):
            return await self._value(call)
        return await hooks[depth](call, lambda: self._around(call, depth + 1))

    async def _value(self, call: Context) -> Any:
        request = call.request
        app = self.app
        if request.binary:
            await self._unpack(call)
            return await self._call_plain(call, app.binary_handler, request.message)
        name = request.action
        named = isinstance(name, str)
        if request.id is None and named and name in app.classic_forms:
            return await self._call_plain(call, app.classic_forms[name], request.value)
        action = self._named(request)
        if action is None and not (named and name in OWN_ACTIONS):
            shown = str(name)[:200]
            raise UnknownAction(f"invalid action '{shown}'.", action=shown)
        _check_streams(request, action)
        await self._unpack(call)
        if action is None:
            return self._own(request)
        if action.parameters.streams is not None or action.parameters.upload is not None:
            run = self._stream_in_thread if action.run == "thread" else self._stream
            return await run(call, action)
        if action.run == "thread":
            result = await self._wait(call, self._in_thread(self._threads, self._bind_and_call, action, request, {}))
            return await result if inspect.iscoroutine(result) else result  # a decorated ``async def``
        arguments = self._bind(action, request)
        if action.run == "loop":
            return await action.function(**arguments)
        if action.run == "inline":
            return action.function(**arguments)
        assert self._processes is not None
        return await self._wait(call, self._processes.submit(action.function, arguments, call))

    async def _unpack(self, call: Context) -> None:
        """Undo the compression of the content, if there is one. Then it counts as what it is, whoever waits with it."""
        request = call.request
        name = request.compression
        if name is not None:
            limit = content_limit(request.header.shape.type, self._limits)
            call.client.unpacked(request, await self._encoder.decompressed(request.content, name, limit))

    async def _stream(self, call: Context, action: Action) -> Any:
        """Run a handler on the loop that takes or gives a stream; None where it gives one."""
        request, parameters = call.request, action.parameters
        arguments = self._bind(action, request)
        if parameters.upload is not None:
            reader = ItemReader(parameters.upload.item, self._limits)
            call.upload = arguments[parameters.upload.name] = LoopUpload(call, reader, self._encoder.decompressed)
        result = action.function(**arguments)
        if inspect.isawaitable(result):
            result = await result
        if parameters.streams is None:
            return result
        encode, pack = self._encoder.of_items(request), self._encoder.packer(request)
        call.sender = sender = LoopSender(call, self._turns, encode, pack)
        await (sender.send_all(result) if parameters.streams.is_async else sender.send_plainly(result))
        return None

    async def _stream_in_thread(self, call: Context, action: Action) -> Any:
        """The same in a thread."""
        request, parameters, threads = call.request, action.parameters, self._stream_threads
        extra: dict[str, Any] = {}
        if parameters.upload is not None:
            reader = ItemReader(parameters.upload.item, self._limits)
            call.upload = extra[parameters.upload.name] = ThreadUpload(call, reader, self._loop)
        if parameters.streams is None:
            return await self._wait(call, self._in_thread(threads, self._bind_and_call, action, request, extra))
        call.sender = sender = ThreadSender(call, self._turns, self._encoder.of_smaller_items(request), self._loop)
        future = self._in_thread(threads, lambda: sender.send_all(self._bind_and_call(action, request, extra)))

        def cancel() -> None:
            sender.cancel()
            future.cancel()

        try:
            try:
                await self._wait(call, future, cancel)
            finally:
                await sender.sent()  # an error is told behind the items that were given before it
        finally:
            sender.cancel()
        return None

    def _bind_and_call(self, action: Action, request: Request, extra: dict[str, Any]) -> Any:
        # Here, in the thread: arguments take many times the memory of their JSON, and so do not wait for a thread.
        return action.function(**self._bind(action, request), **extra)

    def _bind(self, action: Action, request: Request) -> dict[str, Any]:
        return action.parameters.bind(request, self._depth)

    async def _call_plain(self, call: Context, function: Callable[..., Any], argument: Any) -> Any:
        """A handler that takes one value: on the loop if it is async, else in a thread."""
        if inspect.iscoroutinefunction(function):
            return await function(argument)
        return await self._wait(call, self._in_thread(self._threads, function, argument))

    def _in_thread(self, threads: Threads, function: Callable[..., Any], /, *args: Any) -> "Future[Any]":
        return threads.submit(contextvars.copy_context().run, function, *args)

    async def _wait(self, call: Context, future: "Future[Any]", cancel: Callable[[], object] | None = None) -> Any:
        """The result of a thread or process. Stopping the request calls ``cancel``, and leaves this task alone.

        Args:
            call: what is answered.
            future: what is waited for.
            cancel: ends it as far as that can be done; by default what cancels ``future``.
        """
        call.cancel = cancel = cancel or future.cancel
        waiter = self._loop.create_future()

        def done(_: "Future[Any]") -> None:
            with contextlib.suppress(RuntimeError):  # a thread that outlived the loop
                self._loop.call_soon_threadsafe(_wake_up, waiter)

        future.add_done_callback(done)
        clock.working(future)
        try:
            await waiter
        except asyncio.CancelledError:  # a hook around it waits no longer, or the server ends
            cancel()
            raise
        finally:
            call.cancel = None
        if future.cancelled():
            raise asyncio.CancelledError
        return future.result()

    def _own(self, request: Request) -> Any:
        """What every server answers by itself."""
        name = request.action
        if name == "letterhead.ping":
            return _PING.bind(request, self._depth).get("value")
        if name == "letterhead.describe":
            return describe(self.app)
        return {"status": "draining" if self.draining else "ok", **self._counters.as_dict()}


def _is_plain(action: Action) -> bool:
    """Whether it is called in the shortest way: on the loop, without streams."""
    return action.run == "loop" and action.parameters.streams is None and action.parameters.upload is None


def _check_streams(request: Request, action: Action | None) -> None:
    """Refuse a request that brings a stream where none is taken, or the other way round.

    Raises:
        InvalidArgument: so it is.
    """
    streams = action is not None and action.parameters.streams is not None
    upload = None if action is None else action.parameters.upload
    if request.id is None and (streams or upload is not None):
        does = "answers with" if streams else "takes"
        raise InvalidArgument(
            f"{request.action} {does} a stream, which a connection without ids cannot carry: "
            "send an 'id', or call it with a Letterhead client"
        )
    if upload is None and request.meaning.more:
        raise InvalidArgument(f"{request.action} takes no stream")
    if upload is not None and not request.meaning.more:
        raise upload.missing()


def _wake_up(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)

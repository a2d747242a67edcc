"""Where handlers run: on the event loop, in threads, in processes; and what becomes of their results.

Requests are finished exactly once, by a reply, the end of a stream, or a refusal, before anything foreign that may
raise is told of it (the log). Threads cannot be stopped: a request is finished when all that runs for it in threads
has returned, whoever waited for that no longer; its caller is answered before. Processes can, and are killed.

A handler that gives or takes a stream runs where others do, save that a thread's is one of those kept for streams
(``stream_threads.py``). What carries its items stands in ``streaming.py`` and ``uploads.py``, and is told here what
moves.

Connections are known here as ``Client`` only (``context.py``): neither frames nor sockets.
"""

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from letterhead import clock
from letterhead.app.actions import Action
from letterhead.app.arguments import Parameters
from letterhead.app.context import CURRENT, Client, Context
from letterhead.app.describe import OWN_ACTIONS, Description
from letterhead.app.encoder import Encoder, takes_long
from letterhead.app.processes import Processes, WorkerDied
from letterhead.app.results import CannotBeSent, encode_result, failed
from letterhead.app.service import Service
from letterhead.app.steps import in_steps
from letterhead.app.stream_threads import StreamThreads
from letterhead.app.streaming import LoopSender, ThreadSender
from letterhead.app.tasks import Tasks
from letterhead.app.threads import Offloaded, Threads, result_of
from letterhead.app.turns import Turns
from letterhead.app.uploads import ItemReader, LoopUpload, ThreadUpload, fail
from letterhead.content.encoded import Encoded
from letterhead.errors import (
    Cancelled,
    Internal,
    InvalidArgument,
    LetterheadError,
    Refused,
    UnknownAction,
    escaped,
    refusal,
)
from letterhead.log import say
from letterhead.protocol.counters import Counters
from letterhead.protocol.flow import Item
from letterhead.protocol.requests import Request

log = logging.getLogger("letterhead.app")

_LAST_SECONDS = 1.5
_SAID_SECONDS = 60.0
"""How often an action that holds the event loop is named."""
_PING = Parameters(lambda value=None: value, "letterhead.ping")


class Runner:
    """Answers the requests of all connections of one server.

    Args:
        service: what to run.
        counters: for ``letterhead.health``.
    """

    def __init__(self, service: Service, counters: Counters) -> None:
        self.draining = False
        self._service = service
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks(self._loop, self._serve, self._ended)
        self._turns = Turns(self._loop)
        self._limits = service.limits
        self._depth = service.limits.content_depth
        self._plain: dict[str, Action] = {}
        if not service.around_hooks:
            self._plain = {name: action for name, action in service.actions.items() if _is_plain(action)}
        self._description = Description(service)
        self._blocked: dict[str | None, float] = {}  # actions that were said to block the loop, and when
        self._encoder = Encoder(service)
        self._threads = Threads(service.threads)
        quiet_seconds = service.limits.stream_quiet_seconds
        self._stream_threads = StreamThreads(self._loop, service.threads, quiet_seconds, fail)
        self._processes: Processes | None = None
        self._closing = Threads(1)
        if any(action.run == "process" for action in service.actions.values()):
            self._processes = Processes(service.processes)
        self._elsewhere = [each for each in (self._threads, self._stream_threads, self._processes) if each is not None]

    # -- from the connections --------------------------------------------------------------------------------------

    def start(self, request: Request, client: Client) -> None:
        """Answer a request of this client."""
        call = request.job = Context(request, client, self)
        self._tasks.start(call)

    def stop(self, request: Request) -> None:
        """Nobody waits for a request: end its handler as far as that can be done. One that has not begun never will."""
        call: Context = request.job
        if call.upload is not None:
            call.upload.moved()
        for cancel in list(call.work.values()):
            cancel()
        if not call.waits and call.task is not None:
            call.task.cancel()

    def readable(self, request: Request) -> None:
        """An item of a request's upload is there, or the end of it."""
        call: Context = request.job
        if call.upload is not None:
            call.upload.moved()

    def writable(self, request: Request) -> None:
        """An item of a request's result may be sent, which had to wait."""
        call: Context = request.job
        if call.sender is not None:
            call.sender.moved()

    def pause(self, client: Client) -> None:
        """A client does not take its answers: no handler of its that waits for a thread or a process begins.

        ``resume`` has to follow, also where the client goes away.
        """
        for each in self._elsewhere:
            each.pause(client)

    def resume(self, client: Client) -> None:
        """A client that was paused takes its answers again."""
        for each in self._elsewhere:
            each.resume(client)

    async def close(self) -> None:
        """End what still runs on the loop or in processes, within a second or two; threads end by themselves."""
        self._threads.close()
        self._stream_threads.close()
        self._encoder.close()
        ending: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._tasks.close())]
        if self._processes is not None:  # which waits for them to have gone
            ending.append(asyncio.wrap_future(self._closing.submit(None, self._processes.close)))
        await asyncio.wait(ending, timeout=_LAST_SECONDS)
        self._closing.close()

    # -- one request -----------------------------------------------------------------------------------------------

    async def _serve(self, call: Context) -> None:
        """Answer one request, in a task and a context of its own."""
        request, finish = call.request, call.client.finish
        if request.stopped is not None:
            finish(request, request.stopped)
            return
        CURRENT.set(call)
        call.task = task = asyncio.current_task()
        failure: BaseException | None = None
        interrupt: BaseException | None = None
        outcome: Encoded | Refused | None
        try:
            outcome = await in_steps(self._outcome(call), partial(self._say_blocking, call))
        except Refused as error:
            outcome, failure = _as_told(error)
        except CannotBeSent as error:
            outcome, failure = error.told, error
        except asyncio.CancelledError as error:
            if request.stopped is None and task is not None and task.cancelling():
                interrupt = error  # the server is closing, or the handler cancelled itself
            outcome = request.stopped or Cancelled("the handler was cancelled")
        except GeneratorExit as error:
            if self._loop.is_closed():  # it is cleared away: there is nobody to be told
                raise
            outcome, failure, interrupt = failed(), error, error
        except KeyboardInterrupt as error:
            outcome, interrupt = Internal("the handler was interrupted"), error
        except BaseException as error:  # also SystemExit: a handler must not end the server for everybody
            outcome, failure = failed(), error
        call.task = None
        try:
            if call.work and interrupt is None and not self._tasks.closed:
                await self._returned(call, outcome)
        finally:
            finish(request, outcome)
        request.content = b""  # tasks that the handler left behind know the request
        try:
            if failure is not None:
                self._say_failed(call, failure)
            if interrupt is not None:
                raise interrupt
        finally:
            del failure, interrupt, outcome  # they know this frame: none would be freed before the collector comes

    async def _returned(self, call: Context, outcome: Encoded | Refused | None) -> None:
        """Wait for what still runs for a call, in threads that cannot be stopped, although its handler has ended.

        Its caller need not wait for that.
        """
        running = [future for future in call.work if not future.done()]
        if running:
            call.client.answer(call.request, outcome)
        for future in running:
            waiter = future.ended(self._loop)
            clock.working(future)
            await waiter
        call.work.clear()

    def _ended(self, call: Context, error: BaseException | None) -> None:
        """A call's task is over. Where that did not finish the call, it never began, or something of ours failed."""
        request = call.request
        if request.finished:
            return
        stopped = request.stopped or Cancelled("the handler was cancelled")
        call.client.finish(request, stopped if error is None else failed())
        if error is not None:
            self._say_failed(call, error)

    def _say_failed(self, call: Context, error: BaseException) -> None:
        action = None if call.request.action is None else escaped(str(call.request.action))
        name = action or "the binary handler"
        if isinstance(error, WorkerDied):
            say(
                log, logging.ERROR, "worker-died", "%s failed for %s: %s", name, call.caller, error,
                action=action, peer=call.caller, reason=str(error),
            )  # fmt: skip
        else:
            code = error.code if isinstance(error, LetterheadError) else None
            say(
                log, logging.ERROR, "handler-failed", "%s failed for %s", name, call.caller,
                action=action, peer=call.caller, code=code, exc_info=error,
            )  # fmt: skip

    def _say_blocking(self, call: Context, seconds: float) -> None:
        """The answering of a request has held the event loop: name the action, once a minute each."""
        if call.action in OWN_ACTIONS:
            return
        found = self._service.actions.get(call.action or "")
        action = None if found is None else call.action  # clients may make up names
        now = clock.monotonic()
        if now - self._blocked.get(action, float("-inf")) < _SAID_SECONDS:
            return
        self._blocked[action] = now
        if found is None or found.run in ("loop", "inline"):
            remedy = "let a plain function do that, which runs in a thread"
        else:
            remedy = "a hook did that, a very large result, or threads that leave the interpreter to no other"
        say(
            log, logging.WARNING, "loop-blocked", "%s held the event loop for %.2f s, and with it every other call: %s",
            action or "a request without an action", seconds, remedy, action=action, seconds=round(seconds, 3),
        )  # fmt: skip

    # -- one answer ------------------------------------------------------------------------------------------------

    async def _outcome(self, call: Context) -> Encoded | None:
        """What the handler answers; None where that was a stream."""
        request = call.request
        meaning = request.meaning
        plain = request.named and meaning.more is None and meaning.compression is None
        action = self._plain.get(request.action) if plain else None
        if action is None:
            return await self._answer(call, request)
        # By far the most frequent kind of call, with as few steps as can be.
        if takes_long(request.header.shape, len(request.content)):
            arguments = await self._encoder.in_thread(call, action.parameters.bind, request, self._depth)
        else:
            arguments = action.parameters.bind(request, self._depth)
        if request.timed:
            request.started = clock.monotonic()
        result = await action.function(**arguments)
        if meaning.accept_compression:
            return await self._encoder.result(call, result)
        return encode_result(result, self._limits, meaning.accept)

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
            return await self._encoder.result(call, result)
        if result is not None:
            raise TypeError("a hook answered with a value where a stream is to be: it returns what proceed() gave")
        return None

    def _named(self, request: Request) -> Action | None:
        """The action that it names; in classic form that may be any JSON value."""
        name = request.action
        return self._service.actions.get(name) if isinstance(name, str) else None

    async def _around(self, call: Context, depth: int) -> Any:
        hooks = self._service.around_hooks
        if depth == len(hooks):
            return await self._value(call)
        return await hooks[depth](call, lambda: self._around(call, depth + 1))

    async def _value(self, call: Context) -> Any:
        request = call.request
        app = self._service
        if request.binary:
            await self._encoder.unpack(call)
            return await self._call_plain(call, app.binary_handler, request.message)
        name = request.action
        named = isinstance(name, str)
        if request.id is None and named and name in app.classic_forms:
            return await self._call_plain(call, app.classic_forms[name], await self._classic_value(call))
        action = self._named(request)
        if action is None and not (named and name in OWN_ACTIONS):
            shown = str(name)[:200]
            raise UnknownAction(f"invalid action '{shown}'.", action=shown)
        _check_streams(request, action)
        await self._encoder.unpack(call)
        if action is None:
            return await self._own(call)
        if action.parameters.streams is not None or action.parameters.upload is not None:
            run = self._stream_in_thread if action.run == "thread" else self._stream
            return await run(call, action)
        if action.run == "thread":
            result = await self._wait(call, self._in_thread(call, self._bind_and_call, action, request, {}))
            return await result if inspect.iscoroutine(result) else result  # a decorated ``async def``
        arguments = await self._bind(call, action.parameters)
        if action.run == "loop":
            return await action.function(**arguments)
        if action.run == "inline":
            return action.function(**arguments)
        assert self._processes is not None
        return await self._wait(call, self._processes.submit(action.function, arguments, call))

    async def _stream(self, call: Context, action: Action) -> Any:
        """Run a handler on the loop that takes or gives a stream; None where it gives one."""
        request, parameters = call.request, action.parameters
        arguments = await self._bind(call, action.parameters)
        if parameters.upload is not None:
            reader = ItemReader(parameters.upload.item, self._limits)

            async def off_loop(item: Item) -> Any:
                return await self._encoder.in_thread(call, reader.read, item)

            call.upload = arguments[parameters.upload.name] = LoopUpload(call, reader, off_loop)
        result = action.function(**arguments)
        if inspect.isawaitable(result):
            result = await result
        if parameters.streams is None:
            return result
        encode, pack = self._encoder.of_items(request), self._encoder.packer(call)
        call.sender = sender = LoopSender(call, self._turns, encode, pack)
        await (sender.send_all(result) if parameters.streams.is_async else sender.send_plainly(result))
        return None

    async def _stream_in_thread(self, call: Context, action: Action) -> Any:
        """Run a handler in a thread that takes or gives a stream; None where it gives one."""
        request, parameters, threads = call.request, action.parameters, self._stream_threads
        extra: dict[str, Any] = {}
        if parameters.upload is not None:
            reader = ItemReader(parameters.upload.item, self._limits)
            upload = extra[parameters.upload.name] = ThreadUpload(call, reader, self._loop, threads)
            call.upload = upload
            if parameters.streams is None:  # one that gives a stream may be the first to say something
                await upload.begun()
        run = contextvars.copy_context().run
        if parameters.streams is None:
            return await self._wait(call, threads.submit(call, run, self._bind_and_call, action, request, extra))
        encode = self._encoder.of_smaller_items(request)
        call.sender = sender = ThreadSender(call, self._turns, encode, self._loop, threads)
        future = threads.submit(call, run, lambda: sender.send_all(self._bind_and_call(action, request, extra)))

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
        return action.function(**action.parameters.bind(request, self._depth), **extra)

    async def _bind(self, call: Context, parameters: Parameters) -> dict[str, Any]:
        request = call.request
        if takes_long(request.header.shape, len(request.content)):
            return await self._encoder.in_thread(call, parameters.bind, request, self._depth)
        return parameters.bind(request, self._depth)

    async def _classic_value(self, call: Context) -> Any:
        request = call.request
        if takes_long(request.header.shape, len(request.content)):
            return await self._encoder.in_thread(call, getattr, request, "value")
        return request.value

    async def _call_plain(self, call: Context, function: Callable[..., Any], argument: Any) -> Any:
        """Call a handler that takes one value: on the loop if it is async, else in a thread."""
        if inspect.iscoroutinefunction(function):
            return await function(argument)
        return await self._wait(call, self._in_thread(call, function, argument))

    def _in_thread(self, call: Context, function: Callable[..., Any], /, *args: Any) -> Offloaded[Any]:
        return self._threads.submit(call.client, contextvars.copy_context().run, function, *args)

    async def _wait(self, call: Context, future: Offloaded[Any], cancel: Callable[[], object] | None = None) -> Any:
        """The result of a thread or process. Stopping the request calls ``cancel``, and leaves the call's task alone.

        Args:
            call: what is answered.
            future: what is waited for.
            cancel: ends it as far as that can be done; by default what cancels ``future``.
        """
        call.work[future] = cancel = cancel or future.cancel
        call.waits += 1
        waiter = future.ended(self._loop)
        clock.working(future)  # behind that: a clock that stands still is not to move before the waiter knows
        try:
            await waiter
        except asyncio.CancelledError:  # a hook around it waits no longer, or the server ends
            cancel()
            raise
        finally:
            call.waits -= 1
            if future.done():
                del call.work[future]
        return result_of(future)

    async def _own(self, call: Context) -> Any:
        """What every server answers by itself."""
        name = call.request.action
        if name == "letterhead.ping":
            return (await self._bind(call, _PING)).get("value")
        if name == "letterhead.describe":
            return self._description.value()
        return {"status": "draining" if self.draining else "ok", **self._counters.as_dict()}


def _is_plain(action: Action) -> bool:
    """Whether an action is called in the shortest way: on the loop, without streams."""
    return action.run == "loop" and action.parameters.streams is None and action.parameters.upload is None


def _check_streams(request: Request, action: Action | None) -> None:
    """Refuse a request that brings a stream where none is taken, or the other way round.

    Raises:
        InvalidArgument: the request and the action do not agree on streams.
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


def _as_told(refused: Refused) -> tuple[Refused, Refused | None]:
    """What a caller is told of a refusal; and the refusal itself, if that is a failure."""
    try:
        if refused.relayed:
            return failed(), refused
        return refusal(refused.code, refused.message, refused.facts), None
    except Exception:  # its class is the program's own, and gives no code or no facts: that is no answer
        return failed(), refused

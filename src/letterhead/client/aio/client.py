"""``AsyncClient``: many calls at once over one connection, for asyncio and uvloop.

Everything about calls and connections is decided in the core (``client/core.py``); here its events are carried out on
an event loop: transports, futures, one timer. Streams are read in ``streams.py``.

What serves all calls (connections, timers, callbacks) runs in an empty context: nothing of the handler or task whose
call happened to bring it about is found there.
"""

import asyncio
import contextvars
import os
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, assert_never, overload

from letterhead import clock
from letterhead.client import log
from letterhead.client.aio.connection import AioCall, AioCore, AioDial, ClientConnection
from letterhead.client.aio.streams import IN_THREAD, AsyncStream, Upload, wake
from letterhead.client.balancer import NEVER
from letterhead.client.calls import Call, action_call, message_call, stream_call
from letterhead.client.core import ClientCore, Close, Dial, Logged, Readable, Send, StateChanged, Writable
from letterhead.client.items import Values
from letterhead.client.openings import pack
from letterhead.client.settings import settings_of
from letterhead.client.state import State
from letterhead.client.timing import Timing
from letterhead.errors import ConnectionFailed, UsageError
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.transport import address as addresses
from letterhead.transport import connect_async
from letterhead.transport.address import Address
from letterhead.transport.stream import Turn

Connector = Callable[[str, Callable[[], asyncio.BufferedProtocol]], Awaitable[object]]
T = TypeVar("T")


class AsyncClient:
    """Calls actions of a Letterhead server, or of a classic one. Connects at the first call.

    One client serves any number of tasks of one event loop.

    Args:
        address: ``HOST:PORT``, ``[::1]:PORT`` or ``unix:PATH``; or a list of them, of servers that offer the same: each
            call goes to the one with the fewest open calls, and not to one that cannot be reached.
        timeout: seconds for each call that names none, sent along as its deadline. None: the server's own deadline
            holds, and this side waits ``Limits.deadline_seconds`` (30 s). Neither is for calls with a stream.
        limits: bounds on what the server may send, and on what is sent.
        accept: content types that results are wanted in, best first, such as ``["application/msgpack"]``; what fits
            none comes in its own type.
        compression: ``"zstd"`` (which needs the extra ``zstd``) and ``"gzip"``, or one of them, better ones first: what
            the server may send compressed so, and what goes so where the server reads it. Only ``call`` and ``stream``
            do; ``send`` sends what it is given.
        connector: instead of an address's own way to connect: ``await connector(server, protocol_factory)``, with the
            address of the server that is meant.
        wait_for_ready: whether calls wait, within their timeout, while no server can be reached. None: not before the
            first connection, so that a wrong address shows at once, and from then on.
        idempotent: names of actions that do the same when they run twice: calls of them that are lost with their
            connection are sent again. None: those of which the server says so.
        keep_alive: keep an idle connection open, and ask every ``Limits.ping_after_seconds`` whether it is.
        on_state: called with each new ``state`` by the event loop.

    Raises:
        UsageError: the address is not written as one.
    """

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        timeout: float | None = None,
        limits: Limits | None = None,
        accept: Sequence[str] = (),
        compression: Sequence[str] = (),
        connector: Connector | None = None,
        wait_for_ready: bool | None = None,
        idempotent: Sequence[str] | None = None,
        keep_alive: bool = False,
        on_state: Callable[[State], object] | None = None,
    ) -> None:
        parsed = addresses.parse_all(address)
        self._settings = settings = settings_of(
            parsed,
            timeout=timeout,
            limits=limits,
            accept=accept,
            compression=compression,
            wait_for_ready=wait_for_ready,
            idempotent=idempotent,
            keep_alive=keep_alive,
            on_state=on_state,
        )
        self._addresses: dict[str, Address] = parsed
        self._connector = connector
        self.core: AioCore = ClientCore(settings, _random)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn = Turn()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = NEVER
        self._pipes: set[ClientConnection] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self._uploads: dict[AioCall, Upload] = {}

    @property
    def state(self) -> State:
        """What its connections are in: ``"idle"``, ``"connecting"``, ``"ready"``, ``"reconnecting"``, ``"closed"``.

        Connections are made when a call needs one: an idle client whose server went away hears of it, and stays so.
        """
        return self.core.balancer.state

    @property
    def counters(self) -> dict[str, int]:
        """What happened how often.

        ``connected``, ``connect-failed``; ``lost``: connections that ended while calls were open, ``left``: that a
        server ended in order; ``moved``: calls that a leaving server did not run and another got, ``repeated``: calls
        that were sent again, after ``unavailable`` or a loss.
        """
        return dict(self.core.balancer.counters)

    # -- what users call -------------------------------------------------------------------------------------------

    @overload
    async def call(
        self,
        action: str,
        /,
        *arg: Any,
        timeout: float | None = None,
        returns: type[T],
        accept: Sequence[str] | None = None,
        supersedes: Hashable = None,
        timing: Timing | None = None,
        **args: Any,
    ) -> T: ...
    @overload
    async def call(
        self,
        action: str,
        /,
        *arg: Any,
        timeout: float | None = None,
        accept: Sequence[str] | None = None,
        supersedes: Hashable = None,
        timing: Timing | None = None,
        **args: Any,
    ) -> Any: ...
    async def call(
        self,
        action: str,
        /,
        *arg: Any,
        timeout: float | None = None,
        returns: Any = None,
        accept: Sequence[str] | None = None,
        supersedes: Hashable = None,
        timing: Timing | None = None,
        **args: Any,
    ) -> Any:
        """Call an action and return its result.

        One argument may be a stream: a generator, another iterator, ``range``, an open file (its lines), or an async
        generator. Its items are sent as the server takes them, by a task. When the call ends before they do, a
        generator is closed. What an iterable raises ends the call, and is raised here.

        Args:
            action: its name.
            arg: one unnamed argument: JSON that is no object, bytes, a ``Message``, or a stream.
            timeout: seconds until ``DeadlineExceeded``; the server gets the same deadline. A call with a stream has
                none unless it is named here.
            returns: the type that the result is converted to and checked by, such as a dataclass or ``list[int]``.
            accept: content types that the result is wanted in, best first, instead of the client's own.
            supersedes: any hashable key. The open call of this client that was made with the same key ends with
                ``Cancelled``, at the server, too: search as you type.
            timing: is told how long the server took.
            args: named arguments.

        Raises:
            Refused: the server refused the request; a subclass says why (``InvalidArgument``, ``UnknownAction``, …).
            DeadlineExceeded: no answer in time.
            Cancelled: a later call took its place.
            ConnectionFailed: no connection, or it ended during the call; a subclass says how.
            BadContent: the result does not fit ``returns``.
            UsageError: arguments that cannot be sent, the action answers with a stream, or the client is closed.
        """
        call: AioCall = action_call(self._settings, action, arg, args, timeout, returns, accept, timing)
        await self._perform(call, supersedes)
        return call.result(returns, self._settings.limits)

    @overload
    def stream(
        self,
        action: str,
        /,
        *arg: Any,
        timeout: float | None = None,
        returns: type[T],
        accept: Sequence[str] | None = None,
        supersedes: Hashable = None,
        timing: Timing | None = None,
        **args: Any,
    ) -> AsyncStream[T]: ...
    @overload
    def stream(
        self,
        action: str,
        /,
        *arg: Any,
        timeout: float | None = None,
        accept: Sequence[str] | None = None,
        supersedes: Hashable = None,
        timing: Timing | None = None,
        **args: Any,
    ) -> AsyncStream[Any]: ...
    def stream(
        self,
        action: str,
        /,
        *arg: Any,
        timeout: float | None = None,
        returns: Any = None,
        accept: Sequence[str] | None = None,
        supersedes: Hashable = None,
        timing: Timing | None = None,
        **args: Any,
    ) -> AsyncStream[Any]:
        """Call an action that answers with a stream, and return its items as an async iterator::

            async for number in client.stream("count", to=3):
                print(number)

        The request is sent at once, in the order of calls, not with the first item. The server sends ahead up to 1 MiB
        of what was not read. Leaving the loop early cancels the call there; a stream that has a name is left with
        ``async with`` or ``aclose()``. A stream of arguments at the same time makes it a conversation.

        Args:
            timeout: seconds for all of it; by default a stream may take as long as it wants.
            returns: the type that each item is converted to and checked by.
            accept, supersedes, timing: as for ``call``.

        Raises:
            UsageError: arguments that cannot be sent, no event loop runs here, or the client is closed.
            All else is raised where items are taken.
        """
        call: AioCall = stream_call(self._settings, action, arg, args, timeout, accept, timing)
        return self._open(call, returns, supersedes)

    def either(self, action: str, arguments: Mapping[str, Any], *, timeout: float | None = None) -> AsyncStream[Any]:
        """Call an action however it answers, for tools that cannot know: one result is a stream of it alone.

        ``single`` of the stream says which it was, once an item is there.

        Args:
            action: its name.
            arguments: named ones, whatever their names.
            timeout: seconds for all of it; by default it may take as long as the server lets it.

        Raises:
            As ``stream``.
        """
        call: AioCall = stream_call(self._settings, action, (), arguments, timeout, None, None, either=True)
        return self._open(call, None, None)

    async def send(self, message: Message, *, timeout: float | None = None) -> Message:
        """Send a message with a header and content of your own, and return the reply as it is.

        With an ``action`` field in its header it calls that action; without, it is a request in classic form.

        Raises:
            As ``call``.
        """
        call: AioCall = message_call(self._settings, message, timeout)
        await self._perform(call, None)
        reply: Message = call.result(None, self._settings.limits)
        return reply

    async def close(self) -> None:
        """Close the connection. Calls and streams that are open fail with ``ConnectionLost``."""
        self.core.close(clock.monotonic())
        self.handle()
        for task in list(self._dialling):
            task.cancel()
        if self._dialling:
            await asyncio.wait(self._dialling)
        if self._pipes:
            await asyncio.wait([pipe.closed for pipe in self._pipes], timeout=1.0)
        for upload in list(self._uploads.values()):
            await upload.ended()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- one call --------------------------------------------------------------------------------------------------

    def _open(self, call: AioCall, returns: Any, key: Hashable) -> AsyncStream[Any]:
        values = Values(call, returns, self._settings.limits)
        loop = self._here()
        if self._settings.compression and len(call.opening.content) < IN_THREAD:  # larger ones would hold up the loop
            pack(call.opening, self.core.compressions())
        self.core.submit(call, clock.monotonic(), key)
        upload = self._upload(call)
        self.handle()
        return AsyncStream(self, call, values, upload, loop)

    async def _perform(self, call: AioCall, key: Hashable) -> None:
        if self._settings.compression and (names := self.core.compressions()):
            if len(call.opening.content) >= IN_THREAD:
                await asyncio.to_thread(pack, call.opening, names)
            else:
                pack(call.opening, names)
        loop = self._here()
        waiter = call.waiter = loop.create_future()
        core = self.core
        core.submit(call, clock.monotonic(), key)
        upload = None if call.source is None else self._upload(call)
        self.handle()
        try:
            await waiter
        except asyncio.CancelledError:
            core.cancel(call, clock.monotonic())
            self.handle()
            raise
        finally:
            call.waiter = None
            if upload is not None:
                await upload.ended()

    def _here(self) -> asyncio.AbstractEventLoop:
        """The running event loop, if this client may be used on it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError("an AsyncClient is used by coroutines, on a running event loop") from None
        if loop is not self._loop:
            if self.core.calls or self._pipes or self._dialling:
                raise UsageError("this client is in use on another event loop: make one for each loop")
            self._loop = loop
            self._turn = Turn()
            self._timer, self._timer_due = None, NEVER  # it was the other loop's
        return loop

    def _upload(self, call: AioCall) -> Upload | None:
        if call.source is None or call.done:
            return None
        upload = self._uploads[call] = Upload(self, call, self._settings.limits)
        upload.task.add_done_callback(lambda _: self._uploads.pop(call, None))
        return upload

    def leave(self, call: AioCall) -> None:
        """The reader of a stream wants no more of it."""
        self.core.cancel(call, clock.monotonic())
        self.handle()

    # -- what the core asks for ------------------------------------------------------------------------------------

    def handle(self) -> None:
        """Do what the core's events ask for."""
        core = self.core
        while core.events:
            events, core.events = core.events, []
            for event in events:
                if isinstance(event, Send):
                    event.connection.pipe.send_soon()
                elif isinstance(event, Call):
                    self._ended(event)
                elif isinstance(event, Readable):
                    wake(event.call.waiter)
                elif isinstance(event, Writable):
                    wake(event.call.sender)
                elif isinstance(event, Dial):
                    self._dial(event)
                elif isinstance(event, Close):
                    event.connection.pipe.abort()
                elif isinstance(event, StateChanged):
                    self._tell(event.state)
                elif isinstance(event, Logged):
                    log.write(event)
                else:
                    assert_never(event)
        due = core.due
        if due < self._timer_due:
            self._wake_at(due)

    def _ended(self, call: AioCall) -> None:
        if call.timing is not None:
            call.tell_timing()
        wake(call.waiter)
        if call.source is not None:
            wake(call.sender)
            upload = self._uploads.get(call)
            if upload is not None:
                upload.stop()

    def _tell(self, state: State) -> None:
        callback = self._settings.on_state
        if callback is not None:
            asyncio.get_running_loop().call_soon(_call_back, callback, state, context=contextvars.Context())

    def _wake_at(self, due: float) -> None:
        """Call ``tick`` then. The timer is only replaced by an earlier one: it looks by itself what is due."""
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, due - clock.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick, context=contextvars.Context())
        self._timer_due = due

    def _tick(self) -> None:
        self._timer, self._timer_due = None, NEVER
        self.core.tick(clock.monotonic())
        self.handle()

    # -- connecting ------------------------------------------------------------------------------------------------

    def _dial(self, dial: AioDial) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._connect(dial), context=contextvars.Context())
        self._dialling.add(task)
        task.add_done_callback(partial(self._dialled, dial))

    async def _connect(self, dial: AioDial) -> None:
        made: list[ClientConnection] = []
        limits = self._settings.limits
        server = dial.endpoint.name
        where = self._addresses[server]

        def factory() -> ClientConnection:
            pipe = ClientConnection(self, dial, limits, self._turn)
            made.append(pipe)
            self._pipes.add(pipe)
            pipe.closed.add_done_callback(lambda _: self._pipes.discard(pipe))
            return pipe

        failure: ConnectionFailed
        try:
            if self._connector is None:
                await connect_async.connect(where, factory, limits)
            else:
                async with asyncio.timeout(limits.connect_seconds):
                    await self._connector(server, factory)
            failure = ConnectionFailed(f"the connector made no connection to {where}", address=str(where))
        except Exception as error:  # also what a connector of the user's own raises: those who wait must hear of it
            failure = addresses.connect_failed(where, error, limits.connect_seconds)
        finally:
            for pipe in made:
                if pipe.connection is None:  # it never came to be
                    pipe.abort()
        self.core.connect_failed(dial, failure, clock.monotonic())  # nothing happens where it was connected
        self.handle()

    def _dialled(self, dial: AioDial, task: asyncio.Task[None]) -> None:
        self._dialling.discard(task)
        self.core.dial_abandoned(dial, clock.monotonic())  # where it was cancelled, perhaps before it had begun
        self.handle()


def _call_back(callback: Callable[[State], object], state: State) -> None:
    """Call ``on_state``."""
    try:
        callback(state)
    except Exception as error:
        log.write_failure("on-state-failed", "on_state failed", error)


def _random() -> float:
    """A number from 0 to 1. The module ``random`` would take milliseconds to import, and the same seed after a fork."""
    return int.from_bytes(os.urandom(6), "big") / 2**48

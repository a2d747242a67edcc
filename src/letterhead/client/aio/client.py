"""``AsyncClient``: many calls at once over one connection, for asyncio and uvloop.

Here stand what users call, and time: who waits for a call, how long, and what becomes of it when nobody does any
longer. On which connection a call goes is decided in ``async_connections.py``; streams are read in
``async_streams.py``.
"""

import asyncio
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from letterhead import clock
from letterhead.client.aio.connection import ClientConnection
from letterhead.client.aio.connections import Connections, Connector, end
from letterhead.client.aio.expiry import Expiry
from letterhead.client.aio.streams import IN_THREAD, AsyncStream, Upload
from letterhead.client.balancer import Pool, State
from letterhead.client.blocking.common import Caller, Options, left_early
from letterhead.client.reports import Reports, call_back
from letterhead.errors import UsageError
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol.calls import Call
from letterhead.protocol.flow import Incoming
from letterhead.protocol.items import Values
from letterhead.protocol.openings import pack
from letterhead.protocol.timing import Timing

T = TypeVar("T")


class AsyncClient(Caller):
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
        options = Options(wait_for_ready, idempotent, keep_alive, on_state)
        super().__init__(address, timeout, limits, accept, compression, options)
        reports = Reports(on_state, _soon)
        self._connections = Connections(
            self._pool(reports.tell), self._limits, self._requester, connector, reports.stands, keep_alive=keep_alive
        )
        self._expiry = Expiry(self._limits.deadline_seconds, self._expire)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._uploads: set[Upload] = set()

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
        call = self._action_call(action, arg, args, timeout, returns, accept, timing)
        try:
            await self._perform(call, supersedes)
        finally:
            if timing is not None:
                timing.told(call.timing, call.repeats + 1)
        return call.result(returns, self._limits)

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
        call = self._stream_call(action, arg, args, timeout, accept, timing)
        return self._opened(call, call.stream(), returns, supersedes, timing)

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
        call = self._stream_call(action, (), arguments, timeout, None, None)
        return self._opened(call, call.stream(either=True), None, None, None)

    async def send(self, message: Message, *, timeout: float | None = None) -> Message:
        """Send a message with a header and content of your own, and return the reply as it is.

        With an ``action`` field in its header it calls that action; without, it is a request in classic form.

        Raises:
            As ``call``.
        """
        call = self._message_call(message, timeout)
        await self._perform(call, None)
        reply: Message = call.result(None, self._limits)
        return reply

    async def close(self) -> None:
        """Close the connection. Calls and streams that are open fail with ``ConnectionLost``."""
        self._expiry.close()
        await self._connections.close(self._gone())
        for upload in list(self._uploads):
            await upload.ended()

    @property
    def _servers(self) -> Pool[ClientConnection]:
        return self._connections.pool

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- one call --------------------------------------------------------------------------------------------------

    def _opened(
        self, call: Call, incoming: Incoming, returns: Any, key: Hashable, timing: Timing | None
    ) -> AsyncStream[Any]:
        values = Values(call, returns, self._limits)
        loop = self._here()
        if self._compression and len(call.content) < IN_THREAD:  # larger ones would hold up the loop
            pack(call, self._in_common(self._connections.requester))
        if key is not None:
            self._take_place(call, key)
        upload = self._upload(call)
        timer = None
        if call.deadline is None:
            self._expiry.watch(call, loop)
        else:
            timer = loop.call_later(call.seconds, self._expire, call)
            call.ends = clock.monotonic() + call.seconds
        call.on_end = partial(self._ended, upload, timer)
        self._connections.place(call)
        return AsyncStream(call, incoming, values, timing, upload, self._leave)

    async def _perform(self, call: Call, key: Hashable) -> None:
        if self._compression:
            names = self._in_common(self._connections.requester)
            if names and len(call.content) >= IN_THREAD:
                await asyncio.to_thread(pack, call, names)
            else:
                pack(call, names)
        loop = self._here()
        waiter = call.waiter = loop.create_future()
        upload = timer = None
        if key is not None:
            self._take_place(call, key)
        if call.source is not None:
            upload = self._upload(call)
            call.on_end = partial(self._ended, upload, None)
        self._connections.place(call)
        if call.deadline is None:
            self._expiry.watch(call, loop)
        else:
            timer = loop.call_later(call.seconds, self._expire, call)
            call.ends = clock.monotonic() + call.seconds
        try:
            await waiter
        except asyncio.CancelledError:
            if not call.done:
                call.fail(left_early())  # else it would be sent again, should its connection be lost
            self._connections.withdraw(call, late=False)
            raise
        finally:
            if key is None and upload is None:  # nearly all calls
                if timer is None:
                    self._expiry.forget(call)
                else:
                    timer.cancel()
            else:
                self._ended(upload, timer, call)
                if upload is not None:
                    await upload.ended()

    def _here(self) -> asyncio.AbstractEventLoop:
        """The running event loop, if this client may be used on it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError("an AsyncClient is used by coroutines, on a running event loop") from None
        if loop is not self._loop:
            if self._connections:
                raise UsageError("this client is in use on another event loop: make one for each loop")
            self._loop = loop
            self._expiry.close()  # its timer was the other loop's
        if self._connections.gone is not None:
            raise UsageError("this client is closed")
        return loop

    def _upload(self, call: Call) -> Upload | None:
        if call.source is None:
            return None
        upload = Upload(call, self._limits, self._in_common, self._give_up)
        self._uploads.add(upload)
        upload.task.add_done_callback(lambda _: self._uploads.discard(upload))
        return upload

    def _give_up(self, call: Call) -> None:
        self._connections.withdraw(call, late=False)

    def _leave(self, call: Call) -> None:
        """The reader of a stream wants no more of it."""
        if call.incoming is not None:
            call.incoming.drop()
        if not call.done:
            end(call, left_early())
            self._connections.withdraw(call, late=False)

    # -- time ------------------------------------------------------------------------------------------------------

    def _expire(self, call: Call) -> None:
        if call.done:
            return
        waited = clock.monotonic() - call.since
        if self._may_wait_on(call) or (call.seconds == math.inf and waited < self._limits.deadline_seconds):
            # A stream has no limit while it is open, but it may lose its connection before its first item.
            self._expiry.watch(call, asyncio.get_running_loop())
            return
        end(call, self._out_of_time(call))
        self._connections.withdraw(call, late=True)

    def _ended(self, upload: Upload | None, timer: asyncio.TimerHandle | None, call: Call) -> None:
        """Nobody waits for it any longer: it has its reply or its error, or its caller gave up."""
        call.on_end = None
        if timer is None:
            self._expiry.forget(call)
        else:
            timer.cancel()
        if call.key is not None:
            self._leave_place(call)
        if upload is not None:
            upload.stop()


def _soon(callback: Callable[[State], object], state: State) -> None:
    asyncio.get_running_loop().call_soon(call_back, callback, state)

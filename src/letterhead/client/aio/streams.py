"""``AsyncStream`` and uploads, for ``AsyncClient``.

The rules here:

* Items are handed out one by one, and credit goes back for those alone: what nobody takes stays at the server.
* Whoever leaves a stream before its end cancels it, also by dropping it: then from wherever the collector runs. So a
  call must not refer to its stream.
* An upload is a task. It sends as long as there is credit and the pipe takes bytes, and it gives the loop a turn after
  64 KiB or a millisecond, whatever it iterates over. It ends with the exchange, and closes a generator that it did not
  finish.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from letterhead.client.aio.connection import ClientConnection, tell
from letterhead.content.compression import smaller
from letterhead.errors import LetterheadError, UsageError
from letterhead.limits import KIB, Limits
from letterhead.protocol.calls import Call
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.flow import Incoming, Item
from letterhead.protocol.items import Values, encode_item
from letterhead.protocol.timing import Timing

T_co = TypeVar("T_co", covariant=True)
_GATHERED = 64 * KIB
IN_THREAD = 256 * KIB
"""Bytes of content from which on it is compressed in a thread, which the loop need not wait for."""
_TURN_SECONDS = 0.001


class AsyncStream(Generic[T_co]):
    """The items of a streamed result, as ``AsyncClient.stream`` returns them: an async iterator::

        async for row in client.stream("rows", table="orders"):
            ...

    Leaving the loop early cancels the call at the server. A stream that has a name outlives its loop, and is left by
    hand: ``async with client.stream(…) as rows:``, or ``await rows.aclose()``.
    """

    _call: Call | None = None

    def __init__(
        self,
        call: Call,
        incoming: Incoming,
        values: Values,
        timing: Timing | None,
        upload: "Upload | None",
        leave: Callable[[Call], None],
    ) -> None:
        self._incoming = incoming
        self._values = values
        self._timing = timing
        self._upload = upload
        self._leave = leave
        self._loop = asyncio.get_running_loop()
        self._waiting = False
        self._call = call

    @property
    def single(self) -> bool:
        """Whether it turned out to be one result; only streams that ``either`` has opened can."""
        return self._call is not None and self._call.single

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T_co:
        """The next item.

        Raises:
            As ``AsyncClient.call``. Items that came before an error are handed out first. The same error comes again
            from every further call.
            Cancelled: the stream was left before its end, or superseded by a later call.
            UsageError: another task waits for its next item.
        """
        call, incoming = self._call, self._incoming
        if call is None or self._waiting:
            raise UsageError("another task waits for the next item of this stream")
        item = incoming.take() or await self._next(call)
        if incoming.due and not call.done:
            connection: ClientConnection = call.home
            connection.give_back(call)
        try:
            value: T_co = self._values.value(item)
        except LetterheadError as error:
            self._leave(call)
            call.spoil(error)
            raise
        return value

    async def _next(self, call: Call) -> Item:
        """Wait for an item."""
        self._waiting = True
        try:
            while not call.done:
                call.waiter = self._loop.create_future()
                await call.waiter
                item = self._incoming.take()
                if item is not None:
                    return item
        except BaseException:  # the task was cancelled: nobody waits for the rest
            self._leave(call)
            raise
        finally:
            self._waiting = False
        if self._timing is not None:
            self._timing.told(call.timing, call.repeats + 1)
        if call.header is None:
            call.raise_error()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Leave the stream: what it still has is for nobody, and the server is asked to stop."""
        if self._call is not None:
            self._leave(self._call)
        if self._upload is not None:
            await self._upload.ended()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        call = self._call
        if call is not None and not call.done:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and so is the connection
                self._loop.call_soon_threadsafe(self._leave, call)


class Upload:
    """Sends the items of a call's upload, in a task."""

    def __init__(
        self,
        call: Call,
        limits: Limits,
        compressions: Callable[[ClientProtocol], tuple[str, ...]],
        withdraw: Callable[[Call], None],
    ) -> None:
        self._call = call
        self._limits = limits
        self._compressions = compressions
        self._withdraw = withdraw
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._gathered = 0  # bytes since the loop had its last turn
        self._until = 0.0  # when it gets the next, at the latest
        self.task = self._loop.create_task(self._run())

    def stop(self) -> None:
        """The exchange has ended: so does the upload, at once if it waits."""
        if not self._stopped:
            self._stopped = True
            if self.task is not _running_task():
                self.task.cancel()

    async def ended(self) -> None:
        """Wait until a generator that was left is closed."""
        if not self.task.done() and self.task is not _running_task():
            await asyncio.wait([self.task])

    @property
    def _begun(self) -> bool:
        """Whether an item was sent: from then on the call stays on its connection."""
        outgoing = self._call.outgoing
        return outgoing is not None and outgoing.begun

    async def _run(self) -> None:
        call = self._call
        try:
            source = call.source
            try:
                if await self._room() and await self._send_all(source) and (self._begun or await self._room()):
                    connection: ClientConnection = call.home
                    connection.end_upload(call)
            finally:
                await _close(source)
        except asyncio.CancelledError as failure:
            if not self._stopped:  # not ours: the iterable raised it, or the whole loop ends
                self._fail(failure)
        except Exception as failure:
            if self._stopped or call.done:
                raise  # nobody else would hear of it
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        """The iterable raised this; so will the call."""
        call = self._call
        self._stopped = True
        if not call.done:
            call.fail_upload(failure)
            tell(call)
        self._withdraw(call)

    async def _send_all(self, source: Any) -> bool:
        """Whether all were sent; else the exchange has ended."""
        if isinstance(source, AsyncIterable):
            async for value in source:
                if not await self._send(value):
                    return False
        else:
            for value in source:
                if not await self._send(value):
                    return False
        return not self._call.done

    async def _send(self, value: Any) -> bool:
        item = encode_item(value, self._limits)
        if not await self._room():
            return False
        connection: ClientConnection = self._call.home
        names = self._compressions(connection.requester)
        if names:
            if len(item.content) >= IN_THREAD:
                small = await asyncio.to_thread(smaller, item, names)
                if not await self._room():
                    return False
                if self._call.home is not connection:  # it went elsewhere meanwhile, where that may not be read
                    return await self._send(value)
                item = small
            else:
                item = smaller(item, names)
        self._gathered += connection.send_item(self._call, item)
        now = time.perf_counter()
        if self._gathered >= _GATHERED or now >= self._until:
            connection.flush()
            await asyncio.sleep(0)
            self._gathered, self._until = 0, now + _TURN_SECONDS
        return True

    async def _room(self) -> bool:
        """Wait until an item may be sent; False once the exchange has ended."""
        call = self._call
        while not call.done:
            connection: ClientConnection | None = call.home
            if connection is not None and connection.requester.may_send(call):
                return True
            call.sender = self._loop.create_future()
            await call.sender
        return False


async def _close(source: Any) -> None:
    """Let a generator clean up; other iterables, such as files, are their owner's to close."""
    if isinstance(source, AsyncGenerator):
        await source.aclose()
    elif isinstance(source, Generator):
        source.close()


def _running_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return None

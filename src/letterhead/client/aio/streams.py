"""``AsyncStream`` and uploads, for ``AsyncClient``.

The rules here:

* Items are handed out one by one, and credit goes back for those alone: what nobody takes stays at the server.
* Whoever leaves a stream before its end cancels it, also by dropping it: then from wherever the collector runs. So a
  call must not refer to its stream.
* An upload is a task. It sends as long as there is credit and the pipe takes bytes, and it lets the loop go on after
  64 KiB or a millisecond, whatever it iterates over. It ends with the exchange, and closes a generator that it did not
  finish.

Which connection carries a stream is not known here.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterable, Generator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from letterhead import clock
from letterhead.client.aio.connection import AioCall, Owner
from letterhead.client.items import Values, encode_item
from letterhead.content.compression import smaller
from letterhead.errors import LetterheadError, UsageError
from letterhead.limits import KIB, Limits
from letterhead.protocol.flow import Item

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

    _call: AioCall | None = None

    def __init__(
        self, owner: Owner, call: AioCall, values: Values, upload: "Upload | None", loop: asyncio.AbstractEventLoop
    ) -> None:
        self._owner = owner
        self._values = values
        self._upload = upload
        self._loop = loop
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
        call = self._call
        if call is None or self._waiting:
            raise UsageError("another task waits for the next item of this stream")
        item = call.take() or await self._next(call)
        incoming = call.incoming
        if incoming is not None and incoming.due and not call.done:
            self._owner.core.give_back(call, clock.monotonic())
            self._owner.handle()
        try:
            value: T_co = self._values.value(item)
        except LetterheadError as error:
            self._owner.leave(call)
            call.fail_reading(error)
            raise
        return value

    async def _next(self, call: AioCall) -> Item:
        """Wait for an item."""
        self._waiting = True
        try:
            while not call.done:
                call.waiter = self._loop.create_future()
                await call.waiter
                item = call.take()
                if item is not None:
                    return item
        except BaseException:  # the task was cancelled: nobody waits for the rest
            self._owner.leave(call)
            raise
        finally:
            self._waiting = False
            call.waiter = None
        call.tell_timing()
        if call.error is not None:
            call.raise_error()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Leave the stream: what it still has is for nobody, and the server is asked to stop."""
        if self._call is not None:
            self._owner.leave(self._call)
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
                self._loop.call_soon_threadsafe(self._owner.leave, call)


class Upload:
    """Sends the items of a call's upload, in a task."""

    def __init__(self, owner: Owner, call: AioCall, limits: Limits) -> None:
        self._owner = owner
        self._call = call
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._gathered = 0  # bytes since the loop went on
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

    async def _run(self) -> None:
        call = self._call
        try:
            source = call.source
            try:
                if await self._send_all(source):
                    self._owner.core.end_upload(call, clock.monotonic())
                    self._owner.handle()
            finally:
                await _close(source)
        except asyncio.CancelledError as failure:
            if not self._stopped:  # not ours: the iterable raised it, or the whole loop ends
                self._fail(failure)
        except (Exception, KeyboardInterrupt, SystemExit) as failure:
            if self._stopped or call.done:
                raise  # nobody else would hear of it
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        """The iterable raised this; so will the call."""
        self._stopped = True
        self._owner.core.fail_upload(self._call, failure, clock.monotonic())
        self._owner.handle()

    async def _send_all(self, source: Any) -> bool:
        """Whether all were sent; else the exchange has ended."""
        call = self._call
        if not await self._writable():
            return False
        if isinstance(source, AsyncIterable):
            async for value in source:
                if not await self._send(value):
                    return False
        else:
            for value in source:
                if not await self._send(value):
                    return False
        return not call.done and (call.upload_begun or await self._writable())

    async def _send(self, value: Any) -> bool:
        item = encode_item(value, self._limits)
        call, core = self._call, self._owner.core
        if not await self._writable():
            return False
        names, small = core.compressions(call), item
        if names and len(item.content) >= IN_THREAD:
            small = await asyncio.to_thread(smaller, item, names)
            if not await self._writable():
                return False
        elif names:
            small = smaller(item, names)
        self._gathered += core.send_item(call, item, clock.monotonic(), small)
        self._owner.handle()
        now = time.perf_counter()
        if self._gathered >= _GATHERED or now >= self._until:
            if call.connection is not None:
                call.connection.pipe.flush()
            await asyncio.sleep(0)
            self._gathered, self._until = 0, now + _TURN_SECONDS
        return True

    async def _writable(self) -> bool:
        """Wait until an item may be sent; False once the exchange has ended."""
        call = self._call
        while not call.done:
            if self._owner.core.may_send(call):
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


def wake(waiter: "asyncio.Future[None] | None") -> None:
    """Wake whoever waits with this future, if anybody does."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)

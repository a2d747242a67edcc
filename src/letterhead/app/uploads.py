"""What a handler reads an upload from: an iterator over the items that the client sends.

* An item is checked when it is taken, which gives its credit back. One that is not what it says, or does not fit its
  type, ends the exchange at once, and the iterator raises that error.
* The iterator ends where the client ended the stream, and nowhere else: where nobody waits for the answer any longer it
  raises the reason, and once the handler has returned it is of no use to what the handler left behind.
* Who takes items that are here already lets the event loop go on every millisecond.
* A handler in a thread that answers whole begins when its first item is there, or the end: uploads that are only opened
  take no threads.
* A thread is given many items at a time, since each crossing from the loop costs what twenty items cost; but only when
  it has used up the last ones, so that what a slow thread has not asked for stays with the client.

How items come over the wire is not known here, nor where the handler runs.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from copy import copy
from queue import SimpleQueue
from typing import Any

from letterhead import clock
from letterhead.app.arguments import ItemType
from letterhead.app.context import Context
from letterhead.app.encoder import MAY_BE_LARGE, takes_long
from letterhead.app.stream_threads import StreamThreads
from letterhead.app.streaming import ITEM_BYTES
from letterhead.app.turns import TURN_SECONDS
from letterhead.content.compression import decompress
from letterhead.errors import LetterheadError, Refused, UsageError
from letterhead.limits import Limits
from letterhead.protocol.flow import Item
from letterhead.wire.header import content_limit

BATCH_BYTES = 64 * 1024
"""What a thread is given at a time."""
Read = Callable[[Item], Awaitable[Any]]
"""What makes the value of an item elsewhere than on the event loop; it raises as ``ItemReader.read`` does."""


class ItemReader:
    """Items as values.

    Args:
        kind: what they are.
        limits: what they may cost.
    """

    __slots__ = ("_kind", "_limits", "_max_depth")

    def __init__(self, kind: ItemType, limits: Limits) -> None:
        self._kind = kind
        self._limits = limits
        self._max_depth = limits.content_depth

    def read(self, item: Item) -> Any:
        """The value of an item.

        Raises:
            BadContent, TooLarge, InvalidArgument: it has none that may be.
        """
        header, content = item
        shape = header.shape
        if shape.meaning.compression is not None:
            content = decompress(content, shape.meaning.compression, content_limit(shape.type, self._limits))
        return self._kind.decode(shape, content, self._max_depth)

    def takes_long(self, item: Item) -> bool:
        """Whether reading it could hold an event loop too long."""
        header, content = item
        shape = header.shape
        if shape.meaning.compression is not None:
            return len(content) >= MAY_BE_LARGE
        return takes_long(shape, len(content))


class LoopUpload(AsyncIterator[Any]):
    """An upload that is read on the event loop. Several tasks may read it: each item goes to one of them."""

    def __init__(self, call: Context, reader: ItemReader, read_off_loop: Read) -> None:
        self._call = call
        self._reader = reader
        self._read_off_loop = read_off_loop
        self._request = call.request
        self._client = call.client
        self._read = reader.read
        self._waiting: list[asyncio.Future[None]] = []
        self._turn_ends = clock.monotonic() + TURN_SECONDS
        self._closed = False

    def moved(self) -> None:
        """An item or the end is there, or nobody waits for the answer any longer."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        """The handler has returned."""
        self._closed = True
        self.moved()

    async def __anext__(self) -> Any:
        request = self._request
        if clock.monotonic() >= self._turn_ends:
            await asyncio.sleep(0)
            self._turn_ends = clock.monotonic() + TURN_SECONDS
        while True:
            if request.stopped is not None or self._closed:
                raise over(request.stopped)
            item = self._client.take(request)
            if item is not None:
                break
            if request.incoming is None or request.incoming.whole:
                raise StopAsyncIteration
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter
            self._turn_ends = clock.monotonic() + TURN_SECONDS
        try:
            if self._reader.takes_long(item):
                return await self._read_off_loop(item)
            return self._read(item)
        except Refused as refused:
            fail(self._call, refused)
            task = self._call.task
            if task is not None and task is not asyncio.current_task():  # it is no handler that hears of it here
                task.cancel()
            raise


class ThreadUpload(Iterator[Any]):
    """An upload that is read in a thread. Several threads may read it: each item goes to one of them.

    Args:
        call: what it belongs to.
        reader: makes values of its items.
        loop: the server's event loop.
        threads: where the handler runs; told when the handler waits for its peer.
    """

    def __init__(
        self, call: Context, reader: ItemReader, loop: asyncio.AbstractEventLoop, threads: StreamThreads
    ) -> None:
        self._call = call
        self._threads = threads
        self._request = call.request
        self._client = call.client
        self._read = reader.read
        self._loop = loop
        self._lock = threading.Lock()
        self._items: deque[Item] = deque()
        self._given: SimpleQueue[list[Item]] = SimpleQueue()
        self._context = contextvars.Context()
        self._first: asyncio.Future[None] | None = None
        self._asked = False  # the thread waits, and nothing was there
        self._whole = False  # the end follows what was given
        self._failed: Refused | None = None
        self._closed = False

    # -- in the thread ---------------------------------------------------------------------------------------------

    def __next__(self) -> Any:
        item = self._next()
        try:
            return self._read(item)
        except Refused as refused:
            self._failed = refused
            with contextlib.suppress(RuntimeError):  # the loop has ended: so has the exchange
                self._loop.call_soon_threadsafe(fail, self._call, refused, context=self._context)
            raise

    def _next(self) -> Item:
        with self._lock:
            while True:
                stopped = self._failed or self._request.stopped
                if stopped is not None or self._closed:
                    raise over(stopped)
                if self._items:
                    return self._items.popleft()
                if self._whole:
                    raise StopIteration
                try:
                    self._loop.call_soon_threadsafe(self._give, context=self._context)
                except RuntimeError:  # the loop has ended, and the server with it
                    raise over(None) from None
                self._items.extend(self._given.get())

    # -- on the loop -----------------------------------------------------------------------------------------------

    async def begun(self) -> None:
        """Wait until its first item or its end is there, or nobody waits for the answer any longer."""
        incoming = self._request.incoming
        while incoming is not None and not (incoming.items or incoming.whole or self._request.stopped or self._closed):
            incoming.wanted = True
            self._first = self._loop.create_future()
            await self._first

    def moved(self) -> None:
        """An item or the end is there, or nobody waits for the answer any longer."""
        if self._first is not None and not self._first.done():
            self._first.set_result(None)
        if self._asked:
            self._asked = False
            self._threads.goes_on(self._call)
            self._give()

    def close(self) -> None:
        """The handler has returned."""
        self._closed = True
        self._threads.goes_on(self._call)
        self._given.put([])  # for a thread that waits, although the loop may end before it comes to give

    def _give(self) -> None:
        given: list[Item] = []
        request = self._request
        if request.stopped is None and not self._closed:
            size = 0
            while size < BATCH_BYTES:
                item = self._client.take(request)
                if item is None:
                    break
                given.append(item)
                size += len(item[1]) + ITEM_BYTES
            incoming = request.incoming
            self._whole = incoming is None or (incoming.whole and not incoming.items)
            if not given and not self._whole:
                self._asked = True
                self._threads.waits(self._call)
                return
        self._given.put(given)


def fail(call: Context, why: Refused) -> None:
    """End the exchange. Whoever reads or sends for it may wait, and is told."""
    call.client.fail(call.request, why)
    for end in (call.upload, call.sender):
        if end is not None:
            end.moved()


def over(stopped: Refused | None) -> LetterheadError:
    """What is raised where an upload has ended without its end: why nobody waits for the answer, if so."""
    if stopped is not None:
        return copy(stopped)  # each raise gives an error a traceback
    return UsageError("the call that this stream belongs to has been answered: it gives no more items")

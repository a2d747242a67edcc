"""What a handler reads an upload from: an iterator over the items that the client sends.

* An item is checked when it is taken, which gives its credit back. One that is not what it says, or does not fit its
  type, ends the exchange at once, and the iterator raises that error.
* The iterator ends where the client ended the stream, and nowhere else: where nobody waits for the answer any longer it
  raises the reason, and once the handler has returned it is of no use to what the handler left behind.
* Who takes items that are here already gives the event loop a turn every millisecond.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from copy import copy
from typing import Any

from letterhead.app.arguments import ItemType
from letterhead.app.context import Context
from letterhead.app.streaming import TURN_SECONDS
from letterhead.errors import LetterheadError, Refused, UsageError
from letterhead.exchange.streams import Item


class ItemReader:
    """Items as values.

    Args:
        kind: what they are.
        max_depth: how deep they may nest.
    """

    __slots__ = ("_kind", "_max_depth")

    def __init__(self, kind: ItemType, max_depth: int) -> None:
        self._kind = kind
        self._max_depth = max_depth

    def read(self, item: Item) -> Any:
        """The value of an item.

        Raises:
            BadContent, InvalidArgument: it has none.
        """
        header, content = item
        return self._kind.decode(header.shape, content, self._max_depth)


class LoopUpload(AsyncIterator[Any]):
    """An upload that is read on the event loop. Several tasks may read it: each item goes to one of them."""

    def __init__(self, call: Context, reader: ItemReader) -> None:
        self._request = call.request
        self._client = call.client
        self._read = reader.read
        self._waiting: list[asyncio.Future[None]] = []
        self._turn_ends = 0.0
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
        if time.monotonic() >= self._turn_ends:
            await asyncio.sleep(0)
            self._turn_ends = time.monotonic() + TURN_SECONDS
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
            self._turn_ends = time.monotonic() + TURN_SECONDS
        try:
            return self._read(item)
        except Refused as refused:
            self._client.fail(request, refused)
            raise


def over(stopped: Refused | None) -> LetterheadError:
    """What is raised where an upload has ended without its end: why nobody waits for the answer, if so."""
    if stopped is not None:
        return copy(stopped)  # each raise gives an error a traceback
    return UsageError("the call that this stream belongs to has been answered: it gives no more items")

"""Results that are streams: what a handler's iterator gives, as items on their way to the client.

* An item is sent while the client's credit lasts and the connection takes bytes; else its sender waits, and
  the handler with it: what was not asked for yet is not made.
* An iterator that never waits does not hold the event loop: every 64 KiB or millisecond it stands in line with the
  other streams (``turns.py``). Small items of one loop iteration go out with one write, which the connection sees to.
* When nobody waits for the answer any longer the iterator is closed at once, where it runs.
* A thread encodes its items itself and hands over many at a time, since each crossing to the loop costs what twenty
  items cost. It runs ahead of the client by so many bytes; then it waits until some of them have gone, or nobody waits
  for it.

Who answers, and what an error becomes, is the runner's; frames and credit are the conversation's.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from typing import Any

from letterhead import clock
from letterhead.app.context import Context
from letterhead.app.stream_threads import StreamThreads
from letterhead.app.turns import TURN_BYTES, TURN_SECONDS, Turns
from letterhead.content.encoded import Encoded

AHEAD_BYTES = 256 * 1024
ITEM_BYTES = 256
"""What an item takes beside its content."""

Encode = Callable[[Any], Encoded]
Pack = Callable[[Encoded], Awaitable[Encoded]]


class LoopSender:
    """Sends what a handler gives on the event loop.

    Args:
        call: what is answered.
        turns: where it stands in line when it had its turn.
        encode: makes an item of what the handler gives.
        pack: makes the item smaller, where the client can read that.
    """

    def __init__(self, call: Context, turns: Turns, encode: Encode, pack: Pack | None = None) -> None:
        self._request = call.request
        self._client = call.client
        self._turns = turns
        self._encode = encode
        self._pack = pack
        self._writable: asyncio.Future[None] | None = None

    def moved(self) -> None:
        """An item may be sent, or the exchange has ended."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    async def send_all(self, items: Any) -> None:
        """Send the items of an asynchronous iterator until it ends or nobody waits, and close it.

        Raises:
            TypeError: it is none, or an item cannot be sent.
            Exception: whatever the iterator raises.
        """
        if not isinstance(items, AsyncIterable):
            raise TypeError(f"the handler gave no asynchronous iterator, but {type(items).__name__}")
        iterator = aiter(items)
        request, encode, pack, send = self._request, self._encode, self._pack, self._client.send_item
        turns = self._turns
        try:
            if turns:
                await turns.wait()
            sent, ends = 0, clock.monotonic() + TURN_SECONDS
            async for value in iterator:
                if request.stopped is not None:  # it swallowed its cancellation
                    break
                item = encode(value) if pack is None else await pack(encode(value))
                sent += send(request, item) or await self._send_later(item)
                if sent >= TURN_BYTES or clock.monotonic() >= ends:
                    await turns.wait()
                    sent, ends = 0, clock.monotonic() + TURN_SECONDS
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()

    async def send_plainly(self, items: Any) -> None:
        """Send the items of a plain iterator on the event loop until it ends or nobody waits, and close it.

        Raises:
            TypeError: there is no iterator, or an item cannot be sent.
            Exception: whatever the iterator raises.
        """
        iterator = iterator_of(items)
        request, encode, pack, send = self._request, self._encode, self._pack, self._client.send_item
        turns = self._turns
        try:
            if turns:
                await turns.wait()
            sent, ends = 0, clock.monotonic() + TURN_SECONDS
            for value in iterator:
                item = encode(value) if pack is None else await pack(encode(value))
                sent += send(request, item) or await self._send_later(item)
                if sent >= TURN_BYTES or clock.monotonic() >= ends:
                    await turns.wait()
                    sent, ends = 0, clock.monotonic() + TURN_SECONDS
        finally:
            close_plainly(iterator)

    async def _send_later(self, item: Encoded) -> int:
        """Send an item once it may be sent; how many bytes it took."""
        while self._request.stopped is None:
            self._writable = asyncio.get_running_loop().create_future()
            try:
                await self._writable
            finally:
                self._writable = None
            cost: int = self._client.send_item(self._request, item)
            if cost:
                return cost
        return 0


class ThreadSender:
    """Sends what a handler gives in a thread.

    Args:
        call: what is answered.
        turns: where it stands in line when it had its turn.
        encode: makes an item of what the handler gives, in the thread.
        loop: the server's event loop.
        threads: where the handler runs; told when it waits for its peer.

    The thread only adds to ``_waiting`` and ``_put``, the loop only takes from there and adds to ``_taken``: no lock is
    needed to know how far the thread is ahead.
    """

    def __init__(
        self, call: Context, turns: Turns, encode: Encode, loop: asyncio.AbstractEventLoop, threads: StreamThreads
    ) -> None:
        self._call = call
        self._threads = threads
        self._request = call.request
        self._client = call.client
        self._turns = turns
        self._encode = encode
        self._loop = loop
        self._context = contextvars.Context()
        self._waiting: deque[Encoded] = deque()
        self._put = 0
        self._taken = 0
        self._told = False  # the loop will look, or will be told that items may be sent
        self._in_line = False
        self._abandoned = False
        self._resting = False  # the thread is so far ahead that it waits
        self._changed = threading.Condition()
        self._emptied: asyncio.Future[None] | None = None

    @property
    def _over(self) -> bool:
        return self._abandoned or self._request.stopped is not None

    # -- in the thread ---------------------------------------------------------------------------------------------

    def send_all(self, items: Any) -> None:
        """Hand over the items of an iterator until it ends or nobody waits, and close it.

        Raises:
            TypeError: it is none, or an item cannot be sent.
            Exception: whatever the iterator raises.
        """
        iterator = iterator_of(items)
        try:
            for value in iterator:
                item = self._encode(value)
                if self._over:
                    break
                self._waiting.append(item)
                self._put += len(item.content) + ITEM_BYTES
                if not self._told:
                    self._told = True
                    with contextlib.suppress(RuntimeError):  # the loop has ended, and the server with it
                        self._loop.call_soon_threadsafe(self.moved, context=self._context)
                if self._put - self._taken >= AHEAD_BYTES:
                    self._rest()
        finally:
            close_plainly(iterator)

    def _rest(self) -> None:
        with self._changed:
            self._resting = True
            while self._put - self._taken > AHEAD_BYTES // 2 and not self._over:
                self._changed.wait()
            self._resting = False

    # -- on the loop -----------------------------------------------------------------------------------------------

    def moved(self) -> None:
        """There is something to send, or it may be sent; or nobody waits any longer."""
        if self._over:
            self._send()
        elif not self._in_line:
            self._in_line = True
            self._turns.ask(self._send_in_turn)

    def cancel(self) -> None:
        """Nobody waits for the items any longer: the thread ends as soon as it looks."""
        self._abandoned = True
        self._send()

    async def sent(self) -> None:
        """Wait until all that was handed over is sent, once the thread has returned."""
        while self._waiting and not self._over:
            self._emptied = self._loop.create_future()
            await self._emptied

    def _send_in_turn(self) -> None:
        self._in_line = False
        self._send()

    def _send(self) -> None:
        # Before the look: what the thread adds behind it brings another look.
        self._told = False
        if self._over:
            self._waiting.clear()
        waiting, request, send = self._waiting, self._request, self._client.send_item
        sent, ends = 0, clock.monotonic() + TURN_SECONDS
        while waiting:
            item = waiting[0]
            cost = send(request, item)
            if not cost:
                self._told = True
                self._threads.waits(self._call)
                break
            if not sent:
                self._threads.goes_on(self._call)
            waiting.popleft()
            self._taken += len(item.content) + ITEM_BYTES
            sent += cost
            if sent >= TURN_BYTES or clock.monotonic() >= ends:
                self._told = True
                self.moved()
                break
        if self._resting and (self._over or self._put - self._taken <= AHEAD_BYTES // 2):
            with self._changed:
                self._changed.notify_all()
        if not waiting and self._emptied is not None and not self._emptied.done():
            self._emptied.set_result(None)


def iterator_of(items: Any) -> Iterator[Any]:
    """The iterator over what a handler gave.

    Raises:
        TypeError: there is none.
    """
    if not isinstance(items, Iterable):
        raise TypeError(f"the handler gave no iterator, but {type(items).__name__}")
    return iter(items)


def close_plainly(iterator: Iterator[Any]) -> None:
    """End a generator that may have more to give."""
    close = getattr(iterator, "close", None)
    if close is not None:
        close()

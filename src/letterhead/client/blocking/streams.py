"""``Stream`` and uploads, for ``Client``.

Whoever reads a stream never leads (``link.py``): it takes what the reader thread has left, and sleeps while there is
nothing. The rules here:

* Items are taken without the client's lock, one by one, and credit goes back for those alone: what nobody takes stays
  at the server. The lock is needed to wait, to give credit back and to leave.
* Whoever leaves a stream before its end cancels it, also by dropping it: then from wherever the collector runs. So a
  call must not refer to its stream.
* An upload is a thread, which waits in the iterable for as long as that likes; a call does not wait for it. Each item
  is offered to the connection at once, since nobody knows when the next one comes. A generator that was left is closed
  by that thread.
"""

import contextvars
import threading
from collections.abc import AsyncIterable, Generator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from letterhead.client.blocking.connection import Link
from letterhead.client.blocking.waiters import ClientLock, taken, wait_on
from letterhead.content.compression import smaller
from letterhead.content.encoded import Encoded
from letterhead.errors import LetterheadError, UsageError
from letterhead.limits import Limits
from letterhead.protocol.calls import Call
from letterhead.protocol.flow import Incoming, Item
from letterhead.protocol.items import Values, encode_item
from letterhead.protocol.timing import Timing

T_co = TypeVar("T_co", covariant=True)


class Owner(Protocol):
    """What a stream needs of its client."""

    @property
    def lock(self) -> ClientLock:
        """What guards all that connections and calls are."""

    @property
    def inside(self) -> set[int]:
        """Threads that wait."""

    def alone(self) -> int:
        """This thread; UsageError where it waits already, in whose midst this is."""

    def held(self) -> AbstractContextManager[None]:
        """The lock, held by a thread that is not in the midst of waiting; UsageError where it is."""

    def advance(self, call: Call, began: float, waiter: threading.Lock) -> None:
        """With the lock held: place the call, or wait until ``waiter`` is released; end it when its time is over."""

    def leave(self, call: Call) -> None:
        """With the lock held: nobody wants the rest of it."""

    def abandon(self, call: Call) -> None:
        """The same from wherever the collector runs."""

    def compressions(self, call: Call) -> tuple[str, ...]:
        """Those that items of its upload may be compressed with, best first."""

    def fail_upload(self, call: Call, failure: BaseException) -> None:
        """With the lock held: its upload raised this."""


class Stream(Generic[T_co]):
    """The items of a streamed result, as ``Client.stream`` returns them: an iterator::

        for row in client.stream("rows", table="orders"):
            ...

    Leaving the loop early cancels the call at the server. A stream that has a name outlives its loop, and is left by
    hand: ``with client.stream(…) as rows:``, or ``rows.close()``. Any thread may read it, one at a time.
    """

    _call: Call | None = None

    def __init__(
        self, owner: Owner, call: Call, incoming: Incoming, values: Values, timing: Timing | None, began: float
    ) -> None:
        self._owner = owner
        self._incoming = incoming
        self._values = values
        self._timing = timing
        self._began = began
        self._reading = threading.Lock()
        self._call = call

    @property
    def single(self) -> bool:
        """Whether it turned out to be one result; only streams that ``either`` has opened can."""
        return self._call is not None and self._call.single

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T_co:
        """The next item.

        Raises:
            As ``Client.call``. Items that came before an error are handed out first. The same error comes again from
            every further call.
            Cancelled: the stream was left before its end, or superseded by a later call.
            UsageError: another thread waits for its next item.
        """
        call, incoming = self._call, self._incoming
        if call is None or not self._reading.acquire(blocking=False):
            raise UsageError("another thread waits for the next item of this stream")
        try:
            item = incoming.take() or self._next(call)
            if incoming.due and not call.done:
                self._give_back(call)
            try:
                value: T_co = self._values.value(item)
            except LetterheadError as error:
                self.close()
                call.spoil(error)
                raise
            return value
        except BaseException:
            self.close()  # also Ctrl-C at any step: an item may be lost, so none may follow
            raise
        finally:
            self._reading.release()

    def _next(self, call: Call) -> Item:
        """Wait for an item."""
        owner = self._owner
        thread = owner.alone()
        with owner.lock:
            try:
                owner.inside.add(thread)
                while True:
                    item = self._incoming.take()  # again: it may have come before the lock was ours
                    if item is not None:
                        return item
                    if call.done:
                        break
                    waiter = call.waiter = taken()
                    owner.advance(call, self._began, waiter)
            finally:
                owner.inside.discard(thread)
                call.waiter = None
        if self._timing is not None:
            self._timing.told(call.timing, call.repeats + 1)
        if call.header is None:
            call.raise_error()
        raise StopIteration

    def _give_back(self, call: Call) -> None:
        with self._owner.held():
            link: Link | None = call.home
            if link is not None:
                link.requester.give_back(call)
                link.moved()

    def close(self) -> None:
        """Leave the stream: what it still has is for nobody, and the server is asked to stop."""
        call, owner = self._call, self._owner
        if call is None:
            return
        if threading.get_ident() in owner.inside:  # in a signal handler, while this thread is in a call
            owner.abandon(call)
            return
        with owner.held():
            owner.leave(call)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        call = self._call
        if call is not None and not call.done:
            self._owner.abandon(call)


class Upload:
    """Sends the items of a call's upload, in a thread.

    Raises:
        UsageError: they come from an async iterable.
    """

    def __init__(self, owner: Owner, call: Call, limits: Limits) -> None:
        if isinstance(call.source, AsyncIterable):
            raise UsageError("an async iterable needs an event loop: use AsyncClient")
        self._source: Any = call.source
        self._owner = owner
        self._call = call
        self._limits = limits

    def start(self) -> None:
        """Begin. The iterable is iterated in a copy of the caller's context."""
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._run,), name="letterhead-upload", daemon=True).start()

    def _run(self) -> None:
        call, owner, source = self._call, self._owner, self._source
        try:
            try:
                if self._begin() and self._send_all():
                    self._send(None)
            finally:
                if isinstance(source, Generator):
                    source.close()  # other iterables, such as files, are their owner's to close
        except BaseException as failure:
            with owner.lock:
                told = not call.done
                if told:
                    owner.fail_upload(call, failure)
            if not told:
                raise  # nobody else would hear of it

    def _begin(self) -> bool:
        with self._owner.lock:
            return self._room()

    def _send_all(self) -> bool:
        """Whether all were sent; else the exchange has ended."""
        for value in self._source:
            item = encode_item(value, self._limits)
            names = self._owner.compressions(self._call)
            if not self._send(item, smaller(item, names) if names else item):
                return False
        return True

    def _send(self, item: Encoded | None, small: Encoded | None = None) -> bool:
        """Send an item, as ``small`` where the server reads that, or the end of them; whether more may follow."""
        call = self._call
        with self._owner.lock:
            # The end needs no room. But a call of which nothing has gone may be on its way to another connection.
            begun = call.outgoing is not None and call.outgoing.begun
            if not (begun and item is None) and not self._room():
                return False
            link: Link | None = call.home
            if link is None:
                return False
            if item is None:
                link.requester.end_upload(call)
            else:
                packing = (small.fields or {}).get("compression") if small is not None else None
                packed = small is not None and packing in link.requester.readable
                link.requester.send_item(call, small if small is not None and packed else item)
            link.send_for(call)
            return not call.done

    def _room(self) -> bool:
        """With the lock held: wait until an item may be sent; False once the exchange has ended."""
        call = self._call
        while not call.done:
            link: Link | None = call.home
            if link is not None and link.requester.may_send(call):
                return True
            sender = call.sender = taken()
            if link is None:
                wait_on(self._owner.lock, sender, None)
            else:
                link.wait_as(sender, None)
        return False

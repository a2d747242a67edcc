"""``Stream`` and uploads, for ``Client``.

The rules here:

* Items are taken without the client's lock, one by one, and credit goes back for those alone: what nobody takes stays
  at the server.
* Whoever leaves a stream before its end cancels it, also by dropping it: then from wherever the collector runs. So a
  call must not refer to its stream.
* An upload is a thread, which waits in the iterable for as long as that likes; a call does not wait for it. Each item
  is offered to the connection at once, since nobody knows when the next one comes. A generator that was left is closed
  by that thread.

Which connection carries a stream is not known here, nor who reads it.
"""

import contextvars
import threading
from collections.abc import AsyncIterable, Generator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from letterhead.client.blocking.connection import BlockingCall
from letterhead.client.blocking.engine import Engine
from letterhead.client.items import Values, encode_item
from letterhead.content.compression import smaller
from letterhead.errors import LetterheadError, UsageError
from letterhead.protocol.flow import Item

T_co = TypeVar("T_co", covariant=True)


class Stream(Generic[T_co]):
    """The items of a streamed result, as ``Client.stream`` returns them: an iterator::

        for row in client.stream("rows", table="orders"):
            ...

    Leaving the loop early cancels the call at the server. A stream that has a name outlives its loop, and is left by
    hand: ``with client.stream(…) as rows:``, or ``rows.close()``. Any thread may read it, one at a time.
    """

    _call: BlockingCall | None = None

    def __init__(self, engine: Engine, call: BlockingCall, values: Values) -> None:
        self._engine = engine
        self._values = values
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
        call = self._call
        if call is None or not self._reading.acquire(blocking=False):
            raise UsageError("another thread waits for the next item of this stream")
        try:
            item = call.take() or self._next(call)
            incoming = call.incoming
            if incoming is not None and incoming.due and not call.done:
                self._engine.give_back(call)
            try:
                value: T_co = self._values.value(item)
            except LetterheadError as error:
                self.close()
                call.fail_reading(error)
                raise
            return value
        except BaseException:
            self.close()  # also Ctrl-C at any step: an item may be lost, so none may follow
            raise
        finally:
            self._reading.release()

    def _next(self, call: BlockingCall) -> Item:
        """Wait for an item."""
        with self._engine.waiting():
            while True:
                done = call.done  # before it is looked for: an item may be the last thing that happened
                item = call.take()
                if item is not None:
                    return item
                if done:
                    break
                self._engine.sleep(call)
        call.tell_timing()
        if call.error is not None:
            call.raise_error()
        raise StopIteration

    def close(self) -> None:
        """Leave the stream: what it still has is for nobody, and the server is asked to stop."""
        if self._call is not None:
            self._engine.leave(self._call)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        call = self._call
        if call is not None and not call.done:
            self._engine.abandon(call)


class Upload:
    """Sends the items of a call's upload, in a thread.

    Raises:
        UsageError: they come from an async iterable.
    """

    def __init__(self, engine: Engine, call: BlockingCall) -> None:
        if isinstance(call.source, AsyncIterable):
            raise UsageError("an async iterable needs an event loop: use AsyncClient")
        self._source: Any = call.source
        self._engine = engine
        self._call = call

    def start(self) -> None:
        """Begin. The iterable is iterated in a copy of the caller's context."""
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._run,), name="letterhead-upload", daemon=True).start()

    def _run(self) -> None:
        call, engine, source = self._call, self._engine, self._source
        try:
            try:
                if engine.writable(call) and self._send_all():
                    engine.end_upload(call)
            finally:
                if isinstance(source, Generator):
                    source.close()  # other iterables, such as files, are their owner's to close
        except BaseException as failure:
            if not engine.fail_upload(call, failure):
                raise  # nobody else would hear of it

    def _send_all(self) -> bool:
        """Whether all were sent; else the call has ended."""
        engine, call = self._engine, self._call
        limits = engine.settings.limits
        for value in self._source:
            item = encode_item(value, limits)
            names = engine.core.compressions(call)
            if not engine.send_item(call, item, smaller(item, names) if names else item) or call.done:
                return False
        return True

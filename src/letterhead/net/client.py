"""``Client``: the blocking client, for any number of threads.

One lock guards all state. Here stand what users call, and time: who waits for a call, how long, and what becomes of it
when nobody does any longer. On which connection a call goes is decided in ``links.py``, who reads and writes there in
``link.py``; streams are read in ``streams.py``.

Nothing here imports asyncio: a program that only calls should start fast.
"""

import _thread
import contextlib
import math
import os
import threading
import time
import weakref
from collections.abc import Hashable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from letterhead.app.context import refuse_to_block
from letterhead.exchange.calls import Call
from letterhead.exchange.items import Values
from letterhead.exchange.openings import pack
from letterhead.exchange.streams import Incoming
from letterhead.exchange.timing import Timing
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.net.caller import Caller, left_early
from letterhead.net.link import Link
from letterhead.net.links import Connector, Links, end
from letterhead.net.streams import Stream, Upload
from letterhead.net.waiters import tell

T = TypeVar("T")
_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()


class Client(Caller):
    """Calls actions of a Letterhead server, or of a classic one. Connects at the first call; any thread may call.

    Args:
        address: ``HOST:PORT``, ``[::1]:PORT`` or ``unix:PATH``.
        timeout: seconds for each call that names none, sent along as its deadline. None: the server's own deadline
            holds, and this side waits ``Limits.deadline_seconds`` (30 s). Neither is for calls with a stream.
        limits: bounds on what the server may send, and on what is sent.
        accept: content types that results are wanted in, best first, such as ``["application/msgpack"]``; what fits
            none comes in its own type.
        compression: ``"zstd"`` (which needs the extra ``zstd``) and ``"gzip"``, or one of them, better ones first: what
            the server may send compressed so, and what goes so where the server reads it. Only ``call`` and ``stream``
            do; ``send`` sends what it is given.
        connector: instead of an address's own way to connect: ``connector(timeout) -> Wire``.

    Raises:
        UsageError: the address is not written as one.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float | None = None,
        limits: Limits | None = None,
        accept: Sequence[str] = (),
        compression: Sequence[str] = (),
        connector: Connector | None = None,
    ) -> None:
        super().__init__(address, timeout, limits, accept, compression)
        self._connector = connector
        self.lock, self._links = self._unconnected()
        _clients.add(self)

    # -- what users call -------------------------------------------------------------------------------------------

    @overload
    def call(
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
    def call(
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
    def call(
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

        One argument may be a stream: a generator, another iterator, ``range``, or an open file (its lines). Its items
        are sent as the server takes them, by a thread that iterates in a copy of this context: a call that is over
        does not wait for an iterable that blocks. When the call ends before the items do, a generator is closed, in
        that thread. What an iterable raises ends the call, and is raised here.

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
            UsageError: arguments that cannot be sent, the action answers with a stream, the client is closed, or the
                call would block the event loop of the very server that runs this handler.
        """
        call = self._action_call(action, arg, args, timeout, returns, accept, timing)
        try:
            self._perform(call, supersedes)
        finally:
            if timing is not None:
                timing.told(call.timing)
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
    ) -> Stream[T]: ...
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
    ) -> Stream[Any]: ...
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
    ) -> Stream[Any]:
        """Call an action that answers with a stream, and return its items as an iterator::

            for number in client.stream("count", to=3):
                print(number)

        The request is sent at once, in the order of calls, not with the first item. The server sends ahead up to 1 MiB
        of what was not read; a thread of the client's receives that as long as a stream is open. Leaving the loop early
        cancels the call there; a stream that has a name is left with ``with`` or ``close()``. A stream of arguments at
        the same time makes it a conversation.

        Args:
            timeout: seconds for all of it; by default a stream may take as long as it wants.
            returns: the type that each item is converted to and checked by.
            accept, supersedes, timing: as for ``call``.

        Raises:
            UsageError: arguments that cannot be sent, the client is closed, or reading would block the event loop of
                the very server that runs this handler.
            All else is raised where items are taken.
        """
        call = self._stream_call(action, arg, args, timeout, accept, timing)
        return self._opened(call, call.stream(), returns, supersedes, timing)

    def either(self, action: str, arguments: Mapping[str, Any], *, timeout: float | None = None) -> Stream[Any]:
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

    def send(self, message: Message, *, timeout: float | None = None) -> Message:
        """Send a message with a header and content of your own, and return the reply as it is.

        With an ``action`` field in its header it calls that action; without, it is a request in classic form.

        Raises:
            As ``call``.
        """
        call = self._message_call(message, timeout)
        self._perform(call, None)
        reply: Message = call.result(None, self._limits)
        return reply

    def close(self) -> None:
        """Close the connection. Calls and streams that are open in other threads fail with ``ConnectionLost``.

        A thread that waits in the iterable of an upload ends when that gives its next item.
        """
        with self.lock:
            threads = self._links.close(self._gone())
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- one call --------------------------------------------------------------------------------------------------

    def _opened(
        self, call: Call, incoming: Incoming, returns: Any, key: Hashable, timing: Timing | None
    ) -> Stream[Any]:
        values = Values(call, returns, self._limits)
        refuse_to_block()
        if self._compression:
            pack(call, self._in_common(self._links.requester))
        upload = None if call.source is None else Upload(self, call, self._limits)
        call.on_end = self._leave_place
        began = time.monotonic()
        with self.lock:
            try:
                if key is not None:
                    self._take_place(call, key)
                while call.home is None and not call.done:
                    self._links.place(call, self._until(call, began))
                    self._end_if_late(call, began)
            except BaseException:
                self.leave(call)
                raise
        if upload is not None:
            upload.start()
        return Stream(self, call, incoming, values, timing, began)

    def _perform(self, call: Call, key: Hashable) -> None:
        refuse_to_block()
        if self._compression:
            pack(call, self._in_common(self._links.requester))
        if call.source is not None:
            Upload(self, call, self._limits).start()
        began = time.monotonic()
        until: float | None = began + call.seconds
        with self.lock:
            try:
                if key is not None:
                    self._take_place(call, key)
                while call.header is None and call.error is None:
                    if call.seconds == math.inf:
                        until = self._until(call, began)
                    link: Link | None = call.home
                    if link is None:
                        self._links.place(call, until)
                    else:
                        link.wait(call, until)
                    self._end_if_late(call, began)
            except BaseException:  # Ctrl-C, or an exception thrown into this thread: nobody waits for the reply
                self.leave(call)
                raise
            finally:
                self._leave_place(call)

    def _until(self, call: Call, began: float) -> float | None:
        """When its time is over, None for never."""
        if call.seconds != math.inf:
            return began + call.seconds
        return None if self._may_wait_on(call) else max(began, call.since) + self._limits.deadline_seconds

    def _end_if_late(self, call: Call, began: float) -> None:
        if call.header is None and call.error is None:
            until = self._until(call, began)
            if until is not None and time.monotonic() >= until:
                end(call, self._out_of_time(call))
                self._links.withdraw(call, late=True)

    # -- what streams need of it -----------------------------------------------------------------------------------

    def advance(self, call: Call, began: float, waiter: threading.Lock) -> None:
        """With the lock held: place the call, or wait until ``waiter`` is released; end it when its time is over."""
        until = self._until(call, began)
        link: Link | None = call.home
        if link is None:
            self._links.place(call, until)
        else:
            link.wait_as(waiter, until)
        if call.incoming is None or not call.incoming.items:
            self._end_if_late(call, began)

    def leave(self, call: Call) -> None:
        """With the lock held: nobody wants the rest of it."""
        if call.incoming is not None:
            call.incoming.drop()
        if not call.done:
            end(call, left_early())
            self._links.withdraw(call, late=False)

    def abandon(self, call: Call) -> None:
        """The same from wherever the collector runs: this very thread may hold the lock."""
        if self.lock.acquire(blocking=False):
            try:
                self.leave(call)
            finally:
                self.lock.release()
        else:
            with contextlib.suppress(RuntimeError):  # no more threads: the process ends, and so do its connections
                _thread.start_new_thread(self._leave_later, (call,))

    def _leave_later(self, call: Call) -> None:
        with self.lock:
            self.leave(call)

    def compressions(self, call: Call) -> tuple[str, ...]:
        """Those that items of its upload may be compressed with, best first."""
        link: Link | None = call.home
        return self._in_common(None if link is None else link.requester)

    def fail_upload(self, call: Call, failure: BaseException) -> None:
        """With the lock held: its upload raised this."""
        call.fail_upload(failure)
        tell(call)
        self._links.withdraw(call, late=False)

    # -- forks -----------------------------------------------------------------------------------------------------

    def _unconnected(self) -> tuple[threading.Lock, Links]:
        lock = threading.Lock()
        return lock, Links(lock, self._address, self._limits, self._requester, self._connector)

    def _forget_connections(self) -> None:
        """In the child of a fork: what the parent has open stays the parent's; this side connects anew."""
        links = self._links
        self.lock, self._links = self._unconnected()  # a thread of the parent may have held the lock
        self._links.gone = links.gone
        self._by_key.clear()
        links.forget()


def _forget_connections() -> None:
    for client in _clients:
        client._forget_connections()


os.register_at_fork(after_in_child=_forget_connections)

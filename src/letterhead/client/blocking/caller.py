"""What stands behind ``Client``'s methods: who waits for a call, how long, and what becomes of it when nobody does.

One lock guards all state. On which connection a call goes is decided in ``links.py``, who reads and writes there in
``link.py``; streams are read in ``streams.py``.

A thread that waits here may have to read or connect for others, too. So it must not wait a second time within that: a
signal handler, or a finalizer, that runs in its midst and calls the same client would wait for the very thread that it
holds up. It is refused.

Nothing here imports asyncio: a program that only calls should start fast.
"""

import _thread
import contextlib
import math
import os
import threading
import time
import weakref
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from letterhead.app.context import refuse_to_block
from letterhead.client.balancer import WARNING, Pool
from letterhead.client.blocking.common import Caller, Options, left_early
from letterhead.client.blocking.connection import Link
from letterhead.client.blocking.connections import Connector, Links, end
from letterhead.client.blocking.streams import Stream, Upload
from letterhead.client.blocking.waiters import ClientLock, client_lock, tell
from letterhead.client.reports import InThread, Reports
from letterhead.errors import UsageError
from letterhead.limits import Limits
from letterhead.protocol.calls import Call
from letterhead.protocol.flow import Incoming
from letterhead.protocol.items import Values
from letterhead.protocol.openings import pack
from letterhead.protocol.timing import Timing

_clients: "weakref.WeakSet[BlockingCaller]" = weakref.WeakSet()


class BlockingCaller(Caller):
    """Base of ``Client``."""

    def __init__(
        self,
        address: str | Sequence[str],
        timeout: float | None,
        limits: Limits | None,
        accept: Sequence[str],
        compression: Sequence[str],
        connector: Connector | None,
        options: Options,
    ) -> None:
        super().__init__(address, timeout, limits, accept, compression, options)
        self._connector = connector
        self.inside: set[int] = set()  # threads that wait here
        self._warned = False
        self.lock, self._reports, self._links = self._unconnected()
        _clients.add(self)

    # -- one call --------------------------------------------------------------------------------------------------

    def _opened(
        self, call: Call, incoming: Incoming, returns: Any, key: Hashable, timing: Timing | None
    ) -> Stream[Any]:
        values = Values(call, returns, self._limits)
        self._refuse_to_block()
        if self._compression:
            pack(call, self._in_common(self._links.requester))
        upload = None if call.source is None else Upload(self, call, self._limits)
        call.on_end = self._leave_place
        began = time.monotonic()
        call.ends = began + call.seconds
        with self.held():
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
        self._refuse_to_block()
        thread = self.alone()
        if self._compression:
            pack(call, self._in_common(self._links.requester))
        if call.source is not None:
            Upload(self, call, self._limits).start()
        began = time.monotonic()
        until: float | None = began + call.seconds
        call.ends = began + call.seconds
        try:
            self.inside.add(thread)
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
                    left: Link | None = call.home
                    if left is not None:
                        left.hand_over()  # it may have come while the lead was handed over
                    raise
                finally:
                    self._leave_place(call)
        finally:
            self.inside.discard(thread)

    def alone(self) -> int:
        """This thread, which is not in the midst of waiting here.

        Raises:
            UsageError: it is.
        """
        thread = threading.get_ident()
        if thread in self.inside or thread in self._reports.telling:
            raise UsageError(
                "this thread is in the midst of a call of this client: a signal handler, a finalizer or a handler of "
                "its log lines would wait for itself here; use a client of its own there, or set a flag that the "
                "program looks at"
            )
        return thread

    def _refuse_to_block(self) -> None:
        if refuse_to_block() and not self._warned:
            self._warned = True
            self._reports.tell(
                WARNING, "blocking-on-loop", "a blocking call in the thread of an event loop, which stands still "
                "meanwhile: use AsyncClient there, or asyncio.to_thread", server=self._address,
            )  # fmt: skip

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

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The lock, and the thread that has it marked as inside."""
        thread = self.alone()
        try:
            self.inside.add(thread)
            with self.lock:
                yield
        finally:
            self.inside.discard(thread)

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
        """The same from wherever the collector or a signal handler runs: this very thread may hold the lock."""
        if not self.lock._is_owned() and self.lock.acquire(blocking=False):
            try:
                self.leave(call)
            finally:
                self.lock.release()
        else:
            with contextlib.suppress(RuntimeError):  # no more threads: the process ends, and so do its connections
                _thread.start_new_thread(self._leave_soon, (call,))

    def _leave_soon(self, call: Call) -> None:
        # In a thread that Python knows: what is logged in another would leave a dummy of one behind.
        threading.Thread(target=self._leave_later, args=(call,), name="letterhead-leave", daemon=True).start()

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

    @property
    def _servers(self) -> Pool[Link]:
        return self._links.pool

    def _unconnected(self) -> tuple[ClientLock, Reports, Links]:
        lock = client_lock()
        reports = Reports(self._options.on_state, InThread())
        pool = self._pool(reports.tell)
        keep_alive = self._options.keep_alive
        links = Links(lock, pool, self._limits, self._requester, self._connector, reports.stands, keep_alive=keep_alive)
        return lock, reports, links

    def _forget_connections(self) -> None:
        """In the child of a fork: what the parent has open stays the parent's; this side connects anew."""
        links = self._links
        self.lock, self._reports, self._links = self._unconnected()  # a thread of the parent may have held the lock
        self.inside = set()
        self._links.gone, self._links.pool.closed = links.gone, links.pool.closed
        self._by_key.clear()
        links.forget()


def _forget_connections() -> None:
    for client in _clients:
        client._forget_connections()


os.register_at_fork(after_in_child=_forget_connections)

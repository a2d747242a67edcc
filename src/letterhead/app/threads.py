"""Threads for handlers and for encoding, shared fairly between those who ask for them.

The threads are daemons: a handler that never returns does not keep the process from ending, as a thread of
``concurrent.futures`` would. They start as they are needed, and end when the server does.

Work that has to wait for a thread waits in a ``FairQueue``: a connection with many calls that wait, or that take long,
stands behind those with few.

Work that is waited for on an event loop (``Offloaded.ended``) counts as under way until that loop has seen its end.
Threads would else run far ahead of a loop that is busy, and pile up results.

What the work is for is not known here, nor who waits for it.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from letterhead.app.fair_queue import FairQueue

T = TypeVar("T")


class Threads:
    """Up to so many threads, and the work that waits for them.

    Args:
        most: how many threads.
        share: how many of them one owner's work may take at once; default: all.
    """

    def __init__(self, most: int, share: int | None = None) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._queue: FairQueue[_Work[Any]] = FairQueue(most if share is None else share)
        self._wake: SimpleQueue[None] = SimpleQueue()  # one for each idle thread that is to look for work
        self._threads = 0
        self._idle = 0  # threads that wait to be woken, and were not
        self._busy = 0
        self._closed = False

    def submit(self, owner: object, function: Callable[..., T], /, *args: Any) -> "Offloaded[T]":
        """Call a function in a thread. Cancelling the future helps only until the call has begun.

        Args:
            owner: the work's owner, such as a connection: threads are shared fairly between owners.
            function: what to call, with ``args``.

        Raises:
            RuntimeError: there is no thread yet and the system gives none, or they have been closed.
        """
        work = _Work(self, owner, function, args)
        with self._lock:
            if self._closed:
                raise RuntimeError("the server has ended: its threads take no more work")
            self._queue.put(owner, work)
            if self._queue.waits_for_own(owner):
                return work  # a thread of this owner's takes it when it returns
            try:
                self._rouse()
            except Exception:
                if not self._threads:  # else those that there are will come to it
                    self._queue.remove(owner, work)
                    raise
        return work

    def pause(self, owner: object) -> None:
        """Begin no more of an owner's work until ``resume``, which has to be called, also where the owner goes away."""
        with self._lock:
            self._queue.pause(owner)

    def resume(self, owner: object) -> None:
        """The work of an owner that was paused may begin again."""
        with self._lock:
            self._queue.resume(owner)
            for _ in range(min(self._queue.may_begin(owner), self._most)):
                with contextlib.suppress(Exception):  # no thread can be had now: those that there are will come to it
                    self._rouse()

    def would_begin(self, owner: object) -> bool:
        """Whether work waits that would begin if a thread of this owner's returned."""
        with self._lock:
            coming = self._threads - self._idle - self._busy  # threads that are about to take work
            return self._queue.waits_for_own(owner) or self._queue.more_than(coming)

    def close(self) -> None:
        """End the threads; one that is in a call ends when that returns. Calls that have not begun never will."""
        with self._lock:
            self._closed = True
            waiting = list(self._queue)
            idle, self._idle = self._idle, 0
        for work in waiting:
            work.cancel()
        for _ in range(idle):
            self._wake.put(None)

    def cancelled(self, work: "_Work[Any]") -> None:
        """Work was cancelled: it leaves the queue, with all that it holds."""
        with self._lock:
            self._queue.remove(work.owner, work)

    def seen(self, work: "_Work[Any]") -> None:
        """The event loop that waits for work has seen its end."""
        with self._lock:
            self._end(work)
            if self._queue.may_begin(work.owner):
                with contextlib.suppress(Exception):  # no thread can be had now: those that there are will come to it
                    self._rouse()

    # -- with the lock held ----------------------------------------------------------------------------------------

    def _rouse(self) -> None:
        """Let a thread look for work, if one is idle or there may be one more; raises what starting one raises."""
        if self._idle:
            self._idle -= 1
            self._wake.put(None)
        elif self._threads < self._most:
            # In an empty context: a thread serves whoever comes, not the call for which it was started.
            run = contextvars.Context().run
            name = f"letterhead_{self._threads + 1}"
            threading.Thread(target=run, args=(self._serve,), name=name, daemon=True).start()
            self._threads += 1

    def _end(self, work: "_Work[Any]") -> None:
        if work.under_way:
            work.under_way = False
            self._queue.ended(work.owner)

    # -- in a thread -----------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while self._serve_next():
                pass
        finally:
            with self._lock:
                self._threads -= 1

    def _serve_next(self) -> bool:
        """Do the next work, or wait until there may be some; False where the thread is to end."""
        with self._lock:
            work = self._queue.take()
            if work is not None:
                work.under_way = True
                self._busy += 1
            elif self._closed:
                return False
            else:
                self._idle += 1
        if work is None:
            self._wake.get()
            return True
        try:
            work.run()
        finally:
            with self._lock:
                self._busy -= 1
                if not work.is_awaited:
                    self._end(work)
        return True


class Offloaded(Future[T]):
    """The result of a call that an event loop left to a thread or a worker process."""

    is_awaited = False
    """A loop waits for it, and says when it has seen the end (``seen``)."""

    def ended(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
        """What is done on the loop once the call has ended, however it did. Cancelling that leaves the call alone."""
        waiter: asyncio.Future[None] = loop.create_future()

        def see() -> None:
            self.seen()
            if not waiter.done():
                waiter.set_result(None)

        def done(_: "Future[T]") -> None:
            with contextlib.suppress(RuntimeError):  # the thread outlived the loop
                loop.call_soon_threadsafe(see, context=contextvars.Context())

        self.is_awaited = True
        self.add_done_callback(done)
        return waiter

    def seen(self) -> None:
        """The loop that waits for it has seen its end."""


class _Work(Offloaded[T]):
    """A call in a thread."""

    def __init__(self, threads: Threads, owner: object, function: Callable[..., T], args: tuple[Any, ...]) -> None:
        super().__init__()
        self.owner = owner
        self.under_way = False
        self._pool = threads
        self._function = function
        self._args = args

    def cancel(self) -> bool:
        self._pool.cancelled(self)
        return super().cancel()

    def seen(self) -> None:
        self._pool.seen(self)

    def run(self) -> None:
        """Call the function, if the work was not cancelled."""
        if not self.set_running_or_notify_cancel():
            return
        try:
            result = self._function(*self._args)
        except BaseException as error:
            self.set_exception(error)
            del self  # the error knows this frame: neither would be freed before the collector comes
        else:
            self.set_result(result)


def result_of(future: "Future[T]") -> T:
    """The result of a future that has ended.

    Raises:
        CancelledError: it was cancelled.
        RuntimeError: it raised KeyboardInterrupt: nobody pressed Ctrl-C in that thread.
        BaseException: what it raised.
    """
    try:
        if future.cancelled():
            raise asyncio.CancelledError
        if type(future.exception()) is KeyboardInterrupt:
            raise RuntimeError("KeyboardInterrupt was raised in a thread") from future.exception()
        return future.result()
    finally:
        del future  # an error that it holds knows this frame

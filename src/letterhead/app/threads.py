"""Threads for handlers and for encoding, shared fairly between those who ask for them.

The threads are daemons: a handler that never returns does not keep the process from ending, as a thread of
``concurrent.futures`` would. They start as they are needed, and end when the server does.

Work that has to wait for a thread waits with its owner, which is the connection that it came from. A thread that
becomes free takes work of the owner that holds the fewest threads: a connection with many calls that wait, or that
take long, stands behind those with few.

What the work is for is not known here, nor who waits for it.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """Up to so many threads, and the work that waits for them.

    Args:
        most: how many threads.
        share: how many of them one owner's work may take at once; default: all.
    """

    def __init__(self, most: int, share: int | None = None) -> None:
        self._most = most
        self._share = most if share is None else share
        self._lock = threading.Lock()
        self._owners: dict[object, _Owner] = {}  # those that have work
        self._next: dict[int, OrderedDict[_Owner, None]] = {}  # by how many threads they hold: those with waiting work
        self._wake: SimpleQueue[None] = SimpleQueue()  # one for each idle thread that is to look for work
        self._threads = 0
        self._idle = 0  # threads that wait to be woken, and were not
        self._busy = 0
        self._closed = False

    def submit(self, owner: object, function: Callable[..., T], /, *args: Any) -> "Future[T]":
        """Call a function in a thread. Cancelling the future helps only until the call has begun.

        Args:
            owner: the work's owner, such as a connection: threads are shared fairly between owners.
            function: what to call, with ``args``.

        Raises:
            RuntimeError: there is no thread yet and the system gives none, or they have been closed.
        """
        work = _Work(self, function, args)
        with self._lock:
            if self._closed:
                raise RuntimeError("the server has ended: its threads take no more work")
            self._enqueue(work, owner)
            if work.owner.threads + len(work.owner.waiting) > self._share:
                return work  # a thread of this owner's takes it when it returns
            if self._idle:
                self._idle -= 1
                self._wake.put(None)
            elif self._threads < self._most:
                try:
                    self._start()
                except Exception:
                    if not self._threads:  # else those that there are will come to it
                        self._withdraw(work)
                        raise
        return work

    def would_begin(self, owner: object) -> bool:
        """Whether work waits that would begin if a thread of this owner's returned."""
        if not self._next:
            return False
        with self._lock:
            own = self._owners.get(owner)
            if own is not None and own.waiting and own.threads + len(own.waiting) > self._share:
                return True
            coming = self._threads - self._idle - self._busy  # threads that are about to take work
            for threads, line in self._next.items():
                for each in line:
                    coming -= max(0, min(len(each.waiting), self._share - threads))
                    if coming < 0:
                        return True
            return False

    def close(self) -> None:
        """End the threads; one that is in a call ends when that returns. Calls that have not begun never will."""
        with self._lock:
            self._closed = True
            waiting = [work for owner in self._owners.values() for work in owner.waiting]
            idle, self._idle = self._idle, 0
        for work in waiting:
            work.cancel()
        for _ in range(idle):
            self._wake.put(None)

    def cancelled(self, work: "_Work[Any]") -> None:
        """Work was cancelled: it leaves the queue, with all that it holds."""
        with self._lock:
            self._withdraw(work)

    # -- with the lock held ----------------------------------------------------------------------------------------

    def _start(self) -> None:
        # In an empty context: a thread serves whoever comes, not the call for which it was started.
        run = contextvars.Context().run
        name = f"letterhead_{self._threads + 1}"
        threading.Thread(target=run, args=(self._serve,), name=name, daemon=True).start()
        self._threads += 1

    def _enqueue(self, work: "_Work[Any]", key: object) -> None:
        owner = self._owners.get(key)
        if owner is None:
            owner = self._owners[key] = _Owner(key)
        work.owner = owner
        owner.waiting[work] = None
        if len(owner.waiting) == 1:
            self._join_line(owner)

    def _withdraw(self, work: "_Work[Any]") -> None:
        """Take work out of the queue, if it still is in there."""
        owner = work.owner
        if work in owner.waiting:
            del owner.waiting[work]
            if not owner.waiting:
                self._leave_line(owner)
                self._forget_idle(owner)

    def _take(self) -> "_Work[Any] | None":
        """The work that is next, of the owner with the fewest threads; None where no work may begin."""
        fewest = min(self._next, default=self._share)
        if fewest >= self._share:
            return None
        owner = next(iter(self._next[fewest]))
        self._leave_line(owner)
        work, _ = owner.waiting.popitem(last=False)
        owner.threads += 1
        self._busy += 1
        if owner.waiting:
            self._join_line(owner)
        return work

    def _give_back(self, owner: "_Owner") -> None:
        """A thread of this owner's has returned."""
        if owner.waiting:
            self._leave_line(owner)
        owner.threads -= 1
        self._busy -= 1
        if owner.waiting:
            self._join_line(owner)
        self._forget_idle(owner)

    def _join_line(self, owner: "_Owner") -> None:
        self._next.setdefault(owner.threads, OrderedDict())[owner] = None

    def _leave_line(self, owner: "_Owner") -> None:
        line = self._next[owner.threads]
        del line[owner]
        if not line:
            del self._next[owner.threads]

    def _forget_idle(self, owner: "_Owner") -> None:
        if not owner.threads and not owner.waiting:
            self._owners.pop(owner.key, None)

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
            work = self._take()
            if work is None:
                if self._closed:
                    return False
                self._idle += 1
        if work is None:
            self._wake.get()
            return True
        try:
            work.run()
        finally:
            with self._lock:
                self._give_back(work.owner)
        return True


class _Owner:
    """Whose work it is: how many threads it holds, and what waits for one."""

    __slots__ = ("key", "threads", "waiting")

    def __init__(self, key: object) -> None:
        self.key = key
        self.threads = 0
        self.waiting: OrderedDict[_Work[Any], None] = OrderedDict()


class _Work(Future[T]):
    """One call, and its result."""

    owner: _Owner

    def __init__(self, threads: Threads, function: Callable[..., T], args: tuple[Any, ...]) -> None:
        super().__init__()
        self._pool = threads
        self._function = function
        self._args = args

    def cancel(self) -> bool:
        self._pool.cancelled(self)
        return super().cancel()

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


def ended(future: "Future[Any]", loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
    """What is done when a thread's or a process's future has ended, however it did. Cancelling it leaves that alone."""
    waiter: asyncio.Future[None] = loop.create_future()

    def done(_: "Future[Any]") -> None:
        with contextlib.suppress(RuntimeError):  # the thread outlived the loop
            loop.call_soon_threadsafe(_wake_up, waiter, context=contextvars.Context())

    future.add_done_callback(done)
    return waiter


def _wake_up(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


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

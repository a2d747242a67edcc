"""Threads for handlers.

They are daemons: a handler that never returns does not keep the process from ending, as a thread of
``concurrent.futures`` would. They start as they are needed, and end when the server does.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any


class Threads:
    """At most so many threads, and the work that waits for one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._waiting: OrderedDict[_Work, None] = OrderedDict()  # cancelled work leaves, with all that it holds
        self._calls: SimpleQueue[bool] = SimpleQueue()  # True for each work there was, False for a thread's end
        self._threads = 0
        self._free = 0  # threads without work, less the work that waits for them

    def submit(self, function: Callable[..., Any], /, *args: Any, **arguments: Any) -> "Future[Any]":
        """Call it in a thread. Cancelling the future helps only until the call has begun."""
        work = _Work(self._lock, self._waiting, function, args, arguments)
        with self._lock:
            self._waiting[work] = None
            self._free -= 1
            if self._free < 0 and self._threads < self._most:
                self._threads += 1
                self._free += 1
                try:
                    threading.Thread(target=self._serve, name=f"letterhead_{self._threads}", daemon=True).start()
                except RuntimeError:  # no thread can be had now: those that there are will come to it
                    self._threads -= 1
                    self._free -= 1
                    if not self._threads:
                        self._free += 1
                        del self._waiting[work]
                        raise
        self._calls.put(True)
        return work

    def close(self) -> None:
        """End the threads; one that is in a call ends when that returns. Calls that have not begun never will."""
        for work in list(self._waiting):
            work.cancel()
        for _ in range(self._threads):
            self._calls.put(False)

    def _serve(self) -> None:
        while self._calls.get():
            with self._lock:
                work = self._waiting.popitem(last=False)[0] if self._waiting else None
            if work is not None:
                work.run()
            del work  # nothing of a call is kept while the thread waits
            with self._lock:
                self._free += 1


class _Work(Future[Any]):
    """One call, and its result."""

    def __init__(
        self,
        lock: threading.Lock,
        waiting: "OrderedDict[_Work, None]",
        function: Callable[..., Any],
        args: tuple[Any, ...],
        arguments: dict[str, Any],
    ) -> None:
        super().__init__()
        self._lock = lock
        self._waiting = waiting
        self._function = function
        self._args = args
        self._arguments = arguments

    def cancel(self) -> bool:
        with self._lock:
            self._waiting.pop(self, None)
        return super().cancel()

    def run(self) -> None:
        if not self.set_running_or_notify_cancel():
            return
        try:
            self.set_result(self._function(*self._args, **self._arguments))
        except BaseException as error:
            self.set_exception(error)

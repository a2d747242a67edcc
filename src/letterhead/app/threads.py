"""Threads for handlers.

They are daemons: a handler that never returns does not keep the process from ending, as a thread of
``concurrent.futures`` would. They start as they are needed, and end when the server does.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any


class Threads:
    """At most so many threads, and the work that waits for one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._free = 0  # threads without work, less the work that is queued for them

    def submit(self, function: Callable[..., Any], /, *args: Any, **arguments: Any) -> "Future[Any]":
        """Call it in a thread. Cancelling the future helps only until the call has begun."""
        work = _Work(function, args, arguments)
        self._queue.put(work)
        with self._lock:
            self._free -= 1
            if self._free < 0 and self._threads < self._most:
                self._threads += 1
                self._free += 1
                threading.Thread(target=self._serve, name=f"letterhead_{self._threads}", daemon=True).start()
        return work.future

    def close(self) -> None:
        """End the threads; one that is in a call ends when that returns. Calls that have not begun never will."""
        while not self._queue.empty():
            work = self._queue.get()
            if work is not None:
                work.future.cancel()
        for _ in range(self._threads):
            self._queue.put(None)

    def _serve(self) -> None:
        while (work := self._queue.get()) is not None:
            work.run()
            del work  # nothing of a call is kept while the thread waits
            with self._lock:
                self._free += 1


class _Work:
    """One call, and the future of its result."""

    __slots__ = ("_args", "_arguments", "_function", "future")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], arguments: dict[str, Any]) -> None:
        self.future: Future[Any] = Future()
        self._function = function
        self._args = args
        self._arguments = arguments

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self._function(*self._args, **self._arguments))
        except BaseException as error:
            self.future.set_exception(error)

"""What ends waits that threads are in: each says how it is woken, whoever ends them knows no more of it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stop:
    """Ends waits from another thread, once and for all.

    Attributes:
        stopped: it has happened.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._lock = threading.Lock()  # so that nobody is woken by what is closed already
        self._wakers: list[Callable[[], object]] = []

    def stop(self) -> None:
        """End those waits that are under way, and those to come."""
        with self._lock:
            self.stopped = True
            for wake in self._wakers:
                wake()

    @contextmanager
    def waking(self, wake: Callable[[], object]) -> Iterator[None]:
        """Have ``wake`` called, in another thread, if this is stopped while the block runs or was before."""
        with self._lock:
            self._wakers.append(wake)
            if self.stopped:
                wake()
        try:
            yield
        finally:
            with self._lock:
                self._wakers.remove(wake)

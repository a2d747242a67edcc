"""How threads wait for what happens to a call: each on a lock that it has taken and that is released to wake it.

Who waits has entered its lock at the call: as ``waiter`` for what comes, as ``sender`` for room to send. All of this
happens with the client's lock held; it is free while a thread waits.
"""

import threading
import time
from types import TracebackType
from typing import Protocol, cast

from letterhead.protocol.calls import Call


class ClientLock(Protocol):
    """What guards a client: a lock that knows its owner, and that can be taken back whatever signal handlers raise.

    Who waits gives it away and takes it back in ``finally``. If Ctrl-C ended that taking, too, whoever holds the lock
    further up would release one that is another thread's. ``_acquire_restore`` is what ``threading.Condition`` uses.
    """

    def acquire(self, blocking: bool = True) -> bool:
        """Take it."""

    def release(self) -> None:
        """Give it away."""

    def _is_owned(self) -> bool:
        """Whether it is this thread's."""

    def _acquire_restore(self, state: tuple[int, int]) -> None:
        """Take it back, so often, for this thread; no signal ends the wait for it."""

    def __enter__(self) -> bool: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def client_lock() -> ClientLock:
    """A new one. It is held once at most by a thread: who may hold it already does not take it."""
    return cast("ClientLock", threading.RLock())


def once() -> tuple[int, int]:
    """What ``_acquire_restore`` is told by a thread that held a lock once."""
    return 1, threading.get_ident()


def taken() -> threading.Lock:
    """A lock to wait on."""
    lock = threading.Lock()
    lock.acquire()
    return lock


def tell(call: Call) -> None:
    """It has ended: wake whoever waits for that."""
    wake(call)
    wake_sender(call)
    if call.on_end is not None:
        call.on_end(call)


def wake(call: Call) -> None:
    """Wake who waits for its result, or for the next item of that."""
    waiter = call.waiter
    if waiter is not None:
        call.waiter = None
        waiter.release()


def wake_sender(call: Call) -> None:
    """Wake who waits to send an item of its upload."""
    sender = call.sender
    if sender is not None:
        call.sender = None
        sender.release()


def wait_on(lock: ClientLock, waiter: threading.Lock, until: float | None) -> None:
    """Give ``lock`` away until ``waiter`` is released or the time is over."""
    ours = once()
    try:
        lock.release()
        waiter.acquire(timeout=-1 if until is None else max(0.0, until - time.monotonic()))
    finally:
        lock._acquire_restore(ours)

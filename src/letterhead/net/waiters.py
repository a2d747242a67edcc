"""How threads wait for what happens to a call: each on a lock that it has taken and that is released to wake it.

Who waits has entered its lock at the call: as ``waiter`` for what comes, as ``sender`` for room to send. All of this
happens with the client's lock held; it is free while a thread waits.
"""

import threading
import time

from letterhead.exchange.calls import Call


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


def wait_on(lock: threading.Lock, waiter: threading.Lock, until: float | None) -> None:
    """Give ``lock`` away until ``waiter`` is released or the time is over."""
    lock.release()
    try:
        waiter.acquire(timeout=-1 if until is None else max(0.0, until - time.monotonic()))
    finally:
        lock.acquire()

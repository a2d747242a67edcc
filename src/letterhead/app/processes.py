"""``run="process"``: worker processes, each of which can be killed without harm to the others.

``concurrent.futures.ProcessPoolExecutor`` breaks as a whole when one worker dies, so this uses ``pebble`` (the extra
``process``). Workers are spawned, never forked: a fork would copy sockets, locks and the event loop. They import the
handler by its module's name.

Jobs wait in a ``FairQueue`` rather than in pebble's own queue: there one that was given up would still begin, and one
client's jobs would stand before everybody else's. A pool that pebble gave up (it does when a worker dies that has
nothing to do) is replaced.

What a job is for is not known here, nor what becomes of its result.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from letterhead.app.context import CURRENT, Context
from letterhead.app.fair_queue import FairQueue
from letterhead.app.threads import Offloaded
from letterhead.errors import UsageError, escaped
from letterhead.log import say

log = logging.getLogger("letterhead.app")

_TERMINATED_SECONDS = 0.3
"""From SIGTERM, which a worker obeys unless its handler forbids it, until it is killed."""


class WorkerDied(Exception):
    """A worker process ended while it ran a handler: a crash, an exit, or the system killed it."""


class Processes:
    """Worker processes, started at the first job."""

    def __init__(self, count: int | None) -> None:
        try:
            import pebble
        except ImportError:
            raise UsageError(
                "run='process' needs the package pebble: install Letterhead with its extra process "
                "(add [process] to what pip installs it from)"
            ) from None
        pebble.CONSTS.term_timeout = _TERMINATED_SECONDS
        self._count = count or os.cpu_count() or 1
        spawned = multiprocessing.get_context("spawn")
        self._make: Callable[[], Any] = partial(pebble.ProcessPool, max_workers=self._count, context=spawned)
        self._pools: list[Any] = [self._make()]  # the last one is in use
        self._lock = threading.RLock()  # pebble tells in threads of its own how jobs ended
        self._queue: FairQueue[_Job] = FairQueue()  # a job that is cancelled leaves, with all that it holds
        self._running = 0
        self._closed = False

    def submit(self, function: Callable[..., Any], arguments: dict[str, Any], context: Context) -> Offloaded[Any]:
        """Run it in a worker; cancelling the future kills the worker if it has begun."""
        job = _Job(self._lock, self._queue, function, arguments, context)
        with self._lock:
            self._queue.put(job.owner, job)
        self._hand_out()
        return job

    def pause(self, client: object) -> None:
        """Begin no more jobs of a client until ``resume``, which has to be called, also where the client goes away."""
        with self._lock:
            self._queue.pause(client)

    def resume(self, client: object) -> None:
        """The jobs of a client that was paused may begin again."""
        with self._lock:
            self._queue.resume(client)
        self._hand_out()

    def close(self) -> None:
        """Kill what is running and end the workers."""
        with self._lock:
            self._closed = True
        for pool in self._pools:
            pool.stop()
            pool.join()
        with self._lock:
            waiting = list(self._queue)
        for job in waiting:
            job.cancel()

    def _hand_out(self) -> None:
        """Give waiting jobs to free workers."""
        with self._lock:
            while self._running < self._count and not self._closed and (job := self._queue.take()) is not None:
                try:
                    if not self._pools[-1].active:
                        self._pools.append(self._make())
                    job.inner = self._pools[-1].schedule(_call, args=job.work)
                except Exception as error:  # no process or thread can be had now
                    self._queue.ended(job.owner)
                    job.set_exception(error)
                    continue
                self._running += 1
                job.inner.add_done_callback(partial(self._ended, job))

    def _ended(self, job: "_Job", inner: "Future[Any]") -> None:
        with self._lock:
            self._running -= 1
            self._queue.ended(job.owner)
        try:
            job.end_as(inner)
        finally:
            self._hand_out()


class _Job(Offloaded[Any]):
    """A job and its result; it counts as pending until it has ended, so that it can be cancelled at any time."""

    def __init__(
        self,
        lock: threading.RLock,
        queue: "FairQueue[_Job]",
        function: Callable[..., Any],
        arguments: dict[str, Any],
        context: Context,
    ) -> None:
        super().__init__()
        self.work = function, arguments, context
        self.owner = context.client
        self._queue = queue
        self.inner: Future[Any] | None = None
        self._lock = lock

    def cancel(self) -> bool:
        with self._lock:
            if self.inner is not None:
                killed = self.inner.cancel()
                if killed:
                    self._say_killed()
                return killed
            self._queue.remove(self.owner, self)
            return super().cancel()

    def _say_killed(self) -> None:
        context = self.work[-1]
        action = escaped(str(context.action))
        say(
            log, logging.INFO, "worker-killed", "the worker process of %s for %s was killed: nobody waits for it",
            action, context.caller, action=action, peer=context.caller,
        )  # fmt: skip

    def end_as(self, inner: "Future[Any]") -> None:
        """Take over how it ended."""
        if inner.cancelled():
            super().cancel()
        elif (error := inner.exception()) is not None:
            self.set_exception(_as_told(error))
        else:
            self.set_result(inner.result())


def _as_told(error: BaseException) -> BaseException:
    """What a job failed with; where its worker died there is nothing to trace, but how it died is known."""
    from pebble import ProcessExpired

    if not isinstance(error, Exception):  # such as SystemExit: it ends nothing but its job
        return WorkerDied(f"its handler raised {type(error).__name__} in a worker process")
    if not isinstance(error, ProcessExpired):
        return error
    code = error.exitcode
    try:
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    except ValueError:  # a signal that has no name, as real-time signals have none
        how = f"killed by signal {-code}"
    return WorkerDied(f"its worker process died ({how})")


def _call(function: Callable[..., Any], arguments: dict[str, Any], context: Context) -> Any:
    CURRENT.set(context)
    return function(**arguments)

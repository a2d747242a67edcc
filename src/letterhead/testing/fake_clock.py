"""``fixed_clock``: an event loop whose time stands still until a test moves it, or jumps over every wait.

``asyncio.sleep``, timeouts, ``loop.time()`` and all that Letterhead's servers and its async client do by the clock go
by it, since ``letterhead.clock`` gives its time for as long as it is entered. ``time.monotonic()`` and ``time.time()``
do not, nor do threads that sleep, nor the blocking ``Client``.

When time may move is decided where the loop would sleep, since all that can be done has been done there:

* What a socket has brought comes first. Where sockets are open, their peers may be threads or processes of whose work
  nothing is seen here, so they are given ``_GRACE_SECONDS`` of real time before each move.
* Work in threads and processes that the loop waits for (``asyncio.to_thread``, ``run_in_executor``, handlers) holds the
  time up, but for no more than ``patience`` real seconds: it may wait itself for what only happens later.
* Time goes to the next moment at which something is due, never past it.

Seconds are floats, and a wait may end a rounding error before the moment it was meant for. Whoever finds that waits
for the rest; such a rest is made long enough for the loop to see that time has passed, else it would spin.
"""

import asyncio
import contextlib
import math
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextvars import Context
from types import TracebackType
from typing import Any, Self, TypeVar, TypeVarTuple, Unpack

from letterhead import clock
from letterhead.clock import Work
from letterhead.errors import UsageError
from letterhead.testing.network import log

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_Events = list[tuple[selectors.SelectorKey, int]]

_GRACE_SECONDS = 0.01
_HINT_SECONDS = 5.0
_REST_SECONDS = 2e-9
"""The shortest wait: twice what asyncio takes for the same moment."""
_ROUNDING_SECONDS = 1e-6
"""What is due so soon behind the moment that a test asked for was meant for that moment."""
_OWN_SOCKETS = 1


def fixed_clock(*, jumps: bool = False, patience: float = 1.0) -> "FixedClock":
    """A clock that stands still, and the event loop that goes by it::

        async def main():
            async with testing.connected(app) as client:
                call = asyncio.create_task(client.call("slow", timeout=30.0))
                await clock.advance(31)
                with pytest.raises(letterhead.DeadlineExceeded):
                    await call

        clock = testing.fixed_clock()
        clock.run(main())

    Args:
        jumps: whenever nothing else is to be done, go to the next moment at which something is: no wait takes long.
        patience: real seconds for which work in a thread may hold the time up.
    """
    return FixedClock(jumps, patience)


class FixedClock:
    """What ``fixed_clock`` gives. It begins at 0.

    ``run`` is all that most tests need. As a context manager it holds for the block; a loop that something else runs in
    it (``asyncio.Runner(loop_factory=clock.new_event_loop)``, a plugin of pytest) must be one of its own.

    Attributes:
        jumping: how many want it to jump; none: it stands still.
    """

    def __init__(self, jumps: bool, patience: float) -> None:
        self.jumping = int(jumps)
        self._now = 0.0
        self._patience = patience
        self._entered = 0
        self._working = clock.working  # what stood there before
        self._loop: asyncio.AbstractEventLoop | None = None
        self._target: float | None = None
        self._arrived: asyncio.Future[None] | None = None
        self._at_work: set[Work] = set()
        self._hinted = False

    def now(self) -> float:
        """The time: seconds since the clock was made."""
        return self._now

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on an event loop that goes by this clock, as ``asyncio.run`` does.

        Raises:
            UsageError: another fixed clock is in use.
            Exception: what the coroutine raises.
        """
        try:
            self.__enter__()
        except BaseException:
            main.close()
            raise
        jumping = self.jumping
        try:
            with asyncio.Runner(loop_factory=self.new_event_loop) as runner:
                try:
                    return runner.run(main)
                finally:
                    self.jumping += 1  # tasks that are cancelled now may take their time, and nobody moves it any more
        finally:
            self.jumping = jumping
            self.__exit__(None, None, None)

    async def advance(self, seconds: float) -> None:
        """Let so much time pass, and all happen that is due meanwhile, each at its moment, with what follows from it.

        ``advance(0)`` waits until nothing is to be done any more without time.

        Raises:
            UsageError: this is not a loop of this clock, or another task moves it already.
            ValueError: ``seconds`` is negative.
        """
        if asyncio.get_running_loop() is not self._loop:
            raise UsageError("this event loop does not go by this clock: run it with clock.run(main())")
        if self._target is not None:
            raise UsageError("another task moves the clock already: await its advance() first")
        if not 0 <= seconds < math.inf:
            raise ValueError(f"time cannot pass by {seconds!r} s: it takes 0 or more")
        self._target = self._now + seconds
        self._arrived = self._loop.create_future()
        try:
            await self._arrived
        finally:
            self._target = None

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """An event loop that goes by this clock; it is asyncio's own otherwise. One at a time."""
        self._loop = _Loop(self)
        self._at_work.clear()
        return self._loop

    def __enter__(self) -> Self:
        if not self._entered:
            if clock.monotonic is not time.monotonic:
                raise UsageError("another fixed clock is in use")
            self._working = clock.working
            clock.monotonic, clock.working = self.now, self.began
        self._entered += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        if not self._entered:
            clock.monotonic, clock.working = time.monotonic, self._working

    # -- from the loop ---------------------------------------------------------------------------------------------

    def began(self, work: Work) -> None:
        """Work elsewhere has begun, for whose end the running loop waits."""
        if asyncio.get_running_loop() is self._loop:
            self.wait_for(work, self._loop)

    def wait_for(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        """Let it hold the time up until its end is known to the loop."""
        self._at_work.add(work)

        def ended(_: object) -> None:
            # Behind what its end wakes on the loop: that was asked for first.
            with contextlib.suppress(RuntimeError):  # it outlived the loop
                loop.call_soon_threadsafe(self._at_work.discard, work)

        work.add_done_callback(ended)

    def idle(self, due: float | None, sockets: bool, select: Callable[[float | None], _Events]) -> _Events:
        """Nothing can be done: wait in real time, or move the time.

        Args:
            due: in how many seconds something is to be done; None for never.
            sockets: whether there are sockets beside the loop's own.
            select: waits for sockets in real time.
        """
        if self._target is None and not (self.jumping and due is not None):
            return self._stand(due, select)
        if self._at_work:
            if events := select(self._patience):
                return events
            self._at_work.clear()  # who took so long may wait for the time itself
        if sockets and (events := select(_GRACE_SECONDS)):
            return events
        target = self._target
        if target is not None and (due is None or self._now + due > target + _ROUNDING_SECONDS):
            self._now = max(self._now, target)
            if self._arrived is not None and not self._arrived.done():
                self._arrived.set_result(None)
        elif due is not None:
            self._now += due
        return []

    def _stand(self, due: float | None, select: Callable[[float | None], _Events]) -> _Events:
        if due is not None and not self._at_work and not self._hinted:
            if events := select(_HINT_SECONDS):
                return events
            self._hinted = True
            log.warning(
                "the clock stands still at %g s, and everything waits, the next for %g s: "
                "clock.advance() moves it, fixed_clock(jumps=True) lets it move by itself",
                self._now,
                due,
            )
        return select(None)


@contextlib.contextmanager
def taking_its_time() -> Iterator[None]:
    """What ends in this block may take its time: where the running loop's clock stands still, it jumps meanwhile."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, _Loop):
        yield
        return
    loop.fixed.jumping += 1
    try:
        yield
    finally:
        loop.fixed.jumping -= 1


class _Loop(asyncio.SelectorEventLoop):
    """asyncio's event loop, by a fixed clock."""

    def __init__(self, fixed: FixedClock) -> None:
        self.fixed = fixed
        self._sleeper = _Selector(fixed)
        super().__init__(self._sleeper)

    def time(self) -> float:
        return self.fixed.now()

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        now = self.time()
        if when > now:
            when = max(when, now + _REST_SECONDS, now + 4 * math.ulp(now))
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self.fixed.wait_for(future, self)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        # Its threads end in real time, for which newer Pythons wait up to a bound.
        self._sleeper.real = True
        await super().shutdown_default_executor()


class _Selector(selectors.DefaultSelector):
    """Where the loop would sleep, the clock is asked instead.

    Attributes:
        real: sleep in real time, and leave the clock alone.
    """

    def __init__(self, fixed: FixedClock) -> None:
        super().__init__()
        self.real = False
        self._fixed = fixed

    def select(self, timeout: float | None = None) -> _Events:
        if self.real or (timeout is not None and timeout <= 0):
            return super().select(timeout)
        if events := super().select(0):
            return events
        return self._fixed.idle(timeout, len(self.get_map()) > _OWN_SOCKETS, super().select)

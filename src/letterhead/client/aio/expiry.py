"""Calls that all may take equally long, watched by one timer: one for each would cost more than all its bytes do."""

import asyncio
from collections.abc import Callable

from letterhead.client.waiting import NEVER, Waiting
from letterhead.protocol.calls import Call


class Expiry:
    """Ends calls whose time is over.

    Args:
        seconds: how long each may take.
        expire: called with a call whose time is over.
    """

    def __init__(self, seconds: float, expire: Callable[[Call], None]) -> None:
        self._calls: Waiting[Call] = Waiting(seconds)
        self._expire = expire
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        """Its time begins now."""
        self._calls.begin(call, loop.time())
        self._arm(loop)

    def forget(self, call: Call) -> None:
        """It has ended."""
        self._calls.forget(call)

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is None and self._calls.due != NEVER:
            self._timer = loop.call_at(self._calls.due, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for call in list(self._calls.over(loop.time())):  # some are watched on
            self._expire(call)
        self._arm(loop)

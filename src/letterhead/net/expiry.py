"""Calls that all may take equally long, watched by one timer: one for each would cost more than all its bytes do."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from letterhead.exchange.calls import Call


class Expiry:
    """Ends calls whose time is over.

    Args:
        seconds: how long each may take.
        expire: called with a call whose time is over.
    """

    def __init__(self, seconds: float, expire: Callable[[Call], None]) -> None:
        self._seconds = seconds
        self._expire = expire
        self._due: OrderedDict[Call, float] = OrderedDict()  # in the order in which they come due
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        """Its time begins now."""
        self._due[call] = due = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._look, loop)

    def forget(self, call: Call) -> None:
        """It has ended."""
        self._due.pop(call, None)

    def close(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        while self._due:
            call, due = next(iter(self._due.items()))
            if due > loop.time():
                self._timer = loop.call_at(due, self._look, loop)
                return
            del self._due[call]
            self._expire(call)

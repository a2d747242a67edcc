"""``Turns``: how streams share the event loop with everything else, and with each other.

A stream whose other side keeps up never waits: it would hold the loop for as long as that lasts. So each goes on for
64 KiB or a millisecond, then stands in line, and in each turn of the loop one of those in line goes on. However many
streams there are, a plain call waits for one of them, not for a millisecond of each.

What a stream does when it goes on is nothing to this file. It does it in a context that is nobody's.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable

TURN_BYTES = 64 * 1024
TURN_SECONDS = 0.001


class Turns:
    """The line of one event loop."""

    __slots__ = ("_context", "_line", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._line: deque[Callable[[], None]] = deque()
        self._context = contextvars.Context()

    def __bool__(self) -> bool:
        """Whether anybody stands in line: who begins has to do so, too."""
        return bool(self._line)

    def ask(self, go_on: Callable[[], None]) -> None:
        """Stand in line; ``go_on`` is called in a turn of the loop that is nobody else's."""
        self._line.append(go_on)
        if len(self._line) == 1:
            self._loop.call_soon(self._next, context=self._context)

    async def wait(self) -> None:
        """Stand in line until it is our turn."""
        waiter = self._loop.create_future()
        self.ask(lambda: None if waiter.done() else waiter.set_result(None))
        await waiter

    def _next(self) -> None:
        # It leaves the line last: what it brings about may ask, and must not call for a second one in this turn.
        try:
            self._line[0]()
        finally:
            self._line.popleft()
            if self._line:
                self._loop.call_soon(self._next, context=self._context)

"""The clock that servers and clients go by: seconds that never go back; and chance.

The clock is looked up here at each use, so that ``letterhead.testing`` can put another in its place, which stands
still. Threads of the blocking client wait in the system, which goes by its own.
"""

import math
import os
import time
from collections.abc import Callable
from typing import Any, Protocol


class Work(Protocol):
    """What is waited for by an event loop and done elsewhere: a future."""

    def add_done_callback(self, fn: Callable[[Any], object], /) -> object:
        """Call it when the work has ended."""


def _nobody(work: Work) -> None:
    """A clock that goes by itself waits for nobody."""


def chance() -> float:
    """A number from 0 to 1. The module ``random`` would take milliseconds to import, and the same seed after a fork."""
    return int.from_bytes(os.urandom(6), "big") / 2**48


monotonic: Callable[[], float] = time.monotonic
"""The time, in seconds since some moment."""


def seconds_until(moment: float, never: float = math.inf) -> float:
    """Seconds from now until a moment, 0.0 once it has passed; ``never`` where it is infinitely far."""
    return max(0.0, moment - monotonic()) if moment < math.inf else never


working: Callable[[Work], None] = _nobody
"""Told of each piece of work that the server has given to a thread or a process, by the loop that waits for it."""

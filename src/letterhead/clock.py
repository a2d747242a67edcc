"""The clock that servers and the async client go by: seconds that never go back.

It is looked up here at each use, so that ``letterhead.testing`` can put a clock in its place that stands still. The
blocking client, whose threads wait in the system, goes by the system's.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol


class Work(Protocol):
    """What is waited for by an event loop and done elsewhere: a future."""

    def add_done_callback(self, fn: Callable[[Any], object], /) -> object:
        """Call it when the work has ended."""


def _nobody(work: Work) -> None:
    """A clock that goes by itself waits for nobody."""


monotonic: Callable[[], float] = time.monotonic
"""The time, in seconds since some moment."""

working: Callable[[Work], None] = _nobody
"""Told of each piece of work that the server has given to a thread or a process, by the loop that waits for it."""

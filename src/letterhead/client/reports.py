"""What a client tells of itself while no call of it fails: log lines with fields, and its state to whoever asked.

``logging`` is imported only when somebody could see the line: a program that only calls should start fast.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from letterhead.client.balancer import WARNING, State

Deliver = Callable[[Callable[[State], object], State], None]
"""Has a callback called with a state: soon, in order, and where the client's lock is not held."""
LOGGER = "letterhead.client"


class Reports:
    """A client's events.

    Args:
        on_state: called with each new state, or None.
        deliver: has it called.

    Attributes:
        telling: threads that are in the midst of a log line, where handlers run that are not ours. The client's lock
            is held there.
    """

    def __init__(self, on_state: Callable[[State], object] | None, deliver: Deliver) -> None:
        self._on_state = on_state
        self._deliver = deliver
        self._state = State.IDLE
        self.telling: set[int] = set()

    def tell(self, level: int, event: str, sentence: str, *args: Any, **fields: Any) -> None:
        """Log an event."""
        if level < WARNING and "logging" not in sys.modules:
            return
        import logging

        from letterhead.log import say

        thread = threading.get_ident()
        self.telling.add(thread)
        try:
            say(logging.getLogger(LOGGER), level, event, sentence, *args, **fields)
        finally:
            self.telling.discard(thread)

    def stands(self, state: State) -> None:
        """The state may have changed."""
        if state is self._state:
            return
        self._state = state
        if self._on_state is not None:
            self._deliver(self._on_state, state)


class InThread:
    """Has callbacks called by a thread of its own, which lives while there is something to call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[tuple[Callable[[State], object], State]] = deque()
        self._running = False

    def __call__(self, callback: Callable[[State], object], state: State) -> None:
        with self._lock:
            self._calls.append((callback, state))
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="letterhead-state", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._calls:
                    self._running = False
                    return
                callback, state = self._calls.popleft()
            call_back(callback, state)


def call_back(callback: Callable[[State], object], state: State) -> None:
    """Call it. What it raises is logged: nobody else would hear of it."""
    try:
        callback(state)
    except Exception as error:
        import logging

        from letterhead.log import say

        say(logging.getLogger(LOGGER), logging.ERROR, "on-state-failed", "on_state failed", exc_info=error)

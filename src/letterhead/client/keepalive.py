"""Whether the server at the other end of a connection is still there: when to ask, and when to give it up.

Any byte that arrives is a sign of life, whatever it belongs to. Only where nothing arrives, and something is expected,
the server is asked with a ping; where nothing arrives after that either, the connection is given up. So a server that
answers slowly is never given up, as long as its event loop turns.

The time is an argument. A client that looks late, since its process stood still, looks once more after a moment: what
came meanwhile may wait to be read.

How a ping is sent is not known here, nor what becomes of a connection that is given up.
"""

from enum import Enum, auto

NEVER = float("inf")
_MOMENT = 0.25
"""Seconds between what seems to be the end of the wait and its end."""


class Sign(Enum):
    """What is to be done."""

    NOTHING = auto()
    ASK = auto()  # send a ping
    GONE = auto()  # give the connection up


class Keepalive:
    """One connection's signs of life.

    Args:
        after: seconds of quiet before the server is asked.
        wait: seconds that it then has for a sign of life.

    Attributes:
        due: when to ``look`` next; ``NEVER`` while nothing is expected.
    """

    __slots__ = ("_after", "_asked", "_late", "_since", "_wait", "due")

    def __init__(self, after: float, wait: float) -> None:
        self._after = after
        self._wait = wait
        self._since = 0.0  # quiet before this does not count
        self._asked: float | None = None
        self._late = False
        self.due = NEVER

    @property
    def timeout(self) -> float:
        """Seconds of quiet after which a connection is given up."""
        return self._after + self._wait

    def expect(self, now: float) -> None:
        """Something is expected from now on, where nothing was before."""
        self._since = now
        self._asked = None
        self._late = False
        self.due = now + self._after

    def look(self, now: float, heard: float, expecting: bool) -> Sign:
        """What is to be done now.

        Args:
            now: the time.
            heard: when bytes came last.
            expecting: whether anything is expected still.
        """
        if not expecting:
            self.due = NEVER
        if now < self.due or not expecting:
            return Sign.NOTHING
        quiet_since = max(self._since, heard)
        if self._asked is None or heard >= self._asked:
            self._asked = None
            self._late = False
            if now < quiet_since + self._after:
                self.due = quiet_since + self._after
                return Sign.NOTHING
            self._asked = now
            self.due = now + self._wait
            return Sign.ASK
        if not self._late:
            self._late = True
            self.due = now + _MOMENT
            return Sign.NOTHING
        self.due = NEVER
        return Sign.GONE

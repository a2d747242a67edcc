"""How long a peer may take: one connection's waits, with the time as an argument.

A server's connection waits for one thing at a time: its first byte, the rest of a header, the rest of content, or
(nothing open) the next request. Time during which we do not read is not counted against the peer.
"""

from enum import Enum, auto

from letterhead.errors import FrameTimeout
from letterhead.limits import Limits

NEVER = float("inf")


class Wait(Enum):
    """What a connection waits for."""

    FIRST_BYTE = auto()
    HEADER = auto()
    CONTENT = auto()
    NEXT = auto()  # the next request; while something is open, its deadline governs and nobody idles


class Patience:
    """The clock of one connection's inbound side. All times are seconds of one monotonic clock.

    Attributes:
        wait: what the connection waits for.
        last: when bytes came last, or a request was answered.
        latest: by then a header must be whole, however long it might take otherwise.
    """

    __slots__ = ("_began", "_limits", "_paused_at", "_received", "last", "latest", "wait")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self.wait = Wait.FIRST_BYTE
        self._began = self.last = now
        self.latest = NEVER
        self._received = 0
        self._paused_at: float | None = None

    def waits_for(self, wait: Wait, now: float) -> None:
        """From now on the connection waits for this."""
        self.wait = wait
        self._began = self.last = now
        self._received = 0
        if self._paused_at is not None:
            self._paused_at = now

    def stirred(self, now: float) -> None:
        """We did something for the peer: it does not idle."""
        if self.wait is Wait.NEXT:
            self.last = now

    def received(self, count: int, now: float) -> None:
        """So many bytes came."""
        self.last = now
        self._received += count

    def pause(self, now: float) -> None:
        """We stopped reading."""
        if self._paused_at is None:
            self._paused_at = now

    def resume(self, now: float) -> None:
        """We read again: the pause is not the peer's."""
        if self._paused_at is not None:
            self._began += now - self._paused_at
            self.last += now - self._paused_at
            self._paused_at = None

    def complaint(self) -> FrameTimeout | None:
        """What to tell a peer whose wait is over; nothing where no frame has begun."""
        if self.wait is Wait.HEADER:
            return FrameTimeout(f"a header was not finished within {self._limits.header_seconds:g} s")
        if self.wait is Wait.CONTENT:
            return FrameTimeout("content came too slowly")
        return None

    def ends_at(self) -> float:
        """When the wait is over if nothing more comes; infinity where nothing is waited for."""
        limits = self._limits
        if self._paused_at is not None:
            return NEVER
        if self.wait is Wait.FIRST_BYTE:
            return min(self._began + limits.first_byte_seconds, self.latest)
        if self.wait is Wait.HEADER:
            return min(self._began + limits.header_seconds, self.latest)
        if self.wait is Wait.NEXT:
            return self.last + limits.idle_seconds
        quiet = self.last + limits.content_quiet_seconds
        if not limits.content_rate:
            return quiet
        too_slow = self._began + max(limits.content_quiet_seconds, self._received / limits.content_rate)
        return min(quiet, too_slow)

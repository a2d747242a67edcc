"""How long a peer may take: the timers of one connection, with the time as an argument.

What lives here: ``ReadTimer``, for what is waited for (the first byte, the rest of a header, the rest of content, or,
with nothing open, the next request), and ``WriteTimer``, for what is to be sent. Time during which this side does not
read is not counted against the peer. All times are seconds of one monotonic clock.

Who asks for the time, and what is done when it is over, is not known here.
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
    IDLE = auto()  # the next request; while something is open, its deadline governs and nobody idles


class ReadTimer:
    """How long a connection waits for its peer.

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

    def start(self, wait: Wait, now: float) -> None:
        """From now on the connection waits for this."""
        self.wait = wait
        self._began = self.last = now
        self._received = 0
        if self._paused_at is not None:
            self._paused_at = now

    def active(self, now: float) -> None:
        """Something was done for the peer: it does not idle."""
        if self.wait is Wait.IDLE:
            self.last = now

    def received(self, count: int, now: float) -> None:
        """So many bytes came."""
        self.last = now
        self._received += count

    def pause(self, now: float) -> None:
        """Reading was paused."""
        if self._paused_at is None:
            self._paused_at = now

    def resume(self, now: float) -> None:
        """Reading goes on: the pause is not the peer's."""
        if self._paused_at is not None:
            self._began += now - self._paused_at
            self.last += now - self._paused_at
            self._paused_at = None

    def error(self) -> FrameTimeout | None:
        """What to tell a peer whose time is over; None where no frame has begun."""
        if self.wait is Wait.HEADER:
            return FrameTimeout(f"a header was not finished within {self._limits.header_seconds:g} s")
        if self.wait is Wait.CONTENT:
            return FrameTimeout("content came too slowly")
        return None

    @property
    def due(self) -> float:
        """When the time is over if nothing more comes; infinity while reading is paused."""
        limits = self._limits
        if self._paused_at is not None:
            return NEVER
        if self.wait is Wait.FIRST_BYTE:
            return min(self._began + limits.first_byte_seconds, self.latest)
        if self.wait is Wait.HEADER:
            return min(self._began + limits.header_seconds, self.latest)
        if self.wait is Wait.IDLE:
            return self.last + limits.idle_seconds
        quiet = self.last + limits.content_quiet_seconds
        if not limits.content_rate:
            return quiet
        too_slow = self._began + max(limits.content_quiet_seconds, self._received / limits.content_rate)
        return min(quiet, too_slow)


class WriteTimer:
    """How long a peer may take to accept what is sent to it.

    It runs while bytes are unsent. A peer is late where none of them went for ``write_seconds``, or where fewer went
    in ``content_quiet_seconds`` than ``content_rate`` asks for: one that takes a byte now and then holds as much
    memory as one that takes none.
    """

    __slots__ = ("_gone", "_limits", "_moved_at", "_window_began", "_window_gone", "due")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.due = NEVER  # when to look again; never while nothing is unsent
        self._gone = 0  # bytes that had gone when it was looked last
        self._moved_at = 0.0
        self._window_gone = 0
        self._window_began = 0.0

    def check(self, gone: int, unsent: int, now: float) -> bool:
        """Whether the peer took too long.

        Args:
            gone: bytes that have gone so far, of all that were sent on the connection.
            unsent: bytes that have not.
            now: the time.
        """
        if not unsent:
            self.due = NEVER
            return False
        limits = self._limits
        if self.due == NEVER:
            self._gone = self._window_gone = gone
            self._moved_at = self._window_began = now
        elif gone > self._gone:
            self._gone = gone
            self._moved_at = now
        if now >= self._moved_at + limits.write_seconds:
            return True
        self.due = self._moved_at + limits.write_seconds
        if limits.content_rate:
            ends = self._window_began + limits.content_quiet_seconds
            if now >= ends:
                if gone - self._window_gone < limits.content_rate * (now - self._window_began):
                    return True
                self._window_gone = gone
                self._window_began = now
                ends = now + limits.content_quiet_seconds
            self.due = min(self.due, ends)
        return False

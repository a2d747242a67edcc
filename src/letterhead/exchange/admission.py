"""What one connection may cost a server: whether a request is let in, and when a peer has gone too far."""

from copy import copy

from letterhead.errors import BadHeader, Refused, TooMany, Unavailable
from letterhead.exchange.budget import Budget
from letterhead.exchange.fields import Meaning
from letterhead.limits import Limits
from letterhead.wire.header import Header


class Admission:
    """Judges requests by their headers, and counts what a connection spends on control frames and late ones."""

    __slots__ = ("_budget", "_controls", "_controls_since", "_late", "_limits", "draining")

    def __init__(self, limits: Limits, budget: Budget, now: float) -> None:
        self.draining = False
        self._limits = limits
        self._budget = budget
        self._late = 0
        self._controls = 0
        self._controls_since = now

    def why_not(self, header: Header, meaning: Meaning, open_now: int, classic: bool) -> Refused | None:
        """The refusal that a header alone earns, or None. In the order of protocol section 5."""
        shape = header.shape
        fault = shape.fault or meaning.fault
        if fault is not None:
            return copy(fault)  # faults are remembered with the header; each raise has an error of its own
        if meaning.more is False:
            return BadHeader("'more' is false in an opening", field="more")
        if self.draining and not classic:
            return Unavailable("the server is going away")
        if open_now >= self._limits.max_open:
            return TooMany(f"more than {self._limits.max_open} requests open", limit=self._limits.max_open)
        if self._budget.used + shape.length > self._budget.limit and shape.length:
            return self.too_much()
        return None

    def allowed_seconds(self, meaning: Meaning) -> float:
        """How long a request may take: what it asks for, within what is allowed."""
        wanted = self._limits.deadline_seconds if meaning.deadline is None else meaning.deadline
        return min(wanted, self._limits.deadline_max_seconds)

    def too_much(self) -> TooMany:
        """The refusal of content that would pass the bound on buffered bytes."""
        return TooMany("the server holds as much content as it may; try again", limit=self._budget.limit)

    def control(self, now: float) -> TooMany | None:
        """A control frame came; the error that ends the connection, if there were too many."""
        if now - self._controls_since >= self._limits.control_seconds:
            self._controls_since = now
            self._controls = 0
        self._controls += 1
        if self._controls <= self._limits.control_frames:
            return None
        return TooMany("too many control frames", limit=self._limits.control_frames)

    def late(self, header: Header) -> TooMany | None:
        """A frame came for an exchange that has ended; the error that ends the connection, if there were too many."""
        self._late += 2 + header.size + header.shape.length
        if self._late <= self._limits.late_bytes:
            return None
        return TooMany("too many bytes for exchanges that have ended", limit=self._limits.late_bytes)

"""What one connection may cost a server: whether a request is let in, and when a peer has gone too far.

What lives here: ``Admission``, the judge of one connection's headers, and its counts. What is done about a refusal is
``server.py``'s.
"""

from letterhead.errors import BadHeader, Refused, TooMany, Unavailable
from letterhead.limits import Limits
from letterhead.protocol.budget import Budget
from letterhead.protocol.fields import OCTETS, Meaning, unlisted
from letterhead.protocol.timers import NEVER
from letterhead.wire.header import JSON_TYPES, Header

LEAVING = "the server is going away"
"""Why a server that drains refuses a request, or cancels one."""
_OWN = "letterhead."
_BYTES_A_CREDIT = 32 * 1024
"""For so many bytes of items that were sent one credit frame may come (protocol section 5)."""


class Admission:
    """Judges requests by their headers, and counts what a connection spends on control frames and late ones."""

    __slots__ = (
        "_budget", "_controls", "_controls_since", "_credits", "_expected_late", "_late", "_limits", "_readable",
        "_sent", "draining",
    )  # fmt: skip

    def __init__(self, limits: Limits, budget: Budget, now: float, readable: tuple[str, ...] = ()) -> None:
        self.draining = False
        self._limits = limits
        self._budget = budget
        self._readable = readable
        self._late = 0
        self._expected_late = 0
        self._sent = 0
        self._credits = 0
        self._controls = 0
        self._controls_since = now

    def refusal(self, header: Header, meaning: Meaning, open_now: int, classic: bool) -> Refused | None:
        """The refusal that a header alone earns, or None. In the order of protocol section 5."""
        shape = header.shape
        fault = shape.fault or meaning.fault
        if fault is not None:
            return fault.error()
        if meaning.compression is not None and meaning.compression not in self._readable:
            return unlisted()
        if meaning.more is False:
            return BadHeader("'more' is false in an opening", field="more")
        if self.draining and not classic and not _may_be_own(header, meaning):
            return Unavailable(LEAVING)
        if open_now >= self._limits.max_open:
            return TooMany(f"more than {self._limits.max_open} requests open", limit=self._limits.max_open)
        if not self._budget.fits(shape.length + header.held):
            return self.too_much()
        return None

    def allowed_seconds(self, meaning: Meaning) -> float:
        """How long a request may take: what it asks for, within what is allowed."""
        if meaning.more:  # a stream may take as long as it wants
            return NEVER if meaning.deadline is None else meaning.deadline
        wanted = self._limits.deadline_seconds if meaning.deadline is None else meaning.deadline
        return min(wanted, self._limits.deadline_max_seconds)

    def part_refusal(self, header: Header, meaning: Meaning) -> Refused | None:
        """The refusal that the header of an upload's item earns, or None."""
        shape = header.shape
        fault = shape.fault or meaning.fault
        if fault is not None:
            return fault.error()
        if meaning.more is None:
            return BadHeader("after its opening an upload goes on with 'more': true, and ends with false", field="more")
        if not meaning.more:
            plain = shape.length == 0 and shape.type == OCTETS and shape.encoding == "binary"
            return None if plain else BadHeader("the end of a stream has no content", field="more")
        if meaning.compression is not None and meaning.compression not in self._readable:
            return unlisted()
        if not self._budget.fits(shape.length + header.held):
            return self.too_much()
        return None

    def too_much(self) -> TooMany:
        """The refusal of content that would pass the bound on buffered bytes."""
        return TooMany("the server holds as much content as it may; try again", limit=self._budget.limit)

    def sent(self, count: int) -> None:
        """So many bytes of items were sent: credit for them may come."""
        self._sent += count

    def credit(self, now: float) -> TooMany | None:
        """A credit frame came; the error that ends the connection, if there were too many for what was sent."""
        if (self._credits + 1) * _BYTES_A_CREDIT > self._sent:
            return self.control(now)
        self._credits += 1
        return None

    def control(self, now: float) -> TooMany | None:
        """A control frame came; the error that ends the connection, if there were too many."""
        if now - self._controls_since >= self._limits.control_seconds:
            self._controls_since = now
            self._controls = 0
        self._controls += 1
        if self._controls <= self._limits.control_frames:
            return None
        return TooMany("too many control frames", limit=self._limits.control_frames)

    def expect_late(self, window: int) -> None:
        """An exchange ended whose upload may go on until the client knows: for so many bytes, one item, and its end.

        They are no fault of the client's. Without this a connection on which many handlers end before their uploads,
        each with a little under way, would be closed for it some day.
        """
        self._expected_late += window + self._limits.content_bytes + 2 * (2 + self._limits.header_bytes)

    def late(self, header: Header) -> TooMany | None:
        """A frame came for an exchange that has ended; the error that ends the connection, if there were too many."""
        self._late += header.frame_size
        if self._late <= self._limits.late_bytes + self._expected_late:
            return None
        return TooMany("too many bytes for exchanges that have ended", limit=self._limits.late_bytes)


def is_own(action: object) -> bool:
    """Whether the action is one that every server has: those are answered as long as the connection stands."""
    return isinstance(action, str) and action.startswith(_OWN)


def _may_be_own(header: Header, meaning: Meaning) -> bool:
    """Whether it asks for such an action, as far as a header says: in classic form the content does."""
    if meaning.action is not None:
        return is_own(meaning.action)
    return header.shape.type in JSON_TYPES

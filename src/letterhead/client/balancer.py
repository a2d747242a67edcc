"""Which of a client's servers a call goes to, and when a connection is tried again: for both clients, without I/O.

Each server has at most one connection that calls share; a classic one has one for each call. The rules:

* A call goes to the connected server with the fewest open calls. Another one is connected to only when all of those
  have calls open: who makes one call after the other needs one connection.
* A server whose connection fails, or ends before it has said anything, is set aside. It is tried again after a random
  part of a time that doubles with each failure (exponential backoff, full jitter), by one attempt at a time, and asked
  with a ping first: a proxy that has no server behind it would cost a call each time. So is one whose connection was
  lost while calls were open. One that left in order, or closed a connection that idled, may be connected to at once.
* A server that came back gets less than its share at first (slow start): with no open calls it would get all.
* While no server is connected, one is tried after the other, the next as soon as the last has failed or has taken a
  moment.
* Calls wait for a connection within their time, once this client has ever had one. Before that, whoever calls should
  hear at once that nothing listens there; unless the client was told otherwise either way.

What happens is told by ``tell``: events with fields, for logs. ``random`` gives numbers from 0 to 1, the time is an
argument.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from letterhead.errors import ConnectionFailed, Rejected
from letterhead.limits import Limits
from letterhead.protocol.calls import Call
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.retry import Elsewhere, Why
from letterhead.protocol.states import Phase

NEVER = float("inf")
DEBUG, INFO, WARNING = 10, 20, 30
"""Levels, as ``logging`` has them: that is not imported unless there is something to say."""
_LEAST_WEIGHT = 0.1
_UNUSED = 1.0
"""Seconds: a connection on which nothing was sent and that ends sooner has failed; later it was closed as unused."""
_LEARN_AFTER = 1.0
"""Seconds that a first connection must have lasted before it is worth asking what the server offers."""


class State(StrEnum):
    """What a client's connections are in (``client.state``)."""

    IDLE = "idle"  # no connection, and nobody needs one
    CONNECTING = "connecting"
    READY = "ready"
    RECONNECTING = "reconnecting"  # the connection was lost, or none could be made: it is tried again
    CLOSED = "closed"


class Tell(Protocol):
    """Takes an event: how much it matters, its name, a sentence with ``%s`` for each of ``args``, and fields."""

    def __call__(self, level: int, event: str, sentence: str, *args: Any, **fields: Any) -> None: ...


class Joined(Protocol):
    """A connection."""

    @property
    def requester(self) -> ClientProtocol:
        """The conversation on it."""


C = TypeVar("C", bound=Joined)


class Member(Generic[C]):
    """One server, as its client sees it.

    Attributes:
        name: its address as text.
        where: its address.
        connection: the one that calls share; None where there is none.
        classic: it was classic when last seen.
        own: calls to a classic server that are under way, or being connected for, each on a connection of its own.
        dialling: since when it is being connected to, or None.
        error: why it was set aside last, until it answers.
        idempotent: names of actions that may be sent again to it after a loss.
    """

    def __init__(self, name: str, where: Any, idempotent: set[str]) -> None:
        self.name = name
        self.where = where
        self.connection: C | None = None
        self.classic = False
        self.own = 0
        self.dialling: float | None = None
        self.error: ConnectionFailed | None = None
        self.idempotent = idempotent
        # The pool's own.
        self.failures = 0
        self.failure = 0  # the number, among all of the client's, of its last one
        self.tried_at = -NEVER
        self.again_at = -NEVER
        self.joined_at = 0.0
        self.lost_at = -NEVER
        self.back_at = -NEVER
        self.answered = False  # its present connection has said something
        self.connections = 0
        self.learnt = False

    def takes_calls(self, now: float) -> bool:
        """Whether a call may be given to it now."""
        if self.classic:
            return now >= self.again_at and self.dialling is None
        return self.connection is not None and self.connection.requester.takes_calls

    @property
    def load(self) -> int:
        """Calls that it has to answer."""
        return self.own if self.connection is None else self.connection.requester.load


class Pool(Generic[C]):
    """The servers of one client.

    Args:
        servers: names and addresses.
        limits: how long to wait before trying again.
        random: numbers from 0 to 1.
        tell: hears of events.
        waits: whether calls wait for a connection; None: once there has been one.
        idempotent: actions that may be sent again after a loss; None: what servers say of theirs.

    Attributes:
        members: the servers.
        closed: nothing is placed any more.
        counters: what happened how often.
    """

    def __init__(
        self,
        servers: Sequence[tuple[str, Any]],
        limits: Limits,
        random: Callable[[], float],
        tell: Tell,
        waits: bool | None = None,
        idempotent: Sequence[str] | None = None,
    ) -> None:
        self.members: list[Member[C]] = [Member(name, where, set(idempotent or ())) for name, where in servers]
        self.closed = False
        self.counters = dict.fromkeys(("connected", "connect-failed", "lost", "left", "moved", "repeated"), 0)
        self._limits = limits
        self._random = random
        self._tell = tell
        self._waits = waits
        self._learns = idempotent is None
        self._ever = False  # a server has answered
        self._failures = 0  # of all servers, ever: an order that does not depend on how fine the clock is
        self._turn = int(random() * len(self.members)) % len(self.members)

    # -- placing a call --------------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether a call waits for a connection while there is none."""
        return self._ever if self._waits is None else self._waits

    def choose(self, call: Call, now: float) -> Member[C] | None:
        """The server that a call goes to; None where none can take it now."""
        members = self.members
        if len(members) == 1:
            return members[0] if members[0].takes_calls(now) else None
        chosen, least = None, NEVER
        start = self._turn
        for step in range(len(members)):
            member = members[(start + step) % len(members)]
            if not member.takes_calls(now):
                continue
            load = (member.load + 1) / self._weight(member, now)
            if call.avoid is member or (member.connection is not None and not member.answered and member.load):
                load += 1e9  # only if there is no other: it could not run it, or may be somebody who says nothing
            if load < least:
                chosen, least = member, load
                self._turn = (start + step + 1) % len(members)
        return chosen

    def _weight(self, member: Member[C], now: float) -> float:
        slow = self._limits.slow_start_seconds
        return min(1.0, max(_LEAST_WEIGHT, (now - member.back_at) / slow)) if slow else 1.0

    def next_to_dial(self, now: float) -> Member[C] | None:
        """The server to connect to now, if any: where no server takes calls, or all that do are at work."""
        connected = [member for member in self.members if member.takes_calls(now)]
        if connected and not all(member.load for member in connected):
            return None
        if self.first_look(now) > now:
            return None
        at_once = not (connected or self.waits)  # whoever does not wait tries by itself
        members = self.members
        for step in range(len(members)):
            member = members[(self._turn + step) % len(members)]
            if member.dialling is None and not member.takes_calls(now) and (at_once or member.again_at <= now):
                self._turn = (self._turn + step + 1) % len(members)
                return member
        return None

    def first_look(self, now: float) -> float:
        """When another server may be connected to beside those that are being connected to."""
        started = [member.dialling for member in self.members if member.dialling is not None]
        return max(started) + self._limits.eyeballs_seconds if started else now

    def hurry(self, now: float, until: float) -> None:
        """A call waits whose time is over then: an attempt is made in the second half of it.

        None is made sooner than the first wait after the last one: many calls with little time make few attempts.
        """
        middle = now + (until - now) / 2
        for member in self.members:
            if member.again_at > until and member.dialling is None:
                member.again_at = min(member.again_at, max(middle, member.tried_at + self._limits.reconnect_seconds))

    def due(self, now: float) -> float:
        """When ``next_to_dial`` may have more to say to who waits, if nothing happens until then."""
        idle = [member.again_at for member in self.members if member.dialling is None and not member.takes_calls(now)]
        if not idle:
            return NEVER
        return max(min(idle) if self.waits else now, self.first_look(now))

    def begins_to_wait(self, call: Call, now: float) -> None:
        """A call has no connection, or has lost it."""
        call.since = now
        call.after = self._failures

    def hopeless(self, call: Call) -> ConnectionFailed | None:
        """Why a call that waits, but does not want to, has no connection; None where one may still come."""
        if self.waits or any(m.dialling is not None or m.failure <= call.after for m in self.members):
            return None
        return self.error

    @property
    def error(self) -> ConnectionFailed | None:
        """Why there is no connection, as far as is known."""
        errors = {member.name: member.error for member in self.members if member.error is not None}
        if len(errors) < 2:
            return next(iter(errors.values()), None)
        told = "; ".join(error.message for error in errors.values())
        kinds = {type(error) for error in errors.values()}
        kind = kinds.pop() if len(kinds) == 1 and Rejected not in kinds else ConnectionFailed
        return kind(f"none of {len(self.members)} servers can be reached: {told}", address=", ".join(errors))

    # -- what connections report -----------------------------------------------------------------------------------

    def dials(self, member: Member[C], now: float) -> None:
        """It is being connected to. Of a classic one that is so only of the attempt that finds out if it is back."""
        member.dialling = now

    def gave_up(self, member: Member[C]) -> None:
        """Whoever connected to it has no time or no need any more: nothing was learnt."""
        member.dialling = None

    def failed(self, member: Member[C], error: ConnectionFailed, now: float, *, told: bool = True) -> None:
        """It could not be connected to, or the connection ended before it said anything.

        Args:
            member: the server.
            error: how it failed.
            now: the time.
            told: those who do not wait are to hear of it; not where only the first caller's own time was over.
        """
        member.dialling = None
        member.answered = False
        if told:
            self._failures += 1
            member.failure = self._failures
        member.error = error
        member.tried_at = now
        self.counters["connect-failed"] += 1
        if now < member.again_at:
            return  # it is set aside already: other attempts had begun before, or did not want to wait
        member.failures += 1
        delay = self._delay(member.failures)
        member.again_at = now + delay
        # Whoever does not wait gets the error itself, and where another server takes calls nobody waits.
        alone = self.waits and not any(other.takes_calls(now) for other in self.members)
        level = WARNING if alone and member.failures == 1 else DEBUG
        self._tell(
            level, "connect-failed", "%s%s", error.message, "; calls wait" if alone else "",
            server=member.name, attempt=member.failures, delay=delay, error=error.code,
        )  # fmt: skip

    def joined(self, member: Member[C], connection: C, now: float) -> None:
        """It is connected to. Whether it is what it should be shows with its first answer."""
        member.dialling = None
        member.joined_at = now
        if not member.classic:
            member.connection = connection
            member.answered = False
            member.learnt = False
            member.connections += 1

    def answered(self, member: Member[C], now: float) -> None:
        """It has said something sensible on a connection."""
        if member.answered and not member.failures:
            return
        member.answered = self._ever = True
        self.counters["connected"] += 1
        back = member.failures > 0 or member.lost_at > -NEVER
        if back:
            member.back_at = now
        since = max(member.lost_at, -1.0)
        self._tell(
            INFO if back else DEBUG, "connected", "connected to %s%s", member.name,
            f" again, by attempt {member.failures + 1}" if back else "",
            server=member.name, attempts=member.failures + 1, seconds=round(now - since, 3) if since >= 0 else None,
        )  # fmt: skip
        member.failures = 0
        member.error = None
        member.lost_at = -NEVER

    def parted(self, member: Member[C], connection: C, now: float) -> None:
        """A connection to it has ended. To be told once, and before its calls are placed elsewhere."""
        requester = connection.requester
        shared = member.connection is connection
        if shared:
            member.connection = None
        spoke = member.answered if shared else requester.answered
        if requester.phase is Phase.CLASSIC:
            member.classic = True
            self.answered(member, now)
        if self.closed or requester.why is None:
            return
        if requester.leaving and requester.answered:
            self.counters["left"] += 1
            self._tell(INFO, "server-left", "%s is going away", member.name, server=member.name)
        elif requester.forsaken or not shared:
            return  # also a classic server's: it hangs up on what it cannot take
        elif (requester.asked or now < member.joined_at + _UNUSED) and not (
            requester.answered if requester.leaving else spoke
        ):
            # Also who always goes away before it has answered anything.
            self.failed(member, requester.why, now, told=not requester.late)
        elif requester.open_at_end:
            self.counters["lost"] += 1
            member.answered = False
            member.lost_at = now
            member.error = requester.why
            member.again_at = now + self._delay(1)
            self._tell(
                WARNING, "connection-lost", "%s", requester.why.message,
                server=member.name, open=requester.open_at_end, error=requester.why.code,
            )  # fmt: skip

    def elsewhere(self, back: Elsewhere, member: Member[C], requester: ClientProtocol, now: float) -> None:
        """Calls come back from a connection of this server: when, and where not, they may go next."""
        told = requester.ended and not requester.late
        if back.why is Why.CLASSIC:
            member.classic = True
            member.connection = None
        for call in back.calls:
            call.home = None
            if not (call.since >= 0 and back.why is Why.UNWRITTEN and member.failures):
                self.begins_to_wait(call, now)  # else it waits for its first connection still
            if member.failures and told:  # that the connection ended so is a failure which this call has seen
                call.after = min(call.after, member.failure - 1)
            if back.why is Why.UNAVAILABLE:
                call.avoid = member
                others = len(self.members) - 1
                call.not_before = now + (self._delay(call.repeats - others) if call.repeats > others else 0.0)
            if back.why in (Why.UNAVAILABLE, Why.LOST):
                self.counters["repeated"] += 1
                self._tell(
                    INFO, "call-repeated", "'%s' is sent again: %s", call.name, back.error,
                    server=member.name, action=call.name, attempt=call.repeats + 1,
                    error=None if back.error is None else back.error.code,
                )  # fmt: skip
            elif back.why is Why.LEAVING:
                self.counters["moved"] += 1

    def may_learn(self, member: Member[C], now: float) -> bool:
        """Whether it is time to ask this server what it offers; once for each connection that lasts."""
        connection = member.connection
        if member.learnt or not self._learns or connection is None or not connection.requester.has_room:
            return False
        if member.connections == 1 and now < member.joined_at + _LEARN_AFTER:
            return False
        member.learnt = True
        return True

    def _delay(self, failures: int) -> float:
        longest = self._limits.reconnect_seconds * 2.0 ** min(failures - 1, 32)
        return self._random() * min(self._limits.reconnect_max_seconds, longest)

    # -- how it stands ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """What the connections are in."""
        members = self.members
        if self.closed:
            return State.CLOSED
        if any(m.answered and (m.own if m.classic else m.connection and m.takes_calls(0.0)) for m in members):
            return State.READY
        if self.waits and any(member.error is not None for member in members):
            return State.RECONNECTING
        if any(member.dialling is not None or member.connection is not None or member.own for member in members):
            return State.CONNECTING
        return State.IDLE

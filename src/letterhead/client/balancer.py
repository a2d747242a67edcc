"""``Balancer``: which of a client's servers a call goes to, and when a connection is tried again.

Each server has at most one connection that calls share; a classic one has one for each call. The rules:

* A call goes to the connected server with the fewest open calls. Another one is connected to only when all of those
  have calls open: who makes one call after the other needs one connection.
* Whatever is a reason to connect again goes through one backoff: a random part of a time that doubles with each
  connection that failed, or that ended soon after it was made, for whatever reason (exponential backoff, full jitter).
  One attempt at a time, and after a failure the server is asked with a ping first: a proxy that has no server behind it
  would cost a call each time. Only where a connection lasted, and its server left in order or nothing was open, may
  the server be connected to at once.
* A server that came back gets less than its share at first (slow start): with no open calls it would get all.
* While no server is connected, one is tried after the other, the next as soon as the last has failed or has taken a
  moment.
* Calls wait for a connection within their time, once this client has ever had one. Before that, whoever calls should
  hear at once that nothing listens there; unless the client was told otherwise either way.

What happens is told by ``report``. ``random`` gives numbers from 0 to 1, the time is an argument.

How connections are made is not known here, nor what is said on them.
"""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Generic, Protocol, TypeVar

from letterhead.client.connection import Connection, Endpoint
from letterhead.client.state import State
from letterhead.errors import ConnectionFailed, Rejected
from letterhead.limits import Limits
from letterhead.protocol.events import ConnectionEnd, EndReason

NEVER = float("inf")
DEBUG, INFO, WARNING = 10, 20, 30
"""Levels, as ``logging`` has them: that is not imported unless there is something to say."""
_LEAST_WEIGHT = 0.1
_UNUSED = 1.0
"""Seconds: a connection on which nothing was sent and that ends sooner has failed; later it was closed as unused."""
_LEARN_AFTER = 1.0
"""Seconds that a first connection must have lasted before it is worth asking what the server offers."""

C = TypeVar("C")  # a call
P = TypeVar("P")  # what carries the bytes


class Report(Protocol):
    """Takes an event: how much it matters, its name, a sentence with ``%s`` for each of ``args``, and fields."""

    def __call__(self, level: int, event: str, sentence: str, *args: Any, **fields: Any) -> None: ...


class Balancer(Generic[C, P]):
    """The servers of one client.

    Args:
        servers: their names.
        limits: how long to wait before trying again.
        random: numbers from 0 to 1.
        report: hears of events.
        waits: whether calls wait for a connection; None: once there has been one.
        idempotent: actions that may be sent again after a loss; None: what servers say of theirs.

    Attributes:
        endpoints: the servers.
        closed: nothing is placed any more.
        counters: what happened how often.
        failures: how many attempts to connect have failed, of all servers, ever.
    """

    def __init__(
        self,
        servers: Sequence[str],
        limits: Limits,
        random: Callable[[], float],
        report: Report,
        waits: bool | None = None,
        idempotent: Sequence[str] | None = None,
    ) -> None:
        self.endpoints: list[Endpoint[C, P]] = [Endpoint(name, set(idempotent or ())) for name in servers]
        self.closed = False
        self.counters = dict.fromkeys(("connected", "connect-failed", "lost", "left", "moved", "repeated"), 0)
        self.failures = 0  # an order that does not depend on how fine the clock is
        self._limits = limits
        self._random = random
        self._report = report
        self._waits = waits
        self._learns = idempotent is None
        self._ever = False  # a server has answered
        self._next = int(random() * len(self.endpoints)) % len(self.endpoints)

    def take_over(self, other: "Balancer[C, P]") -> None:
        """Know of the same servers what another balancer knew, but for its connections."""
        self._ever = other._ever
        self.counters = other.counters
        self.failures = other.failures
        for endpoint, theirs in zip(self.endpoints, other.endpoints, strict=True):
            endpoint.take_over(theirs)

    # -- placing a call --------------------------------------------------------------------------------------------

    @property
    def waits(self) -> bool:
        """Whether a call waits for a connection while there is none."""
        return self._ever if self._waits is None else self._waits

    def choose(self, now: float, avoid: Endpoint[C, P] | None = None) -> Endpoint[C, P] | None:
        """The server that a call goes to; None where none can take it now. ``avoid`` could not run it."""
        endpoints = self.endpoints
        if len(endpoints) == 1:
            return endpoints[0] if endpoints[0].takes_calls(now) and not endpoints[0].full else None
        chosen, least = None, NEVER
        start = self._next
        for step in range(len(endpoints)):
            endpoint = endpoints[(start + step) % len(endpoints)]
            if endpoint.full or not endpoint.takes_calls(now):
                continue
            load = (endpoint.load + 1) / self._weight(endpoint, now)
            if avoid is endpoint or (endpoint.connection is not None and not endpoint.answered and endpoint.load):
                load += 1e9  # only if there is no other: it could not run it, or may be somebody who says nothing
            if load < least:
                chosen, least = endpoint, load
                self._next = (start + step + 1) % len(endpoints)
        return chosen

    def _weight(self, endpoint: Endpoint[C, P], now: float) -> float:
        slow = self._limits.slow_start_seconds
        return min(1.0, max(_LEAST_WEIGHT, (now - endpoint.back_at) / slow)) if slow else 1.0

    def next_to_dial(self, now: float, failures_before: int = -1) -> Endpoint[C, P] | None:
        """The server to connect to now, if any: where no server takes calls, or all that do are at work.

        Args:
            now: the time.
            failures_before: how many failures there had been when the call began to wait for whose sake one is wanted.
        """
        connected = [endpoint for endpoint in self.endpoints if endpoint.takes_calls(now)]
        if connected and not all(endpoint.load for endpoint in connected):
            return None
        if self.first_look(now) > now:
            return None
        endpoints = self.endpoints
        for step in range(len(endpoints)):
            endpoint = endpoints[(self._next + step) % len(endpoints)]
            may_be = endpoint.again_at <= now or (not connected and self._at_once(endpoint, failures_before))
            if may_be and endpoint.dialling is None and not endpoint.takes_calls(now):
                self._next = (self._next + step + 1) % len(endpoints)
                return endpoint
        return None

    def _at_once(self, endpoint: Endpoint[C, P], failures_before: int) -> bool:
        """Whether a call tries it although it is set aside: whoever does not wait tries each by itself, but once."""
        return not self.waits and endpoint.short <= 1 and endpoint.failure <= failures_before

    def first_look(self, now: float) -> float:
        """When another server may be connected to beside those that are being connected to."""
        started = [endpoint.dialling for endpoint in self.endpoints if endpoint.dialling is not None]
        return max(started) + self._limits.eyeballs_seconds if started else now

    def retry_by(self, now: float, until: float) -> None:
        """A call waits whose time is over then: an attempt is made in the second half of it.

        None is made sooner than the first wait after the last one: many calls with little time make few attempts.
        """
        middle = now + (until - now) / 2
        late = until - (until - now) / 8  # there would be too little time left for an answer
        for endpoint in self.endpoints:
            if endpoint.again_at > late and endpoint.dialling is None:
                soonest = endpoint.tried_at + self._limits.reconnect_seconds
                endpoint.again_at = min(endpoint.again_at, max(middle, soonest))

    def due(self, now: float, failures_before: int = -1) -> float:
        """When ``next_to_dial`` may have more to say to who waits, if nothing happens until then."""
        idle = [e for e in self.endpoints if e.dialling is None and not e.takes_calls(now)]
        if not idle:
            return NEVER
        soonest = min(now if self._at_once(e, failures_before) else e.again_at for e in idle)
        return max(soonest, self.first_look(now))

    def unreachable(self, failures_before: int) -> ConnectionFailed | None:
        """Why a call that does not want to wait has no connection; None where one may still come.

        Args:
            failures_before: how many failures there had been when the call began to wait.
        """
        endpoints = self.endpoints
        if self.waits or any(e.dialling is not None or e.full or e.failure <= failures_before for e in endpoints):
            return None
        return self.error

    @property
    def error(self) -> ConnectionFailed | None:
        """Why there is no connection, as far as is known."""
        errors = {endpoint.name: endpoint.error for endpoint in self.endpoints if endpoint.error is not None}
        if len(errors) < 2:
            return next(iter(errors.values()), None)
        told = "; ".join(error.message for error in errors.values())
        kinds = {type(error) for error in errors.values()}
        kind = kinds.pop() if len(kinds) == 1 and Rejected not in kinds else ConnectionFailed
        return kind(f"none of {len(self.endpoints)} servers can be reached: {told}", address=", ".join(errors))

    # -- what connections report -----------------------------------------------------------------------------------

    def dials(self, endpoint: Endpoint[C, P], now: float) -> None:
        """A server is being connected to. Of a classic one only the attempt counts that finds out if it is back."""
        endpoint.dialling = now

    def gave_up(self, endpoint: Endpoint[C, P]) -> None:
        """Connecting to a server was given up for lack of time or need: nothing was learnt."""
        endpoint.dialling = None

    def failed(self, endpoint: Endpoint[C, P], error: ConnectionFailed, now: float, *, told: bool = True) -> None:
        """A server could not be connected to, or the connection ended before the server said anything.

        Args:
            endpoint: the server.
            error: how it failed.
            now: the time.
            told: those who do not wait are to hear of it; not where only the first caller's own time was over.
        """
        endpoint.dialling = None
        endpoint.answered = False
        if told:
            self.failures += 1
            endpoint.failure = self.failures
        endpoint.error = copy(error)  # without the frames that a traceback would keep
        endpoint.tried_at = now
        self.counters["connect-failed"] += 1
        if now < endpoint.again_at:
            return  # it is set aside already: other attempts had begun before, or did not want to wait
        endpoint.failures += 1
        delay = self._set_aside(endpoint, now)
        # Whoever does not wait gets the error itself, and where another server takes calls nobody waits.
        alone = self.waits and not any(other.takes_calls(now) for other in self.endpoints)
        level = WARNING if alone and endpoint.failures == 1 else DEBUG
        self._report(
            level, "connect-failed", "%s%s", error.message, "; calls wait" if alone else "",
            server=endpoint.name, attempt=endpoint.failures, delay=delay, error=error.code,
        )  # fmt: skip

    def joined(self, endpoint: Endpoint[C, P], connection: Connection[C, P], now: float) -> None:
        """A server is connected to. Whether it is what it should be shows with its first answer.

        The connection is for all calls unless the server is classic, or has another one that takes them: several that
        were asked for while it was may find out at once that it multiplexes.
        """
        endpoint.dialling = None
        endpoint.joined_at = now
        if not endpoint.classic and not endpoint.takes_calls(now):
            endpoint.connection = connection
            endpoint.answered = False
            endpoint.learnt = endpoint.learning = False
            endpoint.connections += 1

    def answered(self, endpoint: Endpoint[C, P], now: float) -> None:
        """A server has said something sensible on a connection."""
        if endpoint.answered and not endpoint.failures:
            return
        endpoint.answered = self._ever = True
        self.counters["connected"] += 1
        back = endpoint.failures > 0 or endpoint.lost_at > -NEVER
        if back:
            endpoint.back_at = now
        since = max(endpoint.lost_at, -1.0)
        self._report(
            INFO if back else DEBUG, "connected", "connected to %s%s", endpoint.name,
            f" again, by attempt {endpoint.failures + 1}" if back else "",
            server=endpoint.name, attempts=endpoint.failures + 1, seconds=round(now - since, 3) if since >= 0 else None,
        )  # fmt: skip
        endpoint.failures = 0
        endpoint.error = None
        endpoint.lost_at = -NEVER

    def leaves(self, connection: Connection[C, P], now: float) -> None:
        """The server of a connection is leaving and takes no more calls on it; what is open there may go on.

        To be told once, unless the connection has ended with that.
        """
        endpoint = connection.endpoint
        connection.left = True
        self._count(endpoint, now)
        if endpoint.short > 1 or not connection.protocol.answered:
            self._set_aside(endpoint, now)
        self._left(endpoint)

    def ended(self, connection: Connection[C, P], end: ConnectionEnd, now: float) -> None:
        """A connection has ended. To be told once, and before its calls are placed anew."""
        endpoint = connection.endpoint
        shared = endpoint.connection is connection
        if shared:
            endpoint.connection = None
        spoke = endpoint.answered if shared else end.answered
        if end.reason is EndReason.ANSWERED:
            endpoint.classic = True
            self.answered(endpoint, now)
            return
        if self.closed or end.reason is EndReason.HERE or connection.left:
            return
        if shared:
            self._count(endpoint, now)
        if end.leaving and end.answered:
            self._left(endpoint)
            if endpoint.short > 1:
                self._set_aside(endpoint, now)
        elif end.reason is EndReason.ABANDONED or not shared:
            return  # also a classic server's: it hangs up on what it cannot take
        elif (end.asked or now < endpoint.joined_at + _UNUSED) and not (end.answered if end.leaving else spoke):
            # Also who always leaves before it has answered anything.
            self.failed(endpoint, end.error, now, told=end.reason is not EndReason.LATE)
        elif end.open:
            self.counters["lost"] += 1
            endpoint.answered = False
            endpoint.lost_at = now
            endpoint.error = copy(end.error)
            self._set_aside(endpoint, now)
            self._report(
                WARNING, "connection-lost", "%s", end.error.message,
                server=endpoint.name, open=end.open, error=end.error.code,
            )  # fmt: skip
        else:
            endpoint.short = 0  # it idled: further connections are made as calls come, not by themselves

    def repeated(self, endpoint: Endpoint[C, P], name: str | None, repeats: int, error: Any) -> None:
        """A call that was written to a server is sent again, for the so many-th time."""
        self.counters["repeated"] += 1
        self._report(
            INFO, "call-repeated", "'%s' is sent again: %s", name, error,
            server=endpoint.name, action=name, attempt=repeats + 1, error=None if error is None else error.code,
        )  # fmt: skip

    def pause(self, repeats: int) -> float:
        """Seconds that a call waits which was answered ``unavailable`` so often; 0 while there are others to ask."""
        others = len(self.endpoints) - 1
        return self._delay(repeats - others) if repeats > others else 0.0

    def may_learn(self, endpoint: Endpoint[C, P], now: float) -> bool:
        """Whether it is time to ask this server what it offers; once for each connection that lasts."""
        connection = endpoint.connection
        if endpoint.learnt or not self._learns or connection is None:
            return False
        early = endpoint.connections == 1 and now < endpoint.joined_at + _LEARN_AFTER
        if early or not connection.protocol.has_slot:
            return False
        endpoint.learnt = True
        return True

    def _count(self, endpoint: Endpoint[C, P], now: float) -> None:
        """A server's connection takes no more calls: whether it lasted says how soon there may be another one."""
        lasted = now >= endpoint.joined_at + self._limits.reconnect_max_seconds
        endpoint.short = 0 if lasted else endpoint.short + 1

    def _left(self, endpoint: Endpoint[C, P]) -> None:
        self.counters["left"] += 1
        self._report(INFO, "server-left", "%s is going away", endpoint.name, server=endpoint.name)

    def _set_aside(self, endpoint: Endpoint[C, P], now: float) -> float:
        """Connect to it no sooner than after a part of a time that doubles; how long that is."""
        delay = self._delay(max(1, endpoint.failures, endpoint.short))
        endpoint.tried_at = now
        endpoint.again_at = max(endpoint.again_at, now + delay)
        return delay

    def _delay(self, failures: int) -> float:
        longest = self._limits.reconnect_seconds * 2.0 ** min(failures - 1, 32)
        return self._random() * min(self._limits.reconnect_max_seconds, longest)

    # -- how it stands ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state of the connections."""
        endpoints = self.endpoints
        if self.closed:
            return State.CLOSED
        if any(e.answered and (e.singles if e.classic else e.connection and e.takes_calls(0.0)) for e in endpoints):
            return State.READY
        if self.waits and any(endpoint.error is not None for endpoint in endpoints):
            return State.RECONNECTING
        if any(e.dialling is not None or e.connection is not None or e.singles for e in endpoints):
            return State.CONNECTING
        return State.IDLE

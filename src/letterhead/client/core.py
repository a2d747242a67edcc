"""``ClientCore``: everything that the blocking and the async client decide alike, without I/O.

It is told what happens (``submit``, ``cancel``, ``connected``, ``connect_failed``, ``received``, ``closed``, ``tick``),
and says what is to be done in ``events``, which the client takes after each call: connect (``Dial``), send (``Send``),
close (``Close``), wake whoever waits (a ``Call`` that has ended, ``Readable``, ``Writable``), and tell
(``StateChanged``, ``Logged``). ``due`` is when ``tick`` is to be called. Every ``now`` is in seconds of one monotonic
clock; chance is an argument, too.

The rules:

* A call is placed on a connection, or waits for one. Which server it goes to, and when one is connected to, is the
  balancer's (``balancer.py``); what is said on a connection is the protocol's.
* What was not run is placed again: calls that were never written, that a leaving server did not run, or that were
  answered ``unavailable``. What may have run is placed again only if running it twice does the same as running it once:
  the client was told so, or the server said it of that action in ``letterhead.describe``. Never twice: a stream of
  which a part has passed. And never without end: a request that brings down each server that it reaches must not go
  round for ever, so that ``Limits.repeats`` bounds repetitions of what was written.
* A call's time runs from ``submit`` on, whatever becomes of its connections. A call without a time of its own may wait
  for connections as long as a plain one, in all: what it has waited counts for good, whatever it ran between.
* A call that takes another's place (``key``) ends that one at once, at the server, too.
* A connection that is silent while something is expected is asked, then given up (``keepalive.py``).
* A call ends once: it is then in ``events``, and no longer in ``calls``.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from copy import copy
from heapq import heapify, heappop, heappush
from operator import attrgetter
from typing import Any, Generic, TypeVar, assert_never

from letterhead.client.balancer import NEVER, Balancer
from letterhead.client.calls import Call, left_early
from letterhead.client.connection import Connection, Endpoint
from letterhead.client.keepalive import Keepalive, Sign
from letterhead.client.openings import describe_opening
from letterhead.client.settings import Settings
from letterhead.client.state import State
from letterhead.content.encoded import Encoded
from letterhead.content.json import decode_json
from letterhead.errors import (
    BadContent,
    Cancelled,
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    LetterheadError,
    NoReply,
    Rejected,
    UsageError,
    escaped,
)
from letterhead.protocol import events as protocol_events
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.events import (
    ClientEvent,
    Closed,
    ConnectionEnd,
    EndReason,
    Multiplexed,
    Returned,
    ReturnReason,
)
from letterhead.protocol.exchange import Exchange
from letterhead.protocol.states import Phase
from letterhead.wire.header import Headers

W = TypeVar("W")  # what a caller waits with: a lock, or a future
P = TypeVar("P")  # what carries the bytes of a connection

_SPARE_TIMERS = 64
_ends = attrgetter("ends")


class Dial(Generic[W, P]):
    """An event: connect to a server, then call ``connected``, ``connect_failed``, or ``dial_abandoned``.

    Attributes:
        endpoint: the server.
        call: the one call that the connection is for, at a classic server; else None.
    """

    __slots__ = ("call", "endpoint")

    def __init__(self, endpoint: Endpoint[Call[W, P], P], call: Call[W, P] | None = None) -> None:
        self.endpoint = endpoint
        self.call = call


class Send(Generic[W, P]):
    """An event: there is something to send in ``connection.protocol.out``."""

    __slots__ = ("connection",)

    def __init__(self, connection: Connection[Call[W, P], P]) -> None:
        self.connection = connection


class Close(Generic[W, P]):
    """An event: the conversation on a connection is over, and what is unsent is for nobody."""

    __slots__ = ("connection",)

    def __init__(self, connection: Connection[Call[W, P], P]) -> None:
        self.connection = connection


class Readable(Generic[W, P]):
    """An event: somebody waited for an item of this call's result, and it is there, or the end of them."""

    __slots__ = ("call",)

    def __init__(self, call: Call[W, P]) -> None:
        self.call = call


class Writable(Generic[W, P]):
    """An event: somebody waited to send an item of this call's upload, and may."""

    __slots__ = ("call",)

    def __init__(self, call: Call[W, P]) -> None:
        self.call = call


class StateChanged:
    """An event: the state of the client's connections has changed."""

    __slots__ = ("state",)

    def __init__(self, state: State) -> None:
        self.state = state


class Logged:
    """An event: something for the log.

    Attributes:
        level: as ``logging`` has them.
        event: its name, lower-case words joined by hyphens.
        sentence: what a person reads, with ``%s`` for each of ``args``. What came from a peer is escaped.
        fields: what a program reads.
    """

    __slots__ = ("args", "event", "fields", "level", "sentence")

    def __init__(self, level: int, event: str, sentence: str, args: tuple[Any, ...], fields: dict[str, Any]) -> None:
        self.level = level
        self.event = event
        self.sentence = sentence
        self.args = args
        self.fields = fields


Event = (
    Call[W, P] | Dial[W, P] | Send[W, P] | Close[W, P] | Readable[W, P] | Writable[W, P] | StateChanged | Logged
)  # a call stands for its own end


class ClientCore(Generic[W, P]):
    """The calls, connections and servers of one client.

    Args:
        settings: what the client was told.
        random: numbers from 0 to 1.

    Attributes:
        events: what is to be done; the client takes them after each call and empties the list.
        calls: those that have not ended.
        connections: those that stand.
        balancer: the servers.
        by_key: open calls whose place a later one may take.
        gone: why no call is taken any more, once ``close`` was called.
    """

    def __init__(self, settings: Settings, random: Callable[[], float]) -> None:
        self.settings = settings
        self.events: list[Event[W, P]] = []
        self.calls: dict[Call[W, P], None] = {}
        self.connections: dict[Connection[Call[W, P], P], None] = {}
        self.gone: ConnectionLost | None = None
        self.balancer: Balancer[Call[W, P], P] = Balancer(
            settings.servers, settings.limits, random, self._report, settings.wait_for_ready, settings.idempotent
        )
        self._limits = settings.limits
        self._random = random
        self._headers = Headers(settings.limits)
        self._dials: set[Dial[W, P]] = set()  # those under way
        self._waiting: OrderedDict[Call[W, P], None] = OrderedDict()  # calls that have no connection, and want one now
        self._again = False  # something has changed for them
        self._retry_at = NEVER  # when something may change for them by itself
        self._delayed: list[tuple[float, int, Call[W, P]]] = []  # a heap: calls that want one later
        self._deadlines: list[list[Any]] = []  # a heap of [when, number, call]; None for a call that has ended
        self._number = 0
        self.by_key: dict[Hashable, Call[W, P]] = {}
        self._state = State.IDLE

    def successor(self) -> "ClientCore[W, P]":
        """A core without calls and connections that knows of the servers what this one knew."""
        core: ClientCore[W, P] = ClientCore(self.settings, self._random)
        core.balancer.take_over(self.balancer)
        core.gone = self.gone
        core.balancer.closed = self.balancer.closed
        return core

    # -- calls -----------------------------------------------------------------------------------------------------

    def submit(self, call: Call[W, P], now: float, key: Hashable = None) -> None:
        """A caller asks.

        Args:
            call: the call, which was never submitted before.
            now: the time.
            key: the open call with the same key is superseded.

        Raises:
            UsageError: the client is closed, or the key cannot be hashed.
        """
        if self.gone is not None:
            raise UsageError("this client is closed")
        earlier = None if key is None else self._take_place(call, key)
        self.calls[call] = None
        if call.seconds == math.inf:
            call.waiting_seconds = self._limits.deadline_seconds
            self._end_at(call, now + call.waiting_seconds)
        else:
            self._end_at(call, now + call.seconds)
        self._place(call, now, earlier)
        if call.connection is None or self._again:  # else it stands on a connection, and the state is what it was
            self._settle(now)

    def cancel(self, call: Call[W, P], now: float, error: LetterheadError | None = None) -> None:
        """Nobody wants the result of a call, or the rest of it, any longer. Nothing happens where it has ended."""
        if call.incoming is not None:
            call.incoming.drop()
        if not call.done:
            call.fail(error or left_early())
            self._over(call)
            self._withdraw(call, now, late=False)
            self._settle(now)

    def fail_upload(self, call: Call[W, P], failure: BaseException, now: float) -> bool:
        """The upload of a call raised this; whether the caller will hear of it."""
        if call.done:
            return False
        call.fail_upload(failure)
        self._over(call)
        self._withdraw(call, now, late=False)
        self._settle(now)
        return True

    def close(self, now: float) -> None:
        """End all: what is open fails with ``ConnectionLost``, and nothing can be submitted any more."""
        self.gone = ConnectionLost("the client was closed", address=self.settings.address)
        self.balancer.closed = True
        for call in [*self._waiting, *(call for _, _, call in self._delayed)]:
            self._fail(call, self.gone)
        self._waiting.clear()
        self._delayed.clear()
        for dial in self._dials:
            self.balancer.gave_up(dial.endpoint)
            if dial.call is not None:
                dial.endpoint.singles -= 1
                self._fail(dial.call, self.gone)
        self._dials.clear()  # what comes of them is for nobody
        for connection in list(self.connections):
            connection.protocol.close(self.gone)
            self._moved(connection, now)
        for call in list(self.calls):  # none is left behind, whatever became of its connection
            self._fail(call, self.gone)
        self._settle(now)

    # -- streams ---------------------------------------------------------------------------------------------------

    def give_back(self, call: Call[W, P], now: float) -> None:
        """Items of its result were taken: send the credit that is due for them."""
        connection, exchange = call.connection, call.exchange
        if connection is not None and exchange is not None and not call.done:
            connection.protocol.give_back(exchange)
            self._moved(connection, now)

    def may_send(self, call: Call[W, P]) -> bool:
        """Whether an item of its upload may be sent now; if not, and it has not ended, ``Writable`` says when."""
        connection, exchange = call.connection, call.exchange
        return (
            not call.done and connection is not None and exchange is not None and connection.protocol.may_send(exchange)
        )

    def send_item(self, call: Call[W, P], item: Encoded, now: float, small: Encoded | None = None) -> int:
        """Send an item of its upload.

        Args:
            call: the call.
            item: the item.
            now: the time.
            small: the same item, compressed, for a server that reads that; the call may have another server by now.

        Returns:
            how many bytes that took; 0 where none may be sent, as ``may_send`` says.

        Raises:
            UsageError: a header field of its own cannot be sent.
        """
        connection, exchange = call.connection, call.exchange
        if connection is None or exchange is None or not self.may_send(call):
            return 0
        if small is not None and (small.fields or {}).get("compression") in connection.protocol.readable:
            item = small
        cost = connection.protocol.send_item(exchange, item)
        self._moved(connection, now)
        return cost

    def end_upload(self, call: Call[W, P], now: float) -> None:
        """No more items will come."""
        connection, exchange = call.connection, call.exchange
        if connection is not None and exchange is not None:
            connection.protocol.end_upload(exchange)
            self._moved(connection, now)

    def compressions(self, call: Call[W, P] | None = None) -> tuple[str, ...]:
        """The compressions that this client wants and the server is known to read, best first.

        Args:
            call: the server that it was given to; None: the only one there is.
        """
        wanted = self.settings.compression
        if not wanted:
            return ()
        if call is not None:
            connection = call.connection
        else:
            endpoints = self.balancer.endpoints
            connection = endpoints[0].connection if len(endpoints) == 1 else None
        if connection is None:
            return ()
        return tuple(name for name in wanted if name in connection.protocol.readable)

    # -- connections -----------------------------------------------------------------------------------------------

    def connected(self, dial: Dial[W, P], pipe: P, now: float) -> Connection[Call[W, P], P]:
        """A connection was made, as ``Dial`` asked."""
        endpoint = dial.endpoint
        protocol: ClientProtocol[Call[W, P]] = ClientProtocol(
            self._limits,
            endpoint.name,
            self._headers,
            known_classic=endpoint.classic,
            compressions=self.settings.compression,
            cautious=not endpoint.classic and (endpoint.failures > 0 or self.settings.wait_for_ready is True),
        )
        keepalive = Keepalive(self._limits.ping_after_seconds, self._limits.ping_wait_seconds)
        connection = Connection(endpoint, protocol, keepalive, pipe, single=dial.call is not None)
        connection.heard = now
        self.connections[connection] = None
        if dial not in self._dials:  # the client was closed, or started anew, meanwhile
            connection.single = False
            self._discard(connection, now)
            return connection
        self._dials.discard(dial)
        call = dial.call
        if call is None:
            self.balancer.joined(endpoint, connection, now)
            self._review(now)
            spare = not self.settings.keep_alive and len(self.balancer.endpoints) == 1 and not self._waiting
            if not protocol.load and (spare or endpoint.connection is not connection):
                self._discard(connection, now)
        elif call.done:
            self.balancer.gave_up(endpoint)
            self._discard(connection, now)
        else:
            self.balancer.joined(endpoint, connection, now)
            self._give(call, connection, now)
        self._again = True
        self._settle(now)
        return connection

    def connect_failed(self, dial: Dial[W, P], error: ConnectionFailed, now: float) -> None:
        """No connection could be made."""
        if dial not in self._dials:
            return
        self._dials.discard(dial)
        endpoint, call = dial.endpoint, dial.call
        self.balancer.failed(endpoint, error, now)
        if call is not None:
            endpoint.singles -= 1
            if not self.balancer.waits:
                self._fail(call, error)
            elif not call.done:
                self._wait(call, now)
        self._again = True
        self._settle(now)

    def dial_abandoned(self, dial: Dial[W, P], now: float) -> None:
        """Connecting was given up for lack of time or need: nothing was learnt of the server."""
        if dial not in self._dials:
            return
        self._dials.discard(dial)
        self.balancer.gave_up(dial.endpoint)
        if dial.call is not None:
            dial.endpoint.singles -= 1
            if not dial.call.done:
                self._waiting[dial.call] = None
        self._again = True
        self._settle(now)

    @property
    def connecting(self) -> bool:
        """Whether a connection is being made."""
        return bool(self._dials)

    def received(self, connection: Connection[Call[W, P], P], data: bytes, now: float) -> None:
        """Bytes came."""
        connection.heard = now
        connection.protocol.receive(data)
        self._moved(connection, now)
        if self._again:
            self._settle(now)

    def filled(self, connection: Connection[Call[W, P], P], count: int, now: float) -> None:
        """So many bytes came into ``connection.protocol.buffer()``."""
        connection.heard = now
        connection.protocol.filled(count)
        self._moved(connection, now)
        if self._again:
            self._settle(now)

    def closed(self, connection: Connection[Call[W, P], P], how: str, now: float) -> None:
        """The server sends no more, or the pipe broke; ``how`` says in words what it did: ``reset the connection``."""
        connection.protocol.end_of_stream(how)
        self._moved(connection, now)
        self._settle(now)

    def stalled(self, connection: Connection[Call[W, P], P], now: float) -> None:
        """The pipe took nothing of the unsent bytes for ``Limits.write_seconds``."""
        seconds = self._limits.write_seconds
        self.closed(connection, f"took nothing of what was sent for {seconds:g} s; the connection was closed", now)

    def pause_writing(self, connection: Connection[Call[W, P], P]) -> None:
        """The pipe holds as many unsent bytes as it should: uploads wait."""
        connection.protocol.paused = True

    def resume_writing(self, connection: Connection[Call[W, P], P], now: float) -> None:
        """The pipe takes bytes again."""
        connection.protocol.resume_writing()
        self._moved(connection, now)

    def is_wanted(self, connection: Connection[Call[W, P], P]) -> bool:
        """Whether bytes may come on it that somebody waits for, or that keep it alive."""
        protocol = connection.protocol
        if protocol.end is not None:
            return False
        kept = self.settings.keep_alive and connection.endpoint.connection is connection
        return kept or protocol.load > 0

    # -- time ------------------------------------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When ``tick`` is to be called; infinity where nothing is waited for."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][2] is None:
            heappop(deadlines)
        due: float = deadlines[0][0] if deadlines else NEVER
        for connection in self.connections:
            if connection.keepalive.due < due:
                due = connection.keepalive.due
            if connection.protocol.withholds and connection.protocol.due < due:
                due = connection.protocol.due
        if self._delayed and self._delayed[0][0] < due:
            due = self._delayed[0][0]
        return min(due, self._retry_at) if self._waiting else due

    def tick(self, now: float) -> None:
        """Time has passed: it is ``due``, or any other moment."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            call = heappop(deadlines)[2]
            if call is not None:
                self._late(call, now)
        while self._delayed and self._delayed[0][0] <= now:
            call = heappop(self._delayed)[2]
            if not call.done:
                self._waiting[call] = None
                self._again = True
        for connection in list(self.connections):
            if connection.keepalive.due <= now:
                self._look(connection, now)
            if connection.protocol.withholds:
                connection.protocol.tick(now)
            self._moved(connection, now)
        if self._retry_at <= now:
            self._again = True
        self._settle(now)

    def _end_at(self, call: Call[W, P], when: float) -> None:
        """Set when the time of a call is over."""
        self._no_end(call)
        call.ends = when
        self._number += 1
        call.timer = [when, self._number, call]
        heappush(self._deadlines, call.timer)
        if len(self._deadlines) > 2 * len(self.calls) + _SPARE_TIMERS:
            self._deadlines = [entry for entry in self._deadlines if entry[2] is not None]
            heapify(self._deadlines)

    def _no_end(self, call: Call[W, P]) -> None:
        """Let a call take as long as it wants. What is left in the heap does not hold the call."""
        if call.timer is not None:
            call.timer[2] = None
            call.timer = None
        call.ends = math.inf

    def _late(self, call: Call[W, P], now: float) -> None:
        call.timer = None
        self._fail(call, self._out_of_time(call))  # first: giving up may end the whole connection
        self._withdraw(call, now, late=True)

    def _out_of_time(self, call: Call[W, P]) -> LetterheadError:
        """What a call ends with whose time is over."""
        seconds = self._limits.deadline_seconds if call.seconds == math.inf else call.seconds
        connection, exchange = call.connection, call.exchange
        if call.repeats and (exchange is None or not exchange.id):
            # It was written, and what a server had begun of it is not known: no error may say that it never ran.
            last = "" if call.refused is None else f": {call.refused.message}"
            times = "once" if call.repeats == 1 else f"{call.repeats} times"
            sentence = f"no answer within {seconds:g} s; it was sent {times}{last}"
        elif connection is None or exchange is None:
            why = self.balancer.error or call.refused
            if isinstance(why, ConnectionFailed):
                return type(why)(f"{why.message} (tried for {seconds:g} s)", **why.facts)
            told = "" if why is None else f": {why.message}"
            sentence = f"no connection to {self.settings.address} within {seconds:g} s{told}"
        elif connection.protocol.phase is Phase.PROBING:
            address = self.settings.address
            sentence = f"nothing came back from {address} within {seconds:g} s; is a Letterhead server there?"
        elif not exchange.id:
            most = len(connection.protocol.open)
            sentence = (
                f"not sent within {seconds:g} s: {most} calls and streams are open on its connection, as many as may be"
            )
        else:
            sentence = f"no answer within {seconds:g} s"
        return DeadlineExceeded(sentence, seconds=seconds)

    def _look(self, connection: Connection[Call[W, P], P], now: float) -> None:
        """Nothing may have come for long: is the server there?"""
        protocol, keepalive = connection.protocol, connection.keepalive
        if protocol.leaving or (protocol.phase is Phase.PROBING and not protocol.pinged):
            # Nothing may be asked: a classic server may take its time, and one that leaves takes no more requests.
            keepalive.expect(now)
            return
        sign = keepalive.look(now, connection.heard, self.is_wanted(connection))
        if sign is Sign.ASK:
            protocol.ping()
        elif sign is Sign.GONE:
            protocol.end_of_stream(f"gave no sign of life for {keepalive.timeout:g} s; the connection was given up")

    # -- placing calls ---------------------------------------------------------------------------------------------

    def _take_place(self, call: Call[W, P], key: Hashable) -> Call[W, P] | None:
        """The call is the one with this key from now on; the one before, if that is open."""
        try:
            earlier = self.by_key.get(key)
        except TypeError:
            raise UsageError(f"'supersedes' takes a hashable key, not {type(key).__name__}") from None
        self.by_key[key] = call
        call.key = key
        return earlier

    def _place(self, call: Call[W, P], now: float, earlier: Call[W, P] | None = None) -> None:
        """Give it to a server, or let it wait for one."""
        endpoint = self.balancer.choose(now, call.avoid)
        connection = None if endpoint is None or endpoint.classic else endpoint.connection
        displaced: Exchange[Call[W, P]] | None = None
        if earlier is not None:
            if connection is not None and earlier.connection is connection:
                displaced = earlier.exchange
                self._fail(earlier, _superseded())
            else:  # no connection will carry both
                self.cancel(earlier, now, _superseded())
        if connection is not None:
            self._give(call, connection, now, displaced)
        else:
            self._wait(call, now)

    def _give(
        self,
        call: Call[W, P],
        connection: Connection[Call[W, P], P],
        now: float,
        displaced: Exchange[Call[W, P]] | None = None,
    ) -> None:
        """Submit it to a connection."""
        deadline = call.deadline
        if deadline is not None and call.waits:
            deadline = max(1, min(deadline, int((call.ends - now) * 1000)))  # what is left of its time
        call.connection = connection
        call.exchange = exchange = Exchange(call.opening, call, deadline)
        if exchange.incoming is not None:
            exchange.incoming.wanted = True  # who reads may have begun to wait before it was placed
        call.waits = False
        protocol = connection.protocol
        if call.seconds == math.inf and protocol.phase is Phase.MULTIPLEXED:
            self._unbound(call, now)
        if connection.keepalive.due == NEVER:
            connection.keepalive.expect(now)
        if len(self.balancer.endpoints) > 1:
            self._dial_more(now)  # before it counts: a further server is for calls beside those that are open
        protocol.submit(exchange, displaced)
        endpoint = connection.endpoint
        if not endpoint.learnt and self.balancer.may_learn(endpoint, now):
            endpoint.learning = True
            protocol.submit(Exchange(describe_opening()))
        self._moved(connection, now)

    def _wait(self, call: Call[W, P], now: float) -> None:
        """Let a call wait for a connection, unless none can come."""
        if not call.waits:
            call.waits = True
            call.failures_before = self.balancer.failures
        if self.gone is not None:
            self._fail(call, self.gone)
            return
        endpoint = self.balancer.choose(now, call.avoid)
        if endpoint is not None and not endpoint.classic and endpoint.connection is not None:
            self._give(call, endpoint.connection, now)
        elif endpoint is not None:
            endpoint.singles += 1
            if endpoint.failures:
                self.balancer.dials(endpoint, now)
            self._dial(Dial(endpoint, call))
        else:
            why = self.balancer.unreachable(call.failures_before)
            if why is not None:
                self._fail(call, why)
                return
            self._waiting[call] = None
            self.balancer.retry_by(now, call.ends)
            self._dial_more(now, call.failures_before)
            self._retry_at = min(self._retry_at, self.balancer.due(now, call.failures_before))

    def _wait_later(self, call: Call[W, P], when: float) -> None:
        self._number += 1
        heappush(self._delayed, (when, self._number, call))

    def _review(self, now: float) -> None:
        """Place the calls that wait, as far as that can be done.

        Where they wait whatever comes, the first that cannot be placed stands for those behind it.
        """
        self._again = False
        self._retry_at = NEVER
        left = len(self._waiting)
        while left and self._waiting:
            left -= 1
            call, _ = self._waiting.popitem(last=False)
            self._wait(call, now)
            if call in self._waiting and self.balancer.waits:
                self._waiting.move_to_end(call, last=False)
                if self._retry_at > now and self._retry_at != NEVER:
                    self.balancer.retry_by(now, min(map(_ends, self._waiting)))
                    self._retry_at = self.balancer.due(now)
                return

    def _dial_more(self, now: float, failures_before: int = -1) -> None:
        """Connect to a further server, if that is called for."""
        endpoint = self.balancer.next_to_dial(now, failures_before)
        if endpoint is None:
            return
        if endpoint.classic:  # which would take a call, were it not set aside; now it is not
            endpoint.again_at = now
            self._again = True
            return
        self.balancer.dials(endpoint, now)
        self._dial(Dial(endpoint))

    def _dial(self, dial: Dial[W, P]) -> None:
        self._dials.add(dial)
        self.events.append(dial)

    # -- what becomes of calls -------------------------------------------------------------------------------------

    def _unbound(self, call: Call[W, P], now: float) -> None:
        """A server has answered it, which may take as long as it wants from now on."""
        if call.ends < math.inf:
            call.waiting_seconds = max(0.0, call.ends - now)
            self._no_end(call)

    def _back(self, call: Call[W, P], now: float, when: float = -math.inf) -> None:
        """Place a call anew that its connection does not answer, not before ``when``."""
        call.exchange = call.connection = None
        if call.ends == math.inf:
            self._end_at(call, now + call.waiting_seconds)
        call.waits = True
        if self.gone is not None:
            self._fail(call, self.gone)
        elif when > now:
            self._wait_later(call, when)
        else:
            self._waiting[call] = None
            self._again = True

    def _repeat(self, call: Call[W, P], error: LetterheadError, now: float, when: float = -math.inf) -> None:
        """Send a call again that was written."""
        connection = call.connection
        call.repeats += 1
        call.refused = copy(error)
        call.failures_before = self.balancer.failures
        if connection is not None:
            self.balancer.repeated(connection.endpoint, call.name, call.repeats, error)
        self._back(call, now, when)

    def _may_repeat(self, call: Call[W, P]) -> bool:
        """Whether it may be sent again as far as the call itself goes."""
        exchange = call.exchange
        begun = exchange is not None and exchange.begun
        return not begun and call.repeats < self._limits.repeats and self.gone is None

    def _fail(self, call: Call[W, P], error: LetterheadError) -> None:
        if not call.done:
            call.fail(error)
            self._over(call)

    def _over(self, call: Call[W, P]) -> None:
        """A call has ended: whoever waits is to know."""
        self.events.append(call)  # first: an interrupted client finds each call among the open ones or here
        del self.calls[call]
        self._waiting.pop(call, None)
        if call.exchange is not None:
            call.exchange.owner = None  # each would hold the other until the collector comes
        timer = call.timer
        if timer is not None:
            timer[2] = None
            call.timer = None
        if call.key is not None and self.by_key.get(call.key) is call:
            del self.by_key[call.key]

    def _withdraw(self, call: Call[W, P], now: float, *, late: bool) -> None:
        """The caller does not wait for a call any longer: tell the server."""
        connection, exchange = call.connection, call.exchange
        if connection is not None and exchange is not None and connection.protocol.end is None:
            connection.protocol.cancel(exchange, late=late)
            self._moved(connection, now)

    # -- what connections say --------------------------------------------------------------------------------------

    def _moved(self, connection: Connection[Call[W, P], P], now: float) -> None:
        """The conversation on a connection moved: take what happened, see that what it says is sent."""
        protocol = connection.protocol
        while protocol.events:
            events, protocol.events = protocol.events, []
            for event in events:
                self._take(connection, event, now)
        if protocol.leaving and protocol.end is None:
            if not connection.left:
                self.balancer.leaves(connection, now)
            if not protocol.wanted:
                self._discard(connection, now)
        elif connection.endpoint.connection is not connection and self._is_idle(connection):
            self._discard(connection, now)
        if protocol.out:
            self.events.append(Send(connection))

    def _take(self, connection: Connection[Call[W, P], P], event: ClientEvent[Call[W, P]], now: float) -> None:
        if isinstance(event, Exchange):
            self._ended(connection, event, now)
        elif isinstance(event, protocol_events.Readable):
            if event.exchange.owner is not None:
                self.events.append(Readable(event.exchange.owner))
        elif isinstance(event, protocol_events.Writable):
            if event.exchange.owner is not None:
                self.events.append(Writable(event.exchange.owner))
        elif isinstance(event, Returned):
            self._returned(connection, event, now)
        elif isinstance(event, Multiplexed):
            self._multiplexes(connection, now)
        elif isinstance(event, Closed):
            self._closed(connection, event.end, event.exchanges, now)
        else:
            assert_never(event)

    def _ended(self, connection: Connection[Call[W, P], P], exchange: Exchange[Call[W, P]], now: float) -> None:
        """An exchange has ended: so has its call, or it is sent again."""
        call = exchange.owner
        if call is None:
            self._learnt(connection, exchange)
        elif exchange.error is None:
            call.done = True
            self._over(call)
        else:
            self._refused(connection, call, exchange.error, now)

    def _refused(
        self, connection: Connection[Call[W, P], P], call: Call[W, P], error: LetterheadError, now: float
    ) -> None:
        """The server answered with an error."""
        if error.code == "unavailable" and self._may_repeat(call):
            call.avoid = connection.endpoint
            self._repeat(call, error, now, now + self.balancer.pause(call.repeats + 1))
        elif error.code == "cancelled" and connection.protocol.leaving and self._is_idempotent(connection, call):
            self._repeat(call, error, now)  # a server that leaves could not let it end
        else:
            self._fail(call, error)

    def _is_idempotent(self, connection: Connection[Call[W, P], P], call: Call[W, P]) -> bool:
        """Whether it may have run, and may be sent again all the same."""
        return self._may_repeat(call) and call.name in connection.endpoint.idempotent

    def _returned(self, connection: Connection[Call[W, P], P], event: Returned[Call[W, P]], now: float) -> None:
        """The server did not run these, and will not."""
        endpoint, end = connection.endpoint, connection.protocol.end
        seen = end is not None and end.reason is not EndReason.LATE
        for exchange in event.exchanges:
            call = exchange.owner
            if call is None or call.done:
                continue
            if event.reason is ReturnReason.LEAVING:
                self.balancer.counters["moved"] += 1
            if event.reason is not ReturnReason.ENDED or not endpoint.failures:
                call.failures_before = self.balancer.failures
            if endpoint.failures and seen:  # that the connection ended so is a failure which this call has seen
                call.failures_before = min(call.failures_before, endpoint.failure - 1)
            self._back(call, now)

    def _multiplexes(self, connection: Connection[Call[W, P], P], now: float) -> None:
        """A server was found to multiplex: its connection is for all calls."""
        endpoint = connection.endpoint
        endpoint.classic = False
        self._no_single(connection)
        if not endpoint.takes_calls(now):
            endpoint.connection = connection
        self.balancer.answered(endpoint, now)
        for exchange in connection.protocol.open.values():
            if exchange.owner is not None and exchange.owner.seconds == math.inf:
                self._unbound(exchange.owner, now)
        for call in self.calls:
            if call.connection is connection and call.seconds == math.inf:
                self._unbound(call, now)
        self._again = True

    def _closed(
        self,
        connection: Connection[Call[W, P], P],
        end: ConnectionEnd,
        exchanges: list[Exchange[Call[W, P]]],
        now: float,
    ) -> None:
        """A connection has ended."""
        self._no_single(connection)
        self.connections.pop(connection, None)
        self.balancer.ended(connection, end, now)
        error = end.error
        for exchange in exchanges:
            call = exchange.owner
            if call is None or call.done:
                continue
            if isinstance(error, Rejected):  # the whole connection was refused, on the first header
                again = error.facts.get("status") == "unavailable" and self._may_repeat(call)
            else:
                again = type(error) in (ConnectionLost, NoReply) and self._is_idempotent(connection, call)
            if again:
                self._repeat(call, error, now)
            else:
                self._fail(call, error)
        self.events.append(Close(connection))
        self._again = True

    def _no_single(self, connection: Connection[Call[W, P], P]) -> None:
        if connection.single:
            connection.single = False
            connection.endpoint.singles -= 1

    def _is_idle(self, connection: Connection[Call[W, P], P]) -> bool:
        """Whether nothing is open on a connection that is there, and it is for no single call."""
        protocol = connection.protocol
        return not connection.single and protocol.end is None and not protocol.load

    def _discard(self, connection: Connection[Call[W, P], P], now: float) -> None:
        """Close a connection that nobody needs."""
        error = ConnectionLost("the connection was not needed any longer", address=connection.endpoint.name)
        connection.protocol.close(error)
        self._moved(connection, now)

    def _learnt(self, connection: Connection[Call[W, P], P], exchange: Exchange[Call[W, P]]) -> None:
        """The answer to what the connection asked by itself."""
        if exchange.opening.name != describe_opening().name:
            return
        endpoint = connection.endpoint
        endpoint.learning = False
        if exchange.header is not None:
            endpoint.idempotent.clear()
            endpoint.idempotent.update(_idempotent_in(exchange.body, self._limits.content_depth))

    # -- what is told ----------------------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """See to the calls that wait, where something has changed for them, and tell the state."""
        while self._again:
            self._review(now)
        state = self.balancer.state
        if state is not self._state:
            self._state = state
            self.events.append(StateChanged(state))

    def _report(self, level: int, event: str, sentence: str, *args: Any, **fields: Any) -> None:
        shown = tuple(_shown(arg) for arg in args)
        self.events.append(Logged(level, event, sentence, shown, {n: _shown(v) for n, v in fields.items()}))


_LONGEST_SHOWN = 300


def _shown(value: Any) -> Any:
    """A value as it may stand in a log: what a peer said in one line, shortened and escaped."""
    if isinstance(value, LetterheadError):
        value = value.message
    return escaped(value, _LONGEST_SHOWN) if isinstance(value, str) else value


def _superseded() -> Cancelled:
    """What a call ends with whose place a later one took."""
    return Cancelled("superseded by a later call")


def _idempotent_in(described: bytes, depth: int) -> frozenset[str]:
    """The actions that may run twice, out of the answer to ``letterhead.describe``; none where it is something else."""
    try:
        told: Any = decode_json(described, "utf-8", "little", depth)
    except BadContent:
        return frozenset()
    actions = told.get("actions") if isinstance(told, dict) else None
    if not isinstance(actions, dict):
        return frozenset()
    return frozenset(n for n, said in actions.items() if isinstance(said, dict) and said.get("idempotent") is True)

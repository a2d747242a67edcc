"""The server's side of one connection, without I/O.

Three verbs: give it what arrived (``receive``, ``filled``, ``end_of_stream``, ``tick``), take its ``events`` and its
``out`` (what to send), and ``finish`` each request once. Every call that takes ``now`` takes seconds of one monotonic
clock.

* The first frame decides whether the connection is classic or multiplexed.
* A request is open from its header on; its content is received only if the header passed.
* Each ``Request`` event must be finished exactly once, whatever became of the exchange meanwhile: a request that was
  cancelled, timed out or lost its connection keeps its slot until then, since its handler may still be running.
* ``Stop`` says that nobody waits any longer: whoever runs the request should end it.
* ``ending`` becomes true when the connection is to be closed once ``out`` is sent.

Streams are not here yet: a request that announces items (``more: true``) is handed on with ``streams`` set.
"""

from copy import copy

from letterhead.content.encoded import Encoded
from letterhead.errors import BadContent, BadFrame, BadHeader, Cancelled, Internal, Refused, TooLarge, UsageError
from letterhead.exchange import replies
from letterhead.exchange.admission import Admission
from letterhead.exchange.budget import Budget
from letterhead.exchange.counters import Counters
from letterhead.exchange.fields import CONTROL, Meaning, from_classic_client, from_client
from letterhead.exchange.requests import Ended, Event, Request, Stop
from letterhead.exchange.states import AT_SERVER, Move, Standing, move
from letterhead.exchange.timeouts import NEVER, Patience, Wait
from letterhead.limits import Limits
from letterhead.message import Buffer
from letterhead.wire.header import Header, Headers, content_limit
from letterhead.wire.reader import Reader


class Responder:
    """The conversation of one connection, at the server.

    Attributes:
        events: what happened; the shell takes them after each call and empties the list.
        out: bytes to send, in order; the shell takes them and empties the list.
        ending: nothing more is read; close once ``out`` is sent.
        classic: whether the connection is classic; None before the first frame.
        congested: the shell holds more unsent bytes than it should (``write_high``); it says so here.
        due: when ``tick`` is to be called, at the latest.
        patience: how long the peer may take; the shell tells it when it does not read (``pause``, ``resume``).
    """

    def __init__(
        self,
        limits: Limits,
        now: float,
        headers: Headers | None = None,
        budget: Budget | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.limits = limits
        self._json_bytes = content_limit(replies.JSON, limits)
        self.events: list[Event] = []
        self.out: list[Buffer] = []
        self.ending = False
        self.classic: bool | None = None
        self.congested = False
        self.counters = counters or Counters()
        self._budget = budget or Budget(limits.buffered_bytes)
        self._admission = Admission(limits, self._budget, now)
        self._reader = Reader(limits, headers)
        self.patience = Patience(limits, now)
        self._open: dict[int, Request] = {}
        self._running_on = 0  # ended on the wire, their handlers not yet finished
        self._incoming: Request | None = None  # its header was read, its content not yet
        self._highest = 0
        self._soonest = NEVER  # no open request's deadline is earlier
        self.due = now + limits.first_byte_seconds
        self._ended_by_peer = False

    # -- what arrives ----------------------------------------------------------------------------------------------

    @property
    def reads(self) -> bool:
        """Whether more bytes are wanted: not while a classic request waits and more are here already."""
        return not (self.classic and self._classic_waits() and self._reader.midway)

    def receive(self, data: bytes, now: float) -> None:
        """Bytes arrived."""
        if self.ending:
            return
        self.patience.received(len(data), now)
        self._reader.feed(data)
        self._pump(now)

    def buffer(self) -> memoryview | None:
        """Where the next bytes belong, if large content is under way (then call ``filled``), else None."""
        return None if self.ending or self._incoming is None else self._reader.buffer()

    def filled(self, count: int, now: float) -> None:
        """So many bytes were received into ``buffer()``."""
        self.patience.received(count, now)
        self._reader.filled(count)
        self._pump(now)

    def end_of_stream(self, now: float) -> None:
        """The client sends no more. On a multiplexed connection that cancels what is open."""
        self._ended_by_peer = True
        self._drop_incoming()
        if not self.classic:
            for request in self._open.values():
                self._stop(request, Cancelled("the client closed its side of the connection"))
        self._settle(now)

    def lost(self) -> None:
        """The connection is gone: nothing can be sent any more."""
        self.ending = True
        self.out.clear()
        self._abandon(Cancelled("the connection was lost"))

    def drain(self, now: float) -> None:
        """Answer what was accepted, refuse what comes, then end."""
        self._admission.draining = True
        self._settle(now)

    def tick(self, now: float) -> None:
        """Time has passed: it is ``due``, or any other moment."""
        if self.ending:
            return
        if now >= self._soonest:
            for request in [r for r in self._open.values() if now >= r.deadline]:
                late = request.out_of_time()
                self.patience.stirred(now)
                if request is self._incoming:
                    self._refuse_incoming(late)
                else:
                    self._finish_on_wire(request, late)
                    self._stop(request, late)
            self._soonest = min((r.deadline for r in self._open.values()), default=NEVER)
            self._pump(now)
        idles = self.patience.wait is Wait.NEXT
        if now >= self.patience.ends_at() and not self.ending and not (idles and self._open):
            complaint = self.patience.complaint()
            if complaint is not None:
                self.fail(complaint)
            self.ending = True  # without a frame where it idled or never said anything
        # While something is open nobody idles; its end may come at any time, and begins the idle time.
        over = now + self.limits.idle_seconds if idles and self._open else self.patience.ends_at()
        self.due = min(self._soonest, over)

    def resume(self, now: float) -> None:
        """We read again: until now the peer's time stood still (``patience.pause``)."""
        self.patience.resume(now)
        self.due = min(self.due, self.patience.ends_at())

    # -- what is answered ------------------------------------------------------------------------------------------

    def finish(self, request: Request, outcome: Encoded | Refused, now: float) -> None:
        """The request's handler has ended, or will never begin. Once for each ``Request`` event."""
        if not request.ended:
            if request.stopped is not None:
                outcome = request.stopped
            elif request.timed and isinstance(outcome, Encoded):
                outcome = outcome.with_fields({"timing": request.timing(now)})
            self._finish_on_wire(request, outcome)
        self._done_with(request)
        self.patience.stirred(now)
        if self.classic or self._admission.draining or self._ended_by_peer:
            self._pump(now)

    def _finish_on_wire(self, request: Request, outcome: Encoded | Refused) -> None:
        """The exchange's last frame."""
        self._end_on_wire(request)
        wrapped = not request.named
        if isinstance(outcome, Refused):
            self._send_error(outcome, request.id, wrapped)
            return
        try:
            self.out += replies.result(outcome, request.id, wrapped, self._json_bytes)
        except UsageError as error:
            self._send_error(Internal(f"the answer cannot be sent: {error}"), request.id, wrapped)
        else:
            self.counters.served += 1

    def _refuse(self, request: Request, why: Refused) -> None:
        """End a request that was never handed out."""
        self._finish_on_wire(request, why)
        self._done_with(request)

    def _end_on_wire(self, request: Request) -> None:
        request.ended = True
        del self._open[request.id or 0]
        self._running_on += 1

    def _done_with(self, request: Request) -> None:
        """Its handler is no longer running: the slot and the memory are free."""
        self._running_on -= 1
        self._budget.used -= request.held
        request.held = 0
        self.counters.open_now -= 1

    def _send_error(self, refused: Refused, id: int | None, wrapped: bool) -> None:
        self.counters.failure(refused.code)
        wrapped = wrapped or self.classic is not False
        self.out.append(replies.error(refused, id, self.classic is True, wrapped, self._json_bytes))

    # -- one frame after the other ---------------------------------------------------------------------------------

    def proceed(self, now: float) -> None:
        """``out`` was taken, or ``congested`` has become false: a classic connection may go on to its next request."""
        if self.classic:
            self._pump(now)

    def _classic_waits(self) -> bool:
        """The next classic request waits: the last one is not answered yet, or the peer does not take the answers."""
        if self._incoming is not None:
            return False
        return bool(self._open) or self.congested or sum(map(len, self.out)) > self.limits.write_high

    def _pump(self, now: float) -> None:
        reader = self._reader
        progressed = False
        while not (self.ending or (self.classic and self._classic_waits())):
            request = self._incoming
            if request is None:
                try:
                    header = reader.read_header()
                except BadFrame as error:
                    self.fail(error)
                    return
                if header is None:
                    break
                progressed = True
                request = self._incoming = self._begin(header, now)
                if request is None:
                    reader.skip_content()
                    continue
            content = reader.read_content()
            if content is None:
                if self._hold(request, reader.arrived):
                    break
                self._refuse_incoming(self._admission.too_much())
                continue
            progressed = True
            self._incoming = None
            self._complete(request, content)
        if reader.midway or self.patience.wait is not Wait.NEXT or self._ended_by_peer or self._admission.draining:
            self._settle(now, progressed)

    def _settle(self, now: float, progressed: bool = False) -> None:
        """Nothing more can be read at the moment: what do we wait for?"""
        if self.ending:
            return
        if self._ended_by_peer:
            self._drop_incoming()
        left = bool(self._open) or (self.classic and self._classic_waits() and self._reader.midway)
        if (self._ended_by_peer or self._admission.draining) and not left:
            self.ending = True
            self._abandon(Cancelled("the connection is closing"))
            return
        reader, patience = self._reader, self.patience
        if self._ended_by_peer or not reader.midway:
            if patience.wait is Wait.NEXT:
                return
            wait = Wait.FIRST_BYTE if patience.wait is Wait.FIRST_BYTE and not progressed else Wait.NEXT
        elif reader.header is not None or reader.skipping:
            wait = Wait.CONTENT
        elif self.classic and self._classic_waits():
            wait = Wait.NEXT
        else:
            wait = Wait.HEADER
        # The same kind of wait goes on, unless it is another frame's.
        if progressed or wait is not patience.wait:
            patience.waits_for(wait, now)
            self.due = min(self.due, patience.ends_at())

    def _begin(self, header: Header, now: float) -> Request | None:
        """A header was read: open the exchange, or say what is wrong; None where the content is not wanted."""
        if self.classic is None:
            self.classic = header.id is None
            if header.id:
                self.out.append(replies.hello(header.id, self.limits.max_open, self.limits.initial_credit))
        if self.classic:
            meaning = from_classic_client(header.shape)
            return self._open_request(None, header, meaning, now)
        id = header.id
        if not id:
            self.fail(BadHeader("a request here carries an 'id' from 1 to 2^53-1", field="id"))
            return None
        meaning = header.shape.meaning or from_client(header.shape)
        if id > self._highest:
            standing = Standing.NEW
        elif id in self._open:
            standing = Standing.UPLOADING if self._open[id].streams else Standing.OPEN
        else:
            standing = Standing.PAST
        try:
            if meaning.fault is not None and meaning.fatal:
                raise meaning.fault
            todo = move(AT_SERVER, standing, meaning.kind)
        except BadHeader as error:
            self.fail(copy(error))
            return None
        if todo is Move.OPEN:
            first, self._highest = self._highest == 0, id
            if not first and "authorization" in header.shape.fields:
                self.fail(BadHeader("'authorization' stands in the first request only", field="authorization"))
                return None
            return self._open_request(id, header, meaning, now)
        self._other_move(todo, id, header, meaning, now)
        return None

    def _other_move(self, todo: Move, id: int, header: Header, meaning: Meaning, now: float) -> None:
        gone_too_far = self._admission.control(now) if meaning.kind in CONTROL else None
        if todo in (Move.DROP, Move.PART):  # nothing takes items yet: they cross the refusal of their stream
            gone_too_far = self._admission.late(header)
        if gone_too_far is not None:
            self.fail(gone_too_far)
        elif todo is Move.CANCEL:
            self._stop(self._open[id], Cancelled("cancelled by the client"))

    def _open_request(self, id: int | None, header: Header, meaning: Meaning, now: float) -> Request | None:
        refused = self._admission.why_not(header, meaning, len(self._open) + self._running_on, id is None)
        if refused is not None:
            self._send_error(refused, id, meaning.action is None)
            if isinstance(refused, TooLarge) and header.shape.length >= self.limits.skip_bytes:
                self._end(refused)
            return None
        request = Request(id, header, meaning, now, now + self._admission.allowed_seconds(meaning))
        if request.deadline < self._soonest:
            self._soonest = request.deadline
            self.due = min(self.due, request.deadline)
        self._open[id or 0] = request
        self.counters.open_now += 1
        return request

    def _hold(self, request: Request, count: int) -> bool:
        """So many bytes of its content are here; whether the server may hold as many."""
        budget = self._budget
        budget.used += count - request.held
        request.held = count
        return budget.used <= budget.limit

    def _complete(self, request: Request, content: bytes) -> None:
        """The request is whole."""
        request.content = content
        if not self._hold(request, len(content)):
            self._refuse(request, self._admission.too_much())
            return
        try:
            if not request.named:
                request.read_classic_form(self.limits.content_depth)
            self.events.append(request)
        except BadContent as error:
            self._refuse(request, error)

    # -- ends ------------------------------------------------------------------------------------------------------

    def _refuse_incoming(self, why: Refused) -> None:
        """End the request whose content is under way, and receive no more of it."""
        request, self._incoming = self._incoming, None
        self._reader.skip_content()
        if request is not None:
            self._refuse(request, why)

    def _drop_incoming(self) -> None:
        """The request whose content is under way can never be whole: no reply, and nothing runs."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            self._end_on_wire(incoming)
            self._done_with(incoming)

    def _stop(self, request: Request, why: Refused) -> None:
        if request.stopped is None:
            request.stopped = why
            self.events.append(Stop(request))

    def fail(self, error: Refused) -> None:
        """A connection error: tell it, and end."""
        self._send_error(error, None, self.classic is not False)
        self._end(error)

    def _end(self, error: Refused) -> None:
        self.ending = True
        self.events.append(Ended(error))
        self._abandon(Cancelled("the connection was closed after an error"))

    def _abandon(self, why: Refused) -> None:
        """Nothing that is open can be answered any more."""
        self._drop_incoming()
        for request in list(self._open.values()):
            self._end_on_wire(request)
            self._stop(request, why)

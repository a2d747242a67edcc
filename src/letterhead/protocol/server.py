"""``ServerProtocol``: the server's side of one connection, without I/O.

Three verbs: give it what arrived (``receive``, ``filled``, ``end_of_stream``, ``tick``), take its ``events`` and its
``out`` (what to send), and ``finish`` each request once. Every call that takes ``now`` takes seconds of one monotonic
clock.

* The first frame decides whether the connection is classic or multiplexed (``phase``).
* A request is open from its header on; its content is received only if the header passed.
* Each ``Request`` event must be finished, whatever became of the exchange meanwhile: a request that was
  cancelled, timed out or lost its connection keeps its slot until then, since its handler may still be running.
* ``Stop`` says that nobody waits any longer: whoever runs the request should end it.
* An exchange ends on the wire with one frame, in both directions: ``ended`` is set by that frame or by the end of the
  connection, and nothing is sent for it afterwards.
* Items are handed out one by one (``take``) and counted in the budget until then; credit goes back as they are taken.
* What is held counts in the budget: content and headers that came, and answers that were not sent yet. While the peer
  leaves more unsent than it should no request is handed out: their answers would wait, too. And of many that come at
  once a few are handed out at a time (``starts_more``), so that the first answers are seen before the last one begins.
* ``ending`` becomes true when the connection is to be closed once ``out`` is sent.

Where handlers run is not known here, nor how bytes come and go.
"""

from collections.abc import Callable
from typing import ClassVar

from letterhead.content.encoded import Encoded
from letterhead.errors import (
    BadContent,
    BadFrame,
    BadHeader,
    Cancelled,
    Internal,
    Refused,
    TooLarge,
    TooMany,
    Unavailable,
    UsageError,
)
from letterhead.limits import Limits
from letterhead.message import Buffer
from letterhead.protocol import frames
from letterhead.protocol.admission import LEAVING, Admission, is_own
from letterhead.protocol.budget import Budget
from letterhead.protocol.counters import Counters
from letterhead.protocol.events import Ended, Readable, ServerEvent, Stop, Writable
from letterhead.protocol.fields import Kind, Meaning, from_classic_client, from_client
from letterhead.protocol.flow import CREDIT, Incoming, Item, Outgoing, held_by
from letterhead.protocol.requests import Part, Request
from letterhead.protocol.states import AT_SERVER, IdState, Move, Phase, move
from letterhead.protocol.timers import NEVER, ReadTimer, Wait
from letterhead.wire.header import Header, Headers, content_limit
from letterhead.wire.reader import Reader

_STARTED_AT_ONCE = 16
"""Requests that are handed out before whoever holds the protocol comes back for more."""


class ServerProtocol:
    """The conversation of one connection, at the server.

    Args:
        limits: bounds on what the client may cost.
        now: the time.
        headers, budget, counters: what the connections of one server share.
        readable: compressions that are read here.

    Attributes:
        events: what happened; whoever holds the protocol takes them after each call and empties the list.
        out: bytes to send, in order; whoever holds the protocol takes them, empties the list, and calls ``sent``.
        phase: what the connection is known to be.
        paused: the pipe holds more unsent bytes than it should (``write_high``); whoever holds the protocol says so
            here, and calls ``resume_writing`` after.
        due: when ``tick`` is to be called, at the latest.
        timer: how long the peer may take; it is told when reading is paused (``resume_reading`` is called after).
    """

    def __init__(
        self,
        limits: Limits,
        now: float,
        headers: Headers | None = None,
        budget: Budget | None = None,
        counters: Counters | None = None,
        readable: tuple[str, ...] = (),
    ) -> None:
        self.limits = limits
        self.events: list[ServerEvent] = []
        self.out: list[Buffer] = []
        self.phase = Phase.FRESH
        self.paused = False
        self.counters = counters or Counters()
        self.timer = ReadTimer(limits, now)
        self.due = now + limits.first_byte_seconds
        self._json_bytes = content_limit(frames.JSON, limits)
        self._budget = budget or Budget(limits.buffered_bytes)
        self._admission = Admission(limits, self._budget, now, readable)
        self._readable = readable
        self._reader = Reader(limits, headers)
        self._soonest = NEVER  # no open request's deadline is earlier
        self._ended_by_peer = False
        self._open: dict[int, Request] = {}
        self._incoming: Request | Part | None = None  # its header was read, its content not yet
        self._highest = 0
        self._last_run = NEVER  # what ``closing`` said: a request with an id above that is not run
        self._running_on = 0  # ended on the wire, their handlers not yet finished
        self._ready: dict[Request, None] = {}  # those that are whole, and not handed out yet
        self._started = 0  # those that were handed out since it was asked for more
        self._blocked: dict[Request, None] = {}  # those that have something to send and wait until they may
        self._pending = 0  # bytes in ``out``
        self._unsent = 0  # bytes that were taken from there, and that the pipe holds

    @property
    def ending(self) -> bool:
        """Whether nothing more is read: the connection is to be closed once ``out`` is sent."""
        return self.phase is Phase.ENDED

    @property
    def reads(self) -> bool:
        """Whether more bytes are wanted: not while a classic request waits and more are here already."""
        return not (self.phase is Phase.CLASSIC and self._classic_waits() and self._reader.midway)

    # -- what arrives ----------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> None:
        """Bytes arrived."""
        if self.ending:
            return
        self.timer.received(len(data), now)
        self._started = 0
        self._reader.feed(data)
        self._pump(now)

    def buffer(self) -> memoryview | None:
        """Where the next bytes belong, if large content is under way (then call ``filled``), else None."""
        return None if self.ending or self._incoming is None else self._reader.buffer()

    def filled(self, count: int, now: float) -> None:
        """So many bytes were received into ``buffer()``."""
        self.timer.received(count, now)
        self._started = 0
        self._reader.filled(count)
        self._pump(now)

    def end_of_stream(self, now: float) -> None:
        """The client sends no more. On a multiplexed connection that cancels what is open."""
        self._ended_by_peer = True
        self._drop_incoming()
        if self.phase is not Phase.CLASSIC:
            for request in list(self._open.values()):
                self._stop(request, Cancelled("the client closed its side of the connection"))
        self._settle(now)

    def lost(self) -> None:
        """The connection is gone: nothing can be sent any more."""
        self.phase = Phase.ENDED
        self.out.clear()
        self._count_unsent(0)
        self._abandon(Cancelled("the connection was lost"))
        self._reader.close()

    def drain(self, now: float) -> None:
        """Answer what was accepted, refuse what comes, then end; a multiplexed connection is told so.

        Where no first header has come yet, the first request may be on its way, and an end of the stream would be no
        answer to it. For so long as a lingering close waits for a peer, it is waited for.
        """
        if self.ending or self._admission.draining:
            return
        self._admission.draining = True
        if self.phase is Phase.MULTIPLEXED:
            self._say_closing()
        else:
            self.timer.latest = now + self.limits.linger_quiet_seconds
            self.due = min(self.due, self.timer.due)
        self._settle(now)

    def cut_off(self) -> None:
        """There is no more time: answer all that is open with ``cancelled``, since it may have run, and end."""
        if self.ending:
            return
        if self._incoming is not None:
            self._refuse_incoming(Cancelled(LEAVING))
        for request in list(self._open.values()):
            self._end_early(request, Cancelled(LEAVING))
        self.phase = Phase.ENDED

    def tick(self, now: float) -> None:
        """Time has passed: it is ``due``, or any other moment."""
        if self.ending:
            return
        if now >= self._soonest:
            for request in [r for r in self._open.values() if now >= r.deadline]:
                late = request.out_of_time()
                self.timer.active(now)
                if request is self._incoming:
                    self._refuse_incoming(late)
                else:
                    self._finish_on_wire(request, late)
                    self._stop(request, late)
            self._soonest = min((r.deadline for r in self._open.values()), default=NEVER)
            self._pump(now)
        idles = self.timer.wait is Wait.IDLE
        if now >= self.timer.due and not self.ending and not (idles and self._open):
            self._time_out()
        # While something is open nobody idles; its end may come at any time, and begins the idle time.
        over = now + self.limits.idle_seconds if idles and self._open else self.timer.due
        self.due = min(self._soonest, over)

    def _time_out(self) -> None:
        """The peer took too long: say so where it had begun a frame."""
        draining, error, multiplexed = self._admission.draining, self.timer.error(), self.phase is Phase.MULTIPLEXED
        if error is not None and draining and self.timer.wait is Wait.HEADER and not multiplexed:
            self._send_error(Unavailable(LEAVING), None, wrapped=True)  # it had less time than others
        elif error is not None:
            self.fail(error)
        elif not draining:
            self.counters.idled += 1
            if multiplexed:
                self._say_closing()
        self.phase = Phase.ENDED

    def resume_reading(self, now: float) -> None:
        """Reading goes on: until now the peer's time stood still (``timer.pause``)."""
        self.timer.resume(now)
        self.due = min(self.due, self.timer.due)

    # -- what is answered ------------------------------------------------------------------------------------------

    def answer(self, request: Request, outcome: Encoded | Refused | None, now: float) -> None:
        """Send a request's last frame, although something that runs for it has not ended. ``finish`` is to follow.

        Args:
            request: one that a ``Request`` event handed out.
            outcome: its result, why there is none, or None where the result was a stream that has ended.
            now: the time.
        """
        if not request.ended:
            if request.stopped is not None:
                outcome = request.stopped
            self._finish_on_wire(request, outcome, request.timing(now) if request.timed else None)

    def finish(self, request: Request, outcome: Encoded | Refused | None, now: float) -> None:
        """The request's handler has ended, or will never begin. The first call for a ``Request`` event counts.

        Args:
            request: one that a ``Request`` event handed out.
            outcome: its result, why there is none, or None where the result was a stream that has ended.
            now: the time.
        """
        if request.finished:
            return
        self.answer(request, outcome, now)
        self._done_with(request)
        self.timer.active(now)
        if self.phase is Phase.CLASSIC or self._admission.draining or self._ended_by_peer:
            self._pump(now)

    # -- what is sent ----------------------------------------------------------------------------------------------

    def sent(self, now: float, unsent: int = 0) -> None:
        """``out`` was taken, or some of what was taken went: what waited for that goes on.

        Args:
            now: the time.
            unsent: bytes that the pipe holds, of all that were taken.
        """
        self._count_unsent(unsent)
        if self.phase is Phase.CLASSIC:
            self._pump(now)

    def resume_writing(self, now: float) -> None:
        """``paused`` has become false."""
        if self.phase is Phase.CLASSIC:
            self._pump(now)
        else:
            for request in list(self._blocked):
                self._unblock(request)
            self.start_more()

    @property
    def starts_more(self) -> bool:
        """Whether requests wait only for ``start_more`` to be called."""
        return bool(self._ready) and self.takes_answers

    def start_more(self) -> None:
        """Some time has passed since requests were handed out: hand out a few more, if there are."""
        self._started = 0
        while self._ready and self._started < _STARTED_AT_ONCE and self.takes_answers:
            request = next(iter(self._ready))
            del self._ready[request]
            self._start(request)

    @property
    def takes_answers(self) -> bool:
        """Whether the peer takes its answers. While it does not, no handler begins."""
        return not self.paused and self._pending + self._unsent <= self.limits.write_high

    def _start(self, request: Request) -> None:
        self._started += 1
        self.events.append(request)

    def _send(self, *pieces: Buffer) -> None:
        self.out += pieces
        size = sum(map(len, pieces))
        self._pending += size
        self._budget.used += size

    def _count_unsent(self, unsent: int) -> None:
        self._budget.used += unsent - self._unsent - self._pending
        self._unsent, self._pending = unsent, 0

    # -- one frame after the other ---------------------------------------------------------------------------------

    def _pump(self, now: float) -> None:
        reader = self._reader
        progressed = False
        while not (self.ending or (self.phase is Phase.CLASSIC and self._classic_waits())):
            incoming = self._incoming
            if incoming is None:
                try:
                    header = reader.read_header()
                except BadFrame as error:
                    self.fail(error)
                    return
                if header is None:
                    break
                progressed = True
                incoming = self._incoming = self._begin(header, now)
                if incoming is None:
                    reader.skip_content()
                    continue
            elif isinstance(incoming, Part) and incoming.request.ended:
                self._refuse_incoming(None)
                continue
            content = reader.read_content()
            if content is None:
                if self._hold(incoming, reader.arrived):
                    break
                self._refuse_incoming(self._admission.too_much())
                continue
            progressed = True
            self._incoming = None
            self._complete(incoming, content)
        if reader.midway or self.timer.wait is not Wait.IDLE or self._ended_by_peer or self._admission.draining:
            self._settle(now, progressed)

    def _settle(self, now: float, progressed: bool = False) -> None:
        """Nothing more can be read at the moment: what do we wait for?"""
        if self.ending:
            return
        if self._ended_by_peer:
            self._drop_incoming()
        if (self._ended_by_peer or self._admission.draining) and not self._open and not self._expects_more():
            self.phase = Phase.ENDED
            self._abandon(Cancelled("the connection is closing"))
            return
        reader, timer = self._reader, self.timer
        if self._ended_by_peer or not reader.midway:
            if timer.wait is Wait.IDLE:
                return
            wait = Wait.FIRST_BYTE if timer.wait is Wait.FIRST_BYTE and not progressed else Wait.IDLE
        elif reader.header is not None or reader.skipping:
            wait = Wait.CONTENT
        elif self.phase is Phase.CLASSIC and self._classic_waits():
            wait = Wait.IDLE
        else:
            wait = Wait.HEADER
        # The same kind of wait goes on, unless it is another frame's.
        if progressed or wait is not timer.wait:
            timer.start(wait, now)
            self.due = min(self.due, timer.due)

    def _expects_more(self) -> bool:
        """Whether a connection that is to end, and has nothing open, waits for a request all the same."""
        if self.phase is Phase.CLASSIC and self._reader.midway:
            return self._classic_waits() or not self._ended_by_peer
        return self.phase is Phase.FRESH and not self._ended_by_peer

    def _begin(self, header: Header, now: float) -> Request | Part | None:
        """A header was read: open the exchange, or say what is wrong; None where the content is not wanted."""
        if self.phase is Phase.FRESH:
            self._begin_conversation(header)
        if self.phase is Phase.CLASSIC:
            return self._open_request(None, header, from_classic_client(header.shape), now)
        id = header.id
        if not id:
            self.fail(BadHeader("a request here carries an 'id' from 1 to 2^53-1", field="id"))
            return None
        meaning: Meaning = header.shape.meaning or from_client(header.shape)
        request = self._open.get(id)
        if request is not None:
            request.heard = now
            incoming = request.incoming
            state = IdState.OPEN if incoming is None or incoming.whole else IdState.UPLOADING
        else:
            state = IdState.NEW if id > self._highest else IdState.PAST
        try:
            if meaning.fault is not None and meaning.fatal:
                raise meaning.fault.error()
            if meaning.authorized and self._highest:
                raise BadHeader("'authorization' stands in the first request only", field="authorization")
            todo = move(AT_SERVER, state, meaning.kind)
        except BadHeader as error:
            self.fail(error)
            return None
        return self._MOVES[todo](self, request, header, meaning, now)

    def _begin_conversation(self, header: Header) -> None:
        """The first header says what the connection is."""
        self.phase = Phase.CLASSIC if header.id is None else Phase.MULTIPLEXED
        if header.id:
            limits = self.limits
            self._send(frames.hello(header.id, limits.max_open, limits.initial_credit, self._readable))
            if self._admission.draining:
                self.timer.latest = NEVER
                self._say_closing()

    # -- moves (states.py) -----------------------------------------------------------------------------------------

    def _take_opening(self, _: Request | None, header: Header, meaning: Meaning, now: float) -> Request | None:
        self._highest = header.id or 0
        return self._open_request(header.id, header, meaning, now)

    def _take_part(self, request: Request | None, header: Header, meaning: Meaning, now: float) -> Part | None:
        return None if request is None else self._begin_part(request, header, meaning)

    def _take_cancel(self, request: Request | None, header: Header, meaning: Meaning, now: float) -> None:
        if self._within(self._admission.control(now)) and request is not None:
            self._stop(request, Cancelled("cancelled by the client"))

    def _take_credit(self, request: Request | None, header: Header, meaning: Meaning, now: float) -> None:
        if self._within(self._admission.credit(now)) and request is not None:
            self._credited(request, meaning.credit)

    def _take_late(self, _: Request | None, header: Header, meaning: Meaning, now: float) -> None:
        self._within(self._admission.late(header))

    def _take_late_control(self, _: Request | None, header: Header, meaning: Meaning, now: float) -> None:
        admission = self._admission
        self._within(admission.credit(now) if meaning.kind is Kind.CREDIT else admission.control(now))

    def _within(self, error: TooMany | None) -> bool:
        """Whether the peer keeps within its bounds; a connection error where it does not."""
        if error is not None:
            self.fail(error)
        return error is None

    def _open_request(self, id: int | None, header: Header, meaning: Meaning, now: float) -> Request | None:
        header.compact()
        refused = self._admission.refusal(header, meaning, len(self._open) + self._running_on, id is None)
        if meaning.supersedes and id is not None and not isinstance(refused, BadHeader):
            if not self._within(self._admission.control(now)):
                return None
            refused = self._supersede(meaning.supersedes, id) or refused
        if refused is not None:
            self.counters.refused_draining += isinstance(refused, Unavailable)
            self._send_error(refused, id, meaning.action is None)
            if meaning.more:
                self._admission.expect_late(self.limits.initial_credit)
            self._end_if_too_large(refused, header)
            return None
        request = Request(id, header, meaning, now, now + self._admission.allowed_seconds(meaning))
        if meaning.more:
            request.incoming = Incoming(self.limits.initial_credit)
        if request.deadline < self._soonest:
            self._soonest = request.deadline
            self.due = min(self.due, request.deadline)
        self._open[id or 0] = request
        self._budget.used += request.kept
        self.counters.open_now += 1
        return request

    def _begin_part(self, request: Request, header: Header, meaning: Meaning) -> Part | None:
        """A frame of an upload: an item, or the end."""
        incoming = request.incoming
        if incoming is None or request.stopped is not None:  # nobody takes it: it crosses our last frame
            self._within(self._admission.late(header))
            return None
        refused = self._admission.part_refusal(header, meaning)
        if refused is None and not meaning.more:
            if incoming.end():
                self.events.append(Readable(request))
            return None
        try:
            if refused is None:
                incoming.announce(header)
                return Part(request, incoming, header)
        except BadHeader as error:
            refused = error
        self._end_early(request, refused)
        self._end_if_too_large(refused, header)
        return None

    def _end_if_too_large(self, refused: Refused, header: Header) -> None:
        """Content that was refused for its size is read past only up to a size; above, closing costs less."""
        if isinstance(refused, TooLarge) and header.shape.length >= self.limits.skip_bytes:
            self._end(refused)

    # -- ends ------------------------------------------------------------------------------------------------------

    def _refuse_incoming(self, why: Refused | None) -> None:
        """End what has content under way, and receive no more of it; None where it has ended already."""
        incoming, self._incoming = self._incoming, None
        self._reader.skip_content()
        if incoming is not None:
            self._refuse_whole(incoming, why)

    # -- streams ---------------------------------------------------------------------------------------------------

    def streams(self, request: Request) -> None:
        """The result of a request will be a stream, without a deadline unless the client named one.

        Raises:
            BadHeader: more credit came already than a receiver may give.
        """
        request.streams = True
        if request.outgoing is None:
            request.outgoing = Outgoing(CREDIT)
        request.outgoing.add(0)
        wanted = request.meaning.deadline
        request.deadline = NEVER if wanted is None else request.received + wanted

    def may_send(self, request: Request) -> bool:
        """Whether an item of its result may be sent now; if not, and it has not ended, ``Writable`` says when."""
        outgoing = request.outgoing
        if outgoing is None or request.ended:
            return False
        if outgoing.credit > 0 and not self.paused:
            return True
        self._blocked[request] = None
        return False

    def send_item(self, request: Request, item: Encoded) -> int:
        """Send an item of a result; how many bytes that took. Only where ``may_send`` said yes, of what ``streams``.

        One whose header cannot be sent ends the exchange.
        """
        if request.ended or request.outgoing is None or request.id is None:
            return 0
        try:
            first, content = frames.item(item, request.id)
        except UsageError as error:
            self._end_early(request, Internal(f"an item cannot be sent: {error}"))
            return 0
        cost = len(first) + len(content)
        request.outgoing.credit -= cost
        self._admission.sent(cost)
        self.counters.items_sent += 1
        if len(content) > frames.JOINED:
            self._send(first, content)
        else:
            self._send(first + content)
        return cost

    def take(self, request: Request) -> Item | None:
        """The next item of an upload; None where none is there: ``Readable`` follows, unless it is ``whole``."""
        incoming = request.incoming
        if incoming is None:
            return None
        item = incoming.take()
        if item is not None:
            self.counters.items_received += 1
            self._budget.used -= held_by(item)
            given = 0 if request.ended else incoming.owed()
            if given and request.id is not None:
                self._send(frames.control("credit", given, request.id))
        return item

    def fail_exchange(self, request: Request, why: Refused) -> None:
        """End a request that cannot go on, as an item is not what it says. Its last frame is sent at once."""
        self._finish_on_wire(request, why)
        if request.stopped is None:
            request.stopped = why

    def _credited(self, request: Request, credit: int) -> None:
        """The client gave credit, perhaps before it is known whether there will be a stream to spend it on."""
        if request.outgoing is None:
            request.outgoing = Outgoing(CREDIT)
        if not request.streams:  # how much it comes to is judged only if there will be one
            request.outgoing.credit += credit
            return
        try:
            request.outgoing.add(credit)
        except BadHeader as error:
            self._end_early(request, error)
        else:
            self._unblock(request)

    def _unblock(self, request: Request) -> None:
        """Tell whoever waits to send that it may. Credit that only makes up for a large item is none."""
        if request in self._blocked and not self.paused and request.outgoing and request.outgoing.credit > 0:
            del self._blocked[request]
            self.events.append(Writable(request))

    def _classic_waits(self) -> bool:
        """The next classic request waits: the last one is not answered yet, or the peer does not take the answers."""
        if self._incoming is not None:
            return False
        return bool(self._open) or not self.takes_answers

    def _complete(self, incoming: Request | Part, content: bytes) -> None:
        """The content of a request or an item is whole."""
        if not self._hold(incoming, len(content)):
            self._refuse_whole(incoming, self._admission.too_much())
        elif isinstance(incoming, Part):
            if incoming.incoming.put((incoming.header, content)):
                self.events.append(Readable(incoming.request))
        else:
            incoming.content = content
            try:
                if not incoming.named:
                    incoming.read_classic_form(self.limits)
                    if incoming.id is not None and incoming.id > self._last_run and not is_own(incoming.action):
                        self.counters.refused_draining += 1
                        raise Unavailable(LEAVING)
                    if not incoming.binary:
                        self.unpacked(incoming, incoming.content)
                if self._ready or self._started >= _STARTED_AT_ONCE or not self.takes_answers:
                    self._ready[incoming] = None
                else:
                    self._start(incoming)
            except (BadContent, TooLarge, TooMany, Unavailable) as error:
                self._refuse(incoming, error)

    def _hold(self, incoming: Request | Part, count: int) -> bool:
        """So many bytes of its content are here; whether the server may hold as many.

        Of items the headers count, too: thousands of empty ones may wait, and are held with all that their headers say.
        """
        budget = self._budget
        if isinstance(incoming, Part):
            count += incoming.header.held
        budget.used += count - incoming.held
        incoming.held = count
        return budget.used <= budget.limit

    def unpacked(self, request: Request, content: bytes) -> None:
        """The content of a request was decompressed, and is held as it is now until its handler has ended.

        Raises:
            TooMany: the server would hold more than it may.
        """
        budget = self._budget
        if not budget.fits(len(content) - request.held):
            raise self._admission.too_much()
        budget.used += len(content) - request.held
        request.held = len(content)
        request.content = content
        request.compression = None

    def _let_go(self, part: Part) -> None:
        self._budget.used -= part.held
        part.held = 0

    # -- ends ------------------------------------------------------------------------------------------------------

    def _finish_on_wire(
        self, request: Request, outcome: Encoded | Refused | None, timing: dict[str, int] | None = None
    ) -> None:
        """The exchange's last frame, if it has not had one; None is the end of a stream."""
        if not self._end_on_wire(request):
            return
        wrapped = not request.named
        if isinstance(outcome, Refused):
            self._send_error(outcome, request.id, wrapped, timing)
            return
        try:
            if outcome is None:
                self._send(frames.end_of_stream(request.id, timing))
            else:
                pieces = frames.result(outcome, request.id, wrapped, self._json_bytes, timing)
                if len(pieces) > 1 and not self._budget.fits(len(pieces[1]) - request.held):
                    self._send_error(self._admission.too_much(), request.id, wrapped, timing)
                    return
                self._send(*pieces)
        except TooLarge as error:
            self._send_error(error, request.id, wrapped, timing)
        except UsageError as error:
            self._send_error(Internal(f"the answer cannot be sent: {error}"), request.id, wrapped, timing)
        else:
            self.counters.served += 1

    def _refuse_whole(self, incoming: Request | Part, why: Refused | None) -> None:
        if isinstance(incoming, Part):
            self._let_go(incoming)
            if why is not None:
                self._end_early(incoming.request, why)
        elif why is not None:
            self._refuse(incoming, why)

    def _refuse(self, request: Request, why: Refused) -> None:
        """End a request that was never handed out."""
        self._finish_on_wire(request, why)
        self._done_with(request)

    def _end_early(self, request: Request, why: Refused) -> None:
        """End a request on the wire whose handler may be running."""
        self._finish_on_wire(request, why)
        self._stop(request, why)

    def _end_on_wire(self, request: Request) -> bool:
        """Nothing more is sent or taken for this exchange; False where it had ended before."""
        if request.ended:
            return False
        request.ended = True
        del self._open[request.id or 0]
        self._running_on += 1
        self._blocked.pop(request, None)
        incoming = request.incoming
        if incoming is not None:
            self._budget.used -= incoming.drop()
            if not incoming.whole:
                self._admission.expect_late(incoming.window)
        return True

    def _done_with(self, request: Request) -> None:
        """The handler of a request is no longer running: the slot and the memory are free."""
        request.finished = True
        self._running_on -= 1
        self._budget.used -= request.held + request.kept
        request.held = request.kept = 0
        self.counters.open_now -= 1

    def _stop(self, request: Request, why: Refused) -> None:
        if request.stopped is not None or request.finished:
            return
        request.stopped = why
        if request in self._ready:  # its handler has not begun, and never will
            del self._ready[request]
            self._refuse(request, why)
        else:
            self.events.append(Stop(request))

    def _supersede(self, earlier: int, id: int) -> BadHeader | None:
        """Cancel the exchange that the request with ``id`` takes the place of."""
        if earlier >= id:
            return BadHeader("'supersedes' is the id of an earlier request", field="supersedes")
        request = self._open.get(earlier)
        if request is not None:
            self._stop(request, Cancelled("superseded by a later request"))
        return None

    def _drop_incoming(self) -> None:
        """What has content under way can never be whole: no reply, and nothing runs."""
        incoming, self._incoming = self._incoming, None
        if isinstance(incoming, Part):
            self._let_go(incoming)
        elif incoming is not None:
            self._end_on_wire(incoming)
            self._done_with(incoming)

    def _say_closing(self) -> None:
        """From here on nothing new is run on this connection (multiplexed ones only)."""
        self._last_run = self._highest
        self._send(frames.control("closing", self._highest, None))

    def fail(self, error: Refused) -> None:
        """A connection error: tell it, and end."""
        self._send_error(error, None, self.phase is not Phase.MULTIPLEXED)
        self._end(error)

    def _end(self, error: Refused) -> None:
        self.phase = Phase.ENDED
        self.events.append(Ended(error))
        self._abandon(Cancelled("the connection was closed after an error"))

    def _abandon(self, why: Refused) -> None:
        """Nothing that is open can be answered any more."""
        self._drop_incoming()
        for request in list(self._open.values()):
            self._end_on_wire(request)
            self._stop(request, why)

    def _send_error(
        self, refused: Refused, id: int | None, wrapped: bool, timing: dict[str, int] | None = None
    ) -> None:
        self.counters.failure(refused.code)
        classic, wrapped = self.phase is Phase.CLASSIC, wrapped or self.phase is not Phase.MULTIPLEXED
        self._send(frames.error(refused, id, classic, wrapped, self._json_bytes, timing))

    _MOVES: ClassVar[dict[Move, Callable[..., Request | Part | None]]] = {
        Move.OPEN: _take_opening,
        Move.PART: _take_part,
        Move.CANCEL: _take_cancel,
        Move.CREDIT: _take_credit,
        Move.DROP: _take_late,
        Move.IGNORE: _take_late_control,
    }

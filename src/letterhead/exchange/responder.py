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

Here stands what arrives, and time; what is answered is the other half's (``answering.py``).
"""

from copy import copy

from letterhead.content.encoded import Encoded
from letterhead.errors import BadFrame, BadHeader, Cancelled, Refused, TooLarge, Unavailable
from letterhead.exchange import replies
from letterhead.exchange.admission import LEAVING, Admission
from letterhead.exchange.answering import Answering
from letterhead.exchange.budget import Budget
from letterhead.exchange.counters import Counters
from letterhead.exchange.fields import Kind, Meaning, from_classic_client, from_client
from letterhead.exchange.requests import Part, Request
from letterhead.exchange.states import AT_SERVER, Move, Standing, move
from letterhead.exchange.streams import Incoming, Items
from letterhead.exchange.timeouts import NEVER, Patience, Wait
from letterhead.limits import Limits
from letterhead.wire.header import Header, Headers
from letterhead.wire.reader import Reader


class Responder(Answering):
    """The conversation of one connection, at the server.

    Args:
        limits: bounds on what the client may cost.
        now: the time.
        headers, budget, counters: what the connections of one server share.
        readable: compressions that are read here.

    Attributes:
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
        readable: tuple[str, ...] = (),
    ) -> None:
        budget = budget or Budget(limits.buffered_bytes)
        super().__init__(limits, budget, counters or Counters(), Admission(limits, budget, now, readable))
        self.patience = Patience(limits, now)
        self._readable = readable
        self._reader = Reader(limits, headers)
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
        self._reader.close()

    def drain(self, now: float) -> None:
        """Answer what was accepted, refuse what comes, then end; a multiplexed connection is told so.

        Where no first header has come yet, the first request may be on its way, and an end of the stream would be no
        answer to it. For so long as a lingering close waits for a peer, it is waited for.
        """
        if self.ending or self._admission.draining:
            return
        self._admission.draining = True
        if self.classic is False:
            self._say_closing()
        else:
            self.patience.latest = now + self.limits.linger_quiet_seconds
            self.due = min(self.due, self.patience.ends_at())
        self._settle(now)

    def cut_off(self) -> None:
        """There is no more time: answer all that is open with ``cancelled``, since it may have run, and end."""
        if self.ending:
            return
        if self._incoming is not None:
            self._refuse_incoming(Cancelled(LEAVING))
        for request in list(self._open.values()):
            self._end_early(request, Cancelled(LEAVING))
        self.ending = True

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
            self._lose_patience()
        # While something is open nobody idles; its end may come at any time, and begins the idle time.
        over = now + self.limits.idle_seconds if idles and self._open else self.patience.ends_at()
        self.due = min(self._soonest, over)

    def _lose_patience(self) -> None:
        """The peer took too long: say so where it had begun a frame."""
        draining, complaint = self._admission.draining, self.patience.complaint()
        if complaint is not None and draining and self.patience.wait is Wait.HEADER and self.classic is not False:
            self._send_error(Unavailable(LEAVING), None, wrapped=True)  # it had less time than others
        elif complaint is not None:
            self.fail(complaint)
        elif not draining:
            self.counters.idled += 1
            if self.classic is False:
                self._say_closing()
        self.ending = True

    def resume(self, now: float) -> None:
        """We read again: until now the peer's time stood still (``patience.pause``)."""
        self.patience.resume(now)
        self.due = min(self.due, self.patience.ends_at())

    # -- what is answered ------------------------------------------------------------------------------------------

    def finish(self, request: Request, outcome: Encoded | Refused | None, now: float) -> None:
        """The request's handler has ended, or will never begin. Once for each ``Request`` event.

        Args:
            request: it.
            outcome: its result, why there is none, or None where the result was a stream that has ended.
            now: the time.
        """
        if not request.ended:
            if request.stopped is not None:
                outcome = request.stopped
            self._finish_on_wire(request, outcome, request.timing(now) if request.timed else None)
        self._done_with(request)
        self.patience.stirred(now)
        if self.classic or self._admission.draining or self._ended_by_peer:
            self._pump(now)

    # -- one frame after the other ---------------------------------------------------------------------------------

    def proceed(self, now: float) -> None:
        """``out`` was taken, or ``congested`` has become false: what waited for that goes on."""
        if self.classic:
            self._pump(now)
        else:
            for request in list(self._blocked):
                self._unblock(request)

    def _pump(self, now: float) -> None:
        reader = self._reader
        progressed = False
        while not (self.ending or (self.classic and self._classic_waits())):
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
        if reader.midway or self.patience.wait is not Wait.NEXT or self._ended_by_peer or self._admission.draining:
            self._settle(now, progressed)

    def _settle(self, now: float, progressed: bool = False) -> None:
        """Nothing more can be read at the moment: what do we wait for?"""
        if self.ending:
            return
        if self._ended_by_peer:
            self._drop_incoming()
        if (self._ended_by_peer or self._admission.draining) and not self._open and not self._expects_more():
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

    def _expects_more(self) -> bool:
        """Whether a connection that is to end, and has nothing open, waits for a request all the same."""
        if self.classic and self._reader.midway:
            return self._classic_waits() or not self._ended_by_peer
        return self.classic is None and not self._ended_by_peer

    def _begin(self, header: Header, now: float) -> Request | Part | None:
        """A header was read: open the exchange, or say what is wrong; None where the content is not wanted."""
        if self.classic is None:
            self.classic, limits = header.id is None, self.limits
            if header.id:
                self.out.append(replies.hello(header.id, limits.max_open, limits.initial_credit, self._readable))
                if self._admission.draining:
                    self.patience.latest = NEVER
                    self._say_closing()
        if self.classic:
            meaning = from_classic_client(header.shape)
            return self._open_request(None, header, meaning, now)
        id = header.id
        if not id:
            self.fail(BadHeader("a request here carries an 'id' from 1 to 2^53-1", field="id"))
            return None
        meaning = header.shape.meaning or from_client(header.shape)
        request = self._open.get(id)
        if request is not None:
            incoming = request.incoming
            standing = Standing.OPEN if incoming is None or incoming.whole else Standing.UPLOADING
        else:
            standing = Standing.NEW if id > self._highest else Standing.PAST
        try:
            if meaning.fault is not None and meaning.fatal:
                raise meaning.fault
            if meaning.authorized and self._highest:
                raise BadHeader("'authorization' stands in the first request only", field="authorization")
            todo = move(AT_SERVER, standing, meaning.kind)
        except BadHeader as error:
            self.fail(copy(error))
            return None
        if todo is Move.OPEN:
            self._highest = id
            return self._open_request(id, header, meaning, now)
        if request is not None and todo is Move.PART:
            return self._begin_part(request, header, meaning)
        self._other_move(todo, id, header, meaning, now)
        return None

    def _other_move(self, todo: Move, id: int, header: Header, meaning: Meaning, now: float) -> None:
        admission = self._admission
        if todo is Move.DROP:
            gone_too_far = admission.late(header)
        elif meaning.kind is Kind.CREDIT:
            gone_too_far = admission.credit(now)
        else:
            gone_too_far = admission.control(now)
        if gone_too_far is not None:
            self.fail(gone_too_far)
        elif todo is Move.CANCEL:
            self._stop(self._open[id], Cancelled("cancelled by the client"))
        elif todo is Move.CREDIT:
            self._credited(self._open[id], meaning.credit)

    def _open_request(self, id: int | None, header: Header, meaning: Meaning, now: float) -> Request | None:
        refused = self._admission.why_not(header, meaning, len(self._open) + self._running_on, id is None)
        if meaning.supersedes and id is not None and not isinstance(refused, BadHeader):
            gone_too_far = self._admission.control(now)
            if gone_too_far is not None:
                self.fail(gone_too_far)
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
        self.counters.open_now += 1
        return request

    def _begin_part(self, request: Request, header: Header, meaning: Meaning) -> Part | None:
        """A frame of an upload: an item, or the end."""
        incoming = request.incoming
        refused: Refused | None
        if incoming is None or request.stopped is not None:  # nobody takes it: it crosses our last frame
            refused = self._admission.late(header)
            if refused is not None:
                self.fail(refused)
            return None
        refused = self._admission.why_not_part(header, meaning)
        if refused is None and not meaning.more:
            if incoming.end():
                self.events.append(Items(request))
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

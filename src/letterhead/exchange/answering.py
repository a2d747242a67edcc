"""The half of a responder that answers: its open exchanges, the frames that go out for them, and their ends.

What arrives, and when, is the other half's (``responder.py``). The rules here:

* An exchange ends on the wire with one frame, in both directions: ``ended`` is set by that frame or by the end of the
  connection, and nothing is sent for it afterwards.
* Its slot and its memory are free once its handler has ended, too: not before ``finish``.
* Items are handed out one by one (``take``) and counted in the budget until then; credit goes back as they are taken.
"""

from letterhead.content.encoded import Encoded
from letterhead.errors import (
    BadContent,
    BadHeader,
    Cancelled,
    Internal,
    Refused,
    TooLarge,
    TooMany,
    Unavailable,
    UsageError,
)
from letterhead.exchange import replies
from letterhead.exchange.admission import LEAVING, Admission, is_own
from letterhead.exchange.budget import Budget
from letterhead.exchange.counters import Counters
from letterhead.exchange.requests import Ended, Event, Part, Request, Stop
from letterhead.exchange.streams import CREDIT, Item, Items, Outgoing, Room, credit_frame, item_frame
from letterhead.exchange.timeouts import NEVER
from letterhead.limits import Limits
from letterhead.message import Buffer
from letterhead.wire.header import content_limit


class Answering:
    """The open exchanges of one connection, at the server.

    Attributes:
        events: what happened; the shell takes them after each call and empties the list.
        out: bytes to send, in order; the shell takes them and empties the list.
        classic: whether the connection is classic; None before the first frame.
        congested: the shell holds more unsent bytes than it should (``write_high``); it says so here.
        ending: nothing more is read; close once ``out`` is sent.
    """

    def __init__(self, limits: Limits, budget: Budget, counters: Counters, admission: Admission) -> None:
        self.limits = limits
        self.events: list[Event] = []
        self.out: list[Buffer] = []
        self.classic: bool | None = None
        self.ending = False
        self.congested = False
        self.counters = counters
        self._json_bytes = content_limit(replies.JSON, limits)
        self._budget = budget
        self._admission = admission
        self._open: dict[int, Request] = {}
        self._incoming: Request | Part | None = None  # its header was read, its content not yet
        self._highest = 0
        self._last_run = NEVER  # what ``closing`` said: a request with an id above that is not run
        self._running_on = 0  # ended on the wire, their handlers not yet finished
        self._blocked: dict[Request, None] = {}  # those that have something to send and wait for room

    # -- streams ---------------------------------------------------------------------------------------------------

    def streams(self, request: Request) -> None:
        """Its result will be a stream: it has no deadline unless the client named one, and that is not shortened.

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
        """Whether an item of its result may be sent now; if not, and it has not ended, a ``Room`` event says when."""
        outgoing = request.outgoing
        if outgoing is None or request.ended:
            return False
        if outgoing.credit > 0 and not self.congested:
            return True
        self._blocked[request] = None
        return False

    def send_item(self, request: Request, item: Encoded) -> int:
        """Send an item of a result; how many bytes that took. Only where ``may_send`` said yes, of what ``streams``.

        Raises:
            UsageError: a header field of its own cannot be sent.
        """
        if request.ended or request.outgoing is None or request.id is None:
            return 0
        first, content = item_frame(item, request.id)
        cost = len(first) + len(content)
        request.outgoing.credit -= cost
        self._admission.sent(cost)
        self.counters.items_sent += 1
        if len(content) > replies.JOINED:
            self.out.append(first)
            self.out.append(content)
        else:
            self.out.append(first + content)
        return cost

    def take(self, request: Request) -> Item | None:
        """The next item of an upload; None where none is there: an ``Items`` event follows, unless it is ``whole``."""
        incoming = request.incoming
        if incoming is None:
            return None
        item = incoming.take()
        if item is not None:
            self.counters.items_received += 1
            self._budget.used -= item[0].frame_size
            given = 0 if request.ended else incoming.owed()
            if given and request.id is not None:
                self.out.append(credit_frame(given, request.id))
        return item

    def fail_exchange(self, request: Request, why: Refused) -> None:
        """Whoever runs it found that it cannot be: an item is not what it says. Its last frame is sent at once."""
        if not request.ended:
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
        """Tell whoever waits for room that it is there. Credit that only makes up for a large item is none."""
        if request in self._blocked and not self.congested and request.outgoing and request.outgoing.credit > 0:
            del self._blocked[request]
            self.events.append(Room(request))

    def _classic_waits(self) -> bool:
        """The next classic request waits: the last one is not answered yet, or the peer does not take the answers."""
        if self._incoming is not None:
            return False
        return bool(self._open) or self.congested or sum(map(len, self.out)) > self.limits.write_high

    def _complete(self, incoming: Request | Part, content: bytes) -> None:
        """Its content is whole."""
        if not self._hold(incoming, len(content)):
            self._refuse_whole(incoming, self._admission.too_much())
        elif isinstance(incoming, Part):
            if incoming.incoming.put((incoming.header, content)):
                self.events.append(Items(incoming.request))
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
                self.events.append(incoming)
            except (BadContent, TooLarge, TooMany, Unavailable) as error:
                self._refuse(incoming, error)

    def _hold(self, incoming: Request | Part, count: int) -> bool:
        """So many bytes of its content are here; whether the server may hold as many.

        Of items the headers count, too: thousands of empty ones may wait, and are held with all that their headers say.
        """
        budget = self._budget
        if isinstance(incoming, Part):
            count += incoming.header.frame_size - incoming.header.shape.length
        budget.used += count - incoming.held
        incoming.held = count
        return budget.used <= budget.limit

    def unpacked(self, request: Request, content: bytes) -> None:
        """Its content was decompressed, and is held as it is now until its handler has ended.

        Raises:
            TooMany: the server would hold more than it may.
        """
        budget = self._budget
        if budget.used + len(content) - request.held > budget.limit:
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
        """The exchange's last frame; None is the end of a stream."""
        self._end_on_wire(request)
        wrapped = not request.named
        if isinstance(outcome, Refused):
            self._send_error(outcome, request.id, wrapped, timing)
            return
        try:
            if outcome is None:
                self.out.append(replies.end_of_stream(request.id, timing))
            else:
                reply = outcome if timing is None else outcome.with_fields({"timing": timing})
                self.out += replies.result(reply, request.id, wrapped, self._json_bytes)
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

    def _end_on_wire(self, request: Request) -> None:
        request.ended = True
        del self._open[request.id or 0]
        self._running_on += 1
        self._blocked.pop(request, None)
        incoming = request.incoming
        if incoming is not None:
            self._budget.used -= incoming.drop()
            if not incoming.whole:
                self._admission.expect_late(incoming.window)

    def _done_with(self, request: Request) -> None:
        """Its handler is no longer running: the slot and the memory are free."""
        self._running_on -= 1
        self._budget.used -= request.held
        request.held = 0
        self.counters.open_now -= 1

    def _stop(self, request: Request, why: Refused) -> None:
        if request.stopped is None:
            request.stopped = why
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
        self.out.append(replies.closing(self._highest))

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

    def _send_error(
        self, refused: Refused, id: int | None, wrapped: bool, timing: dict[str, int] | None = None
    ) -> None:
        self.counters.failure(refused.code)
        wrapped = wrapped or self.classic is not False
        self.out.append(replies.error(refused, id, self.classic is True, wrapped, self._json_bytes, timing))

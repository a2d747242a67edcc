"""``ClientProtocol``: the client's side of one connection, without I/O.

``submit`` a ``Call``, take ``out`` and send it, give what arrives to ``receive``, and take the ``events``: calls that
have ended (``call.header`` and ``body``, or ``call.error``; once each, and not those whose callers gave up themselves),
those that must go elsewhere (``Elsewhere``), and what somebody waited for on a stream (``Readable``, ``Writable``).

What the server is, is unknown until its first frame is back (protocol section 2): the first request is sent in the one
form that classic and Letterhead servers both understand, and every other call waits. Then either the server multiplexes
and all calls share this connection, or it is classic and this connection served its one request.

The rules:

* A connection that ends fails the calls that were written, but for those that may be sent again; these are handed back
  with those that were not. So is what the server will not run, since it goes away (``closing``) or says so
  (``unavailable``). What was handed back because it may be sent again is as good as new (``retry.py``).
* A call that is written has a slot until the server's last frame for it has come, whatever its caller has heard.
* Items of an upload go out while there is credit and the pipe takes bytes (``may_send``); whoever finds that they may
  not hears of it with a ``Writable`` event. Once the call is done nothing more is sent for it.
* A call that takes another's place has that one's caller told at once.
* Once the server says that it is leaving, nothing new goes out, and what waits is handed back. What is open goes on;
  with the end of that the connection has ended.
* A server closes a connection on which too many control frames come (section 5). So only so many cancellations go out
  until ``tick`` allows for more; the others are withheld, their callers told all the same, their slots taken. Between
  two renewals lies the whole of the server's window: it never sees more than twice what is allowed for.
"""

from collections import deque

from letterhead.content.encoded import Encoded
from letterhead.errors import (
    BadFrame,
    BadHeader,
    ConnectionFailed,
    ConnectionLost,
    ForeignProtocol,
    LetterheadError,
    NoReply,
    Refused,
    Rejected,
    TooLarge,
    TooMany,
    Unavailable,
    UsageError,
)
from letterhead.limits import Limits
from letterhead.message import Buffer
from letterhead.protocol import frames
from letterhead.protocol.calls import Call, classic_cannot, not_as_asked, reply_error, superseded
from letterhead.protocol.events import Readable, Writable
from letterhead.protocol.fields import Kind, Meaning, from_server, unlisted
from letterhead.protocol.flow import CREDIT, Item
from letterhead.protocol.frames import JOINED
from letterhead.protocol.openings import describe_call, first_prefix, ping_call
from letterhead.protocol.retry import (
    Elsewhere,
    Why,
    idempotent_in,
    is_final,
    may_go_elsewhere,
    may_repeat_cut_off,
    may_repeat_lost,
)
from letterhead.protocol.states import AT_CLIENT, Move, Phase, Standing, move
from letterhead.wire.header import MAX_ID, Header, Headers
from letterhead.wire.reader import Reader
from letterhead.wire.writer import head, with_field

_SKIPPED = 1 << 20
_CLOSING = frozenset({"unauthenticated", "timeout"})
"""Errors after which the server closes (section 5), as after ``too-large`` from ``_SKIPPED`` bytes on: further calls
go to another connection at once, rather than being lost on this one."""

Event = Call | Elsewhere | Readable[Call] | Writable[Call]


class ClientProtocol:
    """The conversation of one connection, at the client.

    Args:
        limits: bounds on what the server may send.
        address: the server's, for messages.
        headers: the memory that a client's connections share.
        known_classic: the server was classic when last seen.
        compressions: those that this client reads, and told the server of.
        idempotent: names of actions that may be sent again after a loss. What is learnt here is kept in it.
        cautious: the server failed to answer: the first request is a ping, so that no call is lost if it fails again.

    Attributes:
        phase: what is known about the server.
        ended: nothing can be submitted any more, and nothing that arrives is read.
        leaving: the server said that it is going away: nothing can be submitted any more.
        answered: a reply was delivered here: the server was there and spoke.
        why: how the connection ended; None while it has not, and where one classic reply was all that it was for.
        asked: something was sent.
        forsaken: it ended because its first caller wanted no answer any more, which says nothing of the server.
        late: it ended because its first caller's time was over.
        idempotent: names of actions that may be sent again after a loss; what the server says of them is added.
        events: what happened; the shell takes them after each call and empties the list.
        out: bytes to send; the shell takes them and empties the list.
        open: calls that were written and whose last frame has not come. ``open_at_end``: how many that were at the end.
        congested: the shell holds as many unsent bytes as it should; it says so here, and calls ``relieved`` after.
        readable: compressions that the server reads.
        due: while cancellations are withheld (``withholds``), when ``tick`` allows for more.
    """

    def __init__(
        self,
        limits: Limits,
        address: str,
        headers: Headers | None = None,
        *,
        known_classic: bool = False,
        compressions: tuple[str, ...] = (),
        idempotent: set[str] | None = None,
        cautious: bool = False,
    ) -> None:
        self.limits = limits
        self.address = address
        self.phase = Phase.FRESH
        self.ended = False
        self.leaving = False
        self.answered = False
        self.asked = False
        self.forsaken = False
        self.late = False
        self.why: ConnectionFailed | None = None
        self.events: list[Event] = []
        self.out: list[Buffer] = []
        self.open: dict[int, Call] = {}
        self.open_at_end = 0
        self.congested = False
        self.readable: tuple[str, ...] = ()
        self.idempotent: set[str] = set() if idempotent is None else idempotent
        self.due = float("-inf")
        self._compressions = compressions
        self._reader = Reader(limits, headers)
        self._incoming: Header | None = None
        self._known_classic = known_classic
        self._cautious = cautious
        self._waiting: deque[Call] = deque()
        self._blocked: dict[Call, None] = {}  # uploads that wait for room
        self._streams: dict[Call, None] = {}  # calls that stream and have not ended here
        self._repeats = limits.repeats
        self._asked_for: Call | None = None  # the call for whose sake the first request is a ping
        self._most_cancels = max(1, limits.control_frames * 9 // 20)
        self._cancels_left = self._most_cancels
        self._withheld: dict[Call, None] = {}  # calls whose cancellation has to wait
        self._upload_credit = CREDIT
        self._max_open = 1
        self._id = 0

    # -- what no caller asks ---------------------------------------------------------------------------------------

    def ping(self) -> None:
        """Ask for a sign of life. Whatever the server answers is one, also that too much is open."""
        if self.phase is Phase.MULTIPLEXED and self.takes_calls:
            self._ask_quietly(ping_call())

    def learn(self) -> None:
        """Ask which actions may be sent again; only where ``has_room``."""
        call = describe_call()
        call.on_end = self._learnt
        self._ask_quietly(call)

    def _ask_quietly(self, call: Call) -> None:
        call.quiet = True
        self._send(call)

    def _learnt(self, call: Call) -> None:
        if call.header is not None:
            self.idempotent.clear()
            self.idempotent.update(idempotent_in(call.body, self.limits.content_depth))

    # -- what arrives ----------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Bytes arrived."""
        if not self.ended:
            self._reader.feed(data)
            self._pump()

    def buffer(self) -> memoryview | None:
        """Where the next bytes belong, if large content is under way (then call ``filled``), else None."""
        return None if self.ended or self._incoming is None else self._reader.buffer()

    def filled(self, count: int) -> None:
        """So many bytes were received into ``buffer()``."""
        self._reader.filled(count)
        self._pump()

    def end_of_stream(self, how: str = "closed the connection") -> None:
        """The server sends no more; ``how`` says in words what it did."""
        sentence = f"the server at {self.address} {how}"
        if self.answered or self.phase is Phase.MULTIPLEXED:
            self.lost(ConnectionLost(sentence, address=self.address))
        else:
            self.lost(NoReply(f"{sentence} without a reply", address=self.address))

    def _pump(self) -> None:
        reader = self._reader
        while not self.ended:
            header = self._incoming
            if header is None:
                try:
                    header = reader.read_header()
                except BadFrame as error:
                    self._foreign(error)
                    return
                if header is None:
                    break
                fault = header.shape.fault
                if fault is not None:
                    reader.skip_content()
                    self._faulty(header, fault.error())
                    continue
                self._incoming = header
            content = reader.read_content()
            if content is None:
                break
            self._incoming = None
            self._take(header, content)
        if self._waiting and self.phase is Phase.MULTIPLEXED:
            self._send_waiting()
        if self.leaving and not self.open:
            self.lost(ConnectionLost(f"the server at {self.address} is going away", address=self.address))

    def _take(self, header: Header, content: bytes) -> None:
        """A whole frame came."""
        meaning: Meaning = header.shape.meaning or from_server(header.shape)
        if self.phase is not Phase.MULTIPLEXED:
            self._take_first(header, meaning, content)
            return
        call = self.open.get(header.id) if header.id else None
        if call is not None and meaning.kind is Kind.REPLY and meaning.fault is None and meaning.compression is None:
            self._take_reply(call, header, content, meaning)  # by far the most frequent move
            return
        if header.id is None:
            standing = Standing.NONE
        elif call is not None:
            standing = Standing.OPEN
        else:
            standing = Standing.PAST if 0 < header.id <= self._id else Standing.NEW
        try:
            if meaning.fault is not None:
                raise meaning.fault.error()
            todo = move(AT_CLIENT, standing, meaning.kind)
            if meaning.compression is not None and meaning.compression not in self._compressions:
                raise unlisted()
        except BadHeader as error:
            self._broken(error)
            return
        if todo is Move.HELLO:
            self._take_hello(meaning)
        elif call is not None and todo is Move.REPLY:
            self._take_reply(call, header, content, meaning)
        elif call is not None and todo is Move.CREDIT:
            self._take_credit(call, meaning.credit)
        elif todo is Move.CLOSING:
            self._take_closing(meaning.closing)
        elif todo is Move.FAIL:
            refused = reply_error(header, content, meaning, self.limits)
            self._fail_open(refused)
            self.lost(ConnectionLost(f"the server closed the connection: {refused}", address=self.address))

    def _take_first(self, header: Header, meaning: Meaning, content: bytes) -> None:
        if meaning.kind is Kind.HELLO and header.id in self.open and meaning.fault is None:
            self.phase = Phase.MULTIPLEXED
            self._take_hello(meaning)
            for call in self.open.values():
                if call.done:  # superseded while nothing more could be sent
                    self._ask_to_stop(call)
            return
        if meaning.kind is Kind.CLOSING and meaning.fault is None:
            self._take_closing(meaning.closing)  # it goes away before it has read a word
            return
        if meaning.status is not None and header.id is None:
            refused = reply_error(header, content, meaning, self.limits)
            sentence = f"the server at {self.address} refused the connection: {refused}"
            facts = {name: value for name, value in refused.facts.items() if name not in ("status", "address")}
            self.lost(Rejected(sentence, status=refused.code, address=self.address, **facts))
            return
        fields = header.shape.fields
        if header.id is not None or fields.get("status", False) is not False or self.phase is Phase.FRESH:
            self._broken(BadHeader("the first frame is neither a hello nor a classic reply"))
            return
        self.answered = True
        self._end_here(Phase.CLASSIC)
        for call in self.open.values():
            if call.error is None:
                call.end(header, content)
                self.events.append(call)
        self.open.clear()
        self._hand_back(Why.CLASSIC)

    def _take_hello(self, meaning: Meaning) -> None:
        self._max_open = meaning.max_open
        self._upload_credit = meaning.credit or self._upload_credit
        self.readable = meaning.accept_compression

    def _take_closing(self, highest: int) -> None:
        """The server goes away: what is above ``highest`` never runs there."""
        self.leaving = True
        error = Unavailable(f"the server at {self.address} is going away", address=self.address)
        above = [call for id, call in self.open.items() if id > highest]
        self._send_again([call for call in above if may_go_elsewhere(call)], Why.LEAVING, error)
        for call in above:
            if self.open.pop(call.id, None) is not None:
                self._streams.pop(call, None)
                if not call.done:
                    self._fail(call, error)
        self._hand_back(Why.UNWRITTEN)

    def _take_credit(self, call: Call, credit: int) -> None:
        if call.outgoing is None or call.done:
            return
        try:
            call.outgoing.add(credit)
        except BadHeader as error:
            self._give_up(call, error)
        else:
            self._unblock(call)

    def _take_reply(self, call: Call, header: Header, content: bytes, meaning: Meaning) -> None:
        """An item of the call's result, or its last frame."""
        self.answered = True
        if meaning.more and meaning.status is None:
            self._take_item(call, header, content)
            return
        if meaning.status == "unavailable" and may_go_elsewhere(call) and call.repeats < self._repeats:
            self._send_again([call], Why.UNAVAILABLE, reply_error(header, content, meaning, self.limits))
            return
        if meaning.status == "cancelled" and self.leaving and may_repeat_cut_off(call, self.idempotent, self._repeats):
            self._send_again([call], Why.LOST, reply_error(header, content, meaning, self.limits))
            return
        self._closed(call)
        if call.asks.timing:
            call.timing = header.shape.fields.get("timing")
        if call.error is None:  # else its caller was told already
            if meaning.status is not None:
                call.fail(reply_error(header, content, meaning, self.limits))
            elif (meaning.more is False) is call.streams or call.either:
                call.end(header, content)
            else:
                call.error = not_as_asked(call)
            self.events.append(call)
        if meaning.status in _CLOSING or (meaning.status == "too-large" and len(call.content) >= _SKIPPED):
            self.lost(
                ConnectionLost(f"the server closed the connection after {meaning.status!r}", address=self.address)
            )

    def _take_item(self, call: Call, header: Header, content: bytes) -> None:
        incoming = call.incoming
        if call.done:
            return  # the caller was told that it ended: what still comes is for nobody
        if incoming is None:
            self._give_up(call, not_as_asked(call))
            return
        try:
            incoming.announce(header)
        except BadHeader as error:
            self._give_up(call, error)
            return
        # Credit bounds what is held, but for the one item of a stream that may overdraw it.
        most = self.limits.buffered_bytes
        if incoming.held + len(content) > CREDIT and self._held() + len(content) > most:
            self._give_up(call, TooMany("more items wait to be taken than this client may hold", limit=most))
        elif incoming.put((header, content)):
            self.events.append(Readable(call))

    def _held(self) -> int:
        """Bytes of items that wait to be taken."""
        return sum(call.incoming.held for call in self.open.values() if call.incoming is not None)

    def _faulty(self, header: Header, fault: Refused) -> None:
        """A frame whose content is not wanted. An over-large reply fails its own call; anything else is a breach."""
        meaning: Meaning = header.shape.meaning or from_server(header.shape)
        mine = header.id is None or (self.phase is Phase.MULTIPLEXED and 1 <= header.id <= self._id)
        if not isinstance(fault, TooLarge) or meaning.fault is not None or not mine:
            self._broken(fault)
            return
        if header.id is None:  # a classic reply, or what ends the connection
            self._fail_open(fault)
            self.lost(ConnectionLost("what the server said was too large to be read", address=self.address))
            return
        call = self.open.get(header.id)
        if call is not None:
            last = meaning.more is not True or meaning.status is not None
            if last:
                self._closed(call)
            if not call.done:  # else its caller was told already
                self._fail(call, fault) if last else self._give_up(call, fault)
        if header.shape.length >= self.limits.skip_bytes:
            self.lost(ConnectionLost("a reply was too large to be read past", address=self.address))

    def _foreign(self, error: BadFrame) -> None:
        name = error.facts.get("protocol")
        what = f"{name} came back" if name else "what came back is no frame"
        sentence = f"{self.address} does not speak Letterhead: {what} ({error})"
        self.lost(ForeignProtocol(sentence, address=self.address, received=error.facts.get("received", "")))

    def _broken(self, error: LetterheadError) -> None:
        sentence = f"the server at {self.address} broke the protocol: {error}"
        self.lost(ForeignProtocol(sentence, address=self.address, received=""))

    @property
    def takes_calls(self) -> bool:
        """Whether ``submit`` may be called: not after the end or before it, nor when the ids are used up."""
        return not self.ended and not self.leaving and self._id < MAX_ID

    @property
    def has_room(self) -> bool:
        """Whether a further call would be written at once."""
        vacant = len(self.open) < self._max_open and not self._waiting
        return self.phase is Phase.MULTIPLEXED and vacant and self.takes_calls

    @property
    def load(self) -> int:
        """How many calls are open or wait."""
        return len(self.open) + len(self._waiting)

    @property
    def busy(self) -> bool:
        """Whether something is open or waits."""
        return bool(self.open or self._waiting)

    @property
    def streaming(self) -> bool:
        """Whether a stream is open or waits to be: bytes may come that nobody waits for."""
        return bool(self._streams)

    @property
    def withholds(self) -> bool:
        """Whether cancellations wait: whoever sees it calls ``tick``, now and when they are due."""
        return bool(self._withheld)

    def tick(self, now: float) -> None:
        """Time has passed: cancellations that were withheld may go."""
        if not self._withheld or now < self.due:
            return
        self.due = now + self.limits.control_seconds
        self._cancels_left = self._most_cancels
        withheld, self._withheld = self._withheld, {}
        for call in withheld:
            self._ask_to_stop(call)

    def submit(self, call: Call) -> None:
        """Send a call, or keep it until it may be sent.

        Raises:
            UsageError: this connection has ended, or is about to.
        """
        if self.ended or self.leaving:
            raise UsageError("this connection has ended")
        if call.supersedes is not None:
            self._supersede(call, call.supersedes)
        if call.streams or call.outgoing is not None:
            self._streams[call] = None
            if call.outgoing is not None:
                self._blocked[call] = None  # there will be room once it is written
        if self.phase is Phase.MULTIPLEXED:
            if len(self.open) < self._max_open and not self._waiting:
                self._send(call)
            else:
                self._waiting.append(call)
        elif self.phase is Phase.FRESH:
            self._send_first(call)
        else:
            self._waiting.append(call)

    def cancel(self, call: Call, *, late: bool = False) -> None:
        """The caller does not wait any longer. Its slot stays taken until the server's last frame has come.

        Args:
            late: its time is over. If that was sent along, the server knows, and is not told again: a client may send
                only so many control frames (limits.md).
        """
        if call in self._waiting:
            self._unwait(call)
        elif self.open.get(call.id) is call:
            self._blocked.pop(call, None)
            if self.phase is Phase.MULTIPLEXED:
                if not late or call.deadline is None:
                    self._ask_to_stop(call)
            else:
                # Nothing may follow the first request: giving up on it means giving up the connection.
                self.forsaken, self.late = not late, late
                why = "nothing came back in time" if late else "the first request was given up"
                self.lost(ConnectionLost(f"the connection to {self.address} was closed: {why}", address=self.address))

    def lost(self, error: ConnectionFailed) -> None:
        """The connection has ended: what was written fails with ``error``; what may be sent again is handed back."""
        if self.ended:
            return
        self._end_here(Phase.ENDED)
        self.why = error
        self.out.clear()
        again = [call for call in self.open.values() if may_repeat_lost(call, error, self.idempotent, self._repeats)]
        self._send_again(again, Why.LOST, error)
        self._fail_open(error)
        asked_for = self._asked_for
        if asked_for is not None and asked_for in self._waiting and is_final(error):
            self._waiting.remove(asked_for)  # what was asked for its sake has its answer: there is nothing to wait for
            self._fail(asked_for, error)
        self._hand_back(Why.UNWRITTEN)

    # -- streams ---------------------------------------------------------------------------------------------------

    def may_send(self, call: Call) -> bool:
        """Whether an item of its upload may be sent now; if not, and it is not done, a ``Writable`` event says when."""
        outgoing = call.outgoing
        if outgoing is None or outgoing.ended or call.done:
            return False
        if outgoing.credit > 0 and not self.congested:
            return True
        self._blocked[call] = None
        return False

    def send_item(self, call: Call, item: Encoded) -> int:
        """Send an item of an upload; how many bytes that took. Only where ``may_send`` said yes.

        Raises:
            UsageError: a header field of its own cannot be sent.
        """
        outgoing = call.outgoing
        if outgoing is None or self.open.get(call.id) is not call:
            return 0
        first, content = frames.item(item, call.id)
        cost = len(first) + len(content)
        outgoing.credit -= cost
        outgoing.begun = True
        self._put(first, content)
        return cost

    def end_upload(self, call: Call) -> None:
        """No more items will come."""
        outgoing = call.outgoing
        if outgoing is not None and not outgoing.ended and self.open.get(call.id) is call and not call.done:
            outgoing.ended = outgoing.begun = True
            self._blocked.pop(call, None)
            self.out.append(frames.end_of_stream(call.id))

    def take(self, call: Call) -> Item | None:
        """The next item of a result; None where none is there: ``call.done``, or a ``Readable`` event follows."""
        incoming = call.incoming
        if incoming is None:
            return None
        item = incoming.take()
        if incoming.due:
            self.give_back(call)
        return item

    def give_back(self, call: Call) -> None:
        """Send the credit that is due for what was taken of a result, also by whoever took it from there directly."""
        given = 0 if call.incoming is None or call.done else call.incoming.owed()
        if given:
            self.out.append(frames.credit(given, call.id))

    def relieved(self) -> None:
        """The pipe takes bytes again."""
        self.congested = False
        for call in list(self._blocked):
            self._unblock(call)

    def _unblock(self, call: Call) -> None:
        """Tell whoever waits for room that it is there. Credit that only makes up for a large item is none."""
        if call in self._blocked and not self.congested and call.outgoing and call.outgoing.credit > 0:
            del self._blocked[call]
            self.events.append(Writable(call))

    # -- what is sent ----------------------------------------------------------------------------------------------

    def _supersede(self, call: Call, earlier: Call) -> None:
        """Tell the caller of the earlier call; its slot stays until the server's last frame, as with ``cancel``."""
        if earlier in self._waiting:
            self._unwait(earlier)
            call.supersedes = None
        elif earlier.done or self.open.get(earlier.id) is not earlier:
            call.supersedes = None
            return
        elif self.phase is not Phase.MULTIPLEXED:
            call.supersedes = None  # the server is told once it is known
        elif self._waiting or len(self.open) >= self._max_open:
            call.supersedes = None  # there is no slot for the new one, whose header would have said it
            self._ask_to_stop(earlier)
        self._fail(earlier, superseded())
        if earlier.incoming is not None:
            earlier.incoming.drop()

    def _send_first(self, call: Call) -> None:
        self.phase = Phase.PROBING
        self.asked = True
        if self._known_classic and call.action is None:
            if not call.raw:
                self._end_here(Phase.ENDED)
                self._fail(call, classic_cannot(self.address, streams=call.streams or call.outgoing is not None))
                return
            # The frame as it is, without id: a classic server sees a classic client, and so does any other.
            self.open[0] = call
            self._write(call.prefix, call.content, None)
            return
        first = call
        if call.action is None or self._cautious:
            self._asked_for = call
            self._waiting.append(call)
            first = ping_call()
            first.quiet = True
        self._id = first.id = 1
        first.wrapped = True
        self.open[1] = first
        self._write(first_prefix(first.deadline, first.asks), first.first, 1)

    def _send(self, call: Call) -> None:
        self._id += 1
        call.id = self._id
        self.open[call.id] = call
        prefix, content = call.prefix, call.content
        if call.packed is not None and call.packed.compression in self.readable:
            prefix = with_field(prefix, "compression", call.packed.compression)
            content = call.packed.content
        earlier, call.supersedes = call.supersedes, None
        if earlier is not None and self.open.get(earlier.id) is earlier and self._may_cancel(earlier):
            prefix = with_field(prefix, "supersedes", earlier.id)
        self._write(prefix, content, call.id)
        if call.outgoing is not None:
            call.outgoing.credit = self._upload_credit
            self._unblock(call)

    def _write(self, prefix: bytes, content: Buffer, id: int | None) -> None:
        self._put(head(prefix, len(content), id), content)

    def _put(self, first: bytes, content: Buffer) -> None:
        if len(content) > JOINED:
            self.out.append(first)
            self.out.append(content)
        else:
            self.out.append(first + content)

    def _send_waiting(self) -> None:
        while self._waiting and len(self.open) < self._max_open and self._id < MAX_ID:
            self._send(self._waiting.popleft())

    def _fail(self, call: Call, error: LetterheadError) -> None:
        call.fail(error)
        self._blocked.pop(call, None)
        self.events.append(call)

    def _give_up(self, call: Call, error: LetterheadError) -> None:
        """What the server sends cannot be taken: the caller is told, the server asked to stop."""
        self._fail(call, error)
        self._ask_to_stop(call)

    def _ask_to_stop(self, call: Call) -> None:
        if self._may_cancel(call):
            self.out.append(frames.cancel(call.id))

    def _may_cancel(self, call: Call) -> bool:
        """Whether its cancellation may go now; else it is withheld."""
        if self._cancels_left > 0:
            self._cancels_left -= 1
            return True
        self._withheld[call] = None
        return False

    def _unwait(self, call: Call) -> None:
        self._waiting.remove(call)
        self._blocked.pop(call, None)
        self._streams.pop(call, None)

    def _closed(self, call: Call) -> None:
        """Its last frame came: the slot is free."""
        del self.open[call.id]
        if self._withheld:
            self._withheld.pop(call, None)
        if self._streams:
            self._blocked.pop(call, None)
            self._streams.pop(call, None)

    def _end_here(self, phase: Phase) -> None:
        self.phase = phase
        self.ended = True
        self.open_at_end = len(self.open)
        self._blocked.clear()
        self._streams.clear()
        self._withheld.clear()
        self._incoming = None
        self._reader.close()

    def _fail_open(self, error: LetterheadError) -> None:
        for call in self.open.values():
            if call.error is None:  # else its caller has heard
                self._fail(call, error)
        self.open.clear()

    def _hand_back(self, why: Why) -> None:
        if self._waiting:
            self.events.append(Elsewhere(list(self._waiting), why))
            self._waiting.clear()

    def _send_again(self, calls: list[Call], why: Why, error: Refused | ConnectionFailed) -> None:
        """Hand back calls that were written: they may be sent again."""
        for call in calls:
            del self.open[call.id]
            self._blocked.pop(call, None)
            self._streams.pop(call, None)
            self._withheld.pop(call, None)
            if why is not Why.LEAVING:
                call.repeats += 1
            call.refused = error
            call.renew()
        if calls:
            self.events.append(Elsewhere(calls, why, error))

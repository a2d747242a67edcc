"""``ClientProtocol``: the client's side of one connection, without I/O.

``submit`` an ``Exchange``, take ``out`` and send it, give what arrives to ``receive``, and take the ``events``.

What the server is, is unknown until its first frame is back (protocol section 2): the first request is sent in the one
form that classic and Letterhead servers both understand, and every other exchange waits. Then either the server
multiplexes and all exchanges share this connection, or it is classic and this connection served its one request.

The rules:

* An exchange that is written has a slot until the server's last frame for it has come, whether or not anybody waits.
* What was not written when the connection ends, or the server leaves, is ``Returned``: it may go to another connection
  as it is. What was written and is not answered comes with ``Closed``; whether it may be sent again is not known here.
* Items of an upload go out while its window is open and the pipe takes bytes (``may_send``); whoever finds that they
  may not hears of it with a ``Writable`` event. Once the exchange is done or abandoned nothing more is sent for it.
* Once the server says that it is leaving, nothing new goes out. What is open goes on; with the end of that the
  connection has ended.
* A server closes a connection on which too many control frames come (section 5). So only so many cancellations go out
  until ``tick`` allows for more; the others are withheld, their slots taken. Between two renewals lies the whole of the
  server's window: it never sees more than twice what is allowed for.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar, Generic, TypeVar

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
from letterhead.protocol.events import (
    ClientEvent,
    Closed,
    ConnectionEnd,
    EndReason,
    Multiplexed,
    Readable,
    Returned,
    ReturnReason,
    Writable,
)
from letterhead.protocol.exchange import NOTHING, Asks, Exchange, Opening, reply_error
from letterhead.protocol.fields import Kind, Meaning, from_server, unlisted
from letterhead.protocol.flow import CREDIT, Item
from letterhead.protocol.frames import JOINED, JSON
from letterhead.protocol.states import AT_CLIENT, IdState, Move, Phase, move
from letterhead.wire.header import MAX_ID, Header, Headers
from letterhead.wire.reader import Reader
from letterhead.wire.writer import head, head_prefix, with_field

PING = "letterhead.ping"
_SKIPPED = 1 << 20
_CLOSING = frozenset({"unauthenticated", "timeout"})
"""Errors after which the server closes (section 5), as after ``too-large`` from ``_SKIPPED`` bytes on: further calls
go to another connection at once, rather than being lost on this one."""

O = TypeVar("O")  # noqa: E741  # the owner of an exchange


def _ping() -> Opening:
    return Opening(head_prefix(JSON, "utf-8", {"action": PING}), b"{}", b'"letterhead.ping"', NOTHING, PING)


class ClientProtocol(Generic[O]):
    """The conversation of one connection, at the client.

    Args:
        limits: bounds on what the server may send.
        address: the server's, for messages.
        headers: the memory that a client's connections share.
        known_classic: the server was classic when last seen.
        compressions: those that this client reads, and told the server of.
        cautious: the server failed to answer: the first request is a ping, so that no call is lost if it fails again.

    Attributes:
        phase: what is known about the server.
        leaving: the server said that it is leaving: nothing can be submitted any more.
        answered: a reply was delivered here: the server was there and spoke.
        end: how the connection ended; None while it has not.
        events: what happened; whoever holds the protocol takes them after each call and empties the list.
        out: bytes to send; whoever holds the protocol takes them and empties the list.
        open: exchanges that were written and whose last frame has not come.
        paused: the pipe holds as many unsent bytes as it should; whoever holds the protocol says so here, and calls
            ``resume_writing`` after.
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
        cautious: bool = False,
    ) -> None:
        self.limits = limits
        self.address = address
        self.phase = Phase.FRESH
        self.leaving = False
        self.answered = False
        self.end: ConnectionEnd | None = None
        self.events: list[ClientEvent[O]] = []
        self.out: list[Buffer] = []
        self.open: dict[int, Exchange[O]] = {}
        self.paused = False
        self.readable: tuple[str, ...] = ()
        self.due = float("-inf")
        self._asked = False
        self._compressions = compressions
        self._reader = Reader(limits, headers)
        self._incoming: Header | None = None
        self._known_classic = known_classic
        self._cautious = cautious
        self._waiting: OrderedDict[Exchange[O], None] = OrderedDict()
        self._blocked: dict[Exchange[O], None] = {}  # uploads that wait until they may send
        self._streams: dict[Exchange[O], None] = {}  # those that stream and have not ended here
        self._most_cancels = max(1, limits.control_frames * 9 // 20)
        self._cancels_left = self._most_cancels
        self._withheld: dict[Exchange[O], None] = {}  # those whose cancellation has to wait
        self._upload_credit = CREDIT
        self._max_open = 1
        self._id = 0

    @property
    def ended(self) -> bool:
        """Whether nothing can be submitted any more, and nothing that arrives is read."""
        return self.end is not None

    @property
    def takes_calls(self) -> bool:
        """Whether ``submit`` may be called: not after the end or before it, nor when the ids are used up."""
        return self.end is None and not self.leaving and self._id < MAX_ID

    @property
    def has_slot(self) -> bool:
        """Whether a further exchange would be written at once."""
        vacant = len(self.open) < self._max_open and not self._waiting
        return self.phase is Phase.MULTIPLEXED and vacant and self.takes_calls

    @property
    def load(self) -> int:
        """How many exchanges are open or wait."""
        return len(self.open) + len(self._waiting)

    @property
    def pinged(self) -> bool:
        """Whether the first request was a ping, which every server answers soon, and nothing has come back."""
        return self.phase is Phase.PROBING and all(exchange.owner is None for exchange in self.open.values())

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for an exchange that is open or waits."""
        return any(e.owner is not None and not (e.done or e.abandoned) for e in (*self.open.values(), *self._waiting))

    @property
    def streaming(self) -> bool:
        """Whether a stream is open or waits to be: bytes may come that nobody waits for."""
        return bool(self._streams)

    @property
    def withholds(self) -> bool:
        """Whether cancellations wait: ``tick`` is to be called when they are ``due``."""
        return bool(self._withheld)

    def tick(self, now: float) -> None:
        """Time has passed: cancellations that were withheld may go."""
        if not self._withheld or now < self.due:
            return
        self.due = now + self.limits.control_seconds
        self._cancels_left = self._most_cancels
        withheld, self._withheld = self._withheld, {}
        for exchange in withheld:
            self._ask_to_stop(exchange)

    # -- what is asked ---------------------------------------------------------------------------------------------

    def submit(self, exchange: Exchange[O], supersedes: Exchange[O] | None = None) -> None:
        """Send what is asked, or keep it until it may be sent.

        Args:
            exchange: a new one.
            supersedes: one that was submitted here and whose place it takes: that is abandoned.

        Raises:
            UsageError: this connection has ended, or is about to.
        """
        if not self.takes_calls:
            raise UsageError("this connection has ended")
        if supersedes is not None and not self._displaced_by_header(supersedes):
            supersedes = None
        if exchange.incoming is not None or exchange.outgoing is not None:
            self._streams[exchange] = None
            if exchange.outgoing is not None:
                self._blocked[exchange] = None  # it may send once it is written
        if self.phase is Phase.MULTIPLEXED:
            if len(self.open) < self._max_open and not self._waiting:
                self._send(exchange, supersedes)
            else:
                self._waiting[exchange] = None
        elif self.phase is Phase.FRESH:
            self._send_first(exchange)
        else:
            self._waiting[exchange] = None

    def cancel(self, exchange: Exchange[O], *, late: bool = False) -> None:
        """Nobody waits for an exchange any longer. Its slot stays taken until the server's last frame has come.

        Args:
            exchange: one that was submitted here.
            late: its time is over. If that was sent along at once, the server knows, and is not told again: a client
                may send only so many control frames (limits.md).
        """
        exchange.abandoned = True
        if exchange.incoming is not None:
            exchange.incoming.drop()
        if self.open.get(exchange.id) is exchange:  # a classic server's has no id
            self._blocked.pop(exchange, None)
            if self.phase is Phase.MULTIPLEXED:
                if not late or exchange.deadline is None or exchange.waited:
                    self._ask_to_stop(exchange)
            else:
                # Nothing may follow the first request: giving up on it means giving up the connection.
                why = "nothing came back in time" if late else "the first request was given up"
                error = ConnectionLost(f"the connection to {self.address} was closed: {why}", address=self.address)
                self._finish(EndReason.LATE if late else EndReason.ABANDONED, error)
        elif not exchange.id:
            self._unwait(exchange)

    def ping(self) -> None:
        """Ask for a sign of life. Whatever the server answers is one, also that too much is open."""
        if self.phase is Phase.MULTIPLEXED and self.takes_calls:
            self._send(Exchange(_PING))

    def _displaced_by_header(self, earlier: Exchange[O]) -> bool:
        """Abandon an exchange whose place another one takes; whether that one's header is to say so."""
        if earlier.abandoned:
            return False
        at_once = self.phase is Phase.MULTIPLEXED and len(self.open) < self._max_open and not self._waiting
        if at_once and not earlier.done and self.open.get(earlier.id) is earlier and self._may_cancel(earlier):
            earlier.abandoned = True
            if earlier.incoming is not None:
                earlier.incoming.drop()
            self._blocked.pop(earlier, None)
            return True
        if self.phase is Phase.PROBING and self.open.get(earlier.id) is earlier:
            earlier.abandoned = True  # the server is told once it is known
        else:
            self.cancel(earlier)
        return False

    def _send_first(self, exchange: Exchange[O]) -> None:
        opening = exchange.opening
        if self._known_classic and opening.action is None:
            if not opening.raw:
                self._streams.pop(exchange, None)
                self._blocked.pop(exchange, None)
                exchange.fail(_classic_cannot(self.address, opening))
                self.events.append(exchange)
                self._finish(EndReason.HERE, ConnectionLost("nothing could be asked", address=self.address))
                return
            # The frame as it is, without id: a classic server sees a classic client, and so does any other.
            self._begin_probing(exchange, 0)
            self._put(head(_with_deadline(opening.prefix, exchange.deadline), len(opening.content)), opening.content)
            return
        first = exchange
        if opening.action is None or self._cautious:
            self._waiting[exchange] = None
            first = Exchange(_PING)
        self._id = first.id = 1
        first.wrapped = True
        self._begin_probing(first, 1)
        content = first.opening.classic_content
        prefix = _with_deadline(_first_prefix(first.opening.asks), first.deadline)
        self._put(head(prefix, len(content), 1), content)

    def _begin_probing(self, first: Exchange[O], id: int) -> None:
        self.phase = Phase.PROBING
        self._asked = True
        self.open[id] = first

    def _send(self, exchange: Exchange[O], supersedes: Exchange[O] | None = None) -> None:
        opening = exchange.opening
        self._id += 1
        exchange.id = self._id
        self.open[exchange.id] = exchange
        prefix, content = opening.prefix, opening.content
        if exchange.deadline is not None:
            prefix = _with_deadline(prefix, exchange.deadline)
        packed = opening.packed
        if packed is not None and packed.compression in self.readable:
            prefix = with_field(prefix, "compression", packed.compression)
            content = packed.content
        if supersedes is not None:
            prefix = with_field(prefix, "supersedes", supersedes.id)
        self._put(head(prefix, len(content), exchange.id), content)
        if exchange.outgoing is not None:
            exchange.outgoing.credit = self._upload_credit
            self._unblock(exchange)

    def _put(self, first: bytes, content: Buffer) -> None:
        if len(content) > JOINED:
            self.out.append(first)
            self.out.append(content)
        else:
            self.out.append(first + content)

    def _send_waiting(self) -> None:
        while self._waiting and len(self.open) < self._max_open and self._id < MAX_ID:
            exchange, _ = self._waiting.popitem(last=False)
            exchange.waited = True
            self._send(exchange)

    def _give_up(self, exchange: Exchange[O], error: LetterheadError) -> None:
        """What the server sends cannot be taken: it ends here, and the server is asked to stop."""
        self._fail(exchange, error)
        self._ask_to_stop(exchange)

    def _ask_to_stop(self, exchange: Exchange[O]) -> None:
        if self._may_cancel(exchange):
            self.out.append(frames.control("cancel", True, exchange.id))

    def _may_cancel(self, exchange: Exchange[O]) -> bool:
        """Whether its cancellation may go now; else it is withheld."""
        if self._cancels_left > 0:
            self._cancels_left -= 1
            return True
        self._withheld[exchange] = None
        return False

    def _unwait(self, exchange: Exchange[O]) -> None:
        self._waiting.pop(exchange, None)
        self._blocked.pop(exchange, None)
        self._streams.pop(exchange, None)

    # -- streams ---------------------------------------------------------------------------------------------------

    def may_send(self, exchange: Exchange[O]) -> bool:
        """Whether an item of its upload may be sent now; if not, and it goes on, a ``Writable`` event says when."""
        outgoing = exchange.outgoing
        if outgoing is None or outgoing.ended or exchange.done or exchange.abandoned:
            return False
        if exchange.id and self.open.get(exchange.id) is not exchange:  # it was handed back
            return False
        if outgoing.credit > 0 and not self.paused:
            return True
        self._blocked[exchange] = None
        return False

    def send_item(self, exchange: Exchange[O], item: Encoded) -> int:
        """Send an item of an upload; how many bytes that took. Only where ``may_send`` said yes.

        Raises:
            UsageError: a header field of its own cannot be sent.
        """
        outgoing = exchange.outgoing
        if outgoing is None or self.open.get(exchange.id) is not exchange:
            return 0
        first, content = frames.item(item, exchange.id)
        cost = len(first) + len(content)
        outgoing.credit -= cost
        outgoing.begun = True
        self._put(first, content)
        return cost

    def end_upload(self, exchange: Exchange[O]) -> None:
        """No more items will come."""
        outgoing = exchange.outgoing
        goes_on = self.open.get(exchange.id) is exchange and not (exchange.done or exchange.abandoned)
        if outgoing is not None and not outgoing.ended and goes_on:
            outgoing.ended = outgoing.begun = True
            self._blocked.pop(exchange, None)
            self.out.append(frames.end_of_stream(exchange.id))

    def take(self, exchange: Exchange[O]) -> Item | None:
        """The next item of a result; None where none is there: it is done, or a ``Readable`` event follows."""
        incoming = exchange.incoming
        if incoming is None:
            return None
        item = incoming.take()
        if incoming.due:
            self.give_back(exchange)
        return item

    def give_back(self, exchange: Exchange[O]) -> None:
        """Send the credit that is due for what was taken of a result, also by whoever took it from there directly."""
        over = exchange.incoming is None or exchange.done or exchange.abandoned or self.end is not None
        given = 0 if over or exchange.incoming is None else exchange.incoming.owed()
        if given:
            self.out.append(frames.control("credit", given, exchange.id))

    def resume_writing(self) -> None:
        """The pipe takes bytes again."""
        self.paused = False
        for exchange in list(self._blocked):
            self._unblock(exchange)

    def _unblock(self, exchange: Exchange[O]) -> None:
        """Tell whoever waits to send that it may. Credit that only makes up for a large item opens no window."""
        if exchange in self._blocked and not self.paused and exchange.outgoing and exchange.outgoing.credit > 0:
            del self._blocked[exchange]
            self.events.append(Writable(exchange))

    # -- what arrives ----------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Bytes arrived."""
        if self.end is None:
            self._reader.feed(data)
            self._pump()

    def buffer(self) -> memoryview | None:
        """Where the next bytes belong, if large content is under way (then call ``filled``), else None."""
        return None if self.end is not None or self._incoming is None else self._reader.buffer()

    def filled(self, count: int) -> None:
        """So many bytes were received into ``buffer()``."""
        if self.end is None:
            self._reader.filled(count)
            self._pump()

    def end_of_stream(self, how: str = "closed the connection") -> None:
        """The server sends no more; ``how`` says in words what it did."""
        sentence = f"the server at {self.address} {how}"
        if self.answered or self.phase is Phase.MULTIPLEXED:
            self._finish(EndReason.CLOSED, ConnectionLost(sentence, address=self.address))
        else:
            self._finish(EndReason.CLOSED, NoReply(f"{sentence} without a reply", address=self.address))

    def close(self, error: ConnectionFailed) -> None:
        """This side ends the connection: what is open fails with ``error``."""
        self._finish(EndReason.HERE, error)

    def _pump(self) -> None:
        reader = self._reader
        while self.end is None:
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
            self._finish(EndReason.LEFT, self._gone())

    def _take(self, header: Header, content: bytes) -> None:
        """A whole frame came."""
        meaning: Meaning = header.shape.meaning or from_server(header.shape)
        if self.phase is not Phase.MULTIPLEXED:
            self._take_first(header, meaning, content)
            return
        exchange = self.open.get(header.id) if header.id else None
        if (
            exchange is not None
            and meaning.kind is Kind.REPLY
            and meaning.fault is None
            and meaning.compression is None
        ):
            self._take_reply(exchange, header, content, meaning)  # by far the most frequent move
            return
        if header.id is None:
            state = IdState.NONE
        elif exchange is not None:
            state = IdState.OPEN
        else:
            state = IdState.PAST if 0 < header.id <= self._id else IdState.NEW
        try:
            if meaning.fault is not None:
                raise meaning.fault.error()
            todo = move(AT_CLIENT, state, meaning.kind)
            if meaning.compression is not None and meaning.compression not in self._compressions:
                raise unlisted()
        except BadHeader as error:
            self._broken(error)
            return
        self._MOVES[todo](self, exchange, header, content, meaning)

    def _take_first(self, header: Header, meaning: Meaning, content: bytes) -> None:
        if meaning.kind is Kind.HELLO and header.id in self.open and meaning.fault is None:
            self.phase = Phase.MULTIPLEXED
            self.events.append(Multiplexed())
            self._take_hello(None, header, content, meaning)
            for exchange in self.open.values():
                if exchange.abandoned:  # its place was taken while nothing more could be sent
                    self._ask_to_stop(exchange)
            return
        if meaning.kind is Kind.CLOSING and meaning.fault is None:
            self._take_closing(None, header, content, meaning)  # it leaves before it has read a word
            return
        if meaning.status is not None and header.id is None:
            refused = reply_error(header, content, meaning, self.limits)
            sentence = f"the server at {self.address} refused the connection: {refused}"
            facts = {name: value for name, value in refused.facts.items() if name not in ("status", "address")}
            rejected = Rejected(sentence, status=refused.code, address=self.address, **facts)
            self._finish(EndReason.BREACH, rejected)
            return
        fields = header.shape.fields
        if header.id is not None or fields.get("status", False) is not False or self.phase is Phase.FRESH:
            self._broken(BadHeader("the first frame is neither a hello nor a classic reply"))
            return
        self.answered = True
        for exchange in self.open.values():
            if not exchange.abandoned:
                exchange.end(header, content)
                self.events.append(exchange)
        self.open.clear()
        self.phase = Phase.CLASSIC
        error = ConnectionLost(f"the server at {self.address} is a classic one: it answers once", address=self.address)
        self._finish(EndReason.ANSWERED, error)

    def _take_hello(self, exchange: Exchange[O] | None, header: Header, content: bytes, meaning: Meaning) -> None:
        self._max_open = meaning.max_open
        self._upload_credit = meaning.credit or self._upload_credit
        self.readable = meaning.accept_compression

    def _take_closing(self, exchange: Exchange[O] | None, header: Header, content: bytes, meaning: Meaning) -> None:
        """The server is leaving: what is above the id that it names never runs there."""
        self.leaving = True
        above = [one for id, one in self.open.items() if id > meaning.closing]
        for one in above:
            self._forget(one)
        written = [one for one in above if not one.abandoned and one.owner is not None]
        for one in written:
            if one.begun:  # part of a stream has passed: it cannot go anywhere else
                self._fail(one, Unavailable(f"the server at {self.address} is going away", address=self.address))
        back = [one for one in written if not one.begun]
        if back:
            self.events.append(Returned(back, ReturnReason.LEAVING))
        self._hand_back(ReturnReason.ENDED)

    def _take_failure(self, exchange: Exchange[O] | None, header: Header, content: bytes, meaning: Meaning) -> None:
        """A connection error: everything that is open fails with it."""
        refused = reply_error(header, content, meaning, self.limits)
        self._fail_open(refused)
        error = ConnectionLost(f"the server closed the connection: {refused}", address=self.address)
        self._finish(EndReason.CLOSED, error)

    def _take_credit(self, exchange: Exchange[O] | None, header: Header, content: bytes, meaning: Meaning) -> None:
        if exchange is None or exchange.outgoing is None or exchange.done or exchange.abandoned:
            return
        try:
            exchange.outgoing.add(meaning.credit)
        except BadHeader as error:
            self._give_up(exchange, error)
        else:
            self._unblock(exchange)

    def _take_reply(self, exchange: Exchange[O] | None, header: Header, content: bytes, meaning: Meaning) -> None:
        """An item of an exchange's result, or its last frame."""
        if exchange is None:
            return
        self.answered = True
        if meaning.more and meaning.status is None:
            self._take_item(exchange, header, content)
            return
        self._forget(exchange)
        if not (exchange.abandoned or exchange.done):
            opening = exchange.opening
            if opening.asks.timing:
                exchange.timing = header.shape.fields.get("timing")
            if meaning.status is not None:
                exchange.fail(reply_error(header, content, meaning, self.limits))
            elif (meaning.more is False) is opening.streams or opening.either:
                exchange.end(header, content)
            else:
                exchange.error = _not_as_asked(opening)
            self.events.append(exchange)
        if meaning.status in _CLOSING or (meaning.status == "too-large" and len(exchange.opening.content) >= _SKIPPED):
            sentence = f"the server closed the connection after {meaning.status!r}"
            self._finish(EndReason.CLOSED, ConnectionLost(sentence, address=self.address))

    def _take_late(self, exchange: Exchange[O] | None, header: Header, content: bytes, meaning: Meaning) -> None:
        """What comes for an exchange that has ended is read past."""

    def _take_item(self, exchange: Exchange[O], header: Header, content: bytes) -> None:
        incoming = exchange.incoming
        if exchange.abandoned or exchange.done:
            return  # what still comes is for nobody
        if incoming is None:
            self._give_up(exchange, _not_as_asked(exchange.opening))
            return
        try:
            incoming.announce(header)
        except BadHeader as error:
            self._give_up(exchange, error)
            return
        # Credit bounds what is held, but for the one item of a stream that may overdraw it.
        most = self.limits.buffered_bytes
        if incoming.held + len(content) > CREDIT and self._held() + len(content) > most:
            self._give_up(exchange, TooMany("more items wait to be taken than this client may hold", limit=most))
        elif incoming.put((header, content)):
            self.events.append(Readable(exchange))

    def _held(self) -> int:
        """Bytes of items that wait to be taken."""
        return sum(one.incoming.held for one in self.open.values() if one.incoming is not None)

    def _faulty(self, header: Header, fault: Refused) -> None:
        """A frame whose content is not wanted. An over-large reply fails its exchange; anything else is a breach."""
        meaning: Meaning = header.shape.meaning or from_server(header.shape)
        mine = header.id is None or (self.phase is Phase.MULTIPLEXED and 1 <= header.id <= self._id)
        if not isinstance(fault, TooLarge) or meaning.fault is not None or not mine:
            self._broken(fault)
            return
        if header.id is None:  # a classic reply, or what ends the connection
            self._fail_open(fault)
            sentence = "what the server said was too large to be read"
            self._finish(EndReason.CLOSED, ConnectionLost(sentence, address=self.address))
            return
        exchange = self.open.get(header.id)
        if exchange is not None:
            last = meaning.more is not True or meaning.status is not None
            if last:
                self._forget(exchange)
            if not (exchange.done or exchange.abandoned):
                self._fail(exchange, fault) if last else self._give_up(exchange, fault)
        if header.shape.length >= self.limits.skip_bytes:
            sentence = "a reply was too large to be read past"
            self._finish(EndReason.CLOSED, ConnectionLost(sentence, address=self.address))

    def _foreign(self, error: BadFrame) -> None:
        name = error.facts.get("protocol")
        what = f"{name} came back" if name else "what came back is no frame"
        sentence = f"{self.address} does not speak Letterhead: {what} ({error})"
        received = error.facts.get("received", "")
        self._finish(EndReason.BREACH, ForeignProtocol(sentence, address=self.address, received=received))

    def _broken(self, error: LetterheadError) -> None:
        sentence = f"the server at {self.address} broke the protocol: {error}"
        self._finish(EndReason.BREACH, ForeignProtocol(sentence, address=self.address, received=""))

    # -- ends ------------------------------------------------------------------------------------------------------

    def _fail(self, exchange: Exchange[O], error: LetterheadError) -> None:
        exchange.fail(error)
        self._blocked.pop(exchange, None)
        if exchange.owner is not None:
            self.events.append(exchange)

    def _fail_open(self, error: LetterheadError) -> None:
        for exchange in self.open.values():
            if not (exchange.done or exchange.abandoned):
                self._fail(exchange, error)

    def _forget(self, exchange: Exchange[O]) -> None:
        """The last frame of an exchange came, or it will never run: its slot is free."""
        del self.open[exchange.id]
        if self._withheld:
            self._withheld.pop(exchange, None)
        if self._streams:
            self._blocked.pop(exchange, None)
            self._streams.pop(exchange, None)

    def _gone(self) -> ConnectionLost:
        return ConnectionLost(f"the server at {self.address} is going away", address=self.address)

    def _finish(self, reason: EndReason, error: ConnectionFailed) -> None:
        """The connection has ended; the first time counts."""
        if self.end is not None:
            return
        first = self.phase is Phase.PROBING
        self.end = ConnectionEnd(reason, error, self._asked, self.answered, self.leaving, len(self.open))
        if self.phase is not Phase.CLASSIC:
            self.phase = Phase.ENDED
            self.out.clear()
        unanswered = [e for e in self.open.values() if e.owner is not None and not (e.done or e.abandoned)]
        if first and _is_final(error) and self._waiting and all(e.owner is None for e in self.open.values()):
            unanswered.append(
                self._waiting.popitem(last=False)[0]
            )  # the ping was sent for its sake, and has its answer
        self.open.clear()
        self._blocked.clear()
        self._streams.clear()
        self._withheld.clear()
        self._incoming = None
        self._reader.close()
        self.events.append(Closed(self.end, unanswered))
        self._hand_back(ReturnReason.CLASSIC if self.phase is Phase.CLASSIC else ReturnReason.ENDED)

    def _hand_back(self, reason: ReturnReason) -> None:
        waiting, self._waiting = self._waiting, OrderedDict()
        for exchange in waiting:
            self._blocked.pop(exchange, None)
            self._streams.pop(exchange, None)
        if waiting:
            self.events.append(Returned(list(waiting), reason))

    _MOVES: ClassVar[dict[Move, Callable[..., None]]] = {
        Move.HELLO: _take_hello,
        Move.CLOSING: _take_closing,
        Move.FAIL: _take_failure,
        Move.REPLY: _take_reply,
        Move.CREDIT: _take_credit,
        Move.DROP: _take_late,
        Move.IGNORE: _take_late,
    }


_PING = _ping()


@lru_cache(maxsize=64)
def _first_prefix(asks: Asks) -> bytes:
    """The head's constant part of a request in classic form."""
    return head_prefix(JSON, "utf-8", asks.fields())


def _with_deadline(prefix: bytes, deadline: int | None) -> bytes:
    return prefix if deadline is None else with_field(prefix, "deadline", deadline)


def _is_final(error: ConnectionFailed) -> bool:
    """Whether it says what the server is, or wants, and not only that it is away."""
    if isinstance(error, Rejected):
        return error.facts.get("status") != "unavailable"
    return isinstance(error, ForeignProtocol)


def _not_as_asked(opening: Opening) -> UsageError:
    """Why a call failed whose answer is a stream where one result was wanted, or the other way round."""
    if opening.streams:
        return UsageError("the action answers with one result, not with a stream: use call")
    return UsageError("the action answers with a stream, not with one result: use stream")


def _classic_cannot(address: str, opening: Opening) -> ConnectionFailed:
    """Why a call that only a multiplexing server can take failed."""
    streams = opening.streams or opening.uploads
    why = "it knows no streams" if streams else "it takes JSON arguments only; send a Message instead"
    return ConnectionFailed(f"the server at {address} is a classic one: {why}", address=address)

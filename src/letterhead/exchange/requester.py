"""The client's side of one connection, without I/O.

``submit`` a ``Call``, take ``out`` and send it, give what arrives to ``receive``, and take the ``events``: calls that
have ended (``call.header`` and ``body``, or ``call.error``; once each, and not those whose callers gave up themselves),
those that must go elsewhere (``Elsewhere``), and what somebody waited for on a stream (``Items``, ``Room``).

What the server is, is unknown until its first frame is back (protocol section 2): the first request is sent in the one
form that classic and Letterhead servers both understand, and every other call waits. Then either the server multiplexes
and all calls share this connection, or it is classic and this connection served its one request.

A connection that ends fails the calls that were written, but for those that may be sent again; these are handed back
with those that were not. So is what the server will not run, since it goes away (``closing``) or says so
(``unavailable``).

Here stands what arrives; what is asked is the other half's (``asking.py``).
"""

from letterhead.errors import (
    BadFrame,
    BadHeader,
    ConnectionLost,
    ForeignProtocol,
    LetterheadError,
    NoReply,
    Refused,
    Rejected,
    TooLarge,
    TooMany,
    Unavailable,
)
from letterhead.exchange.asking import Asking
from letterhead.exchange.calls import Call, not_as_asked, reply_error
from letterhead.exchange.fields import Kind, Meaning, from_server, unlisted
from letterhead.exchange.openings import describe_call, ping_call
from letterhead.exchange.repeating import Why, idempotent_in, may_go_elsewhere, may_repeat_cut_off
from letterhead.exchange.states import AT_CLIENT, Move, Phase, Standing, move
from letterhead.exchange.streams import CREDIT, Items
from letterhead.limits import Limits
from letterhead.wire.header import Header, Headers
from letterhead.wire.reader import Reader

_SKIPPED = 1 << 20
_CLOSING = frozenset({"unauthenticated", "timeout"})
"""Errors after which the server closes (section 5), as after ``too-large`` from ``_SKIPPED`` bytes on: further calls
go to another connection at once, rather than being lost on this one."""


class Requester(Asking):
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
        answered: a reply was delivered here: the server was there and spoke.
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
        super().__init__(limits, address, known_classic, set() if idempotent is None else idempotent, cautious)
        self._compressions = compressions
        self._reader = Reader(limits, headers)
        self._incoming: Header | None = None
        self.answered = False

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

    def _end_here(self, phase: Phase) -> None:
        super()._end_here(phase)
        self._incoming = None
        self._reader.close()

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
                    self._faulty(header, fault)
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
                raise meaning.fault
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
            self.events.append(Items(call))

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

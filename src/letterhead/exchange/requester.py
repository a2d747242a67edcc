"""The client's side of one connection, without I/O.

``submit`` a ``Call``, take ``out`` and send it, give what arrives to ``receive``, and take the ``events``: calls that
have ended (``call.header`` and ``body``, or ``call.error``) and those that must go elsewhere (``Elsewhere``).

What the server is, is unknown until its first frame is back (protocol section 2): the first request is sent in the one
form that classic and Letterhead servers both understand, and every other call waits. Then either the server multiplexes
and all calls share this connection, or it is classic and this connection served its one request.

A connection that ends fails the calls that were written; those that were not are handed back, safe to send again.
"""

from collections import deque
from enum import Enum, auto

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
    UsageError,
)
from letterhead.exchange.calls import Call, classic_cannot, first_prefix, ping_call, reply_error
from letterhead.exchange.fields import Kind, Meaning, from_server
from letterhead.exchange.replies import JOINED
from letterhead.exchange.states import AT_CLIENT, Move, Standing, move
from letterhead.limits import Limits
from letterhead.message import Buffer
from letterhead.wire.header import MAX_ID, Header, Headers
from letterhead.wire.reader import Reader
from letterhead.wire.writer import head, head_prefix

_SKIPPED = 1 << 20
_CLOSING = frozenset({"unauthenticated", "timeout"})
"""Errors after which the server closes (section 5), as after ``too-large`` from ``_SKIPPED`` bytes on: further calls
go to another connection at once, rather than being lost on this one."""
_CANCEL = head_prefix("application/octet-stream", "binary", {"cancel": True})


class Phase(Enum):
    """How much a client knows about the server at the other end of this connection."""

    FRESH = auto()  # nothing sent
    PROBING = auto()  # the first request is out, nothing else may follow
    MULTIPLEXED = auto()
    CLASSIC = auto()
    ENDED = auto()


class Elsewhere:
    """These calls were not written here. ``classic`` says that the server turned out to be classic."""

    __slots__ = ("calls", "classic")

    def __init__(self, calls: list[Call], classic: bool) -> None:
        self.calls = calls
        self.classic = classic


Event = Call | Elsewhere


class Requester:
    """The conversation of one connection, at the client.

    Attributes:
        phase: what is known about the server.
        ended: nothing can be submitted any more, and nothing that arrives is read.
        why: how the connection ended; None while it has not, and where one classic reply was all that it was for.
        events: what happened; the shell takes them after each call and empties the list.
        out: bytes to send; the shell takes them and empties the list.
        open: calls that were written and whose last frame has not come.
    """

    def __init__(
        self, limits: Limits, address: str, headers: Headers | None = None, *, known_classic: bool = False
    ) -> None:
        self.limits = limits
        self.address = address
        self.phase = Phase.FRESH
        self.ended = False
        self.why: ConnectionFailed | None = None
        self.events: list[Event] = []
        self.out: list[Buffer] = []
        self.open: dict[int, Call] = {}
        self._known_classic = known_classic
        self._waiting: deque[Call] = deque()
        self._reader = Reader(limits, headers)
        self._incoming: Header | None = None
        self._max_open = 1
        self._id = 0
        self._asked_for: Call | None = None  # the call for whose sake the first request is a ping
        self._answered = False  # a reply was delivered here: the server was there and spoke

    # -- what the caller wants -------------------------------------------------------------------------------------

    @property
    def takes_calls(self) -> bool:
        """Whether ``submit`` may be called: not after the end, nor when the ids are used up."""
        return not self.ended and self._id < MAX_ID

    @property
    def busy(self) -> bool:
        """Whether something is open or waits."""
        return bool(self.open or self._waiting)

    def submit(self, call: Call) -> None:
        """Send a call, or keep it until it may be sent.

        Raises:
            UsageError: this connection has ended.
        """
        if self.phase is Phase.MULTIPLEXED:
            if len(self.open) < self._max_open and not self._waiting:
                self._send(call)
            else:
                self._waiting.append(call)
        elif self.phase is Phase.FRESH:
            self._send_first(call)
        elif self.phase is Phase.PROBING:
            self._waiting.append(call)
        else:
            raise UsageError("this connection has ended")

    def cancel(self, call: Call, *, late: bool = False) -> None:
        """The caller does not wait any longer. Its slot stays taken until the server's last frame has come.

        Args:
            late: its time is over. If that was sent along, the server knows, and is not told again: a client may send
                only so many control frames (limits.md).
        """
        if call in self._waiting:
            self._waiting.remove(call)
        elif self.open.get(call.id) is call:
            if self.phase is Phase.MULTIPLEXED:
                if not late or call.deadline is None:
                    self.out.append(head(_CANCEL, 0, call.id))
            else:
                # Nothing may follow the first request: giving up on it means giving up the connection.
                self.lost(ConnectionLost("the first request was given up", address=self.address))

    def _send_first(self, call: Call) -> None:
        self.phase = Phase.PROBING
        if self._known_classic and call.action is None:
            if not call.raw:
                self._end_here(Phase.ENDED)
                self._fail(call, classic_cannot(self.address))
                return
            # The frame as it is, without id: a classic server sees a classic client, and so does any other.
            self.open[0] = call
            self._write(call.prefix, call.content, None)
            return
        first = call
        if call.action is None:
            self._asked_for = call
            self._waiting.append(call)
            first = ping_call()
        self._id = first.id = 1
        first.wrapped = True
        self.open[1] = first
        self._write(first_prefix(first.deadline), first.first, 1)

    def _send(self, call: Call) -> None:
        self._id += 1
        call.id = self._id
        self.open[call.id] = call
        self._write(call.prefix, call.content, call.id)

    def _write(self, prefix: bytes, content: Buffer, id: int | None) -> None:
        first = head(prefix, len(content), id)
        if len(content) > JOINED:
            self.out.append(first)
            self.out.append(content)
        else:
            self.out.append(first + content)

    def _send_waiting(self) -> None:
        while self._waiting and len(self.open) < self._max_open and self._id < MAX_ID:
            self._send(self._waiting.popleft())

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

    def lost(self, error: ConnectionFailed) -> None:
        """The connection has ended: what was written fails with ``error``, the rest is handed back."""
        if self.ended:
            return
        self._end_here(Phase.ENDED)
        self.why = error
        self.out.clear()
        self._fail_open(error)
        asked_for = self._asked_for
        if asked_for is not None and asked_for in self._waiting:
            # Else a server that always hangs up would be tried again without end.
            self._waiting.remove(asked_for)
            self._fail(asked_for, error)
        self._hand_back(classic=False)

    def end_of_stream(self, how: str = "closed the connection") -> None:
        """The server sends no more; ``how`` says in words what it did."""
        sentence = f"the server at {self.address} {how}"
        if self._answered or self.phase is Phase.MULTIPLEXED:
            self.lost(ConnectionLost(sentence, address=self.address))
        else:
            self.lost(NoReply(f"{sentence} without a reply", address=self.address))

    def _end_here(self, phase: Phase) -> None:
        self.phase = phase
        self.ended = True

    def _fail(self, call: Call, error: LetterheadError) -> None:
        call.fail(error)
        self.events.append(call)

    def _fail_open(self, error: LetterheadError) -> None:
        for call in self.open.values():
            self._fail(call, error)
        self.open.clear()

    def _hand_back(self, classic: bool) -> None:
        if self._waiting:
            self.events.append(Elsewhere(list(self._waiting), classic))
            self._waiting.clear()

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

    def _take(self, header: Header, content: bytes) -> None:
        """A whole frame came."""
        meaning: Meaning = header.shape.meaning or from_server(header.shape)
        if self.phase is not Phase.MULTIPLEXED:
            self._take_first(header, meaning, content)
            return
        call = self.open.get(header.id) if header.id else None
        if call is not None and meaning.kind is Kind.REPLY and meaning.fault is None:
            self._end(call, header, content, meaning)  # by far the most frequent move
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
        except BadHeader as error:
            self._broken(error)
            return
        if todo is Move.HELLO:
            self._max_open = meaning.max_open
        elif todo is Move.FAIL:
            refused = reply_error(header, content, meaning, self.limits)
            self._fail_open(refused)
            self.lost(ConnectionLost(f"the server closed the connection: {refused}", address=self.address))

    def _take_first(self, header: Header, meaning: Meaning, content: bytes) -> None:
        if meaning.kind is Kind.HELLO and header.id in self.open and meaning.fault is None:
            self.phase = Phase.MULTIPLEXED
            self._max_open = meaning.max_open
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
        self._answered = True
        self._end_here(Phase.CLASSIC)
        for call in self.open.values():
            call.header = header
            call.body = content
            self.events.append(call)
        self.open.clear()
        self._hand_back(classic=True)

    def _end(self, call: Call, header: Header, content: bytes, meaning: Meaning) -> None:
        """The call's last frame came."""
        self._answered = True
        if meaning.more is not None and meaning.status is None:
            self._streamed(call, meaning.more)
            return
        del self.open[call.id]
        if call.error is not None:
            pass  # told the caller already: given up, or a stream
        elif meaning.status is not None:
            call.error = reply_error(header, content, meaning, self.limits)
        else:
            call.header = header
            call.body = content
        self.events.append(call)
        if meaning.status in _CLOSING or (meaning.status == "too-large" and len(call.content) >= _SKIPPED):
            self.lost(
                ConnectionLost(f"the server closed the connection after {meaning.status!r}", address=self.address)
            )

    def _streamed(self, call: Call, goes_on: bool) -> None:
        """The reply is a stream, which nothing reads here: the call fails, its slot is free when the stream ends."""
        if not call.done:
            self._fail(call, UsageError("the action answers with a stream, not with one result"))
            if goes_on:
                self.out.append(head(_CANCEL, 0, call.id))
        if not goes_on:
            del self.open[call.id]

    def _faulty(self, header: Header, fault: Refused) -> None:
        """A frame whose content is not wanted. An over-large reply fails its own call; anything else is a breach."""
        if not isinstance(fault, TooLarge) or (header.id is not None and not 1 <= header.id <= self._id):
            self._broken(fault)
            return
        if header.id is None:  # a classic reply, or what ends the connection
            self._fail_open(fault)
            self.lost(ConnectionLost("what the server said was too large to be read", address=self.address))
            return
        call = self.open.pop(header.id, None)
        if call is not None:
            self._fail(call, fault)
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

"""One call as both clients make it: what is sent, and what its reply means.

Everything here is decided before a connection is chosen and after its reply came, so it knows neither sockets nor time.
A call whose result or argument is a stream is the same thing with ``incoming`` or ``outgoing``. What it sends is made
in ``openings.py``, and of items in ``items.py``.
"""

from copy import copy
from functools import lru_cache
from types import TracebackType
from typing import Any, NamedTuple, NoReturn

import msgspec

from letterhead.content.compression import decompress
from letterhead.content.json import as_utf8, decode_json
from letterhead.content.registry import decode_content
from letterhead.content.typed import DoesNotFit, TypeReader
from letterhead.errors import (
    BadContent,
    Cancelled,
    ConnectionFailed,
    DeadlineExceeded,
    LetterheadError,
    Refused,
    UsageError,
    refusal,
)
from letterhead.limits import Limits
from letterhead.message import Buffer, Message
from letterhead.protocol.fields import NOT_FROM_SERVERS, Meaning
from letterhead.protocol.flow import CREDIT, Incoming, Outgoing
from letterhead.protocol.sources import Source
from letterhead.wire import strict_json
from letterhead.wire.header import JSON_TYPES, Header, content_limit


class Asks(NamedTuple):
    """What a client asks of the reply, beside the action: header fields that its calls have in common.

    Attributes:
        accept: content types that it reads, best first.
        accept_compression: compressions that it reads, best first.
        timing: whether the server is to say how long it took.
    """

    accept: tuple[str, ...] = ()
    accept_compression: tuple[str, ...] = ()
    timing: bool = False


NOTHING = Asks()


class Packed(NamedTuple):
    """Content in compressed form."""

    compression: str
    content: bytes


class Call:
    """One call.

    Attributes:
        prefix, content: the head's constant part and the content, for a multiplexed connection.
        action: the action's name as JSON, where the call has a classic form; else None.
        deadline: milliseconds that the server is given, or None.
        seconds: how long the caller waits.
        inherited: its time is that of the request whose handler makes it: passing it is no failure of that handler.
        raw: made by ``send``: header and content are the caller's own, and so is the reading of the reply.
        streams: the caller wants the items of a stream, not one result.
        either: the caller takes one result, too. ``single``: it was one.
        incoming, outgoing: the items that come, and the credit for those that go; None where there is no such stream.
        supersedes: the call whose place it takes, until it is written.
        packed: its content compressed, for servers that read that.
        asks: what it asks of the reply.
        source: what the items of its upload are taken from.
        timing: what the server said of the time that it took, where it was asked.
        id: the exchange's id, once written.
        wrapped: it was written in classic form, so a JSON reply is ``{"result": R}``.
        header, body: the reply. ``error``: why there is none.
        failure: what its upload raised, and where; the caller gets that very exception.
        waiter: the client's own; what wakes the caller. ``sender``: likewise, who uploads.
        home: the client's own; the connection that has it.
        name: the action's, where it is an action that is called.
        repeats: how often it was sent again although it had been written. ``refused``: the last reason for that.
        ends: the client's own; when its time is over, where the server is told of it.
        since: the client's own; when it began to wait for a connection, negative if it did not. ``after``: how many
            failures to make one had come before. ``not_before``: when it may have one.
        avoid: the client's own; the server that could not run it.
        quiet: the connection's own question, which nobody waits for: it goes nowhere else.
        key: the client's own; what a later call names to take its place.
        on_end: the client's own; called once when it has ended.
    """

    # Defaults stand on the class: most calls change few of them, and a call is made for every request.
    seconds = 0.0
    inherited = False
    raw = False
    streams = False
    either = False
    single = False
    source: Source | None = None
    incoming: Incoming | None = None
    outgoing: Outgoing | None = None
    supersedes: "Call | None" = None
    packed: Packed | None = None
    timing: Any = None
    id = 0
    wrapped = False
    header: Header | None = None
    body = b""
    error: LetterheadError | None = None
    failure: tuple[BaseException, TracebackType | None] | None = None
    waiter: Any = None
    sender: Any = None
    home: Any = None
    name: str | None = None
    repeats = 0
    refused: LetterheadError | None = None
    ends = 0.0
    since = -1.0
    after = 0
    not_before = 0.0
    avoid: Any = None
    quiet = False
    key: Any = None
    on_end: Any = None

    def __init__(
        self,
        prefix: bytes,
        content: Buffer,
        action: bytes | None,
        deadline: int | None,
        asks: Asks = NOTHING,
        name: str | None = None,
    ) -> None:
        self.prefix = prefix
        self.content = content
        self.action = action
        self.deadline = deadline
        self.asks = asks
        self.name = name

    @property
    def first(self) -> bytes:
        """The content in classic form, for an unknown server's first request; only where ``action`` is set."""
        value = b"null" if self.content == b"{}" else self.content
        return b"".join((b'{"action":', self.action or b"null", b',"value":', value, b"}"))

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.header is not None or self.error is not None

    def stream(self, *, either: bool = False) -> Incoming:
        """Make it one that wants the items of a stream; what they are gathered in.

        Args:
            either: it takes one result, too, as the only item.
        """
        self.streams = True
        self.either = either
        if not either:
            self.action = None  # a classic server has no streams, and another is asked what it is by a ping
        self.incoming = Incoming(CREDIT)
        return self.incoming

    def end(self, header: Header, body: bytes) -> None:
        """Its reply came: one result, or the end of a stream."""
        self.header = header
        self.body = body
        if self.either and self.incoming is not None and header.shape.fields.get("more") is not False:
            self.single = True
            self.incoming.put((header, body))

    def fail(self, error: LetterheadError) -> None:
        """It ended with this error. Each call gets its own copy: a raised exception belongs to one raise.

        Items that came before an error are still handed out; but where the time for all of it is over, it is over.
        """
        self.error = copy(error)
        if self.repeats:
            self.error.facts = {**error.facts, "attempts": self.repeats + bool(self.id)}
        if self.incoming is not None and isinstance(error, DeadlineExceeded):
            self.incoming.drop()

    def renew(self) -> None:
        """Make it one that was never written; only where no part of a stream has passed."""
        self.id = 0
        self.wrapped = False
        self.home = None
        self.supersedes = None
        if self.outgoing is not None:
            self.outgoing.credit = 0

    def shorten(self, now: float) -> None:
        """Tell the server how much time is left by now, where it is told a deadline at all."""
        if self.deadline is None or not self.ends:
            return
        left = max(1, min(self.deadline, int((self.ends - now) * 1000)))
        # The first field of that name is the one of the header itself: what stands before it is none of the user's.
        self.prefix = self.prefix.replace(b'"deadline":%d' % self.deadline, b'"deadline":%d' % left, 1)
        self.deadline = left

    def fail_upload(self, failure: BaseException) -> None:
        """Its upload raised this: so will whoever waits for the call."""
        self.error = Cancelled("its upload failed")
        self.failure = failure, failure.__traceback__

    def spoil(self, error: LetterheadError) -> None:
        """An item of its result cannot be read: whatever else came of it, this is how it ended."""
        self.header = None
        self.error = error

    def raise_error(self) -> NoReturn:
        """Raise what it ended with; only where there is no reply. It may be raised again and again."""
        # A traceback of their own for all that are raised again: else each raise would make it longer.
        if self.failure is not None:
            failure, trace = self.failure
            raise failure.with_traceback(trace)
        error = self.error or UsageError("the call has not ended")
        error.relayed = not (self.inherited and error.code == "deadline-exceeded")
        raise error.with_traceback(None)

    def result(self, returns: Any = None, limits: Limits | None = None) -> Any:
        """What the caller gets: the value, converted to the type ``returns`` if given; a ``Message`` for ``send``.

        Raises:
            LetterheadError: the error that the call ended with; or what its upload raised.
            BadContent: the reply is not what its header says, or does not fit ``returns``.
        """
        header = self.header
        if header is None:
            self.raise_error()
        limits = limits or _LIMITS
        if self.raw:
            fields = {name: field for name, field in header.fields.items() if name not in NOT_FROM_SERVERS}
            return Message(_unpacked(header, self.body, limits), fields)
        return self.value(header, self.body, returns, limits)

    def value(self, header: Header, content: bytes, returns: Any, limits: Limits) -> Any:
        """The value of a result, or of one item of it, as the type ``returns`` if given.

        Raises:
            BadContent: the content is not what its header says, or does not fit ``returns``.
            TooLarge: it is above the limits once it is decompressed.
            UsageError: ``returns`` is no type that content could become.
        """
        shape = header.shape
        max_depth = limits.content_depth
        content = _unpacked(header, content, limits)
        try:
            if shape.type not in JSON_TYPES:
                if returns is None:
                    return decode_content(content, shape, max_depth)
                return reader_of(returns).read(content, shape, max_depth)
            data = self._json(header, content)
            if returns is None:
                return strict_json.decode(data, max_depth)
            return reader_of(returns).read_json(data, max_depth)
        except strict_json.NotJson as error:
            raise BadContent(f"not JSON: {error}") from None
        except DoesNotFit as error:
            raise BadContent(f"the result does not fit 'returns': {error}") from None

    def _json(self, header: Header, content: bytes) -> bytes:
        """The result as JSON in UTF-8."""
        shape = header.shape
        data = as_utf8(content, shape.encoding, shape.byteorder)
        if not self.wrapped or shape.fields.get("more"):  # items never are
            return data
        try:
            return bytes(_wrapped.decode(data).result)
        except msgspec.ValidationError:
            raise BadContent("the reply has no 'result'") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadContent(f"not JSON: {error}") from None


class _Wrapped(msgspec.Struct):
    """A reply in classic form. The result stays bytes, so that it is read as a later call's result will be."""

    result: msgspec.Raw


def _unpacked(header: Header, content: bytes, limits: Limits) -> bytes:
    """Content as it was before it was compressed, if it was."""
    meaning: Meaning | None = header.shape.meaning
    if meaning is None or meaning.compression is None:
        return content
    return decompress(content, meaning.compression, content_limit(header.shape.type, limits))


_LIMITS = Limits()
_wrapped = msgspec.json.Decoder(_Wrapped)


def reader_of(returns: Any) -> TypeReader:
    """Reads content as the type that a caller wants back.

    Raises:
        UsageError: it is no type that content could become.
    """
    try:
        hash(returns)
    except TypeError:  # some types cannot be hashed, hence not be remembered
        return _new_reader(returns)
    return _cached_reader(returns)


def _new_reader(returns: Any) -> TypeReader:
    try:
        return TypeReader(returns)
    except TypeError as error:
        raise UsageError(f"'returns' takes a type that a result can be converted to: {error}") from None


_cached_reader = lru_cache(maxsize=256)(_new_reader)


def reply_error(header: Header, content: bytes, meaning: Meaning, limits: Limits) -> Refused:
    """The refusal that an error reply tells; whatever it contains, a refusal comes out."""
    code = meaning.status or "internal"
    shape = header.shape
    try:
        told = decode_json(content, shape.encoding, shape.byteorder, limits.content_depth)
    except BadContent:
        told = None
    facts = told.get("error") if isinstance(told, dict) else None
    if not isinstance(facts, dict):
        facts = {}
    message = facts.get("message")
    return refusal(code, message if isinstance(message, str) else f"the server answered {code!r}", facts)


def not_as_asked(call: Call) -> UsageError:
    """Why a call failed whose answer is a stream where one result was wanted, or the other way round."""
    if call.streams:
        return UsageError("the action answers with one result, not with a stream: use call")
    return UsageError("the action answers with a stream, not with one result: use stream")


def classic_cannot(address: str, *, streams: bool) -> ConnectionFailed:
    """Why a call that only a multiplexing server can take failed."""
    why = "it knows no streams" if streams else "it takes JSON arguments only; send a Message instead"
    return ConnectionFailed(f"the server at {address} is a classic one: {why}", address=address)


def superseded() -> Cancelled:
    """What a call ends with whose place a later one took."""
    return Cancelled("superseded by a later call")

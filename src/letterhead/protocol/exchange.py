"""What a client asks, and where one exchange of a connection stands.

``Opening`` is what is asked: the frame that opens an exchange, made before a connection is chosen, so that it fits any.
It never changes, and may be sent more than once. ``Exchange`` is one sending of it on one connection: its ``id``, its
windows, and how it ended. A call that is sent again gets a new exchange; an exchange is never used twice.

What an answer means is read here (``Exchange.result``); whether an error is the caller's, or a reason to ask again, is
not known here.
"""

from copy import copy
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from letterhead.content.compression import decompress
from letterhead.content.json import as_utf8, decode_json
from letterhead.content.registry import decode_content
from letterhead.content.typed import DoesNotFit, TypeReader
from letterhead.errors import BadContent, LetterheadError, Refused, UsageError, refusal
from letterhead.limits import Limits
from letterhead.message import Buffer, Message
from letterhead.protocol.fields import NOT_FROM_SERVERS, Meaning
from letterhead.protocol.flow import CREDIT, Incoming, Outgoing
from letterhead.wire import strict_json
from letterhead.wire.header import JSON_TYPES, Header, content_limit

O = TypeVar("O")  # noqa: E741  # the owner of an exchange


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

    def fields(self) -> dict[str, Any]:
        """The header fields that say it."""
        fields: dict[str, Any] = {}
        if self.accept:
            fields["accept"] = list(self.accept)
        if self.accept_compression:
            fields["accept-compression"] = list(self.accept_compression)
        if self.timing:
            fields["timing"] = True
        return fields


NOTHING = Asks()


class Packed(NamedTuple):
    """Content in compressed form."""

    compression: str
    content: bytes


class Opening:
    """What is asked.

    Attributes:
        prefix: the head's constant part, for a multiplexed connection; without a deadline.
        content: the content.
        action: the action's name as JSON, where the opening has a classic form; else None.
        asks: what it asks of the reply.
        name: the action's name, where it is an action that is called.
        raw: header and content are the caller's own, and so is the reading of the reply.
        classic: it was made in classic form: a JSON reply is ``{"result": R}``.
        streams: the answer is wanted as the items of a stream. ``either``: one result is taken, too, as its only item.
        uploads: items follow.
        packed: the content compressed, for servers that read that; filled in once.
    """

    # Defaults stand on the class: most openings change few of them, and one is made for every call.
    raw = False
    classic = False
    streams = False
    either = False
    uploads = False
    packed: Packed | None = None

    def __init__(
        self, prefix: bytes, content: Buffer, action: bytes | None, asks: Asks = NOTHING, name: str | None = None
    ) -> None:
        self.prefix = prefix
        self.content = content
        self.action = action
        self.asks = asks
        self.name = name

    @property
    def classic_content(self) -> bytes:
        """The content in classic form, for an unknown server's first request; only where ``action`` is set."""
        value = b"null" if self.content == b"{}" else self.content
        return b"".join((b'{"action":', self.action or b"null", b',"value":', value, b"}"))


class Exchange(Generic[O]):
    """One exchange of a connection, as its client sees it.

    Args:
        opening: what is asked.
        owner: whose exchange it is; None where the connection itself asks.
        deadline: milliseconds that the server is given, or None.

    Attributes:
        id: its id once it is written, else 0.
        wrapped: it was written in classic form, so a JSON reply is ``{"result": R}``.
        waited: it was written later than it was submitted, so that its deadline ends later at the server.
        abandoned: nobody waits for its end any more.
        incoming: items that came and were not taken yet; None where the answer is no stream.
        outgoing: the window of its upload; None where nothing is uploaded.
        single: one result came where either was taken.
        header, body: the reply. ``error``: why there is none.
        timing: what the server said of the time that it took, where it was asked.
    """

    id = 0
    wrapped = False
    waited = False
    abandoned = False
    incoming: Incoming | None = None
    outgoing: Outgoing | None = None
    single = False
    header: Header | None = None
    body = b""
    error: LetterheadError | None = None
    timing: Any = None

    def __init__(self, opening: Opening, owner: O | None = None, deadline: int | None = None) -> None:
        self.opening = opening
        self.owner = owner
        self.deadline = deadline
        if opening.classic:
            self.wrapped = True
        if opening.streams:
            self.incoming = Incoming(CREDIT)
        if opening.uploads:
            self.outgoing = Outgoing(0)  # the credit comes with the hello

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.header is not None or self.error is not None

    @property
    def begun(self) -> bool:
        """Whether part of a stream has passed, either way."""
        incoming, outgoing = self.incoming, self.outgoing
        return (incoming is not None and incoming.begun) or (outgoing is not None and outgoing.begun)

    def end(self, header: Header, body: bytes) -> None:
        """End the exchange with its reply: one result, or the end of a stream."""
        self.header = header
        self.body = body
        if self.opening.either and self.incoming is not None and header.shape.fields.get("more") is not False:
            self.single = True
            self.incoming.put((header, body))

    def fail(self, error: LetterheadError) -> None:
        """End the exchange with a copy of this error: a raised exception belongs to one raise."""
        self.error = copy(error)

    def result(self, returns: Any = None, limits: Limits | None = None) -> Any:
        """What the reply says: the value, converted to the type ``returns`` if given; a ``Message`` for a raw one.

        Raises:
            LetterheadError: the error that the exchange ended with.
            BadContent: the reply is not what its header says, or does not fit ``returns``.
            TooLarge: it is above the limits once it is decompressed.
            UsageError: ``returns`` is no type that content could become, or the exchange has not ended.
        """
        header = self.header
        if header is None:
            raise copy(self.error) if self.error is not None else UsageError("the call has not ended")
        limits = limits or _LIMITS
        if self.opening.raw:
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

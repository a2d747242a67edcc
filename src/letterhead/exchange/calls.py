"""One call as both clients make it: what is sent, and what its reply means.

Everything here is decided before a connection is chosen and after its reply came, so it knows neither sockets nor time.
"""

from collections.abc import Mapping
from copy import copy
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from letterhead.content.json import as_utf8, decode_json
from letterhead.content.ndarray import is_array
from letterhead.content.registry import JSON, OCTETS, decode_content, encode_content
from letterhead.content.typed import DoesNotFit, TypeReader
from letterhead.errors import BadContent, ConnectionFailed, LetterheadError, Refused, UsageError, refusal
from letterhead.exchange.fields import BIG, FROM_CLIENT, HOP, Meaning
from letterhead.exchange.streams import Incoming, Outgoing
from letterhead.limits import Limits
from letterhead.message import Buffer, Message, as_octets
from letterhead.wire import strict_json
from letterhead.wire.header import JSON_TYPES, Header, content_limit, too_large
from letterhead.wire.writer import NATIVE, head_prefix

PING = "letterhead.ping"
_CLASSIC_BYTES = len(b'{"action":,"value":}')
_NOT_IN_MESSAGES = HOP | {"more", "status"}
_NOT_IN_SENT = _NOT_IN_MESSAGES | FROM_CLIENT


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
        incoming, outgoing: the items that come, and the credit for those that go; None where there is no such stream.
        supersedes: the call whose place it takes, until it is written.
        packed: its content compressed, for servers that read that.
        timed, timing: whether the server is to say how long it took, and what it said.
        id: the exchange's id, once written.
        wrapped: it was written in classic form, so a JSON reply is ``{"result": R}``.
        header, body: the reply. ``error``: why there is none.
        waiter: the client's own; what wakes the caller.
        home: the client's own; the connection that has it.
    """

    # Defaults stand on the class: most calls change few of them, and a call is made for every request.
    seconds = 0.0
    inherited = False
    raw = False
    streams = False
    incoming: Incoming | None = None
    outgoing: Outgoing | None = None
    supersedes: "Call | None" = None
    packed: Packed | None = None
    timed = False
    timing: Any = None
    id = 0
    wrapped = False
    header: Header | None = None
    body = b""
    error: LetterheadError | None = None
    waiter: Any = None
    home: Any = None

    def __init__(self, prefix: bytes, content: Buffer, action: bytes | None, deadline: int | None) -> None:
        self.prefix = prefix
        self.content = content
        self.action = action
        self.deadline = deadline

    @property
    def first(self) -> bytes:
        """The content in classic form, for an unknown server's first request; only where ``action`` is set."""
        value = b"null" if self.content == b"{}" else self.content
        return b"".join((b'{"action":', self.action or b"null", b',"value":', value, b"}"))

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.header is not None or self.error is not None

    def fail(self, error: LetterheadError) -> None:
        """It ended with this error. Each call gets its own copy: a raised exception belongs to one raise."""
        self.error = copy(error)

    def result(self, returns: Any = None, limits: Limits | None = None) -> Any:
        """What the caller gets: the value, converted to the type ``returns`` if given; a ``Message`` for ``send``.

        Raises:
            LetterheadError: the error that the call ended with.
            BadContent: the reply is not what its header says, or does not fit ``returns``.
        """
        if self.error is not None:
            self.error.relayed = not (self.inherited and self.error.code == "deadline-exceeded")
            raise self.error
        header = self.header
        if header is None:
            raise UsageError("the call has not ended")
        if self.raw:
            return Message(
                self.body, {name: field for name, field in header.fields.items() if name not in _NOT_IN_SENT}
            )
        return self.value(header, self.body, returns, (limits or _LIMITS).content_depth)

    def value(self, header: Header, content: bytes, returns: Any, max_depth: int) -> Any:
        """The value of a result, or of one item of it, as the type ``returns`` if given.

        Raises:
            BadContent: the content is not what its header says, or does not fit ``returns``.
            UsageError: ``returns`` is no type that content could become.
        """
        shape = header.shape
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
        if not self.wrapped:
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


@lru_cache(maxsize=512)
def _prefix(action: str | None, content_type: str, encoding: str, deadline: int | None) -> bytes:
    fields: dict[str, Any] = {} if action is None else {"action": action}
    if deadline is not None:
        fields["deadline"] = deadline
    return head_prefix(content_type, encoding, fields)


def first_prefix(deadline: int | None) -> bytes:
    """The head's constant part of a request in classic form."""
    return _prefix(None, JSON, "utf-8", deadline)


def milliseconds(timeout: float | None) -> int | None:
    """A timeout in seconds as the wire's deadline.

    Raises:
        UsageError: it is negative or not a number.
    """
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)) or not timeout >= 0:
        raise UsageError(f"a timeout is a number of seconds from 0, not {timeout!r}")
    return max(1, int(min(timeout * 1000, BIG)))


def action_call(
    action: str, arg: tuple[Any, ...], args: Mapping[str, Any], timeout: float | None, limits: Limits
) -> Call:
    """The call of an action with one unnamed argument, named ones, or none.

    Raises:
        UsageError: both unnamed and named arguments, more than one unnamed, a single one that is a JSON object (the
            protocol takes those by name), a value that has no form on the wire, or a message whose header names a field
            that is the connection's own.
        TooLarge: the arguments are above the limits.
    """
    deadline = None if timeout is None else milliseconds(timeout)
    if not arg:
        try:
            content = strict_json.encode(args)
        except strict_json.NotJson as error:
            raise _not_sendable(action, args, error) from None
        _check_size(JSON, len(content), limits)
        return Call(_prefix(action, JSON, "utf-8", deadline), content, _classic(action, content, limits), deadline)
    if args or len(arg) > 1:
        raise UsageError("an action takes one unnamed argument or named ones, not both: name them")
    mine = {"action": action} if deadline is None else {"action": action, "deadline": deadline}
    if isinstance(arg[0], Message):
        return _as_it_is(arg[0], {**arg[0].header, **mine}, deadline, limits)
    try:
        encoded = encode_content(arg[0])
    except BadContent as error:
        raise UsageError(f"the arguments of {action!r} cannot be sent: {error}") from None
    _check_size(encoded.content_type, len(encoded.content), limits)
    if encoded.fields:  # an array's
        order = encoded.fields.get("byteorder", NATIVE)
        prefix = head_prefix(encoded.content_type, encoded.encoding, {**encoded.fields, **mine}, order)
        return Call(prefix, encoded.content, None, deadline)
    prefix = _prefix(action, encoded.content_type, encoded.encoding, deadline)
    if encoded.content_type != JSON:
        return Call(prefix, encoded.content, None, deadline)
    content = bytes(encoded.content)
    if content.startswith(b"{"):
        raise UsageError(
            f"pass the object by name, as in call({action!r}, NAME=…): a lone object means named arguments"
        )
    # In classic form ``null`` would mean no argument at all.
    return Call(prefix, content, None if content == b"null" else _classic(action, content, limits), deadline)


def _not_sendable(action: str, args: Mapping[str, Any], error: Exception) -> UsageError:
    array = next((name for name, value in args.items() if is_array(value)), None)
    if array is None:
        return UsageError(f"the arguments of {action!r} cannot be sent: {error}")
    return UsageError(
        f"the argument {array!r} of {action!r} is an array, which goes by itself: pass it as the single unnamed "
        f"argument, as in call({action!r}, {array})"
    )


def message_call(message: Message, timeout: float | None, limits: Limits) -> Call:
    """The call that sends a message as it is.

    Raises:
        UsageError: its header cannot be sent or names a field that is the connection's own.
        TooLarge: its content is above the limits.
    """
    if not isinstance(message, Message):
        raise UsageError(f"send takes a letterhead.Message, not {type(message).__name__}; call takes values")
    deadline = milliseconds(timeout)
    fields = {} if deadline is None else {"deadline": deadline}
    call = _as_it_is(message, {**fields, **message.header}, deadline, limits)
    call.raw = True
    call.wrapped = "action" not in message.header
    return call


def _as_it_is(message: Message, fields: dict[str, Any], deadline: int | None, limits: Limits) -> Call:
    """The call that sends the content of a message with these header fields, which include the message's own."""
    mine = sorted(_NOT_IN_MESSAGES.intersection(fields))
    if mine:
        raise UsageError(f"the header field {mine[0]!r} is the connection's own", field=mine[0])
    for name in ("byteorder", "content-type", "content-encoding"):
        if not isinstance(fields.get(name, ""), str):
            raise UsageError(f"the header field {name!r} is a string", field=name)
    content = bytes(as_octets(message.content))  # what the caller changes afterwards is not sent
    _check_size(message.type, len(content), limits)
    prefix = head_prefix(
        fields.get("content-type", OCTETS),
        fields.get("content-encoding", "binary"),
        fields,
        fields.get("byteorder", NATIVE),
    )
    return Call(prefix, content, None, deadline)


def ping_call() -> Call:
    """The call that finds out what an unknown server is, where the caller's own cannot."""
    return action_call(PING, (), {}, None, _LIMITS)


@lru_cache(maxsize=512)
def _quoted(action: str) -> bytes:
    try:
        return strict_json.encode(action)
    except strict_json.NotJson as error:
        raise UsageError(f"an action's name is text: {error}") from None


def _classic(action: str, content: bytes, limits: Limits) -> bytes | None:
    """The action's name as JSON, or None where the arguments in classic form would be above the limits."""
    quoted = _quoted(action)
    fits = len(content) + len(quoted) + _CLASSIC_BYTES <= content_limit(JSON, limits)
    return quoted if fits else None


def _check_size(content_type: str, size: int, limits: Limits) -> None:
    fault = too_large(content_type, size, limits)
    if fault is not None:
        raise fault


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

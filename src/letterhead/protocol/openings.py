"""The opening of a call, as both clients write it: the arguments, and the constant part of the header before them.

It is made before a connection is chosen, so it fits any: what a connection adds (the ``id``, compression, the call that
is superseded) is added where it is sent. Which argument is a stream is asked only once encoding has failed.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from letterhead.content.compression import smaller
from letterhead.content.encoded import Encoded
from letterhead.content.ndarray import is_array
from letterhead.content.registry import JSON, OCTETS, encode_content
from letterhead.errors import BadContent, UsageError
from letterhead.limits import Limits
from letterhead.message import Message, as_octets
from letterhead.protocol.calls import NOTHING, Asks, Call, Packed
from letterhead.protocol.fields import BIG, HIDDEN
from letterhead.protocol.flow import Outgoing
from letterhead.protocol.sources import split
from letterhead.wire import strict_json
from letterhead.wire.header import content_limit, too_large
from letterhead.wire.writer import NATIVE, head_prefix

PING = "letterhead.ping"
DESCRIBE = "letterhead.describe"
_CLASSIC_BYTES = len(b'{"action":,"value":}')
_LIMITS = Limits()


class Streamed(UsageError):
    """An argument is a stream: ``upload_call`` makes such a call."""


@lru_cache(maxsize=512)
def _prefix(
    action: str | None, content_type: str, encoding: str, deadline: int | None, asks: Asks, more: bool = False
) -> bytes:
    fields = _own_fields(action, deadline, asks)
    if more:
        fields["more"] = True
    return head_prefix(content_type, encoding, fields)


def _own_fields(action: str | None, deadline: int | None, asks: Asks) -> dict[str, Any]:
    fields: dict[str, Any] = {} if action is None else {"action": action}
    if deadline is not None:
        fields["deadline"] = deadline
    if asks.accept:
        fields["accept"] = list(asks.accept)
    if asks.accept_compression:
        fields["accept-compression"] = list(asks.accept_compression)
    if asks.timing:
        fields["timing"] = True
    return fields


def first_prefix(deadline: int | None, asks: Asks = NOTHING) -> bytes:
    """The head's constant part of a request in classic form."""
    return _prefix(None, JSON, "utf-8", deadline, asks)


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
    action: str,
    arg: tuple[Any, ...],
    args: Mapping[str, Any],
    timeout: float | None,
    limits: Limits,
    asks: Asks = NOTHING,
) -> Call:
    """The call of an action with one unnamed argument, named ones, or none.

    Raises:
        Streamed: one of them is a stream.
        UsageError: both unnamed and named arguments, more than one unnamed, a single one that is a JSON object (the
            protocol takes those by name), a value that has no form on the wire, or a message whose header names a field
            that is the connection's own.
        TooLarge: the arguments are above the limits.
    """
    deadline = None if timeout is None else milliseconds(timeout)
    if not arg:
        content = _named(action, args)
        _check_size(JSON, len(content), limits)
        prefix = _prefix(action, JSON, "utf-8", deadline, asks)
        return Call(prefix, content, _classic(action, content, limits), deadline, asks, action)
    if args or len(arg) > 1:
        raise UsageError("an action takes one unnamed argument or named ones, not both: name them")
    mine = _own_fields(action, deadline, asks)
    if isinstance(arg[0], Message):
        # Our own come first: what a user's field contains must not be taken for the deadline (``Call.shorten``).
        call = _as_it_is(arg[0], {**mine, **arg[0].header, **mine}, deadline, limits, asks)
        call.name = action
        return call
    try:
        encoded = encode_content(arg[0])
    except BadContent as error:
        raise _cannot_be_sent(action, arg, args, error) from None
    _check_size(encoded.content_type, len(encoded.content), limits)
    if encoded.fields:  # an array's
        order = encoded.fields.get("byteorder", NATIVE)
        prefix = head_prefix(encoded.content_type, encoded.encoding, {**encoded.fields, **mine}, order)
        return Call(prefix, encoded.content, None, deadline, asks, action)
    prefix = _prefix(action, encoded.content_type, encoded.encoding, deadline, asks)
    if encoded.content_type != JSON:
        return Call(prefix, encoded.content, None, deadline, asks, action)
    content = bytes(encoded.content)
    if content.startswith(b"{"):
        raise UsageError(
            f"pass the object by name, as in call({action!r}, NAME=…): a lone object means named arguments"
        )
    # In classic form ``null`` would mean no argument at all.
    classic = None if content == b"null" else _classic(action, content, limits)
    return Call(prefix, content, classic, deadline, asks, action)


def upload_call(
    action: str,
    arg: tuple[Any, ...],
    args: Mapping[str, Any],
    timeout: float | None,
    limits: Limits,
    asks: Asks = NOTHING,
) -> Call:
    """The call of an action one of whose arguments is a stream.

    Raises:
        UsageError: more than one is, or as ``action_call`` does.
        TooLarge: the other arguments are above the limits.
    """
    found = split(action, arg, args)
    if found is None:
        raise UsageError(f"none of the arguments of {action!r} is a stream")
    source, rest = found
    deadline = milliseconds(timeout)
    content = _named(action, rest)
    _check_size(JSON, len(content), limits)
    call = Call(_prefix(action, JSON, "utf-8", deadline, asks, more=True), content, None, deadline, asks, action)
    call.source = source
    call.outgoing = Outgoing(0)  # the credit comes with the hello
    return call


def _named(action: str, args: Mapping[str, Any]) -> bytes:
    try:
        return strict_json.encode(args)
    except strict_json.NotJson as error:
        raise _cannot_be_sent(action, (), args, error) from None


def _cannot_be_sent(action: str, arg: tuple[Any, ...], args: Mapping[str, Any], error: Exception) -> UsageError:
    if split(action, arg, args) is not None:
        return Streamed(f"an argument of {action!r} is a stream")
    array = next((name for name, value in args.items() if is_array(value)), None)
    if array is not None:
        return UsageError(
            f"the argument {array!r} of {action!r} is an array, which goes by itself: pass it as the single unnamed "
            f"argument, as in call({action!r}, {array})"
        )
    return UsageError(f"the arguments of {action!r} cannot be sent: {error}")


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


def _as_it_is(
    message: Message, fields: dict[str, Any], deadline: int | None, limits: Limits, asks: Asks = NOTHING
) -> Call:
    """The call that sends the content of a message with these header fields, which include the message's own."""
    mine = sorted(HIDDEN.intersection(message.header))
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
    return Call(prefix, content, None, deadline, asks)


def pack(call: Call, names: Sequence[str]) -> None:
    """Compress its content with the first of ``names`` that is known here, if that makes it smaller.

    It goes so only where the server reads that; which is why it stands beside the content.
    """
    small = smaller(Encoded(OCTETS, "binary", call.content), names)
    if small.fields:
        call.packed = Packed(small.fields["compression"], bytes(small.content))


def ping_call() -> Call:
    """The call that finds out what an unknown server is, where the caller's own cannot."""
    return action_call(PING, (), {}, None, _LIMITS)


def describe_call() -> Call:
    """The call that asks what a server's actions are."""
    return action_call(DESCRIBE, (), {}, None, _LIMITS)


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

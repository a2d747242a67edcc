"""Openings of calls: arguments as content, and the constant part of the header before them.

They are made before a connection is chosen, so they fit any: what a connection adds (``id``, ``deadline``,
``compression``, ``supersedes``) is added where one is written, and there is room for it in the header. Which argument
is a stream is asked only once encoding has failed.

Which server gets an opening is not known here.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from letterhead.client.sources import Source, split
from letterhead.content.compression import smaller
from letterhead.content.encoded import Encoded
from letterhead.content.ndarray import is_array
from letterhead.content.registry import JSON, OCTETS, encode_content
from letterhead.errors import BadContent, UsageError
from letterhead.limits import Limits
from letterhead.message import Message, as_octets
from letterhead.protocol.exchange import NOTHING, Asks, Opening, Packed
from letterhead.protocol.fields import BIG, HIDDEN
from letterhead.wire import strict_json
from letterhead.wire.header import content_limit, too_large
from letterhead.wire.writer import NATIVE, head_prefix

_CLASSIC_BYTES = len(b'{"action":,"value":}')
_LIMITS = Limits()
_REQUIRED = frozenset({"byteorder", "content-type", "content-encoding", "content-length", "id"})
_ADDED_FIELDS = 3
_ADDED_BYTES = len(',"deadline":2147483647,"supersedes":9007199254740991,"compression":"zstd"')
"""What a connection may add to an opening, beside ``id`` and ``content-length``."""


class Streamed(UsageError):
    """An argument is a stream: ``upload_opening`` makes such a call."""


@lru_cache(maxsize=512)
def _prefix(action: str, content_type: str, encoding: str, asks: Asks, more: bool = False) -> bytes:
    fields = {"action": action, **asks.fields()}
    if more:
        fields["more"] = True
    return opening_prefix(content_type, encoding, fields)


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


def opening_prefix(
    content_type: str, encoding: str, fields: dict[str, Any] | None = None, byteorder: str = NATIVE
) -> bytes:
    """The constant part of an opening's head.

    Raises:
        UsageError: a field cannot be sent; or the header would be too long, or have too many fields, with all that a
            connection may add to it.
    """
    count = len(_REQUIRED.union(fields or ())) + _ADDED_FIELDS
    if count > _LIMITS.header_fields:
        most = _LIMITS.header_fields
        raise UsageError(f"the header would have up to {count} fields; the limit is {most}", limit=most)
    return head_prefix(content_type, encoding, fields, byteorder, _LIMITS.header_bytes - _ADDED_BYTES)


def action_opening(
    action: str, arg: tuple[Any, ...], args: Mapping[str, Any], limits: Limits, asks: Asks = NOTHING
) -> Opening:
    """The call of an action with one unnamed argument, named ones, or none.

    Raises:
        Streamed: one of them is a stream.
        UsageError: both unnamed and named arguments, more than one unnamed, a single one that is a JSON object (the
            protocol takes those by name), a value that has no form on the wire, or a message whose header names a field
            that is the connection's own.
        TooLarge: the arguments are above the limits.
    """
    if not arg:
        content = _named(action, args)
        _check_size(JSON, len(content), limits)
        return Opening(_prefix(action, JSON, "utf-8", asks), content, _classic(action, content, limits), asks, action)
    if args or len(arg) > 1:
        raise UsageError("an action takes one unnamed argument or named ones, not both: name them")
    mine = {"action": action, **asks.fields()}
    if isinstance(arg[0], Message):
        return _as_it_is(arg[0], {**arg[0].header, **mine}, limits, asks, action)
    try:
        encoded = encode_content(arg[0])
    except BadContent as error:
        raise _cannot_be_sent(action, arg, args, error) from None
    _check_size(encoded.content_type, len(encoded.content), limits)
    if encoded.fields:  # an array's
        order = encoded.fields.get("byteorder", NATIVE)
        prefix = opening_prefix(encoded.content_type, encoded.encoding, {**encoded.fields, **mine}, order)
        return Opening(prefix, encoded.content, None, asks, action)
    prefix = _prefix(action, encoded.content_type, encoded.encoding, asks)
    if encoded.content_type != JSON:
        return Opening(prefix, encoded.content, None, asks, action)
    content = bytes(encoded.content)
    if content.startswith(b"{"):
        raise UsageError(
            f"pass the object by name, as in call({action!r}, NAME=…): a lone object means named arguments"
        )
    # In classic form ``null`` would mean no argument at all.
    classic = None if content == b"null" else _classic(action, content, limits)
    return Opening(prefix, content, classic, asks, action)


def upload_opening(
    action: str, arg: tuple[Any, ...], args: Mapping[str, Any], limits: Limits, asks: Asks = NOTHING
) -> tuple[Opening, Source]:
    """The call of an action one of whose arguments is a stream, and that stream.

    Raises:
        UsageError: more than one is, or as ``action_opening`` does.
        TooLarge: the other arguments are above the limits.
    """
    found = split(action, arg, args)
    if found is None:
        raise UsageError(f"none of the arguments of {action!r} is a stream")
    source, rest = found
    content = _named(action, rest)
    _check_size(JSON, len(content), limits)
    opening = Opening(_prefix(action, JSON, "utf-8", asks, more=True), content, None, asks, action)
    opening.uploads = True
    return opening, source


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


def message_opening(message: Message, limits: Limits) -> Opening:
    """The request that is a message as it is.

    Raises:
        UsageError: its header cannot be sent or names a field that is the connection's own.
        TooLarge: its content is above the limits.
    """
    if not isinstance(message, Message):
        raise UsageError(f"send takes a letterhead.Message, not {type(message).__name__}; call takes values")
    opening = _as_it_is(message, dict(message.header), limits, NOTHING, None)
    opening.raw = True
    opening.classic = "action" not in message.header
    return opening


def _as_it_is(message: Message, fields: dict[str, Any], limits: Limits, asks: Asks, name: str | None) -> Opening:
    """The opening with the content of a message and these header fields, which include the message's own."""
    mine = sorted(HIDDEN.intersection(message.header))
    if mine:
        raise UsageError(f"the header field {mine[0]!r} is the connection's own", field=mine[0])
    for field in ("byteorder", "content-type", "content-encoding"):
        if not isinstance(fields.get(field, ""), str):
            raise UsageError(f"the header field {field!r} is a string", field=field)
    content = bytes(as_octets(message.content))  # what the caller changes afterwards is not sent
    _check_size(message.type, len(content), limits)
    prefix = opening_prefix(
        fields.get("content-type", OCTETS),
        fields.get("content-encoding", "binary"),
        fields,
        fields.get("byteorder", NATIVE),
    )
    return Opening(prefix, content, None, asks, name)


def pack(opening: Opening, names: Sequence[str]) -> None:
    """Compress the content with the first of ``names`` that is known here, if that makes it smaller.

    It goes so only where the server reads that; which is why it stands beside the content.
    """
    small = smaller(Encoded(OCTETS, "binary", opening.content), names)
    if small.fields:
        opening.packed = Packed(small.fields["compression"], bytes(small.content))


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


@lru_cache(maxsize=1)
def describe_opening() -> Opening:
    """What asks a server what its actions are."""
    return action_opening("letterhead.describe", (), {}, _LIMITS)

"""Every frame that this package makes of its own, as bytes (protocol sections 2, 4 and 5).

What lives here: one function for each kind of frame. A frame is checked where it is built, whole: with every field that
is to stand in its header. What its receiver would refuse raises here, and nothing is sent.

When a frame may be sent is not known here, nor by which side. How a header becomes bytes is ``wire/writer.py``'s.
"""

from functools import lru_cache
from typing import Any

from letterhead.content.encoded import Encoded
from letterhead.content.json import as_utf8
from letterhead.errors import BadContent, Refused, TooLarge, UsageError
from letterhead.limits import Limits
from letterhead.message import Buffer, media_type
from letterhead.wire import strict_json
from letterhead.wire.header import JSON_TYPES, Shape
from letterhead.wire.writer import NATIVE, head, head_prefix

JSON = "text/json"
OCTETS = "application/octet-stream"
JOINED = 4096
"""Content up to this size is joined to its head: copying it costs less than another piece to send."""
_ADDED: dict[str, Any] = {"more": False, "compression": "zstd", "timing": {"queued": 2**63, "ran": 2**63}}
"""What a connection may add to the header of a result or an item, at its longest."""


def check(reply: Encoded, limits: Limits) -> None:
    """Refuse a reply or an item of an application's own making whose header could not be sent, or not be accepted.

    The header must hold what a connection adds, too: whether an answer can be sent must not depend on
    whether its client asked for the time that it took.

    Raises:
        UsageError: so it is; the sentence says why.
    """
    fields = reply.fields or {}
    byteorder = fields.get("byteorder", NATIVE)
    head_prefix(reply.content_type, reply.encoding, {**_ADDED, **fields}, byteorder)
    required = {"byteorder": byteorder, "content-type": reply.content_type, "content-encoding": reply.encoding}
    length = len(reply.content)
    fault = Shape({**fields, **required, "content-length": length, "id": 1}, length, limits).fault
    if fault is not None:
        raise UsageError(fault.message, **fault.facts)


# -- control frames ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=16)
def _hello_prefix(max_open: int, credit: int, readable: tuple[str, ...]) -> bytes:
    fields: dict[str, Any] = {"max-open": max_open, "credit": credit}
    if readable:
        fields["accept-compression"] = list(readable)
    return head_prefix(OCTETS, "binary", fields)


def hello(id: int, max_open: int, credit: int, readable: tuple[str, ...] = ()) -> bytes:
    """The first frame of a multiplexed connection; ``readable`` are compressions."""
    return head(_hello_prefix(max_open, credit, readable), 0, id)


@lru_cache(maxsize=16)
def _control_parts(field: str) -> tuple[bytes, bytes]:
    """The constant part of a control frame's head before its value and behind that."""
    name = b'"%b":' % field.encode()
    before, _, after = head_prefix(OCTETS, "binary", {field: 0}).partition(name + b"0")
    return before + name, after


def control(field: str, value: int, id: int | None) -> bytes:
    """A control frame, which carries one field and no content.

    Args:
        field: the field's name, which the table in ``fields.py`` has with its ``control`` kind.
        value: an integer, or True.
        id: the exchange's id; None where the frame is about the whole connection.
    """
    before, after = _control_parts(field)
    return head(b"%b%b%b" % (before, b"true" if value is True else b"%d" % value, after), 0, id)


# -- streams -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _item_prefix(content_type: str, encoding: str) -> bytes:
    return head_prefix(content_type, encoding, {"more": True})


def item(encoded: Encoded, id: int) -> tuple[bytes, Buffer]:
    """The head and the content of an item.

    Raises:
        UsageError: a header field of its own cannot be sent.
    """
    fields = encoded.fields
    if fields:
        order = fields.get("byteorder", NATIVE)
        prefix = head_prefix(encoded.content_type, encoded.encoding, {**fields, "more": True}, order)
    else:
        prefix = _item_prefix(encoded.content_type, encoded.encoding)
    return head(prefix, len(encoded.content), id), encoded.content


_END_PREFIX = head_prefix(OCTETS, "binary", {"more": False})


def end_of_stream(id: int | None, timing: dict[str, int] | None = None) -> bytes:
    """The frame that ends a stream."""
    prefix = _END_PREFIX
    if timing is not None:
        prefix = head_prefix(OCTETS, "binary", {"more": False, "timing": timing})
    return head(prefix, 0, id)


# -- replies -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _plain_prefix(content_type: str, encoding: str) -> bytes:
    return head_prefix(content_type, encoding)


@lru_cache(maxsize=256)
def _error_prefix(status: str | None) -> bytes:
    return head_prefix(JSON, "utf-8", None if status is None else {"status": status})


def result(
    reply: Encoded, id: int | None, wrapped: bool, most: int, timing: dict[str, int] | None = None
) -> list[Buffer]:
    """The frame of a result, in pieces.

    Args:
        reply: the result.
        id: the exchange's id; None on a classic connection.
        wrapped: the request was of classic form: JSON is sent as ``{"result": …}``. What is not JSON goes as it is.
        most: bytes of JSON that the other side takes.
        timing: the field of that name, where it was asked for.

    Raises:
        UsageError: a header field cannot be sent.
        TooLarge: the JSON is larger than the other side takes, once it is wrapped.
    """
    content, encoding, fields = reply.content, reply.encoding, reply.fields
    byteorder = fields.get("byteorder", NATIVE) if fields else NATIVE
    if wrapped and media_type(reply.content_type) in JSON_TYPES:
        try:
            content = b"".join((b'{"result":', as_utf8(bytes(content), encoding.lower(), byteorder), b"}"))
        except BadContent as error:
            raise UsageError(error.message) from None
        encoding = "utf-8"
        if len(content) > most:
            size = len(content)
            raise TooLarge(f"the result is too large: {size} bytes, and the limit is {most}", size=size, limit=most)
    if timing is not None:
        prefix = head_prefix(reply.content_type, encoding, {**(fields or {}), "timing": timing}, byteorder)
    elif fields:
        prefix = head_prefix(reply.content_type, encoding, fields, byteorder)
    else:
        prefix = _plain_prefix(reply.content_type, encoding)
    first = head(prefix, len(content), id)
    return [first, content] if len(content) > JOINED else [first + content]


def error(
    refused: Refused,
    id: int | None,
    classic: bool,
    wrapped: bool,
    most: int,
    timing: dict[str, int] | None = None,
) -> bytes:
    """The frame that tells a refusal.

    Args:
        refused: what to tell. Facts that have no JSON form, or do not fit into ``most`` bytes, are left out.
        id: the exchange's id; None for a connection error or on a classic connection.
        classic: on a classic connection the header has no ``status``.
        wrapped: the request was, or may have been, of classic form: the content has ``result``, too.
        most: bytes of content that the other side takes.
        timing: the field of that name, where it was asked for.
    """
    message = refused.message
    told: dict[str, Any] = {"code": refused.code, "message": message}
    shown: dict[str, Any] = {"result": f"Error: {message}"} if wrapped else {}
    try:
        content = strict_json.encode(
            {**shown, "error": {**told, **refused.facts}} if classic else {"error": {**told, **refused.facts}, **shown}
        )
    except KeyboardInterrupt:
        raise
    except BaseException:  # of a fact that has no JSON form, or whose class raises when it is looked at
        content = b""
    if not content or len(content) > most:
        told["message"] = message = message.encode("utf-8", "replace").decode()[:1000]
        content = strict_json.encode({"error": told, **({"result": f"Error: {message}"} if wrapped else {})})
    if timing is None:
        prefix = _error_prefix(None if classic else refused.code)
    else:
        status = {} if classic else {"status": refused.code}
        prefix = head_prefix(JSON, "utf-8", {**status, "timing": timing})
    return head(prefix, len(content), id) + content

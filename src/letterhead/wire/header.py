"""The header of one frame: strict decoding, the rules of protocol section 1, and a memory for equal bytes.

A header that says how long its content is can always be read past, whatever else is wrong with it. So there are two
kinds of trouble: ``BadFrame`` is raised, since framing is lost; anything else is the header's ``fault``, and whoever
holds the conversation decides what to answer.

Equal headers recur, on a multiplexed connection but for the ``id``. ``Headers`` remembers what the bytes before a
trailing ``,"id":N}`` meant. That is sound: where the whole is valid JSON ending so, the last ``}`` closes the header
object itself, hence ``id`` is a key of that object, stands last, and so counts; other digits in its place change
nothing else.

This file does not know what the fields of a conversation mean (``protocol/fields.py`` does).
"""

import copy
import re
from typing import Any

from letterhead.errors import BadFrame, BadHeader, Fault, TooLarge
from letterhead.limits import Limits
from letterhead.message import media_type
from letterhead.wire import strict_json

MAX_ID = 2**53 - 1
JSON_TYPES = frozenset({"text/json", "application/json"})
MSGPACK = "application/msgpack"
TYPE = re.compile(r"[^\s/;]+/[^\s/;]+\Z")
_ID_KEY = b',"id":'
_REMEMBERED = 512
_REMEMBERED_BYTES = 512


def content_limit(media_type: str, limits: Limits) -> int:
    """Bytes that content of this type may have; the type in lower case, without parameters."""
    if media_type in JSON_TYPES:
        return min(limits.json_bytes, limits.content_bytes)
    if media_type == MSGPACK:
        return min(limits.msgpack_bytes, limits.content_bytes)
    return limits.content_bytes


def too_large(media_type: str, size: int, limits: Limits) -> TooLarge | None:
    """The refusal of content of this type and size, or None."""
    fault = _too_large(media_type, size, limits)
    return None if fault is None else fault.error()


def _too_large(media_type: str, size: int, limits: Limits) -> Fault[TooLarge] | None:
    limit = content_limit(media_type, limits)
    if size <= limit:
        return None
    kind = "content"
    if limit < limits.content_bytes:
        kind = "msgpack content" if media_type == MSGPACK else "JSON content"
    return Fault(TooLarge, f"{kind} of {size} bytes; the limit is {limit}", size=size, limit=limit)


class Shape:
    """What a header says apart from its ``id``; shared between frames, so nobody changes it.

    Attributes:
        fields: all fields but a valid ``id``.
        type: content type, lower case, without parameters.
        encoding: content encoding, lower case.
        byteorder: ``"little"`` or ``"big"``.
        length: content length in bytes.
        fault: why the frame must be refused though its end is known, or None. No exception: it is kept as long as
            the shape is remembered.
        meaning: what the conversation that reads it made of it; filled there, once.
    """

    __slots__ = ("byteorder", "encoding", "fault", "fields", "length", "meaning", "type")

    def __init__(self, fields: dict[str, Any], length: int, limits: Limits) -> None:
        self.fields = fields
        self.length = length
        self.meaning: Any = None
        content_type = fields.get("content-type")
        self.type = media_type(content_type) if isinstance(content_type, str) else ""
        encoding = fields.get("content-encoding")
        self.encoding = encoding.lower() if isinstance(encoding, str) else ""
        self.byteorder: str = fields.get("byteorder", "")
        self.fault: Fault[TooLarge] | Fault[BadHeader] | None = _too_large(
            self.type, length, limits
        ) or self._bad_header(limits)

    def _bad_header(self, limits: Limits) -> Fault[BadHeader] | None:
        for name in ("byteorder", "content-type", "content-encoding"):
            if name not in self.fields:
                return Fault(BadHeader, f"the header has no {name!r}", field=name)
        if self.byteorder not in ("little", "big"):
            return Fault(BadHeader, '\'byteorder\' is "little" or "big"', field="byteorder")
        if not TYPE.match(self.type):
            return Fault(BadHeader, "'content-type' is a string type/subtype", field="content-type")
        if not self.encoding.strip():
            return Fault(BadHeader, "'content-encoding' is the name of an encoding", field="content-encoding")
        if len(self.fields) > limits.header_fields:
            return Fault(BadHeader, f"more than {limits.header_fields} header fields", limit=limits.header_fields)
        return None


class Header:
    """One frame's header.

    Attributes:
        shape: all that it says but the ``id``.
        id: a valid ``id``; None where the frame has none; 0 where it has one that is not valid.
        frame_size: bytes of the whole frame.
    """

    __slots__ = ("frame_size", "id", "shape")

    def __init__(self, shape: Shape, id: int | None, size: int) -> None:
        self.shape = shape
        self.id = id
        self.frame_size = 2 + size + shape.length

    @property
    def fields(self) -> dict[str, Any]:
        """All fields, as a dict of the caller's own."""
        # Deep: a list or object that its owner changes must not change what other frames of this shape say.
        fields = {n: copy.deepcopy(v) if isinstance(v, (dict, list)) else v for n, v in self.shape.fields.items()}
        if self.id:
            fields["id"] = self.id
        return fields


class Headers:
    """Decodes headers and remembers the recent ones; one for all connections of a server or a client."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        # Apart: the bytes before an id may be what a header without one could be, were it whole.
        self._recent: dict[bytes, Shape] = {}
        self._recent_before_id: dict[bytes, Shape] = {}

    def decode(self, raw: bytes) -> Header:
        """The header that these bytes are.

        Raises:
            BadFrame: not a JSON object as section 1 wants it, or without a sound ``content-length``.
        """
        key, number, recent = raw, None, self._recent
        at = raw.rfind(_ID_KEY)
        if at > 0:
            digits = raw[at + 6 : -1]
            if digits.isdigit() and len(digits) <= 15 and digits[0] != 48 and raw[-1] == 125:
                key, number, recent = raw[:at], int(digits), self._recent_before_id
        shape = recent.get(key)
        if shape is not None:
            return Header(shape, number, len(raw))
        header = self._decode_slowly(raw)
        # A header whose id was no number keeps it among its fields; one with a token is not kept at all.
        if header.id == number and len(key) <= _REMEMBERED_BYTES and "authorization" not in header.shape.fields:
            if len(recent) >= _REMEMBERED:
                recent.clear()
            recent[key] = header.shape
        return header

    def _decode_slowly(self, raw: bytes) -> Header:
        try:
            fields = strict_json.decode(raw, self.limits.header_depth)
        except strict_json.NotJson as error:
            raise BadFrame(f"the header is not JSON: {error}") from None
        if not isinstance(fields, dict):
            raise BadFrame("the header is not a JSON object")
        length = fields.get("content-length")
        if type(length) is not int or length < 0:
            raise BadFrame("'content-length' is missing or not an integer from 0", field="content-length")
        shape = Shape(fields, length, self.limits)
        number = fields.get("id", False)
        if number is False:
            return Header(shape, None, len(raw))
        if type(number) is not int or not 1 <= number <= MAX_ID:
            return Header(shape, 0, len(raw))
        del fields["id"]
        return Header(shape, number, len(raw))

"""The header of one frame: strict decoding, the rules of protocol section 1, and a memory for equal bytes.

A header that says how long its content is can always be read past, whatever else is wrong with it. So there are two
kinds of trouble: ``BadFrame`` is raised, since framing is lost; anything else is the header's ``fault``, and whoever
holds the conversation decides what to answer.

Equal headers recur, on a multiplexed connection but for the ``id``. ``Headers`` remembers what the bytes before a
trailing ``,"id":N}`` meant. That is sound: where the whole is valid JSON ending so, the last ``}`` closes the header
object itself, hence ``id`` is a key of that object, stands last, and so counts; other digits in its place change
nothing else.

What a header says may take 20 times its bytes in memory once it is decoded (a list of empty lists). So who keeps a
header says so (``Header.compact``): one that nobody shares is kept as its bytes, and decoded again when somebody asks.
What is then held is counted by whoever holds it (``Header.held``).

This file does not know what the fields of a conversation mean (``protocol/fields.py`` does).

What fields mean beyond section 1 is not known here (``protocol/fields.py``).
"""

import copy
import re
from typing import Any

from letterhead.errors import BadFrame, BadHeader, Fault, TooLarge
from letterhead.limits import Limits
from letterhead.message import media_type
from letterhead.wire import strict_json

MAX_ID = 2**53 - 1
FRAMING = frozenset({"byteorder", "content-type", "content-encoding", "content-length"})
"""The fields that every header has: they are the frame's own."""
JSON_TYPES = frozenset({"text/json", "application/json"})
MSGPACK = "application/msgpack"
TYPE = re.compile(r"[^\s/;]+/[^\s/;]+\Z")
_ID_KEY = b',"id":'
_REMEMBERED = 512
_REMEMBERED_BYTES = 512
_OBJECTS = 640
"""Bytes that a header takes whatever it says."""
_DEEPEST = 64
_PIECE = 100
"""Bytes that a field, or an element of a list, takes once it is decoded, at most."""


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

    Args:
        fields: all fields but a valid ``id``.
        length: content length in bytes.
        limits: what it is judged by.
        raw: the header's bytes, where the fields may be decoded again from them.

    Attributes:
        type: content type, lower case, without parameters.
        encoding: content encoding, lower case.
        byteorder: ``"little"`` or ``"big"``.
        length: content length in bytes.
        fault: why the frame must be refused though its end is known, or None. No exception: it is kept as long as
            the shape is remembered.
        meaning: what the conversation that reads it made of it; filled there, once.
    """

    __slots__ = ("_fields", "_raw", "byteorder", "encoding", "fault", "length", "meaning", "type")

    def __init__(self, fields: dict[str, Any], length: int, limits: Limits, raw: bytes | None = None) -> None:
        self._fields: dict[str, Any] | None = fields
        self._raw = raw
        self.length = length
        self.meaning: Any = None
        content_type = fields.get("content-type")
        self.type = media_type(content_type) if isinstance(content_type, str) else ""
        encoding = fields.get("content-encoding")
        self.encoding = encoding.lower() if isinstance(encoding, str) else ""
        self.byteorder: str = fields.get("byteorder", "")
        self.fault: Fault[TooLarge] | Fault[BadHeader] | None = _too_large(self.type, length, limits) or _bad_header(
            self, fields, limits
        )

    @property
    def fields(self) -> dict[str, Any]:
        """All fields but a valid ``id``; decoded anew each time once they were forgotten."""
        if self._fields is not None:
            return self._fields
        fields: dict[str, Any] = strict_json.decode(self._raw or b"{}", _DEEPEST)
        if _valid_id(fields.get("id")):
            del fields["id"]
        return fields

    def forget_fields(self) -> None:
        """Keep the bytes of the fields alone, if they are here."""
        if self._raw is not None:
            self._fields = None


def _valid_id(number: Any) -> bool:
    return type(number) is int and 1 <= number <= MAX_ID


def _bad_header(shape: Shape, fields: dict[str, Any], limits: Limits) -> Fault[BadHeader] | None:
    for name in ("byteorder", "content-type", "content-encoding"):
        if name not in fields:
            return Fault(BadHeader, f"the header has no {name!r}", field=name)
    if shape.byteorder not in ("little", "big"):
        return Fault(BadHeader, '\'byteorder\' is "little" or "big"', field="byteorder")
    if not TYPE.match(shape.type):
        return Fault(BadHeader, "'content-type' is a string type/subtype", field="content-type")
    if not shape.encoding.strip():
        return Fault(BadHeader, "'content-encoding' is the name of an encoding", field="content-encoding")
    if len(fields) > limits.header_fields:
        return Fault(BadHeader, f"more than {limits.header_fields} header fields", limit=limits.header_fields)
    return None


class Header:
    """One frame's header.

    Attributes:
        shape: all that it says but the ``id``.
        id: a valid ``id``; None where the frame has none; 0 where it has one that is not valid.
        frame_size: bytes of the whole frame.
        held: bytes of memory that it takes as long as it is kept; less after ``compact``.
    """

    __slots__ = ("frame_size", "held", "id", "shape")

    def __init__(self, shape: Shape, id: int | None, size: int, held: int) -> None:
        self.shape = shape
        self.id = id
        self.frame_size = 2 + size + shape.length
        self.held = held

    @property
    def fields(self) -> dict[str, Any]:
        """All fields, as a dict of the caller's own."""
        # Deep: a list or object that its owner changes must not change what other frames of this shape say.
        fields = {n: copy.deepcopy(v) if isinstance(v, (dict, list)) else v for n, v in self.shape.fields.items()}
        if self.id:
            fields["id"] = self.id
        return fields

    def compact(self) -> None:
        """Take little memory while the header is kept: keep the bytes of a large one, not what decoding made of it."""
        shape = self.shape
        size = self.frame_size - shape.length
        if size > _REMEMBERED_BYTES:
            shape.forget_fields()
            self.held = min(self.held, _OBJECTS + size + 2 * (len(shape.type) + len(shape.encoding)))


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
            return Header(shape, number, len(raw), len(raw))
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
        shape = Shape(fields, length, self.limits, raw)
        # Strings may take twice their bytes in UTF-8, and everything else stands behind a comma or bracket.
        pieces = raw.count(b",") + raw.count(b"[") + raw.count(b"{")
        held = _OBJECTS + 2 * len(raw) + _PIECE * pieces
        number = fields.get("id", False)
        if number is False:
            return Header(shape, None, len(raw), held)
        if not _valid_id(number):
            return Header(shape, 0, len(raw), held)
        del fields["id"]
        return Header(shape, number, len(raw), held)

"""Which content type stands for which Python value, both ways: the one place that decides it.

Content is read by its type alone. A family of types registers a ``Codec`` for a type (``text/json``) or a main type
(``text/``); what nobody registered is ``bytes``.

A value is written in its own type: a ``Message`` in the one that it names, bytes as they are, arrays as such, all else
as JSON. Where the receiver lists types, best first, it is the first of them that fits the value, else its own. Such a
list came from the wire: names in it are looked up, only so many of them, and none makes a codec try twice.

Frames are not known here, nor who sends the content.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from letterhead.content.encoded import Encoded
from letterhead.content.json import decode_json, encode_json
from letterhead.content.msgpack import decode_msgpack, encode_msgpack
from letterhead.content.ndarray import NDARRAY, decode_array, encode_array, is_array
from letterhead.content.text import decode_text, encode_text
from letterhead.errors import BadContent
from letterhead.limits import Limits
from letterhead.message import Message, as_octets, media_type
from letterhead.wire.header import JSON_TYPES, MSGPACK, Shape
from letterhead.wire.writer import NATIVE

OCTETS = "application/octet-stream"
JSON = "text/json"
_LIMITS = Limits()
_DEPTH = _LIMITS.content_depth
_BYTES = (bytes, bytearray, memoryview)
_PLAIN = frozenset({dict, list, str, int, float, bool, type(None)})
_MOST_ACCEPTED = 16
# The names that RFC 6838, section 4.2, allows: an accepted one comes back in a header, and ``text/*`` is none.
_NAME = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\Z")
_SAID_OTHERWISE = frozenset({"content-type", "content-encoding", "content-length", "id"})


@dataclass(frozen=True, slots=True)
class Codec:
    """How content of one family of types is read and written.

    Attributes:
        decode: the value of content, given its header's shape and how deep it may nest; raises BadContent.
        encode: the content of a value, given type and encoding; raises BadContent for a value without such a form.
        fits: whether it may be what the receiver's list asks for; a value that fits may still have no such form.
        encoding: the usual content encoding.
    """

    decode: Callable[[bytes, Shape, int], Any]
    encode: Callable[[Any, str, str], Encoded]
    fits: Callable[[Any], bool]
    encoding: str = "binary"


def _decode_json(content: bytes, shape: Shape, max_depth: int) -> Any:
    return decode_json(content, shape.encoding, shape.byteorder, max_depth)


def _encode_json(value: object, content_type: str, encoding: str) -> Encoded:
    return Encoded(content_type, encoding, encode_json(value, encoding, NATIVE))


def _decode_msgpack(content: bytes, shape: Shape, max_depth: int) -> Any:
    return decode_msgpack(content, shape.encoding, max_depth)


def _encode_msgpack(value: object, content_type: str, encoding: str) -> Encoded:
    return Encoded(content_type, encoding, encode_msgpack(value, encoding))


def _decode_array(content: bytes, shape: Shape, _depth: int) -> Any:
    return decode_array(content, shape)


def _decode_text(content: bytes, shape: Shape, _depth: int) -> str:
    return decode_text(content, shape.encoding, shape.byteorder)


def _encode_text(value: object, content_type: str, encoding: str) -> Encoded:
    return Encoded(content_type, encoding, encode_text(value, encoding, NATIVE))


def _decode_octets(content: bytes, _shape: Shape, _depth: int) -> bytes:
    return bytes(content)


def _encode_octets(value: object, content_type: str, encoding: str) -> Encoded:
    if not isinstance(value, _BYTES):
        raise BadContent(f"binary content is bytes, not {type(value).__name__}")
    return Encoded(content_type, encoding, bytes(value))  # of a buffer a copy: it may change before it is sent


def _is_bytes(value: object) -> bool:
    return isinstance(value, _BYTES)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_json(value: object) -> bool:
    return not isinstance(value, _BYTES) and not is_array(value)  # bytes it would make text of


def _is_msgpack(value: object) -> bool:
    return not isinstance(value, msgspec.Raw) and not is_array(value)  # the former is JSON already


_OCTETS = Codec(_decode_octets, _encode_octets, _is_bytes)
_codecs: dict[str, Codec] = {
    **dict.fromkeys(JSON_TYPES, Codec(_decode_json, _encode_json, _is_json, "utf-8")),
    MSGPACK: Codec(_decode_msgpack, _encode_msgpack, _is_msgpack),
    NDARRAY: Codec(_decode_array, encode_array, is_array),
    "text/": Codec(_decode_text, _encode_text, _is_text, "utf-8"),
    OCTETS: _OCTETS,
}


def register(content_type: str, codec: Codec) -> None:
    """Give a content type, or a main type written ``main/``, its codec."""
    _codecs[content_type.lower()] = codec


def codec_of(content_type: str) -> Codec:
    """The codec for a type in lower case without parameters."""
    return _known(content_type) or _OCTETS


def _known(content_type: str) -> Codec | None:
    return _codecs.get(content_type) or _codecs.get(content_type.partition("/")[0] + "/")


def decode_content(content: bytes, shape: Shape, max_depth: int = _DEPTH) -> Any:
    """The Python value of content.

    Args:
        content: the content, not compressed.
        shape: what its header says.
        max_depth: how deep it may nest, where it nests at all.

    Raises:
        BadContent: it is not what its header says.
    """
    return codec_of(shape.type).decode(content, shape, max_depth)


def encode_content(value: object, accept: Sequence[str] = ()) -> Encoded:
    """A value as it goes on the wire. What becomes of the value afterwards does not change that.

    Args:
        value: a ``Message``, which goes as it is, bytes, an array, or anything with a JSON form.
        accept: content types that the receiver reads, best first; compared without case and parameters.

    Raises:
        BadContent: the value has no form of its own, and none that is accepted.
        UsageError: the content of a message is no bytes.
    """
    if accept and not isinstance(value, Message):
        encoded = _accepted(value, accept)
        if encoded is not None:
            return encoded
    if type(value) not in _PLAIN:
        if isinstance(value, Message):
            return _as_it_is(value)
        if isinstance(value, _BYTES):
            return _encode_octets(value, OCTETS, "binary")
        if is_array(value):
            return encode_array(value)
    return Encoded(JSON, "utf-8", encode_json(value))


def _accepted(value: object, accept: Sequence[str]) -> Encoded | None:
    """The value in the first accepted type that fits it, or None."""
    tried: list[Codec] = []
    for name in accept[:_MOST_ACCEPTED]:
        content_type = media_type(name)
        codec = _known(content_type)
        if codec is None or codec in tried or not codec.fits(value) or not _NAME.match(content_type):
            continue
        try:
            return codec.encode(value, content_type, codec.encoding)
        except BadContent:
            tried.append(codec)
    return None


def _as_it_is(message: Message) -> Encoded:
    header = message.header
    fields = {name: field for name, field in header.items() if name not in _SAID_OTHERWISE}
    content = bytes(as_octets(message.content))  # what its owner changes afterwards is not sent
    return Encoded(header.get("content-type", OCTETS), header.get("content-encoding", "binary"), content, fields)


def decode(message: Message) -> Any:
    """The Python value of a message's content, by its type and encoding.

    Raises:
        BadContent: the content is not what the header says.
    """
    content = bytes(message.content)
    required = {"byteorder": NATIVE, "content-type": OCTETS, "content-encoding": "binary"}
    return decode_content(content, Shape({**required, **message.header}, len(content), _LIMITS))


def encode(value: object, content_type: str | None = None, encoding: str | None = None) -> Message:
    """A message that holds a value.

    Args:
        value: anything with a JSON form, bytes, a ``numpy.ndarray``, or what fits the type: ``str`` for ``text/…``.
        content_type: default: ``application/octet-stream`` for bytes, ``binary/ndarray`` for arrays, else
            ``text/json``.
        encoding: default: ``utf-8`` for text and JSON, else ``binary``.

    Raises:
        BadContent: the value does not fit the type or the encoding.
    """
    if content_type is None:
        encoded = encode_content(value)
        if encoding in (None, encoded.encoding):
            return _message(encoded)
        content_type = encoded.content_type
    codec = codec_of(media_type(content_type))
    return _message(codec.encode(value, content_type, encoding or codec.encoding))


def _message(encoded: Encoded) -> Message:
    header = {
        "byteorder": NATIVE,
        "content-type": encoded.content_type,
        "content-encoding": encoded.encoding,
        **(encoded.fields or {}),
    }
    return Message(encoded.content, header)

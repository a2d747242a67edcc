"""Which content type stands for which Python value: the one place that decides it.

A family of types registers a ``Codec`` for a type (``text/json``) or a main type (``text/``). What nobody registered is
``bytes``. Of values for which no type is named, bytes stay bytes and everything else is JSON.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from letterhead.content.json import decode_json, encode_json
from letterhead.content.text import decode_text, encode_text
from letterhead.errors import BadContent
from letterhead.limits import Limits
from letterhead.message import Message, media_type
from letterhead.wire import strict_json
from letterhead.wire.header import JSON_TYPES
from letterhead.wire.writer import NATIVE

OCTETS = "application/octet-stream"
JSON = "text/json"
_DEPTH = Limits().content_depth


@dataclass(frozen=True, slots=True)
class Codec:
    """How content of one family is read and written; both take encoding and byte order as the header names them."""

    decode: Callable[[bytes, str, str, int], Any]
    encode: Callable[[Any, str, str], bytes]


def _text(data: bytes, encoding: str, byteorder: str, _depth: int) -> str:
    return decode_text(data, encoding, byteorder)


def _octets(data: bytes, _encoding: str, _byteorder: str, _depth: int) -> bytes:
    return bytes(data)


def _from_octets(value: Any, _encoding: str, _byteorder: str) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise BadContent(f"binary content is bytes, not {type(value).__name__}")
    return bytes(value)


_OCTETS = Codec(_octets, _from_octets)
_codecs: dict[str, Codec] = {
    **dict.fromkeys(JSON_TYPES, Codec(decode_json, encode_json)),
    "text/": Codec(_text, encode_text),
}


def register(content_type: str, codec: Codec) -> None:
    """Give a content type, or a main type written ``main/``, its codec."""
    _codecs[content_type.lower()] = codec


def codec_of(content_type: str) -> Codec:
    """The codec for a type in lower case without parameters."""
    found = _codecs.get(content_type)
    return found or _codecs.get(content_type.partition("/")[0] + "/", _OCTETS)


def decode_content(data: bytes, content_type: str, encoding: str, byteorder: str, max_depth: int = _DEPTH) -> Any:
    """The Python value of content.

    Raises:
        BadContent: it is not what its type and encoding say.
    """
    return codec_of(content_type).decode(data, encoding, byteorder, max_depth)


def encode_content(value: Any) -> tuple[str, str, bytes]:
    """``(content type, encoding, bytes)`` for a value: bytes as they are, everything else as JSON in UTF-8.

    Raises:
        BadContent: the value has no JSON form.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return OCTETS, "binary", value if isinstance(value, bytes) else bytes(value)
    try:
        return JSON, "utf-8", strict_json.encode(value)
    except strict_json.NotJson as error:
        raise BadContent(f"no JSON form: {error}") from None


def decode(message: Message) -> Any:
    """The Python value of a message's content, by its type and encoding.

    Raises:
        BadContent: the content is not what the header says.
    """
    order = message.header.get("byteorder", NATIVE)
    return decode_content(bytes(message.content), message.type, message.encoding, order)


def encode(value: Any, content_type: str | None = None, encoding: str | None = None) -> Message:
    """A message that holds a value.

    Args:
        value: anything with a JSON form, ``str`` for ``text/…``, or bytes.
        content_type: default: ``application/octet-stream`` for bytes, else ``text/json``.
        encoding: default: ``utf-8`` for text and JSON, else ``binary``.

    Raises:
        BadContent: the value does not fit the type or the encoding.
    """
    if content_type is None:
        content_type, chosen, content = encode_content(value)
        if encoding in (None, chosen):
            return Message(content, {"byteorder": NATIVE, "content-type": content_type, "content-encoding": chosen})
    codec = codec_of(media_type(content_type))
    if encoding is None:
        encoding = "binary" if codec is _OCTETS else "utf-8"
    header = {"byteorder": NATIVE, "content-type": content_type, "content-encoding": encoding}
    return Message(codec.encode(value, encoding, NATIVE), header)

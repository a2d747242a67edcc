"""``text/json`` and ``application/json``.

What lives here: encoding and decoding by the rules of ``wire/strict_json.py``, with the errors of content. Where the
content comes from is not known here.
"""

from typing import Any

from letterhead.content.text import decode_text, encode_text
from letterhead.errors import BadContent
from letterhead.wire import strict_json

_UTF_8 = frozenset({"utf-8", "utf8", "binary"})


def as_utf8(data: bytes, encoding: str, byteorder: str) -> bytes:
    """JSON in any listed encoding as UTF-8.

    Raises:
        BadContent: unknown encoding, or bytes that are not text in it.
    """
    return data if encoding in _UTF_8 else decode_text(data, encoding, byteorder).encode()


def decode_json(data: bytes, encoding: str, byteorder: str, max_depth: int) -> Any:
    """The value of JSON content.

    Raises:
        BadContent: empty, malformed, trailing data, NaN, lone surrogates, or nested deeper than ``max_depth``.
    """
    data = as_utf8(data, encoding, byteorder)
    try:
        return strict_json.decode(data, max_depth)
    except strict_json.NotJson as error:
        raise no_json(data, error) from None


def check_json(data: bytes, max_depth: int) -> None:
    """Refuse JSON content in UTF-8 that ``decode_json`` would refuse, without making its value.

    Raises:
        BadContent: the content is refused; the sentence says why.
    """
    try:
        strict_json.check(data, max_depth)
    except strict_json.NotJson as error:
        raise no_json(data, error) from None


def no_json(data: bytes, error: strict_json.NotJson) -> BadContent:
    """The refusal of content that is no JSON."""
    return BadContent(f"not JSON: {error}" if data else "JSON content is empty")


def encode_json(value: object, encoding: str = "utf-8", byteorder: str = "little") -> bytes:
    """JSON content.

    Raises:
        BadContent: the value has no JSON form (NaN, infinities, lone surrogates, unknown types).
    """
    try:
        data = strict_json.encode(value)
    except strict_json.NotJson as error:
        raise BadContent(f"no JSON form: {error}") from None
    return data if encoding in _UTF_8 else encode_text(data.decode(), encoding, byteorder)

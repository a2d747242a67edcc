"""Frames in, bytes out.

A head is what stands before the content: two length bytes and the header. Most of a head is the same from frame to
frame, so it is made in two steps: ``head_prefix`` encodes the fields up to the content length once, ``head`` adds the
two numbers that change. ``id`` stands last, which is what lets the reader at the other end remember the rest.

What a frame means is not known here, nor when it may be sent.
"""

import sys
from typing import Any

from letterhead.errors import UsageError
from letterhead.limits import Limits
from letterhead.message import Buffer, as_octets, media_type
from letterhead.wire import strict_json
from letterhead.wire.header import FRAMING, MAX_ID, TYPE

NATIVE = sys.byteorder
_NUMBERS = len(',"id":9007199254740991}') + len("4294967295")
_LENGTH_NAME = len(b',"content-length":')
_HEADER_BYTES = Limits().header_bytes
_HEADER_DEPTH = Limits().header_depth
_HEADER_FIELDS = Limits().header_fields
_COUNTED_LATER = len(("content-length", "id"))
_OWN = FRAMING | {"id"}


def head_prefix(
    content_type: str,
    encoding: str,
    fields: dict[str, Any] | None = None,
    byteorder: str = NATIVE,
    limit: int = _HEADER_BYTES,
) -> bytes:
    """The header's JSON up to and including the name of ``content-length``.

    Raises:
        UsageError: a field is not what section 1 wants or has no JSON form, or the header would be longer than
            ``limit`` bytes, or have more fields than a receiver takes.
    """
    if not isinstance(content_type, str) or not TYPE.match(media_type(content_type)):
        raise UsageError(f"a content type is type/subtype, not {content_type!r}", field="content-type")
    if not isinstance(encoding, str) or not encoding.strip():
        raise UsageError(f"a content encoding is a name, not {encoding!r}", field="content-encoding")
    if byteorder not in ("little", "big"):
        raise UsageError(f"a byte order is 'little' or 'big', not {byteorder!r}", field="byteorder")
    header: dict[str, Any] = {
        "byteorder": byteorder,
        "content-type": content_type,
        "content-encoding": encoding,
    }
    if fields:
        header.update((name, value) for name, value in fields.items() if name not in _OWN)
    count = len(header) + _COUNTED_LATER
    if count > _HEADER_FIELDS:
        raise UsageError(f"the header would have {count} fields; the limit is {_HEADER_FIELDS}", limit=_HEADER_FIELDS)
    try:
        encoded = strict_json.encode(header)
        strict_json.check_depth(encoded, _HEADER_DEPTH)
    except strict_json.NotJson as error:
        raise UsageError(f"a header field cannot be sent: {error}") from None
    prefix = encoded[:-1] + b',"content-length":'
    if len(prefix) + _NUMBERS > limit:
        raise UsageError(f"the header would be {len(prefix)} bytes; the limit is {limit}", limit=limit)
    return prefix


def with_field(prefix: bytes, name: str, value: object) -> bytes:
    """A head's constant part with one field more, whose name and value need no check: they are ours."""
    field = b'"%b":%b' % (name.encode(), strict_json.encode(value))
    return b'%b,%b,"content-length":' % (prefix[:-_LENGTH_NAME], field)


def head(prefix: bytes, length: int, id: int | None = None) -> bytes:
    """Length bytes and header for content of ``length`` bytes."""
    header = b"%b%d}" % (prefix, length) if id is None else b'%b%d,"id":%d}' % (prefix, length, id)
    return len(header).to_bytes(2, "big") + header


def encode_frame(header: dict[str, Any], content: Buffer = b"", limit: int = _HEADER_BYTES) -> bytes:
    """A whole frame. Required fields that are missing are filled in; ``content-length`` is always the content's own.

    Raises:
        UsageError: a header field cannot be encoded, ``id`` is not from 1 to 2^53-1, or the header is longer than
            ``limit`` bytes.
    """
    id = header.get("id")
    if id is not None and (type(id) is not int or not 1 <= id <= MAX_ID):
        raise UsageError(f"an id is an integer from 1 to {MAX_ID}, not {id!r}")
    prefix = head_prefix(
        header.get("content-type", "application/octet-stream"),
        header.get("content-encoding", "binary"),
        header,
        header.get("byteorder", NATIVE),
        limit,
    )
    content = as_octets(content)
    return b"".join((head(prefix, len(content), id), content))

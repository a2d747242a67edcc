"""Compression of content: the names on the wire, and what they stand for.

It is applied last and undone first, so nothing here knows what the content is. ``gzip`` is zlib's; ``zstd`` needs the
package zstandard (the extra ``zstd``), imported when it is used.

* What is decompressed is hostile: output stops at the limit that is given, one frame or member is the whole content,
  and zstd's window is bounded, since a frame of twenty bytes may ask for one of gigabytes.
* Both levels are the fastest: whoever compresses holds up an event loop. Of JSON zstd makes 290 MB/s at level 1, 2.6
  times smaller (level 3: 160 MB/s, 3.1 times); gzip 85 MB/s, 2.4 times (level 6: 42 MB/s, 2.6 times).
* What cannot be compressed costs gzip just as much, zstd next to nothing. So a piece of large content is tried first.

What may be compressed, and when that pays, is known here; who asked for it is not.
"""

import zlib
from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import Protocol

from letterhead.content.encoded import Encoded
from letterhead.errors import BadContent, TooLarge, UsageError, escaped
from letterhead.message import Buffer

GZIP = "gzip"
ZSTD = "zstd"
NAMES = (ZSTD, GZIP)
"""All that there are, the better ones first."""
SMALLEST = 1024
"""Content below this size is not compressed: what it saves is less than what it costs both sides."""
_GZIP_LEVEL = 1
_ZSTD_LEVEL = 1
_GZIP_FORMAT = 31
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_WINDOW = 8 << 20
"""What RFC 8878, section 3.1.1.1.2, wants every decoder to support."""
_ZSTD_SIZE_UNKNOWN = 2**64 - 2  # and one above it
_ZSTD_PIECE = 256
"""Bytes of which no more than 8 MiB can come: a block takes 4 at least, and holds 128 KiB at most."""
_TRIED = 16 * 1024
_TRIED_FROM = 128 * 1024


class _Frame(Protocol):
    """What zstandard decompresses piece by piece."""

    eof: bool
    unused_data: bytes

    def decompress(self, piece: bytes, /) -> bytes: ...


@lru_cache(maxsize=1)
def _zstandard() -> ModuleType | None:
    try:
        import zstandard
    except ImportError:
        return None
    return zstandard


def usable() -> tuple[str, ...]:
    """The compressions that this installation has, the better ones first."""
    return NAMES if _zstandard() is not None else (GZIP,)


def readable(names: Sequence[str]) -> tuple[str, ...]:
    """An application's choice of compressions, checked; each name once.

    Raises:
        UsageError: they are no names, or there is no such compression here.
    """
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"compressions are a list of names, such as {list(NAMES)}, not {names!r}")
    for name in names:
        if name not in NAMES:
            raise UsageError(f"there is no compression {name!r}: there are {', '.join(NAMES)}")
        if name not in usable():
            raise UsageError(
                f"compression {name!r} needs the package zstandard: install Letterhead with its extra zstd "
                "(add [zstd] to what pip installs it from)"
            )
    return tuple(dict.fromkeys(names))


def smaller(encoded: Encoded, names: Sequence[str]) -> Encoded:
    """A value compressed, if that makes it smaller; else as it is.

    Args:
        encoded: the value.
        names: compressions that the receiver reads; the first that is known here is used.
    """
    content = encoded.content
    size = len(content)
    if size < SMALLEST:
        return encoded
    name = next((name for name in names if name in usable()), None)
    if name is None:
        return encoded
    if size >= _TRIED_FROM:
        middle = size // 2
        if len(compress(memoryview(content)[middle : middle + _TRIED], name)) >= _TRIED:
            return encoded
    compressed = compress(content, name)
    if len(compressed) >= size:
        return encoded
    fields = {**(encoded.fields or {}), "compression": name}
    return Encoded(encoded.content_type, encoded.encoding, compressed, fields)


def compress(content: Buffer, name: str) -> bytes:
    """The content compressed.

    Raises:
        UsageError: there is no such compression here.
    """
    readable((name,))
    if name == GZIP:
        return zlib.compress(content, _GZIP_LEVEL, _GZIP_FORMAT)
    zstandard = _zstandard()
    assert zstandard is not None
    # One for each call: it must not be shared between threads, and making it takes 15 µs.
    compressed: bytes = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(content)
    return compressed


def decompress(content: bytes, name: str, limit: int) -> bytes:
    """The content that was compressed.

    Args:
        content: the compressed bytes.
        name: the compression's name on the wire.
        limit: bytes that may come out.

    Raises:
        TooLarge: more would come out.
        BadContent: it is not what the name says, is cut off, or something follows; or nothing here reads that name.
    """
    if name not in usable():
        raise BadContent(f"compression '{escaped(name)}' cannot be read here", compression=escaped(name))
    return _gunzip(content, limit) if name == GZIP else _unzstd(content, limit)


def _gunzip(content: bytes, limit: int) -> bytes:
    member = zlib.decompressobj(_GZIP_FORMAT)
    try:
        data = member.decompress(content, limit + 1)
    except zlib.error:
        raise BadContent("the content is not gzip") from None
    if len(data) > limit:
        raise _more_than(limit)
    if not member.eof:
        raise BadContent("the gzip content is cut off")
    if member.unused_data:
        raise BadContent("something follows the gzip content")
    return data


def _unzstd(content: bytes, limit: int) -> bytes:
    zstandard = _zstandard()
    assert zstandard is not None
    if not content.startswith(_ZSTD_MAGIC):  # frames to be skipped have another, and are no content
        raise BadContent("the content is not zstd")
    try:
        frame = zstandard.get_frame_parameters(content)
        size = None if frame.content_size >= _ZSTD_SIZE_UNKNOWN else frame.content_size
        if size is not None and size > limit:
            raise TooLarge(f"content of {size} bytes once decompressed; the limit is {limit}", size=size, limit=limit)
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        if not size:
            return _unzstd_in_pieces(decompressor.decompressobj(), content, limit)
        data: bytes = decompressor.decompress(content, max_output_size=size, allow_extra_data=False)
        return data
    except zstandard.ZstdError as error:
        raise BadContent(f"the content is not one sound zstd frame: {escaped(str(error), 100)}") from None


def _unzstd_in_pieces(frame: _Frame, content: bytes, limit: int) -> bytes:
    """For a frame that does not say its size, as streams are: so little at a time that what comes out is bounded.

    (Decompressing it at once, zstandard would not tell what is too large from what is cut off, nor what follows; nor
    would it look at what follows a frame that says 0.)
    """
    pieces: list[bytes] = []
    total = end = 0
    while end < len(content) and not frame.eof:
        pieces.append(frame.decompress(content[end : end + _ZSTD_PIECE]))
        end += _ZSTD_PIECE
        total += len(pieces[-1])
        if total > limit:
            raise _more_than(limit)
    if not frame.eof:
        raise BadContent("the zstd content is cut off")
    if frame.unused_data or end < len(content):
        raise BadContent("something follows the zstd content")
    return b"".join(pieces)


def _more_than(limit: int) -> TooLarge:
    return TooLarge(f"content of more than {limit} bytes once decompressed; the limit is {limit}", limit=limit)

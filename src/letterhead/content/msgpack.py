"""``application/msgpack``: msgspec reads and writes it, here stand the bounds that it does not keep.

Content is looked through before anything is made of it, which takes about as long again, and less where it is text,
numbers or empty containers side by side:

* It nests no deeper than the limit. msgspec's own bound is the interpreter's.
* The keys of maps are no arrays. msgspec would make tuples of them, whose hashes are no secret: 112 KB with keys that
  collide keep a dict busy for a second, 4 MiB for twenty minutes. Text and bytes are hashed with a secret, and numbers
  spread.

What there is beyond JSON: ``bytes``, keys that are no text, NaN and infinities, ``datetime`` with a zone (the timestamp
extension), and ``msgspec.msgpack.Ext`` for every other extension. Integers end at −2^63 and 2^64−1. Of a key that
stands twice the last one counts.

Where the content comes from is not known here.
"""

from typing import Any

import msgspec

from letterhead.errors import BadContent, escaped
from letterhead.wire.collecting import MUCH, without_collecting
from letterhead.wire.values import KEPT, LARGE, SCALARS, pieces, plain_scalar

_encoder = msgspec.msgpack.Encoder(enc_hook=plain_scalar)
_decoder = msgspec.msgpack.Decoder()
_ARRAYS = bytes((*range(0x90, 0xA0), 0xDC, 0xDD))
_MAPS = bytes((*range(0x80, 0x90), 0xDE, 0xDF))
_EMPTY_MAP, _EMPTY_ARRAY = _EMPTY = b"\x80\x90"
_NOT_ARRAYS = bytes(set(range(256)) - set(_ARRAYS))
_NOT_CONTAINERS = bytes(set(range(256)) - set(_ARRAYS) - set(_MAPS))


def _sizes() -> list[int]:
    """By its first byte, what a value takes that has nothing within it and does not say its length; else 0."""
    sizes = [1] * 0x80 + [0] * 0x20 + [1 + length for length in range(0x20)] + [0] * 0x20 + [1] * 0x20
    sizes[0xC0] = sizes[0xC2] = sizes[0xC3] = 1  # nil, false, true
    sizes[_EMPTY_MAP] = sizes[_EMPTY_ARRAY] = 1
    for first, size in ((0xCC, 2), (0xCD, 3), (0xCE, 5), (0xCF, 9), (0xCA, 5), (0xCB, 9)):  # unsigned, floats
        sizes[first] = size
    for first, size in enumerate((2, 3, 5, 9, 3, 4, 6, 10, 18), 0xD0):  # signed, extensions of 1 to 16 bytes
        sizes[first] = size
    return sizes


_SIZES = _sizes()
_OF_SIZE = {size: bytes(first for first in range(256) if _SIZES[first] == size) for size in set(_SIZES) - {0}}
_SCALARS_OF_SIZE = {size: bytes(set(firsts) - set(_EMPTY)) for size, firsts in _OF_SIZE.items()}
# First byte → bytes of the length behind it, and bytes that it does not count (an extension's type).
_BYTES = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0)}
_EXTENSIONS = {0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_TEXTS = {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_LENGTHS = {**_BYTES, **_EXTENSIONS, **_TEXTS}
_RUN = 16
_RUN_MOST = 1024


def decode_msgpack(data: bytes, encoding: str, max_depth: int) -> Any:
    """The value of msgpack content.

    Raises:
        BadContent: malformed, cut off, followed by more, nested deeper than ``max_depth``, text that is not UTF-8, an
            array as the key of a map, a time out of range, or another encoding than ``binary``.
    """
    check_msgpack(data, encoding, max_depth)
    try:
        return _decoder.decode(data) if len(data) < MUCH else without_collecting(_decoder.decode, data)
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError and msgspec's own
        raise BadContent(f"not msgpack: {error}") from None


def encode_msgpack(value: object, encoding: str = "binary") -> bytes:
    """Msgpack content.

    Raises:
        BadContent: the value has no msgpack form (integers beyond 64 bits, lone surrogates, unknown types, JSON in a
            ``msgspec.Raw``), or another encoding than ``binary``.
    """
    _check_encoding(encoding)
    try:
        data = _encoder.encode(value)
        if type(value) not in SCALARS and type(value) is not float:
            for part in (value,) if len(data) < LARGE else pieces(value):
                msgspec.to_builtins(part, enc_hook=_refuse_raw, builtin_types=KEPT)
        return data
    except (TypeError, ValueError, OverflowError, BufferError) as error:
        raise BadContent(f"no msgpack form: {error}") from None
    except RecursionError:
        raise BadContent("no msgpack form: nested too deep, or it contains itself") from None


def _refuse_raw(part: object) -> None:
    """Refuse what the encoder copies without a look: JSON, of which each byte is msgpack, too, but of another value.

    Raises:
        TypeError: the part is a ``msgspec.Raw``.
    """
    if type(part) is msgspec.Raw:
        raise TypeError("a msgspec.Raw holds JSON: send what msgspec.json.decode makes of it")


def check_msgpack(data: bytes, encoding: str, max_depth: int) -> None:
    """Refuse what would cost too much to decode, and most of what is no msgpack.

    Raises:
        BadContent: the content is refused; the sentence says why.
    """
    _check_encoding(encoding)
    # Without arrays, and with too few maps to nest that deep, there is nothing to find.
    if not data.translate(None, _NOT_ARRAYS) and len(data.translate(None, _NOT_CONTAINERS)) <= max_depth:
        return
    try:
        end = _walk(data, max_depth)
    except IndexError:
        end = len(data) + 1
    if end != len(data):
        raise BadContent(
            "the msgpack content is cut off" if end > len(data) else "something follows the msgpack content"
        )


def _check_encoding(encoding: str) -> None:
    if encoding != "binary":
        raise BadContent(f"msgpack content has the encoding 'binary', not '{escaped(encoding)}'")


def _walk(data: bytes, max_depth: int) -> int:
    """Where the first value ends, by what its parts say; IndexError where a part would begin behind the end."""
    pos, left, in_map = 0, 1, False  # values left in the innermost container; a map's keys and values count as two
    around: list[tuple[int, bool]] = []
    while True:
        while left:
            left -= 1
            first = data[pos]
            size = _SIZES[first]
            if size:
                if first in _EMPTY:
                    _check_container(in_map and left & 1, len(around) + 1, max_depth)
                pos += size
                continue
            if first in _LENGTHS:
                width, more = _LENGTHS[first]
                pos += 1 + width + more + int.from_bytes(data[pos + 1 : pos + 1 + width], "big")
                continue
            if first == 0xC1:
                raise BadContent("not msgpack: no value begins with c1")
            around.append((left, in_map))
            _check_container(in_map and left & 1, len(around), max_depth)
            if first < 0xA0:
                in_map, left = first < 0x90, first & 15
                pos += 1
            else:
                width = 4 if first & 1 else 2
                in_map, left = first >= 0xDE, int.from_bytes(data[pos + 1 : pos + 1 + width], "big")
                pos += 1 + width
            if in_map:
                left *= 2
            elif left >= _RUN:
                left, pos = _behind_run(data, pos, left, len(around) < max_depth)
        if not around:
            return pos
        left, in_map = around.pop()


def _check_container(is_key: bool | int, depth: int, max_depth: int) -> None:
    if is_key:
        raise BadContent("the key of a map is an array or a map")
    if depth > max_depth:
        raise BadContent(f"nested deeper than {max_depth}")


def _behind_run(data: bytes, pos: int, left: int, may_nest: bool) -> tuple[int, int]:
    """How many values of an array are left, and where they begin, behind those at its front that are equally long.

    Numbers mostly are, and are looked at in strides: ten times as fast. Where values differ, looking ahead stops.
    """
    alike = _OF_SIZE if may_nest else _SCALARS_OF_SIZE
    while left >= _RUN:
        size = _SIZES[data[pos]]
        if not size:
            break
        firsts = data[pos : pos + size * min(left, _RUN_MOST) : size]
        equal = len(firsts) - len(firsts.lstrip(alike[size]))
        pos += size * equal
        left -= equal
        if equal < _RUN:
            break
    return left, pos

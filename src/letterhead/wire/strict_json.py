"""JSON as the protocol reads and writes it: strict both ways, with a bound on nesting.

msgspec does the work; here stand the rules it does not keep by itself. It raises ``UnicodeDecodeError`` and
``RecursionError`` beside its own errors, has no bound on nesting short of the interpreter's, writes NaN and infinities
as ``null``, which would reach the other side as a wrong value, and copies what stands in a ``msgspec.Raw`` into what it
writes, whatever that is.

What the JSON is for is not known here.
"""

import codecs
import itertools
import math
import re
from typing import Any, TypeVar

import msgspec

from letterhead.limits import Limits
from letterhead.wire.collecting import MUCH, without_collecting
from letterhead.wire.values import KEPT, LARGE, SCALARS, pieces, plain_scalar

T = TypeVar("T")

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder(enc_hook=plain_scalar)
_checker = msgspec.json.Decoder(msgspec.Raw)
_make_utf_8_decoder = codecs.getincrementaldecoder("utf-8")
_TEXT_PIECE = 64 * 1024
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = bytes.maketrans(b"[]", b"\x01\xff")
_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
_MAY_BE_LARGE = (b"0e000", b"0" * 210)
"""Of digits made alike: a number out of range has an exponent of three digits, or this many before its point."""
_LONG_NUMBER = re.compile(rb"[-+.0-9eE]{5,}")
_NO_FLOAT = "NaN and infinities have no JSON form"
_RAW_DEPTH = Limits().content_depth


class NotJson(ValueError):
    """The bytes are not strict JSON, or the value has no JSON form; says why in one sentence."""


def decode(data: bytes, max_depth: int) -> Any:
    """The value of UTF-8 JSON; of a key that stands twice the last one counts.

    Raises:
        NotJson: malformed, not UTF-8, NaN or Infinity, a lone surrogate, trailing data, a number out of range, or
            nested deeper than ``max_depth`` (a scalar is depth 0).
    """
    try:
        value = decode_as(_decoder, data, max_depth)
    except msgspec.ValidationError as error:  # a number out of range
        raise NotJson(str(error)) from None
    if len(data) > max_depth:  # each level takes a byte
        check_depth(data, max_depth)
    return value


def decode_as(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw, max_depth: int) -> T:
    """What a decoder of msgspec's makes of JSON, without a look at the parts that its type has no place for.

    Raises:
        NotJson: it is no JSON, as far as the decoder has read it.
        msgspec.ValidationError: it does not fit the decoder's type, or a number is out of range; whether what follows
            is JSON is not known.
    """
    try:
        if len(data) < MUCH:
            return decoder.decode(data)
        return without_collecting(decoder.decode, data)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(str(error)) from None
    except RecursionError:
        raise NotJson(f"nested deeper than {max_depth}") from None


def check(data: bytes, max_depth: int) -> None:
    """Refuse what ``decode`` refuses, without making a value of it, which takes most of the time and all of the memory.

    Raises:
        NotJson: the data is refused; the sentence says why.
    """
    decode_as(_checker, data, max_depth)
    check_unread(data, max_depth)
    check_numbers(data)


def check_unread(data: bytes, max_depth: int) -> None:
    """Refuse valid JSON for what a decoder lets pass in parts that it reads past: deep nesting, and what is not UTF-8.

    Raises:
        NotJson: the data is refused; the sentence says why.
    """
    if len(data) > max_depth:  # each level takes a byte
        check_depth(data, max_depth)
    if data.isascii():
        return
    decoder = _make_utf_8_decoder()  # in pieces: the text may take four times as much memory
    try:
        for at in range(0, len(data), _TEXT_PIECE):
            decoder.decode(data[at : at + _TEXT_PIECE])
        decoder.decode(b"", True)
    except UnicodeDecodeError as error:
        raise NotJson(f"not UTF-8: {error.reason}") from None


def check_numbers(data: bytes) -> None:
    """Refuse valid JSON in which a number is out of range, which a decoder tells only of those that it makes.

    Raises:
        NotJson: a number is out of range.
    """
    alike = data.translate(_DIGITS, b"+")
    if not any(sign in alike for sign in _MAY_BE_LARGE):  # the common case
        return
    numbers = _LONG_NUMBER.findall(b" ".join(_without_escapes(data).split(b'"')[::2]))
    try:
        _decoder.decode(b"[%b]" % b",".join(numbers))
    except msgspec.DecodeError as error:
        raise NotJson(str(error).partition(" - ")[0]) from None  # at which of these is of no use


def _without_escapes(data: bytes) -> bytes:
    """Valid JSON in which every quote begins or ends a string."""
    return data.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in data else data


def check_depth(data: bytes, max_depth: int) -> None:
    """Refuse valid JSON that nests deeper than ``max_depth``.

    The structure is found in the bytes, by a few steps that are each about as fast as copying them: of 4 MiB of objects
    that takes an eighth of the time that decoding takes.

    Raises:
        NotJson: the nesting is deeper.
    """
    # Too few opening brackets to nest that deep is by far the common case and needs no look at the structure.
    if data.count(b"[") + data.count(b"{") <= max_depth:
        return
    left = _without_escapes(data).translate(_SQUARE, _NO_STRUCTURE)
    if b'"' in left:
        # A bracket stands in a string if an odd number of quotes precedes it. Taking away two quotes that touch changes
        # that for none, and leaves only the strings that have brackets in them.
        left = left.replace(b'""', b"")
        if b'"' in left:
            left = b"".join(left.split(b'"')[::2])
    allowed = max_depth
    while len(left) > 2 * allowed:
        # Without the pairs that have nothing between them, everything nests less deep by one level.
        shorter = left.replace(b"[]", b"") if allowed else b""
        allowed -= 1
        mostly_deep = 4 * len(shorter) > 3 * len(left)  # then one look at each bracket costs less
        if allowed < 0 or (mostly_deep and _depth(shorter) > allowed):
            raise NotJson(f"nested deeper than {max_depth}")
        if mostly_deep:
            return
        left = shorter


def _depth(brackets: bytes) -> int:
    return max(itertools.accumulate(memoryview(brackets.translate(_STEPS)).cast("b")), default=0)


def encode(value: object) -> bytes:
    """The JSON of a value in UTF-8: builtin types and whatever msgspec encodes (dataclasses, datetimes, enums, …).

    Raises:
        NotJson: a NaN, an infinity, a lone surrogate, a type without a JSON form, or a ``msgspec.Raw`` that holds no
            JSON that ``decode`` would take.
    """
    try:
        data = _encoder.encode(value)
        if type(value) in SCALARS:
            return data
        # A float that JSON cannot say became a ``null``, or as a key the text of its name.
        may_hide_float = b"null" in data or b'nan":' in data or b'inf":' in data
        if type(value) is float:
            if may_hide_float:
                raise NotJson(_NO_FLOAT)
        elif len(data) < LARGE:
            _check_part(value, may_hide_float)
        else:
            for part in pieces(value):
                _check_part(part, may_hide_float)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise NotJson(str(error)) from None
    except RecursionError:
        raise NotJson("nested too deep, or it contains itself") from None
    return data


def _check_part(part: object, may_hide_float: bool) -> None:
    """Refuse what the encoder wrote without a look, or as something else."""
    plain = msgspec.to_builtins(part, enc_hook=_plain_part, builtin_types=KEPT)
    if may_hide_float and _has_unsayable_float(plain):
        raise NotJson(_NO_FLOAT)


def _plain_part(part: object) -> object:
    if type(part) is not msgspec.Raw:
        return plain_scalar(part)
    try:
        check(bytes(part), _RAW_DEPTH)
    except NotJson as error:
        raise NotJson(f"what a msgspec.Raw holds is not JSON: {error}") from None
    return None


def _has_unsayable_float(value: object) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, float):
            if not math.isfinite(item):
                return True
        elif isinstance(item, dict):
            pending.extend(item.keys())
            pending.extend(item.values())
        elif isinstance(item, (list, tuple, set, frozenset)):
            pending.extend(item)
    return False

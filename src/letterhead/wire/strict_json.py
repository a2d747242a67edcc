"""JSON as the protocol reads and writes it: strict both ways, with a bound on nesting.

msgspec does the work; here stand the rules it does not keep by itself. It raises ``UnicodeDecodeError`` and
``RecursionError`` beside its own errors, has no bound on nesting short of the interpreter's, and writes NaN and
infinities as ``null``, which would reach the other side as a wrong value.
"""

import itertools
import math
import re
import sys
from typing import Any

import msgspec


def plain_number(value: Any) -> Any:
    """What encoders make of a type that msgspec does not know: numpy's numbers count as Python's.

    Raises:
        TypeError: it is another type.
    """
    if type(value).__module__ == "numpy":  # then it has been imported, by others
        numpy = sys.modules["numpy"]
        if isinstance(value, (numpy.bool_, numpy.integer, numpy.floating)) and not isinstance(value, numpy.longdouble):
            return value.item()
        if isinstance(value, numpy.ndarray):
            raise TypeError("an array goes by itself, or as a list (array.tolist())")
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder(enc_hook=plain_number)
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class NotJson(ValueError):
    """The bytes are not strict JSON, or the value has no JSON form; says why in one sentence."""


def decode(data: bytes, max_depth: int) -> Any:
    """The value of UTF-8 JSON; of a key that stands twice the last one counts.

    Raises:
        NotJson: malformed, not UTF-8, NaN or Infinity, a lone surrogate, trailing data, a number out of range, or
            nested deeper than ``max_depth`` (a scalar is depth 0).
    """
    try:
        value = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJson(str(error)) from None
    except RecursionError:
        raise NotJson(f"nested deeper than {max_depth}") from None
    if len(data) > max_depth:  # each level takes a byte
        check_depth(data, max_depth)
    return value


def check_depth(data: bytes, max_depth: int) -> None:
    """Refuse valid JSON that nests deeper than ``max_depth``.

    Raises:
        NotJson: it does.
    """
    # Too few opening brackets to nest that deep is by far the common case and needs no look at the structure.
    if data.count(b"[") + data.count(b"{") <= max_depth:
        return
    brackets = _STRING.sub(b"", data).translate(None, _NOT_BRACKETS)
    if max(itertools.accumulate(map(_STEP.__getitem__, brackets)), default=0) > max_depth:
        raise NotJson(f"nested deeper than {max_depth}")


def encode(value: Any) -> bytes:
    """The JSON of a value in UTF-8: builtin types and whatever msgspec encodes (dataclasses, datetimes, enums, …).

    Raises:
        NotJson: a NaN, an infinity, a lone surrogate, or a type without a JSON form.
    """
    try:
        data = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise NotJson(str(error)) from None
    except RecursionError:
        raise NotJson("nested too deep, or it contains itself") from None
    # Only a ``null`` in the output can hide a float that JSON cannot say.
    if b"null" in data and _hides_float(value):
        raise NotJson("NaN and infinities have no JSON form")
    return data


def _hides_float(value: Any) -> bool:
    try:
        return _has_unsayable_float(msgspec.to_builtins(value, enc_hook=plain_number))
    except TypeError as error:  # JSON that was encoded before (msgspec.Raw) has no other form
        raise NotJson(str(error)) from None


def _has_unsayable_float(value: Any) -> bool:
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

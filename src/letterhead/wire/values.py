"""What encoders have to know of Python's values beyond what msgspec does: numpy's scalars, and large lists.

It knows no form of content, and never imports numpy: whoever has a value of numpy's has done that.

Which encoder asks is not known here.
"""

import datetime as dt
import sys
from collections.abc import Iterable
from itertools import chain
from types import ModuleType
from typing import Any

SCALARS = frozenset({str, int, bool, type(None)})
"""The most frequent types that are no container, but for ``float``, which not every encoder can say all of."""
KEPT = (bytes, bytearray, memoryview)
"""For ``msgspec.to_builtins``: left as they are, since a copy of each in base64 would be of no use."""
LARGE = 16 * 1024
_PIECE = 1024


def plain_scalar(value: object) -> object:
    """Python's own value for one of numpy's scalars, where there is one that equals it.

    Those are numbers, text and bytes; and times and durations to the microsecond, as Python counts them.

    Raises:
        TypeError: the value has no exact form in JSON or msgpack; the sentence says what to send instead.
    """
    numpy = sys.modules.get("numpy")
    if numpy is not None and hasattr(numpy, "ndarray"):  # it has none while another thread imports it
        if isinstance(value, numpy.generic):
            return _of_numpy(value, numpy)
        if isinstance(value, numpy.ndarray):
            raise TypeError("an array goes by itself, or as a list (array.tolist())")
    raise TypeError(f"Encoding objects of type {type(value).__name__} is unsupported")


def _of_numpy(value: Any, numpy: ModuleType) -> object:
    if isinstance(value, (numpy.datetime64, numpy.timedelta64)):  # before integers: a duration counts as one
        return _time(value, numpy)
    if isinstance(value, (numpy.bool_, numpy.integer, numpy.float16, numpy.float32, numpy.float64)):
        return value.item()
    if isinstance(value, numpy.str_):
        return "".join((value,))  # item() drops zeros at the end, as arrays do
    if isinstance(value, numpy.bytes_):
        return bytes(value)
    kind = type(value).__name__
    if isinstance(value, numpy.complexfloating):
        raise TypeError(f"{kind} has no form of its own: send [float(value.real), float(value.imag)]")
    if isinstance(value, numpy.longdouble):
        raise TypeError(f"{kind} has no exact form: send float(value), which rounds, or str(value)")
    raise TypeError(f"numpy's {kind} has no form of its own: send value.item()")


def _time(value: Any, numpy: ModuleType) -> dt.date | dt.timedelta:
    if numpy.isnat(value):
        raise TypeError("NaT has no form of its own: send None")
    plain = value.item()
    if isinstance(plain, (dt.date, dt.timedelta)):
        return plain
    if isinstance(value, numpy.datetime64):
        raise TypeError(
            f"no datetime of Python's is as exact as this {value.dtype}, or none is so far off: send str(value)"
        )
    raise TypeError(f"no timedelta of Python's is as exact as this {value.dtype}: send int(value), and say the unit")


def pieces(value: object) -> Iterable[object]:
    """What a value consists of, such that no piece is a long list: of a long one many short ones, also in a dict.

    For what copies a value only to look at it: a copy of the whole would be held, and visited by the garbage collector
    again and again, which takes longer than making it.
    """
    if type(value) is dict and len(value) <= _PIECE:
        return chain((list(value),), *map(_slices, value.values()))
    return _slices(value)


def _slices(value: object) -> Iterable[object]:
    if type(value) is list and len(value) > _PIECE:
        return (value[at : at + _PIECE] for at in range(0, len(value), _PIECE))
    return (value,)

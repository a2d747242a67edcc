"""A reading of msgpack and arrays of its own, to hold the cases against: slow, plain, the standard library alone.

What lives here: bytes → the notation of README.md (`value`, `tagged`, `items`).
The rules: ValueError for all that section 3 refuses.
What this file must not know: any implementation of the protocol, and where the cases come from.
"""

import datetime as dt
import math
import struct
from collections.abc import Mapping
from typing import Any

_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"} | {
    0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
}  # fmt: skip
_CODES = {
    "bool": "?", "int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint8": "B", "uint16": "H", "uint32": "I",
    "uint64": "Q", "float16": "e", "float32": "f", "float64": "d", "complex64": "ff", "complex128": "dd",
}  # fmt: skip


class _Msgpack:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, size: int) -> bytes:
        if size > len(self.data):
            raise ValueError("cut off")
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def value(self, depth: int) -> Any:
        """In Python's types; bytes, extensions and times as they are tagged."""
        first = self.number(1)
        if first < 0x80 or first >= 0xE0:
            return first if first < 0x80 else first - 256
        if first in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        if first in _NUMBERS:
            return struct.unpack(_NUMBERS[first], self.take(struct.calcsize(_NUMBERS[first])))[0]
        if 0xA0 <= first < 0xC0 or first in (0xD9, 0xDA, 0xDB):
            return self.take(first & 31 if first < 0xC0 else self.number(1 << (first - 0xD9))).decode("utf-8")
        if first in (0xC4, 0xC5, 0xC6):
            return self.take(self.number(1 << (first - 0xC4)))
        if 0xD4 <= first <= 0xD8 or first in (0xC7, 0xC8, 0xC9):
            size = 1 << (first - 0xD4) if first >= 0xD4 else self.number(1 << (first - 0xC7))
            code = struct.unpack("b", self.take(1))[0]
            return time_of(self.take(size)) if code == -1 else (code, self.take(size))
        if 0x90 <= first < 0xA0 or first in (0xDC, 0xDD):
            size = first & 15 if first < 0xA0 else self.number(2 << (first - 0xDC))
            inside = deeper(depth)
            return [self.value(inside) for _ in range(size)]
        if 0x80 <= first < 0x90 or first in (0xDE, 0xDF):
            size = first & 15 if first < 0x90 else self.number(2 << (first - 0xDE))
            inside = deeper(depth)
            return {self.key(inside): self.value(inside) for _ in range(size)}
        raise ValueError("no value begins so")

    def key(self, depth: int) -> Any:
        key = self.value(depth)
        if isinstance(key, (list, dict)):
            raise ValueError("no key")
        return key


def deeper(depth: int) -> int:
    """One level more; ValueError beyond 64."""
    if depth == 64:
        raise ValueError("nested too deep")
    return depth + 1


def time_of(data: bytes) -> dt.datetime:
    """The timestamp extension."""
    if len(data) == 4:
        nanoseconds, seconds = 0, int.from_bytes(data, "big")
    elif len(data) == 8:
        nanoseconds, seconds = divmod(int.from_bytes(data, "big"), 1 << 34)
    elif len(data) == 12:
        nanoseconds, seconds = struct.unpack(">Iq", data)
    else:
        raise ValueError("no timestamp")
    if nanoseconds >= 10**9:
        raise ValueError("more than a second")
    return dt.datetime.fromtimestamp(seconds, dt.UTC) + dt.timedelta(microseconds=nanoseconds // 1000)


def msgpack(content: bytes, encoding: str) -> Any:
    """The value of msgpack content."""
    if encoding != "binary":
        raise ValueError("not binary")
    reader = _Msgpack(content)
    value = reader.value(0)
    if reader.data:
        raise ValueError("more follows")
    return value


def items(content: bytes, encoding: str, byteorder: str, fields: Mapping[str, Any]) -> list[Any]:
    """The items of an array, in C order; those of complex numbers as pairs."""
    dtype, shape = fields.get("dtype"), fields.get("shape")
    if encoding != "binary" or not isinstance(dtype, str) or dtype not in _CODES or not isinstance(shape, list):
        raise ValueError("no array")
    if len(shape) > 64 or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("no shape")
    item = struct.Struct({"little": "<", "big": ">"}[byteorder] + _CODES[dtype])
    if math.prod(shape) * item.size != len(content) or (dtype == "bool" and set(content) - {0, 1}):
        raise ValueError("sizes that do not agree, or a bool that is none")
    found = [list(parts) for parts in item.iter_unpack(content)] if content else []
    return found if dtype.startswith("complex") else [part for (part,) in found]


def untagged(tagged: Any, bytes_of: Any) -> Any:
    """What the notation `tagged` stands for, as `msgpack` gives it."""
    match tagged:
        case {"extension": int(code), "bytes": parts}:
            return code, bytes_of(parts)
        case {"bytes": parts}:
            return bytes_of(parts)
        case {"float": str(name)}:
            return float(name)
        case {"timestamp": str(time)}:
            return dt.datetime.fromisoformat(time)
        case {"array": list(parts)}:
            return [untagged(part, bytes_of) for part in parts]
        case {"map": list(pairs)}:
            return {untagged(key, bytes_of): untagged(value, bytes_of) for key, value in pairs}
        case None | bool() | int() | float() | str():
            return tagged
    raise ValueError(f"no value: {tagged!r}")

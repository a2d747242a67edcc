"""Cases for section 3, the content that is neither text nor JSON: msgpack and arrays.

What lives here: the source of the last cases of contents.json.
The rules: content bytes are written down, or packed by the standard library; the value of a case is never computed by
decoding.
What this file must not know: any implementation of the protocol, of msgpack, or of arrays.
"""

import json
import struct
from typing import Any, Protocol

UNREADABLE = object()
MSGPACK = "application/msgpack"
NDARRAY = "binary/ndarray"
KEYS = "which values may be the key of a map is not said: no array and no map"
STRICT = "the encoding of what is no text is binary, and nothing else"
LIST = "which dtypes there are is not said beyond the examples"
_CODES = {
    "int8": "b", "int16": "h", "int32": "i", "int64": "q", "uint8": "B", "uint16": "H", "uint32": "I", "uint64": "Q",
    "float16": "e", "float32": "f", "float64": "d",
}  # fmt: skip


class Cases(Protocol):
    """Where the cases go: see Contents in content_cases.py."""

    def binary(
        self,
        name: str,
        says: str,
        kind: str,
        content: bytes,
        result: dict[str, Any] | object,
        *,
        choice: str = "",
        encoding: str = "binary",
        byteorder: str | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        """One content; `result` is `{"value": …}`, `{"tagged": …}`, `{"items": …}` or UNREADABLE."""


def _msgpack(cases: Cases) -> None:
    plain: list[tuple[bytes, Any]] = [
        (b"\xc0", None), (b"\xc2", False), (b"\xc3", True), (b"\x00", 0), (b"\x7f", 127), (b"\xff", -1), (b"\xe0", -32),
        (b"\xcc\xff", 255), (b"\xcd\x01\x00", 256), (b"\xce\x00\x01\x00\x00", 65536),
        (b"\xcf" + b"\xff" * 8, 2**64 - 1), (b"\xd0\x80", -128), (b"\xd1\xff\x7f", -129),
        (b"\xd2\xff\xff\x7f\xff", -32769), (b"\xd3\x80" + bytes(7), -(2**63)),
        (b"\xca\x3f\xc0\x00\x00", 1.5), (b"\xcb\x3f\xb9" + b"\x99" * 5 + b"\x9a", 0.1),
        (b"\xa0", ""), (b"\xa5na\xc3\xafv", "naïv"), (b"\xd9\x02hi", "hi"), (b"\xda\x00\x02hi", "hi"),
        (b"\xdb\x00\x00\x00\x02hi", "hi"), (b"\x90", []), (b"\x93\x01\xa1a\xc0", [1, "a", None]),
        (b"\xdc\x00\x01\x05", [5]), (b"\xdd\x00\x00\x00\x01\x05", [5]), (b"\x80", {}),
        (b"\x82\xa1a\x01\xa1b\x91\x02", {"a": 1, "b": [2]}), (b"\xde\x00\x01\xa1a\x01", {"a": 1}),
        (b"\xdf\x00\x00\x00\x01\xa1a\x01", {"a": 1}),
    ]  # fmt: skip
    for content, value in plain:
        cases.binary(f"msgpack-{content.hex()}", "a msgpack value", MSGPACK, content, {"value": value})
    letter = {"bytes": [{"text": "a"}]}
    tagged: list[tuple[bytes, Any]] = [
        (b"\xc4\x02\xff\x00", {"bytes": ["ff00"]}),
        (b"\xc4\x00", {"bytes": []}),
        (b"\xc5\x00\x01a", letter),
        (b"\x91\xc6\x00\x00\x00\x01a", {"array": [letter]}),
        (b"\xcb\x7f\xf0" + bytes(6), {"float": "inf"}),
        (b"\xcb\xff\xf0" + bytes(6), {"float": "-inf"}),
        (b"\xcb\x7f\xf8" + bytes(6), {"float": "nan"}),
        (b"\x82\x01\x02\xc4\x01a\xc0", {"map": [[1, 2], [letter, None]]}),
        (b"\xd6\xff\x65\xe0\x0b\x40", {"timestamp": "2024-02-29T04:42:40Z"}),
        (b"\xd4\x05a", {"extension": 5, **letter}),
        (b"\xc7\x01\x07a", {"extension": 7, **letter}),
    ]
    for content, value in tagged:
        says = "a msgpack value that JSON has not"
        cases.binary(f"msgpack-{content.hex()}", says, MSGPACK, content, {"tagged": value})
    bad = [
        b"", b"\xc1", b"\x91\xc1", b"\xc0\xc0", b"\x90\x90", b"\x92\xc0", b"\xa1", b"\xa1\xff", b"\xa3\xed\xa0\x80",
        b"\x81\xa1a", b"\xcf\x00", b"\xdc\x00", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff\xa1a\x01",
        b"\xc6\xff\xff\xff\xff", b"\xdb\x7f\xff\xff\xff", b"\xd7\xff" + b"\xff" * 8, b"\xc7\x05\xff" + bytes(5),
    ]  # fmt: skip
    for content in bad:
        name = f"msgpack-bad-{content.hex() or 'empty'}"
        cases.binary(name, "no msgpack, or more or less than one value", MSGPACK, content, UNREADABLE)
    for content in (b"\x81\x90\x01", b"\x81\x91\x01\x02", b"\x81\x80\x01", b"\x91\x82\xa1a\x01\x92\x01\x02\x03"):
        cases.binary(f"msgpack-key-{content.hex()}", "the key of a map", MSGPACK, content, UNREADABLE, choice=KEYS)
    last = "of a key that stands twice the last one counts, as in JSON"
    cases.binary("msgpack-key-twice", last, MSGPACK, b"\x82\xa1a\x01\xa1a\x02", {"value": {"a": 2}}, choice=last)
    says = "nesting is bounded by 64, as that of JSON is"
    arrays: Any = []
    maps: Any = {}
    for _ in range(63):
        arrays, maps = [arrays], {"a": maps}
    for levels in (64, 65):
        result = {"value": arrays} if levels == 64 else UNREADABLE
        cases.binary(
            f"msgpack-nesting-{levels}-arrays", says, MSGPACK, b"\x91" * (levels - 1) + b"\x90", result, choice=says
        )
        result = {"value": maps} if levels == 64 else UNREADABLE
        cases.binary(
            f"msgpack-nesting-{levels}-maps", says, MSGPACK, b"\x81\xa1a" * (levels - 1) + b"\x80", result, choice=says
        )
    cases.binary("msgpack-nesting-100000", says, MSGPACK, b"\x91" * 100_000 + b"\xc0", UNREADABLE, choice=says)
    for encoding in ("utf-8", "utf-99"):
        name = f"msgpack-in-{encoding}"
        cases.binary(
            name, "another encoding than binary", MSGPACK, b"\xc0", UNREADABLE, encoding=encoding, choice=STRICT
        )


def _arrays(cases: Cases) -> None:
    def add(
        name: str,
        says: str,
        content: bytes,
        result: object,
        dtype: Any,
        shape: Any,
        order: str = "little",
        choice: str = "",
    ) -> None:
        fields = {"dtype": dtype, "shape": shape}
        fields = {name: value for name, value in fields.items() if value is not ...}
        cases.binary(f"array-{name}", says, NDARRAY, content, result, byteorder=order, fields=fields, choice=choice)

    for order, mark in (("little", "<"), ("big", ">")):
        says = f"items in C order, in byteorder {order}"
        for dtype, code in _CODES.items():
            items: list[Any] = [0, 1, 2, 100, 5, 6]
            items = [item / 4 for item in items] if dtype.startswith("float") else items
            content = struct.pack(f"{mark}6{code}", *items)
            add(f"{dtype}-{order}", says, content, {"items": items}, dtype, [2, 3], order)
        for dtype, code in (("complex64", "f"), ("complex128", "d")):
            content = struct.pack(f"{mark}4{code}", 1, -2, 0.5, 0)
            add(f"{dtype}-{order}", says, content, {"items": [[1.0, -2.0], [0.5, 0.0]]}, dtype, [2], order)
        add(
            f"bool-{order}",
            "one byte each, 0 or 1",
            b"\x00\x01\x01",
            {"items": [False, True, True]},
            "bool",
            [3],
            order,
        )
    add("without-dimensions", "one item", b"\x05", {"items": [5]}, "int8", [])
    for shape in ([0], [0, 5], [3, 0, 2], [2**40, 0]):
        add(f"empty-{'x'.join(map(str, shape))}", "no item, of any shape", b"", {"items": []}, "float64", shape)
    add(
        "64-dimensions",
        "as many as there can be",
        b"\x05",
        {"items": [5]},
        "int8",
        [1] * 64,
        choice="64 dimensions at most",
    )
    add(
        "65-dimensions", "more than there can be", b"\x05", UNREADABLE, "int8", [1] * 65, choice="64 dimensions at most"
    )
    for size, shape in ((7, [8]), (9, [8]), (8, [3, 3]), (0, []), (1, [0]), (8, [2**61]), (0, [2**32, 2**32])):
        name = f"{size}-bytes-for-{'x'.join(map(str, shape)) or 'one'}"
        add(name, "sizes that do not agree", bytes(size), UNREADABLE, "int8", shape)
    says = "shape is a list of integers from 0"
    for wrong in (..., None, 8, "8", [8.0], [True] * 8, ["8"], [-8], [-1, -8], [[8]], {"0": 8}):
        written = "missing" if wrong is ... else json.dumps(wrong, separators=(",", ":"))
        add(f"shape-{written}", says, bytes(8), UNREADABLE, "int8", wrong)
    says = "dtype is the name of one, without byte order"
    for wrong in (
        ...,
        None,
        8,
        ["int8"],
        "object",
        "O",
        "str",
        "",
        "<i8",
        ">f8",
        "i8",
        "V8",
        "i4,f4",
        "datetime64[ns]",
    ):
        written = "missing" if wrong is ... else json.dumps(wrong)
        add(f"dtype-{written}", says, bytes(8), UNREADABLE, wrong, [1])
    for dtype in ("float128", "FLOAT64", "bfloat16"):
        add(f"dtype-{dtype}", "not on the list", bytes(8), UNREADABLE, dtype, [1], choice=LIST)
    add("bool-of-2", "one byte each, 0 or 1", b"\x00\x02", UNREADABLE, "bool", [2], choice="what else a bool could be")
    fields = {"dtype": "int8", "shape": [1]}
    says = "another encoding than binary"
    cases.binary(
        "array-in-utf-8",
        says,
        NDARRAY,
        b"a",
        UNREADABLE,
        encoding="utf-8",
        byteorder="little",
        fields=fields,
        choice=STRICT,
    )


def add_binary_cases(cases: Cases) -> None:
    """All cases of this file."""
    _msgpack(cases)
    _arrays(cases)

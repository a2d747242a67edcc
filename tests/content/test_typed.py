"""Content as a wanted type: JSON, msgpack, and everything else; what does not fit, and what is not even sound."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from letterhead.content.registry import encode
from letterhead.content.typed import DoesNotFit, TypeReader
from letterhead.errors import BadContent
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.wire.header import Shape
from tests.ids import shown


@dataclass
class Point:
    """A type with one field that must be there."""

    x: int
    label: str = ""


def read(kind: Any, message: Message, depth: int = 64) -> Any:
    return TypeReader(kind).read(bytes(message.content), Shape(message.header, 0, Limits()), depth)


def raw(content: bytes, content_type: str) -> Message:
    encoding = "utf-8" if "json" in content_type else "binary"
    return Message(content, {"byteorder": "little", "content-type": content_type, "content-encoding": encoding})


@pytest.mark.parametrize("content_type", ["text/json", "application/json", "application/msgpack"])
@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        (Point, {"x": 1}, Point(1)),
        (list[Point], [{"x": 1, "label": "a", "unknown": [1]}], [Point(1, "a")]),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (tuple[int, ...], [1, 2], (1, 2)),
        (bytes, b"ab", b"ab"),
        (memoryview, b"ab", memoryview(b"ab")),
        (dt.datetime, dt.datetime(2024, 2, 29, tzinfo=dt.UTC), dt.datetime(2024, 2, 29, tzinfo=dt.UTC)),
        (Decimal, Decimal("1.10"), Decimal("1.10")),
        (int | None, None, None),
        (Any, [1, {"a": None}], [1, {"a": None}]),
    ],
    ids=shown,
)
def test_a_value_is_read_as_the_type(content_type: str, kind: Any, value: Any, wanted: Any) -> None:
    got = read(kind, encode(value, content_type))
    assert got == wanted
    assert type(got) is type(wanted)


def test_keys_that_are_no_text_are_read_from_msgpack() -> None:
    assert read(dict[int, str], encode({1: "a"}, "application/msgpack")) == {1: "a"}


def test_the_digits_of_a_number_are_kept() -> None:
    assert read(Decimal, raw(b"0.10000000000000000001", "text/json")) == Decimal("0.10000000000000000001")


@pytest.mark.parametrize("content_type", ["text/json", "application/msgpack"])
@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (Point, {"x": "1"}, r"Expected `int`, got `str` - at `\$\.x`"),
        (Point, {"label": "a"}, "missing required field `x`"),
        (list[int], {"a": 1}, "Expected `array`, got `object`"),
        (int, None, r"Expected `int`, got `(null|None)`"),
        (np.ndarray, [1, 2], "Expected an array"),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_told(content_type: str, kind: Any, value: Any, words: str) -> None:
    with pytest.raises(DoesNotFit, match=words):
        read(kind, encode(value, content_type))


@pytest.mark.parametrize("kind", [Any, Point, int, np.ndarray])
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"", "text/json"),
        (b"{", "text/json"),
        (b'{"x": 1} x', "text/json"),
        (b'{"x": NaN}', "text/json"),
        (b'{"x": 1, "unknown": "\xff"}', "text/json"),
        (b'{"x": 1, "unknown": ' + b"[" * 70 + b"]" * 70 + b"}", "text/json"),
        (b"[" * 100_000, "text/json"),
        (b"", "application/msgpack"),
        (b"\xc1", "application/msgpack"),
        (b"\x81\xa1x\x01\x01", "application/msgpack"),
        (b"\x81\xa1x", "application/msgpack"),
        (b"\x82\xa1x\x01\xa1y" + b"\x91" * 70 + b"\xc0", "application/msgpack"),
        (b"\x82\xa1x\x01\xa1y\x81\x90\x01", "application/msgpack"),
        (b"\x91" * 100_000, "application/msgpack"),
        (b"\xff" * 8, "binary/ndarray"),
    ],
    ids=lambda item: item[:20].hex() if isinstance(item, bytes) else str(item),
)
def test_what_is_not_sound_is_bad_content_for_every_type(kind: Any, content: bytes, content_type: str) -> None:
    with pytest.raises(BadContent):
        read(kind, raw(content, content_type))


@pytest.mark.parametrize("content_type", ["text/json", "application/msgpack"])
def test_that_content_is_not_sound_is_told_rather_than_that_it_does_not_fit(content_type: str) -> None:
    unsound = b'{"x": "1", "y": "\xff"}' if content_type == "text/json" else b"\x82\xa1x\xa11\xa1y\xa1\xff"
    with pytest.raises(BadContent):
        read(Point, raw(unsound, content_type))


def test_bytes_are_viewed_without_a_copy() -> None:
    content = bytes(1000)
    shape = Shape(raw(b"", "image/png").header, 0, Limits())
    view = TypeReader(memoryview).read(content, shape, 64)
    assert view.obj is content
    assert view.readonly
    assert TypeReader(bytes).read(content, shape, 64) is content


def test_arrays_are_checked_by_their_hint() -> None:
    made = encode(np.zeros(3, "float32"))
    assert read(NDArray[np.float32], made).dtype == "float32"
    assert read(np.ndarray | None, made).shape == (3,)
    assert read(np.ndarray | None, encode(None)) is None
    with pytest.raises(DoesNotFit, match="float64"):
        read(NDArray[np.float64], made)
    with pytest.raises(DoesNotFit):
        read(int, made)
    assert read(np.ndarray, made) is not None


def test_a_type_that_no_content_becomes_is_refused_at_once() -> None:
    with pytest.raises(TypeError):
        TypeReader(int | Point | list[int] | tuple[int])


def test_a_struct_of_another_library_s_type_takes_only_that() -> None:
    class Own:
        """A class that no content becomes."""

    class Holder(msgspec.Struct):
        own: Own | None = None

    assert read(Holder, encode({})).own is None
    with pytest.raises(DoesNotFit, match="Expected `Own`, got `int`"):
        read(Holder, encode({"own": 5}))

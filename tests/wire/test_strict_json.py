"""Strict JSON: held against Python's own reader, and against what the protocol forbids."""

import contextlib
import dataclasses
import datetime
import enum
import json
import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.wire.strict_json import NotJson, check, decode, encode

DEPTH = 64
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
ALPHABET = b'{}[]",:\\u0123456789abcdefDd8+-.eE truefalsn\t\n\r/\x00\x1f\x7f\xc3\xa9\xed\xa0\xff\xef\xbb\xbf'


def by_the_book(data: bytes) -> Any:
    """Python's reader, with what it lets pass refused. Raises ValueError."""
    text = data.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("byte-order mark")

    def number(digits: str) -> float:
        if math.isinf(value := float(digits)):
            raise ValueError(digits)
        return value

    def constant(name: str) -> float:
        raise ValueError(name)

    value = json.loads(text, parse_float=number, parse_constant=constant)
    json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def refusal(read: Callable[[bytes, int], Any], data: bytes, depth: int = DEPTH) -> bool:
    """Whether a reader refuses the bytes."""
    try:
        read(data, depth)
    except NotJson:
        return True
    return False


@settings(deadline=None, max_examples=500)
@given(st.lists(st.sampled_from([bytes([byte]) for byte in ALPHABET]), max_size=24).map(b"".join))
def test_any_bytes_are_what_python_s_reader_says_or_no_json(data: bytes) -> None:
    assert refusal(check, data) == refusal(decode, data)
    try:
        expected = by_the_book(data)
    except ValueError:
        with pytest.raises(NotJson):
            decode(data, DEPTH)
    else:
        assert repr(decode(data, DEPTH)) == repr(expected)


@settings(deadline=None, max_examples=300)
@given(values, st.integers(0, 200), st.sampled_from([b"", b"]", b'"', b"\xff", b"\\", b",", b"0"]))
def test_damaged_json_is_what_python_s_reader_says_or_no_json(value: Any, at: int, piece: bytes) -> None:
    data = json.dumps(value, ensure_ascii=False).encode()
    damaged = data[:at] + piece + data[at + 1 :]
    assert refusal(check, damaged) == refusal(decode, damaged)
    try:
        expected = by_the_book(damaged)
    except ValueError:
        with pytest.raises(NotJson):
            decode(damaged, DEPTH)
    else:
        assert decode(damaged, DEPTH) == expected


@pytest.mark.smoke
@settings(deadline=None, max_examples=200)
@given(values)
def test_a_value_comes_back_as_it_went(value: Any) -> None:
    assert decode(encode(value), DEPTH) == value


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    with contextlib.suppress(NotJson):
        decode(data, DEPTH)


@pytest.mark.parametrize("wrap", [b"%b", b"[%b]", b'{"a": [1, %b], "e": "9e999"}', b'["\\"9e999\\\\", %b, "9e999"]'])
@pytest.mark.parametrize(
    ("number", "sound"),
    [
        (b"9e307", True),
        (b"9e308", False),
        (b"-9E+308", False),
        (b"9e-400", True),
        (b"0e999", True),
        (b"1" + b"0" * 250 + b"e50", True),
        (b"1" + b"0" * 250 + b"e99", False),
        (b"0." + b"0" * 400 + b"1e99", True),
        (b"1" * 300, True),
        (b"1" * 4_000, True),
        (b"1" * 5_000, False),
        (b'"' + b"1" * 5_000 + b'"', True),
    ],
    ids=lambda item: item[:9].decode() if isinstance(item, bytes) else "",
)
def test_a_number_out_of_range_is_found_wherever_it_stands_and_a_text_like_one_is_none(
    number: bytes, sound: bool, wrap: bytes
) -> None:
    data = wrap % number
    assert refusal(check, data) == refusal(decode, data) == (not sound)


@given(
    st.recursive(
        st.sampled_from([b"1", b'"[{"', b'"\\\\"', b'"\\"]"', b'""']), lambda inner: st.lists(inner, max_size=4)
    )
)
def test_depth_is_counted_as_python_counts_it(tree: Any) -> None:
    def written(tree: Any) -> bytes:
        if isinstance(tree, bytes):
            return tree
        inner = [written(one) for one in tree]
        if len(inner) % 2:
            return b"[" + b",".join(inner) + b"]"
        return b"{" + b",".join(b'"%d{":' % n + one for n, one in enumerate(inner)) + b"}"

    def depth(tree: Any) -> int:
        return 0 if isinstance(tree, bytes) else 1 + max(map(depth, tree), default=0)

    data = written(tree)
    for allowed in range(8):
        assert refusal(decode, data, allowed) == refusal(check, data, allowed) == (depth(tree) > allowed)


@pytest.mark.parametrize("opened", [b"[", b'{"a":', b'[{"":'])
def test_nesting_is_counted_to_the_limit(opened: bytes) -> None:
    levels = opened.count(b"[") + opened.count(b"{")
    closed = opened.replace(b'"a":', b"").replace(b'"":', b"")[::-1].translate(bytes.maketrans(b"[{", b"]}"))
    for times in (8 // levels, 8 // levels + 1):
        data = opened * times + b"1" + closed * times
        if times * levels <= 8:
            decode(data, 8)
        else:
            with pytest.raises(NotJson, match="deeper than 8"):
                decode(data, 8)


@pytest.mark.parametrize("levels", [65, 1_000, 100_000, 1_000_000])
def test_nesting_that_would_exhaust_the_stack_is_refused(levels: int) -> None:
    with pytest.raises(NotJson):
        decode(b"[" * levels + b"]" * levels, DEPTH)


def test_much_side_by_side_is_not_deep() -> None:
    data = b"[" + b",".join([b'{"a":[1]}'] * 1_000) + b"]"
    assert len(decode(data, 3)) == 1_000


def test_brackets_in_strings_do_not_count() -> None:
    text = '[[[[{{{{"\\' * 30
    assert decode(encode({text: text}), 1) == {text: text}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"a": (1, v)}, lambda v: {"a": [{"b": {v}}]}])
def test_floats_that_json_cannot_say_are_refused(value: float, wrap: Any) -> None:
    with pytest.raises(NotJson):
        encode(wrap(value))


@dataclasses.dataclass
class Point:
    x: float
    y: float | None = None


class Colour(enum.Enum):
    RED = "red"


def test_a_nan_inside_a_dataclass_is_refused() -> None:
    with pytest.raises(NotJson):
        encode([Point(math.nan)])


def test_null_beside_sound_floats_is_written() -> None:
    assert json.loads(encode([Point(1.5), None, "null"])) == [{"x": 1.5, "y": None}, None, "null"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Point(1.0, 2.0), {"x": 1.0, "y": 2.0}),
        (Colour.RED, "red"),
        (datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC), "2020-01-02T00:00:00Z"),
        ((1, 2), [1, 2]),
        ({1: "a"}, {"1": "a"}),
    ],
)
def test_what_has_a_json_form_is_written(value: Any, expected: Any) -> None:
    assert json.loads(encode(value)) == expected


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [object(), {"a": object()}, "\ud800", {"\udfff": 1}, 1j, [10**5_000], {(1, 2): 3}, endless(), Point, lambda: 1],
)
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    with pytest.raises(NotJson):
        encode(value)


@pytest.mark.parametrize("wrap", [lambda raw: raw, lambda raw: {"a": raw}, lambda raw: [1, Holder(raw)]])
@pytest.mark.parametrize("raw", [b"[1]", b"null", b' "a" ', '"ä"'.encode(), b"1e300"])
def test_json_that_was_written_before_is_sent_as_it_is(raw: bytes, wrap: Any) -> None:
    assert raw in encode(wrap(msgspec.Raw(raw)))


@pytest.mark.parametrize("wrap", [lambda raw: raw, lambda raw: {"a": raw}, lambda raw: [1, Holder(raw)]])
@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"1,2", b'1],"x":[2', b"NaN", b'"\xff"', b'"\\ud800"', b"1e999", b"\x01", b"[" * 65 + b"]" * 65],
    ids=lambda raw: raw[:9].decode("latin-1"),
)
def test_what_was_written_before_and_is_no_json_is_refused(raw: bytes, wrap: Any) -> None:
    with pytest.raises(NotJson, match=r"msgspec\.Raw"):
        encode(wrap(msgspec.Raw(raw)))


@dataclasses.dataclass
class Holder:
    held: Any


@pytest.mark.parametrize("size", [3, 3_000, 30_000])
@pytest.mark.parametrize("hidden", [math.nan, msgspec.Raw(b"{")], ids=["nan", "raw"])
def test_in_large_values_nothing_hides_either(hidden: Any, size: int) -> None:
    for value in (
        [*range(size), hidden],
        {"rows": [[n] for n in range(size)], "last": [[hidden]]},
        {str(n): n for n in range(size)} | {"last": hidden},
        Holder([*range(size), hidden]),
        ({"a": list(range(size))}, hidden),
    ):
        with pytest.raises(NotJson):
            encode(value)

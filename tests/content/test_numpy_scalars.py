"""Single values of numpy's: every kind is sent exactly, and comes back equal, or is refused with what to send."""

import dataclasses
import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.content.registry import decode, encode
from letterhead.content.typed import TypeReader
from letterhead.errors import BadContent
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.wire.header import Shape

JSON = "text/json"
MSGPACK = "application/msgpack"
STRUCTURE = np.array((1, 2.5), "i4,f8")[()]

SENT: list[tuple[Any, Any]] = [
    (np.bool_(True), True),
    *((np.dtype(code).type(-3), -3) for code in "bhilq"),
    *((np.iinfo(code).min, np.iinfo(code).min) for code in "bhilq"),
    *((np.dtype(code).type(np.iinfo(code).max), int(np.iinfo(code).max)) for code in "bhilqBHILQ"),
    (np.float16(0.1), 0.0999755859375),
    (np.float32(0.1), 0.10000000149011612),
    (np.float64(0.1), 0.1),
    (np.float64(-0.0), -0.0),
    (np.float32(np.finfo("f").max), float(np.finfo("f").max)),
    (np.str_("ä\0🐶\0"), "ä\0🐶\0"),
    (np.str_(""), ""),
    (np.bytes_(b"\xff\0a\0"), b"\xff\0a\0"),
    (np.timedelta64(5, "W"), dt.timedelta(weeks=5)),
    (np.timedelta64(-5, "D"), dt.timedelta(days=-5)),
    (np.timedelta64(5, "h"), dt.timedelta(hours=5)),
    (np.timedelta64(5, "m"), dt.timedelta(minutes=5)),
    (np.timedelta64(5, "s"), dt.timedelta(seconds=5)),
    (np.timedelta64(5, "ms"), dt.timedelta(milliseconds=5)),
    (np.timedelta64(-5, "us"), dt.timedelta(microseconds=-5)),
    (np.datetime64(54, "Y"), dt.date(2024, 1, 1)),
    (np.datetime64("2024-02"), dt.date(2024, 2, 1)),
    (np.datetime64(5, "W"), dt.date(1970, 2, 5)),
    (np.datetime64("2024-02-29"), dt.date(2024, 2, 29)),
    (np.datetime64("2024-02-29T12"), dt.datetime(2024, 2, 29, 12)),  # noqa: DTZ001  # numpy's have no zone
    (np.datetime64("2024-02-29T12:30"), dt.datetime(2024, 2, 29, 12, 30)),  # noqa: DTZ001
    (np.datetime64("2024-02-29T12:30:05"), dt.datetime(2024, 2, 29, 12, 30, 5)),  # noqa: DTZ001
    (np.datetime64("2024-02-29T12:30:05.007"), dt.datetime(2024, 2, 29, 12, 30, 5, 7000)),  # noqa: DTZ001
    (np.datetime64("2024-02-29T12:30:05.000007"), dt.datetime(2024, 2, 29, 12, 30, 5, 7)),  # noqa: DTZ001
]
"""A value, and what it is in Python."""

REFUSED: list[Any] = [
    *(np.timedelta64(5, unit) for unit in ("Y", "M", "ns", "ps", "fs", "as")),
    *np.array([5, -(2**63)]).view("m8"),  # without a unit, which newer versions make only so
    *np.array([-(2**63)]).view("M8"),
    np.timedelta64(10**12, "D"),
    *(np.datetime64(5, unit) for unit in ("ns", "ps", "fs", "as")),
    np.datetime64(10**12, "s"),
    np.datetime64(-3000, "Y"),
    *(np.datetime64("NaT", unit) for unit in ("Y", "D", "us", "ns")),
    *(np.timedelta64("NaT", unit) for unit in ("Y", "D", "us", "ns")),
    np.longdouble(0.5),
    np.complex64(1 + 2j),
    np.complex128(1 + 2j),
    np.clongdouble(1 + 2j),
    np.void(b"ab"),
    STRUCTURE,
]


@dataclasses.dataclass
class Holder:
    """A class with a value of any type."""

    held: Any


class Record(msgspec.Struct):
    """The same as a Struct."""

    held: Any


PLACES: dict[str, Callable[[Any], Any]] = {
    "alone": lambda value: value,
    "list": lambda value: [1, value],
    "dict": lambda value: {"held": value},
    "deep": lambda value: {"a": [(value,), None]},
    "long": lambda value: {"rows": [["x" * 20]] * 3000 + [[value]]},
    "dataclass": Holder,
    "struct": Record,
}


def shown(value: Any) -> str:
    return f"{type(value).__name__} {value}"[:40]


def read(message: Message, kind: Any) -> Any:
    return TypeReader(kind).read(bytes(message.content), Shape(message.header, 0, Limits()), 64)


def test_no_kind_of_scalar_is_left_out() -> None:
    kinds = {np.dtype(code).type for code in np.typecodes["All"]}
    tried = {type(value) for value, _ in SENT} | {type(value) for value in REFUSED}
    assert kinds - tried == {np.object_}, "of which there are no values: they are Python's own"


@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
@pytest.mark.parametrize(("value", "plain"), SENT, ids=shown)
def test_what_python_has_an_equal_of_is_sent_and_comes_back_equal(value: Any, plain: Any, content_type: str) -> None:
    got = read(encode({"held": [value]}, content_type), dict[str, list[type(plain)]])["held"][0]  # type: ignore[misc]
    assert (type(got), got) == (type(plain), plain)
    assert np.str_(got) == value if isinstance(got, str) else got == value


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
@pytest.mark.parametrize(("value", "plain"), SENT, ids=shown)
def test_wherever_it_stands_it_goes_as_python_s_own(value: Any, plain: Any, content_type: str, place: str) -> None:
    put = PLACES[place]
    assert encode(put(value), content_type) == encode(put(plain), content_type)


@pytest.mark.parametrize("accept", [None, MSGPACK, "text/plain", "application/octet-stream"])
@pytest.mark.parametrize(("value", "plain"), [(np.str_("a\0"), "a\0"), (np.bytes_(b"a\0"), b"a\0")], ids=shown)
def test_alone_text_and_bytes_go_in_their_own_types(value: Any, plain: Any, accept: str | None) -> None:
    if accept is None or (accept == "text/plain") == isinstance(plain, str) or accept == MSGPACK:
        assert decode(encode(value, accept)) == plain


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
@pytest.mark.parametrize("value", REFUSED, ids=shown)
def test_what_has_no_exact_form_is_refused_and_told_what_to_send(value: Any, content_type: str, place: str) -> None:
    put = PLACES[place]
    with pytest.raises(BadContent, match="send ") as refused:
        encode(put(value), content_type)
    instead = re.search(r"send (\[.*\]|[\w.]+(\(\w*\))?)", str(refused.value))
    assert instead is not None
    encode(put(eval(instead[1], {"value": value})), content_type)  # noqa: S307  # a sentence of our own


@pytest.mark.parametrize("value", [np.timedelta64(5, "ns"), np.datetime64("NaT", "s"), np.timedelta64("NaT", "s")])
@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
def test_what_has_no_exact_form_is_no_key_either(value: Any, content_type: str) -> None:
    with pytest.raises(BadContent, match="send "):
        encode({value: 1}, content_type)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["nan", "inf", "-inf"])
def test_nan_and_infinities_go_in_msgpack_and_not_in_json(kind: Any, name: str) -> None:
    for place, put in PLACES.items():
        assert str(float(name)) in str(decode(encode(put(kind(name)), MSGPACK))), place
        with pytest.raises(BadContent, match="NaN and infinities"):
            encode(put(kind(name)), JSON)
    with pytest.raises(BadContent, match="NaN and infinities"):
        encode({kind(name): 1}, JSON)


@settings(deadline=None)
@given(st.integers(-(2**63) + 1, 2**63 - 1), st.sampled_from(["W", "D", "h", "m", "s", "ms", "us"]))
def test_any_count_of_time_comes_back_equal_or_is_refused(count: int, unit: Any) -> None:
    times: list[tuple[Any, Any]] = [(np.timedelta64(count, unit), dt.timedelta)]
    times.append((np.datetime64(count, unit), dt.date if unit in "WD" else dt.datetime))
    for value, kind in times:
        for content_type in (JSON, MSGPACK):
            try:
                message = encode([value], content_type)
            except BadContent:
                continue
            assert read(message, list[kind])[0] == value  # type: ignore[valid-type]


# arrays of them


@pytest.mark.parametrize("code", np.typecodes["All"])
def test_an_array_of_any_dtype_comes_back_equal_or_is_refused_and_told_what_to_send(code: str) -> None:
    array = np.zeros(2, code)
    try:
        got = decode(encode(array))
    except BadContent as refused:
        instead = re.search(r"array\.\w+\([^)]*\)", str(refused)[str(refused).rindex(" (") :])
        assert instead is not None
        if instead[0] == "array.tolist()" or "astype" in instead[0]:
            encode(eval(instead[0], {"array": array}))  # noqa: S307  # a sentence of our own
    else:
        assert got.dtype == array.dtype
        assert got.tolist() == array.tolist()

"""One header: what is refused, with which code, and what is kept."""

from typing import Any

import pytest

from letterhead.errors import BadFrame, BadHeader, TooLarge
from letterhead.limits import Limits
from letterhead.wire.header import MAX_ID, Header, Headers
from tests.wire.frames import header_bytes


def decoded(raw: bytes, limits: Limits | None = None) -> Header:
    return Headers(limits or Limits()).decode(raw)


def fault(fields: dict[str, Any], without: tuple[str, ...] = (), limits: Limits | None = None) -> str | None:
    found = decoded(header_bytes(fields, without=without), limits).shape.fault
    return None if found is None else found.code


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"[]",
        b"{",
        b'{"content-length":0}x',
        b'{"content-length":NaN}',
        b'{"content-length":0,"x":Infinity}',
        b'{"content-length":0,"x":"\xff"}',
        b'{"content-length":0,"\xff":1}',
        b'{"content-length":0,"x":"\\ud800"}',
        b'{"content-length":0,"x":1e999}',
        b'{"content-length":0,"x":"\n"}',
        b'{"content-length":0,}',
    ],
)
def test_what_is_no_strict_json_object_is_a_bad_frame(raw: bytes) -> None:
    with pytest.raises(BadFrame):
        decoded(raw)


@pytest.mark.parametrize("spelled", ["true", "false", "null", "1.0", "1e3", '"12"', "-1", "[1]", "{}", "-0.0"])
def test_a_content_length_that_is_no_integer_from_0_is_a_bad_frame(spelled: str) -> None:
    raw = header_bytes().replace(b'"content-length":0', b'"content-length":' + spelled.encode())
    with pytest.raises(BadFrame, match="content-length"):
        decoded(raw)


def test_a_header_without_content_length_is_a_bad_frame() -> None:
    with pytest.raises(BadFrame, match="content-length"):
        decoded(header_bytes(without=("content-length",)))


def test_a_header_may_be_nested_eight_deep() -> None:
    assert decoded(header_bytes({"x": deep(7)})).shape.fields["x"] == deep(7)


@pytest.mark.parametrize("levels", [8, 9, 500, 5_000])
def test_a_header_nested_deeper_is_a_bad_frame(levels: int) -> None:
    raw = header_bytes({"x": 0}).replace(b'"x":0', b'"x":' + b"[" * levels + b"]" * levels)
    with pytest.raises(BadFrame, match="deeper"):
        decoded(raw)


def test_brackets_in_strings_nest_nothing() -> None:
    text = '[{"' * 40 + '\\"]'
    assert decoded(header_bytes({"x": text, text: 1})).shape.fields["x"] == text


@pytest.mark.parametrize("name", ["byteorder", "content-type", "content-encoding"])
def test_a_required_field_that_is_missing_is_a_bad_header(name: str) -> None:
    found = decoded(header_bytes(without=(name,))).shape.fault
    assert found is not None
    assert (found.kind, found.facts) == (BadHeader, {"field": name})


@pytest.mark.parametrize("name", ["byteorder", "content-type", "content-encoding"])
@pytest.mark.parametrize("value", [None, True, 5, [], {}, "", ["little"]])
def test_a_required_field_of_the_wrong_type_or_value_is_a_bad_header(name: str, value: Any) -> None:
    assert fault({name: value}) == "bad-header"


@pytest.mark.parametrize("value", ["text", "text/", "/json", "a/b/c", "a b/c", ";x=1", "text/;x"])
def test_a_content_type_is_a_type_and_a_subtype(value: str) -> None:
    assert fault({"content-type": value}) == "bad-header"


def test_content_types_are_compared_without_case_and_parameters() -> None:
    assert decoded(header_bytes({"content-type": "Text/JSON; charset=utf-8"})).shape.type == "text/json"


def test_64_fields_are_taken() -> None:
    assert fault({f"x{n}": n for n in range(60)}) is None


def test_65_fields_are_a_bad_header() -> None:
    assert fault({f"x{n}": n for n in range(61)}) == "bad-header"


@pytest.mark.parametrize(("others", "expected"), [(59, None), (60, "bad-header")])
def test_the_id_counts_among_the_fields(others: int, expected: str | None) -> None:
    headers = Headers(Limits())
    for number in (1, 2):  # fresh, then remembered
        raw = header_bytes({f"x{n}": 0 for n in range(others)} | {"id": number})
        found = headers.decode(raw).shape.fault
        assert (None if found is None else found.code) == expected


def test_too_large_goes_before_bad_header() -> None:
    found = decoded(header_bytes({"byteorder": 5, "content-length": 2**40})).shape.fault
    assert found is not None
    assert found.kind is TooLarge


def test_of_a_key_that_stands_twice_the_last_one_counts() -> None:
    raw = header_bytes().replace(b"{", b'{"content-length":5,"byteorder":7,', 1)
    header = decoded(raw)
    assert (header.shape.length, header.shape.byteorder, header.shape.fault) == (0, "little", None)


def test_keys_are_compared_after_unescaping() -> None:
    raw = header_bytes({"x": 1}).replace(b'"x"', b'"\\u0063ontent-length"')
    assert decoded(raw).shape.length == 1


def test_keys_are_told_apart_by_case() -> None:
    assert decoded(header_bytes({"Content-Length": 9, "ID": 4})).shape.length == 0


@pytest.mark.parametrize("number", [1, 2, 999_999_999_999_999, 10**15, MAX_ID])
def test_a_valid_id_is_told(number: int) -> None:
    assert decoded(header_bytes({"id": number})).id == number


@pytest.mark.parametrize("value", [0, -1, MAX_ID + 1, 2**64, 1.0, "1", None, True, [1], {}])
def test_an_id_that_is_not_valid_is_told_as_0(value: Any) -> None:
    header = decoded(header_bytes({"id": value}))
    assert header.id == 0
    assert header.fields["id"] == value


@pytest.mark.parametrize("spelled", [b"01", b"1.0", b"1e0", b"+1", b" 1", b"0x1", b"\xc2\xb2"])
def test_an_id_is_spelled_as_json_spells_integers(spelled: bytes) -> None:
    headers = Headers(Limits())
    headers.decode(header_bytes({"id": 1}))
    raw = header_bytes({"id": 1})[:-2] + spelled + b"}"
    try:
        header = headers.decode(raw)
    except BadFrame:
        return
    assert header.id == (1 if spelled == b" 1" else 0)


def test_an_id_of_false_is_none() -> None:
    assert decoded(header_bytes({"id": False})).id is None


def test_a_header_without_id_has_none() -> None:
    assert decoded(header_bytes()).id is None


def test_unknown_fields_are_kept() -> None:
    own = {"x": None, "y": [1, 2.5, "ü"], "z": {"a": False}, "": 1, "n": 10**40}
    fields = decoded(header_bytes(own)).fields
    assert {name: fields[name] for name in own} == own


def test_the_size_is_that_of_the_header_s_bytes() -> None:
    raw = header_bytes({"x": "üüü"})
    assert decoded(raw).frame_size == 2 + len(raw) + decoded(raw).shape.length


@pytest.mark.parametrize(("limit", "expected"), [(16, None), (15, None)])
def test_a_raised_or_lowered_field_limit_counts(limit: int, expected: None) -> None:
    limits = Limits(header_fields=16)
    assert fault({f"x{n}": n for n in range(limit - 4)}, limits=limits) is expected
    assert fault({f"x{n}": n for n in range(13)}, limits=limits) == "bad-header"

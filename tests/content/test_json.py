"""JSON content: any listed encoding, strict, bounded in depth."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.content.json import as_utf8, decode_json, encode_json
from letterhead.errors import BadContent

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.smoke
@settings(deadline=None)
@given(
    values, st.sampled_from(["utf-8", "binary", "utf-16", "utf-32-be", "gb18030"]), st.sampled_from(["little", "big"])
)
def test_a_value_comes_back_in_any_encoding(value: Any, encoding: str, order: str) -> None:
    assert decode_json(encode_json(value, encoding, order), encoding, order, 64) == value


def test_no_json_is_empty() -> None:
    with pytest.raises(BadContent, match="empty"):
        decode_json(b"", "utf-8", "little", 64)


@pytest.mark.parametrize("data", [b"{", b"1 2", b"NaN", b'"\\ud800"', b"\xff", b"\xef\xbb\xbf1", b"[1,]", b"'a'", b" "])
def test_what_is_not_strict_json_is_bad_content(data: bytes) -> None:
    with pytest.raises(BadContent):
        decode_json(data, "utf-8", "little", 64)


@pytest.mark.parametrize(("levels", "sound"), [(64, True), (65, False)])
def test_json_nests_64_deep_and_no_deeper(levels: int, sound: bool) -> None:
    data = b"[" * levels + b"]" * levels
    if sound:
        assert json.loads(data) == decode_json(data, "utf-8", "little", 64)
    else:
        with pytest.raises(BadContent, match="64"):
            decode_json(data, "utf-8", "little", 64)


def test_depth_is_counted_in_other_encodings_too() -> None:
    data = ("[" * 65 + "]" * 65).encode("utf-16-be")
    with pytest.raises(BadContent, match="64"):
        decode_json(data, "utf-16", "big", 64)


def test_bytes_that_are_not_text_in_the_encoding_are_bad_content() -> None:
    with pytest.raises(BadContent):
        decode_json(b'"\xe9"', "ascii", "little", 64)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", object()])
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    with pytest.raises(BadContent, match="no JSON form"):
        encode_json(value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf8", "binary"])
def test_utf_8_is_passed_on_as_it_is(encoding: str) -> None:
    data = b'{"a": 1}'
    assert as_utf8(data, encoding, "little") is data

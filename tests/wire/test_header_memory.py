"""The header memory: what it remembers is what a fresh decode says, for every header, whatever came before."""

import gc
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.errors import BadFrame
from letterhead.limits import Limits
from letterhead.wire.header import Header, Headers
from tests.wire.frames import header_bytes

LIMITS = Limits()


def said(headers: Headers, raw: bytes) -> Any:
    """All that a header says, or that it is none."""
    try:
        header = headers.decode(raw)
    except BadFrame:
        return "bad-frame"
    shape = header.shape
    fault = None if shape.fault is None else (shape.fault.code, shape.fault.facts)
    return header.id, header.fields, header.frame_size, shape.length, shape.type, shape.encoding, shape.byteorder, fault


def fresh(raw: bytes) -> Any:
    return said(Headers(LIMITS), raw)


# Pieces from which headers are put together that are nearly equal: whole, cut short, or with an id where none belongs.
MEMBERS = (
    '"content-length":0', '"content-length":3', '"id":5', '"id":56', '"id":"5"', '"x":{}', '"x":{"id":5}', '"x":[]',
    '"x":"},"', '"x":",\\"id\\":5"', '"x":"', '"id":', '"id"', '"byteorder":"big"', '"action":"a"', '"more":true',
    '"id":05', '"id":-5', '"id":5.0', '"id":9007199254740993', '"id":999999999999999', '"authorization":"Bearer t"',
)  # fmt: skip
ENDS = ("}", "", "} ", "}}", " }", "]")
START = '{"byteorder":"little","content-type":"a/b","content-encoding":"binary","content-length":1'

almost_headers = st.builds(
    lambda members, end, cut: (START + "".join("," + member for member in members) + end).encode()[: cut or None],
    st.lists(st.sampled_from(MEMBERS), max_size=4),
    st.sampled_from(ENDS),
    st.sampled_from((0, 0, 0, -1, -2, -3)),
)


@pytest.mark.smoke
@settings(deadline=None, max_examples=300)
@given(st.lists(almost_headers, min_size=1, max_size=8))
def test_a_header_means_the_same_whatever_came_before(raws: list[bytes]) -> None:
    headers = Headers(LIMITS)
    for raw in [*raws, *raws]:
        assert said(headers, raw) == fresh(raw)


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(st.text(max_size=6), st.none() | st.integers() | st.text(max_size=9), max_size=5),
    st.lists(st.integers(-5, 2**54), min_size=1, max_size=4),
)
def test_headers_that_differ_in_the_id_alone_are_told_apart(fields: dict[str, Any], numbers: list[int]) -> None:
    headers = Headers(LIMITS)
    for number in [*numbers, *numbers]:
        raw = header_bytes({**fields, "id": number})
        assert said(headers, raw) == fresh(raw)


def test_the_part_before_an_id_is_no_header_of_its_own() -> None:
    headers = Headers(LIMITS)
    raw = header_bytes({"x": {}, "id": 5})
    headers.decode(raw)
    with pytest.raises(BadFrame):
        headers.decode(raw[: raw.rindex(b',"id"')])


def test_a_header_s_start_is_not_taken_for_its_like_with_an_id() -> None:
    headers = Headers(LIMITS)
    whole = header_bytes({"x": {}})
    headers.decode(whole)
    with pytest.raises(BadFrame):
        headers.decode(whole + b',"id":5}')


def test_an_id_inside_another_field_is_no_id() -> None:
    headers = Headers(LIMITS)
    raw = header_bytes({"x": {"a": 1, "id": 5}})
    for _ in range(2):
        assert headers.decode(raw).id is None


def test_an_id_that_ends_a_nested_object_is_not_remembered_as_one() -> None:
    headers = Headers(LIMITS)
    for number in (5, 6):
        raw = header_bytes({"x": {"a": 1, "id": number}})
        assert headers.decode(raw).fields["x"]["id"] == number


def test_equal_headers_share_their_shape() -> None:
    headers = Headers(LIMITS)
    one, other = (headers.decode(header_bytes({"id": number})) for number in (1, 2))
    assert one.shape is other.shape
    assert (one.id, other.id) == (1, 2)


def test_a_header_with_a_token_is_not_remembered() -> None:
    headers = Headers(LIMITS)
    one, other = (headers.decode(header_bytes({"authorization": "Bearer t", "id": 1})) for _ in range(2))
    assert one.shape is not other.shape


def test_the_fields_handed_out_are_the_caller_s_own() -> None:
    headers = Headers(LIMITS)
    raw = header_bytes({"x": {"deep": [1]}, "id": 3})
    handed = headers.decode(raw).fields
    handed["x"]["deep"].append(2)
    handed["y"] = 1
    assert said(headers, raw) == fresh(raw)


def test_a_remembered_fault_stays_a_fault() -> None:
    headers = Headers(LIMITS)
    for number in (1, 2, 3):
        fault = headers.decode(header_bytes({"byteorder": "no", "id": number})).shape.fault
        assert fault is not None
        assert fault.code == "bad-header"


def shapes_kept(headers: Headers, shapes: list[Header]) -> int:
    """How many of these headers would be answered out of memory now."""
    return sum(headers.decode(header_bytes(header.fields)).shape is header.shape for header in shapes)


def test_the_memory_is_bounded_in_number() -> None:
    headers = Headers(LIMITS)
    seen = [headers.decode(header_bytes({"x": n})) for n in range(5_000)]
    assert shapes_kept(headers, seen[-5_000:]) <= 1_024


def test_long_headers_are_not_remembered() -> None:
    headers = Headers(LIMITS)
    one, other = (headers.decode(header_bytes({"x": "y" * 5_000, "id": 1})) for _ in range(2))
    assert one.shape is not other.shape


# -- what a header that is kept holds ------------------------------------------------------------------------------

KEPT: dict[str, dict[str, Any]] = {
    "empty lists": {"x": [[]] * 5_400},
    "numbers": {"x": [1_000 + number for number in range(3_000)]},
    "short strings": {"x": [f"{number:x}" for number in range(2_200)]},
    "objects": {"x": [{"a": {}}] * 1_600},
    "a long string": {"x": "y" * 16_000},
    "a string of wide letters": {"x": "\U0001f415" * 4_000},
    "a long content type": {"content-type": "a/" + "b" * 16_000},
    "many fields": {f"x{number}": [number, []] for number in range(55)},
    "few fields": {"x": [[]] * 90},
    "nothing much": {},
}


@pytest.mark.parametrize("fields", KEPT.values(), ids=list(KEPT))
def test_a_header_that_is_kept_holds_no_more_than_it_says(fields: dict[str, Any]) -> None:
    headers = Headers(LIMITS)
    raws = [header_bytes({**fields, "n": number, "id": 5}) for number in range(100, 120)]
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = []
        for raw in raws:
            header = headers.decode(bytes(bytearray(raw)))
            header.compact()
            kept.append(header)
        headers = Headers(LIMITS)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before <= sum(header.held for header in kept) + 2_000
    assert all(header.held < 2 * len(raw) + 8_000 for header, raw in zip(kept, raws, strict=True)) or len(raws[0]) < 512


@pytest.mark.parametrize("fields", KEPT.values(), ids=list(KEPT))
@pytest.mark.parametrize("id", [None, 5, 0, "5", False])
def test_a_header_says_the_same_after_it_was_made_small(fields: dict[str, Any], id: Any) -> None:
    raw = header_bytes(fields if id is None else {**fields, "id": id})
    before, header = Headers(LIMITS).decode(raw), Headers(LIMITS).decode(raw)
    header.compact()
    assert (header.fields, header.shape.fields) == (before.fields, before.shape.fields)


def test_a_header_that_others_share_is_not_made_small_by_one_of_them() -> None:
    headers = Headers(LIMITS)
    first, second = (headers.decode(header_bytes({"x": [1], "id": id})) for id in (1, 2))
    assert first.shape is second.shape
    first.compact()
    assert first.shape.fields is second.shape.fields

"""The writer: frames that any reader takes, and nothing sent wrong."""

import array
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.errors import UsageError
from letterhead.message import Message
from letterhead.wire.header import MAX_ID
from letterhead.wire.reader import Reader
from letterhead.wire.writer import encode_frame, head, head_prefix
from tests.wire.frames import CUTS, Cut, frames_of

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
    lambda name: name not in {"byteorder", "content-type", "content-encoding", "content-length", "id"}
)
leaves = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(exclude_categories=["Cs"]))
)
headers = st.fixed_dictionaries(
    {
        "content-type": st.sampled_from(["text/json", "a/b", "Text/Plain; x=y"]),
        "byteorder": st.sampled_from(["little", "big"]),
    },
    optional={"id": st.integers(1, MAX_ID), "content-encoding": st.sampled_from(["utf-8", "binary"])},
)
own_fields = st.dictionaries(names, leaves | st.lists(leaves, max_size=3), max_size=6)


@pytest.mark.smoke
@settings(deadline=None)
@given(st.lists(st.tuples(headers, own_fields, st.binary(max_size=200)), max_size=4), st.sampled_from(CUTS))
def test_what_is_written_is_read_back_however_it_is_cut(sent: list[Any], cut: Cut) -> None:
    reader = Reader()
    found: list[Message] = []

    def after() -> None:
        while (got := reader.next_frame()) is not None:
            found.append(got)

    def receive(piece: bytes) -> None:
        reader.feed(piece)
        after()

    def filled(count: int) -> None:
        reader.filled(count)
        after()

    data = b"".join(encode_frame({**own, **header}, content) for header, own, content in sent)
    cut.deliver(data, receive, reader.buffer, filled)
    wanted = [
        Message(content, {"content-encoding": "binary", **own, **header, "content-length": len(content)})
        for header, own, content in sent
    ]
    assert found == wanted


def test_required_fields_are_filled_in() -> None:
    (got,) = frames_of(encode_frame({}, b"x"))
    assert got.header == {
        "byteorder": sys.byteorder,
        "content-type": "application/octet-stream",
        "content-encoding": "binary",
        "content-length": 1,
    }


def test_the_content_length_is_always_the_content_s_own() -> None:
    (got,) = frames_of(encode_frame({"content-length": 99}, b"abc"))
    assert got.header["content-length"] == 3


def test_the_id_stands_last() -> None:
    assert encode_frame({"id": 5, "x": 1}).endswith(b',"id":5}')


@pytest.mark.parametrize("content", [bytearray(b"abcd"), memoryview(b"abcd"), memoryview(b"aXbXcXdX")[::2]])
def test_content_may_be_any_buffer(content: Any) -> None:
    (got,) = frames_of(encode_frame({}, content))
    assert got.content == b"abcd"


def test_wide_items_count_in_bytes() -> None:
    content = memoryview(array.array("d", [1.0, 2.0]))
    (got,) = frames_of(encode_frame({}, content))
    assert got.content == content.tobytes()


@pytest.mark.parametrize("id", [0, -1, MAX_ID + 1, True, "1", 1.0, [1]])
def test_an_id_that_no_peer_takes_is_not_written(id: Any) -> None:
    with pytest.raises(UsageError, match="id"):
        encode_frame({"id": id})


@pytest.mark.parametrize("value", [object(), float("nan"), "\ud800", [10**5_000]])
def test_a_field_without_json_form_is_not_written(value: Any) -> None:
    with pytest.raises(UsageError, match="header field"):
        encode_frame({"x": value})


def test_a_header_above_the_limit_is_not_written() -> None:
    with pytest.raises(UsageError) as caught:
        encode_frame({"x": "y" * 16_383})
    assert caught.value.limit == 16_383


def test_the_longest_header_that_is_written_is_read() -> None:
    longest = 0
    for size in range(16_100, 16_383):
        try:
            data = encode_frame({"x": "y" * size, "id": MAX_ID})
        except UsageError:
            break
        longest = size
        reader = Reader()
        reader.feed(data)
        assert reader.next_frame() is not None
    assert longest > 16_100


def test_a_prefix_serves_any_length_and_id() -> None:
    prefix = head_prefix("a/b", "binary", {"x": 1})
    for length, id in [(0, None), (3, 1), (2**31, MAX_ID)]:
        raw = head(prefix, length, id)
        assert int.from_bytes(raw[:2], "big") == len(raw) - 2
        assert raw.endswith(b"}")


def test_fields_that_a_head_writes_itself_are_not_written_twice() -> None:
    prefix = head_prefix("a/b", "binary", {"content-type": "c/d", "byteorder": "big", "id": 4, "content-length": 9})
    assert prefix.count(b"content-type") == prefix.count(b"byteorder") == prefix.count(b"content-length") == 1
    assert b'"id"' not in prefix

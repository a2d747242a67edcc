"""The reader under any bytes and any cuts: the same outcome, documented errors alone, bounded memory."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.errors import BadFrame, BadHeader, TooLarge
from letterhead.limits import Limits
from letterhead.wire.reader import LARGE, Reader
from tests.wire.frames import Cut, frame, framed, header_bytes

LIMITS = Limits(content_bytes=100_000, json_bytes=2_000)
NOTHING_READ = object()

sizes = st.lists(st.integers(1, 2_000) | st.sampled_from([1, 2, 3, 65_536]), min_size=1, max_size=6).map(tuple)
cuts = st.builds(lambda sizes, direct: Cut("drawn", sizes, direct), sizes, st.booleans())
sound = st.builds(
    lambda fields, content: frame(fields, content),
    st.fixed_dictionaries(
        {}, optional={"id": st.integers(0, 9), "x": st.text(max_size=5), "content-type": st.just("a/b")}
    ),
    st.binary(max_size=40) | st.just(bytes(70_000)),
)
refused = st.sampled_from(
    [
        frame({"byteorder": "no"}, b"skipped"),
        frame({"content-type": "none"}, frame({}, b"hidden")),
        frame({"content-type": "text/json"}, b" " * 2_001),
        frame({}, bytes(100_001)),
    ]
)
lost = st.sampled_from(
    [framed(b"{}"), b"\x00\x01", b"\xff\xff", b"GET / HTTP/1.1\r\n\r\n", framed(b'["x"]'), framed(b"{x")]
)
streams = st.builds(
    lambda frames, end: b"".join(frames) + end,
    st.lists(sound | refused, max_size=5),
    st.just(b"") | lost | st.binary(max_size=30),
)


def outcome(data: bytes, cut: Cut) -> list[Any]:
    """What comes of bytes. Checks, piece by piece, that no more is held than the limits say."""
    reader = Reader(LIMITS)
    found: list[Any] = []

    def pull() -> None:
        while True:
            try:
                got = reader.next_frame()
            except (BadHeader, TooLarge) as error:
                found.append(error.code)
            except BadFrame as error:
                if found[-1:] != [error.code]:
                    found.append(error.code)
                return
            else:
                if got is None:
                    break
                found.append((got.header, bytes(got.content)))
        assert len(reader.first_bytes(10**9)) <= max(2 + LIMITS.header_bytes, LARGE)

    def receive(piece: bytes) -> None:
        reader.feed(piece)
        pull()

    def filled(count: int) -> None:
        reader.filled(count)
        pull()

    cut.deliver(data, receive, reader.buffer, filled)
    return found


@pytest.mark.smoke
@settings(deadline=None)
@given(streams, cuts, cuts)
def test_the_outcome_is_the_same_however_bytes_are_cut(data: bytes, one: Cut, other: Cut) -> None:
    assert outcome(data, one) == outcome(data, other)


@settings(deadline=None)
@given(st.binary(max_size=2_000), cuts)
def test_arbitrary_bytes_give_frames_or_documented_errors(data: bytes, cut: Cut) -> None:
    outcome(data, cut)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=120), st.binary(max_size=20), cuts)
def test_arbitrary_headers_give_frames_or_documented_errors(header: bytes, content: bytes, cut: Cut) -> None:
    outcome(framed(b"{" + header, content), cut)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 200), st.binary(min_size=1, max_size=3), cuts)
def test_a_damaged_frame_gives_frames_or_documented_errors(at: int, piece: bytes, cut: Cut) -> None:
    data = frame({"x": [1, {"y": "ü\\"}], "id": 12}, b"content") + frame({"id": 13}, b"next")
    outcome(data[:at] + piece + data[at + len(piece) :], cut)


@settings(deadline=None)
@given(st.integers(0, 40), cuts)
def test_the_frames_before_a_refusal_are_delivered(count: int, cut: Cut) -> None:
    data = b"".join(frame({"x": n}, b"body") for n in range(count)) + b"\x00\x00"
    found = outcome(data, cut)
    assert [got[0]["x"] for got in found[:-1]] == list(range(count))
    assert found[-1] == "bad-frame"


@settings(deadline=None)
@given(st.integers(0, 150_000), cuts)
def test_content_is_accepted_up_to_the_limit_and_no_further(length: int, cut: Cut) -> None:
    data = framed(header_bytes(length=length))
    found = outcome(data, cut)
    if length > LIMITS.content_bytes:
        assert found == ["too-large"]
    elif length:
        assert found == []
    else:
        assert len(found) == 1

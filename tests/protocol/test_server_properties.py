"""A server's side under any bytes, cuts and orders: the same outcome, sound frames alone, nothing left behind."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.errors import Refused
from letterhead.limits import Limits
from tests.protocol.pairs import ServerSide, control, named, opening
from tests.wire.frames import BARE, Cut, frame, framed, json_frame

LIMITS = Limits(content_bytes=150_000, json_bytes=2_000, skip_bytes=200_000, late_bytes=400_000, max_open=4)

ids = st.integers(1, 6)
fields = st.fixed_dictionaries(
    {},
    optional={
        "deadline": st.sampled_from([1, 5_000, 0, "x", None, True]),
        "timing": st.sampled_from([True, False, 1]),
        "more": st.sampled_from([True, False, None]),
        "cancel": st.sampled_from([True, False, "x"]),
        "action": st.sampled_from(["a", 5, None, False, ""]),
        "credit": st.sampled_from([1, 0, False]),
        "x-own": st.just([1]),
        "byteorder": st.sampled_from(["little", "big", "no"]),
        "status": st.just("ok"),
    },
)
frames = st.one_of(
    st.builds(lambda id, value, more: opening(id, "a", value, **more), ids, st.integers(), st.just({})),
    st.builds(lambda id: named(id, "b", [1]), ids),
    st.builds(lambda id: control(id, cancel=True), ids),
    st.builds(lambda id, own: json_frame({"action": "c"}, {"id": id, **own}), ids, fields),
    st.builds(lambda own: json_frame({"action": "d"}, own), fields),
    st.builds(lambda id, size: frame({"id": id}, bytes(size)), ids, st.sampled_from([0, 10, 70_000, 150_001])),
    st.builds(
        lambda id, name: frame({"id": id}, b"x", without=(name,)), ids, st.sampled_from([*BARE, "content-length"])
    ),
    st.builds(lambda id: json_frame("x" * 2_000, {"id": id}), ids),
    st.builds(framed, st.binary(max_size=10).map(lambda tail: b"{" + tail)),
    st.sampled_from([b"\x00\x00", b"GET / HTTP/1.1\r\n\r\n", json_frame({"action": "a"}, {"id": "x"})]),
)
inputs = st.builds(lambda parts, tail: b"".join(parts) + tail, st.lists(frames, max_size=8), st.binary(max_size=4))
cuts = st.builds(
    lambda sizes, direct: Cut("drawn", sizes, direct),
    st.lists(st.integers(1, 3_000) | st.sampled_from([1, 65_536]), min_size=1, max_size=5).map(tuple),
    st.booleans(),
)


def settle(side: ServerSide, refuse: bool = False) -> None:
    """End every handler that runs, the first one first, until none is left."""
    done = 0
    while done < len(side.requests):
        side.answers(done, Refused("not-found", "no") if refuse else done)
        done += 1


def outcome(data: bytes, cut: Cut, end: bool) -> Any:
    side = ServerSide(LIMITS, cut).hears(data)
    if end:
        side.hears_end()
    settle(side)
    asked = [(request.id, request.action, request.content, request.meaning.more) for request in side.requests]
    stopped = [side.requests.index(request) for request in side.stops]
    return asked, stopped, [error.code for error in side.errors], side.ending, shown(side)


def shown(side: ServerSide) -> list[Any]:
    """The frames sent, without the measured times."""
    return [({**sent.header, "timing": "timing" in sent.header}, told(sent.content)) for sent in side.sent]


def told(content: bytes) -> bytes:
    # What a refusal of foreign bytes quotes of them depends on how many had arrived.
    return content if b"bad-frame" not in content else b"bad-frame"


@pytest.mark.smoke
@settings(deadline=None, max_examples=200)
@given(inputs, cuts, cuts, st.booleans())
def test_the_outcome_is_the_same_however_bytes_are_cut(data: bytes, one: Cut, other: Cut, end: bool) -> None:
    first, second = outcome(data, one, end), outcome(data, other, end)
    for found in (first, second):
        for header, content in found[-1]:
            if content == b"bad-frame":
                header.pop("content-length")
    assert first == second


@settings(deadline=None, max_examples=200)
@given(inputs, cuts, st.booleans())
def test_an_id_has_one_last_frame_at_most_and_only_if_it_was_opened(data: bytes, cut: Cut, refuse: bool) -> None:
    side = ServerSide(LIMITS, cut).hears(data)
    settle(side, refuse)
    answered = [sent.id for sent in side.replies if sent.id is not None]
    assert len(answered) == len(set(answered))
    handed_out = [request.id for request in side.requests if request.id is not None]
    assert handed_out == sorted(set(handed_out))
    if not side.ending:
        assert set(handed_out) <= set(answered)


@settings(deadline=None, max_examples=200)
@given(inputs, cuts, st.sampled_from(["end", "lost", "drain", "time", "idle"]))
def test_nothing_is_left_behind(data: bytes, cut: Cut, how: str) -> None:
    side = ServerSide(LIMITS, cut).hears(data)
    if how == "end":
        side.hears_end()
    elif how == "lost":
        side.core.lost()
    elif how == "drain":
        side.core.drain(side.now)
    side.settled()
    if how == "time":
        side.passes(10_000.0)
    settle(side)
    side.passes(10_000.0).passes(10_000.0)
    assert side.ending
    assert (side.counters.open_now, side.budget.used) == (0, 0)


@settings(deadline=None)
@given(inputs, cuts)
def test_nothing_is_sent_after_a_connection_error(data: bytes, cut: Cut) -> None:
    side = ServerSide(LIMITS, cut).hears(data)
    if not side.ending:
        return
    count = len(side.sent)
    side.hears(opening(9, "a"), opening(None, "a")).passes(100.0)
    settle(side)
    side.hears_end()
    assert len(side.sent) == count


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=400), cuts)
def test_arbitrary_bytes_do_no_harm(data: bytes, cut: Cut) -> None:
    side = ServerSide(LIMITS, cut).hears(data).hears_end()
    settle(side)
    assert side.ending
    assert (side.counters.open_now, side.budget.used) == (0, 0)


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=4), cuts)
def test_a_damaged_conversation_does_no_harm(at: int, piece: bytes, cut: Cut) -> None:
    data = opening(1, "a", 5) + named(2, "b", {"x": 1}) + control(1, cancel=True) + opening(3, "c")
    side = ServerSide(LIMITS, cut).hears(data[:at] + piece + data[at + len(piece) :]).hears_end()
    settle(side)
    assert side.ending
    assert (side.counters.open_now, side.budget.used) == (0, 0)

"""A server that is told that a request takes an earlier one's place: order, rate, and what cannot be superseded."""

import pytest

from letterhead.errors import Cancelled
from letterhead.limits import Limits
from tests.protocol.pairs import ServerSide, control, item, named, opening, server_side
from tests.wire.frames import Cut, each_cut, frame, framed, header_bytes


def test_the_earlier_exchange_is_cancelled_and_the_new_one_runs() -> None:
    side = server_side().hears(opening(2, "search"), opening(3, "search", supersedes=2))
    assert side.stops == side.requests[:1]
    assert isinstance(side.requests[0].stopped, Cancelled)
    assert "superseded" in side.requests[0].stopped.message
    side.answers(1, "found").answers(0, "too late")
    assert side.codes == [(3, None), (2, "cancelled")]


@each_cut
def test_the_earlier_one_is_stopped_before_the_new_one_is_handed_out(cut: Cut) -> None:
    side = server_side(cut=cut)
    side.hears(opening(2, "search"))
    data = opening(3, "search", "x" * 100, supersedes=2)
    side.hears(data[:-1])  # on the header, before any content is whole
    assert (side.stops, len(side.requests)) == (side.requests, 1)
    side.hears(data[-1:])
    assert len(side.requests) == 2


def test_the_events_come_in_that_order_also_where_both_arrive_at_once() -> None:
    side = server_side()
    side.core.receive(opening(2, "search") + opening(3, "search", supersedes=2), side.now)
    assert [type(event).__name__ for event in side.core.events] == ["Request", "Stop", "Request"]


def test_an_upload_that_goes_on_is_superseded_and_its_items_are_late() -> None:
    side = server_side(Limits(late_bytes=1_000)).hears(named(2, "store", more=True), item(2, b"a"))
    side.hears(named(3, "store", more=True, supersedes=2), item(2, b"late"), item(3, b"b"))
    assert side.stops == side.requests[:1]
    assert side.takes(1) == [b"b"]
    side.answers(0, "unwanted")
    assert (side.codes, side.ending) == ([(2, "cancelled")], False)


@pytest.mark.parametrize("earlier", [1, 2, 7], ids=["past", "refused", "never opened"])
def test_what_is_not_open_is_ignored(earlier: int) -> None:
    side = server_side().hears(frame({"id": 2, "byteorder": "no"}), opening(9, "search", supersedes=earlier))
    assert side.actions == ["search"]
    assert side.stops == []
    assert side.codes == [(2, "bad-header")]


@pytest.mark.parametrize("earlier", [3, 4, 2**53 - 1])
def test_an_id_that_is_not_lower_is_a_bad_header(earlier: int) -> None:
    side = server_side().hears(opening(2, "a"), opening(3, "search", supersedes=earlier), opening(4, "next"))
    assert side.codes == [(3, "bad-header")]
    assert (side.actions, side.stops, side.ending) == (["a", "next"], [], False)


@pytest.mark.parametrize("value", [0, -1, "2", 1.5, True, None, [2], 2**53])
def test_what_is_no_id_is_a_bad_header(value: object) -> None:
    side = server_side().hears(opening(2, "a"), opening(3, "search", supersedes=value))
    assert side.codes == [(3, "bad-header")]
    assert (side.stops, side.ending) == ([], False)


def test_false_is_absent() -> None:
    side = server_side().hears(opening(2, "a"), opening(3, "search", supersedes=False))
    assert (side.actions, side.stops) == (["a", "search"], [])


@pytest.mark.parametrize(
    ("new", "code"),
    [
        (
            frame({"id": 3, "content-type": "text/json", "content-encoding": "utf-8", "supersedes": 2}, b"{"),
            "bad-content",
        ),
        (frame({"id": 3, "supersedes": 2}, bytes(2_001)), "too-large"),
        (opening(3, "search", supersedes=2), "too-many"),
    ],
    ids=["bad content", "too large", "no slot"],
)
def test_the_earlier_one_is_cancelled_whatever_becomes_of_the_new(new: bytes, code: str) -> None:
    limits = Limits(max_open=1 if code == "too-many" else 5, content_bytes=2_000)
    side = server_side(limits).hears(opening(2, "search"), new)
    assert side.codes == [(3, code)]
    assert side.stops == side.requests
    side.answers(0, "too late")
    assert side.codes[-1] == (2, "cancelled")


def test_also_where_the_server_drains() -> None:
    side = server_side().hears(opening(2, "search"))
    side.core.drain(side.now)
    side.hears(opening(3, "search", supersedes=2))
    assert side.codes == [(None, None), (3, "unavailable")]
    assert side.stops == side.requests


@pytest.mark.parametrize("wrong", [{"byteorder": "no"}, {"deadline": 0}, {"compression": "zstd"}, {"more": False}])
def test_a_header_that_is_not_accepted_supersedes_nothing(wrong: dict[str, object]) -> None:
    side = server_side().hears(opening(2, "search"), opening(3, "search", supersedes=2, **wrong))
    assert side.codes == [(3, "bad-header")]
    assert side.stops == []


def test_a_part_of_an_upload_supersedes_nothing() -> None:
    side = server_side().hears(opening(2, "search"), named(3, "store", more=True), item(3, b"a", supersedes=2))
    assert side.takes(1) == [b"a"]
    assert side.stops == []


def test_a_late_frame_supersedes_nothing() -> None:
    side = server_side().hears(opening(5, "search"), opening(6, "a")).answers(1, "done")
    side.hears(opening(6, "again", supersedes=5))
    assert side.stops == []


def test_a_request_may_supersede_one_after_the_other() -> None:
    side = server_side()
    for id in range(2, 8):
        side.hears(opening(id, "search", **({"supersedes": id - 1} if id > 2 else {})))
    assert side.stops == side.requests[:-1]


def test_a_classic_connection_knows_no_supersedes() -> None:
    side = ServerSide().hears(opening(None, "search", supersedes=1))
    assert side.codes == [(None, "bad-header")]


# Rate


def test_supersedes_and_control_frames_are_bounded_together() -> None:
    side = server_side(Limits(control_frames=4)).hears(control(1, cancel=True) * 2)
    side.hears(opening(2, "a", supersedes=1), opening(3, "a", supersedes=1))
    assert not side.ending
    side.hears(opening(4, "a", supersedes=1))
    assert side.codes == [(None, "too-many")]
    assert (side.actions, side.ending) == (["a", "a"], True)


def test_supersedes_of_requests_that_are_refused_count_too() -> None:
    side = server_side(Limits(control_frames=4, content_bytes=1_024))
    for id in range(2, 7):
        side.hears(framed(header_bytes({"id": id, "supersedes": 1, "content-length": 2_000})) + bytes(2_000))
    assert side.codes[-1] == (None, "too-many")


def test_after_the_window_as_many_may_come_again() -> None:
    side = server_side(Limits(control_frames=4))
    for id in range(2, 14):
        side.hears(opening(id, "a", supersedes=1))
        side.now += 2.5
    assert not side.ending

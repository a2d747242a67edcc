"""How an exchange ends early: cancelled, out of time, by the end of the stream; always with one last frame."""

import pytest

from letterhead.errors import Cancelled, DeadlineExceeded
from letterhead.limits import Limits
from tests.protocol.pairs import ServerSide, control, named, opening, server_side
from tests.wire.frames import Cut, each_cut, frame, framed, header_bytes

CANCEL_2 = control(2, cancel=True)


def test_a_cancel_asks_the_handler_to_stop() -> None:
    side = server_side().hears(opening(2, "a"), CANCEL_2)
    assert side.stops == side.requests
    assert isinstance(side.requests[0].stopped, Cancelled)
    assert side.sent == []


@pytest.mark.smoke
@each_cut
def test_a_cancelled_request_is_answered_once_its_handler_has_ended(cut: Cut) -> None:
    side = server_side(cut=cut).hears(opening(2, "a"), CANCEL_2).answers(0, "too late")
    assert side.codes == [(2, "cancelled")]
    side.hears(opening(3, "next")).answers(1, "fine")
    assert side.sent[-1].value == {"result": "fine"}


@each_cut
def test_a_cancel_that_crosses_the_result_is_ignored(cut: Cut) -> None:
    side = server_side(cut=cut).hears(opening(2, "a")).answers(0, "done").hears(CANCEL_2, opening(3, "next"))
    assert [sent.value for sent in side.sent] == [{"result": "done"}]
    assert side.stops == []
    assert side.actions == ["a", "next"]


def test_cancelling_twice_is_cancelling_once() -> None:
    side = server_side().hears(opening(2, "a"), CANCEL_2, CANCEL_2).answers(0, 1).hears(CANCEL_2)
    assert side.codes == [(2, "cancelled")]
    assert len(side.stops) == 1


def test_a_cancel_behind_its_request_s_content_is_not_too_early() -> None:
    data = opening(2, "a", "x" * 200)
    side = server_side().hears(data[:-50])
    assert side.requests == []
    side.hears(data[-50:] + CANCEL_2)
    assert side.stops == side.requests
    side.answers(0, 1)
    assert side.codes == [(2, "cancelled")]


def test_a_cancelled_request_keeps_its_slot_until_its_handler_has_ended() -> None:
    side = server_side(Limits(max_open=1)).hears(opening(2, "a"), CANCEL_2, opening(3, "b"))
    assert side.codes == [(3, "too-many")]
    side.answers(0, 1).hears(opening(4, "c"))
    assert side.actions == ["a", "c"]


def test_other_requests_are_not_touched_by_a_cancel() -> None:
    side = server_side().hears(opening(2, "a"), opening(3, "b"), CANCEL_2)
    assert side.stops == side.requests[:1]


# Deadlines


@pytest.mark.smoke
@each_cut
def test_a_request_out_of_time_is_told_so_and_its_handler_stopped(cut: Cut) -> None:
    side = server_side(cut=cut).hears(opening(2, "a", deadline=1_500))
    side.passes(1.49)
    assert side.sent == []
    side.passes(0.02)
    assert side.codes == [(2, "deadline-exceeded")]
    assert side.stops == side.requests
    side.answers(0, "too late")
    assert len(side.sent) == 1


def test_a_result_handed_over_first_wins_even_past_the_deadline() -> None:
    side = server_side().hears(opening(2, "a", deadline=1_000))
    side.now += 5.0
    side.answers(0, "done").passes(0.0)
    assert [sent.value for sent in side.sent] == [{"result": "done"}]
    assert side.stops == []


def test_the_deadline_runs_from_the_header_through_the_upload() -> None:
    side = server_side()
    data = opening(2, "a", "x" * 300, deadline=2_000)
    side.hears(data[:-100])
    side.now += 1.5
    side.hears(data[-100:])
    assert side.actions == ["a"]
    side.passes(0.6)
    assert side.codes == [(2, "deadline-exceeded")]


@each_cut
def test_a_deadline_during_the_upload_ends_it_and_the_rest_is_skipped(cut: Cut) -> None:
    side = server_side(cut=cut)
    content = b"x" * 200_000
    head = framed(header_bytes({"id": 2, "deadline": 1_000}, length=len(content)))
    side.hears(head + content[:100_000]).passes(1.0)
    assert side.codes == [(2, "deadline-exceeded")]
    assert side.requests == []
    assert side.budget.used == 0
    side.hears(content[100_000:] + opening(3, "next"))
    assert side.actions == ["next"]
    assert side.counters.open_now == 1


def test_without_a_deadline_a_request_has_the_server_s_own() -> None:
    side = server_side().hears(opening(2, "a")).passes(29.9)
    assert side.sent == []
    side.passes(0.2)
    assert side.codes == [(2, "deadline-exceeded")]
    assert side.sent[0].value["error"]["seconds"] == 30.0


def test_a_longer_deadline_is_shortened_to_the_server_s_longest() -> None:
    side = server_side().hears(opening(2, "a", deadline=2**31 - 1)).passes(299.9)
    assert side.sent == []
    side.passes(0.2)
    assert side.codes == [(2, "deadline-exceeded")]


def test_each_request_has_its_own_deadline() -> None:
    side = server_side().hears(opening(2, "a", deadline=3_000), opening(3, "b", deadline=1_000), opening(4, "c"))
    side.passes(1.0)
    assert side.codes == [(3, "deadline-exceeded")]
    side.passes(2.0)
    assert side.codes == [(3, "deadline-exceeded"), (2, "deadline-exceeded")]


def test_a_tick_is_due_at_the_soonest_deadline() -> None:
    side = server_side().hears(opening(2, "a", deadline=3_000), opening(3, "b", deadline=1_000))
    assert side.core.due <= side.now + 1.0
    side.passes(1.0)
    assert side.core.due <= side.now + 2.0


def test_a_classic_request_s_deadline_counts_too() -> None:
    side = ServerSide().hears(opening(None, "a", deadline=1_000), opening(None, "b")).passes(1.0)
    assert side.sent[0].code == "deadline-exceeded"
    assert side.actions == ["a", "b"]


def test_a_cancelled_request_past_its_deadline_has_one_last_frame() -> None:
    side = server_side().hears(opening(2, "a", deadline=1_000), CANCEL_2).passes(2.0).answers(0, "done")
    assert len(side.sent) == 1
    assert len(side.stops) == 1


def test_a_late_handler_keeps_its_slot_until_it_returns() -> None:
    side = server_side(Limits(max_open=1)).hears(opening(2, "a", deadline=1_000)).passes(1.0)
    side.hears(opening(3, "b"))
    assert side.codes == [(2, "deadline-exceeded"), (3, "too-many")]
    side.answers(0, 1).hears(opening(4, "c"))
    assert side.actions == ["a", "c"]


# The end of the client's sending side


@pytest.mark.smoke
@each_cut
def test_the_end_of_the_stream_cancels_all_that_is_open(cut: Cut) -> None:
    side = server_side(cut=cut).hears(opening(2, "a"), named(3, "b")).hears_end()
    assert side.stops == side.requests
    assert not side.ending
    side.answers(1, 1).answers(0, 1)
    assert side.codes == [(3, "cancelled"), (2, "cancelled")]
    assert side.ending


def test_the_end_of_the_stream_with_nothing_open_closes() -> None:
    side = server_side().hears_end()
    assert side.ending
    assert side.sent == []


def test_the_end_of_the_stream_before_anything_closes_without_a_word() -> None:
    side = ServerSide().hears_end()
    assert side.ending
    assert side.sent == []


@pytest.mark.parametrize("id", [2, None])
@pytest.mark.parametrize("left_out", [1, 100, 260])
def test_a_frame_cut_off_by_the_end_of_the_stream_is_dropped_without_reply(id: int | None, left_out: int) -> None:
    side = server_side() if id else ServerSide()
    side.hears(opening(id, "a", "x" * 200)[:-left_out]).hears_end()
    assert side.requests == []
    assert side.replies == []
    assert side.ending
    assert (side.budget.used, side.counters.open_now) == (0, 0)


def test_large_content_cut_off_by_the_end_of_the_stream_holds_nothing() -> None:
    side = server_side().hears(frame({"id": 2}, bytes(300_000))[:-5]).hears_end()
    assert (side.budget.used, side.counters.open_now, side.requests) == (0, 0, [])


def test_a_frame_cut_off_while_others_run_does_not_time_out() -> None:
    # Its rest can never come: that is no reason to fail what is still being stopped.
    side = server_side().hears(opening(2, "a"), opening(3, "b", "x" * 200)[:-50]).hears_end()
    side.passes(25.0)
    assert side.sent == []
    side.answers(0, 1)
    assert side.codes == [(2, "cancelled")]
    assert side.ending


# A lost connection


def test_a_lost_connection_stops_everything_and_sends_nothing() -> None:
    side = server_side().hears(opening(2, "a"), opening(3, "b"), opening(4, "c", "x" * 100)[:-10])
    side.core.lost()
    side.settled()
    assert side.stops == side.requests
    assert side.ending
    side.answers(0, 1).answers(1, DeadlineExceeded("late"))
    assert side.sent == []
    assert (side.budget.used, side.counters.open_now) == (0, 0)


def test_losing_a_connection_that_ended_is_no_news() -> None:
    side = server_side().hears_end()
    side.core.lost()
    assert side.settled().stops == []


def test_a_connection_error_stops_everything_that_is_open() -> None:
    side = server_side().hears(opening(2, "a"), b"\x00\x00")
    assert side.stops == side.requests
    side.answers(0, 1)
    assert side.codes == [(None, "bad-frame")]
    assert side.counters.open_now == 0

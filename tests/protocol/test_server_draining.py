"""How a connection is brought to its end by its server: what is told, what still runs, what is waited for."""

import pytest

from letterhead.limits import Limits
from tests.protocol.pairs import ServerSide, end, item, named, opening, server_side
from tests.wire.frames import Cut, each_cut, frame

LINGERS = Limits().linger_quiet_seconds


def drained(side: ServerSide) -> ServerSide:
    """The server asks this connection to end."""
    side.core.drain(side.now)
    return side.settled()


def closings(side: ServerSide) -> list[int]:
    """What `closing` said, each time."""
    return [sent.header["closing"] for sent in side.sent if "closing" in sent.header]


def refusals(side: ServerSide) -> list[tuple[object, object]]:
    """Id and code of each reply, without `closing`."""
    return [(sent.id, sent.code) for sent in side.replies if "closing" not in sent.header]


# Multiplexed connections


def test_an_idle_connection_is_told_the_highest_id_and_ends() -> None:
    side = drained(server_side())
    assert (side.ending, closings(side)) == (True, [1])


def test_closing_is_a_control_frame_without_id() -> None:
    (sent,) = drained(server_side()).sent
    assert "id" not in sent.header
    wanted = {"content-length": 0, "content-type": "application/octet-stream", "content-encoding": "binary"}
    assert sent.header == {"byteorder": sent.header["byteorder"], "closing": 1, **wanted}


@pytest.mark.smoke
@each_cut
def test_what_was_accepted_is_answered_and_what_comes_later_never_runs(cut: Cut) -> None:
    side = server_side(cut=cut).hears(opening(2, "a"), named(3, "b"))
    drained(side).hears(opening(4, "c"), named(5, "d"), frame({"id": 6}, b"binary"))
    assert closings(side) == [3]
    assert refusals(side) == [(4, "unavailable"), (5, "unavailable"), (6, "unavailable")]
    assert (side.actions, side.stops) == (["a", "b"], [])
    side.answers(0, "one")
    assert not side.ending
    side.answers(1, "two")
    assert [sent.value for sent in side.sent[4:]] == [{"result": "one"}, "two"]
    assert side.ending
    assert side.counters.refused_draining == 3


def test_it_is_told_once() -> None:
    side = server_side().hears(opening(2, "a"))
    drained(drained(side))
    assert closings(side) == [2]


def test_a_request_whose_content_is_under_way_is_answered() -> None:
    side = server_side()
    data = opening(2, "a", "x" * 200)
    side.hears(data[:-50])
    drained(side).hears(data[-50:])
    assert (side.actions, closings(side)) == (["a"], [2])
    side.answers(0, 1)
    assert side.ending


def test_a_request_of_which_only_a_part_of_the_header_came_is_not_waited_for() -> None:
    side = drained(server_side().hears(opening(2, "a")[:20]))
    assert (side.ending, closings(side)) == (True, [1])


def test_uploads_and_streams_go_on() -> None:
    side = server_side().hears(named(2, "double", more=True), item(2, b"a"))
    drained(side).hears(item(2, b"b"), end(2))
    assert side.takes(0) == [b"a", b"b"]
    side.streams(0, b"aa", b"bb")
    assert not side.ending
    side.core.finish(side.requests[0], None, side.now)
    assert side.settled().ending
    assert [sent.header["more"] for sent in side.sent[-3:]] == [True, True, False]


@pytest.mark.parametrize("action", ["ping", "health", "describe"])
@pytest.mark.parametrize("form", [opening, named])
def test_the_server_s_own_actions_are_answered_as_long_as_the_connection_stands(form: type, action: str) -> None:
    side = drained(server_side().hears(opening(2, "a"))).hears(form(3, f"letterhead.{action}"))
    assert side.actions == ["a", f"letterhead.{action}"]
    side.answers(1, "draining")
    assert not side.ending
    side.answers(0, "done")
    assert side.ending
    assert side.counters.refused_draining == 0


def test_an_own_action_that_came_late_is_answered_before_the_end() -> None:
    side = drained(server_side().hears(opening(2, "a"))).hears(named(3, "letterhead.ping")).answers(0, 1)
    assert not side.ending
    side.answers(1, None)
    assert side.ending


def test_a_half_closed_connection_drains_too() -> None:
    side = drained(server_side().hears(opening(2, "a")).hears_end()).answers(0, 1)
    assert side.ending


def test_a_header_that_does_not_go_on_ends_the_connection_after_its_own_time_not_sooner() -> None:
    side = drained(server_side().hears(opening(2, "a"))).hears(opening(3, "b")[:20]).passes(LINGERS + 1)
    assert not side.ending
    side.passes(10.0)
    assert refusals(side) == [(None, "timeout")]


# Connections on which nothing has come yet


def test_a_connection_that_never_spoke_has_a_moment_to_do_so() -> None:
    side = drained(ServerSide()).passes(LINGERS - 0.1)
    assert not side.ending
    side.passes(0.2)
    assert (side.ending, side.sent) == (True, [])


def test_a_tick_is_due_when_that_moment_is_over() -> None:
    side = drained(ServerSide())
    assert side.core.due == side.now + LINGERS


@each_cut
def test_its_first_multiplexed_request_is_refused_with_closing_below_its_id(cut: Cut) -> None:
    side = drained(ServerSide(cut=cut)).hears(opening(7, "a"))
    hello, closing, refused = side.sent
    assert (hello.id, hello.header["max-open"]) == (7, 128)
    assert closing.header["closing"] == 0
    assert (refused.id, refused.code) == (7, "unavailable")
    assert (side.actions, side.ending) == ([], True)


def test_a_first_request_with_an_unsound_id_is_told_that_alone() -> None:
    side = drained(ServerSide()).hears(opening(0, "a"))
    assert (refusals(side), closings(side), side.ending) == ([(None, "bad-header")], [], True)


def test_its_first_ping_is_answered_behind_hello_and_closing() -> None:
    side = drained(ServerSide()).hears(opening(1, "letterhead.ping")).answers(0, None)
    assert (closings(side), side.sent[-1].value, side.ending) == ([0], {"result": None}, True)


@each_cut
def test_its_first_classic_request_is_answered(cut: Cut) -> None:
    side = drained(ServerSide(cut=cut)).hears(opening(None, "a"))
    assert not side.ending
    side.answers(0, "done")
    assert ([sent.value for sent in side.sent], side.ending) == ([{"result": "done"}], True)


def test_a_first_header_that_is_not_finished_in_that_moment_is_told_unavailable() -> None:
    side = drained(ServerSide().hears(opening(1, "a")[:30])).passes(LINGERS + 0.1)
    (told,) = side.sent
    assert (told.id, told.header["status"], told.code) == (None, "unavailable", "unavailable")
    assert (side.ending, side.errors) == (True, [])


def test_a_first_request_whose_header_came_may_take_its_time() -> None:
    data = opening(None, "a", "x" * 500)
    side = drained(ServerSide()).hears(data[:-100]).passes(LINGERS + 1).hears(data[-100:]).answers(0, 1)
    assert ([sent.value for sent in side.sent], side.ending) == ([{"result": 1}], True)


def test_a_client_that_goes_meanwhile_is_not_waited_for() -> None:
    side = drained(ServerSide()).hears_end()
    assert (side.ending, side.sent) == (True, [])


# Classic connections


def test_a_classic_connection_ends_without_a_frame() -> None:
    side = ServerSide().hears(opening(None, "a")).answers(0, 1)
    side.sent.clear()
    assert (drained(side).ending, side.sent) == (True, [])


def test_classic_requests_that_have_come_are_answered() -> None:
    side = drained(ServerSide().hears(opening(None, "a"), opening(None, "b")))
    side.answers(0, 1)
    assert not side.ending
    side.answers(1, 2)
    assert ([sent.value for sent in side.sent], side.ending) == ([{"result": 1}, {"result": 2}], True)


def test_a_classic_request_that_has_begun_to_come_is_answered() -> None:
    data = opening(None, "b")
    side = ServerSide().hears(opening(None, "a")).answers(0, 1).hears(data[:20])
    assert not drained(side).ending
    side.hears(data[20:]).answers(1, 2)
    assert (side.sent[-1].value, side.ending) == ({"result": 2}, True)


# No more time


def test_what_is_open_at_the_end_of_the_time_is_cancelled_and_never_called_safe_to_repeat() -> None:
    side = drained(server_side().hears(opening(2, "a"), named(3, "b", more=True), opening(4, "c", "x" * 99)[:-9]))
    side.core.cut_off()
    assert refusals(side.settled()) == [(4, "cancelled"), (2, "cancelled"), (3, "cancelled")]
    assert {sent.value["error"]["message"] for sent in side.sent[1:]} == {"the server is going away"}
    assert side.stops == side.requests
    assert side.ending


def test_what_was_cut_off_is_finished_once_its_handlers_have_ended() -> None:
    side = drained(server_side().hears(opening(2, "a", "x" * 1_000)))
    side.core.cut_off()
    side.settled()
    assert side.counters.open_now == 1
    side.answers(0, "too late")
    assert (side.counters.open_now, side.budget.used) == (0, 0)
    assert refusals(side) == [(2, "cancelled")]


def test_a_classic_request_is_told_likewise() -> None:
    side = drained(ServerSide().hears(opening(None, "a"), opening(None, "b")))
    side.core.cut_off()
    assert [sent.value["error"]["code"] for sent in side.settled().sent] == ["cancelled"]
    assert side.ending


def test_where_nothing_is_open_nothing_is_said() -> None:
    side = drained(ServerSide())
    side.core.cut_off()
    assert (side.settled().ending, side.sent) == (True, [])

"""How long a connection waits for its peer, by a clock that the test moves."""

import pytest

from letterhead.limits import Limits
from tests.protocol.pairs import ServerSide, opening, server_side
from tests.wire.frames import frame, framed, header_bytes


def due(side: ServerSide) -> ServerSide:
    """Let the clock strike whenever a tick is due, as a shell does, until nothing is due within an hour."""
    end = side.now + 3_600
    while not side.ending and side.core.due < end:
        side.now = max(side.now, side.core.due)
        side.passes(0.0)
    return side


def test_a_silent_connection_is_closed_after_10_s() -> None:
    side = due(ServerSide())
    assert side.now == 1010.0
    assert (side.ending, side.sent) == (True, [])


@pytest.mark.smoke
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_header_has_10_s_from_its_first_byte(size: int) -> None:
    side = server_side()
    side.now += 100.0
    side.hears(opening(2, "a")[:size])
    side.passes(9.9)
    assert not side.ending
    side.passes(0.2)
    assert side.codes == [(None, "timeout")]
    assert side.ending


def test_bytes_that_trickle_do_not_lengthen_a_header_s_time() -> None:
    side = server_side()
    data = opening(2, "a")
    for at in range(9):
        side.hears(data[at : at + 1]).passes(1.0)
        assert not side.ending
    side.hears(data[9:10]).passes(1.1)
    assert side.codes == [(None, "timeout")]


def test_a_first_header_has_its_time_too() -> None:
    side = ServerSide().passes(9.0).hears(b"\x00").passes(9.9)
    assert not side.ending
    side.passes(0.2)
    assert side.sent[0].code == "timeout"


def test_each_header_has_a_time_of_its_own() -> None:
    side = server_side()
    data = opening(2, "a") + opening(3, "b")[:20]
    side.hears(data[:20]).passes(8.0)
    side.hears(data[20:]).passes(8.0)
    assert not side.ending


def test_content_may_be_quiet_for_20_s() -> None:
    side = server_side().hears(frame({"id": 2}, bytes(100_000))[:-5_000])
    side.passes(19.9)
    assert not side.ending
    side.passes(0.2)
    assert side.codes == [(None, "timeout")]


def test_content_below_1000_bytes_a_second_is_given_up() -> None:
    side = server_side()
    side.hears(framed(header_bytes({"id": 2, "content-length": 1_000_000, "deadline": 2**31 - 1})))
    for _ in range(19):
        side.hears(bytes(900)).passes(1.0)
        assert not side.ending
    side.hears(bytes(900)).passes(1.1)
    assert side.codes == [(None, "timeout")]


def test_content_above_that_rate_is_received_however_long_it_takes() -> None:
    side = server_side(Limits(deadline_seconds=10_000.0, deadline_max_seconds=10_000.0))
    side.hears(framed(header_bytes({"id": 2, "content-length": 300_000})))
    for _ in range(250):
        side.hears(bytes(1_200)).passes(1.0)
    assert len(side.requests) == 1


def test_skipped_content_is_waited_for_likewise() -> None:
    side = server_side().hears(frame({"id": 2, "byteorder": "no"}, bytes(5_000))[:-1_000]).passes(20.1)
    assert side.codes == [(2, "bad-header"), (None, "timeout")]


@pytest.mark.parametrize("id", [2, None])
def test_an_idle_connection_is_closed_after_300_s(id: int | None) -> None:
    side = server_side() if id else ServerSide().hears(opening(None, "a")).answers(0, 1)
    begun = side.now
    due(side)
    assert side.now == begun + 300.0
    assert side.ending
    assert side.counters.idled == 1


def test_a_multiplexed_connection_that_idles_out_is_told_by_closing_and_a_classic_one_by_nothing() -> None:
    assert [sent.header.get("closing") for sent in due(server_side()).sent] == [1]
    side = ServerSide().hears(opening(None, "a")).answers(0, 1)
    side.sent.clear()
    assert due(side).sent == []


def test_while_a_request_is_open_its_connection_does_not_idle() -> None:
    side = server_side(Limits(deadline_seconds=2_000.0, deadline_max_seconds=2_000.0)).hears(opening(2, "a"))
    side.passes(1_000.0)
    assert not side.ending
    side.answers(0, 1)
    begun = side.now
    due(side)
    assert side.now == begun + 300.0


def test_a_request_and_its_reply_begin_the_idle_time_anew() -> None:
    side = server_side().passes(250.0).hears(opening(2, "a")).passes(20.0).answers(0, 1).passes(290.0)
    assert not side.ending
    side.passes(11.0)
    assert side.ending


def test_late_frames_show_that_somebody_is_there() -> None:
    side = server_side().passes(290.0).hears(frame({"id": 1})).passes(290.0)
    assert not side.ending


def test_time_in_which_the_server_does_not_read_is_not_counted() -> None:
    side = server_side().hears(opening(2, "a")[:20])
    side.passes(5.0)
    side.core.timer.pause(side.now)
    side.passes(100.0)
    assert not side.ending
    side.core.resume_reading(side.now)
    side.passes(4.9)
    assert not side.ending
    side.passes(0.2)
    assert side.codes == [(None, "timeout")]


def test_a_tick_is_due_again_once_the_server_reads() -> None:
    side = server_side().hears(opening(2, "a")[:20])
    side.core.timer.pause(side.now)
    side.passes(50.0)
    side.core.resume_reading(side.now)
    begun = side.now
    due(side)
    assert side.now == begun + 10.0
    assert side.codes == [(None, "timeout")]


def test_a_classic_connection_does_not_time_out_while_its_request_runs() -> None:
    side = ServerSide().hears(opening(None, "a"), opening(None, "b")[:20])
    side.core.timer.pause(side.now)
    side.passes(25.0)
    assert not side.ending
    side.answers(0, 1)
    side.core.resume_reading(side.now)
    side.passes(9.9)
    assert not side.ending
    side.passes(0.2)
    assert side.sent[-1].code == "timeout"


def test_a_tick_before_its_time_changes_nothing() -> None:
    side = server_side().hears(opening(2, "a"))
    for _ in range(100):
        side.passes(0.1)
    assert (side.sent, side.stops, side.ending) == ([], [], False)


def test_a_tick_after_the_end_changes_nothing() -> None:
    side = server_side().hears(b"\x00\x00").passes(1_000.0)
    assert len(side.sent) == 1

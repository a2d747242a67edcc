"""A server whose result is a stream: items, ends, credit for them, the deadline, and what ends it early."""

import pytest

from letterhead.content.encoded import Encoded
from letterhead.errors import BadHeader, Cancelled, DeadlineExceeded, Internal
from letterhead.limits import Limits
from letterhead.protocol.flow import CREDIT
from tests.protocol.pairs import LIMITS, ServerSide, control, named, octets, opening, result, server_side
from tests.wire.frames import WHOLE, Cut, each_cut

BIG = 2**31 - 1


def streaming(limits: Limits = LIMITS, cut: Cut = WHOLE, **fields: object) -> ServerSide:
    """A connection on which request 2 is open, and its result will be a stream."""
    return server_side(limits, cut).hears(named(2, "count", **fields)).streams(0)


def left(side: ServerSide) -> int:
    outgoing = side.requests[0].outgoing
    assert outgoing is not None
    return outgoing.credit


# Items and ends


@pytest.mark.smoke
@pytest.mark.parametrize("contents", [[], [b""], [b"null"], [b"a", b"", b"b" * 70_000]])
def test_items_are_sent_as_frames_of_their_own_and_the_end_behind_them(contents: list[bytes]) -> None:
    side = streaming().streams(0, *contents)
    side.core.finish(side.requests[0], None, side.now)
    *items, last = side.settled().sent
    assert [(sent.header["more"], sent.content) for sent in items] == [(True, content) for content in contents]
    assert all(sent.id == 2 and sent.status is None for sent in items)
    assert (last.id, last.header["more"], last.content) == (2, False, b"")
    assert (last.header["content-type"], last.header["content-encoding"]) == ("application/octet-stream", "binary")


def test_items_are_not_wrapped_where_the_request_was_of_classic_form() -> None:
    side = server_side().hears(opening(2, "count", 1)).streams(0)
    side.core.send_item(side.requests[0], result([1]))
    assert side.settled().sent[0].value == [1]


def test_an_item_keeps_its_own_fields_and_byte_order() -> None:
    side = streaming()
    fields = {"x-own": 1, "dtype": "int32", "byteorder": "big"}
    side.core.send_item(side.requests[0], Encoded("binary/ndarray", "binary", bytes(4), fields))
    (sent,) = side.settled().sent
    assert {name: sent.header[name] for name in fields} == fields
    assert sent.header["more"] is True


def test_an_item_whose_header_cannot_be_sent_ends_its_exchange_and_costs_nothing() -> None:
    side = streaming()
    cost = side.core.send_item(side.requests[0], Encoded("a/b", "binary", b"", {"x": "y" * 20_000}))
    side.settled()
    assert (cost, side.codes, left(side)) == (0, [(2, "internal")], CREDIT)
    assert side.stops == side.requests


def test_an_error_after_items_is_one_last_frame_without_more() -> None:
    side = streaming().streams(0, b"0").answers(0, Internal("the handler failed"))
    assert [(sent.header.get("more"), sent.status) for sent in side.sent] == [(True, None), (None, "internal")]


def test_the_slot_of_a_stream_is_free_behind_its_end() -> None:
    side = streaming(Limits(max_open=1))
    side.core.finish(side.requests[0], None, side.now)
    side.hears(opening(3, "next"))
    assert side.actions == ["count", "next"]


def test_a_stream_counts_once_as_served() -> None:
    side = streaming().streams(0, b"0", b"1")
    before = side.counters.served
    side.core.finish(side.requests[0], None, side.now)
    assert side.counters.served == before + 1


# Credit


@pytest.mark.parametrize("content", [b"", b"x", bytes(10_000)])
def test_an_item_costs_its_whole_frame(content: bytes) -> None:
    side = streaming()
    cost = side.core.send_item(side.requests[0], octets(content))
    assert cost == sum(len(piece) for piece in side.core.out)
    assert left(side) == CREDIT - cost


@each_cut
def test_credit_that_comes_before_the_stream_begins_counts(cut: Cut) -> None:
    side = server_side(cut=cut).hears(named(2, "count"), control(2, credit=500)).streams(0)
    assert left(side) == CREDIT + 500


def test_ends_and_errors_need_no_credit() -> None:
    side = streaming().streams(0, bytes(2 * CREDIT))
    assert not side.core.may_send(side.requests[0])
    side.core.finish(side.requests[0], None, side.now)
    assert side.settled().sent[-1].header["more"] is False


def test_credit_up_to_the_largest_sum_is_taken() -> None:
    side = streaming().hears(control(2, credit=BIG - CREDIT))
    assert (left(side), side.sent) == (BIG, [])


@each_cut
def test_credit_above_the_largest_sum_ends_its_exchange_alone(cut: Cut) -> None:
    side = streaming(cut=cut).hears(named(3, "b"), control(2, credit=BIG - CREDIT + 1))
    assert side.codes == [(2, "bad-header")]
    assert side.stops == side.requests[:1]
    side.answers(0, 1).answers(1, "fine")
    assert (side.sent[-1].value, len(side.sent), side.ending) == ("fine", 2, False)


def test_so_much_credit_before_the_stream_begins_is_refused_once_it_does() -> None:
    side = server_side().hears(named(2, "count"), control(2, credit=BIG))
    with pytest.raises(BadHeader, match="credit"):
        side.streams(0)


def test_so_much_credit_for_what_is_no_stream_is_ignored() -> None:
    side = server_side().hears(named(2, "a"), control(2, credit=BIG), control(2, credit=BIG)).answers(0, "done")
    assert [sent.value for sent in side.sent] == ["done"]
    assert side.stops == []


@pytest.mark.parametrize("credit", [0, -1, BIG + 1, "5", 1.5, True, None])
def test_credit_that_is_no_number_of_bytes_closes(credit: object) -> None:
    side = streaming().hears(control(2, credit=credit))
    assert side.codes == [(None, "bad-header")]
    assert side.ending


def test_credit_for_what_has_ended_is_ignored() -> None:
    side = streaming().answers(0, Cancelled("enough")).hears(control(2, credit=BIG), control(2, credit=BIG))
    assert side.codes == [(2, "cancelled")]
    assert not side.ending


# How much credit may come


def test_one_credit_frame_for_each_32_kibibytes_sent_is_no_control_frame() -> None:
    side = streaming(Limits(control_frames=3))
    for _ in range(40):
        side.streams(0, bytes(32 * 1024)).hears(control(2, credit=32 * 1024))
    assert not side.ending


def test_credit_beyond_what_was_sent_is_counted_as_control_frames() -> None:
    side = streaming(Limits(control_frames=3)).streams(0, bytes(32 * 1024))
    side.hears(control(2, credit=1) * 4)
    assert not side.ending
    side.hears(control(2, credit=1))
    assert side.codes[-1] == (None, "too-many")


def test_credit_that_was_counted_as_control_frames_does_not_use_up_what_later_bytes_allow() -> None:
    side = streaming(Limits(control_frames=3)).hears(control(2, credit=1) * 3)
    for _ in range(10):
        side.streams(0, bytes(32 * 1024)).hears(control(2, credit=1))
    assert not side.ending


# Deadlines


def test_a_stream_has_no_deadline_unless_it_names_one() -> None:
    side = streaming().passes(100_000.0)
    assert (side.sent, side.stops, side.ending) == ([], [], False)


def test_a_deadline_that_a_stream_names_is_not_shortened() -> None:
    side = streaming(deadline=400_000).passes(399.9)
    assert side.sent == []
    side.passes(0.2)
    assert side.codes == [(2, "deadline-exceeded")]


def test_a_stream_that_is_known_late_has_no_deadline_any_more() -> None:
    side = server_side().hears(named(2, "count")).passes(29.0).streams(0).passes(2.0)
    assert side.sent == []


@each_cut
def test_a_stream_out_of_time_ends_with_one_error_behind_its_items(cut: Cut) -> None:
    side = streaming(cut=cut, deadline=1_000).streams(0, b"0").passes(1.0)
    assert [sent.status for sent in side.sent] == [None, "deadline-exceeded"]
    assert side.stops == side.requests
    side.streams(0, b"1").answers(0, DeadlineExceeded("late"))
    assert len(side.sent) == 2


# Ends from the client


@each_cut
def test_a_cancelled_stream_ends_with_cancelled_once_its_handler_has(cut: Cut) -> None:
    side = streaming(cut=cut).streams(0, b"0").hears(control(2, cancel=True))
    assert side.stops == side.requests
    side.streams(0, b"1")  # was on its way
    side.core.finish(side.requests[0], None, side.now)
    assert [sent.status for sent in side.settled().sent] == [None, None, "cancelled"]


def test_a_lost_connection_ends_a_stream_without_a_word() -> None:
    side = streaming().streams(0, b"0")
    side.core.lost()
    side.settled()
    side.core.finish(side.requests[0], None, side.now)
    assert len(side.settled().sent) == 1
    assert side.counters.open_now == 0


# Timing


def test_timing_stands_on_the_end_of_a_stream_alone() -> None:
    side = streaming(timing=True).streams(0, b"0")
    side.now += 1.0
    side.core.finish(side.requests[0], None, side.now)
    first, last = side.settled().sent
    assert "timing" not in first.header
    assert last.header["timing"] == {"queued": 0, "ran": 1_000_000}
    assert (last.header["more"], last.content) == (False, b"")


def test_timing_stands_on_the_error_that_ends_a_stream() -> None:
    side = streaming(timing=True).streams(0, b"0").answers(0, Internal("failed"))
    assert "timing" in side.sent[-1].header

"""A server whose request brings a stream: items, their end, credit for them, and what ends it early."""

import pytest

from letterhead.errors import BadContent, Cancelled, TooMany
from letterhead.limits import Limits
from letterhead.protocol.budget import Budget
from letterhead.protocol.events import Readable
from letterhead.protocol.requests import Request
from tests.protocol.pairs import LIMITS, ServerSide, control, end, item, named, opening, server_side
from tests.wire.frames import WHOLE, Cut, Frame, each_cut, frame, framed, header_bytes, json_frame

A_HEADER = 2_000
"""Bytes that a short header holds, at most."""
SMALL = Limits(content_bytes=200_000, json_bytes=1_000, skip_bytes=300_000, initial_credit=1_000_000)
NARROW = Limits(initial_credit=1_000)
NEXT = frame({"id": 3, "action": "next"})


def uploading(limits: Limits = LIMITS, cut: Cut = WHOLE, budget: Budget | None = None, **fields: object) -> ServerSide:
    """A connection on which request 2 is open, and its upload goes on."""
    return server_side(limits, cut, budget).hears(frame({"id": 2, "action": "store", "more": True, **fields}))


def credits(side: ServerSide) -> list[Frame]:
    return [sent for sent in side.sent if "credit" in sent.header]


def with_items(side: ServerSide) -> list[Request]:
    return [event.exchange for event in side.moved if isinstance(event, Readable)]


def whole(side: ServerSide) -> bool:
    """Whether the upload has ended, and by its end."""
    incoming = side.requests[0].incoming
    assert incoming is not None
    return incoming.whole


# Items and ends


@pytest.mark.smoke
@each_cut
@pytest.mark.parametrize("contents", [[], [b""], [b"null"], [b"a", b"", b"b" * 70_000], [b"x"] * 50])
def test_the_items_of_an_upload_are_what_was_sent_in_its_order(cut: Cut, contents: list[bytes]) -> None:
    side = uploading(cut=cut).hears(*(item(2, content) for content in contents), end(2))
    assert (side.takes(0), whole(side)) == (contents, True)
    assert side.sent == []


def test_a_request_is_handed_out_before_its_items() -> None:
    side = uploading()
    assert side.actions == ["store"]
    assert (side.takes(0), whole(side)) == ([], False)


def test_a_first_request_of_classic_form_may_upload_too() -> None:
    side = ServerSide().hears(opening(1, "store", more=True), item(1, b"a"), end(1))
    assert (side.actions, side.takes(0)) == (["store"], [b"a"])


def test_items_may_differ_each_is_described_by_its_own_header() -> None:
    side = uploading().hears(json_frame(5, {"id": 2, "more": True}), item(2, b"x", content_type="binary/x", x_own=[1]))
    headers = [taken[0] for taken in iter(lambda: side.core.take(side.requests[0]), None)]
    assert [header.shape.type for header in headers] == ["text/json", "binary/x"]
    assert headers[1].fields["x-own"] == [1]


@each_cut
def test_uploads_do_not_mix(cut: Cut) -> None:
    side = server_side(cut=cut).hears(*(named(id, "store", more=True) for id in (2, 3, 4)))
    side.hears(*(item(2 + n % 3, b"%d" % n) for n in range(9)))
    assert [side.takes(n) for n in range(3)] == [[b"0", b"3", b"6"], [b"1", b"4", b"7"], [b"2", b"5", b"8"]]


def test_items_are_told_to_those_who_found_none() -> None:
    side = uploading().hears(item(2, b"0"))
    assert with_items(side) == []
    assert side.takes(0) == [b"0"]
    side.hears(item(2, b"1"), item(2, b"2"))
    assert with_items(side) == side.requests


def test_the_end_is_told_to_those_who_wait() -> None:
    side = uploading()
    assert side.takes(0) == []
    side.hears(end(2))
    assert with_items(side) == side.requests


@each_cut
def test_a_request_may_be_answered_before_its_upload_has_ended(cut: Cut) -> None:
    side = uploading(cut=cut).answers(0, "enough")
    side.hears(item(2, b"late"), end(2), NEXT)
    assert [sent.value for sent in side.sent] == ["enough"]
    assert side.actions == ["store", "next"]
    assert side.held == 0


@each_cut
def test_an_upload_cut_off_by_the_end_of_the_stream_is_never_whole(cut: Cut) -> None:
    side = uploading(cut=cut).hears(item(2, b"a"), item(2, bytes(70_000))[:-1]).hears_end()
    assert side.stops == side.requests
    assert (side.takes(0), whole(side)) == ([b"a"], False)
    side.answers(0, "unwanted")
    assert side.codes == [(2, "cancelled")]
    assert side.ending
    assert (side.budget.used, side.counters.open_now) == (0, 0)


# Credit


@pytest.mark.parametrize("content", [b"", b"x", bytes(1_000)])
def test_an_item_costs_its_whole_frame(content: bytes) -> None:
    one = item(2, content)
    side = uploading().hears(one)
    incoming = side.requests[0].incoming
    assert incoming is not None
    assert incoming.window == LIMITS.initial_credit - len(one)


@each_cut
def test_credit_is_given_back_once_half_of_it_was_taken(cut: Cut) -> None:
    one = item(2, bytes(50))
    limits = Limits(initial_credit=6 * len(one) - 1)
    side = uploading(limits, cut).hears(*[one] * 2)
    assert (len(side.takes(0)), credits(side)) == (2, [])
    side.hears(one)
    assert len(side.takes(0)) == 1
    (given,) = credits(side)
    assert (given.id, given.header["credit"], given.content) == (2, 3 * len(one), b"")


def test_what_is_not_taken_gives_no_credit() -> None:
    side = uploading(NARROW).hears(*[item(2, bytes(100))] * 4)
    assert credits(side) == []


def test_no_credit_is_given_for_an_upload_that_is_whole() -> None:
    side = uploading(NARROW).hears(*[item(2, bytes(100))] * 4, end(2))
    assert (len(side.takes(0)), credits(side)) == (4, [])


def test_an_item_at_a_credit_of_1_may_overdraw_it() -> None:
    one = item(2, b"x")
    side = uploading(Limits(initial_credit=len(one) + 1)).hears(one, item(2, bytes(300_000)), end(2))
    assert [len(content) for content in side.takes(0)] == [1, 300_000]
    assert side.sent == []


@each_cut
@pytest.mark.parametrize("size", [0, 5, 70_000])
def test_an_item_without_credit_ends_its_exchange_and_the_connection_is_kept(cut: Cut, size: int) -> None:
    one = item(2, b"x")
    side = uploading(Limits(initial_credit=len(one)), cut).hears(one, item(2, bytes(size)), NEXT)
    assert side.codes == [(2, "bad-header")]
    assert side.stops == side.requests[:1]
    assert (side.actions, side.ending, side.held) == (["store", "next"], False, 0)


def test_the_end_of_an_upload_needs_no_credit() -> None:
    one = item(2, b"x")
    side = uploading(Limits(initial_credit=len(one))).hears(one, end(2))
    assert (side.takes(0), whole(side)) == ([b"x"], True)


def test_more_credit_lets_more_items_come() -> None:
    one = item(2, bytes(50))
    side = uploading(Limits(initial_credit=len(one)))
    for _ in range(20):
        side.hears(one)
        assert side.takes(0) == [bytes(50)]
    assert len(credits(side)) == 20
    assert side.stops == []


# Items that are wrong


WRONG = {
    "without byteorder": (frame({"id": 2, "more": True}, b"x", without=("byteorder",)), "bad-header"),
    "a content type that is none": (item(2, b"x", content_type="none"), "bad-header"),
    "more than 64 fields": (item(2, b"x", **{f"x{n}": n for n in range(64)}), "bad-header"),
    "without more": (frame({"id": 2}, b"x"), "bad-header"),
    "more that is null": (frame({"id": 2, "more": None}, b"x"), "bad-header"),
    "the end with content": (frame({"id": 2, "more": False}, b"x"), "bad-header"),
    "the end of another type": (end(2, content_type="text/json", content_encoding="utf-8"), "bad-header"),
    "a compression that was not listed": (item(2, b"x", compression="zstd"), "bad-header"),
    "compression of the wrong type": (item(2, b"x", compression=5), "bad-header"),
    "deadline of the wrong type": (item(2, b"x", deadline="soon"), "bad-header"),
    "too large": (item(2, bytes(200_001)), "too-large"),
    "too large for JSON": (json_frame("x" * 1_000, {"id": 2, "more": True}), "too-large"),
    "the end, too large": (frame({"id": 2, "more": False}, bytes(200_001)), "too-large"),
    "too large and unsound": (frame({"id": 2, "more": 5}, bytes(200_001)), "too-large"),
}


@pytest.mark.smoke
@each_cut
@pytest.mark.parametrize("wrong", WRONG)
def test_an_item_that_is_wrong_ends_its_exchange_with_that_status_and_is_read_past(cut: Cut, wrong: str) -> None:
    data, code = WRONG[wrong]
    side = uploading(SMALL, cut).hears(item(2, b"a"), data, item(2, b"late"), end(2), NEXT)
    assert side.codes == [(2, code)]
    assert side.stops == side.requests[:1]
    assert (side.actions, side.ending) == (["store", "next"], False)
    side.answers(0, "unwanted")
    assert (len(side.sent), side.held, side.counters.open_now) == (1, 0, 1)


def test_an_item_too_large_to_skip_closes() -> None:
    side = uploading(SMALL).hears(framed(header_bytes({"id": 2, "more": True, "content-length": 300_000})))
    assert side.codes == [(2, "too-large")]
    assert side.ending


@pytest.mark.parametrize(
    "within", [named(2, "again"), named(2, "again", more=True), control(2, cancel=True, more=True)]
)
def test_what_can_be_no_part_of_an_upload_closes(within: bytes) -> None:
    side = uploading().hears(within, NEXT)
    assert side.codes == [(None, "bad-header")]
    assert side.ending


@pytest.mark.parametrize("second", [item(2, b"x"), end(2), frame({"id": 2}, b"x")], ids=["item", "end", "plain"])
def test_a_part_behind_the_end_closes(second: bytes) -> None:
    side = uploading().hears(end(2), second)
    assert side.codes == [(None, "bad-header")]
    assert side.ending


def test_whoever_runs_it_may_find_that_an_item_is_wrong() -> None:
    side = uploading().hears(item(2, b"a"))
    side.takes(0)
    side.core.fail_exchange(side.requests[0], BadContent("no such thing"))
    side.hears(item(2, b"late")).answers(0, "unwanted")
    assert side.codes == [(2, "bad-content")]
    assert side.stops == []
    assert (side.budget.used, side.counters.open_now) == (0, 0)


# Buffered bytes


@each_cut
def test_items_count_with_their_headers_until_they_are_taken(cut: Cut) -> None:
    one = item(2, bytes(70_000))
    side = uploading(cut=cut).hears(one, one, one[:-1])
    before = side.held
    assert 3 * 70_000 <= before < 3 * (70_000 + A_HEADER)
    side.hears(one[-1:])
    assert side.held == before + 1
    side.takes(0)
    assert side.held == 0


def test_many_empty_items_do_not_slip_past_the_bound() -> None:
    one = item(2, b"")
    side = uploading(budget=Budget(200 * len(one)))
    side.hears(one * 150)
    assert side.sent == []
    side.hears(one * 50)
    assert side.codes == [(2, "too-many")]
    assert side.held == 0


@each_cut
def test_an_item_that_would_pass_the_total_bound_is_skipped_and_its_exchange_ends(cut: Cut) -> None:
    one = item(2, bytes(70_000))
    side = uploading(cut=cut, budget=Budget(2 * len(one) - 1 + A_HEADER)).hears(one, one, item(2, b"late"), NEXT)
    assert side.codes == [(2, "too-many")]
    assert (side.actions, side.ending, side.held) == (["store", "next"], False, 0)


@each_cut
def test_the_bound_may_be_passed_while_an_item_arrives(cut: Cut) -> None:
    one, budget = item(2, bytes(70_000)), Budget(100_000)
    side = uploading(cut=cut, budget=budget).hears(one[:40_000])
    budget.used += 50_000  # another connection's
    side.hears(one[40_000:], NEXT)
    assert side.codes == [(2, "too-many")]
    assert side.actions == ["store", "next"]


@pytest.mark.parametrize("how", ["lost", "end", "error", "deadline", "answered", "failed"])
def test_whatever_ends_an_upload_its_bytes_are_given_back(how: str) -> None:
    side = uploading(deadline=1_000).hears(item(2, b"abc"), item(2, bytes(100_000))[:-5])
    if how == "lost":
        side.core.lost()
    elif how == "end":
        side.hears_end()
    elif how == "error":
        side.hears(b"xxxxx\x00\x00")
    elif how == "deadline":
        side.passes(1.0)
    elif how == "answered":
        side.core.finish(side.requests[0], Cancelled("enough"), side.now)
        side.hears(bytes(5))
    else:
        side.core.fail_exchange(side.requests[0], TooMany("enough"))
        side.hears(bytes(5))
    side.takes(0)
    assert side.held == 0
    if how != "answered":
        side.answers(0, Cancelled("late"))
    assert (side.budget.used, side.counters.open_now) == (0, 0)


# Deadlines


def test_an_upload_has_no_deadline_unless_it_names_one() -> None:
    side = uploading().passes(100_000.0)
    assert (side.sent, side.stops) == ([], [])


@each_cut
def test_an_upload_out_of_time_is_told_so_also_within_an_item(cut: Cut) -> None:
    side = uploading(cut=cut, deadline=1_000).hears(item(2, bytes(70_000))[:-1]).passes(1.0)
    assert side.codes == [(2, "deadline-exceeded")]
    assert side.stops == side.requests
    side.hears(b"\x00", item(2, b"late"), end(2), NEXT)
    assert side.actions == ["store", "next"]


def test_an_item_under_way_is_bound_by_the_patience_for_content() -> None:
    side = uploading().hears(item(2, bytes(70_000))[:-1]).passes(20.0)
    assert side.codes == [(None, "timeout")]
    assert side.ending


def test_between_items_nobody_is_hurried() -> None:
    side = uploading().hears(item(2, b"a")).passes(10_000.0).hears(item(2, b"b"), end(2))
    assert (side.takes(0), whole(side)) == ([b"a", b"b"], True)


# Draining


def test_an_upload_goes_on_while_the_server_drains() -> None:
    side = uploading()
    side.core.drain(side.now)
    side.hears(item(2, b"a"), end(2))
    assert (side.takes(0), whole(side), side.ending) == ([b"a"], True, False)
    side.answers(0, "stored")
    assert (side.sent[-1].value, side.ending) == ("stored", True)


# The token of the connection


@pytest.mark.parametrize("later", [item(2, b"x", authorization="Bearer t"), opening(3, "a", authorization="Bearer t")])
def test_authorization_after_the_first_request_closes(later: bytes) -> None:
    side = uploading().hears(later)
    assert side.codes == [(None, "bad-header")]
    assert side.ending


def test_authorization_that_is_false_is_absent() -> None:
    side = uploading().hears(item(2, b"x", authorization=False), opening(3, "a", authorization=False))
    assert (side.actions, side.ending) == (["store", "a"], False)


def test_when_a_client_sent_the_last_frame_of_an_exchange_is_known() -> None:
    side = uploading()
    (request,) = side.requests
    heard = []
    for data in (item(2, b"a"), control(2, credit=5), NEXT, end(2)):
        side.now += 10.0
        side.hears(data)
        heard.append(side.now - request.heard)
    assert heard == [0.0, 0.0, 10.0, 0.0]

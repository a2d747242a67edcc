"""A client whose call is answered with a stream: items, ends, errors, credit, and what must not look like an end."""

import pytest

from letterhead.errors import (
    BadHeader,
    ConnectionLost,
    ForeignProtocol,
    Refused,
    TooLarge,
    TooMany,
    UsageError,
)
from letterhead.limits import Limits
from letterhead.protocol.events import Readable
from letterhead.protocol.exchange import Asks
from letterhead.protocol.flow import CREDIT
from tests.protocol.pairs import Asked, ClientSide, client_side, control, end, failure, item, reply, streamed
from tests.wire.frames import Cut, Frame, each_cut, each_large_cut, frame, framed, header_bytes, json_frame

SMALL = Limits(content_bytes=200_000, json_bytes=1_000, skip_bytes=300_000)


def credits(side: ClientSide) -> list[Frame]:
    return [sent for sent in side.sent if "credit" in sent.header]


def cancels(side: ClientSide) -> list[int]:
    return [sent.id for sent in side.sent if "cancel" in sent.header]


def with_items(side: ClientSide) -> list[Asked]:
    return [event.exchange for event in side.moved if isinstance(event, Readable)]


# Items and ends


@pytest.mark.smoke
@each_cut
@pytest.mark.parametrize("contents", [[], [b""], [b"null"], [b"a", b"", b"b" * 70_000], [b"x"] * 50])
def test_the_items_of_a_stream_are_what_was_sent_in_its_order(cut: Cut, contents: list[bytes]) -> None:
    side = client_side(cut=cut)
    call, other = side.streams("count"), side.calls("b", 1)
    side.hears(*(item(2, content) for content in contents), end(2), reply(3, "fine"))
    assert side.takes(call) == contents
    assert (call.done, call.error, side.ended) == (True, None, [call, other])
    assert side.takes(call) == []


@each_cut
def test_items_may_differ_each_is_described_by_its_own_header(cut: Cut) -> None:
    side = client_side(cut=cut)
    call = side.streams("mixed")
    side.hears(json_frame([1], {"id": 2, "more": True}), item(2, b"\x00", content_type="binary/x", x_own=5), end(2))
    headers = [taken[0] for taken in iter(lambda: side.core.take(call), None)]
    assert [header.shape.type for header in headers] == ["text/json", "binary/x"]
    assert headers[1].fields["x-own"] == 5


@each_cut
def test_streams_do_not_mix(cut: Cut) -> None:
    side = client_side(cut=cut)
    calls = [side.streams("count") for _ in range(3)]
    side.hears(*(item(2 + n % 3, b"%d" % n) for n in range(9)), end(3), end(2), end(4))
    assert [side.takes(call) for call in calls] == [[b"0", b"3", b"6"], [b"1", b"4", b"7"], [b"2", b"5", b"8"]]
    assert side.ended == [calls[1], calls[0], calls[2]]


@each_cut
def test_items_before_an_error_stay_delivered(cut: Cut) -> None:
    side = client_side(cut=cut)
    call = side.streams("count")
    side.hears(item(2, b"0"), item(2, b"1"), failure(2, "internal", "the handler failed"))
    assert side.takes(call) == [b"0", b"1"]
    with pytest.raises(Refused, match="the handler failed"):
        call.result()


@each_cut
@pytest.mark.parametrize("how", ["end of stream", "cut off within an item", "connection error"])
def test_a_short_stream_never_looks_whole(cut: Cut, how: str) -> None:
    side = client_side(cut=cut)
    call = side.streams("count")
    side.hears(item(2, b"0"))
    if how == "cut off within an item":
        side.hears(item(2, b"abc")[:-1])
    if how == "connection error":
        side.hears(failure(None, "too-many"))
    else:
        side.hears_end()
    assert side.takes(call) == [b"0"]
    assert isinstance(call.error, Refused if how == "connection error" else ConnectionLost)


def test_an_end_with_an_error_status_is_an_error() -> None:
    side = client_side()
    call = side.streams("count")
    side.hears(json_frame({"error": {"code": "internal", "message": "no"}}, {"id": 2, "status": "internal"}))
    assert isinstance(call.error, Refused)
    assert call.error.code == "internal"


@each_cut
def test_nothing_of_a_stream_comes_after_its_end(cut: Cut) -> None:
    side = client_side(cut=cut)
    call = side.streams("count")
    side.hears(item(2, b"0"), end(2), item(2, b"1"), end(2), failure(2, "internal"), reply(2, 5))
    assert side.takes(call) == [b"0"]
    assert (call.error, side.ended, side.core.ended) == (None, [call], False)


def test_the_slot_of_a_stream_is_taken_until_its_end() -> None:
    side = client_side(max_open=1)
    side.streams("count")
    waiting = side.calls("b", 1)
    side.hears(item(2, b"0"))
    assert waiting.id == 0
    side.hears(end(2))
    assert waiting.id == 3


def test_a_stream_is_open_while_it_goes_on() -> None:
    side = client_side()
    side.calls("a", 1)
    assert not side.core.streaming
    side.streams("count")
    assert side.core.streaming
    side.hears(end(3))
    assert not side.core.streaming


# Whoever waits for items


def test_items_are_told_to_those_who_found_none() -> None:
    side = client_side()
    call = side.streams("count")
    side.hears(item(2, b"0"))
    assert with_items(side) == []
    assert side.takes(call) == [b"0"]
    side.hears(item(2, b"1"), item(2, b"2"))
    assert with_items(side) == [call]


def test_the_end_is_told_once_as_the_end_of_the_call() -> None:
    side = client_side()
    call = side.streams("count")
    assert side.takes(call) == []
    side.hears(end(2))
    assert (with_items(side), side.ended) == ([], [call])


# One result or a stream


def test_a_whole_reply_is_no_stream() -> None:
    side = client_side()
    call = side.streams("a")
    side.hears(reply(2, [1, 2]))
    with pytest.raises(UsageError, match="use call"):
        call.result()
    assert cancels(side) == []


def test_a_whole_reply_after_items_is_no_end() -> None:
    side = client_side()
    call = side.streams("a")
    side.hears(item(2, b"0"), reply(2, [1, 2]))
    assert side.takes(call) == [b"0"]
    assert isinstance(call.error, UsageError)


def test_a_call_that_turns_out_to_be_a_stream_is_told_once() -> None:
    side = client_side()
    call = side.calls("count", 3)
    side.hears(item(2, b"0"), item(2, b"1"), failure(2, "cancelled"))
    assert side.ended == [call]
    assert cancels(side) == [2]


# Credit


@pytest.mark.parametrize("content", [b"", b"x", bytes(1_000)])
def test_an_item_costs_its_whole_frame(content: bytes) -> None:
    side = client_side()
    call = side.streams("count")
    one = item(2, content)
    side.hears(one)
    assert call.incoming is not None
    assert call.incoming.window == CREDIT - len(one)


@each_large_cut
def test_credit_is_given_back_once_half_of_it_was_taken(cut: Cut) -> None:
    side = client_side(cut=cut)
    call = side.streams("count")
    one = item(2, bytes(100_000))
    side.hears(*[one] * 5)
    assert len(side.takes(call)) == 5
    assert credits(side) == []
    side.hears(one)
    assert side.takes(call) == [bytes(100_000)]
    (given,) = credits(side)
    assert (given.id, given.header["credit"]) == (2, 6 * len(one))
    assert (given.content, given.header["content-type"]) == (b"", "application/octet-stream")


def test_what_nobody_takes_gives_no_credit() -> None:
    side = client_side()
    side.streams("count")
    side.hears(*[item(2, bytes(100_000))] * 10)
    assert credits(side) == []


def test_no_credit_is_given_for_what_has_ended() -> None:
    side = client_side()
    call = side.streams("count")
    side.hears(*[item(2, bytes(100_000))] * 10, end(2))
    assert len(side.takes(call)) == 10
    assert credits(side) == []


def test_an_item_may_overdraw_the_credit() -> None:
    side = client_side()
    call = side.streams("count")
    size = CREDIT - 1 - (len(item(2, bytes(CREDIT))) - CREDIT)
    assert len(item(2, bytes(size))) == CREDIT - 1
    side.hears(item(2, bytes(size)), item(2, bytes(3_000_000)), end(2))
    assert [len(content) for content in side.takes(call)] == [size, 3_000_000]
    assert call.error is None


@each_large_cut
def test_an_item_without_credit_fails_its_call_alone_and_the_server_is_asked_to_stop(cut: Cut) -> None:
    side = client_side(cut=cut)
    call, other = side.streams("count"), side.calls("b", 1)
    side.hears(item(2, bytes(CREDIT)), item(2, b"too much"), item(2, b"and more"), reply(3, "fine"))
    assert [len(content) for content in side.takes(call)] == [CREDIT]
    with pytest.raises(BadHeader, match="without credit"):
        call.result()
    assert cancels(side) == [2]
    assert (other.result(), side.core.ended) == ("fine", False)


def test_a_stream_that_broke_the_rules_keeps_its_slot_until_the_last_frame() -> None:
    side = client_side(max_open=1)
    call = side.streams("count")
    waiting = side.calls("b", 1)
    side.hears(item(2, bytes(CREDIT)), item(2))
    assert waiting.id == 0
    side.hears(failure(2, "cancelled"))
    assert waiting.id == 3
    assert side.ended == [call]


# Giving up


def test_what_waits_of_a_stream_whose_time_is_over_is_for_nobody() -> None:
    side = client_side()
    call = side.streams("count")
    side.hears(item(2, b"0"))
    side.gives_up(call, late=True)
    assert side.takes(call) == []


def test_the_items_of_a_stream_that_was_given_up_are_for_nobody() -> None:
    side = client_side()
    call = side.streams("count")
    side.hears(item(2, b"0"))
    side.gives_up(call)
    side.hears(*[item(2, bytes(200_000))] * 9, failure(2, "cancelled"))
    assert side.takes(call) == []
    assert cancels(side) == [2]
    assert credits(side) == []
    assert not side.core.load


def test_a_stream_that_ends_as_it_is_given_up_frees_its_slot() -> None:
    side = client_side(max_open=1)
    call = side.streams("count")
    waiting = side.calls("b", 1)
    side.gives_up(call).hears(item(2, b"0"), end(2))
    assert waiting.id == 3
    assert (call.done, side.ended) == (False, [])


def test_a_stream_whose_time_is_over_is_not_cancelled_where_the_server_knows() -> None:
    side = client_side()
    call = side.streams("count", deadline=1_000)
    side.core.cancel(call, late=True)
    assert cancels(side.settled()) == []


# A server that breaks the rules


@each_cut
def test_an_item_that_is_too_large_fails_its_stream_and_is_read_past(cut: Cut) -> None:
    side = client_side(SMALL, cut)
    call, other = side.streams("count"), side.calls("b", 1)
    side.hears(item(2, b"0"), item(2, bytes(200_001)), item(2, b"2"), reply(3, "fine"))
    assert side.takes(call) == [b"0"]
    assert isinstance(call.error, TooLarge)
    assert cancels(side) == [2]
    assert other.result() == "fine"
    side.hears(failure(2, "cancelled"))
    assert not side.core.load


def test_an_item_that_costs_too_much_to_skip_ends_the_connection() -> None:
    side = client_side(SMALL)
    call, other = side.streams("count"), side.calls("b", 1)
    side.hears(framed(header_bytes({"id": 2, "more": True, "content-length": 300_000})))
    assert isinstance(call.error, TooLarge)
    assert isinstance(other.error, ConnectionLost)


@pytest.mark.parametrize("fields", [{"more": False}, {"status": "internal"}, {"status": "internal", "more": True}, {}])
def test_a_last_frame_that_is_too_large_frees_the_slot(fields: dict[str, object]) -> None:
    side = client_side(SMALL, max_open=1)
    call = side.streams("count")
    waiting = side.calls("b", 1)
    side.hears(json_frame("x" * 1_000, {"id": 2, **fields}))
    assert isinstance(call.error, TooLarge)
    assert waiting.id == 3


def test_a_last_frame_that_is_too_large_does_not_replace_what_the_caller_was_told() -> None:
    side = client_side(SMALL)
    call = side.streams("count")
    side.hears(*[item(2, bytes(200_000))] * 7)
    assert isinstance(call.error, BadHeader)
    side.hears(json_frame("x" * 1_000, {"id": 2, "status": "cancelled"}))
    assert isinstance(call.error, BadHeader)
    assert side.ended == [call]
    assert not side.core.load


@pytest.mark.parametrize("fields", [{"credit": 5}, {"max-open": 5}, {"more": "yes"}, {"status": 5}])
def test_what_is_too_large_and_unsound_besides_is_a_breach(fields: dict[str, object]) -> None:
    side = client_side(SMALL)
    call = side.streams("count")
    side.hears(json_frame("x" * 1_000, {"id": 2, **fields}))
    assert isinstance(call.error, ForeignProtocol)


def test_a_first_frame_with_an_id_that_is_too_large_is_no_answer() -> None:
    side = ClientSide(SMALL)
    calls = [side.calls("a", n) for n in range(2)]
    side.hears(json_frame("x" * 1_000, {"id": 1}))
    assert side.core.ended
    assert isinstance(calls[0].error, ForeignProtocol)
    assert side.handed_back == calls[1:]


BREACHES = {
    "an item for an id never opened": item(99, b"0"),
    "the end for an id never opened": end(99),
    "credit for an id never opened": control(99, credit=5),
    "credit without id": control(None, credit=5),
    "credit of 0": control(2, credit=0),
    "credit above 2^31-1": control(2, credit=2**31),
    "credit with an item": control(2, credit=5, more=True),
    "an item without byteorder": frame({"id": 2, "more": True}, without=("byteorder",)),
    "more that is null": frame({"id": 2, "more": None}),
    "an item in a compression that was not asked for": item(2, b"0", compression="zstd"),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_fails_streams_and_closes(breach: str) -> None:
    side = client_side()
    call = side.streams("count")
    side.hears(item(2, b"0"), BREACHES[breach], item(2, b"1"), end(2))
    assert isinstance(call.error, ForeignProtocol)
    assert side.takes(call) == [b"0"]
    assert side.core.ended


# Timing


@pytest.mark.parametrize("last", [end(2, timing={"queued": 1, "ran": 2}), failure(2, "internal")], ids=["told", "not"])
def test_what_the_last_frame_says_of_timing_is_kept(last: bytes) -> None:
    side = client_side()
    call = side.submits(streamed("count", asks=Asks(timing=True)))
    side.hears(item(2, b"0", timing={"queued": 9}), last)
    assert call.timing == (None if b"status" in last else {"queued": 1, "ran": 2})


# The bound over all streams


def test_an_item_that_would_pass_the_bound_on_held_bytes_ends_its_stream_alone() -> None:
    side = client_side(Limits(buffered_bytes=4 << 20))
    calls = [side.streams("numbers") for _ in range(3)]
    side.hears(*(item(call.id, bytes((2 << 20) - 1000)) for call in calls))
    assert [type(call.error) for call in calls] == [type(None), type(None), TooMany]
    assert cancels(side) == [calls[2].id]
    assert len(side.takes(calls[0])) == 1

"""A client on a multiplexed connection: ids, slots, cancelling, and what becomes of calls when it ends."""

import pytest

from letterhead.errors import ConnectionLost, Refused, UsageError
from letterhead.protocol.events import EndReason
from letterhead.protocol.states import Phase
from tests.protocol.pairs import ClientSide, client_side, failure, hello, reply
from tests.wire.frames import Cut, each_cut, frame, json_frame

CANCEL = {"cancel": True}


def test_ids_ascend() -> None:
    side = client_side()
    for n in range(5):
        side.calls("a", n)
    assert [sent.id for sent in side.sent] == [2, 3, 4, 5, 6]


def test_a_request_has_its_action_in_the_header_and_its_arguments_as_content() -> None:
    side = client_side()
    side.calls("greet", name="Ada")
    (sent,) = side.sent
    assert (sent.header["action"], sent.value) == ("greet", {"name": "Ada"})


@pytest.mark.smoke
@each_cut
def test_replies_in_any_order_reach_their_calls(cut: Cut) -> None:
    side = client_side(cut=cut)
    calls = {side.calls("a", n): n for n in range(20)}
    order = sorted(calls, key=lambda call: call.id * 7 % 20)
    side.hears(*(reply(call.id, {"n": calls[call]}) for call in order))
    assert side.ended == order
    assert all(call.result() == {"n": n} for call, n in calls.items())
    assert not side.core.load


@each_cut
def test_an_error_reply_fails_its_call_alone(cut: Cut) -> None:
    side = client_side(cut=cut)
    first, second = side.calls("a", 1), side.calls("b", 1)
    side.hears(failure(2, "not-found", "no such order", order=17), reply(3, "fine"))
    with pytest.raises(Refused, match="no such order") as caught:
        first.result()
    assert (caught.value.code, caught.value.order) == ("not-found", 17)
    assert second.result() == "fine"


def test_a_result_that_looks_like_an_error_is_a_result() -> None:
    side = client_side()
    call = side.calls("a", 1)
    side.hears(reply(2, {"error": {"code": "internal", "message": "no"}}))
    assert call.result() == {"error": {"code": "internal", "message": "no"}}


def test_a_status_of_ok_is_no_error() -> None:
    side = client_side()
    call = side.calls("a", 1)
    side.hears(reply(2, 5, status="ok"))
    assert call.result() == 5


@each_cut
def test_a_large_reply_arrives_as_it_was_sent(cut: Cut) -> None:
    side = client_side(cut=cut)
    call, other = side.calls("a", 1), side.calls("b", 1)
    content = bytes(range(256)) * 600
    side.hears(frame({"id": 2}, content), reply(3, 1))
    assert call.result() == content
    assert other.result() == 1


# Slots


def test_no_more_calls_are_written_than_the_server_has_slots() -> None:
    side = client_side(max_open=3)
    for n in range(5):
        side.calls("a", n)
    assert len(side.sent) == 3


def test_a_waiting_call_is_written_when_a_slot_is_free() -> None:
    side = client_side(max_open=2)
    for n in range(4):
        side.calls("a", n)
    side.hears(reply(3, 0))
    assert [sent.id for sent in side.sent] == [2, 3, 4]
    side.hears(reply(2, 0), reply(4, 0))
    assert [sent.id for sent in side.sent] == [2, 3, 4, 5]


def test_waiting_calls_are_written_in_the_order_they_came() -> None:
    side = client_side(max_open=1)
    for n in range(4):
        side.calls("a", n)
    side.hears(reply(2, 0)).hears(reply(3, 0)).hears(reply(4, 0))
    assert [sent.value for sent in side.sent] == [0, 1, 2, 3]


def test_a_second_hello_changes_the_number_of_slots() -> None:
    side = client_side(max_open=1)
    for n in range(3):
        side.calls("a", n)
    side.hears(hello(1, 2))
    assert len(side.sent) == 2


# Giving up


def test_giving_up_an_open_call_sends_a_cancel() -> None:
    side = client_side()
    call = side.calls("a", 1)
    side.gives_up(call)
    cancel = side.sent[-1]
    assert (cancel.id, cancel.header["cancel"], cancel.content) == (2, True, b"")
    assert cancel.header["content-type"] == "application/octet-stream"
    assert "action" not in cancel.header


def test_a_slot_stays_taken_until_the_last_frame_has_come() -> None:
    side = client_side(max_open=1)
    call, waiting = side.calls("a", 1), side.calls("b", 1)
    side.gives_up(call)
    assert waiting.id == 0
    side.hears(failure(2, "cancelled"))
    assert waiting.id == 3


@each_cut
def test_a_result_that_crosses_a_cancel_is_dropped(cut: Cut) -> None:
    side = client_side(cut=cut)
    call, other = side.calls("a", 1), side.calls("b", 1)
    side.gives_up(call)
    side.hears(reply(2, "crossed"), reply(3, "fine"))
    assert (call.done, side.ended) == (False, [other])
    assert other.result() == "fine"


def test_the_answer_to_a_cancel_is_for_nobody() -> None:
    side = client_side()
    call = side.calls("a", 1)
    side.gives_up(call).hears(failure(2, "cancelled"))
    assert (call.done, side.ended, side.core.load) == (False, [], 0)


def test_giving_up_a_waiting_call_takes_it_out_of_the_line() -> None:
    side = client_side(max_open=1)
    side.calls("a", 1)
    given_up, kept = side.calls("b", 1), side.calls("c", 1)
    side.gives_up(given_up).hears(reply(2, 0))
    assert [sent.header.get("action") for sent in side.sent] == ["a", "c"]
    assert kept.id == 3


def test_giving_up_a_call_that_has_ended_sends_nothing() -> None:
    side = client_side()
    call = side.calls("a", 1)
    side.hears(reply(2, 0)).gives_up(call)
    assert len(side.sent) == 1


# A reply that is a stream, which this client does not read


@each_cut
def test_a_call_whose_reply_is_a_stream_fails_and_is_cancelled(cut: Cut) -> None:
    side = client_side(cut=cut)
    call, other = side.calls("count", 3), side.calls("b", 1)
    items = [reply(2, n, more=True) for n in range(3)]
    side.hears(*items, frame({"id": 2, "more": False}), reply(3, "fine"))
    with pytest.raises(UsageError, match="stream"):
        call.result()
    assert [sent.id for sent in side.sent if "cancel" in sent.header] == [2]
    assert other.result() == "fine"
    assert not side.core.load


def test_an_empty_stream_is_no_result_either() -> None:
    side = client_side()
    call = side.calls("count", 0)
    side.hears(frame({"id": 2, "more": False}))
    with pytest.raises(UsageError, match="stream"):
        call.result()


def test_a_stream_that_ends_in_an_error_frees_its_slot() -> None:
    side = client_side(max_open=1)
    side.calls("count", 3)
    waiting = side.calls("b", 1)
    side.hears(reply(2, 0, more=True), failure(2, "cancelled"))
    assert waiting.id == 3


# Ends


def test_the_end_of_the_stream_fails_what_is_open_and_hands_back_what_was_not_written() -> None:
    side = client_side(max_open=1)
    written, waiting = side.calls("a", 1), side.calls("b", 1)
    side.hears_end()
    assert isinstance(written.error, ConnectionLost)
    assert side.handed_back == [waiting]
    assert side.core.phase is Phase.ENDED


def test_a_lost_connection_fails_what_is_open_with_its_reason() -> None:
    side = client_side()
    call = side.calls("a", 1)
    side.core.close(ConnectionLost("reset by peer", address="server:1"))
    side.settled()
    assert isinstance(call.error, ConnectionLost)
    assert call.error.message == "reset by peer"
    assert side.end is not None
    assert (side.end.reason, side.end.open) == (EndReason.HERE, 1)


def test_losing_a_connection_twice_is_losing_it_once() -> None:
    side = client_side()
    call = side.calls("a", 1)
    for _ in range(2):
        side.core.close(ConnectionLost("gone", address="server:1"))
        side.settled()
    assert side.ended == [call]


def test_nothing_is_sent_after_the_end() -> None:
    side = client_side()
    call = side.calls("a", 1)
    side.hears_end().gives_up(call)
    assert len(side.sent) == 1
    assert not side.core.out


def test_nothing_is_read_after_the_end() -> None:
    side = client_side()
    call = side.calls("a", 1)
    side.hears_end().hears(reply(2, "late"))
    assert isinstance(call.error, ConnectionLost)


@each_cut
def test_a_frame_without_id_is_a_connection_error_that_fails_all(cut: Cut) -> None:
    side = client_side(cut=cut, max_open=2)
    calls = [side.calls("a", n) for n in range(3)]
    side.hears(failure(None, "too-many", "too many control frames", limit=200))
    assert [type(call.error).__name__ for call in calls[:2]] == ["TooMany", "TooMany"]
    assert side.handed_back == calls[2:]
    assert side.core.ended


def test_a_frame_without_id_and_status_is_a_connection_error_too() -> None:
    side = client_side()
    call = side.calls("a", 1)
    side.hears(json_frame({"result": 1}))
    assert isinstance(call.error, Refused)
    assert side.core.ended


def test_closing_is_no_connection_error() -> None:
    side = client_side()
    call = side.calls("a", 1)
    side.hears(frame({"closing": 2}), reply(2, "fine"))
    assert call.result() == "fine"


def test_closing_ends_a_connection_on_which_nothing_is_open() -> None:
    side = client_side()
    side.hears(frame({"closing": 1}))
    assert side.core.ended


def test_a_fresh_connection_has_no_load() -> None:
    side = ClientSide()
    assert not side.core.load
    assert side.core.takes_calls
    side.calls("a")
    assert side.core.load


def test_where_there_is_no_slot_nothing_is_asked_besides() -> None:
    side = client_side(max_open=1)
    assert side.core.has_slot
    side.calls("once", 1)
    assert not side.core.has_slot


def test_a_fresh_connection_has_no_slot_for_questions() -> None:
    side = ClientSide()
    side.calls("once", 1)
    assert not side.core.has_slot
    side.hears(hello(1))
    assert side.core.has_slot

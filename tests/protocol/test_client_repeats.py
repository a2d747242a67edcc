"""Which calls may be sent again after a loss or a refusal, how often, and as what."""

from typing import Any

import pytest

from letterhead.errors import (
    Cancelled,
    ConnectionFailed,
    ConnectionLost,
    ForeignProtocol,
    NoReply,
    Rejected,
    Unavailable,
)
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol.calls import Call
from letterhead.protocol.openings import action_call
from letterhead.protocol.retry import Why
from tests.protocol.pairs import LIMITS, Asking, asking, control, end, failure, hello, item, reply, streaming_call
from tests.wire.frames import frame, json_frame

FEW = Limits(repeats=2)


def asking_again(limits: Limits = LIMITS) -> Asking:
    """A connection whose server said that ``again`` may run twice."""
    side = asking(limits)
    side.core.idempotent.add("again")
    return side


def named(call: Call, name: str) -> Call:
    call.name = name
    return call


# A loss


def test_a_lost_call_is_sent_again_where_it_may_run_twice() -> None:
    side = asking_again()
    once, again = side.calls("once", 1), side.calls("again", 1)
    side.hears_end()
    assert isinstance(once.error, ConnectionLost)
    assert side.handed_back == [again]
    assert (side.back[0].why, again.repeats, again.id) == (Why.LOST, 1, 0)


def test_each_call_is_answered_once() -> None:
    side = asking_again()
    again, waiting, other = side.calls("again", 1), side.calls("again", 2), side.calls("once")
    side.hears(reply(3, "fine"))
    side.hears_end()
    assert side.handed_back == [again]
    assert side.ended == [waiting, other]


def test_what_a_leaving_server_cut_off_is_sent_again_where_it_may_run_twice() -> None:
    side = asking_again()
    again, once = side.calls("again", 1), side.calls("once", 2)
    side.hears(control(None, closing=9), failure(again.id, "cancelled"), failure(once.id, "cancelled"))
    assert side.handed_back == [again]
    assert isinstance(once.error, Cancelled)


def test_what_another_server_cancels_is_cancelled() -> None:
    side = asking_again()
    again = side.calls("again", 1)
    side.hears(failure(again.id, "cancelled"))
    assert isinstance(again.error, Cancelled)


def test_only_so_many_times() -> None:
    side = asking_again(FEW)
    call = side.calls("again", 1)
    call.repeats = 2
    side.hears_end()
    assert side.handed_back == []
    assert isinstance(call.error, ConnectionLost)
    assert call.error.attempts == 3


@pytest.mark.parametrize("name", ["once", "again"])
def test_a_first_request_without_a_reply_is_judged_alike(name: str) -> None:
    side = Asking()
    side.core.idempotent.add("again")
    call = side.calls(name, 1)
    side.hears_end()
    assert side.handed_back == ([call] if name == "again" else [])
    assert call.error is None if name == "again" else isinstance(call.error, NoReply)


@pytest.mark.parametrize("error", [ForeignProtocol("no", address="a", received=""), Rejected("no", status="too-many")])
def test_who_is_no_letterhead_server_or_refuses_is_not_asked_again(error: ConnectionFailed) -> None:
    side = asking_again()
    call = side.calls("again", 1)
    side.core.lost(error)
    side.settled()
    assert side.handed_back == []
    assert type(call.error) is type(error)


def test_a_connection_refused_as_unavailable_has_run_nothing() -> None:
    side = Asking()
    call = side.calls("once", 1)
    side.hears(failure(None, "unavailable"))
    assert side.handed_back == [call]


def test_a_call_that_waits_for_a_refused_ping_goes_elsewhere_with_it() -> None:
    side = Asking()
    call = side.calls("store", b"bytes")
    side.hears(failure(None, "unavailable"))
    assert side.handed_back == [call]
    assert call not in side.ended


def test_a_stream_of_which_an_item_came_is_not_sent_again() -> None:
    side = asking_again()
    fresh, begun = (side.submits(named(streaming_call("again"), "again")) for _ in range(2))
    side.hears(item(3, b"one"))
    side.hears_end()
    assert side.handed_back == [fresh]
    assert isinstance(begun.error, ConnectionLost)


def test_an_upload_of_which_an_item_went_is_not_sent_again() -> None:
    side = asking_again()
    fresh, begun = (side.submits(named(streaming_call("again", down=False, up=True), "again")) for _ in range(2))
    side.sends(begun, b"one")
    side.hears_end()
    assert side.handed_back == [fresh]
    assert isinstance(begun.error, ConnectionLost)


def test_an_upload_that_has_ended_without_items_is_not_sent_again() -> None:
    side = asking_again()
    call = side.submits(named(streaming_call("again", down=False, up=True), "again"))
    side.core.end_upload(call)
    side.settled()
    side.hears_end()
    assert side.handed_back == []


def test_a_call_that_was_given_up_is_not_sent_again() -> None:
    side = asking_again()
    call = side.calls("again", 1)
    call.fail(Unavailable("nobody waits for it"))
    side.gives_up(call)
    side.hears_end()
    assert side.handed_back == []


def test_the_connections_own_questions_are_not_sent_again() -> None:
    side = asking_again()
    side.core.idempotent.update({"letterhead.ping", "letterhead.describe"})
    side.core.ping()
    side.core.learn()
    side.settled().hears_end()
    assert side.handed_back == []


# A refusal


def test_unavailable_was_not_run_and_is_sent_again_whatever_it_is() -> None:
    side = asking()
    call = side.calls("once", 1)
    side.hears(failure(2, "unavailable", "the database is away"))
    assert side.handed_back == [call]
    assert side.back[0].why is Why.UNAVAILABLE
    assert str(side.back[0].error) == "the database is away"


def test_unavailable_is_an_answer_once_it_was_sent_often_enough() -> None:
    side = asking(FEW)
    call = side.calls("once", 1)
    call.repeats = 2
    side.hears(failure(2, "unavailable"))
    assert isinstance(call.error, Unavailable)
    assert call.error.attempts == 3


@pytest.mark.parametrize("code", ["too-many", "internal", "not-found", "cancelled", "deadline-exceeded"])
def test_any_other_refusal_is_an_answer(code: str) -> None:
    side = asking_again()
    call = side.calls("again", 1)
    side.hears(failure(2, code))
    assert side.ended == [call]


def test_unavailable_after_an_item_is_how_the_stream_ends() -> None:
    side = asking()
    stream = side.streams("count")
    side.hears(item(2, b"one"), failure(2, "unavailable"))
    assert side.handed_back == []
    assert isinstance(stream.error, Unavailable)


def test_a_slot_is_free_once_its_call_went_elsewhere() -> None:
    side = asking(max_open=1)
    side.calls("once", 1)
    waiting = side.calls("once", 2)
    side.hears(failure(2, "unavailable"))
    assert waiting.id == 3


# As what


def with_deadline(milliseconds: int, ends: float, *arg: Any) -> Call:
    call = action_call("act", arg, {}, milliseconds / 1000, LIMITS)
    call.ends = ends
    return call


def test_a_call_that_is_sent_later_tells_the_time_that_is_left() -> None:
    side = asking()
    call = with_deadline(2_000, 102.0)
    call.shorten(100.5)
    side.submits(call)
    assert side.sent[0].header["deadline"] == 1_500


def test_its_first_request_does_so_too() -> None:
    side = Asking()
    call = with_deadline(2_000, 102.0)
    call.shorten(101.0)
    side.submits(call)
    assert side.sent[0].header["deadline"] == 1_000


def test_a_deadline_never_becomes_longer_or_none_at_all() -> None:
    for now, left in ((0.0, 2_000), (200.0, 1)):
        call = with_deadline(2_000, 102.0)
        call.shorten(now)
        assert call.deadline == left


def test_what_a_users_field_contains_is_not_taken_for_the_deadline() -> None:
    side = asking()
    call = with_deadline(2_000, 102.0, Message(b"x", {"x-note": {"deadline": 2_000}}))
    call.shorten(101.0)
    side.submits(call)
    assert side.sent[0].header["deadline"] == 1_000
    assert side.sent[0].header["x-note"] == {"deadline": 2_000}


# What is learnt


def test_what_a_server_says_of_its_actions_is_kept() -> None:
    side = asking()
    side.core.learn()
    side.settled()
    side.hears(json_frame({"actions": {"again": {"idempotent": True}, "once": {}}}, {"id": side.sent[-1].id}))
    side.core.events.clear()
    (described,) = side.ended
    side.core._learnt(described)
    assert side.core.idempotent == {"again"}


@pytest.mark.parametrize(
    "told", [b"", b"null", b"[]", b'{"actions": []}', b'{"actions": {"a": 1, "b": {"idempotent": 1}}}', b"\xff"]
)
def test_whatever_else_it_says_nothing_is_taken_for_repeatable(told: bytes) -> None:
    side = asking_again()
    side.core.learn()
    side.settled()
    side.hears(frame({"id": side.sent[-1].id, "content-type": "text/json", "content-encoding": "utf-8"}, told))
    (described,) = side.ended
    side.core._learnt(described)
    assert side.core.idempotent == set()


def test_nothing_is_asked_where_there_is_no_room() -> None:
    side = asking(max_open=1)
    assert side.core.has_room
    side.calls("once", 1)
    assert not side.core.has_room


def test_a_fresh_connection_has_no_room_for_questions() -> None:
    side = Asking()
    side.calls("once", 1)
    assert not side.core.has_room
    side.hears(hello(1))
    assert side.core.has_room


def test_the_end_of_an_empty_stream_is_an_answer() -> None:
    side = asking_again()
    stream = side.submits(named(streaming_call("again"), "again"))
    side.hears(end(2)).hears_end()
    assert side.handed_back == []
    assert stream.error is None

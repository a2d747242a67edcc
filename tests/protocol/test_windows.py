"""When an item may be sent, on either side: ``may_send`` and the ``Writable`` event that follows a no."""

import pytest

from letterhead.errors import Cancelled
from letterhead.protocol.events import Writable
from letterhead.protocol.flow import CREDIT
from letterhead.protocol.requests import Request
from tests.protocol.pairs import (
    Asked,
    ClientSide,
    ServerSide,
    client_side,
    control,
    failure,
    named,
    octets,
    reply,
    server_side,
    streamed,
)

SMALL = bytes(100)
LARGE = bytes(3 * CREDIT)  # overdraws what there is at first


def streaming() -> tuple[ServerSide, Request]:
    """A server's side on which a result that is a stream has begun."""
    side = server_side().hears(named(2, "count")).streams(0)
    return side, side.requests[0]


def uploading() -> tuple[ClientSide, Asked]:
    """A client's side on which an upload has begun; that it may send at first is forgotten."""
    side = client_side()
    call = side.uploads("store")
    side.moved.clear()
    return side, call


def may_send_now(side: ServerSide | ClientSide) -> list[Request | Asked]:
    return [event.exchange for event in side.moved if isinstance(event, Writable)]


# At the server


def test_a_result_may_be_sent_at_once() -> None:
    side, request = streaming()
    assert side.core.may_send(request)


def test_what_is_no_stream_may_send_no_items() -> None:
    side = server_side().hears(named(2, "a"))
    assert not side.core.may_send(side.requests[0])


def test_at_a_credit_of_1_one_more_item_may_be_sent() -> None:
    side, request = streaming()
    assert request.outgoing is not None
    request.outgoing.credit = 1
    assert side.core.may_send(request)
    side.core.send_item(request, octets(SMALL))
    assert not side.core.may_send(request)


def test_at_a_credit_of_0_nothing_may_be_sent() -> None:
    side, request = streaming()
    assert request.outgoing is not None
    request.outgoing.credit = side.core.send_item(request, octets(SMALL))
    side.core.send_item(request, octets(SMALL))
    assert request.outgoing.credit == 0
    assert not side.core.may_send(request)


def test_room_is_told_once_credit_has_come() -> None:
    side, request = streaming()
    side.streams(0, LARGE)
    assert not side.core.may_send(request)
    side.hears(control(2, credit=len(LARGE) + 1000))
    assert may_send_now(side) == [request]
    assert side.core.may_send(request)


def test_credit_that_only_makes_up_for_a_large_item_opens_no_window() -> None:
    side, request = streaming()
    side.streams(0, LARGE)
    assert not side.core.may_send(request)
    side.hears(control(2, credit=CREDIT))
    assert may_send_now(side) == []
    assert not side.core.may_send(request)


def test_room_is_told_only_to_those_who_wait_for_it() -> None:
    side, request = streaming()
    side.streams(0, LARGE).hears(control(2, credit=2 * len(LARGE)))
    assert may_send_now(side) == []
    assert side.core.may_send(request)


def test_room_is_told_once_for_each_wait() -> None:
    side, request = streaming()
    side.streams(0, LARGE)
    assert not side.core.may_send(request)
    side.hears(control(2, credit=len(LARGE)), control(2, credit=5))
    assert may_send_now(side) == [request]


def test_a_congested_connection_lets_nothing_be_sent_until_it_takes_bytes_again() -> None:
    side, request = streaming()
    side.core.paused = True
    assert not side.core.may_send(request)
    side.hears(control(2, credit=5))
    assert may_send_now(side) == []
    side.core.paused = False
    side.core.resume_writing(side.now)
    assert may_send_now(side.settled()) == [request]


def test_a_connection_that_takes_bytes_again_opens_no_window_for_those_without_credit() -> None:
    side, request = streaming()
    side.streams(0, LARGE)
    assert not side.core.may_send(request)
    side.core.resume_writing(side.now)
    assert may_send_now(side.settled()) == []


@pytest.mark.parametrize("how", ["deadline", "lost", "answered"])
def test_nothing_may_be_sent_for_what_has_ended(how: str) -> None:
    side = server_side().hears(named(2, "count", deadline=1_000)).streams(0)
    if how == "deadline":
        side.passes(1.0)
    elif how == "lost":
        side.core.lost()
    else:
        side.answers(0, Cancelled("enough"))
    count = len(side.sent)
    assert not side.core.may_send(side.requests[0])
    assert side.streams(0, SMALL).sent[count:] == []


def test_credit_for_what_has_ended_opens_no_window() -> None:
    side, request = streaming()
    side.streams(0, LARGE)
    assert not side.core.may_send(request)
    side.answers(request, Cancelled("enough")).hears(control(2, credit=2 * len(LARGE)))
    assert may_send_now(side) == []
    assert not side.ending


def test_a_connection_that_takes_bytes_again_opens_no_window_for_what_has_ended() -> None:
    side, request = streaming()
    side.core.paused = True
    assert not side.core.may_send(request)
    side.answers(request, Cancelled("enough"))
    side.core.paused = False
    side.core.resume_writing(side.now)
    assert may_send_now(side.settled()) == []


# At the client


def test_an_upload_may_be_sent_once_its_call_is_written() -> None:
    side = client_side(max_open=1)
    side.calls("a", 1)
    call = side.uploads("store")
    assert not side.core.may_send(call)
    side.hears(reply(2, 0))
    assert may_send_now(side) == [call]
    assert side.core.may_send(call)


def test_credit_that_only_makes_up_for_a_large_item_opens_no_window_for_an_upload() -> None:
    side, call = uploading()
    side.sends(call, LARGE)
    assert not side.core.may_send(call)
    side.hears(control(2, credit=CREDIT))
    assert may_send_now(side) == []
    side.hears(control(2, credit=len(LARGE)))
    assert may_send_now(side) == [call]


def test_an_upload_waits_while_its_pipe_takes_no_bytes() -> None:
    side, call = uploading()
    side.core.paused = True
    assert not side.core.may_send(call)
    side.hears(control(2, credit=5))
    assert may_send_now(side) == []
    side.core.resume_writing()
    assert may_send_now(side.settled()) == [call]


def test_nothing_may_be_sent_after_the_end_of_an_upload() -> None:
    side, call = uploading()
    side.sends(call, LARGE)
    assert not side.core.may_send(call)
    side.core.end_upload(call)
    assert not side.core.may_send(call)
    side.hears(control(2, credit=2 * len(LARGE)))
    assert may_send_now(side.settled()) == []


@pytest.mark.parametrize("how", ["answered", "refused", "given up", "superseded"])
def test_an_upload_whose_call_has_ended_is_not_told_to_send(how: str) -> None:
    side, call = uploading()
    side.core.paused = True
    assert not side.core.may_send(call)
    if how == "answered":
        side.hears(reply(2, "enough"))
    elif how == "refused":
        side.hears(failure(2, "invalid-argument"))
    elif how == "given up":
        side.gives_up(call)
    else:
        side.submits(streamed("store", up=True), supersedes=call)
    side.core.resume_writing()
    assert call not in may_send_now(side.settled())
    assert not side.core.may_send(call)

"""A server says that it goes away: what runs on, what goes elsewhere, and that nothing is asked there any more."""

import pytest

from letterhead.errors import Unavailable
from letterhead.protocol.events import EndReason, ReturnReason
from letterhead.protocol.exchange import Exchange
from tests.protocol.pairs import ClientSide, asked, client_side, control, end, failure, hello, item, reply
from tests.wire.frames import Cut, each_cut

CLOSING = control(None, closing=2)


@each_cut
def test_what_is_above_goes_elsewhere_and_what_is_below_goes_on(cut: Cut) -> None:
    side = client_side(cut=cut)
    below, above = side.calls("a", 1), side.calls("b", 1)
    side.hears(CLOSING)
    assert side.handed_back == [above]
    assert [back.reason for back in side.back] == [ReturnReason.LEAVING]
    side.hears(reply(2, "fine"))
    assert below.result() == "fine"
    assert side.ended == [below]


def test_what_went_elsewhere_has_not_ended_and_has_no_slot() -> None:
    side = client_side()
    side.calls("a", 1)
    above = side.calls("b", 1)
    side.hears(CLOSING)
    assert (above.done, above.begun, above.abandoned) == (False, False, False)
    assert side.core.load == 1


def test_what_waited_for_a_slot_goes_elsewhere() -> None:
    side = client_side(max_open=1)
    side.calls("a", 1)
    waiting = [side.calls("b", n) for n in range(2)]
    side.hears(CLOSING)
    assert side.handed_back == waiting
    assert side.back[0].reason is ReturnReason.ENDED


def test_nothing_is_asked_there_any_more() -> None:
    side = client_side()
    side.calls("a", 1)
    side.hears(CLOSING)
    assert not side.core.takes_calls
    assert not side.core.has_slot
    side.sent.clear()
    side.core.ping()
    side.settled()
    assert side.sent == []


def test_the_connection_has_ended_with_the_last_answer() -> None:
    side = client_side()
    side.calls("a", 1)
    side.hears(CLOSING)
    assert not side.core.ended
    side.hears(reply(2, 1))
    assert side.core.ended
    assert side.end is not None
    assert (side.end.reason, side.end.open, side.end.leaving) == (EndReason.LEFT, 0, True)


@each_cut
def test_a_stream_below_is_read_to_its_end(cut: Cut) -> None:
    side = client_side(cut=cut)
    stream = side.streams("count")
    side.hears(item(2, b"one"), CLOSING, item(2, b"two"), end(2))
    assert side.takes(stream) == [b"one", b"two"]
    assert stream.error is None
    assert side.handed_back == []


def test_an_upload_below_goes_on() -> None:
    side = client_side()
    upload = side.uploads("store")
    side.hears(CLOSING)
    side.sent.clear()
    assert side.core.may_send(upload)
    side.sends(upload, b"more")
    assert [sent.content for sent in side.sent] == [b"more"]


def test_an_upload_above_of_which_nothing_went_goes_elsewhere() -> None:
    side = client_side()
    side.calls("a", 1)
    upload = side.uploads("store")
    side.hears(CLOSING)
    assert side.handed_back == [upload]
    assert not side.core.may_send(upload)


def test_an_upload_above_that_has_begun_fails_its_items_are_gone() -> None:
    side = client_side()
    side.calls("a", 1)
    upload = side.uploads("store")
    side.sends(upload, b"gone")
    side.hears(CLOSING)
    assert isinstance(upload.error, Unavailable)
    assert side.handed_back == []


def test_a_call_above_that_was_given_up_goes_nowhere() -> None:
    side = client_side()
    side.calls("a", 1)
    given_up = side.calls("b", 1)
    side.gives_up(given_up)
    side.hears(CLOSING)
    assert side.handed_back == []


def test_the_connections_own_questions_go_nowhere() -> None:
    side = client_side()
    side.core.ping()
    side.core.submit(Exchange(asked("letterhead.describe").opening))
    side.settled()
    side.hears(control(None, closing=1))
    assert side.handed_back == []
    assert side.core.ended


@pytest.mark.parametrize("highest", [0, 1])
def test_one_that_goes_away_after_its_hello_hands_back_what_it_did_not_run(highest: int) -> None:
    side = ClientSide()
    first, second = side.calls("a", 1), side.calls("b", 1)
    side.hears(hello(1), control(None, closing=highest))
    assert side.handed_back == ([first, second] if highest == 0 else [second])


def test_one_that_goes_away_without_a_word_before_is_no_classic_server() -> None:
    side = ClientSide()
    calls = [side.calls("a", 1), side.calls("b", 1)]
    side.hears(control(None, closing=0))
    assert side.handed_back == calls
    assert side.ended == []
    assert side.core.ended
    assert not side.core.answered


def test_what_was_refused_while_it_left_ends_so() -> None:
    side = client_side()
    call, other = side.calls("a", 1), side.calls("b", 1)
    side.hears(control(None, closing=3), failure(2, "unavailable"), reply(3, "fine"))
    assert isinstance(call.error, Unavailable)
    assert other.result() == "fine"

"""A client whose call takes an earlier one's place: that one's caller is told at once, the server as soon as can be."""

import pytest

from letterhead.errors import UsageError
from tests.protocol.pairs import Asked, ClientSide, asked, client_side, failure, hello, reply, streamed
from tests.wire.frames import Cut, each_cut, json_frame


def later(side: ClientSide, earlier: Asked) -> Asked:
    """A call submitted to take the place of ``earlier``."""
    return side.submits(asked("search", query="xyz"), supersedes=earlier)


def told(side: ClientSide) -> list[tuple[str, int]]:
    """How the server was told, in order: the field's name and the id in it, or that of the control frame."""
    return [
        (name, sent.header[name] if name == "supersedes" else sent.id)
        for sent in side.sent
        for name in ("supersedes", "cancel")
        if name in sent.header
    ]


@each_cut
def test_the_earlier_one_is_abandoned_at_once_and_the_server_told_in_the_header(cut: Cut) -> None:
    side = client_side(cut=cut)
    earlier = side.calls("search", query="x")
    call = later(side, earlier)
    assert earlier.abandoned
    assert told(side) == [("supersedes", 2)]
    side.hears(failure(2, "cancelled"), reply(3, "found"))
    assert (call.result(), side.ended) == ("found", [call])


def test_the_slot_of_the_earlier_call_is_taken_until_its_last_frame() -> None:
    side = client_side(max_open=2)
    earlier = side.calls("search", query="x")
    later(side, earlier)
    waiting = side.calls("b", 1)
    assert waiting.id == 0
    side.hears(failure(2, "cancelled"))
    assert waiting.id == 4


def test_without_a_free_slot_the_earlier_call_is_cancelled_and_the_slot_awaited() -> None:
    side = client_side(max_open=1)
    earlier = side.calls("search", query="x")
    call = later(side, earlier)
    assert earlier.abandoned
    assert (told(side), call.id) == ([("cancel", 2)], 0)
    side.hears(failure(2, "cancelled"))
    assert call.id == 3
    assert told(side) == [("cancel", 2)]


def test_behind_others_that_wait_the_earlier_call_is_cancelled_too() -> None:
    side = client_side(max_open=1)
    earlier = side.calls("search", query="x")
    side.calls("b", 1)
    call = later(side, earlier)
    side.hears(failure(2, "cancelled")).hears(reply(3, 0))
    assert (told(side), call.id) == ([("cancel", 2)], 4)


def test_a_call_that_was_not_written_is_superseded_without_a_word() -> None:
    side = client_side(max_open=1)
    side.calls("a", 1)
    earlier = side.calls("search", query="x")
    call = later(side, earlier)
    assert earlier.abandoned
    side.hears(reply(2, 0))
    assert (told(side), earlier.id, call.id) == ([], 0, 3)


def test_each_takes_the_place_of_the_one_before() -> None:
    side = client_side()
    calls = [side.calls("search", query="x")]
    for _ in range(3):
        calls.append(later(side, calls[-1]))
    assert [call.abandoned for call in calls] == [True, True, True, False]
    assert told(side) == [("supersedes", 2), ("supersedes", 3), ("supersedes", 4)]


def test_a_chain_without_slots_leaves_one_call_waiting() -> None:
    side = client_side(max_open=1)
    calls = [side.calls("search", query="x")]
    for _ in range(3):
        calls.append(later(side, calls[-1]))
    assert [call.abandoned for call in calls] == [True, True, True, False]
    assert told(side) == [("cancel", 2)]
    side.hears(failure(2, "cancelled"))
    assert [call.id for call in calls] == [2, 0, 0, 3]


def test_a_call_that_has_ended_is_not_superseded() -> None:
    side = client_side()
    earlier = side.calls("search", query="x")
    side.hears(reply(2, "found"))
    later(side, earlier)
    assert (earlier.result(), told(side)) == ("found", [])


def test_a_call_that_was_given_up_is_not_superseded_besides() -> None:
    side = client_side()
    earlier = side.calls("search", query="x")
    side.gives_up(earlier)
    later(side, earlier)
    assert told(side) == [("cancel", 2)]


def test_a_result_that_crosses_does_not_reach_the_caller() -> None:
    side = client_side()
    earlier = side.calls("search", query="x")
    call = later(side, earlier)
    side.hears(reply(2, "crossed"), reply(3, "found"))
    assert (earlier.done, call.result()) == (False, "found")
    assert side.ended == [call]


def test_a_stream_is_superseded_like_a_call() -> None:
    side = client_side()
    earlier = side.streams("watch")
    call = side.submits(streamed("watch"), supersedes=earlier)
    assert (earlier.abandoned, told(side)) == (True, [("supersedes", 2)])
    side.hears(failure(2, "cancelled"))
    assert not call.done


# The first request


@pytest.mark.parametrize("slots", [1, 128])
def test_a_first_request_that_was_superseded_is_cancelled_once_the_server_is_known(slots: int) -> None:
    side = ClientSide()
    earlier = side.calls("search", query="x")
    call = later(side, earlier)
    assert earlier.abandoned
    assert len(side.sent) == 1
    side.hears(hello(1, slots))
    assert told(side) == [("cancel", 1)]
    side.hears(failure(1, "cancelled"))
    assert call.id == 2
    assert side.ended == []


def test_a_classic_answer_to_what_was_superseded_is_for_nobody() -> None:
    side = ClientSide()
    earlier = side.calls("search", query="x")
    call = later(side, earlier)
    side.hears(json_frame({"result": "x"}))
    assert (earlier.done, side.ended) == (False, [])
    assert side.handed_back == [call]


def test_a_call_for_whose_sake_a_ping_was_sent_is_superseded_too() -> None:
    side = ClientSide()
    earlier = side.streams("watch")
    call = side.submits(streamed("watch"), supersedes=earlier)
    side.hears(hello(), reply(1, {"result": None}))
    assert (earlier.abandoned, earlier.id, call.id) == (True, 0, 2)


def test_on_a_connection_that_has_ended_nothing_is_superseded() -> None:
    side = client_side()
    earlier = side.calls("search", query="x")
    side.hears_end()
    before = earlier.error
    with pytest.raises(UsageError):
        later(side, earlier)
    assert earlier.error is before
    assert not earlier.abandoned

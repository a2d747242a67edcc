"""What a client does on a new connection: one first request, and then what comes back decides (protocol section 2)."""

import pytest

from letterhead.client.openings import message_opening
from letterhead.errors import (
    ConnectionFailed,
    ConnectionLost,
    ForeignProtocol,
    NoReply,
    Refused,
    Rejected,
    TooLarge,
    UsageError,
)
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol.events import EndReason, ReturnReason
from letterhead.protocol.states import Phase
from tests.protocol.pairs import LIMITS, Asked, ClientSide, failure, hello, reply, submitted
from tests.wire.frames import Cut, each_cut, frame, framed, json_frame

SMALL = Limits(content_bytes=2_000, json_bytes=1_000)


def error_of(call: Asked) -> type[Exception]:
    assert call.error is not None
    return type(call.error)


# What is sent


def test_the_first_request_is_one_whole_frame_that_every_server_understands() -> None:
    side = ClientSide()
    side.calls("greet", name="Ada")
    (first,) = side.sent
    assert (first.id, first.header["content-type"], first.header["content-encoding"]) == (1, "text/json", "utf-8")
    assert "action" not in first.header
    assert first.value == {"action": "greet", "value": {"name": "Ada"}}


@pytest.mark.parametrize("argument", [b"bytes", None])
def test_before_a_call_without_classic_form_a_ping_is_sent(argument: object) -> None:
    side = ClientSide()
    side.calls("store", argument)
    (first,) = side.sent
    assert first.value == {"action": "letterhead.ping", "value": None}


def test_before_a_message_a_ping_is_sent() -> None:
    side = ClientSide()
    side.submits(submitted(message_opening(Message(b"x", {"content-type": "a/b"}), LIMITS)))
    assert [first.value["action"] for first in side.sent] == ["letterhead.ping"]


@pytest.mark.smoke
def test_nothing_more_is_sent_until_the_first_frame_is_back() -> None:
    side = ClientSide()
    calls = [side.calls("a", n) for n in range(5)]
    assert len(side.sent) == 1
    side.hears(hello())
    assert [sent.id for sent in side.sent] == [1, 2, 3, 4, 5]
    assert not any(call.done for call in calls)


def test_a_first_request_carries_its_deadline() -> None:
    side = ClientSide()
    side.calls("a", timeout=1.5)
    assert side.sent[0].header["deadline"] == 1500


# A server that multiplexes


@each_cut
def test_a_hello_makes_the_connection_shared(cut: Cut) -> None:
    side = ClientSide(cut=cut)
    first, second = side.calls("a", 1), side.calls("b", 2)
    side.hears(hello()).hears(reply(2, "two"), reply(1, {"result": "one"}))
    assert (first.result(), second.result()) == ("one", "two")
    assert side.core.phase is Phase.MULTIPLEXED


def test_the_call_behind_a_ping_is_sent_after_the_hello() -> None:
    side = ClientSide()
    call = side.calls("store", b"bytes")
    side.hears(hello(), reply(1, {"result": None}))
    assert (side.sent[1].header["action"], side.sent[1].content) == ("store", b"bytes")
    side.hears(reply(2, "kept"))
    assert call.result() == "kept"


def test_an_error_for_the_first_request_is_that_call_s_alone() -> None:
    side = ClientSide()
    first, second = side.calls("a", 1), side.calls("b", 2)
    side.hears(hello()).hears(failure(1, "unknown-action"), reply(2, "two"))
    assert isinstance(first.error, Refused)
    assert second.result() == "two"


# A classic server


@each_cut
def test_a_reply_with_neither_id_nor_status_is_a_classic_server_s(cut: Cut) -> None:
    side = ClientSide(cut=cut)
    call = side.calls("search", "ring")
    side.hears(json_frame({"result": "In the caves."}))
    assert call.result() == "In the caves."
    assert side.core.phase is Phase.CLASSIC
    assert not side.core.takes_calls


def test_whatever_a_classic_server_says_is_a_result() -> None:
    side = ClientSide()
    call = side.calls("dance", 1)
    side.hears(json_frame({"result": "Error: invalid action 'dance'."}))
    assert call.result() == "Error: invalid action 'dance'."


def test_other_calls_go_to_other_connections_of_a_classic_server() -> None:
    side = ClientSide()
    calls = [side.calls("a", n) for n in range(3)]
    side.hears(json_frame({"result": 0}))
    assert side.handed_back == calls[1:]
    assert [back.reason for back in side.back] == [ReturnReason.CLASSIC]
    assert len(side.sent) == 1


@pytest.mark.parametrize("extra", [{"status": False}, {"id": False}, {"max-open": 5}, {"x": 1}, {"cancel": None}])
def test_what_a_classic_server_adds_to_its_header_does_not_matter(extra: dict[str, object]) -> None:
    side = ClientSide()
    call = side.calls("a", 1)
    side.hears(json_frame({"result": 5}, extra))
    assert call.result() == 5


def test_a_classic_reply_that_is_too_large_fails_its_call_with_that() -> None:
    for size in (2_001, 3 << 20):
        side = ClientSide(SMALL)
        call, waiting = side.calls("a", 1), side.calls("b", 1)
        side.hears(frame({}, bytes(size)))
        assert error_of(call) is TooLarge
        assert side.handed_back == [waiting]
        assert side.core.ended


def test_the_rest_of_a_classic_connection_is_not_read() -> None:
    side = ClientSide()
    call = side.calls("a", 1)
    side.hears(json_frame({"result": 1}), json_frame({"result": 2}))
    side.hears_end()
    assert call.result() == 1
    assert side.ended == [call]


def test_a_known_classic_server_gets_the_call_in_its_form() -> None:
    side = ClientSide(known_classic=True)
    call = side.calls("a", 1)
    assert (side.sent[0].id, side.sent[0].value) == (1, {"action": "a", "value": 1})
    side.hears(json_frame({"result": 5}))
    assert call.result() == 5


def test_a_known_classic_server_gets_a_message_as_a_classic_client_sends_it() -> None:
    side = ClientSide(known_classic=True)
    call = side.submits(submitted(message_opening(Message(b"\x01", {"content-type": "binary/x"}), LIMITS)))
    assert "id" not in side.sent[0].header
    side.hears(frame({"content-type": "binary/y"}, b"answer"))
    assert call.result().content == b"answer"


def test_what_a_classic_server_cannot_take_is_refused_with_a_clear_error() -> None:
    side = ClientSide(known_classic=True)
    call = side.calls("store", b"bytes")
    assert error_of(call) is ConnectionFailed
    assert side.sent == []


def test_a_known_classic_server_may_have_learnt_to_multiplex() -> None:
    side = ClientSide(known_classic=True)
    call = side.calls("a", 1)
    side.hears(hello(), reply(1, {"result": 5}))
    assert call.result() == 5
    assert side.core.phase is Phase.MULTIPLEXED


# A server that refuses, hangs up, or speaks something else


@each_cut
def test_a_status_without_id_is_a_server_that_refuses_this_connection(cut: Cut) -> None:
    side = ClientSide(cut=cut)
    call = side.calls("a", 1)
    side.hears(failure(None, "too-many", "too many connections", limit=3))
    assert isinstance(call.error, Rejected)
    assert (call.error.status, call.error.limit) == ("too-many", 3)
    assert "too many connections" in call.error.message


@pytest.mark.parametrize("name", ["status", "address", "self", "cls"])
def test_a_refusing_server_s_facts_do_not_collide(name: str) -> None:
    side = ClientSide()
    call = side.calls("a", 1)
    side.hears(failure(None, "too-many", "no", **{name: "theirs"}))
    assert isinstance(call.error, Rejected)
    assert call.error.facts["status"] == "too-many"


@pytest.mark.smoke
def test_the_end_of_the_stream_before_any_frame_is_no_reply() -> None:
    side = ClientSide()
    call = side.calls("a", 1)
    side.hears_end()
    assert error_of(call) is NoReply


@pytest.mark.parametrize("cut_at", [1, 20, -1])
def test_the_end_of_the_stream_within_the_first_frame_is_no_reply(cut_at: int) -> None:
    side = ClientSide()
    call = side.calls("a", 1)
    side.hears(json_frame({"result": 1})[:cut_at]).hears_end()
    assert error_of(call) is NoReply


def test_calls_that_were_not_written_are_handed_back() -> None:
    side = ClientSide()
    first, *others = [side.calls("a", n) for n in range(3)]
    side.hears_end()
    assert side.ended == [first]
    assert side.handed_back == others
    assert [back.reason for back in side.back] == [ReturnReason.ENDED]


@pytest.mark.parametrize("how", ["rejected", "foreign"])
def test_a_call_for_which_a_ping_was_sent_fails_with_the_ping(how: str) -> None:
    side = ClientSide()
    call, other = side.calls("store", b"bytes"), side.calls("a", 1)
    side.hears(failure(None, "too-many") if how == "rejected" else b"HTTP/1.1 400 Bad Request\r\n")
    assert error_of(call) is {"rejected": Rejected, "foreign": ForeignProtocol}[how]
    assert side.handed_back == [other]


def test_a_call_for_which_a_ping_was_sent_is_handed_back_where_the_server_hangs_up() -> None:
    side = ClientSide()
    calls = [side.calls("store", b"bytes"), side.calls("a", 1)]
    side.hears_end()
    assert side.handed_back == calls


@each_cut
@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b"\x15\x03\x03\x00\x02\x02\x28", framed(b"{}")]
)
def test_bytes_that_are_no_frame_are_a_foreign_protocol(cut: Cut, data: bytes) -> None:
    side = ClientSide(cut=cut)
    call = side.calls("a", 1)
    side.hears(data)
    assert error_of(call) is ForeignProtocol
    assert side.core.ended


def test_a_foreign_protocol_is_named() -> None:
    side = ClientSide()
    call = side.calls("a", 1)
    side.hears(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert isinstance(call.error, ForeignProtocol)
    assert "an HTTP answer" in call.error.message
    assert call.error.received.startswith("HTTP/1.1")


@pytest.mark.parametrize(
    "first",
    [
        reply(1, {"result": 1}),
        failure(1, "internal"),
        hello(2),
        json_frame({"result": 1}, {"status": "ok"}),
        json_frame({"result": 1}, {"id": None}),
        json_frame({"result": 1}, {"status": None}),
        frame({"id": 1, "max-open": 0}),
        frame({"id": 1, "max-open": 5}, b"x"),
        frame({"byteorder": "no"}),
    ],
)
def test_a_first_frame_that_is_nothing_of_that_breaks_the_protocol(first: bytes) -> None:
    side = ClientSide()
    call, waiting = side.calls("a", 1), side.calls("b", 1)
    side.hears(first)
    assert error_of(call) is ForeignProtocol
    assert side.handed_back == [waiting]


# Giving up


def test_giving_up_the_first_request_closes_the_connection() -> None:
    side = ClientSide()
    call, waiting = side.calls("a", 1), side.calls("b", 1)
    side.gives_up(call)
    assert side.core.ended
    assert len(side.sent) == 1
    assert side.handed_back == [waiting]
    assert not call.done
    assert side.end is not None
    assert (side.end.reason, type(side.end.error)) == (EndReason.ABANDONED, ConnectionLost)


def test_giving_up_a_classic_message_closes_the_connection() -> None:
    side = ClientSide(known_classic=True)
    call = side.submits(submitted(message_opening(Message(b"x"), LIMITS)))
    side.gives_up(call)
    assert side.core.ended


def test_giving_up_a_call_that_waits_sends_nothing() -> None:
    side = ClientSide()
    side.calls("a", 1)
    waiting = side.calls("b", 1)
    side.gives_up(waiting).hears(hello(), reply(1, {"result": 1}))
    assert len(side.sent) == 1
    assert waiting not in side.ended


def test_an_ended_connection_takes_no_calls() -> None:
    side = ClientSide()
    side.calls("a", 1)
    side.hears_end()
    with pytest.raises(UsageError):
        side.calls("b", 1)

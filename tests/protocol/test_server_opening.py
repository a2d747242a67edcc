"""A server's side: what opens an exchange, the hello, ids, and frames for exchanges that are open or past."""

from typing import Any

import pytest

from letterhead.errors import BadHeader
from letterhead.limits import Limits
from letterhead.protocol.states import Phase
from tests.protocol.pairs import ServerSide, control, named, opening, result, server_side
from tests.wire.frames import Cut, each_cut, frame, header_bytes, json_frame

MAX_ID = 2**53 - 1


# The first frame


@pytest.mark.smoke
@each_cut
def test_the_hello_comes_first_with_the_first_request_s_id(cut: Cut) -> None:
    side = ServerSide(cut=cut).hears(opening(7, "a", 1)).answers(0, "done")
    assert [sent.id for sent in side.sent] == [7, 7]
    hello = side.sent[0]
    assert hello.header["max-open"] == 128
    assert hello.header["credit"] == 1 << 20
    assert (hello.header["content-type"], hello.header["content-encoding"], hello.content) == (
        "application/octet-stream",
        "binary",
        b"",
    )


def test_the_hello_is_sent_on_the_header_before_any_content() -> None:
    side = ServerSide()
    whole = opening(1, "a", "x" * 100)
    side.hears(whole[:-100])
    assert ["max-open" in sent.header for sent in side.sent] == [True]
    assert side.requests == []


@each_cut
def test_the_hello_is_sent_once(cut: Cut) -> None:
    side = ServerSide(cut=cut).hears(*(opening(n, "a", n) for n in range(1, 6)))
    assert sum("max-open" in sent.header for sent in side.sent) == 1


def test_the_hello_says_this_server_s_limits() -> None:
    side = ServerSide(Limits(max_open=5, initial_credit=99)).hears(opening(1, "a"))
    assert (side.sent[0].header["max-open"], side.sent[0].header["credit"]) == (5, 99)


def test_a_first_request_that_is_refused_is_greeted_too() -> None:
    side = ServerSide().hears(json_frame({}, {"id": 3, "byteorder": "no"}))
    assert ["max-open" in sent.header for sent in side.sent] == [True, False]
    assert side.codes == [(3, "bad-header")]


def test_a_first_frame_without_id_makes_a_classic_connection_without_hello() -> None:
    side = ServerSide().hears(opening(None, "a", 1)).answers(0, 5)
    (sent,) = side.sent
    assert sent.value == {"result": 5}
    assert {"id", "status", "max-open"}.isdisjoint(sent.header)


# What a request is


@each_cut
def test_a_request_in_classic_form_has_action_and_value_in_its_content(cut: Cut) -> None:
    side = ServerSide(cut=cut).hears(opening(1, "greet", {"name": "Ada"}))
    (request,) = side.requests
    assert (request.action, request.value, request.named, request.binary) == ("greet", {"name": "Ada"}, False, False)
    side.answers(0, "hello")
    assert side.replies[0].value == {"result": "hello"}


@each_cut
def test_a_named_request_has_its_arguments_as_content(cut: Cut) -> None:
    side = ServerSide(cut=cut).hears(named(1, "greet", {"name": "Ada"}))
    (request,) = side.requests
    assert (request.action, request.content, request.named) == ("greet", b'{"name": "Ada"}', True)
    side.answers(0, "hello")
    assert side.replies[0].value == "hello"


@each_cut
def test_a_request_that_is_neither_is_binary(cut: Cut) -> None:
    side = ServerSide(cut=cut).hears(frame({"id": 1, "content-type": "binary/x", "x-own": 5}, b"\x00\xff"))
    (request,) = side.requests
    assert (request.action, request.binary, request.content) == (None, True, b"\x00\xff")
    assert request.message.header["x-own"] == 5


@pytest.mark.parametrize("content", [{}, {"value": 1}, [], 5, "x", None, {"action": None}])
def test_a_classic_form_without_action_is_handed_on_without_one(content: Any) -> None:
    side = ServerSide().hears(json_frame(content, {"id": 1}))
    assert side.actions == [None]


@pytest.mark.parametrize("action", [5, True, [1], {}])
def test_a_classic_form_s_action_is_handed_on_as_it_is(action: Any) -> None:
    assert ServerSide().hears(json_frame({"action": action}, {"id": 1})).actions == [action]


def test_an_application_s_message_has_no_fields_of_this_hop() -> None:
    hop = {"id": 4, "supersedes": 3, "authorization": "Bearer secret", "accept-compression": ["zstd"], "cancel": False,
           "credit": False, "closing": 4, "max-open": 6, "compression": False, "status": "x"}  # fmt: skip
    side = ServerSide().hears(frame({**hop, "x-own": 1, "traceparent": "t"}, b"x"))
    header = side.requests[0].message.header
    assert set(header) == {"byteorder", "content-type", "content-encoding", "content-length", "x-own", "traceparent"}


def test_the_fields_that_an_application_changes_are_its_own() -> None:
    side = ServerSide().hears(frame({"id": 1, "x-own": [1]}), frame({"id": 2, "x-own": [1]}))
    side.requests[0].message.header["x-own"].append(2)
    assert side.requests[1].message.header["x-own"] == [1]


# Ids


def test_ids_may_have_gaps() -> None:
    side = ServerSide().hears(*(opening(id, "a", id) for id in (5, 6, 100, MAX_ID)))
    assert [request.id for request in side.requests] == [5, 6, 100, MAX_ID]


@pytest.mark.parametrize("id", [0, -1, MAX_ID + 1, "1", 1.5, True, None, [1], {}])
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_request_without_a_valid_id_is_a_bad_header_and_closes(id: Any, first: bool) -> None:
    side = ServerSide() if first else server_side()
    side.hears(json_frame({"action": "a"}, {"id": id}))
    assert side.codes == [(None, "bad-header")]
    assert side.ending
    assert side.requests == []


def test_a_request_without_id_on_a_multiplexed_connection_closes() -> None:
    side = server_side().hears(opening(None, "a"))
    assert side.codes == [(None, "bad-header")]
    assert side.ending


def test_no_hello_is_sent_to_an_id_that_is_not_valid() -> None:
    side = ServerSide().hears(json_frame({}, {"id": 0}))
    assert "max-open" not in side.sent[0].header
    assert side.sent[0].status == "bad-header"


# Late frames


LATE = {
    "an opening again": opening(1, "again"),
    "a named one": named(1, "again"),
    "a part": json_frame({"action": "letterhead.ping", "value": 1}, {"id": 1, "more": True}),
    "a binary part": frame({"id": 1, "more": True}, b"\xff" * 100),
    "the end of an upload": frame({"id": 1, "more": False}),
    "content that is no JSON": frame({"id": 1, "content-type": "text/json", "content-encoding": "utf-8"}, b"{"),
    "a field of the wrong type": opening(1, "again", deadline="x"),
    "a missing field": frame({"id": 1}, b"abc", without=("byteorder",)),
}


@pytest.mark.smoke
@each_cut
@pytest.mark.parametrize("late", LATE)
def test_a_late_frame_is_dropped_without_reply_and_never_runs(cut: Cut, late: str) -> None:
    side = server_side(cut=cut).hears(LATE[late], opening(2, "next"))
    assert side.actions == ["next"]
    assert side.sent == []
    assert not side.ending


def test_an_id_below_the_highest_that_was_never_opened_is_late() -> None:
    side = ServerSide().hears(opening(10, "a"), opening(5, "b"))
    assert side.actions == ["a"]


def test_a_late_part_of_a_request_that_was_refused_never_runs() -> None:
    side = server_side().hears(frame({"id": 2, "byteorder": "no"}), opening(2, "hidden"), opening(3, "next"))
    assert side.actions == ["next"]
    assert side.codes == [(2, "bad-header")]


@each_cut
def test_the_content_of_a_late_frame_is_not_kept(cut: Cut) -> None:
    side = server_side(cut=cut)
    side.hears(frame({"id": 1}, bytes(70_000))[:-1])
    assert side.budget.used == 0
    side.hears(b"\x00", opening(2, "next"))
    assert side.actions == ["next"]


# Frames for open exchanges


@each_cut
@pytest.mark.parametrize(
    "second",
    [opening(2, "again"), named(2, "again"), frame({"id": 2}, b"part"), frame({"id": 2, "more": False})],
    ids=["opening", "named", "part", "end"],
)
def test_a_second_frame_for_an_open_exchange_closes(cut: Cut, second: bytes) -> None:
    side = server_side(cut=cut).hears(opening(2, "first"), second, opening(3, "next"))
    assert side.actions == ["first"]
    assert side.codes == [(None, "bad-header")]
    assert side.ending
    assert side.stops == side.requests


@each_cut
def test_items_of_a_stream_that_nobody_takes_cross_its_refusal(cut: Cut) -> None:
    side = server_side(cut=cut)
    items = [json_frame({"action": "hidden"}, {"id": 2, "more": True}) for _ in range(3)]
    side.hears(named(2, "upload", more=True), *items)
    assert side.requests[0].meaning.more
    side.answers(0, BadHeader("takes no stream"))
    side.hears(*items, frame({"id": 2, "more": False}), opening(3, "next"))
    assert side.actions == ["upload", "next"]
    assert not side.ending


def test_a_named_frame_within_an_upload_closes() -> None:
    side = server_side().hears(named(2, "upload", more=True), named(2, "again"))
    assert side.codes == [(None, "bad-header")]


def test_the_end_of_a_stream_opens_nothing() -> None:
    side = server_side().hears(frame({"id": 2, "more": False}))
    assert side.codes == [(2, "bad-header")]
    assert not side.ending


@each_cut
def test_credit_for_an_exchange_without_stream_is_ignored(cut: Cut) -> None:
    side = server_side(cut=cut)
    side.hears(opening(2, "a"), control(2, credit=500), control(1, credit=500)).answers(0, "done")
    assert [sent.value for sent in side.sent] == [{"result": "done"}]


@pytest.mark.parametrize("kind", [{"cancel": True}, {"credit": 5}])
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_control_frame_cannot_open_an_exchange(kind: dict[str, Any], first: bool) -> None:
    side = ServerSide() if first else server_side()
    side.hears(control(9, **kind))
    assert side.codes == [(None, "bad-header")]
    assert side.ending


@pytest.mark.parametrize(
    "mixture",
    [
        frame({"id": 2, "cancel": True}, b"x"),
        frame({"id": 2, "cancel": True, "action": "a"}),
        json_frame({"action": "a"}, {"id": 2, "cancel": True}),
        frame({"id": 2, "cancel": True, "credit": 5}),
        frame({"id": 2, "cancel": True, "more": False}),
        frame({"id": 2, "credit": 5, "more": True}),
    ],
)
@pytest.mark.parametrize("state", ["open", "past", "new"])
def test_a_control_frame_mixed_with_anything_closes(mixture: bytes, state: str) -> None:
    side = server_side()
    if state != "new":
        side.hears(opening(2, "a"))
    if state == "past":
        side.answers(0, "done")
        side.sent.clear()
    side.hears(mixture, opening(3, "next"))
    assert side.codes == [(None, "bad-header")]
    assert side.ending
    assert "next" not in side.actions


def test_a_control_frame_without_id_closes() -> None:
    side = server_side().hears(frame({"cancel": True}))
    assert side.codes == [(None, "bad-header")]


def test_authorization_after_the_first_request_closes() -> None:
    side = server_side().hears(opening(2, "a", authorization="Bearer t"))
    assert side.codes == [(None, "bad-header")]
    assert side.ending


def test_nothing_is_read_after_the_connection_began_to_close() -> None:
    side = server_side().hears(b"\x00\x00", opening(2, "a")).hears(opening(3, "b"))
    assert side.requests == []
    assert len(side.sent) == 1


# Timing


@each_cut
def test_timing_is_told_where_it_was_asked_for(cut: Cut) -> None:
    side = server_side(cut=cut).hears(opening(2, "a", timing=True), opening(3, "b"))
    side.requests[0].started = side.now + 0.25
    side.now += 1.0
    side.answers(0, 1).answers(1, 2)
    assert side.sent[0].header["timing"] == {"queued": 250_000, "ran": 750_000}
    assert "timing" not in side.sent[1].header


def test_a_reply_keeps_its_own_fields_beside_timing() -> None:
    side = server_side().hears(opening(2, "a", timing=True))
    reply = result(1)
    reply.fields = {"x-own": 1}
    side.answers(0, reply)
    assert side.sent[0].header["x-own"] == 1
    assert "timing" in side.sent[0].header


def test_headers_are_counted_whole_as_they_arrive() -> None:
    raw = header_bytes({"id": 2, "x": "y" * 3_000})
    side = server_side().hears(len(raw).to_bytes(2, "big") + raw[:2_000])
    assert side.requests == []
    side.hears(raw[2_000:])
    assert len(side.requests) == 1


# Phases


@pytest.mark.parametrize(("id", "phase"), [(1, Phase.MULTIPLEXED), (None, Phase.CLASSIC)])
def test_the_first_header_says_what_the_connection_is(id: int | None, phase: Phase) -> None:
    side = ServerSide()
    first = opening(id, "a")
    side.hears(first[:20])
    assert side.core.phase is Phase.FRESH
    side.hears(first[20:])
    assert side.core.phase is phase
    side.hears_end().answers(0, 1)
    assert (side.core.phase, side.ending) == (Phase.ENDED, True)

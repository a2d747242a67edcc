"""Every code of protocol section 5 that a connection gives by itself, and what happens to the connection afterwards."""

from typing import Any

import pytest

from letterhead.content.encoded import Encoded
from letterhead.errors import (
    BadContent,
    Cancelled,
    DeadlineExceeded,
    Forbidden,
    Internal,
    InvalidArgument,
    Refused,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    UnknownAction,
)
from letterhead.limits import Limits
from letterhead.protocol.states import Phase
from tests.protocol.pairs import ServerSide, named, opening, server_side
from tests.wire.frames import Cut, each_cut, frame, framed, header_bytes, json_frame

SMALL = Limits(content_bytes=2_000, json_bytes=1_000, skip_bytes=5_000)


def is_usable(side: ServerSide) -> bool:
    """Whether the connection still answers a request."""
    if side.ending:
        return False
    before = len(side.requests)
    classic = side.core.phase is not Phase.MULTIPLEXED
    side.hears(opening(None if classic else 9_999, "still there"))
    if len(side.requests) != before + 1:
        return False
    side.answers(side.requests[-1], "yes")
    return bool(side.sent[-1].value == {"result": "yes"})


def is_closed(side: ServerSide) -> bool:
    """Whether the connection ends and reads nothing more."""
    before = len(side.requests)
    side.hears(opening(9_999, "still there"))
    return side.ending and len(side.requests) == before


BAD_FRAMES = {
    "H is 0": b"\x00\x00",
    "H is 1": b"\x00\x01{",
    "H above the limit": b"\x40\x00{",
    "no brace": b"\x00\x80[",
    "not UTF-8": framed(b'{"content-length":0,"x":"\xff"}'),
    "not JSON": framed(b'{"content-length":0,}'),
    "no object": framed(b"[1,2]"),
    "nested too deep": framed(b'{"content-length":0,"x":' + b"[" * 8 + b"]" * 8 + b"}"),
    "no content-length": frame({"id": 2}, without=("content-length",)),
    "content-length as string": frame({"content-length": "12", "id": 2}),
    "content-length as float": frame({"content-length": 1.0, "id": 2}),
    "content-length below 0": frame({"content-length": -1, "id": 2}),
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.smoke
@each_cut
@pytest.mark.parametrize("bad", BAD_FRAMES)
def test_a_bad_frame_closes_a_multiplexed_connection(cut: Cut, bad: str) -> None:
    side = server_side(cut=cut).hears(opening(2, "open"), BAD_FRAMES[bad])
    (sent,) = side.sent
    assert (sent.id, sent.status, sent.code) == (None, "bad-frame", "bad-frame")
    assert is_closed(side)
    assert side.stops == side.requests
    assert [error.code for error in side.errors] == ["bad-frame"]


@pytest.mark.parametrize("bad", BAD_FRAMES)
def test_a_bad_frame_closes_a_classic_connection_with_a_reply_in_its_form(bad: str) -> None:
    side = ServerSide().hears(opening(None, "a")).answers(0, 1).hears(BAD_FRAMES[bad])
    sent = side.sent[-1]
    assert "status" not in sent.header
    assert sent.value["error"]["code"] == "bad-frame"
    assert sent.value["result"] == "Error: " + sent.value["error"]["message"]
    assert is_closed(side)


def test_a_bad_first_frame_is_told_in_both_forms() -> None:
    side = ServerSide().hears(framed(b"{nothing}"))
    (sent,) = side.sent
    assert (sent.status, sent.code) == ("bad-frame", "bad-frame")
    assert sent.value["result"].startswith("Error: ")
    assert side.ending


BAD_HEADERS: dict[str, dict[str, Any]] = {
    "byteorder of another value": {"byteorder": "middle"},
    "byteorder of another type": {"byteorder": 1},
    "content-type without subtype": {"content-type": "text"},
    "content-encoding of another type": {"content-encoding": None},
    "65 fields": {f"x{n}": n for n in range(61)},
    "action of another type": {"action": 5},
    "deadline of another type": {"deadline": "soon"},
    "deadline out of its range": {"deadline": 0},
    "timing of another type": {"timing": "yes"},
    "more of another type": {"more": 1},
    "supersedes of another type": {"supersedes": "1"},
    "accept of another type": {"accept": "text/json"},
    "traceparent of another type": {"traceparent": 5},
    "a compression that was not offered": {"compression": "zstd"},
}


@each_cut
@pytest.mark.parametrize("bad", BAD_HEADERS)
def test_a_bad_header_keeps_the_connection_and_its_content_is_skipped(cut: Cut, bad: str) -> None:
    side = server_side(cut=cut).hears(frame({"id": 2, **BAD_HEADERS[bad]}, opening(3, "hidden")))
    assert side.codes == [(2, "bad-header")]
    assert side.sent[0].status == "bad-header"
    assert side.requests == []
    assert is_usable(side)


@pytest.mark.parametrize("name", ["byteorder", "content-type", "content-encoding"])
@pytest.mark.parametrize("id", [2, None])
def test_a_missing_required_field_keeps_the_connection(name: str, id: int | None) -> None:
    side = server_side() if id else ServerSide().hears(opening(None, "a")).answers(0, 1)
    side.hears(frame({} if id is None else {"id": id}, b"content", without=(name,)))
    assert (side.sent[-1].id, side.sent[-1].code) == (id, "bad-header")
    assert is_usable(side)


@pytest.mark.parametrize("name", ["more", "credit", "cancel", "supersedes"])
def test_four_fields_are_a_bad_header_on_a_classic_connection_which_is_kept(name: str) -> None:
    side = ServerSide().hears(opening(None, "a", **{name: True}))
    assert side.sent[0].code == "bad-header"
    assert side.requests == []
    assert is_usable(side)


def test_64_fields_are_taken() -> None:
    side = server_side().hears(json_frame({"action": "a"}, {"id": 2} | {f"x{n}": n for n in range(59)}))
    assert side.actions == ["a"]


@each_cut
@pytest.mark.parametrize("id", [2, None])
def test_content_a_little_above_the_limit_is_skipped_and_the_connection_kept(cut: Cut, id: int | None) -> None:
    side = server_side(SMALL, cut) if id else ServerSide(SMALL, cut)
    side.hears(frame({} if id is None else {"id": id}, bytes(2_001)))
    assert (side.sent[-1].id, side.sent[-1].code) == (id, "too-large")
    assert side.sent[-1].value["error"]["limit"] == 2_000
    assert is_usable(side)


@pytest.mark.parametrize("id", [2, None])
def test_content_far_above_the_limit_closes_on_the_header(id: int | None) -> None:
    side = server_side(SMALL) if id else ServerSide(SMALL)
    side.hears(framed(header_bytes({"content-length": 5_000, **({} if id is None else {"id": id})})))
    assert side.sent[-1].code == "too-large"
    assert is_closed(side)


def test_with_the_default_limits_too_large_always_closes() -> None:
    side = server_side().hears(framed(header_bytes({"id": 2, "content-length": (16 << 20) + 1})))
    assert side.codes == [(2, "too-large")]
    assert is_closed(side)


def test_too_large_goes_before_bad_header() -> None:
    side = server_side(SMALL).hears(frame({"id": 2, "byteorder": 5, "deadline": "x"}, bytes(2_001)))
    assert side.codes == [(2, "too-large")]


def test_json_above_its_own_limit_is_too_large() -> None:
    side = server_side(SMALL).hears(json_frame({"action": "a", "value": "x" * 1_000}, {"id": 2}))
    assert side.codes == [(2, "too-large")]
    assert is_usable(side)


BAD_CONTENTS = [b"", b"{", b"\xff", b"1 2", b'"\\ud800"', b"[" * 65 + b"]" * 65, b"NaN"]


@each_cut
@pytest.mark.parametrize("content", BAD_CONTENTS)
@pytest.mark.parametrize("id", [2, None])
def test_bad_content_keeps_the_connection(cut: Cut, content: bytes, id: int | None) -> None:
    side = server_side(cut=cut) if id else ServerSide(cut=cut)
    own = {} if id is None else {"id": id}
    side.hears(frame({**own, "content-type": "text/json", "content-encoding": "utf-8"}, content))
    assert (side.sent[-1].id, side.sent[-1].code) == (id, "bad-content")
    assert side.requests == []
    assert is_usable(side)


def test_json_in_an_unknown_encoding_is_bad_content() -> None:
    side = server_side().hears(frame({"id": 2, "content-type": "text/json", "content-encoding": "rot13"}, b"{}"))
    assert side.codes == [(2, "bad-content")]
    assert is_usable(side)


FROM_HANDLERS = [
    UnknownAction("invalid action 'x'.", action="x"),
    InvalidArgument("'times' is an int", argument="times"),
    BadContent("not JSON"),
    Forbidden("no"),
    TooMany("slow down", limit=5),
    DeadlineExceeded("late"),
    Cancelled("gave up"),
    Unavailable("the backend is away"),
    Internal("the handler failed"),
    TooLarge("too large", size=5),
    Unauthenticated("who are you?"),
    Refused("not-found", "no such order", order=17),
]


@pytest.mark.parametrize("refused", FROM_HANDLERS, ids=lambda refused: refused.code)
@pytest.mark.parametrize("id", [2, None])
def test_what_a_handler_refuses_is_told_with_its_facts_and_the_connection_kept(
    refused: Refused, id: int | None
) -> None:
    side = server_side() if id else ServerSide()
    side.hears(opening(id, "a")).answers(0, refused)
    sent = side.sent[-1]
    assert (sent.id, sent.status) == (id, refused.code if id else None)
    assert sent.value["error"] == {"code": refused.code, "message": refused.message, **refused.facts}
    assert sent.value["result"] == f"Error: {refused.message}"
    assert is_usable(side)


def test_a_named_request_s_error_has_no_result() -> None:
    side = server_side().hears(named(2, "a")).answers(0, Forbidden("no"))
    assert "result" not in side.sent[0].value


@pytest.mark.parametrize("fact", [object(), float("nan"), {1, object()}, "x" * 5_000_000])
def test_facts_without_json_form_are_left_out_and_the_error_told(fact: Any) -> None:
    side = server_side().hears(named(2, "a")).answers(0, Refused("not-found", "no", fact=fact))
    assert side.sent[0].value == {"error": {"code": "not-found", "message": "no"}}


@pytest.mark.parametrize(
    "reply",
    [
        Encoded("a/b", "binary", b"", {"x": object()}),
        Encoded("a/b", "binary", b"", {"x": "y" * 17_000}),
    ],
    ids=["no JSON form", "too long a header"],
)
def test_an_answer_that_cannot_be_sent_is_internal_and_frees_its_slot(reply: Encoded) -> None:
    side = server_side(Limits(content_bytes=2_000, json_bytes=1_000, max_open=1))
    side.hears(opening(2, "a")).answers(0, reply)
    assert side.codes == [(2, "internal")]
    assert is_usable(side)


def test_an_answer_that_is_too_large_once_it_is_wrapped_is_told_so_and_frees_its_slot() -> None:
    side = server_side(Limits(content_bytes=2_000, json_bytes=1_000, max_open=1)).hears(opening(2, "a"))
    side.answers(0, Encoded("text/json", "utf-8", b" " * 1_000))
    assert side.codes == [(2, "too-large")]
    told = side.sent[0].value["error"]
    assert (told["size"], told["limit"]) == (1_000 + len('{"result":}'), 1_000)
    assert is_usable(side)


@pytest.mark.parametrize("code", ["too-many", "unavailable", "unauthenticated"])
def test_a_connection_may_be_refused_before_it_says_anything(code: str) -> None:
    side = ServerSide()
    side.core.fail(Refused(code, "not now", limit=5))
    (sent,) = side.settled().sent
    assert (sent.id, sent.status, sent.code) == (None, code, code)
    assert sent.value["result"] == "Error: not now"
    assert is_closed(side)


def test_what_the_peer_sent_stands_shortened_and_escaped_in_the_error() -> None:
    side = ServerSide().hears(b"\xff\xff\x1b[31m" + b"\n" * 500)
    told = side.sent[0].value["error"]
    assert len(told["received"]) < 100
    assert told["received"].isprintable()


def test_failures_are_counted_by_code() -> None:
    side = server_side().hears(opening(2, "a"), frame({"id": 3, "byteorder": "no"})).answers(0, Forbidden("no"))
    side.hears(b"\x00\x00")
    assert side.counters.failed == {"bad-header": 1, "forbidden": 1, "bad-frame": 1}
    assert side.counters.served == 1

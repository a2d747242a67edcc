"""The frames that a server sends."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.content.encoded import Encoded
from letterhead.errors import Internal, Refused, TooLarge, UsageError
from letterhead.limits import Limits
from letterhead.protocol import frames as replies
from tests.protocol.pairs import LIMITS, joined
from tests.wire.frames import Frame, frames_of

MOST = 10_000


def sent(reply: Encoded, id: int | None = 7, wrapped: bool = False) -> Frame:
    return frames_of(joined(replies.result(reply, id, wrapped, MOST)))[0]


def error(refused: Refused, id: int | None = 7, classic: bool = False, wrapped: bool = False) -> Frame:
    return frames_of(replies.error(refused, id, classic, wrapped, MOST))[0]


def test_a_result_has_its_id_and_no_status() -> None:
    frame = sent(Encoded("text/json", "utf-8", b"5"))
    assert (frame.id, frame.status, frame.content) == (7, None, b"5")


def test_a_result_in_classic_form_is_wrapped() -> None:
    assert sent(Encoded("text/json", "utf-8", b"[1]"), wrapped=True).value == {"result": [1]}


def test_a_result_that_is_no_json_is_never_wrapped() -> None:
    assert sent(Encoded("a/b", "binary", b"\x00"), wrapped=True).content == b"\x00"


def test_a_classic_result_has_no_id() -> None:
    assert "id" not in sent(Encoded("text/json", "utf-8", b"5"), id=None).header


def test_a_reply_s_own_fields_are_sent() -> None:
    frame = sent(Encoded("a/b", "binary", b"", {"x-own": [1], "byteorder": "big"}))
    assert (frame.header["x-own"], frame.header["byteorder"]) == ([1], "big")


def test_a_result_that_is_too_large_once_wrapped_is_not_sent() -> None:
    with pytest.raises(TooLarge) as caught:
        sent(Encoded("text/json", "utf-8", b" " * (MOST - 5)), wrapped=True)
    assert caught.value.limit == MOST


@pytest.mark.parametrize("value", [object(), float("nan"), "\ud800", "x" * 17_000])
def test_a_field_that_cannot_be_sent_is_a_usage_error(value: Any) -> None:
    with pytest.raises(UsageError):
        sent(Encoded("a/b", "binary", b"", {"x": value}))


@pytest.mark.parametrize(
    "reply",
    [
        Encoded("nonsense", "binary", b""),
        Encoded("a/b", "", b""),
        Encoded("a/b", "binary", b"", {"byteorder": "middle"}),
        Encoded("a/b", "binary", b"", {f"x{n}": n for n in range(57)}),
        Encoded("a/b", "binary", b"", {"x": object()}),
        Encoded("a/b", "binary", bytes(2_001)),
        Encoded("text/json", "utf-8", b" " * 1_001),
        Encoded(5, "binary", b""),  # type: ignore[arg-type]
    ],
)
def test_a_reply_that_no_client_would_take_is_known_before_it_is_sent(reply: Encoded) -> None:
    with pytest.raises(UsageError):
        replies.check(reply, Limits(content_bytes=2_000, json_bytes=1_000))


@pytest.mark.parametrize(
    "reply", [Encoded("a/b", "binary", b"x"), Encoded("a/b", "binary", b"", {f"x{n}": n for n in range(56)})]
)
def test_a_sound_reply_passes(reply: Encoded) -> None:
    replies.check(reply, LIMITS)


def test_the_hello_is_a_control_frame() -> None:
    (frame,) = frames_of(replies.hello(3, 128, 1 << 20))
    assert frame.header == {
        "byteorder": frame.header["byteorder"],
        "content-type": "application/octet-stream",
        "content-encoding": "binary",
        "content-length": 0,
        "id": 3,
        "max-open": 128,
        "credit": 1 << 20,
    }


# Errors


@pytest.mark.smoke
def test_an_error_has_its_status_and_its_facts() -> None:
    frame = error(TooLarge("too large", size=5, limit=3))
    assert (frame.id, frame.status) == (7, "too-large")
    assert (frame.header["content-type"], frame.header["content-encoding"]) == ("text/json", "utf-8")
    assert frame.value == {"error": {"code": "too-large", "message": "too large", "size": 5, "limit": 3}}


@pytest.mark.parametrize("classic", [True, False])
def test_an_error_in_classic_form_has_a_result_too(classic: bool) -> None:
    assert error(Internal("oops"), classic=classic, wrapped=True).value["result"] == "Error: oops"


def test_a_classic_error_has_no_status() -> None:
    frame = error(Internal("oops"), id=None, classic=True, wrapped=True)
    assert "status" not in frame.header
    assert frame.value["error"] == {"code": "internal", "message": "oops"}


@pytest.mark.parametrize("fact", [object(), float("nan"), {1, object()}, "\ud800", b"x" * 20_000, "x" * 20_000])
@pytest.mark.parametrize("classic", [True, False])
def test_facts_that_cannot_be_told_are_left_out(fact: Any, classic: bool) -> None:
    frame = error(Refused("not-found", "no", fact=fact), classic=classic, wrapped=True)
    assert frame.value == {"error": {"code": "not-found", "message": "no"}, "result": "Error: no"}


def test_a_message_that_is_too_long_is_shortened() -> None:
    frame = error(Internal("x" * 50_000), wrapped=True)
    assert len(frame.content) <= MOST
    assert frame.value["error"]["message"].startswith("xxx")


def test_a_message_with_a_lone_surrogate_is_still_told() -> None:
    assert error(Internal("bad \ud800 text")).value["error"]["message"] == "bad ? text"


@settings(deadline=None)
@given(st.text(), st.dictionaries(st.text(max_size=5), st.floats() | st.text() | st.none(), max_size=3), st.booleans())
def test_any_refusal_can_be_told(message: str, facts: dict[str, Any], classic: bool) -> None:
    facts = {name: value for name, value in facts.items() if name not in ("code", "message")}
    frame = error(Refused("not-found", message, **facts), classic=classic)
    assert frame.code == "not-found"
    assert len(frame.content) <= MOST
    json.dumps(frame.value, allow_nan=False)

"""One call: what is sent for it, and what its reply means."""

import array
import dataclasses
import json
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterhead.client.calls import message_call
from letterhead.client.openings import action_opening, message_opening, milliseconds
from letterhead.errors import BadContent, ConnectionLost, Forbidden, Internal, Refused, TooLarge, UsageError
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol.exchange import reply_error
from letterhead.protocol.fields import from_server
from letterhead.wire.header import Header, Headers
from tests.client.core.world import settings
from tests.protocol.pairs import LIMITS, Asked, ClientSide, asked, client_side, submitted
from tests.wire.frames import Frame, header_bytes

SMALL = Limits(content_bytes=2_000, json_bytes=1_000)


call = asked


def written(made: Asked) -> Frame:
    """The frame of a call on a multiplexed connection."""
    side = client_side()
    side.submits(made)
    (frame,) = side.sent
    return frame


def classic_form(made: Asked) -> Any:
    return json.loads(made.opening.classic_content)


# What is sent


def test_named_arguments_are_a_json_object() -> None:
    frame = written(call("greet", name="Ada", times=2))
    assert frame.header["action"] == "greet"
    assert (frame.header["content-type"], frame.header["content-encoding"]) == ("text/json", "utf-8")
    assert frame.value == {"name": "Ada", "times": 2}


def test_no_arguments_are_an_empty_object() -> None:
    assert written(call("now")).value == {}


@pytest.mark.parametrize("value", [5, "x", [1, 2], None, True, 1.5])
def test_a_single_argument_is_itself(value: Any) -> None:
    assert written(call("echo", value)).value == value


def test_bytes_go_as_they_are() -> None:
    frame = written(call("store", b"\x00\xff"))
    assert (frame.header["content-type"], frame.content) == ("application/octet-stream", b"\x00\xff")


@pytest.mark.parametrize(
    ("made", "value"),
    [
        (call("a", name="Ada"), {"name": "Ada"}),
        (call("a"), None),
        (call("a", [1]), [1]),
        (call("a", ""), ""),
        (call("a", False), False),
    ],
)
def test_the_classic_form_has_action_and_value_in_its_content(made: Asked, value: Any) -> None:
    assert made.opening.action is not None
    assert classic_form(made) == {"action": "a", "value": value}


def test_an_array_goes_with_its_dtype_shape_and_order() -> None:
    frame = written(call("scale", np.zeros((2, 3), ">i2"), timeout=0.5))
    said = {name: frame.header[name] for name in ("action", "deadline", "byteorder", "dtype", "shape", "content-type")}
    assert said == {
        "action": "scale", "deadline": 500, "byteorder": "big", "dtype": "int16", "shape": [2, 3],
        "content-type": "binary/ndarray",
    }  # fmt: skip
    assert frame.content == bytes(12)


def test_a_message_goes_as_it_is_save_for_the_action_and_the_time() -> None:
    header = {
        "content-type": "a/b",
        "content-encoding": "x",
        "byteorder": "big",
        "action": "z",
        "deadline": 9,
        "x-a": [1],
    }
    frame = written(call("a", Message(b"abc", header), timeout=0.5))
    assert frame.content == b"abc"
    assert {**header, "action": "a", "deadline": 500}.items() <= frame.header.items()
    assert (header["action"], header["deadline"]) == ("z", 9)


def test_what_becomes_of_a_message_afterwards_is_not_sent() -> None:
    content = bytearray(b"before")
    made = call("a", Message(content))
    content[:] = b"after!"
    assert written(made).content == b"before"


@pytest.mark.parametrize("name", ["id", "more", "status", "credit", "cancel", "compression", "authorization"])
def test_a_message_with_a_field_of_the_connection_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        call("a", Message(b"", {name: 1}))


def test_an_array_among_named_arguments_is_told_how_arrays_go() -> None:
    with pytest.raises(UsageError, match=r"'matrix' of 'scale' .* as in call\('scale', matrix\)"):
        call("scale", by=2, matrix=np.zeros(3))


@pytest.mark.parametrize(
    "made", [call("a", b"bytes"), call("a", None), call("a", np.zeros(1)), call("a", Message(b"[]"))]
)
def test_what_is_no_json_and_a_lone_null_have_no_classic_form(made: Asked) -> None:
    assert made.opening.action is None


def test_the_first_request_names_no_action_in_its_header() -> None:
    side = ClientSide()
    side.calls("a", timeout=0.25)
    (frame,) = side.sent
    assert "action" not in frame.header
    assert (frame.header["content-type"], frame.header["content-encoding"]) == ("text/json", "utf-8")
    assert frame.header["deadline"] == 250


@pytest.mark.parametrize("action", ['quo"te', "ü", "a\\b", "a\nb", ""])
def test_any_text_may_name_an_action(action: str) -> None:
    made = submitted(action_opening(action, (1,), {}, LIMITS))
    assert written(made).header["action"] == action
    assert classic_form(made)["action"] == action


def test_a_timeout_becomes_a_deadline_in_milliseconds() -> None:
    assert written(call("a", timeout=1.5)).header["deadline"] == 1500
    assert "deadline" not in written(call("a")).header


@pytest.mark.parametrize(
    ("timeout", "sent"),
    [(None, None), (0, 1), (0.0001, 1), (1.5, 1500), (1e9, 2**31 - 1), (float("inf"), 2**31 - 1)],
)
def test_a_deadline_stays_within_what_the_wire_takes(timeout: float | None, sent: int | None) -> None:
    assert milliseconds(timeout) == sent


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
def test_a_timeout_that_is_no_time_is_refused(timeout: float) -> None:
    with pytest.raises(UsageError, match="timeout"):
        call("a", timeout=timeout)


@pytest.mark.parametrize(
    ("arg", "args"),
    [
        ((1, 2), {}),
        ((1,), {"a": 2}),
        (({"a": 1},), {}),
        ((float("nan"),), {}),
        ((), {"a": object()}),
        (("\ud800",), {}),
    ],
)
def test_arguments_that_cannot_be_sent_are_the_caller_s_mistake(arg: tuple[Any, ...], args: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        action_opening("a", arg, args, LIMITS)


@pytest.mark.parametrize("action", ["\ud800", "x" * 17_000])
def test_an_action_that_cannot_be_sent_is_the_caller_s_mistake(action: str) -> None:
    with pytest.raises(UsageError):
        action_opening(action, (), {}, LIMITS)


@pytest.mark.parametrize(("arg", "args"), [(("x" * 999,), {}), ((), {"a": "x" * 1_000}), ((bytes(2_001),), {})])
def test_arguments_above_the_limit_are_not_sent(arg: tuple[Any, ...], args: dict[str, Any]) -> None:
    with pytest.raises(TooLarge) as caught:
        action_opening("a", arg, args, SMALL)
    assert caught.value.size > caught.value.limit


def test_the_lower_of_both_limits_counts_for_json() -> None:
    with pytest.raises(TooLarge):
        action_opening("a", (), {"a": "x" * 2_000}, Limits(content_bytes=2_000))


def test_arguments_that_fit_only_by_themselves_have_no_classic_form() -> None:
    made = [action_opening("act", ("x" * size,), {}, SMALL) for size in range(900, 999)]
    fitting = [one for one in made if one.action is not None]
    assert max(len(one.classic_content) for one in fitting) == SMALL.json_bytes
    assert 0 < len(fitting) < len(made)


# Messages


def test_a_message_is_sent_as_it_is() -> None:
    message = Message(b"\x01", {"content-type": "binary/sensor", "x-unit": "mV", "action": "a"})
    made = submitted(message_opening(message, LIMITS))
    frame = written(made)
    assert (frame.header["content-type"], frame.header["x-unit"], frame.content) == ("binary/sensor", "mV", b"\x01")
    assert made.opening.raw


@pytest.mark.parametrize(
    "name",
    ["id", "cancel", "credit", "closing", "max-open", "more", "status", "supersedes", "authorization", "compression"],
)
def test_the_connection_s_own_fields_cannot_stand_in_a_message(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        message_opening(Message(b"", {name: 1}), LIMITS)
    assert caught.value.field == name


@pytest.mark.parametrize("name", ["content-type", "content-encoding", "byteorder"])
def test_a_message_s_required_fields_are_strings(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        message_opening(Message(b"", {name: 5}), LIMITS)
    assert caught.value.field == name


def test_a_message_s_own_deadline_goes_before_the_timeout() -> None:
    made = message_call(settings(), Message(b"", {"deadline": 7}), 5.0)
    assert (made.deadline, made.seconds) == (None, 5.0)
    assert written(submitted(made.opening)).header["deadline"] == 7


def test_a_message_above_the_limit_is_not_sent() -> None:
    with pytest.raises(TooLarge):
        message_opening(Message(bytes(2_001)), SMALL)


def test_a_message_s_length_is_its_bytes() -> None:
    message = Message()
    message.content = memoryview(array.array("d", [1.0]))
    assert written(submitted(message_opening(message, LIMITS))).header["content-length"] == 8


# What the reply means


def replied(content: bytes, wrapped: bool = False, **fields: Any) -> Asked:
    made = call("a", 1)
    made.wrapped = wrapped
    made.end(header(content, **fields), content)
    return made


def header(content: bytes, **fields: Any) -> Header:
    json_fields = {"content-type": "text/json", "content-encoding": "utf-8"}
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    return Headers(LIMITS).decode(header_bytes({**json_fields, **named}, len(content)))


@dataclasses.dataclass
class Hit:
    title: str
    score: float = 0.0


def test_the_result_is_the_reply_s_value() -> None:
    assert replied(b'{"a":[1,null]}').result() == {"a": [1, None]}


def test_the_result_of_a_classic_form_is_unwrapped() -> None:
    assert replied(b'{"result":5,"x":1}', wrapped=True).result() == 5


@pytest.mark.parametrize("content", [b"5", b"[]", b"null", b'{"r":1}', b'"result"'])
def test_a_reply_of_classic_form_without_result_is_bad_content(content: bytes) -> None:
    with pytest.raises(BadContent, match="result"):
        replied(content, wrapped=True).result()


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_reply_that_is_no_json_is_read_by_its_type(wrapped: bool) -> None:
    octets = replied(b"\xff", wrapped, content_type="image/png", content_encoding="binary")
    assert octets.result() == b"\xff"
    assert replied(b"\xe9", wrapped, content_type="text/plain", content_encoding="latin-1").result() == "é"


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_result_is_converted_to_the_type_that_is_wanted(wrapped: bool) -> None:
    content = b'[{"title":"x","score":1}]'
    made = replied(b'{"result":' + content + b"}" if wrapped else content, wrapped)
    assert made.result(list[Hit]) == [Hit("x", 1.0)]


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("content", [b'[{"score":1}]', b"5", b'"x"'])
def test_a_result_that_does_not_fit_is_bad_content(wrapped: bool, content: bytes) -> None:
    made = replied(b'{"result":' + content + b"}" if wrapped else content, wrapped)
    with pytest.raises(BadContent, match="returns"):
        made.result(list[Hit])


@pytest.mark.parametrize("returns", [None, list])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 65 + b"]" * 65, b"[" * 100_000])
def test_a_reply_that_is_not_sound_json_is_bad_content(content: bytes, returns: Any) -> None:
    with pytest.raises(BadContent):
        replied(content).result(returns)


def test_a_message_s_reply_is_a_message() -> None:
    made = replied(b"\x01", content_type="a/b", content_encoding="binary", x_own=1)
    made.opening.raw = True
    got = made.result()
    assert isinstance(got, Message)
    assert (got.content, got.header["x-own"], got.type) == (b"\x01", 1, "a/b")


def test_a_call_that_has_not_ended_has_no_result() -> None:
    with pytest.raises(UsageError):
        call("a").result()


def test_an_error_is_raised_with_its_facts() -> None:
    made = call("a")
    made.fail(TooLarge("no", size=5, limit=3))
    with pytest.raises(TooLarge) as caught:
        made.result()
    assert caught.value.facts == {"size": 5, "limit": 3}


@pytest.mark.parametrize("error", [ConnectionLost("gone", address="a:1"), Refused("not-found", "no", order=1)])
def test_each_call_fails_with_an_exception_of_its_own(error: Any) -> None:
    made = [call("a"), call("b")]
    for one in made:
        one.fail(error)
    first, second = (one.error for one in made)
    assert first is not None
    assert first is not second
    assert first is not error
    assert (type(first), first.facts) == (type(error), error.facts)


# Errors as the wire tells them


def told(content: bytes, status: str = "forbidden", **fields: Any) -> Refused:
    found = header(content, status=status, **fields)
    return reply_error(found, content, from_server(found.shape), LIMITS)


@pytest.mark.smoke
def test_an_error_reply_is_its_class_with_its_facts() -> None:
    error = told(b'{"error":{"code":"forbidden","message":"no","who":"ada"},"result":"Error: no"}')
    assert (type(error), error.message, error.facts) == (Forbidden, "no", {"who": "ada"})


def test_the_status_counts_and_not_the_content_s_code() -> None:
    assert type(told(b'{"error":{"code":"internal","message":"no"}}')) is Forbidden


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"5", b'{"error":5}', b'{"error":{}}', b'{"error":{"message":5}}', b"\xff"]
)
def test_an_error_reply_of_any_content_is_a_refusal(content: bytes) -> None:
    error = told(content)
    assert type(error) is Forbidden
    assert "forbidden" in error.message


def test_a_status_that_nobody_may_use_is_internal() -> None:
    assert type(told(b"{}", status="Not A Code")) is Internal


@hypothesis.settings(deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=6) | st.sampled_from(["self", "cls", "code", "message"]), st.integers(), max_size=4
    )
)
def test_any_facts_make_a_refusal(facts: dict[str, int]) -> None:
    error = told(json.dumps({"error": facts}).encode())
    assert error.facts == {name: value for name, value in facts.items() if name not in ("code", "message")}

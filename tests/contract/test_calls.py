"""What a call sends, what it returns, what it raises."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from msgspec import Raw

from letterhead import (
    BadContent,
    Internal,
    InvalidArgument,
    Message,
    Refused,
    TooLarge,
    UnknownAction,
    UsageError,
    decode,
)
from tests.contract.callers import Caller
from tests.contract.scene import Scene, claim


@dataclass
class Point:
    """The client's own idea of a point."""

    x: int
    y: int


@pytest.mark.smoke
@claim()
async def test_named_arguments_reach_the_handler_by_name(scene: Scene) -> None:
    assert await scene.caller.call("greet", name="Ada") == "hello Ada"
    assert await scene.caller.call("greet", times=2, name="Ada") == "hello Ada, hello Ada"


@claim()
async def test_a_single_argument_is_the_first_parameter(scene: Scene) -> None:
    assert await scene.caller.call("greet", "Ada") == "hello Ada"


@claim()
async def test_no_argument_leaves_the_defaults(scene: Scene) -> None:
    assert await scene.caller.call("nothing") is None
    assert await scene.caller.call("echo") == "no value"


@claim()
async def test_an_argument_may_be_named_like_a_parameter_of_call_itself(scene: Scene) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await scene.caller.call("nothing", action="x", self="y")
    assert caught.value.argument in ("action", "self")


@claim()
async def test_any_json_value_comes_back_as_it_went(scene: Scene) -> None:
    values = [True, 0, -(2**53), 1.5, "", "🐶 naïve \x00 \u2028", [], [1, [2, [None]]], ["x" * 1000] * 20]
    for value in values:
        assert await scene.caller.call("echo", value) == value
    assert await scene.caller.call("echo", value={"a": {"b": [1]}, "🐶": None}) == {"a": {"b": [1]}, "🐶": None}


@claim()
async def test_none_is_an_argument(scene: Scene) -> None:
    await scene.caller.call("greet", "to know the server")
    assert await scene.caller.call("echo", None) is None
    assert await scene.caller.call("echo", value=None) is None


@claim()
async def test_bytes_go_as_bytes(scene: Scene) -> None:
    data = bytes(range(256))
    assert await scene.caller.call("echo", data) == data
    assert await scene.caller.call("echo", b"") == b""
    assert await scene.caller.call("size", bytearray(data)) == 256
    assert await scene.caller.call("size", memoryview(data)[::2]) == 128


@claim()
async def test_every_way_to_run_a_handler_answers(scene: Scene) -> None:
    for action in ("echo", "echo-inline", "echo-thread"):
        assert await scene.caller.call(action, [1, "two"]) == [1, "two"]


@claim()
async def test_returns_converts_the_result(scene: Scene) -> None:
    moved = await scene.caller.call("move", point={"x": 1, "y": 2}, by=3, returns=Point)
    assert moved == Point(4, 5)
    assert await scene.caller.call("echo", [1, 2], returns=list[int]) == [1, 2]
    assert await scene.caller.call("echo", [1, 2], returns=tuple[int, int]) == (1, 2)


@claim()
async def test_first_and_later_calls_convert_alike(scene: Scene) -> None:
    """The first request goes in classic form, where arguments and result stand inside of other JSON."""
    for _ in range(3):
        assert await scene.caller.call("echo", [1.5], returns=list[Decimal]) == [Decimal("1.5")]
        assert await scene.another().call("halve", amount=Raw(b"1.10")) == "0.55"
        assert await scene.another().call("halve", Raw(b"1.10")) == "0.55"
        assert await scene.caller.call("halve", amount=Raw(b"1.10")) == "0.55"
        assert await scene.caller.call("halve", Raw(b"1.10")) == "0.55"
        fresh = scene.another()
        for _ in range(2):
            assert await fresh.call("points", returns=dict[int, Point]) == {1: Point(1, 2)}


@claim()
async def test_what_no_result_can_be_is_told_before_the_call_is_made(scene: Scene) -> None:
    nonsense: Any = "int"
    with pytest.raises(UsageError, match="returns"):
        await scene.caller.call("note", "made", returns=nonsense)
    assert await scene.caller.call("nothing") is None
    assert scene.app.state.order == []


@claim()
async def test_a_timeout_may_be_as_long_as_one_likes(scene: Scene) -> None:
    for seconds in (1e300, float("inf")):
        assert await scene.another(timeout=seconds).call("echo", 1) == 1
        assert await scene.caller.call("echo", 1, timeout=seconds) == 1


@claim()
async def test_a_result_that_does_not_fit_returns_is_bad_content(scene: Scene) -> None:
    for _ in range(2):  # the first reply of a connection has another form than the later ones
        with pytest.raises(BadContent, match="returns"):
            await scene.caller.call("echo", ["x"], returns=list[int])
    assert await scene.caller.call("greet", "Ada") == "hello Ada"


@pytest.mark.smoke
@claim()
async def test_an_error_comes_with_its_code_and_its_facts(scene: Scene) -> None:
    for _ in range(2):
        with pytest.raises(Refused, match="no order 17") as caught:
            await scene.caller.call("order", number=17)
        assert (caught.value.code, caught.value.facts) == ("not-found", {"order": 17, "near": [1, 2, 3]})


@claim()
async def test_each_kind_of_refusal_is_its_own_exception(scene: Scene) -> None:
    with pytest.raises(UnknownAction) as unknown:
        await scene.caller.call("dance")
    assert unknown.value.action == "dance"
    with pytest.raises(InvalidArgument, match="times") as wrong:
        await scene.caller.call("greet", name="Ada", times="many")
    assert wrong.value.argument == "times"
    with pytest.raises(Internal) as failed:
        await scene.caller.call("order", number=0)
    assert "secret" not in str(failed.value)


@claim()
async def test_an_error_raised_twice_is_two_errors(scene: Scene) -> None:
    caught = await asyncio.gather(*(scene.caller.call("dance") for _ in range(3)), return_exceptions=True)
    assert len({id(error) for error in caught}) == 3
    assert all(isinstance(error, UnknownAction) for error in caught)


@claim()
async def test_what_cannot_be_sent_is_the_callers_mistake(scene: Scene) -> None:
    caller = scene.caller
    for arg, args in (((1, 2), {}), ((1,), {"name": 2}), (({"name": "Ada"},), {}), ((object(),), {})):
        with pytest.raises(UsageError):
            await caller.call("greet", *arg, **args)
    for value in (float("nan"), "\ud800", [float("inf")]):
        with pytest.raises(UsageError):
            await caller.call("echo", value)
    with pytest.raises(UsageError):
        await caller.call("echo", 1, timeout=-1.0)
    with pytest.raises(TooLarge):
        await caller.call("echo", "x" * (4 * 1024 * 1024))
    assert not scene.server.shared.counters.accepted, "it was not sent, so nobody connected"


@claim()
async def test_send_gives_full_control_of_header_and_content(scene: Scene) -> None:
    named = Message(b'{"name": "Ada"}', {"action": "greet", "content-type": "application/json", "x-trace": 7})
    reply = await scene.caller.send(named)
    assert (reply.type, decode(reply)) == ("text/json", "hello Ada")
    seen = await scene.caller.send(Message(b"{}", {"action": "headers", "content-type": "text/json", "x-trace": [7]}))
    assert decode(seen) == {"action": "headers", "x-trace": [7]}


@claim()
async def test_send_without_action_is_a_request_in_classic_form(scene: Scene) -> None:
    classic = Message(
        b'{"action": "greet", "value": "Ada"}', {"content-type": "text/json", "content-encoding": "utf-8"}
    )
    assert decode(await scene.caller.send(classic)) == {"result": "hello Ada"}
    binary = await scene.caller.send(Message(b"abc", {"content-type": "binary/mine"}))
    assert (bytes(binary.content), binary.type, binary.header["x-was"]) == (b"cba", "binary/reversed", "binary/mine")


@claim()
async def test_send_refuses_the_connections_own_fields(scene: Scene) -> None:
    for field in ("id", "credit", "cancel", "more", "status", "max-open", "authorization"):
        with pytest.raises(UsageError, match=field):
            await scene.caller.send(Message(b"", {field: 1}))


@claim()
async def test_send_with_a_header_that_is_no_header_is_the_callers_mistake(scene: Scene) -> None:
    deep: list[object] = []
    for _ in range(20):
        deep = [deep]
    assert await scene.caller.call("greet", "Ada") == "hello Ada"
    for header in ({"x": "y" * 17_000}, {"x": float("nan")}, {"content-type": 5}, {"x": deep}):
        with pytest.raises(UsageError):
            await scene.caller.send(Message(b"", header))
    assert scene.server.shared.counters.accepted == 1, "the connection was not harmed"
    assert await scene.caller.call("greet", "Ada") == "hello Ada"


FIRST_CALLS: dict[str, Callable[[Caller], Coroutine[Any, Any, Any]]] = {
    "json": lambda caller: caller.call("greet", name="Ada"),
    "no-argument": lambda caller: caller.call("echo"),
    "none": lambda caller: caller.call("echo", None),
    "bytes": lambda caller: caller.call("size", b"12345"),
    "message": lambda caller: caller.send(Message(b"abc", {"content-type": "binary/mine"})),
    "named-message": lambda caller: caller.send(Message(b"5", {"action": "echo", "content-type": "text/json"})),
    "ping": lambda caller: caller.call("letterhead.ping", 1),
}


@claim()
async def test_a_fresh_client_may_begin_with_any_kind_of_call(scene: Scene) -> None:
    results = {name: await first(scene.another()) for name, first in FIRST_CALLS.items()}
    results["message"] = bytes(results["message"].content)
    results["named-message"] = decode(results["named-message"])
    assert results == {
        "json": "hello Ada",
        "no-argument": "no value",
        "none": None,
        "bytes": 5,
        "message": b"cba",
        "named-message": 5,
        "ping": 1,
    }


@claim()
async def test_only_what_classic_servers_would_not_understand_is_probed_for(scene: Scene) -> None:
    for name, first in FIRST_CALLS.items():
        before = scene.server.shared.counters.served
        await first(scene.another())
        probed = name in ("none", "bytes", "message", "named-message")
        assert scene.server.shared.counters.served == before + (2 if probed else 1), name

"""Arguments and results that are no JSON: arrays, views, msgpack, messages; how they are described; items."""

import asyncio
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from letterhead import App, BadContent, InvalidArgument, Limits, Message, UsageError, current, encode
from letterhead.app.arguments import ItemType
from letterhead.app.describe import describe
from letterhead.app.results import encode_result
from letterhead.content import ndarray
from letterhead.wire.header import Shape
from tests.app.calling import client_of, outcome
from tests.leaks import run

MSGPACK = "application/msgpack"
INVALID = "invalid-argument"


def app() -> App:
    made = App()

    @made.action
    async def scale(array: NDArray[np.float64], by: float = 2.0) -> NDArray[np.float64]:
        return array * by

    @made.action
    def described(array: np.ndarray | None = None) -> str:
        return "none" if array is None else f"{array.dtype} {array.shape} {array.flags.writeable}"

    @made.action
    async def viewed(view: memoryview) -> list[Any]:
        return [type(view).__name__, view.readonly, len(view)]

    @made.action
    async def kept(data: bytes) -> list[Any]:
        return [type(data).__name__, len(data)]

    @made.action
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    @made.action
    async def same(value):  # type: ignore[no-untyped-def]
        return value

    return made


def asked(action: str, *arg: Any, **args: Any) -> Any:
    """The result of one call, or an error's code and the argument it names."""

    async def main() -> Any:
        async with client_of(app()) as client:
            return await outcome(client, action, *arg, **args)

    return run(main())


# arrays


def test_an_array_goes_there_and_another_comes_back() -> None:
    got = asked("scale", np.arange(6.0).reshape(2, 3))
    assert (got.dtype, got.tolist()) == (np.float64, [[0, 2, 4], [6, 8, 10]])


@pytest.mark.parametrize(
    ("arg", "told"),
    [
        ((np.zeros((2, 3), ">i2"),), "int16 (2, 3) False"),
        ((np.zeros((2, 0)),), "float64 (2, 0) False"),
        ((np.array(True),), "bool () False"),
        ((None,), "none"),
        ((), "none"),
    ],
)
def test_a_handler_gets_an_array_in_native_order_that_it_cannot_write_to(arg: tuple[Any, ...], told: str) -> None:
    assert asked("described", *arg) == told


@pytest.mark.parametrize("arg", [[1.0], b"\x00" * 8, "text", np.zeros(3, "float32"), 5, np.float64(1)], ids=repr)
def test_what_is_no_such_array_is_refused(arg: Any) -> None:
    assert asked("scale", arg) == (INVALID, "array")


def test_by_name_nothing_is_an_array() -> None:
    assert asked("scale", array=[[1.0]]) == (INVALID, "array")
    assert asked("scale", by=3.0) == (INVALID, "array")


@pytest.mark.parametrize("action", ["total", "kept", "viewed"])
def test_an_array_fits_no_other_type(action: str) -> None:
    assert asked(action, np.zeros(3, "uint8"))[0] == INVALID


def other_needed(array: np.ndarray, other: int) -> None: ...


def not_first(other: int = 1, array: np.ndarray | None = None) -> None: ...


def two(first: np.ndarray, array: np.ndarray | None = None) -> None: ...


@pytest.mark.parametrize("handler", [other_needed, not_first, two])
def test_an_array_that_could_never_be_given_is_refused_at_once(handler: Any) -> None:
    with pytest.raises(UsageError, match=r"'array' is an array.*put it first"):
        App().action(handler)


def test_an_array_by_name_is_told_how_arrays_go() -> None:
    async def main() -> None:
        async with client_of(app()) as client:
            with pytest.raises(UsageError, match=r"single unnamed argument, as in call\('scale', array\)"):
                await client.call("scale", array=np.zeros(3), by=3.0)
            with pytest.raises(UsageError, match="cannot be sent"):
                await client.call("scale", [np.zeros(3)])
            with pytest.raises(UsageError, match="object"):
                await client.call("scale", np.array([object()]))

    run(main())


def test_a_large_array_that_nobody_can_write_to_goes_round() -> None:
    array = np.arange(1 << 20, dtype="float64")
    array.flags.writeable = False
    assert np.array_equal(asked("same", array), array)


def test_what_a_caller_writes_to_an_array_afterwards_is_not_sent() -> None:
    array = np.ones(1 << 20)

    async def main() -> None:
        async with client_of(app()) as client:
            waiting = asyncio.ensure_future(client.call("scale", array))
            await asyncio.sleep(0)
            array[:] = 5
            assert (await waiting).max() == 2

    run(main())


def test_without_numpy_an_array_is_bad_content_and_the_connection_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    message = Message(bytes(8), {"content-type": "binary/ndarray", "dtype": "float64", "shape": [1]})

    async def main() -> None:
        async with client_of(App()) as client:
            monkeypatch.setitem(sys.modules, "numpy", None)
            with pytest.raises(BadContent, match="extra array"):
                await client.call("letterhead.ping", message)
            assert await client.call("letterhead.ping", 5) == 5

    run(main())


@pytest.mark.parametrize(
    "fields",
    [{}, {"dtype": "object", "shape": [1]}, {"dtype": "float64", "shape": [2]}, {"dtype": "float64", "shape": [-1]}],
)
def test_what_is_no_sound_array_is_bad_content(fields: dict[str, Any]) -> None:
    message = Message(bytes(8), {"content-type": "binary/ndarray", **fields})
    for action in ("scale", "same", "letterhead.ping"):
        assert asked(action, message)[0] == "bad-content"


# bytes and views


def test_a_view_is_read_only_and_bytes_are_bytes() -> None:
    assert asked("viewed", b"12345") == ["memoryview", True, 5]
    assert asked("kept", b"12345") == ["bytes", 5]
    assert asked("viewed", bytearray(b"12345")) == ["memoryview", True, 5]
    assert asked("viewed", view="AQID") == ["memoryview", True, 3]
    assert asked("viewed", encode(b"123", MSGPACK)) == ["memoryview", True, 3]
    assert asked("viewed", 5) == (INVALID, "view")


def test_a_view_cannot_be_wanted_in_another_process() -> None:
    made = App()

    def handler(size: int, view: memoryview) -> None: ...

    handler.__qualname__ = "handler"
    with pytest.raises(UsageError, match=r"'view'.*annotate bytes"):
        made.action(run="process")(handler)


# messages and msgpack


def test_a_message_goes_as_it_is() -> None:
    made = App()

    @made.action
    async def seen(data: bytes) -> list[Any]:
        call = current()
        return [call.content_type, call.headers.get("x-unit"), call.action, len(data)]

    async def main() -> None:
        async with client_of(made) as client:
            message = Message(b"123", {"content-type": "binary/sensor", "x-unit": "mV", "action": "other"})
            assert await client.call("seen", message) == ["binary/sensor", "mV", "seen", 3]
            assert message.header["action"] == "other", "it is not changed"
            for name in ("id", "more", "status", "credit", "compression"):
                with pytest.raises(UsageError, match=name):
                    await client.call("seen", Message(b"123", {name: 1}))

    run(main())


def test_a_message_of_json_holds_named_arguments() -> None:
    assert asked("total", encode({"numbers": [1, 2]})) == 3
    assert asked("total", encode([1, 2], "application/json", "utf-16")) == 3


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ([1, 2, 3], 6),
        ([1, "a"], (INVALID, "numbers")),
        ({"numbers": [1]}, (INVALID, "numbers")),
        (None, (INVALID, "numbers")),
    ],
)
def test_msgpack_is_the_single_argument(value: Any, result: Any) -> None:
    assert asked("total", encode(value, MSGPACK)) == result


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x91", b"\x91" * 100 + b"\xc0", b"\x81\x90\xc0"])
def test_what_is_no_sound_msgpack_is_bad_content(content: bytes) -> None:
    for action in ("total", "same"):
        assert asked(action, Message(content, {"content-type": MSGPACK}))[0] == "bad-content"


def test_msgpack_above_its_limit_is_too_large() -> None:
    async def main() -> None:
        async with client_of(App(limits=Limits(msgpack_bytes=2000))) as client:
            assert (await outcome(client, "letterhead.ping", encode(b"x" * 3000, MSGPACK)))[0] == "too-large"
            assert len(await client.call("letterhead.ping", b"x" * 3000)) == 3000

    run(main())


def test_results_of_msgpack_become_what_the_caller_wants() -> None:
    async def main() -> None:
        async with client_of(app()) as client:
            request = encode([{"a": 1}], MSGPACK)
            assert await client.call("same", request, returns=list[dict[str, float]]) == [{"a": 1.0}]
            with pytest.raises(BadContent, match="returns"):
                await client.call("same", request, returns=int)
            assert await client.call("scale", np.ones(1), returns=NDArray[np.float64]) == [2.0]
            with pytest.raises(BadContent, match=r"returns.*int8"):
                await client.call("scale", np.ones(1), returns=NDArray[np.int8])

    run(main())


# results


def test_a_result_goes_in_the_first_accepted_type_that_fits() -> None:
    limits = Limits()
    assert encode_result({"a": 1}, limits).content_type == "text/json"
    assert encode_result({"a": 1}, limits, [MSGPACK]).content_type == MSGPACK
    assert encode_result("x", limits, ["image/png", "text/plain"]).content_type == "text/plain"
    assert encode_result(np.zeros(3), limits, [MSGPACK]).content_type == "binary/ndarray"
    own = Message(b"x", {"content-type": "a/b", "status": "ok", "x-a": 1})
    encoded = encode_result(own, limits, [MSGPACK])
    assert (encoded.content_type, encoded.fields) == ("a/b", {"x-a": 1})


@pytest.mark.parametrize("accept", [[], [MSGPACK], ["text/plain"]])
def test_a_result_larger_than_a_client_takes_is_the_handler_s_failing(accept: list[str]) -> None:
    limits = Limits(json_bytes=2000, msgpack_bytes=2000, content_bytes=4000)
    for value in (["x" * 3000], "x" * 5000, b"x" * 5000, np.zeros(1000)):
        with pytest.raises(TypeError, match="the limit is"):
            encode_result(value, limits, accept)


@pytest.mark.parametrize(
    "value", [object(), {"a": np.zeros(3)}, np.array([object()]), Message(b"", {"content-type": "x"})]
)
def test_a_result_without_a_form_is_the_handler_s_failing(value: Any) -> None:
    with pytest.raises(TypeError, match="the result cannot be sent"):
        encode_result(value, Limits())


# descriptions


def test_descriptions_say_what_is_read() -> None:
    told = asked("letterhead.describe")["actions"]
    everything = ["text/json", MSGPACK, "text/plain", "application/octet-stream", "binary/ndarray"]
    assert {name: action["content-types"] for name, action in told.items()} == {
        "scale": ["binary/ndarray"],
        "described": ["text/json", "binary/ndarray"],
        "viewed": ["text/json", MSGPACK, "application/octet-stream"],
        "kept": ["text/json", MSGPACK, "application/octet-stream"],
        "total": ["text/json", MSGPACK],
        "same": everything,
        "letterhead.ping": everything,
        "letterhead.describe": ["text/json"],
        "letterhead.health": ["text/json"],
    }


def test_descriptions_say_what_an_array_is() -> None:
    told = asked("letterhead.describe")["actions"]
    floats = {"contentMediaType": "binary/ndarray", "dtype": "float64"}
    assert told["scale"]["parameters"]["properties"]["array"] == floats
    assert told["scale"]["result"] == floats
    optional = {"anyOf": [{"contentMediaType": "binary/ndarray"}, {"type": "null"}], "default": None}
    assert told["described"]["parameters"]["properties"]["array"] == optional


def test_without_numpy_arrays_are_not_said_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    ndarray.readable.cache_clear()
    try:
        told = describe(App())["actions"]["letterhead.ping"]["content-types"]
    finally:
        ndarray.readable.cache_clear()
    assert "binary/ndarray" not in told
    assert MSGPACK in told


# items of streams


def decode_item(kind: Any, message: Message) -> Any:
    item = ItemType(kind, "item of 'rows'", "rows")
    return item.decode(Shape(message.header, 0, Limits()), bytes(message.content), 64)


@pytest.mark.parametrize("content_type", ["text/json", MSGPACK])
def test_an_item_becomes_what_the_hint_says(content_type: str) -> None:
    assert decode_item(tuple[int, str], encode([1, "a"], content_type)) == (1, "a")
    assert decode_item(Any, encode({"a": 1}, content_type)) == {"a": 1}


def test_an_item_may_be_bytes_or_an_array() -> None:
    assert decode_item(bytes, encode(b"ab")) == b"ab"
    assert decode_item(NDArray[np.int8], encode(np.ones(2, "int8"))).tolist() == [1, 1]


@pytest.mark.parametrize(
    "made", [encode("5"), encode("5", MSGPACK), encode(b"5"), encode(np.ones(1)), encode("5", "text/plain")]
)
def test_an_item_that_does_not_fit_is_named(made: Message) -> None:
    with pytest.raises(InvalidArgument, match=r"item of 'rows': Expected `int`") as caught:
        decode_item(int, made)
    assert caught.value.argument == "rows"


def test_an_item_that_is_not_sound_is_bad_content() -> None:
    for content_type in ("text/json", MSGPACK):
        made = Message(b"\xc1", {**encode(1, content_type).header})
        with pytest.raises(BadContent):
            decode_item(int, made)


def test_a_type_that_no_item_can_have_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="item of 'rows' cannot be checked"):
        ItemType(int | list[int] | tuple[int], "item of 'rows'")

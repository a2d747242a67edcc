"""What a handler raises or returns, and what its caller and the log see of it."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pytest

import letterhead
from letterhead import App, Forbidden, Internal, Limits, Message, Refused, TooLarge
from tests.app.calling import client_of, client_to, outcome, served
from tests.leaks import run

WAYS = ("loop", "inline", "thread")


def entered(app: App, name: str, function: Any) -> None:
    """The function under `name-loop`, `name-inline` and `name-thread`."""

    async def on_loop() -> Any:
        return function()

    app.action(name=f"{name}-loop")(on_loop)
    app.action(name=f"{name}-inline", run="inline")(function)
    app.action(name=f"{name}-thread", run="thread")(function)


def raising(error: Exception) -> App:
    app = App()

    def fail() -> None:
        raise error

    entered(app, "fail", fail)
    return app


@dataclass
class Float:
    """Holds one."""

    value: float


@pytest.mark.smoke
def test_a_refusal_reaches_the_caller_with_code_and_facts() -> None:
    app = raising(Refused("not-found", "no such order", order=17, near=[{"id": 16}], why=None))

    async def main() -> None:
        async with client_of(app) as client:
            for way in WAYS * 2:
                with pytest.raises(Refused, match="no such order") as caught:
                    await client.call(f"fail-{way}")
                assert type(caught.value) is Refused
                assert caught.value.code == "not-found"
                assert caught.value.facts == {"order": 17, "near": [{"id": 16}], "why": None}
                assert caught.value.order == 17

    run(main())


def test_a_refusal_is_nothing_to_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with client_of(raising(Forbidden("not you"))) as client:
            for way in WAYS:
                with pytest.raises(Forbidden, match="not you"):
                    await client.call(f"fail-{way}")

    run(main())
    assert not caplog.records


def test_facts_that_have_no_json_form_are_left_out_and_the_refusal_told_all_the_same() -> None:
    async def main() -> None:
        for fact in (object(), float("nan"), b"\xff", "\ud800", {1, 2}):
            async with client_of(raising(Refused("odd", "with an odd fact", fact=fact))) as client:
                with pytest.raises(Refused, match="with an odd fact") as caught:
                    await client.call("fail-loop")
                assert caught.value.code == "odd"

    run(main())


def test_a_refusal_above_the_limit_is_shortened_not_lost() -> None:
    app = raising(Refused("long", "x" * (5 << 20), data="y" * (5 << 20)))

    async def main() -> None:
        async with client_of(app) as client:
            with pytest.raises(Refused) as caught:
                await client.call("fail-loop")
            assert caught.value.code == "long"
            assert len(caught.value.message) <= 1000

    run(main())


@pytest.mark.parametrize("way", WAYS)
def test_any_other_exception_is_internal_and_logged_once_with_its_traceback(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with client_of(raising(KeyError("/secret/path"))) as client:
            for _ in range(2):
                with pytest.raises(Internal) as caught:
                    await client.call(f"fail-{way}")
                assert "secret" not in str(caught.value) + str(caught.value.facts)

    run(main())
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert (record.name, record.levelno) == ("letterhead.app", logging.ERROR)
        assert f"fail-{way}" in record.getMessage()
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], KeyError)
        assert "test_failures.py" in (record.exc_text or caplog.text)


def test_exceptions_of_every_shape_are_internal() -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise ValueError

    errors = [
        ExceptionGroup("several", [ValueError(), KeyError()]),
        StopIteration(5),
        TimeoutError("mine"),
        RecursionError(),
        ConnectionResetError(),
        letterhead.ConnectionLost("of a call that it made"),
        letterhead.UsageError("its own mistake"),
        Unprintable(),
    ]

    async def main() -> None:
        for error in errors:
            async with client_of(raising(error)) as client:
                for way in WAYS:
                    assert await outcome(client, f"fail-{way}") == ("internal", None), (error.__class__, way)
                assert await client.call("letterhead.ping", 1) == 1

    run(main())


UNSENDABLE: dict[str, Any] = {
    "nan": float("nan"),
    "nested infinity": {"a": [1, {"b": float("-inf")}]},
    "nan in a dataclass": Float(float("nan")),
    "surrogate": "\ud800",
    "no JSON form": object(),
    "a set of odd things": {object()},
    "message: header too long": Message(b"", {"x": "y" * 17_000}),
    "message: no JSON form": Message(b"", {"x": object()}),
    "message: too deep": Message(b"", {"x": [[[[[[[[[[1]]]]]]]]]]}),
    "message: too many fields": Message(b"", {f"x{n}": n for n in range(70)}),
    "message: type is no string": Message(b"", {"content-type": 5}),
    "message: type is no type": Message(b"", {"content-type": "nonsense"}),
    "message: no such byte order": Message(b"", {"byteorder": "middle"}),
}
TOO_LARGE: dict[str, tuple[Any, int, int]] = {
    "JSON": ("x" * (4 << 20), (4 << 20) + 2, 4 << 20),
    "bytes": (bytes((16 << 20) + 1), (16 << 20) + 1, 16 << 20),
    "message": (Message(bytes((16 << 20) + 1)), (16 << 20) + 1, 16 << 20),
    "message of JSON": (Message(b" " * (4 << 20) + b"1", {"content-type": "Text/JSON"}), (4 << 20) + 1, 4 << 20),
}
"""Results, their sizes, and the limits that they pass."""


@pytest.mark.parametrize("what", UNSENDABLE)
def test_a_result_that_cannot_be_sent_is_internal_and_said_in_the_log(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    entered(app, "give", lambda: UNSENDABLE[what])

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            for way in WAYS:
                assert await outcome(client, f"give-{way}") == ("internal", None)
            assert await client.call("letterhead.ping", 1) == 1
            assert server.shared.counters.accepted == 1, "the connection was not harmed"
            assert server.shared.counters.open_now == 0

    run(main())
    assert len(caplog.records) == len(WAYS)
    assert all("failed" in record.getMessage() for record in caplog.records)
    assert "cannot be sent" in caplog.text


@pytest.mark.parametrize("what", TOO_LARGE)
def test_of_a_result_that_is_too_large_its_caller_is_told_how_large_and_the_log_has_it(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    value, size, limit = TOO_LARGE[what]
    app = App()
    entered(app, "give", lambda: value)

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            for way in WAYS:
                with pytest.raises(TooLarge, match=f"the result is too large: {size} bytes") as caught:
                    await client.call(f"give-{way}")
                assert caught.value.facts == {"size": size, "limit": limit}
            assert await client.call("letterhead.ping", 1) == 1
            assert server.shared.counters.accepted == 1, "the connection was not harmed"

    run(main())
    assert [vars(record)["event"] for record in caplog.records] == ["handler-failed"] * len(WAYS)


def test_a_result_that_is_too_large_only_in_classic_form_is_told_so_there() -> None:
    app = App(limits=Limits(json_bytes=2000))
    entered(app, "text", lambda: "x" * 1990)

    async def main() -> None:
        async with client_of(app) as client:
            with pytest.raises(TooLarge) as caught:  # asked in classic form: a connection's first request is
                await client.call("text-loop")
            assert caught.value.facts == {"size": 1992 + len('{"result":}'), "limit": 2000}
            assert await client.call("text-loop") == "x" * 1990

    run(main())


def test_a_message_as_result_is_sent_as_it_is() -> None:
    app = App()
    given = Message(b"\x01\x02", {"content-type": "binary/ndarray", "dtype": "int8", "shape": [2], "x-note": "🐶"})
    entered(app, "give", lambda: given)

    async def main() -> None:
        async with client_of(app) as client:
            for way in WAYS:
                reply = await client.send(Message(b"{}", {"action": f"give-{way}", "content-type": "text/json"}))
                assert bytes(reply.content) == b"\x01\x02"
                assert {name: reply.header[name] for name in given.header} == given.header

    run(main())


def test_fields_of_the_conversation_in_a_message_do_not_disturb_it() -> None:
    app = App()
    fields = {"id": 99, "status": "internal", "more": True, "max-open": 1, "closing": 0, "credit": 5, "cancel": True}
    entered(app, "give", lambda: Message(b"5", {"content-type": "text/json", "compression": "zstd", **fields}))

    async def main() -> None:
        async with client_of(app) as client:
            for way in WAYS:
                assert await client.call(f"give-{way}") == 5

    run(main())


def test_a_failing_handler_leaves_the_others_alone() -> None:
    app = raising(ValueError("no"))

    @app.action
    async def echo(value: int) -> int:
        await asyncio.sleep(0)
        return value

    async def main() -> None:
        async with client_of(app) as client:
            calls = [outcome(client, f"fail-{WAYS[n % 3]}") if n % 2 else client.call("echo", n) for n in range(60)]
            results = await asyncio.gather(*calls)
            assert results == [("internal", None) if n % 2 else n for n in range(60)]

    run(main())


def test_what_the_limits_allow_is_sent() -> None:
    app = App(limits=Limits(json_bytes=2000, content_bytes=5000))
    entered(app, "text", lambda: "x" * 1980)
    entered(app, "data", lambda: bytes(5000))

    async def main() -> None:
        async with client_of(app) as client:
            for way in WAYS:
                assert await client.call(f"text-{way}") == "x" * 1980
                assert await client.call(f"data-{way}") == bytes(5000)

    run(main())


def test_counters_tell_what_was_served_and_what_failed_by_code() -> None:
    async def main() -> None:
        async with served(raising(Refused("not-found", "no"))) as server, client_to(server) as client:
            await client.call("letterhead.ping")
            for _ in range(3):
                await outcome(client, "fail-loop")
            await outcome(client, "dance")
            health = await client.call("letterhead.health")
            assert health["requests"]["failed"] == {"not-found": 3, "unknown-action": 1}
            assert health["requests"]["served"] == 1

    run(main())

"""A handler that holds the event loop is named in the log; what could hold it without being one is done in a thread."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from letterhead import App, BadContent, Context, InvalidArgument, Message
from letterhead.app.actions import Proceed
from letterhead.app.arguments import Parameters
from letterhead.app.steps import BLOCKING_SECONDS, in_steps
from letterhead.content.typed import TypeReader
from letterhead.protocol.requests import Request
from letterhead.testing.fake_clock import fixed_clock
from tests.app.calling import client_of, client_to, outcome, send_json, served
from tests.app.wire import wire
from tests.conftest import Run
from tests.wire.frames import json_frame

LONG = BLOCKING_SECONDS * 1.5


def said(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """The actions that were named, in order."""
    found = [vars(record) for record in caplog.records if vars(record).get("event") == "loop-blocked"]
    assert all(record["seconds"] >= BLOCKING_SECONDS and record["levelname"] == "WARNING" for record in found)
    return [record.get("action") for record in found]


async def blocks_the_loop(call: Context, proceed: Proceed) -> Any:
    """A hook that does what none should."""
    time.sleep(LONG)  # noqa: ASYNC251  # that is what it is
    return await proceed()


def test_what_to_do_is_said_of_what_can_have_blocked_the_loop(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.action
    async def on_the_loop() -> None:
        return None

    @app.action
    def in_a_thread() -> None:
        return None

    app.around(blocks_the_loop)

    async def main() -> None:
        async with client_of(app) as client:
            await client.call("on_the_loop")
            await client.call("in_a_thread")

    run(main())
    assert said(caplog) == ["on_the_loop", "in_a_thread"]
    first, second = (record.getMessage() for record in caplog.records if vars(record).get("event") == "loop-blocked")
    assert "let a plain function do that" in first
    assert "a hook did that" in second


@pytest.mark.parametrize("hooked", [False, True], ids=["plain", "hooked"])
def test_a_handler_that_blocks_the_loop_is_named(run: Run, hooked: bool, caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    @app.action
    async def blocks(when: str) -> None:
        if when == "later":
            await asyncio.sleep(0)
        time.sleep(LONG)  # noqa: ASYNC251  # that is what it is

    @app.action(name="blocks later")
    async def blocks_later() -> None:
        await asyncio.sleep(0)
        time.sleep(LONG)  # noqa: ASYNC251  # that is what it is

    @app.action(run="inline")
    def inline() -> None:
        time.sleep(LONG)

    @app.action
    async def items() -> AsyncIterator[int]:
        yield 1
        time.sleep(LONG)  # noqa: ASYNC251  # that is what it is
        yield 2

    @app.action
    def thread() -> None:
        time.sleep(LONG)

    @app.action
    async def waits() -> None:
        await asyncio.sleep(LONG)

    if hooked:

        @app.around
        async def through(call: Context, proceed: Proceed) -> Any:
            return await proceed()

    async def main() -> None:
        async with client_of(app) as client:
            await client.call("blocks", when="now")
            await client.call("blocks later")
            await client.call("inline")
            assert [item async for item in client.stream("items")] == [1, 2]
            await client.call("thread")
            await client.call("waits")

    run(main())
    named = said(caplog)
    assert [name for name in named if name not in ("thread", "waits")] == ["blocks", "blocks later", "inline", "items"]


def test_it_is_named_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    clock = fixed_clock()

    @app.action
    async def blocks() -> None:
        time.sleep(LONG)  # noqa: ASYNC251  # that is what it is

    async def main() -> None:
        async with client_of(app) as client:
            for _ in range(2):
                await client.call("blocks")
                await client.call("blocks")
                await clock.advance(61)

    clock.run(main())
    assert said(caplog).count("blocks") == 2


def test_names_that_clients_made_up_are_not_remembered(caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    app.around(blocks_the_loop)

    async def main() -> None:
        async with client_of(app) as client:
            for name in ("no-such", "nor-this"):
                assert (await outcome(client, name))[0] == "unknown-action"

    caplog.set_level("WARNING")
    asyncio.run(main())
    assert said(caplog) == [None]


def test_what_a_coroutine_is_sent_and_thrown_passes_through_its_steps() -> None:
    seen: list[Any] = []

    async def inner() -> str:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            seen.append("cancelled")
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append("late")
        return "done"

    async def outer() -> str:
        return await in_steps(inner(), seen.append)

    async def main() -> None:
        task = asyncio.ensure_future(outer())
        await asyncio.sleep(0)
        task.cancel()
        assert await task == "done"

    asyncio.run(main())
    assert [each for each in seen if isinstance(each, str)] == ["cancelled", "late"]


# -- large content ---------------------------------------------------------------------------------------------------


class Decoding:
    """Where content was decoded: in the thread of the event loop, or in another."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.threads: list[bool] = []
        here = threading.get_ident()
        decode = TypeReader.read

        def noted(reader: TypeReader, content: bytes, shape: Any, max_depth: int) -> Any:
            self.threads.append(threading.get_ident() != here)
            return decode(reader, content, shape, max_depth)

        patch.setattr(TypeReader, "read", noted)


def application() -> App:
    app = App()

    @app.action
    async def on_loop(value: list[Any]) -> int:
        return len(value)

    @app.action(run="inline")
    def inline(value: list[Any]) -> int:
        return len(value)

    @app.action
    async def sizes(rows: AsyncIterator[list[Any]]) -> list[int]:
        return [len(row) async for row in rows]

    @app.action
    def in_a_thread(rows: Iterator[list[Any]]) -> list[int]:
        return [len(row) for row in rows]

    return app


LARGE: list[Any] = [[]] * 100_000
SMALL: list[Any] = [[]] * 10


@pytest.mark.parametrize("action", ["on_loop", "inline", "letterhead.ping"])
def test_large_arguments_are_decoded_in_a_thread(run: Run, action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with client_of(application()) as client:
            await client.call("letterhead.ping")
            decoding = Decoding(monkeypatch)
            for value in (SMALL, LARGE):
                content = msgspec.msgpack.encode(value)
                header = {"action": action, "content-type": "application/msgpack"}
                reply = await client.send(Message(content, header))
                assert reply.header.get("status") is None
            assert decoding.threads == [False, True]

    run(main())


def test_large_items_are_decoded_in_a_thread(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with client_of(application()) as client:
            await client.call("letterhead.ping")
            decoding = Decoding(monkeypatch)
            assert await client.call("sizes", iter([SMALL, LARGE, SMALL])) == [10, 100_000, 10]
            assert decoding.threads == [False, True, False]
            assert await client.call("in_a_thread", iter([SMALL, LARGE])) == [10, 100_000]

    run(main())


def test_large_values_in_classic_form_are_decoded_in_a_thread(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an action's arguments, and of what a function of the application's own gets for classic connections."""
    app = application()
    threads: list[bool] = []
    here = threading.get_ident()
    bind, value = Parameters.bind, vars(Request)["value"].fget

    def noted_bind(*arguments: Any) -> Any:
        threads.append(threading.get_ident() != here)
        return bind(*arguments)

    def noted_value(request: Request) -> Any:
        threads.append(threading.get_ident() != here)
        return value(request)

    @app.classic("inline")
    async def classic_form(value: list[Any]) -> int:
        return len(value)

    monkeypatch.setattr(Parameters, "bind", noted_bind)
    monkeypatch.setattr(Request, "value", property(noted_value))

    async def main() -> None:
        async with wire(app) as client:
            for action in ("on_loop", "inline"):
                for values in (SMALL, LARGE):
                    client.send(json_frame({"action": action, "value": values}))
                    assert (await client.frame()).value == {"result": len(values)}

    run(main())
    assert threads == [False, True] * 2


@pytest.mark.parametrize("action", ["on_loop", "sizes"])
def test_large_content_that_does_not_fit_is_refused_as_small_content_is(run: Run, action: str) -> None:
    async def main() -> None:
        async with served(application()) as server, client_to(server) as client:
            await client.call("letterhead.ping")
            if action == "sizes":
                assert await outcome(client, action, iter([LARGE, "x" * 100_000])) == ("invalid-argument", "rows")
            else:
                with pytest.raises(InvalidArgument, match="argument 'value'"):
                    await client.call(action, value="x" * 100_000)
                with pytest.raises(BadContent):
                    await send_json(client, action, b"[" * 100_000)
            assert server.shared.counters.open_now == 0

    run(main())

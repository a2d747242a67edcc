"""Start and stop hooks, shared state, and hooks around every call."""

import asyncio
import functools
from typing import Any

import pytest

from letterhead import (
    App,
    Context,
    Forbidden,
    Internal,
    InvalidArgument,
    Message,
    Refused,
    UnknownAction,
    UsageError,
    current,
    decode,
)
from letterhead.app.actions import Proceed
from letterhead.server.server import Server
from tests.app.calling import client_of, client_to, served
from tests.leaks import run, until


def test_hooks_run_in_order_and_backwards_around_the_server() -> None:
    app = App()
    order: list[str] = []

    @app.on_start
    async def open_first() -> None:
        await asyncio.sleep(0)
        app.state.value = 7
        order.append("start 1")

    @app.on_start
    def open_second() -> None:
        order.append(f"start 2 sees {app.state.value}")

    @app.on_stop
    def close_first() -> None:
        order.append("stop 1")

    @app.on_stop
    async def close_second() -> None:
        await asyncio.sleep(0)
        order.append("stop 2")

    @app.action
    async def value() -> int:
        order.append("called")
        return int(app.state.value)

    async def main() -> None:
        async with client_of(app) as client:
            assert await client.call("value") == 7

    run(main())
    assert order == ["start 1", "start 2 sees 7", "called", "stop 2", "stop 1"]


def test_stop_hooks_run_after_the_last_handler_has_ended() -> None:
    app = App()
    order: list[str] = []
    gate = asyncio.Event()

    @app.on_stop
    def stop() -> None:
        order.append("stopped")

    @app.action
    async def work() -> str:
        order.append("begun")
        await gate.wait()
        order.append("done")
        return "answer"

    async def main() -> None:
        server = served(app)
        await server.start()
        async with client_to(server) as client:
            call = asyncio.ensure_future(client.call("work"))
            await until(lambda: order)
            closing = asyncio.ensure_future(server.close())
            await asyncio.sleep(0)
            gate.set()
            assert await call == "answer"
            await closing

    run(main())
    assert order == ["begun", "done", "stopped"]


def test_a_start_hook_that_fails_fails_the_start_and_nothing_listens() -> None:
    app = App()

    @app.on_start
    def fail() -> None:
        raise RuntimeError("no database")

    async def main() -> None:
        server = Server(app, ["127.0.0.1:0"])
        with pytest.raises(RuntimeError, match="no database"):
            await server.start()
        with pytest.raises(ConnectionRefusedError):
            host, port = server.addresses[0].split(":")
            await asyncio.open_connection(host, int(port))

    run(main())


def hooked(*hooks: Any) -> App:
    app = App()
    for hook in hooks:
        app.around(hook)

    @app.action
    async def double(number: int) -> int:
        return number * 2

    @app.action(name="double-thread")
    def double_in_thread(number: int) -> int:
        return number * 2

    @app.action(name="double-inline", run="inline")
    def double_inline(number: int) -> int:
        return number * 2

    @app.action
    async def fail() -> None:
        raise Refused("no", "refused inside")

    @app.binary
    def binary(message: Any) -> bytes:
        return b"binary"

    return app


ACTIONS = ("double", "double-thread", "double-inline")


def test_hooks_wrap_every_call_the_first_one_outermost() -> None:
    order: list[str] = []

    async def outer(call: Context, proceed: Proceed) -> Any:
        order.append(f"outer {call.action}")
        try:
            return await proceed()
        finally:
            order.append("outer done")

    async def inner(call: Context, proceed: Proceed) -> Any:
        order.append("inner")
        assert call is current()
        result = await proceed()
        order.append(f"inner sees {result}")
        return result + 1

    async def main() -> None:
        async with client_of(hooked(outer, inner)) as client:
            for action in ACTIONS:
                order.clear()
                assert await client.call(action, number=4) == 9
                assert order == [f"outer {action}", "inner", "inner sees 8", "outer done"]

    run(main())


def test_a_hook_may_refuse_and_then_nothing_runs() -> None:
    ran: list[str] = []

    async def guard(call: Context, proceed: Proceed) -> Any:
        if call.headers.get("x-user") != "ada":
            raise Forbidden("not you", user=call.headers.get("x-user"))
        return await proceed()

    app = hooked(guard)

    @app.action
    async def secret() -> str:
        ran.append("ran")
        return "secret"

    async def main() -> None:
        async with client_of(app) as client:
            for action in ("secret", "letterhead.describe", "no such action"):
                with pytest.raises(Forbidden):
                    await client.call(action)
            message = {"action": "secret", "content-type": "text/json"}

            reply = await client.send(Message(b"{}", {**message, "x-user": "ada"}))
            assert decode(reply) == "secret"

    run(main())
    assert ran == ["ran"]


def test_a_hook_sees_what_the_handler_raised() -> None:
    seen: list[str] = []

    async def watch(call: Context, proceed: Proceed) -> Any:
        try:
            return await proceed()
        except Exception as error:
            seen.append(f"{call.action}: {type(error).__name__}")
            raise

    async def main() -> None:
        async with client_of(hooked(watch)) as client:
            with pytest.raises(Refused, match="refused inside"):
                await client.call("fail")
            with pytest.raises(InvalidArgument):
                await client.call("double", number="x")
            with pytest.raises(UnknownAction):
                await client.call("dance")

    run(main())
    assert seen == ["fail: Refused", "double: InvalidArgument", "dance: UnknownAction"]


def test_a_hook_may_answer_by_itself_or_turn_an_error_into_an_answer() -> None:
    async def instead(call: Context, proceed: Proceed) -> Any:
        try:
            return await proceed()
        except Refused as error:
            return {"instead-of": error.code}

    async def main() -> None:
        async with client_of(hooked(instead)) as client:
            assert await client.call("fail") == {"instead-of": "no"}
            assert await client.call("double", number=1) == 2

    run(main())


def test_a_hook_that_fails_is_internal_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(call: Context, proceed: Proceed) -> Any:
        await proceed()
        raise ZeroDivisionError

    async def main() -> None:
        async with client_of(hooked(broken)) as client:
            for action in ACTIONS:
                with pytest.raises(Internal):
                    await client.call(action, number=1)

    run(main())
    assert len(caplog.records) == len(ACTIONS)
    assert "ZeroDivisionError" in caplog.text


def test_a_hook_may_bound_the_time_of_what_it_wraps() -> None:
    ended: list[str] = []

    async def hasty(call: Context, proceed: Proceed) -> Any:
        try:
            async with asyncio.timeout(0.05):
                return await proceed()
        except TimeoutError:
            raise Refused("slow", "too slow") from None

    app = hooked(hasty)

    @app.action
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async def main() -> None:
        async with client_of(app) as client:
            for _ in range(3):
                with pytest.raises(Refused, match="too slow"):
                    await client.call("wait")
                assert await client.call("double", number=1) == 2

    run(main())
    assert ended == ["ended"] * 3


def test_binary_requests_pass_the_hooks_too() -> None:
    seen: list[Any] = []

    async def watch(call: Context, proceed: Proceed) -> Any:
        seen.append((call.action, call.content_type))
        return await proceed()

    async def main() -> None:

        async with client_of(hooked(watch)) as client:
            reply = await client.send(Message(b"abc", {"content-type": "binary/mine"}))
            assert bytes(reply.content) == b"binary"

    run(main())
    assert (None, "binary/mine") in seen


def test_an_around_hook_that_is_not_async_is_refused() -> None:
    def plain(call: Context, proceed: Proceed) -> Any:
        return proceed()

    app = App()
    with pytest.raises(UsageError, match="an around hook is async: write 'async def plain'"):
        app.around(plain)
    assert app.around_hooks == []


def test_an_around_hook_may_be_decorated_or_an_object() -> None:
    async def hook(call: Context, proceed: Proceed) -> Any:
        return await proceed()

    @functools.wraps(hook)
    def decorated(call: Context, proceed: Proceed) -> Any:
        return hook(call, proceed)

    class Hook:
        async def __call__(self, call: Context, proceed: Proceed) -> Any:
            return await proceed()

    async def main() -> None:
        async with client_of(hooked(decorated, Hook(), functools.partial(hook))) as client:
            assert await client.call("double", number=4) == 8

    run(main())

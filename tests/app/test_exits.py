"""Handlers that end more than themselves: `sys.exit()` and its like are the end of one request only."""

import asyncio
import functools
import sys
import threading
from typing import Any

import pytest

from letterhead import App, AsyncClient, Client, DeadlineExceeded, Forbidden, Internal, Message, UsageError
from letterhead.server.server import Server
from tests import leaks
from tests.app.calling import client_of
from tests.conftest import Run


class Ends(BaseException):
    """What no `except Exception` catches."""


def _leave(how: str) -> None:
    if how == "exit":
        sys.exit(3)
    raise Ends


@pytest.mark.parametrize("how", ["exit", "other"])
def test_a_handler_that_exits_ends_its_own_request_only(run: Run, how: str, caplog: Any) -> None:
    app = App()

    @app.action
    async def leave(how: str) -> None:
        await asyncio.sleep(0)
        _leave(how)

    @app.action
    async def leave_at_once(how: str) -> None:
        _leave(how)

    @app.action(run="inline")
    def leave_inline(how: str) -> None:
        _leave(how)

    @app.action
    def leave_in_a_thread(how: str) -> None:
        _leave(how)

    @app.action
    async def wait() -> str:
        await asyncio.sleep(0.05)
        return "waited"

    async def main() -> None:
        async with client_of(app) as client:
            for _ in range(3):  # tasks are new at first, then used again
                other = asyncio.ensure_future(client.call("wait"))
                for name in ("leave", "leave_at_once", "leave_inline", "leave_in_a_thread"):
                    with pytest.raises(Internal):
                        await client.call(name, how=how)
                assert await other == "waited"

    run(main())
    assert len([record for record in caplog.records if record.name == "letterhead.app"]) == 12


def test_a_message_whose_content_is_no_bytes_is_an_internal_error(run: Run) -> None:
    app = App()

    @app.action
    async def wrong() -> Message:
        reply = Message(b"")
        reply.content = "text"  # type: ignore[assignment]  # as a program without type checks could
        return reply

    async def main() -> None:
        async with client_of(app) as client:
            for _ in range(3):
                with pytest.raises(Internal):
                    await client.call("wrong")

    run(main())


def test_a_message_that_cannot_be_sent_harms_no_other_call(run: Run) -> None:
    app = App()

    @app.action
    async def wait() -> str:
        await asyncio.sleep(0.1)
        return "waited"

    async def main() -> None:
        async with Server(app, ["127.0.0.1:0"]) as server:
            address = server.addresses[0]

            def blocking() -> None:
                with Client(address) as client:
                    client.call("letterhead.ping")
                    got: list[str] = []
                    other = threading.Thread(target=lambda: got.append(client.call("wait")))
                    other.start()
                    unsound = Message(b"")
                    unsound.content = "text"  # type: ignore[assignment]  # as a program without type checks could
                    for wrong in ("text", unsound):
                        with pytest.raises(UsageError):
                            client.send(wrong)  # type: ignore[arg-type]
                    other.join()
                    assert got == ["waited"]

            await asyncio.to_thread(blocking)
            async with AsyncClient(address) as client:
                other = asyncio.ensure_future(client.call("wait"))
                with pytest.raises(UsageError):
                    await client.send("text")  # type: ignore[arg-type]
                assert await other == "waited"

    run(main())


def test_a_blocking_call_on_the_loop_that_serves_is_refused(run: Run) -> None:
    app = App()

    async def main() -> None:
        async with Server(app, ["127.0.0.1:0"]) as server:
            with Client(server.addresses[0]) as client, pytest.raises(UsageError, match="AsyncClient"):
                client.call("letterhead.ping")

    leaks.run(main())


def test_a_decorated_async_handler_runs_as_what_it_is(run: Run) -> None:
    app = App()

    def logged(function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **arguments: Any) -> Any:
            return function(*args, **arguments)

        return call

    @app.action
    @logged
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    async def main() -> None:
        async with client_of(app) as client:
            assert [await client.call("double", n) for n in range(3)] == [0, 2, 4]

    run(main())


def test_a_refusal_s_message_may_be_another_error(run: Run) -> None:
    app = App()

    @app.action
    async def forbid() -> None:
        raise Forbidden(PermissionError("not yours"))  # type: ignore[call-overload]  # as a program without type checks

    async def main() -> None:
        async with client_of(app) as client:
            for _ in range(3):
                with pytest.raises(Forbidden, match="not yours"):
                    await client.call("forbid")

    run(main())


def test_many_timeouts_of_one_client_harm_no_other_call(run: Run) -> None:
    """The server knows the deadline: it is not told once more, by control frames that it counts."""
    app = App()

    @app.action
    async def wait(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "waited"

    async def main() -> None:
        async with client_of(app) as client:
            await client.call("letterhead.ping")
            other = asyncio.ensure_future(client.call("wait", 0.5))
            for _ in range(3):
                calls = [client.call("wait", 30.0, timeout=0.02) for _ in range(100)]
                results = await asyncio.gather(*calls, return_exceptions=True)
                assert {type(result) for result in results} == {DeadlineExceeded}
            assert await other == "waited"

    run(main())

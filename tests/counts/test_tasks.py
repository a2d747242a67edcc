"""How many tasks a call costs the server: none where its handler does not wait, and a kept one where it does."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import letterhead
from letterhead.server.app import loop_factory


def tasks_made(action: str, calls: Callable[[letterhead.AsyncClient, str], Coroutine[Any, Any, None]]) -> int:
    """Tasks made while calls run, after a first one has made what is kept."""
    app = letterhead.App()

    @app.action
    async def at_once(value: int) -> int:
        assert asyncio.current_task() is not None
        return value

    @app.action
    async def after_a_wait(value: int) -> int:
        await asyncio.sleep(0)
        return value

    async def main() -> int:
        async with app.serve("127.0.0.1:0") as server, letterhead.AsyncClient(server.addresses[0]) as client:
            await client.call(action, value=0)
            made = 0

            def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Task[Any]":
                nonlocal made
                made += 1
                return asyncio.Task(coroutine, loop=loop, **options)

            asyncio.get_running_loop().set_task_factory(factory)
            await calls(client, action)
            asyncio.get_running_loop().set_task_factory(None)
            return made

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main())


async def _one_after_the_other(client: letterhead.AsyncClient, action: str) -> None:
    for number in range(200):
        assert await client.call(action, value=number) == number


def test_a_handler_that_does_not_wait_makes_no_task() -> None:
    assert tasks_made("at_once", _one_after_the_other) == 0


def test_handlers_that_wait_share_a_kept_task_one_after_the_other() -> None:
    assert tasks_made("after_a_wait", _one_after_the_other) == 0


def test_many_at_once_that_do_not_wait_make_no_task_of_the_servers() -> None:
    async def at_once(client: letterhead.AsyncClient, action: str) -> None:
        async with asyncio.TaskGroup() as group:  # 64 tasks of the caller's own
            for number in range(64):
                group.create_task(client.call(action, value=number))

    assert tasks_made("at_once", at_once) == 64

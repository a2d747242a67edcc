"""How many tasks a call costs the server: one of its own, whether its handler waits or not."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

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


async def _at_once(client: letterhead.AsyncClient, action: str) -> None:
    async with asyncio.TaskGroup() as group:  # 64 tasks of the caller's own
        for number in range(64):
            group.create_task(client.call(action, value=number))


@pytest.mark.parametrize("action", ["at_once", "after_a_wait"])
def test_a_call_makes_one_task(action: str) -> None:
    assert tasks_made(action, _one_after_the_other) == 200
    assert tasks_made(action, _at_once) == 64 + 64

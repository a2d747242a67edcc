"""Handlers in tasks that are used again."""

import asyncio
import gc
import weakref

import pytest

from letterhead import App, Refused
from letterhead.app.tasks import Tasks
from tests import leaks
from tests.app.wire import opening, wire
from tests.conftest import Run


def test_jobs_that_wait_for_a_turn_and_bring_more_are_all_done(run: Run) -> None:
    """A job that comes while another task's step is under way waits; so may those that it brings about."""

    async def main() -> None:
        done: list[str] = []

        async def work(job: str, _: asyncio.Task[None]) -> bool:
            done.append(job)
            if len(job) < 4:
                tasks.run(job + job[0])
            return True

        tasks = Tasks(asyncio.get_running_loop(), work)
        for name in "pqrs":
            tasks.run(name * 4)
        await leaks.until(lambda: len(done) == 4)
        await asyncio.sleep(0)
        for name in "abc":
            tasks.run(name)
        await leaks.until(lambda: len(done) == 16)
        assert sorted(done[4:]) == sorted(name * count for name in "abc" for count in range(1, 5))
        await tasks.close()

    run(main())


class Large:
    """Something that nobody should keep."""


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_handler_waited_for_and_held_is_not_kept_when_it_has_ended(run: Run, fails: bool) -> None:
    app = App()
    held: list[weakref.ref[Large]] = []

    @app.action
    async def wait(times: int) -> None:
        for _ in range(times):
            waiter = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(waiter.set_result, Large())
            large = await waiter
            held.append(weakref.ref(large))
        if fails:
            raise Refused("no", "not now")

    async def main() -> None:
        async with wire(app) as client:
            for id, times in enumerate((0, 1, 2), 1):  # the first time in a new task, then in one that was parked
                client.send(opening(id, "wait", times=times))
                await client.frame()
            await asyncio.sleep(0)
            assert [each() for each in held] == [None] * 3

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()

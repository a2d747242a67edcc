"""Handlers in tasks that are used again."""

import asyncio

from letterhead.app.tasks import Tasks
from tests import leaks
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

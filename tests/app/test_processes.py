"""`run="process"`: workers that can be killed one by one."""

import asyncio
import multiprocessing.resource_tracker
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from letterhead import App, AsyncClient, Cancelled, Context, DeadlineExceeded, Internal, Message, Refused, decode
from letterhead.app.actions import Proceed
from letterhead.server.server import Server
from tests import leaks
from tests.app import jobs
from tests.app.array_jobs import doubled
from tests.app.calling import client_of, client_to, served


@pytest.fixture(autouse=True, scope="module")
def resource_tracker() -> None:
    """Python's own helper process for spawned workers stays; it is nobody's leak."""
    multiprocessing.resource_tracker.ensure_running()


@pytest.fixture(autouse=True)
def no_child_left() -> Iterator[None]:
    """Every worker has ended."""
    yield
    assert multiprocessing.active_children() == []


def app_of(*handlers: Any, processes: int = 2) -> App:
    """An application whose actions run in workers."""
    app = App(processes=processes)
    for handler in handlers:
        app.action(run="process")(handler)
    return app


async def file_made(path: Path) -> None:
    """Wait for a worker to make a file: it has no other way to tell that it is at work."""
    async with asyncio.timeout(leaks.PATIENCE):
        while not path.exists():  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.005)


def is_gone(process: int) -> bool:
    """Whether a process has ended."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_an_array_goes_to_a_worker_and_back() -> None:
    async def main() -> None:
        async with client_of(app_of(doubled)) as client:
            assert (await client.call("doubled", np.arange(3.0))).tolist() == [0, 2, 4]

    leaks.run(main())


def test_what_goes_in_and_out_of_workers() -> None:
    app = app_of(
        jobs.add, jobs.refuse, jobs.fail, jobs.fail_strangely, jobs.give_unpicklable, jobs.pid, jobs.about_the_call,
        jobs.large, jobs.size,
    )  # fmt: skip

    async def main() -> None:
        async with client_of(app) as client:
            assert await client.call("add", first=2, second=3) == 5
            assert await client.call("pid") != os.getpid()
            for _ in range(2):
                with pytest.raises(Refused, match="no order 17") as caught:
                    await client.call("refuse", order=17)
                assert (caught.value.code, caught.value.facts) == ("not-found", {"order": 17})
            for action in ("fail", "fail_strangely", "give_unpicklable"):
                with pytest.raises(Internal) as failed:
                    await client.call(action)
                assert "secret" not in str(failed.value)
            header = {"action": "about_the_call", "content-type": "application/JSON; x=1", "x-note": "🐶"}
            told = await client.send(Message(b"{}", header), timeout=20.0)
            assert decode(told) == ["about_the_call", "memory", "application/json", "🐶", True, False]
            assert await client.call("large", count=3 << 20) == bytes(3 << 20)
            assert await client.call("size", bytes(3 << 20)) == 3 << 20
            assert await asyncio.gather(*(client.call("add", n) for n in range(20))) == list(range(1, 21))

    leaks.run(main())


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_a_worker_whose_call_is_given_up_is_killed_and_the_other_goes_on(how: str, tmp_path: Path) -> None:
    app = app_of(jobs.spin, jobs.wait_for, jobs.add)
    started, gate = tmp_path / "started", tmp_path / "gate"

    async def main() -> None:
        async with client_of(app) as client:
            other = asyncio.ensure_future(client.call("wait_for", path=str(gate)))
            spinning = asyncio.ensure_future(client.call("spin", started=str(started), timeout=None))
            await file_made(started)
            worker = int(started.read_text())
            if how == "timeout":
                late = client.call("spin", started=str(tmp_path / "late"), timeout=0.2)
                spinning.cancel()
                with pytest.raises(DeadlineExceeded):
                    await late
            else:
                spinning.cancel()
            await asyncio.wait([spinning])
            await leaks.until(lambda: is_gone(worker))
            gate.touch()
            assert await other != worker, "the other worker was not harmed"
            assert await client.call("add", 1) == 2, "the pool goes on"

    leaks.run(main())


def test_a_worker_that_dies_is_internal_and_the_pool_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(jobs.die, jobs.die_of_signal, jobs.add, jobs.wait_for)
    gate = tmp_path / "gate"

    async def main() -> None:
        async with client_of(app) as client:
            other = asyncio.ensure_future(client.call("wait_for", path=str(gate)))
            for action in ("die", "die_of_signal"):
                with pytest.raises(Internal):
                    await client.call(action)
            gate.touch()
            assert isinstance(await other, int)
            assert await client.call("add", 1) == 2

    leaks.run(main())
    assert [(record.getMessage(), record.exc_info) for record in caplog.records] == [
        ("die failed for memory: its worker process died (exit status 3)", None),
        ("die_of_signal failed for memory: its worker process died (killed by SIGKILL)", None),
    ]


def test_a_worker_that_is_killed_while_it_rests_is_replaced() -> None:
    app = app_of(jobs.pid, jobs.add, processes=1)

    async def main() -> None:
        async with client_of(app) as client:
            worker = await client.call("pid")
            os.kill(worker, signal.SIGKILL)
            await leaks.until(lambda: is_gone(worker))
            # A job may have gone to the dead one; those after it must not.
            await asyncio.gather(client.call("add", 1), return_exceptions=True)
            assert await client.call("add", 1) == 2
            assert await client.call("pid") != worker

    leaks.run(main())


def test_a_job_that_waits_for_a_worker_is_cancelled_without_running(tmp_path: Path) -> None:
    app = app_of(jobs.wait_for, jobs.spin, processes=1)
    begun, gate, never = tmp_path / "begun", tmp_path / "gate", tmp_path / "never"

    async def main() -> None:
        async with client_of(app) as client:
            first = asyncio.ensure_future(client.call("wait_for", path=str(gate), started=str(begun)))
            await file_made(begun)
            with pytest.raises(DeadlineExceeded):
                await client.call("spin", started=str(never), timeout=0.1)
            gate.touch()
            assert isinstance(await first, int)

    leaks.run(main())
    assert not never.exists()


def test_a_client_with_many_jobs_stands_behind_one_with_few(tmp_path: Path) -> None:
    app = app_of(jobs.wait_for, jobs.note, processes=1)
    noted = tmp_path / "noted"

    def note(client: AsyncClient, name: str) -> "asyncio.Task[Any]":
        return asyncio.create_task(client.call("note", path=str(noted), name=name))

    async def main() -> None:
        server = served(app)
        async with server, client_to(server) as greedy, client_to(server) as modest:
            gate = asyncio.create_task(
                greedy.call("wait_for", path=str(tmp_path / "go"), started=str(tmp_path / "started"))
            )
            await file_made(tmp_path / "started")
            many = [note(greedy, f"many {number}") for number in range(6)]
            await leaks.until(lambda: server.shared.counters.open_now == 7)
            few = note(modest, "few")
            await leaks.until(lambda: server.shared.counters.open_now == 8)
            await asyncio.sleep(0.05)  # all wait for the worker by now
            (tmp_path / "go").touch()
            await asyncio.gather(gate, few, *many)

    leaks.run(main())
    done = noted.read_text().splitlines()  # as the worker did it; answers may be read in any order
    assert len(done) == 7
    assert done.index("few") <= 1, done


def test_a_hook_that_waits_no_longer_ends_the_worker(tmp_path: Path) -> None:
    app = app_of(jobs.spin, processes=1)
    started = tmp_path / "started"

    @app.around
    async def hasty(call: Context, proceed: Proceed) -> Any:
        proceeding = asyncio.ensure_future(proceed())
        await file_made(started)
        proceeding.cancel()
        await asyncio.wait([proceeding])
        raise Refused("hasty", "not that long")

    async def main() -> None:
        async with client_of(app) as client:
            with pytest.raises(Refused, match="not that long"):
                await client.call("spin", started=str(started))
            await leaks.until(lambda: is_gone(int(started.read_text())))

    leaks.run(main())


def test_an_error_that_a_worker_got_from_another_server_is_no_answer_of_its_own(short_path: Path) -> None:
    app = app_of(jobs.call_back, processes=1)

    async def main() -> None:
        async with Server(App(), [f"unix:{short_path / 's'}"]) as other, client_of(app) as client:
            with pytest.raises(Internal):
                await client.call("call_back", address=other.addresses[0])

    leaks.run(main())


def test_closing_the_server_kills_what_still_runs(tmp_path: Path) -> None:
    app = app_of(jobs.spin, processes=1)
    started = tmp_path / "started"

    async def main() -> None:
        server = served(app)
        await server.start()
        async with client_to(server) as client:
            call = asyncio.ensure_future(client.call("spin", started=str(started)))
            await file_made(started)
            await server.close(timeout=0.0)
            assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], Cancelled)
        assert is_gone(int(started.read_text()))

    leaks.run(main())


def test_a_worker_that_exits_ends_its_own_request_only() -> None:
    async def main() -> None:
        async with client_of(app_of(jobs.leave, processes=1)) as client:
            for _ in range(2):
                with pytest.raises(Internal):
                    await client.call("leave")
            assert await client.call("letterhead.ping", 1) == 1

    leaks.run(main())


def test_a_worker_that_is_interrupted_ends_its_own_request_only(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with client_of(app_of(jobs.interrupt, processes=1)) as client:
            with pytest.raises(Internal):
                await client.call("interrupt")
            assert await client.call("letterhead.ping", 1) == 1

    leaks.run(main())
    (record,) = caplog.records
    assert vars(record)["event"] == "worker-died"
    assert vars(record)["reason"] == "its handler raised KeyboardInterrupt in a worker process"


def test_a_worker_that_is_killed_for_nobody_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    started = tmp_path / "started"

    async def main() -> None:
        async with client_of(app_of(jobs.spin, processes=1)) as client:
            call = asyncio.ensure_future(client.call("spin", started=str(started)))
            await file_made(started)
            call.cancel()
            await leaks.until(lambda: caplog.records)

    leaks.run(main())
    told = vars(caplog.records[0])
    assert (told["event"], told["action"], told["peer"]) == ("worker-killed", "spin", "memory")

"""`testing.fixed_clock`: time that stands still, is moved, or jumps."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

import pytest

from letterhead import App, AsyncClient, DeadlineExceeded, UsageError, clock, current, testing
from letterhead.server.server import Server
from tests import leaks


def sleeper() -> App:
    app = App()

    @app.action
    async def sleep(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return current().remaining

    @app.action
    def block(seconds: float) -> float:
        time.sleep(seconds)
        return current().remaining

    return app


@pytest.mark.smoke
def test_time_stands_still_until_it_is_moved() -> None:
    fixed = testing.fixed_clock()

    async def main() -> list[float]:
        woken: list[float] = []

        async def wake(seconds: float) -> None:
            await asyncio.sleep(seconds)
            woken.append(fixed.now())

        tasks = [asyncio.create_task(wake(seconds)) for seconds in (3, 1, 2, 60)]
        await fixed.advance(0)
        assert (woken, fixed.now()) == ([], 0.0)
        await fixed.advance(2)
        assert (woken, fixed.now()) == ([1.0, 2.0], 2.0)
        await fixed.advance(58)
        await asyncio.gather(*tasks)
        return woken

    assert fixed.run(main()) == [1.0, 2.0, 3.0, 60.0]


def test_what_follows_from_what_was_due_has_happened_when_the_move_is_over() -> None:
    fixed = testing.fixed_clock()

    async def main() -> None:
        steps = []

        async def go_on() -> None:
            for step in range(3):
                await asyncio.sleep(10)
                await asyncio.to_thread(time.sleep, 0.001)
                steps.append((step, fixed.now()))

        task = asyncio.create_task(go_on())
        await fixed.advance(25)
        assert steps == [(0, 10.0), (1, 20.0)]
        await fixed.advance(5)
        assert task.done()

    fixed.run(main())


@pytest.mark.smoke
def test_with_jumps_no_wait_takes_long() -> None:
    fixed = testing.fixed_clock(jumps=True)

    async def main() -> None:
        await asyncio.sleep(timedelta(days=30).total_seconds())
        assert fixed.now() == asyncio.get_running_loop().time() == timedelta(days=30).total_seconds()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        await fixed.advance(1.5)
        assert fixed.now() == timedelta(days=30).total_seconds() + 6.5

    began = time.monotonic()
    fixed.run(main())
    assert time.monotonic() - began < 60


def test_a_deadline_passes_at_server_and_client() -> None:
    fixed = testing.fixed_clock()

    async def main() -> None:
        async with testing.connected(sleeper()) as client:
            call = asyncio.create_task(client.call("sleep", seconds=100))
            await fixed.advance(29)
            assert not call.done()
            await fixed.advance(1)
            with pytest.raises(DeadlineExceeded):
                await call
            assert fixed.now() == 30.0

    fixed.run(main())


def test_a_handler_sees_the_time_that_is_left() -> None:
    fixed = testing.fixed_clock(jumps=True)

    async def main() -> None:
        async with testing.connected(sleeper()) as client:
            assert await client.call("sleep", seconds=2, timeout=5.0) == 3.0
            assert fixed.now() == 2.0

    fixed.run(main())


@pytest.mark.parametrize("seconds", [0.1, 0.7, 1 / 3, 5.000000001, 1e-7])
def test_waits_that_floats_cannot_say_exactly_end_all_the_same(seconds: float) -> None:
    async def main() -> None:
        async with testing.connected(sleeper(), timeout=seconds) as client:
            for _ in range(20):
                with pytest.raises(DeadlineExceeded):
                    await client.call("sleep", seconds=1_000)

    testing.fixed_clock(jumps=True).run(main())


def test_ten_tenths_are_one() -> None:
    fixed = testing.fixed_clock()

    async def main() -> None:
        async def tenths() -> None:
            for _ in range(10):
                await asyncio.sleep(0.1)

        for steps in ([1.0], [0.1] * 10):
            task = asyncio.create_task(tenths())
            await fixed.advance(0)
            for step in steps:
                await fixed.advance(step)
            assert task.done()

    fixed.run(main())


def test_an_idle_connection_is_closed_after_its_time() -> None:
    fixed = testing.fixed_clock()

    async def main() -> None:
        connection = testing.connected(sleeper())
        async with connection as client:
            await client.call("sleep", seconds=0)
            assert connection.counts.open_now == 1
            await fixed.advance(299)
            assert connection.counts.open_now == 1
            await fixed.advance(20)
            assert connection.counts.open_now == 0
            await client.call("sleep", seconds=0)

    fixed.run(main())


def test_hooks_may_take_their_time_though_nobody_moves_it() -> None:
    fixed = testing.fixed_clock()
    app = App()
    app.on_start(partial(asyncio.sleep, 2))
    app.on_stop(partial(asyncio.sleep, 3))

    async def main() -> None:
        async with testing.connected(app):
            assert fixed.now() == 2.0
        assert fixed.now() == 5.0

    fixed.run(main())


def test_tasks_that_are_cancelled_at_the_end_may_take_their_time() -> None:
    fixed = testing.fixed_clock()

    async def main() -> "asyncio.Task[None]":
        async def clean_up() -> None:
            try:
                await asyncio.sleep(1_000)
            finally:
                await asyncio.sleep(0.5)

        task = asyncio.create_task(clean_up())
        await fixed.advance(10)
        return task

    assert fixed.run(main()).cancelled()
    assert (fixed.now(), fixed.jumping) == (10.5, 0)


# -- threads and sockets ---------------------------------------------------------------------------------------------


def working_in_executor() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.05)


def working_in_thread() -> "asyncio.Future[None]":
    return asyncio.ensure_future(asyncio.to_thread(time.sleep, 0.05))


@pytest.mark.parametrize("work", [working_in_executor, working_in_thread])
def test_time_does_not_jump_while_a_thread_is_at_work(work: Callable[[], "asyncio.Future[None]"]) -> None:
    fixed = testing.fixed_clock(jumps=True)

    async def main() -> None:
        timer = asyncio.create_task(asyncio.sleep(1_000))
        await work()
        assert fixed.now() == 0.0
        timer.cancel()

    fixed.run(main())


def test_nor_while_a_handler_is_in_a_thread() -> None:
    fixed = testing.fixed_clock(jumps=True)

    async def main() -> None:
        async with testing.connected(sleeper()) as client:
            assert await client.call("block", seconds=0.05, timeout=5.0) == 5.0
            assert fixed.now() == 0.0

    fixed.run(main())


def test_a_thread_that_waits_for_the_time_holds_it_up_for_a_bounded_while() -> None:
    app = App()

    @app.action
    def wait() -> None:
        while not current().cancelled:
            time.sleep(0.001)

    fixed = testing.fixed_clock(jumps=True, patience=0.05)

    async def main() -> None:
        async with testing.connected(app) as client:
            with pytest.raises(DeadlineExceeded):
                await client.call("wait", timeout=5.0)
            assert fixed.now() == 5.0

    fixed.run(main())


def test_a_client_and_a_server_on_sockets_of_one_loop_talk_without_time() -> None:
    fixed = testing.fixed_clock(jumps=True)

    async def main() -> None:
        app = sleeper()
        async with Server(app, ["127.0.0.1:0"]) as server, AsyncClient(server.addresses[0]) as client:
            for _ in range(20):
                assert await client.call("sleep", seconds=0, timeout=5.0) == 5.0
            assert fixed.now() == 0.0

    fixed.run(main())


def test_a_thread_that_nobody_waits_for_wakes_the_loop_as_always() -> None:
    fixed = testing.fixed_clock()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        thread = threading.Timer(0.02, loop.call_soon_threadsafe, [arrived.set])
        thread.start()
        await arrived.wait()
        thread.join()
        assert fixed.now() == 0.0

    fixed.run(main())


def test_who_waits_for_a_clock_that_nobody_moves_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("letterhead.testing.fake_clock._HINT_SECONDS", 0.01)
    fixed = testing.fixed_clock()

    async def main() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            sleep = asyncio.create_task(asyncio.sleep(31))
            thread = threading.Timer(0.1, theirs.send, [b"x"])
            thread.start()
            await asyncio.get_running_loop().sock_recv(ours, 1)
            thread.join()
            sleep.cancel()

    with caplog.at_level(logging.WARNING, "letterhead.testing"):
        fixed.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "the clock stands still at 0 s, and everything waits, the next for 31 s: "
        "clock.advance() moves it, fixed_clock(jumps=True) lets it move by itself"
    ]


# -- as an object ----------------------------------------------------------------------------------------------------


@pytest.fixture
def put_back() -> Iterator[None]:
    before = clock.monotonic, clock.working
    yield
    assert (clock.monotonic, clock.working) == before


@pytest.mark.usefixtures("put_back")
def test_letterhead_goes_by_it_only_while_it_is_entered() -> None:
    fixed = testing.fixed_clock()
    with fixed:
        assert clock.monotonic() == 0.0
        fixed.run(asyncio.sleep(0))
        assert clock.monotonic() == 0.0
    assert clock.monotonic is time.monotonic


@pytest.mark.usefixtures("put_back")
def test_it_is_put_back_when_the_coroutine_fails() -> None:
    async def main() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        testing.fixed_clock().run(main())


@pytest.mark.usefixtures("put_back")
def test_two_clocks_at_once_are_refused() -> None:
    with testing.fixed_clock(), pytest.raises(UsageError, match="another fixed clock"):
        testing.fixed_clock().run(asyncio.sleep(0))


@pytest.mark.usefixtures("put_back")
def test_a_server_in_a_thread_is_refused_meanwhile() -> None:
    with testing.fixed_clock(), pytest.raises(UsageError, match="async with"), testing.connected(sleeper()):
        pytest.fail("it began")


def test_it_goes_on_where_it_stood_with_another_loop() -> None:
    fixed = testing.fixed_clock(jumps=True)
    fixed.run(asyncio.sleep(5))
    fixed.run(asyncio.sleep(5))
    assert fixed.now() == 10.0


def test_a_loop_of_its_own_runs_under_any_runner() -> None:
    with testing.fixed_clock(jumps=True) as fixed, asyncio.Runner(loop_factory=fixed.new_event_loop) as runner:
        runner.run(asyncio.sleep(5))
        runner.run(asyncio.sleep(5))
        assert fixed.now() == 10.0


def test_it_is_moved_on_its_own_loop_alone() -> None:
    fixed = testing.fixed_clock()
    with pytest.raises(UsageError, match=r"clock\.run"):
        leaks.run(fixed.advance(1))


def test_it_is_moved_by_one_task_at_a_time() -> None:
    fixed = testing.fixed_clock()

    async def main() -> None:
        sleep = asyncio.create_task(asyncio.to_thread(time.sleep, 0.05))
        first = asyncio.create_task(fixed.advance(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(UsageError, match="another task"):
            await fixed.advance(1)
        await first
        await sleep

    fixed.run(main())


def test_work_may_be_given_to_an_executor_before_the_loop_runs() -> None:
    with testing.fixed_clock(jumps=True) as fixed, asyncio.Runner(loop_factory=fixed.new_event_loop) as runner:
        future = runner.get_loop().run_in_executor(None, time.sleep, 0.02)

        async def main() -> None:
            timer = asyncio.create_task(asyncio.sleep(1_000))
            await future
            assert fixed.now() == 0.0
            timer.cancel()

        runner.run(main())


def test_time_does_not_go_back() -> None:
    fixed = testing.fixed_clock()
    with pytest.raises(ValueError, match="cannot pass by -1 s"):
        fixed.run(fixed.advance(-1))

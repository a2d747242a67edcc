"""Where handlers run: on the loop, inline, in threads."""

import asyncio
import gc
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from letterhead import App, Cancelled, DeadlineExceeded, Limits, TooMany, current
from tests import leaks
from tests.app.calling import client_of, client_to, served
from tests.app.wire import end, item, opening, upload, wire


def test_each_handler_runs_where_it_was_told_to() -> None:
    app = App()

    @app.action
    async def on_loop() -> str:
        return threading.current_thread().name

    @app.action(run="inline")
    def inline() -> str:
        return threading.current_thread().name

    @app.action
    def by_default() -> str:
        return threading.current_thread().name

    @app.action(run="thread")
    def in_thread() -> str:
        return threading.current_thread().name

    async def main() -> None:
        here = threading.current_thread().name
        async with client_of(app) as client:
            for _ in range(2):
                assert await client.call("on_loop") == await client.call("inline") == here
                assert (await client.call("by_default")).startswith("letterhead")
                assert (await client.call("in_thread")).startswith("letterhead")

    leaks.run(main())


def test_threads_run_side_by_side_up_to_their_number() -> None:
    app = App(threads=4)
    barrier = threading.Barrier(4)

    @app.action
    def meet() -> int:
        return barrier.wait(leaks.PATIENCE)

    async def main() -> None:
        async with client_of(app) as client:
            for _ in range(3):
                assert sorted(await asyncio.gather(*(client.call("meet") for _ in range(4)))) == [0, 1, 2, 3]

    leaks.run(main())


def test_a_thread_sees_that_its_call_was_given_up() -> None:
    app = App()
    begun, seen = threading.Event(), threading.Event()

    @app.action
    def work() -> None:
        begun.set()
        while not current().cancelled:
            threading.Event().wait(0.001)
        seen.set()

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            call = asyncio.ensure_future(client.call("work"))
            await leaks.until(begun.is_set)
            call.cancel()
            await leaks.until(seen.is_set)
            with pytest.raises(DeadlineExceeded):
                await client.call("work", timeout=0.05)
            await leaks.until(lambda: server.shared.counters.open_now == 0)

    leaks.run(main())


def test_a_thread_that_cannot_be_stopped_keeps_its_slot_until_it_returns() -> None:
    app = App(limits=Limits(max_open=2))
    gate = threading.Event()

    @app.action
    def stubborn() -> None:
        gate.wait(leaks.PATIENCE)

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            await client.call("letterhead.ping")
            for _ in range(2):
                with pytest.raises(DeadlineExceeded):
                    await client.call("stubborn", timeout=0.05)
            assert server.shared.counters.open_now == 2
            with pytest.raises(TooMany):
                await client.call("letterhead.ping")
            gate.set()
            await leaks.until(lambda: server.shared.counters.open_now == 0)
            assert await client.call("letterhead.ping", 5) == 5

    leaks.run(main())


def test_a_call_that_waits_for_a_thread_is_cancelled_without_running() -> None:
    app = App(threads=1)
    begun, gate = threading.Event(), threading.Event()
    ran: list[str] = []

    @app.action
    def first() -> str:
        begun.set()
        gate.wait(leaks.PATIENCE)
        return "first"

    @app.action
    def second() -> None:
        ran.append("second")

    async def main() -> None:
        async with client_of(app) as client:
            blocking = asyncio.ensure_future(client.call("first"))
            await leaks.until(begun.is_set)
            for _ in range(3):
                with pytest.raises(DeadlineExceeded):
                    await client.call("second", timeout=0.02)
            await client.call("letterhead.ping")  # so the server, too, knows that nobody waits any more
            gate.set()
            assert await blocking == "first"

    leaks.run(main())
    assert ran == []


def test_a_result_that_comes_too_late_is_dropped_and_harms_nobody() -> None:
    app = App()
    gates = [threading.Event() for _ in range(8)]

    @app.action
    def slow(number: int) -> int:
        gates[number].wait(leaks.PATIENCE)
        return number

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            await client.call("letterhead.ping")
            late = [client.call("slow", number, timeout=0.05) for number in range(4)]
            kept = [asyncio.ensure_future(client.call("slow", number)) for number in range(4, 8)]
            results: list[Any] = await asyncio.gather(*late, return_exceptions=True)
            assert [type(result) for result in results] == [DeadlineExceeded] * 4
            for gate in gates:
                gate.set()
            assert await asyncio.gather(*kept) == [4, 5, 6, 7]
            await leaks.until(lambda: server.shared.counters.open_now == 0)

    leaks.run(main())


def test_a_thread_that_outlives_its_server_ends_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    begun, gate = threading.Event(), threading.Event()

    @app.action
    def stubborn() -> None:
        begun.set()
        gate.wait(leaks.PATIENCE)

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            call = asyncio.ensure_future(client.call("stubborn"))
            await leaks.until(begun.is_set)
            await server.close(timeout=0.0)
            assert isinstance((await asyncio.gather(call, return_exceptions=True))[0], Cancelled)

    leaks.run(main())
    workers = [thread for thread in threading.enumerate() if thread.name.startswith("letterhead")]
    gate.set()
    for thread in workers:
        thread.join(leaks.PATIENCE)
    assert workers
    (drained,) = caplog.records
    assert (vars(drained)["event"], vars(drained)["left"]) == ("drained", 1)


def test_calls_that_gave_up_waiting_for_a_thread_leave_nothing_behind() -> None:
    app = App(threads=1, limits=Limits(control_frames=10_000))
    gate = threading.Event()

    @app.action
    def block() -> None:
        gate.wait(leaks.PATIENCE)

    @app.action
    def take(data: str) -> int:
        return len(data)

    def held() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            blocked = asyncio.ensure_future(client.call("block"))
            await asyncio.sleep(0)
            tracemalloc.start()
            try:
                for _ in range(20):
                    with pytest.raises(DeadlineExceeded):
                        await client.call("take", data="x" * 1_000_000, timeout=0.01)
                await client.call("letterhead.ping")  # all that was sent before it has been read
                await leaks.until(lambda: held() < 5_000_000)  # what was cancelled may need a few turns to end
            finally:
                tracemalloc.stop()
                gate.set()
            await blocked
            assert await client.call("take", data="xyz") == 3

    leaks.run(main())


def test_streams_that_nobody_moves_on_hold_up_no_plain_call() -> None:
    app = App(threads=2)

    @app.action
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(64 * 1024)

    @app.action
    def total(numbers: Iterator[int]) -> int:
        return sum(numbers)

    @app.action
    def plain() -> str:
        return "answered"

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "endless"), opening(2, "endless"))
            client.send(opening(3, "total", more=True), opening(4, "total", more=True))
            await client.frame()
            client.send(opening(5, "plain"))
            while (got := await client.frame()).id != 5:
                assert got.header["more"] is True
            assert got.value == "answered"

    leaks.run(main())


def test_streams_in_threads_wait_for_each_other_beyond_the_number_of_threads() -> None:
    app = App(threads=1)

    @app.action
    def total(numbers: Iterator[int]) -> int:
        return sum(numbers)

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "total", more=True), upload(2, "total", 3, 4))
            client.send(item(1, 5), end(1))
            assert [(await client.frame()).value for _ in range(2)] == [5, 7]

    leaks.run(main())

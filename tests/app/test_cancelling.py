"""Cancellation: one request's end is never another's, whatever handlers do with their task."""

import asyncio
import random
from typing import Any

import pytest

from letterhead import App, Cancelled, ConnectionLost, DeadlineExceeded, Internal, LetterheadError, Limits
from letterhead.app.actions import Proceed
from tests import leaks
from tests.app.calling import client_of, client_to, served
from tests.conftest import Run

MANY = Limits(control_frames=100_000)


def test_a_handler_that_swallows_its_cancellation_cannot_answer_any_more(run: Run) -> None:
    app = App()
    ended: list[str] = []

    @app.action
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # goes on for a while
        ended.append("ended")
        return "an answer after all"

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            await client.call("letterhead.ping")
            for _ in range(3):
                with pytest.raises(DeadlineExceeded):
                    await client.call("stubborn", timeout=0.02)
            await leaks.until(lambda: len(ended) == 3)
            assert await client.call("letterhead.ping", 1) == 1
            await leaks.until(lambda: server.shared.counters.open_now == 0)

    run(main())


def test_a_handler_that_cancels_itself_ends_alone(run: Run) -> None:
    app = App()

    @app.action
    async def cancel_self(how: str) -> str:
        task = asyncio.current_task()
        assert task is not None
        if how == "later":
            await asyncio.sleep(0)
        task.cancel()
        if how == "return":
            return "returned"
        if how == "raise":
            raise asyncio.CancelledError
        await asyncio.sleep(0)
        return "unreachable"

    @app.action
    async def echo(value: int) -> int:
        await asyncio.sleep(0)
        return value

    async def main() -> None:
        async with client_of(app) as client:
            for turn in range(10):
                for how in ("now", "later", "raise"):
                    with pytest.raises(Cancelled):
                        await client.call("cancel_self", how=how)
                    assert await client.call("echo", turn) == turn
                assert await client.call("cancel_self", how="return") == "returned"
                assert await client.call("echo", turn) == turn

    run(main())


def test_a_call_is_told_cancelled_where_its_handler_says_so() -> None:
    app = App()

    @app.action
    async def give_up() -> None:
        raise asyncio.CancelledError

    @app.action(run="inline")
    def give_up_inline() -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        async with client_of(app) as client:
            for action in ("give_up", "give_up_inline"):
                with pytest.raises(Cancelled):
                    await client.call(action)

    leaks.run(main())


def test_what_a_cancelled_handler_waits_for_is_cancelled_with_it(run: Run) -> None:
    """Also where the request and its cancellation arrive in one piece, before the handler's task ever ran."""
    app = App(limits=MANY)
    ended: list[str] = []

    @app.action(name="wait-for-child")
    async def wait_for_child(how: str) -> None:
        async def child() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(how)

        task = asyncio.create_task(child())
        if how == "await":
            await task
        elif how == "gather":
            await asyncio.gather(task)
        elif how == "wait_for":
            await asyncio.wait_for(task, 100)
        else:
            async with asyncio.timeout(100):
                await task

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            await client.call("letterhead.ping")
            hows = ("await", "gather", "wait_for", "timeout")
            for turns in range(6):
                ended.clear()
                calls = [asyncio.ensure_future(client.call("wait-for-child", how=how)) for how in hows]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for call in calls:
                    call.cancel()
                await asyncio.wait(calls)
                await leaks.until(lambda: server.shared.counters.open_now == 0)
                assert not [task for task in asyncio.all_tasks() if "child" in str(task.get_coro())]

    run(main())


class Hammer:
    """Handlers of many habits, and the account of what became of each call."""

    def __init__(self) -> None:
        self.app = App(limits=MANY)
        self.wrongly_cancelled: list[int] = []
        self.given_up: set[int] = set()
        app = self.app

        @app.action
        async def quick(number: int) -> int:
            return number

        @app.action
        async def turns(number: int, count: int) -> int:
            with self.watched(number):
                for _ in range(count):
                    await asyncio.sleep(0)
            return number

        @app.action
        async def bounded(number: int, seconds: float) -> int:
            with self.watched(number):
                try:
                    async with asyncio.timeout(seconds):
                        await asyncio.sleep(0.02)
                except TimeoutError:
                    await asyncio.sleep(0)
            return number

        @app.action
        async def group(number: int, fails: bool) -> int:
            async def child(part: int) -> None:
                await asyncio.sleep(0.001 * part)
                if fails and part == 1:
                    raise KeyError(part)

            with self.watched(number):
                try:
                    async with asyncio.TaskGroup() as tasks:
                        for part in range(3):
                            tasks.create_task(child(part))
                except* KeyError:
                    pass
            return number

        @app.action
        async def swallow(number: int) -> int:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
            return number

        @app.action
        async def shielded(number: int) -> int:
            with self.watched(number):
                await asyncio.shield(asyncio.sleep(0.005))
            return number

        @app.action
        def thread(number: int) -> int:
            return number

        @app.action
        async def fail(number: int) -> None:
            await asyncio.sleep(0)
            raise ValueError(number)

    def watched(self, number: int) -> "Watch":
        return Watch(self, number)

    def some_call(self, number: int, chance: random.Random) -> tuple[str, dict[str, Any]]:
        """An action and its arguments."""
        calls: list[tuple[str, dict[str, Any]]] = [
            ("quick", {}),
            ("turns", {"count": chance.randrange(6)}),
            ("bounded", {"seconds": chance.choice([0.0, 0.001, 1.0])}),
            ("group", {"fails": chance.random() < 0.5}),
            ("swallow", {}),
            ("shielded", {}),
            ("thread", {}),
            ("fail", {}),
        ]
        return chance.choice(calls)


class Watch:
    """Notes a cancellation that nobody asked for."""

    def __init__(self, hammer: Hammer, number: int) -> None:
        self.hammer = hammer
        self.number = number

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is asyncio.CancelledError and self.number not in self.hammer.given_up:
            self.hammer.wrongly_cancelled.append(self.number)


@pytest.mark.parametrize("hooked", [False, True], ids=["plain", "hooked"])
def test_cancelling_at_random_hits_only_what_was_cancelled(run: Run, hooked: bool, caplog: Any) -> None:
    caplog.set_level("CRITICAL")
    hammer = Hammer()
    if hooked:

        @hammer.app.around
        async def through(call: Any, proceed: Proceed) -> Any:
            return await proceed()

    async def one(client: Any, number: int, chance: random.Random) -> None:
        action, arguments = hammer.some_call(number, chance)
        gives_up = chance.random() < 0.4
        if gives_up and chance.random() < 0.5:
            hammer.given_up.add(number)
            await asyncio.gather(
                client.call(action, number=number, timeout=chance.random() * 0.01, **arguments), return_exceptions=True
            )
            return
        call = asyncio.ensure_future(client.call(action, number=number, **arguments))
        if gives_up:
            for _ in range(chance.randrange(12)):
                await asyncio.sleep(0)
            hammer.given_up.add(number)
            call.cancel()
            await asyncio.wait([call])
        elif action == "fail":
            with pytest.raises(Internal):
                await call
        else:
            assert await call == number

    async def main() -> None:
        async with served(hammer.app) as server:
            for seed in range(4):
                chance = random.Random(seed)
                async with client_to(server) as client:
                    await asyncio.gather(*(one(client, seed * 1000 + n, chance) for n in range(250)))
            await leaks.until(lambda: server.shared.counters.open_now == 0)
            async with client_to(server) as client:
                assert [await client.call("quick", number=n) for n in range(200)] == list(range(200))

    run(main())
    assert hammer.wrongly_cancelled == []


def test_a_request_and_its_cancellation_in_one_piece_do_no_harm(run: Run) -> None:
    """The client writes both in one turn of its loop; the server reads them in one go."""
    hammer = Hammer()

    async def main() -> None:
        async with served(hammer.app) as server, client_to(server) as client:
            await client.call("quick", number=0)
            for number in range(100):
                hammer.given_up.add(number)
                call = asyncio.ensure_future(client.call("turns", number=number, count=100_000))
                await asyncio.sleep(0)
                call.cancel()
                kept = client.call("turns", number=-1, count=number % 5)
                assert await kept == -1
                await asyncio.wait([call])
            await leaks.until(lambda: server.shared.counters.open_now == 0)

    run(main())
    assert hammer.wrongly_cancelled == []


def test_a_lost_connection_cancels_its_own_handlers_only(run: Run) -> None:
    app = App()
    cancelled: list[str] = []
    gate = asyncio.Event()

    @app.action
    async def wait(who: str) -> str:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            cancelled.append(who)
            raise
        return who

    async def main() -> None:
        async with served(app) as server, client_to(server) as kept:
            lost = client_to(server)
            calls = [asyncio.ensure_future(lost.call("wait", who="lost")) for _ in range(5)]
            mine = [asyncio.ensure_future(kept.call("wait", who="kept")) for _ in range(5)]
            await leaks.until(lambda: server.shared.counters.open_now == 10)
            await lost.close()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(result) for result in results] == [ConnectionLost] * 5
            await leaks.until(lambda: len(cancelled) == 5)
            gate.set()
            assert await asyncio.gather(*mine) == ["kept"] * 5

    run(main())
    assert cancelled == ["lost"] * 5


def test_a_server_that_closes_ends_even_handlers_that_wait_for_ever(run: Run) -> None:
    app = App()
    ended: list[str] = []

    @app.action
    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async def main() -> None:
        server = served(app)
        await server.start()
        async with client_to(server) as client:
            calls = [asyncio.ensure_future(client.call("wait")) for _ in range(20)]
            await leaks.until(lambda: server.shared.counters.open_now == 20)
            await server.close(timeout=0.0)
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(result, LetterheadError) for result in results)
        assert ended == ["ended"] * 20

    run(main())

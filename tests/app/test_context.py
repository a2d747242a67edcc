"""`letterhead.current()`, and that nothing of one request is seen by another."""

import asyncio
import contextvars
import gc
import threading
from typing import Any

import pytest

from letterhead import App, Message, UsageError, current, decode
from letterhead.protocol.requests import Request
from tests import leaks
from tests.app.calling import client_of, client_to, served
from tests.conftest import Run

WAYS = ("loop", "inline", "thread")
MARK: contextvars.ContextVar[Any] = contextvars.ContextVar("MARK", default="clean")


def entered(app: App, name: str, function: Any) -> None:
    """The function under `name-loop`, `name-inline` and `name-thread`."""

    async def on_loop(value: Any = None) -> Any:
        return function(value)

    app.action(name=f"{name}-loop")(on_loop)
    app.action(name=f"{name}-inline", run="inline")(function)
    app.action(name=f"{name}-thread", run="thread")(function)


def test_current_tells_about_the_call_wherever_the_handler_runs() -> None:
    app = App()

    def about(value: Any = None) -> list[Any]:
        call = current()
        assert not call.cancelled
        return [call.action, call.caller, call.content_type, 0 < call.remaining <= 20, dict(call.headers)]

    entered(app, "about", about)

    async def main() -> None:
        async with client_of(app) as client:
            for way in WAYS * 2:
                header = {"action": f"about-{way}", "content-type": "text/json; charset=x", "x-user": ["ada"]}
                told = decode(await client.send(Message(b"{}", {**header, "traceparent": "00-a-b-01"}), timeout=20))
                headers = {"action": f"about-{way}", "x-user": ["ada"], "traceparent": "00-a-b-01"}
                assert told[:4] == [f"about-{way}", "memory", "text/json", True]
                assert {**told[4], "deadline": None} == {**headers, "deadline": None}

    leaks.run(main())


def test_headers_are_for_reading_only() -> None:
    app = App()

    def change(value: Any = None) -> str:
        with pytest.raises(TypeError):
            current().headers["x"] = 1  # type: ignore[index]
        return "refused"

    entered(app, "change", change)

    async def main() -> None:
        async with client_of(app) as client:
            for way in WAYS:
                assert await client.call(f"change-{way}") == "refused"

    leaks.run(main())


def test_there_is_no_current_call_outside_of_handlers() -> None:
    with pytest.raises(UsageError, match="no call"):
        current()
    app = App()
    seen: list[str] = []

    @app.on_start
    def start() -> None:
        with pytest.raises(UsageError):
            current()
        seen.append("start")

    @app.on_stop
    async def stop() -> None:
        with pytest.raises(UsageError):
            current()
        seen.append("stop")

    async def main() -> None:
        async with client_of(app) as client:
            await client.call("letterhead.ping")
            with pytest.raises(UsageError):
                current()

    leaks.run(main())
    assert seen == ["start", "stop"]


@pytest.mark.smoke
def test_child_tasks_and_threads_of_a_handler_see_its_call(run: Run) -> None:
    app = App()

    @app.action
    async def family(name: str) -> list[Any]:
        async def child() -> Any:
            await asyncio.sleep(0)
            return current().headers["x-name"]

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child()) for _ in range(3)]
        thread = await asyncio.to_thread(lambda: current().headers["x-name"])
        return [name, *(task.result() for task in tasks), thread, current().headers["x-name"]]

    async def main() -> None:
        async with client_of(app) as client:

            async def one(name: str) -> None:
                header = {"action": "family", "content-type": "text/json", "x-name": name}
                assert decode(await client.send(Message(b'"%b"' % name.encode(), header))) == [name] * 6

            for _ in range(3):
                await asyncio.gather(*(one(f"n{number}") for number in range(20)))

    run(main())


def test_context_variables_do_not_leak_into_later_requests(run: Run) -> None:
    app = App()

    def mark(value: Any = None) -> Any:
        before = MARK.get()
        if value is not None:
            MARK.set(value)
        return before

    entered(app, "mark", mark)

    @app.action(name="mark-and-wait")
    async def mark_and_wait(value: Any, turns: int) -> list[Any]:
        before = MARK.get()
        MARK.set(value)
        for _ in range(turns):
            await asyncio.sleep(0)
        return [before, MARK.get()]

    @app.action(name="mark-and-fail")
    async def mark_and_fail(value: Any) -> None:
        MARK.set(value)
        raise ValueError("left marked")

    async def main() -> None:
        MARK.set("the client's")
        async with client_of(app) as client:
            for turn in range(30):
                for way in WAYS:
                    assert await client.call(f"mark-{way}", turn) == "clean"
                    assert await client.call(f"mark-{way}") == "clean"
                with pytest.raises(Exception, match="failed"):
                    await client.call("mark-and-fail", turn)
            waiting = [client.call("mark-and-wait", value=n, turns=n % 4) for n in range(60)]
            assert await asyncio.gather(*waiting) == [["clean", n] for n in range(60)]
            assert await client.call("mark-loop") == "clean"

    run(main())


def test_values_that_cannot_be_compared_do_not_leak_either() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("not comparable")

        __hash__ = None  # type: ignore[assignment]

    app = App()

    @app.action
    async def mark() -> bool:
        clean = isinstance(MARK.get(), str)
        MARK.set(Odd())
        return clean

    async def main() -> None:
        async with client_of(app) as client:
            assert [await client.call("mark") for _ in range(5)] == [True] * 5

    leaks.run(main())


def test_what_a_task_left_behind_sees_is_its_own_call() -> None:
    app = App()
    seen: dict[str, str] = {}
    left: set[asyncio.Task[None]] = set()
    gate = asyncio.Event()

    @app.action
    async def leave(name: str) -> None:
        async def later() -> None:
            await gate.wait()
            seen[name] = str(current().headers["x-name"])

        left.add(asyncio.create_task(later()))

    async def main() -> None:
        async with client_of(app) as client:
            for number in range(5):
                header = {"action": "leave", "content-type": "text/json", "x-name": f"n{number}"}
                await client.send(Message(b'"n%d"' % number, header))
            gate.set()
            await asyncio.gather(*left)

    leaks.run(main())
    assert seen == {f"n{number}": f"n{number}" for number in range(5)}


def test_a_server_at_rest_holds_no_content() -> None:
    app = App()

    @app.action
    async def size(data: bytes, turns: int = 0) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return len(data)

    @app.action(name="size-thread")
    def size_in_thread(data: bytes) -> int:
        return len(data)

    def held() -> int:
        gc.collect()
        return sum(len(thing.content) for thing in gc.get_objects() if isinstance(thing, Request))

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            for action in ("size", "size-thread", "size"):
                calls = [client.call(action, bytes(100_000)) for _ in range(10)]
                assert await asyncio.gather(*calls) == [100_000] * 10
            await leaks.until(lambda: server.shared.counters.open_now == 0)
            assert held() == 0

    leaks.run(main())


def test_handlers_see_a_task_that_is_theirs(run: Run) -> None:
    app = App()
    loop_thread: list[int] = []

    @app.action
    async def own_task(turns: int) -> list[bool]:
        task = asyncio.current_task()
        assert task is not None
        mine = [task in asyncio.all_tasks(), not task.done(), task.cancelling() == 0]
        for _ in range(turns):
            await asyncio.sleep(0)
            mine.append(asyncio.current_task() is task)
        mine.append(threading.get_ident() == loop_thread[0])
        return mine

    @app.action
    async def times_out(turns: int) -> str:
        for _ in range(turns):
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            task = asyncio.current_task()
            return f"timed out, {task and task.cancelling()}"
        return "not timed out"

    @app.action
    async def group(fails: bool) -> list[int] | str:
        async def child(number: int) -> int:
            if fails and number == 2:
                raise KeyError(number)
            await asyncio.sleep(0.001)
            return number

        try:
            async with asyncio.TaskGroup() as tasks:
                children = [tasks.create_task(child(number)) for number in range(4)]
        except ExceptionGroup as failed:
            return "failed as a group" if failed.subgroup(KeyError) else "failed otherwise"
        return [task.result() for task in children]

    async def main() -> None:
        loop_thread.append(threading.get_ident())
        async with client_of(app) as client:
            for turns in (0, 0, 1, 3, 0):
                assert all(await client.call("own_task", turns=turns))
                assert await client.call("times_out", turns=turns) == "timed out, 0"
                assert await client.call("group", fails=False) == [0, 1, 2, 3]
                assert await client.call("group", fails=True) == "failed as a group"

    run(main())

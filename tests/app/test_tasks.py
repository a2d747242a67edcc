"""A task of its own for each handler: nothing of one request is found by another."""

import asyncio
import contextvars
import gc
import sys
import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from letterhead import App, Cancelled, Internal, Refused, UsageError, current
from tests import leaks
from tests.app.calling import client_of, client_to, outcome, served
from tests.app.wire import opening, wire
from tests.conftest import Run
from tests.wire.frames import json_frame

Factory = Callable[..., "asyncio.Future[Any]"]
MARK: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="unmarked")


class OwnTask(asyncio.Task[Any]):
    """What a program's own task factory makes."""


def old_factory(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Future[Any]":
    """A task factory as they were before Python 3.11: without a context."""
    return OwnTask(coroutine, loop=loop)


def new_factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Future[Any]":
    """A task factory that passes on whatever options there are."""
    return OwnTask(coroutine, loop=loop, **options)


FACTORIES: dict[str, Factory | None] = {"none": None, "old": old_factory, "new": new_factory}
if sys.version_info >= (3, 12):
    FACTORIES["eager"] = asyncio.eager_task_factory
    FACTORIES["own eager"] = asyncio.create_eager_task_factory(OwnTask)

_ON_UVLOOP = ("none", "new")  # uvloop gives options to every factory, which the others do not take
each_factory = pytest.mark.parametrize(
    ("run", "factory"),
    [
        pytest.param(partial(leaks.run, loop=loop), factory, id=f"{loop}-{name}")
        for loop in leaks.LOOPS
        for name, factory in FACTORIES.items()
        if loop == "asyncio" or name in _ON_UVLOOP
    ],
)
"""The task factories that a program may have set, on each event loop that works with them."""


class Scene:
    """Handlers that leave something in their task, and look for what others left."""

    def __init__(self) -> None:
        self.app = app = App()
        self.tasks: list[asyncio.Task[Any]] = []
        self.told: list[int] = []
        self.marks: list[str] = []

        @app.action
        async def session(number: int, turns: int) -> int:
            task = asyncio.current_task()
            assert task is not None
            assert task not in self.tasks, "a task of another request"
            assert task.cancelling() == 0
            self.marks.append(MARK.get())
            MARK.set(f"of {number}")
            self.tasks.append(task)
            task.add_done_callback(lambda _: self.told.append(number))
            for _ in range(turns):
                await asyncio.sleep(0)
            assert asyncio.current_task() is task
            assert current().task is task
            return number


@pytest.mark.smoke
@each_factory
@pytest.mark.parametrize("turns", [0, 2])
def test_each_request_has_a_task_and_a_context_of_its_own(run: Run, factory: Factory | None, turns: int) -> None:
    scene = Scene()

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        MARK.set("of the server's starter")
        async with client_of(scene.app) as client:
            for number in range(20):
                assert await client.call("session", number=number, turns=turns) == number
            calls = [client.call("session", number=number, turns=turns) for number in range(20, 60)]
            assert await asyncio.gather(*calls) == list(range(20, 60))
            await leaks.until(lambda: len(scene.told) == 60)

    run(main())
    assert sorted(scene.told) == list(range(60)), "each task's callbacks are called once, at its end"
    assert scene.marks == ["unmarked"] * 60
    own = factory is not None and factory is not FACTORIES.get("eager")
    assert all(isinstance(task, OwnTask) is own for task in scene.tasks)


@pytest.mark.smoke
@each_factory
def test_requests_that_come_in_one_piece_do_not_begin_inside_of_each_other(run: Run, factory: Factory | None) -> None:
    """On a connection without ids an answer brings the next request, in the step that gave it."""
    app = App()
    inside: list[int] = []
    deepest = 0

    @app.action
    async def nest(number: int) -> int:
        nonlocal deepest
        inside.append(number)
        deepest = max(deepest, len(inside))
        try:
            assert current().action == "nest"
            return number
        finally:
            inside.pop()

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        async with wire(app) as client:
            client.send(*(json_frame({"action": "nest", "value": number}) for number in range(300)))
            for number in range(300):
                assert (await client.frame()).value == {"result": number}

    run(main())
    assert deepest == 1


@pytest.mark.smoke
@each_factory
def test_a_task_that_is_cancelled_before_its_first_step_is_answered_all_the_same(
    run: Run, factory: Factory | None
) -> None:
    app = App()

    @app.action
    async def wait() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        async with served(app) as server, client_to(server) as client:
            await client.call("letterhead.ping")
            before = asyncio.all_tasks()
            call = asyncio.ensure_future(client.call("wait"))
            others = {*before, call}
            await leaks.until(lambda: asyncio.all_tasks() - others)
            for task in asyncio.all_tasks() - others:  # as a program might that clears up
                task.cancel()
            with pytest.raises(Cancelled):
                await call
            await leaks.until(lambda: server.shared.counters.open_now == 0)
            assert await client.call("letterhead.ping", 1) == 1

    run(main())


@pytest.mark.smoke
def test_a_task_factory_that_fails_costs_its_own_call(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    fails = False

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> "asyncio.Future[Any]":
        if fails and "_serve" in coroutine.__qualname__:
            raise MemoryError("no task")
        return asyncio.Task(coroutine, loop=loop, **options)

    @app.action
    async def echo(value: int) -> int:
        return value

    async def main() -> None:
        nonlocal fails
        asyncio.get_running_loop().set_task_factory(factory)
        async with served(app) as server, client_to(server) as client:
            assert await client.call("echo", 1) == 1
            fails = True
            with pytest.raises(Internal):
                await client.call("echo", 2)
            fails = False
            assert await client.call("echo", 3) == 3
            await leaks.until(lambda: server.shared.counters.open_now == 0)

    run(main())
    (record,) = caplog.records
    assert vars(record)["event"] == "handler-failed"
    assert isinstance(record.exc_info and record.exc_info[1], MemoryError)


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
            for id, times in enumerate((0, 1, 2), 1):
                client.send(opening(id, "wait", times=times))
                await client.frame()
            await asyncio.sleep(0)
            assert [each() for each in held] == [None] * 3

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


# -- what serves all has a context of its own ------------------------------------------------------------------------


def test_stop_hooks_are_not_run_in_the_context_of_a_handler_that_asked_for_the_end(run: Run) -> None:
    app = App()
    seen: list[str] = []

    @app.action
    async def leave() -> None:
        MARK.set("of the handler")
        closing.append(asyncio.ensure_future(server.close(0.0)))
        await asyncio.sleep(0)

    @app.on_stop
    async def stop() -> None:
        seen.append(MARK.get())
        with pytest.raises(UsageError, match="no call is being answered"):
            current()

    closing: list[asyncio.Future[None]] = []
    server = served(app)

    async def main() -> None:
        await server.start()
        async with client_to(server) as client:
            await outcome(client, "leave")
            await closing[0]

    run(main())
    assert seen == ["unmarked"]

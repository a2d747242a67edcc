"""How streams end other than by themselves: cancelled, late, cut off, replaced, abandoned by a hook."""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from letterhead import App, AsyncClient, Context, Forbidden, Limits, current
from letterhead.app.actions import Proceed
from letterhead.server.server import Server
from letterhead.testing import memory
from tests.app.streams import Scene, each_kind
from tests.app.wire import Wire, each_pipe, opening, wire, wire_to
from tests.conftest import Run
from tests.leaks import run, until
from tests.wire.frames import frame, json_frame


def cancel(id: int) -> bytes:
    """The frame that says that an answer is no longer wanted."""
    return frame({"id": id, "cancel": True})


async def last_of(client: Wire, id: int) -> Any:
    """The status with which an exchange ends, whatever items it has."""
    while (got := await client.frame()).header.get("more") or got.id != id:
        pass
    return got.status


async def idle(server: Server) -> None:
    """Wait until no request is open."""
    await until(lambda: server.shared.counters.open_now == 0)


Ending = Callable[[Wire], None]
ENDINGS: dict[str, Ending] = {
    "cancelled": lambda client: client.send(cancel(1)),
    "superseded": lambda client: client.send(opening(2, "letterhead.ping", fields={"supersedes": 1})),
    "half-closed": lambda client: client.transport.write_eof(),
    "cut off": lambda client: client.transport.abort(),
}


@each_pipe
@each_kind
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_generator_is_closed_where_it_ran_when_nobody_waits_any_longer(
    run: Run, kind: str, pipe: str, ending: str
) -> None:
    scene = Scene()

    async def main() -> None:
        async with wire(scene.app, pipe) as client:
            client.send(opening(1, f"{kind}-endless"))
            await client.frame()
            client.forgets = ending != "cancelled"
            ENDINGS[ending](client)
            if ending == "cancelled":
                assert await last_of(client, 1) == "cancelled"
            await idle(client.server)
            assert scene.closed == scene.opened
            made = scene.made
            await asyncio.sleep(0)
            assert scene.made == made

    run(main())


@each_kind
def test_what_iterates_by_a_generator_of_its_own_has_that_closed(kind: str) -> None:
    app = App()
    closed: list[str] = []

    class Rows:
        def __iter__(self) -> Iterator[int]:
            try:
                yield from range(1_000_000)
            finally:
                closed.append("plain")

        async def __aiter__(self) -> AsyncIterator[int]:
            try:
                for number in range(1_000_000):
                    yield number
            finally:
                closed.append("async")

    def rows() -> Any:
        return Rows()

    rows.__annotations__["return"] = AsyncIterable[int] if kind == "async" else Iterator[int]
    app.action(run="inline" if kind == "inline" else None)(rows)

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "rows"))
            await client.frame()
            client.send(cancel(1))
            assert await last_of(client, 1) == "cancelled"
            await idle(client.server)
            assert closed == ["async" if kind == "async" else "plain"]

    run(main())


@each_kind
def test_a_generator_that_waits_for_credit_is_closed(kind: str) -> None:
    scene = Scene()

    async def main() -> None:
        async with wire(scene.app) as client:
            client.send(opening(1, f"{kind}-endless", size=600_000))
            await client.frame()
            await client.frame()
            await until(lambda: scene.made >= 3)
            client.send(cancel(1))
            assert await last_of(client, 1) == "cancelled"
            await idle(client.server)
            assert scene.closed == scene.opened

    run(main())


def test_what_an_async_generator_waits_for_is_cancelled(run: Run) -> None:
    app = App()
    seen: list[str] = []

    @app.action
    async def waits() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "waits"))
            await client.frame()
            client.send(cancel(1))
            assert await last_of(client, 1) == "cancelled"
            assert seen == ["cancelled", "cleaned up"]

    run(main())


def test_a_generator_that_swallows_its_cancellation_gives_nothing_more(run: Run) -> None:
    app = App()
    ended = asyncio.Event()

    @app.action
    async def stubborn() -> AsyncIterator[int]:
        try:
            for number in range(1000):
                yield number
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
        finally:
            ended.set()

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "stubborn"))
            await client.frame()
            client.send(cancel(1))
            items, last = await client.answer(1)
            assert (items, last.status) == ([], "cancelled")
            assert ended.is_set()
            await idle(client.server)

    run(main())


def test_a_thread_keeps_its_slot_until_it_returns_and_what_queues_never_starts() -> None:
    app = App(threads=1)
    begun: list[int] = []
    goes_on = threading.Event()

    @app.action
    def blocks(number: int) -> Iterator[int]:
        begun.append(number)
        yield number
        goes_on.wait()
        yield number

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "blocks", number=1), opening(2, "blocks", number=2))
            assert (await client.frame()).value == 1
            client.send(cancel(2), cancel(1))
            assert await last_of(client, 2) == "cancelled"
            assert client.server.shared.counters.open_now == 1
            goes_on.set()
            assert await last_of(client, 1) == "cancelled"
            client.send(opening(3, "blocks", number=3))
            assert (await client.answer(3))[0] == [3, 3]
            assert begun == [1, 3]

    run(main())


# -- time ----------------------------------------------------------------------------------------------------------


@each_kind
def test_a_stream_has_no_deadline_unless_its_client_names_one(kind: str) -> None:
    scene = Scene(limits=Limits(deadline_seconds=0.05, deadline_max_seconds=0.05, control_frames=100_000))

    async def main() -> None:
        async with wire(scene.app) as client:
            client.send(opening(1, f"{kind}-endless"))
            began = time.monotonic()
            while time.monotonic() < began + 0.2:
                assert (await client.frame()).header["more"]
                client.send(frame({"id": 1, "credit": 500}))
            client.send(cancel(1))
            assert await last_of(client, 1) == "cancelled"
            await idle(client.server)
            client.send(opening(2, f"{kind}-endless", size=600_000, fields={"deadline": 150}))
            began = time.monotonic()
            assert await last_of(client, 2) == "deadline-exceeded"
            assert time.monotonic() >= began + 0.1
            await idle(client.server)
            assert scene.closed == scene.opened

    run(main())


def test_a_stream_that_waits_for_a_thread_is_not_late() -> None:
    app = App(threads=1, limits=Limits(deadline_seconds=0.05))
    goes_on = threading.Event()

    @app.action
    def holds() -> Iterator[int]:
        yield 1
        goes_on.wait()

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "holds"), opening(2, "holds"))
            await client.frame()
            await asyncio.sleep(0.15)
            goes_on.set()
            answers = await client.answers(1, 2)
            assert [(items, last.status) for items, last in answers.values()] == [([], None), ([1], None)]

    run(main())


def test_calls_of_a_streaming_handler_inherit_its_deadline_if_it_has_one(run: Run) -> None:
    """Without one they are bound by what they say themselves."""
    app = App()
    told: list[float] = []

    @app.action
    async def time_left() -> float:
        return current().remaining

    @app.action
    async def asks() -> AsyncIterator[float]:
        async with AsyncClient(memory.ADDRESS, connector=memory.connector(servers[0])) as other:
            told.append(current().remaining)
            told.append(current().deadline)
            yield await other.call("time_left")
            yield await other.call("time_left", timeout=5.0)

    servers: list[Server] = []

    async def main() -> None:
        async with Server(app, ()) as server:
            servers.append(server)
            client = await wire_to(server)
            client.send(opening(1, "asks"))
            (plain, named), _ = await client.answer(1)
            assert told == [math.inf, math.inf]
            assert 25 < plain <= 30
            assert 4 < named <= 5
            client.send(opening(2, "asks", fields={"deadline": 2000}))
            (plain, named), _ = await client.answer(2)
            assert 0 < told[2] <= 2
            assert 0 < plain <= 2
            assert 0 < named <= 2
            client.transport.close()

    run(main())


@each_kind
def test_the_last_frame_tells_the_time_where_it_was_asked_for(kind: str) -> None:
    async def main() -> None:
        async with wire(Scene().app) as client:
            for id, name in enumerate(("values", "failing"), 1):
                refuses = {} if name == "values" else {"refuses": True}
                client.send(opening(id, f"{kind}-{name}", values=[1], fields={"timing": True}, **refuses))
                items, last = await client.answer(id)
                assert items == [1]
                assert sorted(last.header["timing"]) == ["queued", "ran"]

    run(main())


# -- hooks ---------------------------------------------------------------------------------------------------------


@each_kind
def test_hooks_wrap_the_whole_stream(kind: str) -> None:
    scene = Scene()
    order: list[Any] = []

    @scene.app.around
    async def watch(call: Context, proceed: Proceed) -> Any:
        order.append("before")
        try:
            result = await proceed()
            order.append(result)
            return result
        except BaseException as error:
            order.append(type(error).__name__)
            raise

    async def main() -> None:
        async with wire(scene.app) as client:
            client.send(opening(1, f"{kind}-values", values=[1, 2]))
            assert (await client.answer(1))[0] == [1, 2]
            assert order == ["before", None]
            client.send(opening(2, f"{kind}-failing", values=[1], refuses=True))
            assert (await client.answer(2))[1].status == "sold-out"
            assert order[2:] == ["before", "Refused"]
            client.send(opening(3, f"{kind}-endless"))
            await client.frame()
            client.send(cancel(3))
            assert await last_of(client, 3) == "cancelled"
            assert order[4:] in (["before", "CancelledError"], ["before", None])  # None: a thread saw it and returned

    run(main())


@each_kind
def test_a_hook_may_refuse_a_stream(kind: str) -> None:
    scene = Scene()

    @scene.app.around
    async def refuse(call: Context, proceed: Proceed) -> Any:
        raise Forbidden("not for you")

    async def main() -> None:
        async with wire(scene.app) as client:
            client.send(opening(1, f"{kind}-endless"))
            items, last = await client.answer(1)
            assert (items, last.status) == ([], "forbidden")
            assert scene.opened == []

    run(main())


def test_a_value_from_a_hook_is_no_stream(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()

    @scene.app.around
    async def replace(call: Context, proceed: Proceed) -> Any:
        return await proceed() or "something else"

    async def main() -> None:
        async with wire(scene.app) as client:
            client.send(opening(1, "async-values", values=[1]))
            items, last = await client.answer(1)
            assert (items, last.status) == ([1], "internal")

    run(main())
    assert "a hook answered with a value" in caplog.text


@each_kind
def test_a_stream_that_a_hook_abandons_is_closed(kind: str) -> None:
    scene = Scene()

    @scene.app.around
    async def bound(call: Context, proceed: Proceed) -> Any:
        try:
            async with asyncio.timeout(0.05):
                return await proceed()
        except TimeoutError:
            raise Forbidden("that is enough") from None

    async def main() -> None:
        async with wire(scene.app) as client:
            client.send(opening(1, f"{kind}-endless", size=600_000))
            assert await last_of(client, 1) == "forbidden"
            await until(lambda: scene.closed == scene.opened and scene.closed)
            client.send(frame({"id": 1, "credit": 10_000_000}), opening(2, "letterhead.ping"))
            assert (await client.frame()).id == 2

    run(main())


# -- forms, servers, numbers ---------------------------------------------------------------------------------------


@each_kind
def test_a_classic_connection_cannot_carry_a_stream(kind: str) -> None:
    async def main() -> None:
        async with wire(Scene().app) as client:
            client.send(json_frame({"action": f"{kind}-values", "value": {"values": [1]}}))
            got = await client.frame()
            assert got.code == "invalid-argument"
            assert "answers with a stream, which a connection without ids cannot carry" in got.value["result"]

    run(main())


@each_kind
def test_in_classic_form_items_are_not_wrapped(kind: str) -> None:
    async def main() -> None:
        async with wire(Scene().app) as client:
            client.send(json_frame({"action": f"{kind}-values", "value": {"values": [1, {"a": 2}]}}, {"id": 1}))
            items, last = await client.answer(1)
            assert (items, last.header["more"]) == ([1, {"a": 2}], False)

    run(main())


@each_kind
def test_a_server_that_ends_ends_its_streams(kind: str) -> None:
    scene = Scene(limits=Limits(drain_seconds=0.05, linger_quiet_seconds=0.05))

    async def main() -> None:
        async with wire(scene.app) as client:
            client.send(opening(1, f"{kind}-endless", size=600_000))
            await client.frame()
        await until(lambda: scene.closed == scene.opened)

    run(main())


@each_kind
def test_a_stream_counts_as_one_request(kind: str) -> None:
    scene = Scene()

    async def main() -> None:
        async with wire(scene.app) as client:
            client.send(opening(1, f"{kind}-values", values=[1, 2, 3]))
            await client.answer(1)
            client.send(opening(2, f"{kind}-failing", values=[1, 2], refuses=True))
            await client.answer(2)
            client.send(opening(3, "letterhead.health"))
            told = (await client.frame()).value["requests"]
            assert (told["served"], told["failed"], told["open"]) == (1, {"sold-out": 1}, 1)
            assert told["items"] == {"received": 0, "sent": 5}

    run(main())

"""What is not ours, and runs within a client, costs its own call, and is seen by nobody else."""

import asyncio
import contextlib
import gc
import logging
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from letterhead import App, AsyncClient, Client, ConnectionFailed, Limits, current, testing
from letterhead.errors import UsageError
from letterhead.server.server import Server
from letterhead.testing import background, memory
from tests import leaks
from tests.app.calling import client_to

WHO: ContextVar[str] = ContextVar("who", default="nobody")
QUICK = Limits(reconnect_seconds=0.001, reconnect_max_seconds=0.01)


def greeter() -> App:
    app = App()

    @app.action
    async def echo(value: int) -> int:
        return value

    return app


class Raises(logging.Filter):
    """A log filter that fails, whatever it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def filter(self, record: logging.LogRecord) -> bool:
        self.asked += 1
        raise RuntimeError("a filter of the program's")


@pytest.fixture
def failing_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Raises]:
    log, failing = logging.getLogger("letterhead.client"), Raises()
    monkeypatch.setattr(logging, "raiseExceptions", False)
    level = log.level
    log.addFilter(failing)
    log.setLevel(logging.DEBUG)
    yield failing
    log.removeFilter(failing)
    log.setLevel(level)


def test_a_log_filter_that_raises_costs_the_blocking_client_nothing(failing_log: Raises) -> None:
    with background.running(greeter(), "127.0.0.1:0") as served:
        address = served.server.addresses[0]
        with Client([address, "127.0.0.1:1"], limits=QUICK, timeout=leaks.PATIENCE) as client:
            assert [client.call("echo", n) for n in range(3)] == [0, 1, 2]
            threads = [threading.Thread(target=client.call, args=("echo", n)) for n in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(leaks.PATIENCE)
                assert not thread.is_alive()
            assert client.call("echo", 5) == 5
    assert failing_log.asked


def test_a_log_filter_that_raises_costs_the_async_client_nothing(failing_log: Raises) -> None:
    async def main() -> None:
        app = greeter()
        async with Server(app, ()) as server:
            connector = memory.connector(server)
            async with AsyncClient(memory.ADDRESS, connector=connector, limits=QUICK) as client:
                calls = [client.call("echo", n, timeout=leaks.PATIENCE) for n in range(20)]
                assert await asyncio.gather(*calls) == list(range(20))

    leaks.run(main())
    assert failing_log.asked


def test_what_serves_all_calls_runs_in_no_caller_s_context() -> None:
    """A connection that was made for a handler's call has not that handler's deadline, nor its context variables."""
    seen: list[tuple[str, str, bool]] = []

    def note(where: str) -> None:
        try:
            current()
            inside = True
        except UsageError:
            inside = False
        seen.append((where, WHO.get(), inside))

    async def main() -> None:
        backend, app = greeter(), App()
        async with Server(backend, ()) as server:
            connect = memory.connector(server)

            async def connector(address: str, factory: Any) -> object:
                note("connector")
                return await connect(address, factory)

            client = AsyncClient(memory.ADDRESS, connector=connector, on_state=lambda state: note("on_state"))

            @app.action
            async def asks() -> int:
                WHO.set("a handler")
                value: int = await client.call("echo", 7)
                return value

            async with client, testing.connected(app) as front:
                assert await front.call("asks") == 7
                await leaks.until(lambda: len(seen) >= 3)

    leaks.run(main())
    assert {(who, inside) for _, who, inside in seen} == {("nobody", False)}
    assert {where for where, _, _ in seen} == {"connector", "on_state"}


def test_threads_of_the_blocking_client_see_no_caller_s_context() -> None:
    seen: list[str] = []
    with background.running(greeter()) as served:

        def connector(address: str, timeout: float | None) -> Any:
            seen.append(WHO.get())
            return served.connector(address, timeout)

        WHO.set("the main thread")
        options: dict[str, Any] = {"connector": connector, "on_state": lambda state: seen.append(WHO.get())}
        with Client(["memory:0", "memory:1"], **options) as client:  # of several, threads make the connections
            assert client.call("echo", 1) == 1
            with contextlib.closing(client.stream("letterhead.describe")):
                pass
    assert seen
    assert set(seen) == {"nobody"}


def test_a_thread_that_cannot_be_started_costs_its_call_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name.startswith("letterhead-") and thread.name != "letterhead-server":
            raise RuntimeError("can't start new thread")
        start(thread)

    with (
        background.running(greeter(), "127.0.0.1:0") as served,
        Client(served.server.addresses[0], timeout=leaks.PATIENCE) as client,
    ):
        assert client.call("echo", 1) == 1
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises((ConnectionFailed, RuntimeError)):
                list(client.stream("letterhead.describe"))
        assert client.call("echo", 2) == 2


@pytest.mark.parametrize("make", [Client, AsyncClient])
def test_an_event_that_a_client_does_not_know_is_an_error(make: type[Client] | type[AsyncClient]) -> None:
    engine: Any = make("127.0.0.1:1")._engine
    events: list[Any] = engine.core.events
    events.append(object())
    with pytest.raises(AssertionError):
        engine._handle() if make is Client else engine.handle()


def test_an_async_client_outlives_a_loop_that_was_closed_under_it() -> None:
    with background.running(greeter(), "127.0.0.1:0") as served:
        client = AsyncClient(served.server.addresses[0], timeout=leaks.PATIENCE)

        async def calls(value: int) -> int:
            result: int = await client.call("echo", value)
            return result

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # transports of closed loops are left to the collector
            for value in (1, 2):
                loop = asyncio.new_event_loop()
                assert loop.run_until_complete(calls(value)) == value
                loop.run_until_complete(asyncio.sleep(0))
                loop.close()
            gc.disable()
            try:
                asyncio.run(client.close())
                served.run(leaks.until(lambda: not served.server.shared.connections))  # whether or not it is collected
            finally:
                gc.enable()
            gc.collect()
        assert client.state == "closed"


def hanging() -> App:
    """An application whose `wait` never ends and whose `total` waits for an upload."""
    app = App()

    @app.action
    async def wait() -> None:
        await asyncio.Event().wait()

    @app.action
    async def total(items: AsyncIterator[int]) -> int:
        return sum([item async for item in items])

    return app


async def forever() -> AsyncIterator[int]:
    """One number, then nothing more."""
    yield 1
    await asyncio.Event().wait()


class Strange(BaseException):
    """Neither an Exception nor a cancellation."""


ENDS: dict[str, tuple[str, dict[str, Any], type[BaseException] | None]] = {
    "closed": ("wait", {}, None),
    "closed in an upload": ("total", {"items": forever}, None),
    "thrown into": ("wait", {}, Strange),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_call_whose_coroutine_ends_without_a_cancellation_is_given_up(how: str) -> None:
    action, arguments, strange = ENDS[how]

    async def main() -> None:
        async with Server(hanging(), ()) as server, client_to(server) as client:
            coroutine = client.call(action, **{name: make() for name, make in arguments.items()})
            coroutine.send(None)
            await leaks.until(lambda: server.shared.counters.open_now == 1)
            if strange is None:
                coroutine.close()
            else:
                with pytest.raises(strange):
                    coroutine.throw(strange())
            await leaks.until(lambda: server.shared.counters.open_now == 0)

    leaks.run(main())


def test_an_iterable_that_exits_ends_its_call_and_the_program() -> None:
    seen: list[BaseException] = []

    def exits() -> Iterator[int]:
        yield 1
        raise SystemExit(3)

    async def main() -> None:
        async with Server(hanging(), ()) as server, client_to(server) as client:
            try:
                await client.call("total", items=exits())
            except BaseException as error:
                seen.append(error)
                raise

    with pytest.raises(SystemExit) as exit:
        asyncio.run(main())
    assert exit.value.code == 3
    assert seen


def test_the_clients_logger_is_got_once(failing_log: Raises, monkeypatch: pytest.MonkeyPatch) -> None:
    """``getLogger`` takes a lock of the whole program, which a thread that is interrupted there keeps for ever."""
    got: list[str | None] = []
    get = logging.getLogger

    def noting(name: str | None = None) -> logging.Logger:
        got.append(name)
        return get(name)

    monkeypatch.setattr(logging, "getLogger", noting)
    with pytest.raises(ConnectionFailed):
        Client("127.0.0.1:1", limits=QUICK, timeout=0.2).call("echo", 1)
    asked = failing_log.asked
    assert asked
    got.clear()
    with pytest.raises(ConnectionFailed):
        Client("127.0.0.1:1", limits=QUICK, timeout=0.2).call("echo", 1)
    assert failing_log.asked > asked
    assert "letterhead.client" not in got

"""Code of the program's own may raise anywhere, and costs only its own call: the answer, the slot, others' answers."""

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from letterhead import App, AsyncClient, Context, Internal, Limits, Refused
from letterhead import log as letterhead_log
from letterhead.app.actions import Proceed
from letterhead.app.threads import Threads
from tests import leaks
from tests.app.calling import client_of, client_to, outcome, served
from tests.app.wire import opening, wire
from tests.conftest import Run


class Stranger(BaseException):
    """What no `except Exception` catches."""


class Raising(logging.Handler):
    """A log handler that raises; `raised` counts."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error
        self.raised = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.raised += 1
        raise self.error("a broken log handler")

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno == logging.ERROR and record.args and "filtered" in str(record.args):
            self.emit(record)
        return True


@pytest.fixture(params=[OSError, Stranger, SystemExit])
def broken_log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Raising]:
    """A handler that raises, at the package's logger, while a test runs."""
    logger = logging.getLogger("letterhead")
    handler = Raising(request.param)
    logger.addHandler(handler)
    monkeypatch.setattr(logging, "raiseExceptions", False)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


def failing() -> App:
    app = App()

    @app.action
    async def fail(what: str = "") -> None:
        raise KeyError(what)

    @app.action(name="fail-filtered")
    def fail_in_a_thread() -> None:
        raise KeyError("in a thread")

    @app.action
    async def gate(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    return app


def test_a_log_handler_that_raises_loses_no_answer_and_no_slot(run: Run, broken_log: Raising) -> None:
    async def main() -> None:
        async with served(failing()) as server, client_to(server) as client:
            for name in ("fail", "fail-filtered"):
                for _ in range(3):
                    with pytest.raises(Internal):
                        await client.call(name, timeout=leaks.PATIENCE)
            await leaks.until(lambda: server.shared.counters.open_now == 0)
            assert await client.call("letterhead.ping", 1) == 1

    run(main())
    assert broken_log.raised >= 6


def test_a_log_handler_that_raises_drops_no_answers_of_other_connections(run: Run, broken_log: Raising) -> None:
    """Answers of many connections leave at the end of one turn of the loop, whatever became of one of them."""

    async def main() -> None:
        async with served(failing()) as server:
            clients: list[AsyncClient] = [client_to(server) for _ in range(6)]
            try:
                for client in clients:
                    await client.call("letterhead.ping")
                calls = [
                    client.call("fail" if n % 2 else "gate", *(() if n % 2 else (0.0,)))
                    for n, client in enumerate(clients)
                ]
                results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), leaks.PATIENCE)
                assert [type(result) for result in results] == [float, Internal] * 3
            finally:
                for client in clients:
                    await client.close()

    run(main())
    assert broken_log.raised >= 3


def test_a_transport_that_raises_costs_its_own_connection() -> None:
    """Also where answers of others leave in the same turn of the loop."""
    app = failing()
    gate = asyncio.Event()

    @app.action
    async def together() -> str:
        await gate.wait()
        return "answered"

    def broken(data: bytes) -> None:
        raise OSError("a broken transport")

    async def main() -> None:
        reported: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
        async with served(app) as server:
            clients = [client_to(server) for _ in range(5)]
            try:
                calls = []
                for client in clients:
                    await client.call("letterhead.ping")
                    calls.append(asyncio.ensure_future(client.call("together", timeout=leaks.PATIENCE)))
                await leaks.until(lambda: server.shared.counters.open_now == 5)
                spoiled = next(iter(server.shared.connections))
                transport = spoiled.transport  # type: ignore[attr-defined]
                transport.write = transport.writelines = broken
                gate.set()
                results = await asyncio.gather(*calls, return_exceptions=True)
                assert results.count("answered") == 4
                await leaks.until(lambda: spoiled not in server.shared.connections)
                await leaks.until(lambda: server.shared.counters.open_now == 0)
            finally:
                for client in clients:
                    await client.close()
        assert reported == ["what was to be sent on a connection could not be"]

    with asyncio.Runner() as runner:
        runner.run(main())


def test_a_log_handler_that_raises_does_not_keep_a_server_from_leaving(run: Run, broken_log: Raising) -> None:
    ended: list[str] = []
    app = failing()

    @app.on_stop
    def stop() -> None:
        ended.append("stopped")

    async def main() -> None:
        server = served(app)
        await server.start()
        async with client_to(server) as client:
            call = asyncio.ensure_future(outcome(client, "gate", seconds=1000.0))
            await leaks.until(lambda: server.shared.counters.open_now == 1)
            await server.close(timeout=0.0)
            assert (await call)[0] in ("cancelled", "unavailable")

    run(main())
    assert ended == ["stopped"]


def test_what_a_log_handler_raised_is_told_once_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letterhead_log, "_reported", False)
    logger = logging.getLogger("letterhead.test")
    handler = Raising(OSError)
    logger.addHandler(handler)
    try:
        for _ in range(2):
            letterhead_log.say(logger, logging.ERROR, "an-event", "a sentence")
    finally:
        logger.removeHandler(handler)
    told = capsys.readouterr().err
    assert told.count("the event 'an-event' was not logged") == 1
    assert "a broken log handler" in told
    assert handler.raised == 2


def test_ctrl_c_in_a_log_handler_is_no_fault_of_its_own() -> None:
    logger = logging.getLogger("letterhead.test")
    handler = Raising(KeyboardInterrupt)
    logger.addHandler(handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            letterhead_log.say(logger, logging.ERROR, "an-event", "a sentence")
    finally:
        logger.removeHandler(handler)


# -- errors of the program's own -------------------------------------------------------------------------------------


class NoFacts(Refused):
    """A refusal whose facts cannot be had."""

    @property
    def facts(self) -> dict[str, Any]:
        raise ZeroDivisionError

    @facts.setter
    def facts(self, value: object) -> None: ...


class Hides(Exception):
    """An error that raises when it is looked at."""

    @property
    def code(self) -> str:
        raise ZeroDivisionError


def changed(**attributes: Any) -> Callable[[], Refused]:
    def make() -> Refused:
        refused = Refused("odd", "an odd one")
        for name, value in attributes.items():
            setattr(refused, name, value)
        return refused

    return make


class Odd(set[int]):
    """A set that raises what no encoder expects."""

    def __iter__(self) -> Iterator[int]:
        raise Stranger


ERRORS: dict[str, Callable[[], BaseException]] = {
    "a refusal without facts": lambda: NoFacts("odd", "an odd one"),
    "a refusal whose message is none": changed(message=object()),
    "a refusal whose code is none": changed(code=7),
    "a refusal whose facts are none": changed(facts=[1]),
    "an error that hides its code": Hides,
    "GeneratorExit": GeneratorExit,
    "a stranger": Stranger,
}


@pytest.mark.parametrize("what", ERRORS)
@pytest.mark.parametrize("hooked", [False, True], ids=["plain", "in a hook"])
def test_whatever_is_raised_its_call_is_answered_and_its_slot_free(run: Run, what: str, hooked: bool) -> None:
    app = App(limits=Limits(max_open=2))

    @app.action
    async def fail(waits: bool) -> None:
        if waits:
            await asyncio.sleep(0)
        if not hooked:
            raise ERRORS[what]()

    if hooked:

        @app.around
        async def hook(call: Context, proceed: Proceed) -> Any:
            await proceed()
            if call.action == "fail":
                raise ERRORS[what]()

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            for waits in (False, True) * 3:
                with pytest.raises((Internal, Refused)):
                    await client.call("fail", waits=waits, timeout=leaks.PATIENCE)
            await leaks.until(lambda: server.shared.counters.open_now == 0)

    logging.getLogger("letterhead").setLevel(logging.CRITICAL)
    try:
        run(main())
    finally:
        logging.getLogger("letterhead").setLevel(logging.NOTSET)


def test_a_fact_that_raises_when_it_is_looked_at_is_left_out(run: Run) -> None:
    app = App()

    @app.action
    async def refuse() -> None:
        raise Refused("odd", "an odd one", numbers=Odd({1, 2}))

    async def main() -> None:
        async with client_of(app) as client:
            with pytest.raises(Refused, match="an odd one") as caught:
                await client.call("refuse", timeout=leaks.PATIENCE)
            assert (caught.value.code, caught.value.facts) == ("odd", {})

    run(main())


# -- iterables -------------------------------------------------------------------------------------------------------


class Closes:
    """An iterator that raises when it is closed."""

    def __init__(self) -> None:
        self.left = 2

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.left -= 1
        if self.left < 0:
            raise StopIteration
        return self.left

    def close(self) -> None:
        raise Stranger

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        raise Stranger


@pytest.mark.parametrize("kind", ["async", "inline", "thread"])
def test_an_iterable_that_raises_when_it_is_closed_costs_its_own_stream(run: Run, kind: str) -> None:
    app = App(threads=1)

    @app.action(name="async")
    async def on_the_loop() -> AsyncIterator[int]:
        return Closes()

    @app.action(name="inline", run="inline")
    def inline() -> Iterator[int]:
        return Closes()

    @app.action(name="thread")
    def in_a_thread() -> Iterator[int]:
        return Closes()

    async def main() -> None:
        async with wire(app) as client:
            for id in range(1, 4):
                client.send(opening(id, kind))
                items, last = await client.answer(id)
                assert items == [1, 0]
                assert last.value["error"]["code"] == "internal"
            await leaks.until(lambda: client.server.shared.counters.open_now == 0)

    run(main())


# -- hooks of the server ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [asyncio.CancelledError, Stranger])
def test_all_stop_hooks_are_called_whatever_one_of_them_raises(error: type[BaseException]) -> None:
    app = App()
    called: list[str] = []

    @app.on_stop
    def last() -> None:
        called.append("last")

    @app.on_stop
    async def broken() -> None:
        called.append("broken")
        raise error

    @app.on_stop
    def first() -> None:
        called.append("first")

    async def main() -> None:
        server = served(app)
        await server.start()
        with pytest.raises(error):
            await server.close()
        await server.start()  # it has ended
        app.stop_hooks.clear()
        await server.close()

    leaks.run(main())
    assert called == ["first", "broken", "last"]


def test_what_on_ready_raises_ends_the_server_in_order() -> None:
    app = App()
    called: list[str] = []
    app.on_stop(lambda: called.append("stopped"))

    def broken(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        app.run("127.0.0.1:0", on_ready=broken)
    assert called == ["stopped"]


# -- the system gives no thread --------------------------------------------------------------------------------------


def test_a_thread_that_cannot_be_started_costs_its_own_call(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    app = App(threads=2)

    @app.action
    def work(value: int) -> int:
        return value

    @app.action
    def count(to: int) -> Iterator[int]:
        yield from range(to)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            await client.call("letterhead.ping")
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", refuse)
                for _ in range(3):
                    with pytest.raises(Internal):
                        await client.call("work", 1, timeout=leaks.PATIENCE)
                    with pytest.raises(Internal):
                        [item async for item in client.stream("count", to=3)]
            await leaks.until(lambda: server.shared.counters.open_now == 0)
            assert await client.call("work", 2) == 2
            assert [item async for item in client.stream("count", to=3)] == [0, 1, 2]

    logging.getLogger("letterhead").setLevel(logging.CRITICAL)
    try:
        run(main())
    finally:
        logging.getLogger("letterhead").setLevel(logging.NOTSET)


def test_work_waits_for_the_threads_that_there_are_where_no_more_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = Threads(4)
    gate = threading.Event()
    first = threads.submit("one", gate.wait, leaks.PATIENCE)
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: sys.exit("no thread") if gate.is_set() else refuse())

    def refuse() -> None:
        raise RuntimeError("can't start new thread")

    second = threads.submit("two", lambda: "done")
    gate.set()
    assert first.result(leaks.PATIENCE)
    assert second.result(leaks.PATIENCE) == "done"
    monkeypatch.setattr(threading.Thread, "start", start)
    assert threads.submit("three", lambda: "again").result(leaks.PATIENCE) == "again"
    threads.close()

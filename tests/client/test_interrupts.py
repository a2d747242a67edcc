"""Exceptions that a signal handler raises in a thread that calls cost its own call, wherever they come."""

import asyncio
import gc
import os
import random
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from letterhead import App, Client, ConnectionFailed, Limits
from letterhead.testing import background
from tests.leaks import PATIENCE
from tests.net import peers
from tests.net.ports import free_port
from tests.net.resolving import hanging_resolver

_INTERRUPTED = "interrupted"


class Ended(Exception):
    """What a signal handler may raise."""


@pytest.fixture(params=[KeyboardInterrupt, Ended, TimeoutError])
def interrupts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Interrupts this thread after so many seconds; 0 for not at all."""
    # What was being made when the interruption came is closed by the collector, and finalizers are interrupted, too.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)

    def interrupt(*_: object) -> None:
        raise request.param(_INTERRUPTED)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.collect()


@pytest.fixture
def address() -> Iterator[str]:
    app = App()

    @app.action
    async def echo(value: int) -> int:
        return value

    @app.action
    def slow(value: int) -> int:
        time.sleep(0.005)
        return value

    @app.action
    async def count(to: int) -> Any:
        for number in range(to):
            yield number

    @app.action
    async def total(numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    @app.action
    async def never() -> None:
        await asyncio.Event().wait()

    @app.action
    async def silent() -> Any:
        yield 0
        await asyncio.Event().wait()

    @app.action
    def interrupting() -> int:
        time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGALRM)
        time.sleep(0.02)
        return 1

    with background.running(app, "127.0.0.1:0") as served:
        yield served.server.addresses[0]


def interrupted(call: Callable[[], int], interrupts: Callable[[float], None], seconds: float) -> int | None:
    """The call's result, or None where it was interrupted."""
    try:
        try:
            interrupts(seconds)
            return call()
        finally:
            interrupts(0)
    except (KeyboardInterrupt, Ended, TimeoutError) as error:
        if error.args != (_INTERRUPTED,):
            raise
        return None


class Others:
    """Threads that call all the time beside a stream that stays open, and what went wrong there."""

    def __init__(self, client: Client, count: int) -> None:
        self.failures: list[BaseException] = []
        self.calls = 0
        self._client = client
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(count)]

    def __enter__(self) -> "Others":
        self._stream = self._client.stream("silent")
        assert next(self._stream) == 0
        for thread in self._threads:
            thread.start()
        return self

    def _run(self, number: int) -> None:
        value = number * 1_000_000
        while not self._over.is_set():
            value += 1
            try:
                assert self._client.call("slow", value, timeout=PATIENCE) == value
            except BaseException as failure:
                self.failures.append(failure)
                return
            self.calls += 1

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert self.failures == []
        assert self.calls
        assert self._client.counters["connected"] == 1, "the connection lives on"
        self._stream.close()


@pytest.mark.parametrize("action", ["echo", "slow"])
def test_the_calls_of_others_go_on_wherever_one_is_interrupted(
    action: str, address: str, interrupts: Callable[[float], None]
) -> None:
    chance = random.Random(11)
    ended = 0
    with Client(address) as client:
        client.call("echo", 0)
        with Others(client, 3):
            for number in range(300):
                seconds = chance.uniform(1e-6, 1.5e-3 if action == "echo" else 2e-2)
                result = interrupted(lambda n=number: client.call(action, n), interrupts, seconds)  # type: ignore[misc]
                assert result in (None, number)
                ended += result is None
        assert 0 < ended < 300
        assert client.call("echo", 5, timeout=PATIENCE) == 5


def test_who_waits_alone_may_be_interrupted_and_keeps_the_connection(
    address: str, interrupts: Callable[[float], None]
) -> None:
    with Client(address) as client:
        client.call("echo", 0)
        for number in range(20):
            assert interrupted(lambda: client.call("interrupting"), interrupts, 0) is None
            assert client.call("echo", number, timeout=PATIENCE) == number
        assert client.counters["connected"] == 1


def test_a_thread_that_is_alone_can_go_on_wherever_it_is_interrupted(
    address: str, interrupts: Callable[[float], None]
) -> None:
    chance = random.Random(5)
    with Client(address) as client:
        for number in range(500):
            seconds = chance.uniform(1e-6, 3e-4)
            result = interrupted(lambda n=number: client.call("echo", n), interrupts, seconds)  # type: ignore[misc]
            assert result in (None, number)
            if result is None and number % 7 == 0:
                assert client.call("echo", number, timeout=PATIENCE) == number


def test_a_thread_that_is_alone_keeps_the_connection_wherever_ctrl_c_comes(address: str) -> None:
    """Also in the midst of a step: the handler of SIGINT is called behind it."""
    chance = random.Random(3)
    ended = 0

    def ctrl_c(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGALRM, ctrl_c), signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Client(address) as client:
            client.call("echo", 0)
            for number in range(3_000):
                try:
                    signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, 3e-4))
                    assert client.call("echo", number) == number
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except KeyboardInterrupt:
                    ended += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert 0 < ended < 3_000
            assert client.call("echo", 5, timeout=PATIENCE) == 5
            assert client.counters["connected"] == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before[0])
        signal.signal(signal.SIGINT, before[1])


def test_a_stream_that_was_interrupted_ends_and_others_go_on(address: str, interrupts: Callable[[float], None]) -> None:
    chance = random.Random(7)
    with Client(address) as client:
        client.call("echo", 0)
        with Others(client, 2):
            for _ in range(300):
                seconds = chance.uniform(1e-6, 2e-3)
                interrupted(lambda: sum(client.stream("count", to=100)), interrupts, seconds)
        assert list(client.stream("count", to=100, timeout=PATIENCE)) == list(range(100))


WAITS = ["for an answer", "for an item", "for the driver", "for a name", "for a connection", "for a server"]


@pytest.mark.parametrize("waiting", WAITS)
def test_a_signal_that_another_thread_took_interrupts_the_main_thread(address: str, waiting: str) -> None:
    """The system may give it to any thread, and Python calls the handler in the main one when that runs next."""

    def interrupt(*_: object) -> None:
        raise Ended(_INTERRUPTED)

    def take() -> None:
        time.sleep(0.1)  # the main thread waits by now, or does so when the signal was there before
        signal.pthread_kill(threading.get_ident(), signal.SIGALRM)
        if waiting == "for the driver":
            held.wait(PATIENCE)

    held = threading.Event()
    before = signal.signal(signal.SIGALRM, interrupt)
    taker = threading.Thread(target=take)
    try:
        with ExitStack() as stack:
            if waiting == "for a name":
                stack.enter_context(hanging_resolver())
                address = "name.test:80"
            elif waiting == "for a connection":
                address = stack.enter_context(peers.full_backlog())
            elif waiting == "for a server":
                address = f"127.0.0.1:{free_port()}"
            limits = Limits(connect_seconds=PATIENCE, reconnect_seconds=PATIENCE, reconnect_max_seconds=PATIENCE)
            client = stack.enter_context(Client(address, wait_for_ready=True, limits=limits))
            engine: Any = client._engine
            taker.start()
            with pytest.raises(Ended):
                if waiting == "for an item":
                    list(client.stream("silent"))
                elif waiting != "for the driver":
                    client.call("never", timeout=PATIENCE)
                else:
                    engine._posted.append(lambda: held.wait(PATIENCE))
                    engine._start_driver()
                    engine._wake_driver()
                    with engine.waiting():
                        engine._by_driver(lambda: None)
            held.set()
    finally:
        held.set()
        taker.join()
        signal.signal(signal.SIGALRM, before)


def test_another_thread_may_submit_while_the_main_thread_waits_for_its_step(
    address: str, interrupts: Callable[[float], None]
) -> None:
    """Whose calls an interruption may end is asked with the lock held, and not before."""
    with Client(address, timeout=PATIENCE) as client:
        engine: Any = client._engine
        client.call("echo", 0)
        asked: list[bool] = []
        answers: list[int] = []

        class Late:
            """The engine's lock; whoever takes it first waits until another thread has a call open."""

            def __init__(self, lock: threading.Lock) -> None:
                self._lock = lock

            def __enter__(self) -> None:
                if threading.current_thread() is threading.main_thread() and not asked:
                    asked.append(True)
                    other.start()
                    until = time.monotonic() + PATIENCE
                    while not engine.core.calls and time.monotonic() < until:
                        time.sleep(0.001)
                self._lock.acquire()

            def __exit__(self, *_: object) -> None:
                self._lock.release()

        other = threading.Thread(target=lambda: answers.append(client.call("slow", 7)), daemon=True)
        engine._lock = Late(engine._lock)
        steps: list[str] = []
        take = engine._step

        def step(*arguments: Any, **named: Any) -> Any:
            steps.append(threading.current_thread().name)
            return take(*arguments, **named)

        engine._step = step
        assert client.call("echo", 1) == 1
        other.join(PATIENCE)
        assert answers == [7]
        assert "MainThread" not in steps[: steps.index("letterhead-driver") + 1]


def test_what_the_main_thread_gives_up_is_not_overtaken_by_what_it_had_asked_for() -> None:
    """Its submission waits for the driver, it is interrupted, and meanwhile it is the only one with a call."""
    app = App()

    @app.action
    async def echo(value: int) -> int:
        return value

    @app.action
    def hold() -> None:
        released.wait(PATIENCE)

    def interrupt(*_: object) -> None:
        raise Ended(_INTERRUPTED)

    def until(what: Callable[[], bool]) -> bool:
        ends = time.monotonic() + PATIENCE
        while not what() and time.monotonic() < ends:
            time.sleep(0.001)
        return what()

    released, gate = threading.Event(), threading.Event()
    seen: list[str] = []
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with background.running(app, "127.0.0.1:0") as served, Client(served.server.addresses[0]) as client:
            client.call("echo", value=0)
            engine: Any = client._engine
            other = threading.Thread(target=client.call, args=("hold",))
            other.start()
            assert until(lambda: served.server.shared.counters.open_now == 1)
            engine._posted.append(lambda: gate.wait(PATIENCE))  # the driver has its hands full
            assert engine._start_driver()
            engine._wake_driver()

            def play() -> None:
                assert until(lambda: len(engine._posted) == 2)
                seen.append("the submission waits")
                released.set()
                assert until(lambda: not engine.core.calls)
                seen.append("nobody else has a call")
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
                assert until(lambda: len(engine._posted) == 3)
                seen.append("so does the cancellation")
                gate.set()

            player = threading.Thread(target=play)
            player.start()
            with pytest.raises(Ended):
                client.call("echo", value=1)
            player.join()
            other.join()
            assert seen == ["the submission waits", "nobody else has a call", "so does the cancellation"]
            assert not engine.core.calls
            assert client.call("echo", value=2) == 2
    finally:
        gate.set()
        signal.signal(signal.SIGALRM, before)


def test_a_stream_that_is_interrupted_as_it_is_opened_is_left(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(address, timeout=PATIENCE) as client:
        engine: Any = client._engine
        client.call("echo", 0)
        opened = engine.open

        def interrupted_after(*arguments: Any) -> None:
            opened(*arguments)
            raise KeyboardInterrupt(_INTERRUPTED)

        with monkeypatch.context() as patched:
            patched.setattr(engine, "open", interrupted_after)
            for _ in range(3):
                with pytest.raises(KeyboardInterrupt):
                    client.stream("silent")
        gc.collect()
        until = time.monotonic() + PATIENCE
        while engine.core.calls and time.monotonic() < until:
            time.sleep(0.001)
        assert not engine.core.calls


def test_whoever_waits_for_a_call_whose_end_was_not_carried_out_is_woken(address: str) -> None:
    """A step that breaks off between the end of a call and its event wakes all who wait, an upload among them."""
    with Client(address, timeout=PATIENCE) as client:
        engine: Any = client._engine
        gate = threading.Event()

        def numbers() -> Iterator[int]:
            yield 1
            gate.wait(PATIENCE)
            yield 2

        failures: list[BaseException] = []

        def ask() -> None:
            try:
                client.call("total", numbers())
            except Exception as failure:
                failures.append(failure)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        until = time.monotonic() + PATIENCE
        while not any(call.upload_begun for call in list(engine.core.calls)) and time.monotonic() < until:
            time.sleep(0.001)

        def breaks_off() -> None:
            for call in list(engine.core.calls):
                engine.core.cancel(call, time.monotonic())
            raise KeyboardInterrupt(_INTERRUPTED)

        with pytest.raises(KeyboardInterrupt), engine._lock:
            engine._step(breaks_off)
        gate.set()
        asking.join(PATIENCE)
        assert not asking.is_alive()
        assert len(failures) == 1
        while any(t.name == "letterhead-upload" for t in threading.enumerate()) and time.monotonic() < until:
            time.sleep(0.001)
        assert not any(t.name == "letterhead-upload" for t in threading.enumerate())


def test_a_call_alone_that_is_interrupted_while_it_connects_asks_for_no_other_connection() -> None:
    dials: list[str] = []

    def connector(server: str, timeout: float | None) -> Any:
        dials.append(threading.current_thread().name)
        raise KeyboardInterrupt(_INTERRUPTED)

    with Client("memory:0", connector=connector) as client:
        with pytest.raises(KeyboardInterrupt):
            client.call("echo", 1)
        assert client.state == "idle"
        time.sleep(0.05)
        assert dials == ["MainThread"]


@pytest.mark.parametrize("kind", [TimeoutError, ValueError, Ended])
def test_what_a_signal_handler_raises_while_a_call_connects_is_raised_here(kind: type[Exception]) -> None:
    def interrupt(*_: object) -> None:
        raise kind(_INTERRUPTED)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with peers.full_backlog() as dead, Client(dead, timeout=PATIENCE) as client:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(kind, match=_INTERRUPTED):
                client.call("echo", 1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_connector_that_ends_its_thread_is_told_to_all_who_wait() -> None:
    failures: list[BaseException] = []
    asked = threading.Barrier(3)

    def connector(server: str, timeout: float | None) -> Any:
        raise SystemExit("over")

    with Client(["memory:0", "memory:1"], connector=connector, timeout=PATIENCE) as client:

        def ask() -> None:
            asked.wait(PATIENCE)
            try:
                client.call("echo", 1)
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE / 2)
            assert not thread.is_alive()
    assert [type(failure) for failure in failures] == [ConnectionFailed] * 3

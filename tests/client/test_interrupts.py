"""Exceptions that a signal handler raises in a thread that calls cost its own call, wherever they come."""

import asyncio
import gc
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from letterhead import App, Client, ConnectTimedOut, Limits
from letterhead.testing import background
from tests.leaks import PATIENCE

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
    except ConnectTimedOut:
        return None  # a TimeoutError, while it was connecting
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
            for number in range(800):
                seconds = chance.uniform(1e-6, 1.5e-3 if action == "echo" else 2e-2)
                result = interrupted(lambda n=number: client.call(action, n), interrupts, seconds)  # type: ignore[misc]
                assert result in (None, number)
                ended += result is None
        assert 0 < ended < 800
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
    # A TimeoutError that comes while it connects counts as one of connecting.
    with Client(address, limits=Limits(reconnect_seconds=0.001, reconnect_max_seconds=0.001)) as client:
        for number in range(2_000):
            seconds = chance.uniform(1e-6, 3e-4)
            result = interrupted(lambda n=number: client.call("echo", n), interrupts, seconds)  # type: ignore[misc]
            assert result in (None, number)
            if result is None and number % 7 == 0:
                assert client.call("echo", number, timeout=PATIENCE) == number


def test_a_stream_that_was_interrupted_ends_and_others_go_on(address: str, interrupts: Callable[[float], None]) -> None:
    chance = random.Random(7)
    with Client(address) as client:
        client.call("echo", 0)
        with Others(client, 2):
            for _ in range(300):
                seconds = chance.uniform(1e-6, 2e-3)
                interrupted(lambda: sum(client.stream("count", to=100)), interrupts, seconds)
        assert list(client.stream("count", to=100, timeout=PATIENCE)) == list(range(100))

"""What a client tells while no call of it fails: log lines with fields, and its state."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from letterhead import AsyncClient, Client, Limits, UsageError
from letterhead.server.server import Server
from letterhead.testing.background import running
from tests import leaks
from tests.net.kinds import Make, each_client
from tests.net.ports import free_port
from tests.net.raw import echo_app

FAST = Limits(linger_quiet_seconds=0.05, drain_seconds=0.2)
LIMITS = Limits(reconnect_seconds=0.02, reconnect_max_seconds=0.1)
LOG = logging.getLogger("letterhead.client")


class Lines(logging.Handler):
    """Keeps the records of a client's log, and does something at each."""

    def __init__(self, at_each: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.failures: list[Exception] = []
        self._at_each = at_each

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        if self._at_each is not None:
            try:
                self._at_each()
            except Exception as error:
                self.failures.append(error)

    def fields(self, event: str) -> list[dict[str, Any]]:
        """The fields of each record of one event."""
        return [vars(record) for record in self.records if vars(record).get("event") == event]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    with listening(handler):
        yield handler


@contextmanager
def listening(handler: Lines) -> Iterator[None]:
    """The handler sees a client's log while the block runs."""
    level = LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + leaks.PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


async def outage(make: Make) -> str:
    """A server that is lost under an open call, away for some attempts, and back; its address."""
    address = f"127.0.0.1:{free_port()}"
    caller = make(address, limits=LIMITS, idempotent=["hold"])
    app = echo_app(FAST)
    begun, gate = asyncio.Event(), asyncio.Event()

    @app.action
    async def hold() -> str:
        begun.set()
        await gate.wait()
        return "held"

    async with Server(app, [address]) as server:
        assert await caller.call("echo", 1) == 1
        call = asyncio.ensure_future(caller.call("hold"))
        await begun.wait()
        for connection in list(server.shared.connections):
            connection.abort()
    await leaks.until(lambda: caller.client.counters["connect-failed"] > 1)
    gate.set()
    async with Server(app, [address]):
        assert await call == "held"
        await caller.close()
    return address


def test_an_outage_is_told_with_fields(lines: Lines) -> None:
    @each_client
    async def tried(make: Make) -> None:
        lines.records.clear()
        address = await outage(make)
        (lost,) = lines.fields("connection-lost")
        assert (lost["server"], lost["open"], lost["error"], lost["levelname"]) == (
            address, 1, "connection-lost", "WARNING",
        )  # fmt: skip
        (repeated,) = lines.fields("call-repeated")
        assert (repeated["server"], repeated["action"], repeated["attempt"]) == (address, "hold", 2)
        failed = lines.fields("connect-failed")
        assert [record["attempt"] for record in failed] == list(range(1, len(failed) + 1))
        assert {record["error"] for record in failed} == {"connect-refused"}
        back = lines.fields("connected")[-1]
        assert (back["server"], back["attempts"], back["levelname"]) == (address, len(failed) + 1, "INFO")
        assert back["seconds"] > 0

    for kind in ("Client-asyncio", "AsyncClient-asyncio"):
        tried(kind)


def test_only_the_first_of_a_row_of_failures_is_a_warning(lines: Lines) -> None:
    with Client(f"127.0.0.1:{free_port()}", limits=LIMITS, wait_for_ready=True) as client:
        with pytest.raises(ConnectionError):
            client.call("echo", 1, timeout=0.4)
        assert [record["levelname"] for record in lines.fields("connect-failed")][:3] == ["WARNING", "DEBUG", "DEBUG"]


def test_a_call_that_fails_at_once_is_no_line_above_debug(lines: Lines) -> None:
    with Client(f"127.0.0.1:{free_port()}") as client, pytest.raises(ConnectionError):
        client.call("echo", 1)
    assert {record.levelname for record in lines.records} == {"DEBUG"}


def test_a_blocking_call_on_a_running_loop_is_warned_of_once(lines: Lines) -> None:
    async def main(client: Client) -> None:
        client.call("echo", 1)
        client.call("echo", 2)

    with running(echo_app(FAST), "127.0.0.1:0") as served, Client(served.server.addresses[0]) as client:
        asyncio.run(main(client))
    assert len(lines.fields("blocking-on-loop")) == 1


@pytest.mark.parametrize("what", ["call", "stream", "close"])
def test_a_handler_of_log_lines_that_uses_the_client_is_refused_and_does_not_wait_for_itself(what: str) -> None:
    with running(echo_app(FAST), "127.0.0.1:0") as served:
        client = Client(served.server.addresses[0], limits=LIMITS)
        uses: dict[str, Callable[[], Any]] = {
            "call": lambda: client.call("echo", 1),
            "stream": lambda: client.stream("echo", 1),
            "close": client.close,
        }
        handler = Lines(uses[what])
        with listening(handler):
            assert client.call("echo", 1) == 1
        client.close()
    assert handler.failures
    assert all(isinstance(failure, UsageError) for failure in handler.failures)


def test_nothing_imports_logging_in_a_plain_call() -> None:
    program = (
        "import sys, letterhead\n"
        "with letterhead.Client(sys.argv[1]) as client:\n"
        "    assert client.call('echo', 1) == 1\n"
        "print('logging' in sys.modules, 'asyncio' in sys.modules)\n"
    )
    with running(echo_app(FAST), "127.0.0.1:0") as served:
        command = [sys.executable, "-c", program, served.server.addresses[0]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=leaks.PATIENCE, check=True)
    assert done.stdout == "False False\n"


# -- states --------------------------------------------------------------------------------------------------------


def test_each_new_state_is_told_in_order() -> None:
    told: list[str] = []
    with running(echo_app(FAST), "127.0.0.1:0") as served:
        with Client(served.server.addresses[0], on_state=told.append) as client:
            client.call("echo", 1)
            client.call("echo", 2)
        until(lambda: "closed" in told)
    assert told == ["connecting", "ready", "closed"]


def test_the_async_client_tells_it_on_its_loop() -> None:
    told: list[str] = []

    async def main() -> None:
        async with Server(echo_app(FAST), ["127.0.0.1:0"]) as server:
            async with AsyncClient(server.addresses[0], on_state=told.append) as client:
                await client.call("echo", 1)
            await leaks.until(lambda: "closed" in told)

    leaks.run(main())
    assert told == ["connecting", "ready", "closed"]


def test_a_callback_may_call_the_client_and_close_it() -> None:
    answers: list[Any] = []

    def on_state(state: str) -> None:
        if state == "ready":
            answers.append(client.call("echo", "from the callback"))
            client.close()

    with running(echo_app(FAST), "127.0.0.1:0") as served:
        client = Client(served.server.addresses[0], on_state=on_state)
        assert client.call("echo", 1) == 1
        until(lambda: client.state == "closed")
    assert answers == ["from the callback"]


def test_a_callback_that_fails_is_told_and_the_next_state_is_told_all_the_same(lines: Lines) -> None:
    told: list[str] = []

    def on_state(state: str) -> None:
        told.append(state)
        raise ValueError("no")

    with running(echo_app(FAST), "127.0.0.1:0") as served:
        with Client(served.server.addresses[0], on_state=on_state) as client:
            client.call("echo", 1)
        until(lambda: "closed" in told)
    until(lambda: sum(record.getMessage() == "on_state failed" for record in lines.records) == len(told))


# -- where a thread must not wait for itself -----------------------------------------------------------------------


@pytest.mark.parametrize("what", ["call", "close", "leave"])
def test_a_signal_handler_at_any_moment_raises_or_works(what: str) -> None:
    """A call that never waited for itself would go on; one that did would hang here."""
    refused = 0
    with running(echo_app(FAST), "127.0.0.1:0") as served:
        client, other = Client(served.server.addresses[0]), Client(served.server.addresses[0])
        streams = [client.stream("echo", n) for n in range(2)]

        def handler(*_: object) -> None:
            nonlocal refused
            try:
                if what == "call":
                    client.call("echo", "from the handler")
                elif what == "leave":
                    streams[0].close()
                else:
                    client.close()
            except UsageError:
                refused += 1

        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
            for n in range(300):
                try:
                    assert client.call("echo", n) == n
                except (UsageError, ConnectionError):
                    client = Client(served.server.addresses[0])  # the handler has closed the one before
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        for stream in streams:
            stream.close()
        client.close()
        other.close()
    assert refused or what == "leave"


def test_the_child_of_a_fork_tells_states_although_the_parent_was_telling_one() -> None:
    entered, gate = threading.Event(), threading.Event()

    def on_state(state: str) -> None:
        if os.getpid() != parent:
            os._exit(7)
        entered.set()
        gate.wait(leaks.PATIENCE)

    parent = os.getpid()
    with (
        running(echo_app(FAST), "127.0.0.1:0") as served,
        Client(served.server.addresses[0], on_state=on_state) as client,
    ):
        assert client.call("echo", 1) == 1
        assert entered.wait(leaks.PATIENCE)
        child = os.fork()
        if child == 0:  # pragma: no cover
            client.call("echo", 2)
            time.sleep(leaks.PATIENCE)
            os._exit(1)
        gate.set()
        _, status = os.waitpid(child, 0)
        assert client.call("echo", 3) == 3
    assert os.waitstatus_to_exitcode(status) == 7

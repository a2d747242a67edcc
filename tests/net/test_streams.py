"""Streams of the blocking client: its threads, its lock, and what interrupts who waits for an item."""

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from letterhead import (
    Cancelled,
    Client,
    ConnectionFailed,
    ConnectionLost,
    DeadlineExceeded,
    Limits,
    Stream,
    UsageError,
    current,
)
from tests.classic import server as classic
from tests.leaks import PATIENCE
from tests.net import peers
from tests.net.conftest import Serve
from tests.net.streaming import Seen, streaming_app


def threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("letterhead-"))


def wait_until(names: list[str]) -> None:
    until = time.monotonic() + PATIENCE
    while threads() != names:
        assert time.monotonic() < until, f"{threads()} instead of {names}"
        time.sleep(0.001)


@pytest.fixture
def client(serve: Serve) -> Iterator[Client]:
    app, seen = streaming_app(Limits(linger_quiet_seconds=0.05))
    with serve(app, "127.0.0.1:0") as served, Client(served.server.addresses[0]) as client:
        client.seen = seen  # type: ignore[attr-defined]
        yield client


def left(client: Client) -> bool:
    seen: Seen = client.seen  # type: ignore[attr-defined]
    return seen.left.wait(PATIENCE)


# Threads


def test_a_reader_thread_lives_as_long_as_a_stream_is_open(client: Client) -> None:
    base = threads()
    assert client.call("echo", 1) == 1
    assert threads() == base
    streams = [client.stream("silent") for _ in range(2)]
    assert [next(stream) for stream in streams] == [0, 0]
    assert threads() == sorted([*base, "letterhead-driver", "letterhead-reader"])
    streams.pop().close()
    assert client.call("echo", 1) == 1
    assert threads() == sorted([*base, "letterhead-driver", "letterhead-reader"])
    streams.pop().close()
    wait_until(base)
    assert client.call("echo", 2) == 2


def test_the_reader_ends_with_the_last_item_though_nobody_took_any(client: Client) -> None:
    base = threads()
    stream = client.stream("count", to=10)
    wait_until(base)
    assert list(stream) == list(range(10))


def test_calls_of_many_threads_go_on_beside_a_stream_that_nobody_reads(client: Client) -> None:
    stalled = client.stream("count", to=1_000_000)
    failures: list[Any] = []

    def call(number: int) -> None:
        answers = [client.call("echo", [number, turn], timeout=PATIENCE) for turn in range(50)]
        if answers != [[number, turn] for turn in range(50)]:
            failures.append(answers)

    workers = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    assert next(stalled) == 0
    stalled.close()


def test_any_thread_may_read_on(client: Client) -> None:
    stream = client.stream("count", to=300)
    items: list[int] = []
    for _ in range(3):
        worker = threading.Thread(target=lambda: items.extend(next(stream) for _ in range(100)))
        worker.start()
        worker.join()
    assert items == list(range(300))
    assert list(stream) == []


# Leaving, without the collector's help


def test_a_loop_that_breaks_cancels_at_once(client: Client) -> None:
    gc.disable()
    try:
        for number in client.stream("silent"):
            assert number == 0
            break
        assert left(client)
    finally:
        gc.enable()


def test_a_loop_that_raises_cancels_while_its_traceback_lives(client: Client) -> None:
    gc.disable()
    try:
        with pytest.raises(LookupError) as caught:
            for _ in client.stream("silent"):
                raise LookupError("in the body")
        assert caught.tb is not None
        assert left(client)
    finally:
        gc.enable()


def test_a_stream_can_be_dropped_by_the_very_thread_that_holds_the_lock(client: Client) -> None:
    stream: Stream[Any] | None = client.stream("silent")
    assert stream is not None
    assert next(stream) == 0
    with client._engine._lock:  # as the collector may, between any two steps
        stream = None
    assert left(client)
    assert client.call("echo", 1) == 1


# Waiting for an item


class Interrupted(Exception):
    """What the signal raises in the main thread."""


def test_a_signal_in_next_cancels_the_stream(client: Client) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        stream = client.stream("silent")
        assert next(stream) == 0
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        with pytest.raises(Interrupted):
            next(stream)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert left(client)
    with pytest.raises(Cancelled):
        next(stream)
    assert client.call("echo", 1) == 1


def test_a_deadline_passes_while_somebody_waits(client: Client) -> None:
    stream = client.stream("silent", timeout=0.1)
    assert next(stream) == 0
    with pytest.raises(DeadlineExceeded):
        next(stream)
    assert left(client)


def test_a_stream_without_a_timeout_waits_only_so_long_for_a_server_that_says_nothing() -> None:
    with peers.peer(peers.never_answers) as address, Client(address, limits=Limits(deadline_seconds=0.2)) as client:
        stream = client.stream("count", to=3)
        with pytest.raises(DeadlineExceeded, match="nothing came back"):
            next(stream)
        with pytest.raises(DeadlineExceeded, match="nothing came back"):
            client.call("total", iter([1]))


def test_where_nobody_listens_the_first_item_says_so() -> None:
    with Client("127.0.0.1:1") as client:
        stream = client.stream("count", to=3)
        with pytest.raises(ConnectionFailed, match="nothing listens"):
            next(stream)
        with pytest.raises(ConnectionFailed, match="nothing listens"):
            client.call("total", iter([1]))


def test_a_classic_server_is_told_to_know_no_streams() -> None:
    with classic.running() as where, Client(":".join(map(str, where))) as client:
        for _ in range(2):  # not known yet, and known
            with pytest.raises(ConnectionFailed, match="classic one: it knows no streams"):
                next(client.stream("search", value="x"))
            with pytest.raises(ConnectionFailed, match="classic one: it knows no streams"):
                client.call("search", iter(["x"]))


def test_a_closed_client_opens_no_stream() -> None:
    client = Client("127.0.0.1:1")
    client.close()
    with pytest.raises(UsageError, match="closed"):
        client.stream("count", to=3)
    with pytest.raises(UsageError, match="closed"):
        client.call("total", iter([1]))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_has_no_part_in_its_parents_streams(client: Client) -> None:
    stream = client.stream("silent")
    assert next(stream) == 0
    child = os.fork()
    if not child:
        told = False
        try:
            next(stream)
        except ConnectionLost as error:
            told = "forked" in error.message
        os._exit(0 if told and list(client.stream("count", to=3)) == [0, 1, 2] else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0
    assert not client.seen.left.is_set()  # type: ignore[attr-defined]
    stream.close()
    assert left(client)


# Uploads


def test_a_timeout_holds_while_the_iterable_blocks(client: Client) -> None:
    gate = threading.Event()
    closed = threading.Event()

    def blocking() -> Iterator[int]:
        try:
            yield 1
            gate.wait(PATIENCE)
            yield 2
        finally:
            closed.set()

    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        client.call("total", blocking(), timeout=0.2)
    assert time.monotonic() - began < PATIENCE / 2
    assert not closed.is_set()
    gate.set()
    assert closed.wait(PATIENCE), "its thread closes the generator once that lets it"


def test_an_iterable_that_fails_when_nobody_waits_is_told_as_any_thread_s_failure_is(client: Client) -> None:
    gate = threading.Event()
    told: list[Any] = []
    seen = threading.Event()

    def failing() -> Iterator[int]:
        yield 1
        gate.wait(PATIENCE)
        raise LookupError("nobody waits")

    def hook(args: Any) -> None:
        told.append(args.exc_value)
        seen.set()

    before, threading.excepthook = threading.excepthook, hook
    try:
        with pytest.raises(DeadlineExceeded):
            client.call("total", failing(), timeout=0.1)
        gate.set()
        assert seen.wait(PATIENCE)
    finally:
        threading.excepthook = before
    assert [type(error) for error in told] == [LookupError]


def test_a_handler_in_a_thread_may_stream_from_its_own_server(serve: Serve) -> None:
    app, _ = streaming_app()
    clients: list[Client] = []

    @app.action
    def nested(to: int) -> list[int]:
        assert current().remaining < 60
        return list(clients[0].stream("count", to=to))

    with serve(app, "127.0.0.1:0") as served, Client(served.server.addresses[0]) as client:
        clients.append(client)
        assert client.call("nested", to=100) == list(range(100))

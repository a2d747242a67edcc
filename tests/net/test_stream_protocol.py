"""The asyncio protocol under both sides: how bytes come in, how they leave, and in whose context it is called."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from letterhead import Limits
from letterhead.protocol.timers import NEVER
from letterhead.transport import stream
from letterhead.transport.stream import SCRATCH, StreamProtocol, WriteBatch
from tests import leaks
from tests.conftest import Run

CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


class Recorder(StreamProtocol):
    """Keeps what comes, and notes who `CALLER` is whenever something is called.

    Attributes:
        wants: whether it reads.
    """

    def __init__(self, limits: Limits | None = None, own: bytearray | None = None) -> None:
        super().__init__(limits or Limits())
        self.received = bytearray()
        self.callers: list[str] = []
        self.wants = True
        self._own = own

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.scratch if self._own is None else memoryview(self._own)

    def buffer_updated(self, nbytes: int) -> None:
        self.callers.append(CALLER.get())
        self.received += (self.scratch if self._own is None else self._own)[:nbytes]

    def wants_to_read(self) -> bool:
        return self.wants

    def on_time(self, now: float) -> None:
        self.callers.append(CALLER.get())

    def flush(self) -> None:
        self.callers.append(CALLER.get())


@asynccontextmanager
async def connected(protocol: StreamProtocol) -> AsyncIterator[socket.socket]:
    """The other end of a socket on which the protocol is."""
    here, there = socket.socketpair()
    with there:
        there.settimeout(leaks.PATIENCE)
        await asyncio.get_running_loop().create_unix_connection(lambda: protocol, sock=here)
        yield there
        transport = protocol.transport
        if transport is not None:
            transport.abort()
        await leaks.until(lambda: protocol.transport is None)


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 1_000])
@pytest.mark.parametrize("own", [None, bytearray(7)])
def test_bytes_of_any_number_may_be_given_to_it(data: bytes, own: bytearray | None) -> None:
    protocol = Recorder(own=own)
    protocol.data_received(data)
    protocol.data_received(memoryview(data)[1:])
    assert protocol.received == data + data[1:]


def test_a_timer_runs_in_a_context_of_its_own(run: Run) -> None:
    async def main() -> None:
        protocol = Recorder()
        async with connected(protocol):
            CALLER.set("a handler")
            protocol.wake_at(0.0)
            await leaks.until(lambda: protocol.callers)
        assert protocol.callers == ["nobody"]

    run(main())


def test_an_earlier_time_replaces_a_later_one_and_a_later_one_is_left_out(run: Run) -> None:
    async def main() -> None:
        protocol = Recorder()
        async with connected(protocol):
            protocol.wake_at(1e9)
            protocol.wake_at(0.0)
            protocol.wake_at(1e9)
            assert protocol.wakes_at == 0.0
            await leaks.until(lambda: protocol.callers)
            assert protocol.wakes_at == NEVER

    run(main())


def test_reading_that_a_handler_resumes_does_not_go_on_in_its_context(run: Run) -> None:
    async def main() -> None:
        protocol = Recorder()
        async with connected(protocol) as there:
            protocol.wants = False
            protocol.update_reading()
            CALLER.set("a handler")
            protocol.wants = True
            protocol.update_reading()
            there.sendall(b"bytes")
            await leaks.until(lambda: protocol.received)
        assert protocol.callers == ["nobody"]

    run(main())


def test_a_write_batch_flushes_each_once_a_turn_in_a_context_of_its_own(run: Run) -> None:
    async def main() -> None:
        batch, protocol, other = WriteBatch(), Recorder(), Recorder()
        CALLER.set("a handler")
        batch.add(protocol.flush)
        batch.add(other.flush)
        assert not protocol.callers
        await asyncio.sleep(0)
        assert (protocol.callers, other.callers) == (["nobody"], ["nobody"])

    run(main())


class Written:
    """Notes how bytes are written, with the interface of a transport and, as uvloop's, without being its subclass."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is kept here."""

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        self.calls.append("write")

    def writelines(self, pieces: Iterable[Any]) -> None:
        self.calls.append("writelines")


class AsyncioWritten(Written, asyncio.Transport):
    """The same as a subclass of asyncio's transports."""


@pytest.mark.parametrize(
    ("faulty", "kind", "call"),
    [
        (False, AsyncioWritten, "writelines"),
        (True, AsyncioWritten, "write"),
        (True, Written, "writelines"),  # uvloop's never had the fault
    ],
)
def test_large_pieces_are_joined_only_where_asyncio_would_forget_to_pause_the_writer(
    monkeypatch: pytest.MonkeyPatch, faulty: bool, kind: type[Any], call: str
) -> None:
    monkeypatch.setattr(stream, "_WRITELINES_NEVER_PAUSES", faulty)
    protocol, transport = Recorder(), kind()
    protocol.connection_made(transport)
    protocol.write([bytes(SCRATCH), bytes(SCRATCH)])
    assert transport.calls == [call]


class Fault(Exception):
    """What foreign code raises in these tests."""


def unseen_on(loop: asyncio.AbstractEventLoop) -> list[Any]:
    """The exceptions that are reported to the loop from now on."""
    seen: list[Any] = []
    loop.set_exception_handler(lambda _, context: seen.append(context["exception"]))
    return seen


def test_what_one_flush_raises_takes_nothing_from_the_others(run: Run) -> None:
    async def main() -> None:
        seen = unseen_on(asyncio.get_running_loop())
        batch, fault, flushed = WriteBatch(), Fault(), list[int]()

        def fails() -> None:
            batch.add(lambda: flushed.append(3))
            raise fault

        batch.add(lambda: flushed.append(1))
        batch.add(fails)
        batch.add(lambda: flushed.append(2))
        await asyncio.sleep(0)
        assert (flushed, seen) == ([1, 2, 3], [fault])
        batch.add(lambda: flushed.append(4))
        await asyncio.sleep(0)
        assert flushed == [1, 2, 3, 4]

    run(main())


def test_an_interrupted_batch_goes_on_in_the_next_turn() -> None:
    """Ctrl-C may come while it flushes."""
    loop = asyncio.new_event_loop()
    batch, flushed = WriteBatch(), list[str]()

    def interrupted() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        batch.add(interrupted)
        batch.add(lambda: flushed.append("the other"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    try:
        task = loop.create_task(main())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        assert not flushed
        loop.run_until_complete(task)
        assert flushed == ["the other"]
    finally:
        loop.close()


class Faulty(Recorder):
    """Fails when its time has come."""

    def on_time(self, now: float) -> None:
        super().on_time(now)
        raise Fault


def test_a_connection_whose_timer_fails_is_cut_since_it_has_none_any_more(run: Run) -> None:
    async def main() -> None:
        seen = unseen_on(asyncio.get_running_loop())
        protocol = Faulty()
        async with connected(protocol) as there:
            protocol.wake_at(0.0)
            assert await asyncio.to_thread(there.recv, 1) == b""
            await leaks.until(lambda: protocol.transport is None)
        assert [type(error) for error in seen] == [Fault]

    run(main())

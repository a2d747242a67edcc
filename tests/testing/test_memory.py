"""Pipes in memory: they behave as a stream socket does."""

import asyncio
import threading
from collections import deque

import pytest

from letterhead import App, AsyncClient, Client, ConnectRefused, ListenFailed
from letterhead.server.connection import ServerConnection
from letterhead.server.server import Server
from letterhead.testing import background, memory
from letterhead.testing.flow import CAPACITY, Flow
from letterhead.transport.wire import Received
from letterhead.wire.writer import encode_frame
from tests import leaks
from tests.conftest import Run


def echo_app() -> App:
    app = App()

    @app.action
    async def zeros(count: int) -> bytes:
        return bytes(count)

    @app.action
    async def size(data: bytes) -> int:
        return len(data)

    return app


def pair() -> tuple[Flow, Flow]:
    changed = threading.Condition()
    return Flow(changed), Flow(changed)


class Recorder(asyncio.BufferedProtocol):
    """Notes what a transport tells it; keeps its end open when the other end is over."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.told: list[str] = []
        self.lost: Exception | None = None
        self._buffer = bytearray(1000)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received += self._buffer[:nbytes]

    def eof_received(self) -> bool:
        self.told.append("eof")
        return True

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.lost = exc


def transports() -> tuple[memory.MemoryTransport, Recorder, memory.MemoryTransport, Recorder]:
    there, back = pair()
    loop = asyncio.get_running_loop()
    here, peer = Recorder(), Recorder()
    first = memory.MemoryTransport(loop, back, there)
    second = memory.MemoryTransport(loop, there, back)
    for transport, protocol in ((first, here), (second, peer)):
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.start()
    return first, here, second, peer


def test_a_paused_reader_makes_the_writer_pause_and_nothing_is_lost() -> None:
    async def main() -> None:
        first, here, second, peer = transports()
        second.pause_reading()
        data = bytes(range(256)) * 2000
        first.write(data)
        assert here.told == ["made", "pause"]
        assert first.get_write_buffer_size() == len(data) - CAPACITY
        for _ in range(5):
            await asyncio.sleep(0)
        assert not peer.received
        second.resume_reading()
        await leaks.until(lambda: len(peer.received) == len(data))
        assert bytes(peer.received) == data
        assert here.told == ["made", "pause", "resume"]
        for transport in (first, second):
            transport.close()
        await leaks.until(lambda: here.told[-1] == peer.told[-1] == "lost")

    leaks.run(main())


def test_a_half_close_comes_after_what_was_written_and_leaves_the_other_way_open() -> None:
    async def main() -> None:
        first, here, second, peer = transports()
        first.write(bytes(3 * CAPACITY))
        first.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            first.write(b"more")
        await leaks.until(lambda: "eof" in peer.told)
        assert len(peer.received) == 3 * CAPACITY
        second.writelines([b"still", b" here"])
        await leaks.until(lambda: here.received == b"still here")
        second.close()
        await leaks.until(lambda: "eof" in here.told)
        first.close()
        await leaks.until(lambda: here.told[-1] == peer.told[-1] == "lost")
        assert (here.lost, peer.lost) == (None, None)

    leaks.run(main())


def test_closing_sends_what_is_unsent_and_aborting_does_not() -> None:
    async def main() -> None:
        first, here, second, peer = transports()
        first.write(bytes(3 * CAPACITY))
        first.close()
        await leaks.until(lambda: "eof" in peer.told)
        assert len(peer.received) == 3 * CAPACITY
        second.abort()
        await leaks.until(lambda: here.told[-1] == peer.told[-1] == "lost")

        first, here, second, peer = transports()
        first.write(bytes(3 * CAPACITY))
        first.abort()
        await leaks.until(lambda: "eof" in peer.told)
        assert len(peer.received) <= CAPACITY
        second.abort()
        await leaks.until(lambda: peer.told[-1] == "lost")

    leaks.run(main())


def test_closing_with_bytes_unread_resets_and_writing_to_a_closed_end_breaks() -> None:
    async def main() -> None:
        first, here, second, peer = transports()
        second.pause_reading()
        first.write(b"unread")
        second.close()
        await leaks.until(lambda: here.told[-1] == "lost")
        assert isinstance(here.lost, ConnectionResetError)

        first, here, second, peer = transports()
        first.pause_reading()
        second.close()
        await leaks.until(lambda: peer.told[-1] == "lost")
        first.write(b"to nobody")
        await leaks.until(lambda: here.told[-1] == "lost")
        assert isinstance(here.lost, BrokenPipeError)

    leaks.run(main())


def test_a_reset_comes_before_what_was_sent() -> None:
    async def main() -> None:
        first, here, second, peer = transports()
        second.pause_reading()
        first.write(b"never read")
        first.reset()
        second.resume_reading()
        await leaks.until(lambda: here.told[-1] == peer.told[-1] == "lost")
        assert isinstance(peer.lost, ConnectionResetError)
        assert (bytes(peer.received), here.lost) == (b"", None)

    leaks.run(main())


def test_a_client_that_does_not_read_stops_the_server_from_reading_and_writing() -> None:
    async def main() -> None:
        app = echo_app()
        loop = asyncio.get_running_loop()
        async with Server(app, ()) as server:
            wire = await asyncio.to_thread(memory.wires(server, loop), memory.ADDRESS, None)
            request = encode_frame({"content-type": "text/json", "id": 1, "action": "zeros"}, b'{"count": 4000000}')
            assert wire.send([request]) == len(request)
            (connection,) = server.shared.connections
            assert isinstance(connection, ServerConnection)
            transport = connection.transport
            assert isinstance(transport, memory.MemoryTransport)
            await leaks.until(lambda: transport.get_write_buffer_size() > 3_000_000)
            await leaks.until(lambda: not transport.is_reading())
            filler = bytes(10_000)
            await leaks.until(lambda: not wire.send([filler]))
            assert not wire.wait(write=True, read=False, timeout=0.0), "nothing more can be sent"
            inbox: deque[Received] = deque()
            count = 0
            while count < 4_000_000:
                assert wire.wait(write=False, read=True, timeout=leaks.PATIENCE)
                assert wire.receive(inbox, None, 0.0)
                got = inbox.popleft()
                assert isinstance(got, bytes)
                count += len(got)
                await asyncio.sleep(0)
            await leaks.until(transport.is_reading)
            wire.close()

    leaks.run(main())


def test_there_is_no_connection_to_a_server_that_does_not_run(run: Run) -> None:
    async def main() -> None:
        app = echo_app()
        server = Server(app, ())
        client = AsyncClient(memory.ADDRESS, connector=memory.connector(server), wait_for_ready=False)
        with pytest.raises(ConnectRefused):
            await client.call("size", b"")
        async with server:
            assert await client.call("size", b"123") == 3
        with pytest.raises(ConnectRefused):
            await client.call("size", b"")
        await client.close()

    run(main())


def test_a_server_in_the_background_is_reached_by_memory_and_by_socket() -> None:
    app = echo_app()
    with background.running(app, "127.0.0.1:0", loop_factory=leaks.LOOPS["uvloop"]) as served:
        with Client(memory.ADDRESS, connector=served.connector) as client:
            assert client.call("size", b"12345") == 5
        with Client(served.server.addresses[0]) as client:
            assert client.call("size", b"123456") == 6
        assert served.run(asyncio.sleep(0, "on its loop")) == "on its loop"
    with pytest.raises(ConnectRefused), Client(memory.ADDRESS, connector=served.connector) as client:
        client.call("size", b"")


def test_a_server_in_the_background_that_cannot_start_says_why() -> None:
    app = echo_app()
    with (
        background.running(app, "127.0.0.1:0") as served,
        pytest.raises(ListenFailed, match="in use"),
        background.running(app, served.server.addresses[0]),
    ):
        pytest.fail("it started")


def test_an_exception_in_the_block_ends_the_server_in_the_background() -> None:
    with pytest.raises(ZeroDivisionError), background.running(echo_app()):
        raise ZeroDivisionError

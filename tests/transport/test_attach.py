"""`Server.attach`: peers that come by another way than the server's addresses, under the same limits."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from letterhead import App, Limits, Unavailable, UsageError, current
from letterhead.server.server import Server
from letterhead.testing import memory
from letterhead.testing.flow import Flow
from letterhead.transport.stream import StreamProtocol
from letterhead.transport.wire import Received
from tests import leaks
from tests.conftest import Run
from tests.net.raw import all_received, code_of, connect, opening, received

HERE: ContextVar[str] = ContextVar("here", default="nowhere")


def app(limits: Limits | None = None) -> App:
    app = App(limits=limits or Limits(linger_quiet_seconds=0.02))

    @app.action
    async def echo(value: Any) -> Any:
        return value

    @app.action
    async def who() -> str:
        return f"{current().caller} from {HERE.get()}"

    @app.action
    async def wait() -> None:
        await asyncio.Event().wait()

    return app


class Door(asyncio.Protocol):
    """Hands each connection of a listener that is not the server's over to it."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        HERE.set("a stranger's context")
        assert hasattr(transport, "set_protocol")
        self._server.attach(transport, "by the door")  # type: ignore[arg-type]  # uvloop's is no subclass


@asynccontextmanager
async def door(server: Server) -> AsyncIterator[str]:
    """The address of a listener of one's own, whose connections are attached."""
    async with await asyncio.get_running_loop().create_server(lambda: Door(server), "127.0.0.1", 0) as listener:
        host, port = listener.sockets[0].getsockname()
        yield f"{host}:{port}"


async def ended(server: Server) -> None:
    await leaks.until(lambda: not server.shared.connections)


@pytest.mark.smoke
def test_a_transport_of_the_loop_is_served_once_it_is_attached(run: Run) -> None:
    async def main() -> None:
        async with Server(app(), ()) as server, door(server) as address:

            def asked() -> Any:
                with connect(address) as sock:
                    sock.sendall(opening(None, "who"))
                    return received(sock).result

            assert await asyncio.to_thread(asked) == "by the door from nowhere"
            assert server.shared.counters.accepted == 1
            await ended(server)

    run(main())


def test_attached_peers_count_like_those_who_were_accepted(run: Run) -> None:
    async def main() -> None:
        limits = Limits(connections=3, linger_quiet_seconds=0.02)
        async with Server(app(limits), ["127.0.0.1:0"]) as server, door(server) as address:

            def crowd() -> None:
                socks = [connect(place) for place in (address, server.addresses[0], address)]
                for sock in socks:
                    sock.sendall(opening(None, "echo", "in"))
                    assert received(sock).result == "in"
                for place in (address, server.addresses[0]):
                    with connect(place) as outside:
                        refused, *more = all_received(outside)
                        assert (code_of(refused), refused.json()["error"]["limit"], more) == ("too-many", 3, [])
                for sock in socks:
                    sock.close()

            await asyncio.to_thread(crowd)
            assert server.shared.counters.turned_away == 2
            await ended(server)

    run(main())


def test_pipes_in_memory_are_under_the_same_limit() -> None:
    async def main() -> None:
        limits = Limits(connections=1, linger_quiet_seconds=0.02)
        async with Server(app(limits), ()) as server:
            wires = await asyncio.to_thread(_two_wires, server, asyncio.get_running_loop())
            assert server.shared.counters.turned_away == 1
            first, second = wires
            inbox: deque[Received] = deque()
            assert await asyncio.to_thread(second.receive, inbox, None, leaks.PATIENCE)
            (came,) = inbox
            assert isinstance(came, bytes)
            assert b"too-many" in came
            for wire in (first, second):
                wire.close()
            await ended(server)

    leaks.run(main())


def _two_wires(server: Server, loop: asyncio.AbstractEventLoop) -> Sequence[memory.MemoryWire]:
    connect = memory.wires(server, loop)
    return connect(memory.ADDRESS, None), connect(memory.ADDRESS, None)


def test_those_beyond_even_a_refusal_are_cut(run: Run) -> None:
    """A peer that does not take its refusal costs a connection; there is a bound on those, too."""

    async def main() -> None:
        limits = Limits(connections=0, linger_quiet_seconds=leaks.PATIENCE, linger_seconds=leaks.PATIENCE)
        async with Server(app(limits), ()) as server:
            pipes = [memory.pipe() for _ in range(70)]
            loop = asyncio.get_running_loop()
            transports = [memory.MemoryTransport(loop, *pipe) for pipe in pipes]
            for transport in transports:
                server.attach(transport, "a crowd")
            assert sum(not transport.is_closing() for transport in transports) == len(server.shared.turned_away) == 64
            for transport in transports:
                transport.abort()
            await ended(server)

    leaks.run(main())


def test_its_timers_run(run: Run) -> None:
    async def main() -> None:
        limits = Limits(first_byte_seconds=0.05, linger_quiet_seconds=0.02)
        async with Server(app(limits), ()) as server, door(server) as address:

            def silent() -> bytes:
                with connect(address) as sock:
                    return sock.recv(1)

            assert await asyncio.to_thread(silent) == b""
            await ended(server)

    run(main())


def test_a_leaving_server_ends_what_is_attached_and_takes_nobody_new(run: Run) -> None:
    async def main() -> None:
        server = Server(app(Limits(drain_cancel_seconds=0.05, linger_quiet_seconds=0.02)), ())
        pipe = memory.pipe()
        with pytest.raises(UsageError, match="not running"):
            server.attach(memory.MemoryTransport(asyncio.get_running_loop(), *pipe), "early")
        async with server, door(server) as address:

            def asked() -> list[Any]:
                with connect(address) as sock:
                    sock.sendall(opening(1, "wait"))
                    received(sock)  # the hello
                    asyncio.run_coroutine_threadsafe(close(), loop)
                    return all_received(sock)

            async def close() -> None:
                closing = asyncio.ensure_future(server.close(0.05))
                await asyncio.sleep(0)
                with pytest.raises(Unavailable):
                    server.attach(memory.MemoryTransport(loop, *pipe), "late")
                await closing

            loop = asyncio.get_running_loop()
            frames = await asyncio.to_thread(asked)
            assert code_of(frames[-1]) == "cancelled"
        with pytest.raises(UsageError, match="not running"):
            server.attach(memory.MemoryTransport(loop, *pipe), "after the end")

    run(main())


class Broken(memory.MemoryTransport):
    """A transport that fails in the moment in which it is attached."""

    def __init__(self, loop: asyncio.AbstractEventLoop, inward: Flow, outward: Flow, where: str) -> None:
        super().__init__(loop, inward, outward)
        self._where = where

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        super().set_protocol(protocol)
        if self._where == "set_protocol":
            raise ValueError("a bug of the transport")

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._where == "set_write_buffer_limits":
            raise ValueError("a bug of the transport")
        super().set_write_buffer_limits(high, low)


@pytest.mark.parametrize("where", ["set_protocol", "set_write_buffer_limits"])
def test_a_transport_that_fails_takes_no_place(where: str) -> None:
    async def main() -> None:
        async with Server(app(), ()) as server:
            transport = Broken(asyncio.get_running_loop(), *memory.pipe(), where)
            with pytest.raises(ValueError, match="a bug of the transport"):
                server.attach(transport, "broken")
            assert transport.is_closing()
            await leaks.until(lambda: server.shared.is_done())
            assert await server.drain(leaks.PATIENCE)

    leaks.run(main())


class Datagrams(memory.MemoryTransport):
    """A pipe that has its bytes in hand, piece by piece, as a WebSocket has its messages."""

    def give(self, data: bytes) -> None:
        """A message came."""
        protocol = self.get_protocol()
        assert isinstance(protocol, StreamProtocol)
        protocol.data_received(data)


def test_a_pipe_may_give_its_bytes_as_they_come() -> None:
    async def main() -> None:
        async with Server(app(), ()) as server:
            inward, outward = memory.pipe()
            transport = Datagrams(asyncio.get_running_loop(), inward, outward)
            server.attach(transport, "messages")
            whole = opening(None, "echo", "x" * 200_000)
            for at in range(0, len(whole), 70_000):
                transport.give(whole[at : at + 70_000])
            answer = bytearray()
            view = memoryview(bytearray(100_000))

            def answered() -> bool:
                while outward.readable() and (count := outward.take(view)):
                    answer.extend(view[:count])
                return answer.endswith(b'x"}')

            await leaks.until(answered)
            transport.close()
            await ended(server)

    leaks.run(main())

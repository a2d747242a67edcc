"""``connected``: an application and a client of it, in memory, for as long as a block runs.

The server is the real one, with its start and stop hooks, and so is the client; only the pipe between them is not a
socket. It leads through a ``Network``, so that it can be made bad. The form of ``with`` decides which client it is:
``async with`` gives an ``AsyncClient`` on the loop that runs, where the server runs, too; ``with`` gives a ``Client``,
and the server has a thread.
"""

import asyncio
import contextvars
import errno
import time
from contextlib import AsyncExitStack, ExitStack
from types import TracebackType
from typing import Any

from letterhead import clock
from letterhead.app.service import Service
from letterhead.client.aio.client import AsyncClient
from letterhead.client.blocking.client import Client
from letterhead.errors import UsageError
from letterhead.server.server import Server
from letterhead.testing import memory
from letterhead.testing.background import entered
from letterhead.testing.fake_clock import taking_its_time
from letterhead.testing.faults import Faults
from letterhead.testing.flow import Flow
from letterhead.testing.network import Handles, Network


def connected(app: Service, *, faults: Faults | None = None, **options: Any) -> "Connected":
    """Serve ``app`` in memory and give a client of it::

        async with testing.connected(app) as client:
            assert await client.call("greet", name="Ada") == "hello Ada"
        with testing.connected(app) as client:
            assert client.call("greet", name="Ada") == "hello Ada"

    No port is opened. The start hooks have run when the block begins, the stop hooks when it has ended. At its end the
    client is closed, and what its handlers still did is cancelled. What it gives has the handles of a network, to
    give the connection faults while the block runs::

        connection = testing.connected(app)
        async with connection as client:
            connection.faults = testing.Faults(delay=0.05)

    Args:
        app: what to serve.
        faults: what happens to the bytes between the two.
        options: whatever the clients take beside an address: ``timeout``, ``limits``, ``accept``, ``compression``, …

    Raises:
        UsageError: an option is wrong, it is in use already, or ``with`` is used while a fixed clock is.
        Exception: whatever a start or a stop hook raises, where the block begins or ends.
    """
    return Connected(app, faults, options)


class Connected(Handles):
    """What ``connected`` gives: ``async with`` or ``with`` it, and use the handles meanwhile.

    Attributes:
        server: the server, to ``drain`` it for instance: in ``with`` blocks on its own loop, in another thread.
    """

    def __init__(self, app: Service, faults: Faults | None, options: dict[str, Any]) -> None:
        self._network = Network(faults)
        super().__init__(self._network)
        self._options = options
        self.server = Server(app, ())
        self._async_stack: AsyncExitStack | None = None
        self._stack: ExitStack | None = None

    async def __aenter__(self) -> AsyncClient:
        self._begin()
        client = self._async_client(self._options)
        async with AsyncExitStack() as stack:
            with taking_its_time():
                await stack.enter_async_context(self.server)
            self._network.loop = asyncio.get_running_loop()
            stack.push_async_callback(self._network.end)
            await stack.enter_async_context(client)
            self._async_stack = stack.pop_all()
        return client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._async_stack = self._async_stack, None
        if stack is not None:
            with taking_its_time():
                await stack.__aexit__(kind, error, trace)

    def __enter__(self) -> Client:
        self._begin()
        if clock.monotonic is not time.monotonic:
            raise UsageError("a fixed clock is in use, and threads cannot go by it: use 'async with' on its loop")
        client = self._client(self._options)
        with ExitStack() as stack:
            _, loop = stack.enter_context(entered(self.server, "letterhead-server"))
            self._network.loop = loop
            stack.callback(lambda: asyncio.run_coroutine_threadsafe(self._network.end(), loop).result())
            stack.enter_context(client)
            self._stack = stack.pop_all()
        return client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.__exit__(kind, error, trace)

    def client(self, **options: Any) -> Client:
        """A further client of the same server, for ``with``. In the ``async with`` form it is for other threads.

        Args:
            options: as for ``connected``; they are this client's alone.

        Raises:
            UsageError: the block has not begun or has ended, or an option is wrong.
        """
        self._running()
        return self._client(options)

    def async_client(self, **options: Any) -> AsyncClient:
        """A further client of the same server, for ``async with`` on its loop.

        Args:
            options: as for ``connected``; they are this client's alone.

        Raises:
            UsageError: the block has not begun or has ended, this is not the server's loop, or an option is wrong.
        """
        if asyncio.get_running_loop() is not self._running():
            raise UsageError("the server has a loop of its own here: use connection.client(), or 'async with' above")
        return self._async_client(options)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._network.loop is None:
            raise UsageError("this connection is not in use: enter it first, with 'with' or 'async with'")
        return self._network.loop

    def _client(self, options: dict[str, Any]) -> Client:
        def connect(address: str, timeout: float | None) -> memory.MemoryWire:
            loop = self._network.loop
            if loop is None:
                raise ConnectionRefusedError(errno.ECONNREFUSED, "the server does not run")
            return memory.wires(self.server, loop, self._accept)(address, timeout)

        return Client(memory.ADDRESS, connector=connect, **options)

    def _async_client(self, options: dict[str, Any]) -> AsyncClient:
        return AsyncClient(memory.ADDRESS, connector=memory.connector(self.server, self._accept), **options)

    def _begin(self) -> None:
        if self._network.loop is not None:
            raise UsageError("this connection is in use: call testing.connected again for another one")

    async def _accept(self, server: Server, inward: Flow, outward: Flow) -> None:
        """The far end of a client's pipe: this network, with the server behind it."""
        if self._network.refusing:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "the network refuses connections")
        await self._network.joined.wait()
        relay = self._network.new_relay(_reset, "in memory")
        to_server, to_client = memory.pipe()
        try:
            await memory.accept(server, to_server, to_client)
        except BaseException:
            self._network.counts.unreachable += 1
            relay.give_up()
            raise
        loop = asyncio.get_running_loop()
        for protocol, reading, writing in (
            (relay.server, to_client, to_server),
            (relay.client, inward, outward),
        ):
            transport = memory.MemoryTransport(loop, reading, writing)
            transport.set_protocol(protocol)
            # A fresh context: nothing of a client's is seen behind its connection.
            contextvars.Context().run(protocol.connection_made, transport)
            transport.start()


def _reset(transport: asyncio.Transport) -> None:
    assert isinstance(transport, memory.MemoryTransport)
    transport.reset()

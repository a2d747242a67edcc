"""What runs on an event loop, in a thread of its own, for tests that block.

::

    with running(app) as served:
        with Client(ADDRESS, connector=served.connector) as client: ...   # through memory
    with running(app, "127.0.0.1:0") as served:
        with Client(served.server.addresses[0]) as client: ...

What runs in the thread is not known here.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

from letterhead.app.service import Service
from letterhead.server.server import Server
from letterhead.testing.memory import MemoryWire, wires

T = TypeVar("T")


class Served:
    """A server that runs in another thread.

    Attributes:
        server: it; ``server.addresses`` may be read from any thread.
        loop: its event loop.
        connector: what a blocking ``Client`` takes as ``connector=`` to reach it through memory.
    """

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.loop = loop
        self.connector: Callable[[str, float | None], MemoryWire] = wires(server, loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


@contextmanager
def running(
    app: Service, *addresses: str, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> Iterator[Served]:
    """Serve in a thread while the block runs; at its end what was accepted is answered, and the thread has ended.

    Args:
        app: what to serve.
        addresses: where to listen; none: only pipes in memory lead to it.
        loop_factory: makes the event loop; default asyncio's own.

    Raises:
        ListenFailed: an address cannot be listened at.
    """
    with entered(Server(app, addresses), "letterhead-server", loop_factory) as (server, loop):
        yield Served(server, loop)


@contextmanager
def entered(
    manager: AbstractAsyncContextManager[T],
    name: str,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Iterator[tuple[T, asyncio.AbstractEventLoop]]:
    """Enter it on an event loop in a thread of its own, and leave it there at the end of the block.

    Args:
        manager: what to enter.
        name: the thread's.
        loop_factory: makes the event loop; default asyncio's own.

    Raises:
        Exception: what entering or leaving it raises.
    """
    started: Future[tuple[T, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    failed: list[BaseException] = []

    async def stay() -> None:
        stop = asyncio.Event()
        async with manager as value:
            started.set_result((value, asyncio.get_running_loop(), stop))
            await stop.wait()

    def work() -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(stay())
        except BaseException as error:
            if started.done():
                failed.append(error)
            else:
                started.set_exception(error)

    thread = threading.Thread(target=work, name=name)
    thread.start()
    try:
        value, loop, stop = started.result()
        try:
            yield value, loop
        finally:
            loop.call_soon_threadsafe(stop.set)
    finally:
        thread.join()
    if failed:
        raise failed[0]

"""One server, one client of either kind, one pipe between them, one event loop: where a claim is tried.

`claim` makes a test of an async function that takes a `Scene`; the test runs over every pair of client, pipe and loop,
and fails if anything is left behind.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from letterhead import App, AsyncClient, Client, Limits
from letterhead.server.server import Server
from letterhead.testing import memory
from tests import leaks
from tests.contract.application import application
from tests.contract.callers import AsyncCaller, BlockingCaller

PIPES = ("tcp", "unix", "memory")
KINDS = ("Client", "AsyncClient")

_application = functools.cache(
    application
)  # entering so many actions anew for each scene takes longer than most claims


@dataclass(frozen=True)
class Pair:
    """Which client, which pipe, which loop."""

    kind: str
    pipe: str
    loop: str
    folder: Path


class Scene:
    """A running server and a client of it.

    Attributes:
        app, server: what answers.
        caller: a client that has not connected yet.
        kind: `Client` or `AsyncClient`.
    """

    def __init__(self, pair: Pair, app: App, server: Server) -> None:
        self.app = app
        self.server = server
        self.kind = pair.kind
        self._pair = pair
        self._loop = asyncio.get_running_loop()
        self._opened: list[AsyncCaller | BlockingCaller] = []
        self.caller = self.another()

    def another(self, **options: Any) -> AsyncCaller | BlockingCaller:
        """A further client of the same kind; it is closed at the end."""
        caller = (
            AsyncCaller(self.async_client(**options))
            if self.kind == "AsyncClient"
            else BlockingCaller(self.client(**options))
        )
        self._opened.append(caller)
        return caller

    def async_client(self, **options: Any) -> AsyncClient:
        """An `AsyncClient` over this scene's pipe."""
        if self._pair.pipe == "memory":
            return AsyncClient(memory.ADDRESS, connector=memory.connector(self.server), **options)
        return AsyncClient(self.server.addresses[0], **options)

    def client(self, **options: Any) -> Client:
        """A `Client` over this scene's pipe."""
        if self._pair.pipe == "memory":
            return Client(memory.ADDRESS, connector=memory.wires(self.server, self._loop), **options)
        return Client(self.server.addresses[0], **options)

    def nest(self, caller: AsyncCaller | BlockingCaller | None = None) -> str:
        """Give the handlers clients of their own server, or this one, whose kind is returned."""
        if caller is None:
            caller = AsyncCaller(self.async_client())
            blocking = BlockingCaller(self.client())
            self._opened += [caller, blocking]
            self.app.state.client = blocking.client
        if isinstance(caller, AsyncCaller):
            self.app.state.async_client = caller.client
            return "async"
        self.app.state.client = caller.client
        return "thread"

    async def all_connections_gone(self) -> None:
        """Wait until the server has no connection any more."""
        shared = self.server.shared
        assert await shared.until(lambda: not shared.connections, leaks.PATIENCE)

    async def close_clients(self) -> None:
        """Close every client of this scene."""
        for caller in self._opened:
            await caller.close()


@contextlib.asynccontextmanager
async def scene_of(pair: Pair, limits: Limits, compression: tuple[str, ...]) -> AsyncIterator[Scene]:
    """The scene, while the block runs."""
    app = _application(limits, compression)
    places = {"tcp": ["127.0.0.1:0"], "unix": [f"unix:{pair.folder / 's'}"], "memory": []}[pair.pipe]
    async with Server(app, places) as server:
        scene = Scene(pair, app, server)
        try:
            yield scene
        finally:
            await scene.close_clients()


Body = Callable[[Scene], Awaitable[None]]


def claim(limits: Limits | None = None, compression: tuple[str, ...] = ()) -> Callable[[Body], Callable[[Pair], None]]:
    """A test over every pair: `@claim()` above `async def test_…(scene)`, with the server's limits and compressions."""

    def made(body: Body) -> Callable[[Pair], None]:
        async def tried(pair: Pair) -> None:
            async with scene_of(pair, limits or Limits(), compression) as scene:
                await body(scene)

        def test(pair: Pair) -> None:
            leaks.run(tried(pair), pair.loop)

        test.__name__ = getattr(body, "__name__", "test")
        test.__doc__ = body.__doc__
        return test

    return made

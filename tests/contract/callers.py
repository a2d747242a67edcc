"""Both clients behind one thin adapter, so that every claim is written once.

The server and the test live on one event loop. `AsyncClient` lives there, too; `Client` is called in threads.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from letterhead import AsyncClient, Client, Message

T = TypeVar("T")
AsyncConnector = Callable[..., Any]


class Caller(Protocol):
    """What a claim may do with a client."""

    async def call(self, action: str, /, *arg: Any, **args: Any) -> Any:
        """One call, with the arguments of the clients' own `call`."""

    async def send(self, message: Message, *, timeout: float | None = None) -> Message:
        """One message."""

    async def in_turn(self, action: str, values: Sequence[Any]) -> list[Any]:
        """Calls with one argument each, one after the other, by one caller."""

    async def close(self) -> None:
        """Close the client."""


class AsyncCaller:
    """`AsyncClient` as it is."""

    kind = "AsyncClient"

    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    async def call(self, action: str, /, *arg: Any, **args: Any) -> Any:
        return await self.client.call(action, *arg, **args)

    async def send(self, message: Message, *, timeout: float | None = None) -> Message:
        return await self.client.send(message, timeout=timeout)

    async def in_turn(self, action: str, values: Sequence[Any]) -> list[Any]:
        return [await self.client.call(action, value) for value in values]

    async def close(self) -> None:
        await self.client.close()


class BlockingCaller:
    """`Client`, called in threads."""

    kind = "Client"

    def __init__(self, client: Client, threads: ThreadPoolExecutor) -> None:
        self.client = client
        self._threads = threads

    async def call(self, action: str, /, *arg: Any, **args: Any) -> Any:
        return await self._in_thread(partial(self.client.call, action, *arg, **args))

    async def send(self, message: Message, *, timeout: float | None = None) -> Message:
        return await self._in_thread(partial(self.client.send, message, timeout=timeout))

    async def in_turn(self, action: str, values: Sequence[Any]) -> list[Any]:
        return await self._in_thread(lambda: [self.client.call(action, value) for value in values])

    async def close(self) -> None:
        await self._in_thread(self.client.close)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

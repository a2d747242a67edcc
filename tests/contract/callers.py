"""Both clients behind one thin adapter, so that every claim is written once.

The server and the test live on one event loop. `AsyncClient` lives there, too; `Client` is called in threads.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol, TypeVar

from letterhead import AsyncClient, Client, Message

T = TypeVar("T")


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

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, action: str, /, *arg: Any, **args: Any) -> Any:
        return await in_thread(partial(self.client.call, action, *arg, **args))

    async def send(self, message: Message, *, timeout: float | None = None) -> Message:
        return await in_thread(partial(self.client.send, message, timeout=timeout))

    async def in_turn(self, action: str, values: Sequence[Any]) -> list[Any]:
        return await in_thread(lambda: [self.client.call(action, value) for value in values])

    async def close(self) -> None:
        await in_thread(self.client.close)


async def in_thread(work: Callable[[], T]) -> T:
    """The result of a function, run in a thread of its own: a daemon, so that one that hangs fails its test only."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name="caller", daemon=True).start()
    return await asyncio.wrap_future(done)

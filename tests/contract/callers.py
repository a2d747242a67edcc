"""Both clients behind one thin adapter, so that every claim is written once.

The server and the test live on one event loop. `AsyncClient` lives there, too; `Client` is called in threads.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol, TypeVar

from letterhead import AsyncClient, AsyncStream, Client, Message, Stream

T = TypeVar("T")


END = object()
"""What a reading gives where a stream has ended."""


class Reading(Protocol):
    """A stream under way; nothing else refers to it."""

    async def next(self) -> Any:
        """The next item, or `END`."""

    async def rest(self) -> list[Any]:
        """All further items."""

    async def some(self, number: int) -> list[Any]:
        """So many further items, and then leave the loop, the stream itself staying open."""

    async def close(self) -> None:
        """Leave it by hand."""

    async def leave_in_block(self, error: BaseException | None = None) -> None:
        """Use it in a `with` block, which is left at once, by this error if there is one."""

    def drop(self) -> None:
        """Forget it."""


class Caller(Protocol):
    """What a claim may do with a client."""

    async def call(self, action: str, /, *arg: Any, **args: Any) -> Any:
        """One call, with the arguments of the clients' own `call`."""

    async def send(self, message: Message, *, timeout: float | None = None) -> Message:
        """One message."""

    async def stream(self, action: str, /, *arg: Any, **args: Any) -> Reading:
        """Open a stream, with the arguments of the clients' own `stream`."""

    async def either(self, action: str, arguments: dict[str, Any]) -> Reading:
        """Call an action however it answers."""

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

    async def stream(self, action: str, /, *arg: Any, **args: Any) -> "AsyncReading":
        return AsyncReading(self.client.stream(action, *arg, **args))

    async def either(self, action: str, arguments: dict[str, Any]) -> "AsyncReading":
        return AsyncReading(self.client.either(action, arguments))

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

    async def stream(self, action: str, /, *arg: Any, **args: Any) -> "BlockingReading":
        return BlockingReading(await in_thread(partial(self.client.stream, action, *arg, **args)))

    async def either(self, action: str, arguments: dict[str, Any]) -> "BlockingReading":
        return BlockingReading(await in_thread(partial(self.client.either, action, arguments)))

    async def in_turn(self, action: str, values: Sequence[Any]) -> list[Any]:
        return await in_thread(lambda: [self.client.call(action, value) for value in values])

    async def close(self) -> None:
        await in_thread(self.client.close)


class AsyncReading:
    """An `AsyncStream`."""

    def __init__(self, stream: AsyncStream[Any]) -> None:
        self.stream: AsyncStream[Any] | None = stream

    @property
    def _stream(self) -> AsyncStream[Any]:
        assert self.stream is not None
        return self.stream

    async def next(self) -> Any:
        return await anext(self._stream, END)

    async def rest(self) -> list[Any]:
        return [item async for item in self._stream]

    async def some(self, number: int) -> list[Any]:
        return [await anext(self._stream) for _ in range(number)]

    async def close(self) -> None:
        await self._stream.aclose()

    async def leave_in_block(self, error: BaseException | None = None) -> None:
        async with self._stream:
            if error is not None:
                raise error

    def drop(self) -> None:
        self.stream = None


class BlockingReading:
    """A `Stream`, read in threads."""

    def __init__(self, stream: Stream[Any]) -> None:
        self.stream: Stream[Any] | None = stream

    @property
    def _stream(self) -> Stream[Any]:
        assert self.stream is not None
        return self.stream

    async def next(self) -> Any:
        return await in_thread(lambda: next(self._stream, END))

    async def rest(self) -> list[Any]:
        return await in_thread(lambda: list(self._stream))

    async def some(self, number: int) -> list[Any]:
        return await in_thread(lambda: [next(self._stream) for _ in range(number)])

    async def close(self) -> None:
        await in_thread(self._stream.close)

    async def leave_in_block(self, error: BaseException | None = None) -> None:
        def block() -> None:
            with self._stream:
                if error is not None:
                    raise error

        await in_thread(block)

    def drop(self) -> None:
        self.stream = None


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

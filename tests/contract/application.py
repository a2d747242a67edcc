"""The application that the claims call. Its handlers tell what happened to them through `app.state`."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from letterhead import App, Client, Limits, Message, Refused, Unavailable, UsageError, current, encode


@dataclass
class Point:
    """A value with a shape."""

    x: int
    y: int = 0


def application(limits: Limits, compression: tuple[str, ...] = ()) -> App:
    """A fresh application. It may be served again when it has ended: its state is made when a server starts.

    `state.started`, `state.cancelled`: set when `wait` began, and when it was cancelled. `state.gate`: what `pass_gate`
    waits for. `state.inside`, `state.most`: how many wait there, and how many did at once. `state.order`: names given
    to `note`. `state.tried`: how often `third-time` ran. `state.sent`: how many items `endless` has given;
    `state.left`: set when a stream or upload was left.
    """
    app = App("contract", limits=limits, compression=compression)
    state = app.state

    @app.on_start
    def begin() -> None:
        vars(state).clear()
        state.started, state.cancelled, state.gate = asyncio.Event(), asyncio.Event(), asyncio.Event()
        state.inside = state.most = 0
        state.order = []
        state.tried = state.sent = 0
        state.left = asyncio.Event()

    @app.action
    async def greet(name: str, times: int = 1) -> str:
        return ", ".join([f"hello {name}"] * times)

    @app.action
    async def nothing() -> None:
        return None

    @app.action
    async def echo(value: Any = "no value") -> Any:
        return value

    @app.action(name="echo-inline", run="inline")
    def echo_inline(value: Any) -> Any:
        return value

    @app.action(name="echo-thread")
    def echo_thread(value: Any) -> Any:
        return value

    @app.action
    async def halve(amount: Decimal) -> str:
        return str(amount / 2)

    @app.action
    async def points() -> dict[int, Point]:
        return {1: Point(1, 2)}

    @app.action
    async def size(data: bytes) -> int:
        return len(data)

    @app.action
    async def zeros(count: int) -> bytes:
        return bytes(count)

    @app.action
    async def move(point: Point, by: int = 1) -> Point:
        return Point(point.x + by, point.y + by)

    @app.action
    async def order(number: int) -> None:
        if number == 0:
            raise ValueError("a secret that stays here")
        raise Refused("not-found", f"no order {number}", order=number, near=[1, 2, 3])

    @app.action
    async def wait() -> None:
        state.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            state.cancelled.set()
            raise

    @app.action(name="pass-gate")
    async def pass_gate(number: int) -> int:
        state.inside += 1
        state.most = max(state.most, state.inside)
        state.started.set()
        await state.gate.wait()
        state.inside -= 1
        return number

    @app.action
    async def note(name: str, open_gate: bool = False) -> str:
        state.order.append(name)
        if open_gate:
            state.gate.set()
        return name

    @app.action(name="third-time")
    async def third_time() -> int:
        state.tried += 1
        if state.tried < 3:
            raise Unavailable("the database is away")
        return int(state.tried)

    @app.action
    async def headers() -> dict[str, Any]:
        return dict(current().headers)

    @app.action
    async def remaining() -> float:
        return current().remaining

    _enter_nested(app)
    _enter_streams(app)
    _enter_uploads(app)

    @app.binary
    def reversed_bytes(message: Message) -> Message:
        return Message(bytes(message.content)[::-1], {"content-type": "binary/reversed", "x-was": message.type})

    return app


def _enter_streams(app: App) -> None:
    """Actions that answer with streams."""
    state = app.state

    @app.action
    async def count(to: int, then: str = "") -> AsyncIterator[int]:
        for number in range(to):
            yield number
        if then:
            raise Refused(then, f"after {to}", to=to)

    @app.action(name="count-thread")
    def count_in_thread(to: int, then: str = "") -> Iterator[int]:
        yield from range(to)
        if then:
            raise Refused(then, f"after {to}", to=to)

    @app.action
    async def items(values: list[Any]) -> AsyncIterator[Any]:
        for value in values:
            yield value

    @app.action(name="empty-bytes")
    async def empty_bytes() -> AsyncIterator[bytes]:
        yield b""

    @app.action
    async def blocks(number: int, size: int) -> AsyncIterator[bytes]:
        for n in range(number):
            yield bytes([n % 256]) * size

    @app.action
    async def mixed() -> AsyncIterator[Any]:
        yield 1
        yield b"\x00\xff"
        yield encode("naïve", "text/plain", "iso-8859-1")
        yield {"a": [None]}

    @app.action
    async def endless() -> AsyncIterator[int]:
        state.started.set()
        try:
            for number in itertools.count():
                state.sent = number
                yield number
                await asyncio.sleep(0)
        finally:
            state.left.set()

    @app.action
    async def silent() -> AsyncIterator[int]:
        state.started.set()
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            state.left.set()

    @app.action(name="note-stream")
    async def note_stream(name: str) -> AsyncIterator[str]:
        state.order.append(name)
        yield name
        await state.gate.wait()


def _enter_uploads(app: App) -> None:
    """Actions that take streams."""
    state = app.state

    @app.action
    async def total(numbers: AsyncIterator[int], start: int = 0) -> int:
        async for number in numbers:
            start += number
        return start

    @app.action(name="total-thread")
    def total_in_thread(numbers: Iterator[int], start: int = 0) -> int:
        return start + sum(numbers)

    @app.action
    async def collect(values: AsyncIterator[Any]) -> list[Any]:
        return [value.decode("latin-1") if isinstance(value, bytes) else value async for value in values]

    @app.action
    async def sizes(blocks: AsyncIterator[bytes]) -> list[int]:
        return [len(block) async for block in blocks]

    @app.action(name="first-of")
    async def first_of(numbers: AsyncIterator[int]) -> int:
        async for number in numbers:
            return number
        return -1

    @app.action(name="take-none")
    async def take_none(numbers: AsyncIterator[int]) -> None:
        state.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            state.left.set()

    @app.action
    async def double(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield 2 * number

    @app.action(name="double-thread")
    def double_in_thread(numbers: Iterator[int]) -> Iterator[int]:
        for number in numbers:
            yield 2 * number

    @app.action(name="flood-both-ways")
    async def flood(blocks: AsyncIterator[bytes], number: int, size: int) -> AsyncIterator[bytes]:
        """Send all before anything is read."""
        for _ in range(number):
            yield bytes(size)
        async for block in blocks:
            yield str(len(block)).encode()


def _enter_nested(app: App) -> None:
    """Actions that call their own server through `state.async_client` and `state.client`."""
    state = app.state

    @app.action(name="sum-below-async")
    async def sum_below(number: int) -> int:
        return number + await state.async_client.call("sum-below-async", number - 1) if number else 0

    @app.action(name="sum-below-thread")
    def sum_below_in_thread(number: int) -> int:
        return number + int(state.client.call("sum-below-thread", number - 1)) if number else 0

    @app.action(name="pass-on-async")
    async def pass_on(action: str, number: int | None = None) -> Any:
        return await state.async_client.call(action, **({} if number is None else {"number": number}))

    @app.action(name="pass-on-thread")
    def pass_on_in_thread(action: str, number: int | None = None) -> Any:
        return state.client.call(action, **({} if number is None else {"number": number}))

    @app.action(name="remaining-async")
    async def remaining(inner: float | None = None) -> list[float]:
        here = current().remaining
        return [here, await state.async_client.call("remaining", timeout=inner)]

    @app.action(name="remaining-thread")
    def remaining_in_thread(inner: float | None = None) -> list[float]:
        here = current().remaining
        return [here, state.client.call("remaining", timeout=inner)]

    @app.action(name="block-the-loop")
    async def block_the_loop() -> str:
        return _refusal_of(state.client)

    @app.action(name="block-the-loop-inline", run="inline")
    def block_the_loop_inline() -> str:
        return _refusal_of(state.client)


def _refusal_of(client: Client) -> str:
    try:
        client.call("echo", 1)
    except UsageError as error:
        return str(error)
    return "it was not refused"

"""The application that the claims call. Its handlers tell what happened to them through `app.state`."""

import asyncio
from dataclasses import dataclass
from typing import Any

from letterhead import App, Limits, Message, Refused, current


@dataclass
class Point:
    """A value with a shape."""

    x: int
    y: int = 0


def application(limits: Limits) -> App:
    """A fresh application.

    `state.started`, `state.cancelled`: set when `wait` began, and when it was cancelled. `state.gate`: what `pass_gate`
    waits for. `state.inside`, `state.most`: how many wait there, and how many did at once. `state.order`: names given
    to `note`.
    """
    app = App("contract", limits=limits)
    state = app.state

    @app.on_start
    def begin() -> None:
        state.started, state.cancelled, state.gate = asyncio.Event(), asyncio.Event(), asyncio.Event()
        state.inside = state.most = 0
        state.order = []

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

    @app.action
    async def headers() -> dict[str, Any]:
        return dict(current().headers)

    @app.action
    async def remaining() -> float:
        return current().remaining

    @app.binary
    def reversed_bytes(message: Message) -> Message:
        return Message(bytes(message.content)[::-1], {"content-type": "binary/reversed", "x-was": message.type})

    return app

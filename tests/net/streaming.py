"""An application for tests of streams at the clients, and what is said of its handlers."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

from letterhead import App, Limits


class Seen:
    """What happened to the handlers; may be waited for in any thread.

    Attributes:
        left: the handler of `silent` or `take_none` was left.
    """

    def __init__(self) -> None:
        self.left = threading.Event()


def streaming_app(limits: Limits | None = None) -> tuple[App, Seen]:
    """An application with streams either way."""
    app, seen = App("streaming", limits=limits), Seen()

    @app.action
    async def echo(value: Any = None) -> Any:
        return value

    @app.action
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @app.action
    async def silent() -> AsyncIterator[int]:
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            seen.left.set()

    @app.action(name="take-none")
    async def take_none(values: AsyncIterator[Any]) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.left.set()

    @app.action
    async def total(numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    return app, seen

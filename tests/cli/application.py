"""An application with one action for each thing that a command must be able to show, and two that mean harm."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import letterhead

HARM = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\x7f\u202ereversed\u2066"
"""What a terminal would obey: a title, a cleared screen, a carriage return, C1, and turned text."""
OBEYED = tuple("\x1b\x07\r\x9b\x7f\u202e\u2066")


@dataclass
class Slow:
    """An action's progress, for a test in another thread."""

    begun: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)


def make() -> tuple[letterhead.App, Slow]:
    """The application, and what its slow action has come to."""
    app = letterhead.App("everything")
    slow = Slow()

    @app.action
    async def greet(name: str, times: int = 1) -> str:
        return ", ".join([f"hello {name}"] * times)

    @app.action
    async def echo(value: object = None) -> object:
        return value

    @app.action
    async def settings(timeout: float, returns: str) -> object:
        return [timeout, returns]

    @app.action
    async def octets() -> bytes:
        return b"\x00\xff\x1b\n"

    @app.action
    async def harm() -> str:
        return f"first\tline\nsecond {HARM}"

    @app.action
    async def nested_harm() -> object:
        return {HARM: [HARM]}

    @app.action
    async def refuse() -> None:
        raise letterhead.Refused("not-found", f"no such\nthing {HARM}", name="thing")

    @app.action
    async def crash() -> None:
        raise RuntimeError("a secret of the server's")

    @app.action
    async def wait() -> None:
        slow.begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            slow.cancelled.set()
            raise

    @app.action
    async def count(to: int, then: str = "") -> AsyncIterator[object]:
        for number in range(to):
            yield number
        if then:
            raise letterhead.Refused(then, "no more")

    @app.action
    async def harms() -> AsyncIterator[object]:
        yield HARM
        yield b"\x00\xff"

    @app.action
    async def forever() -> AsyncIterator[int]:
        try:
            yield 0
            await asyncio.get_running_loop().create_future()
        finally:
            slow.cancelled.set()

    @app.action
    async def collect(values: AsyncIterator[object], first: bool = False) -> object:
        collected = []
        async for value in values:
            collected.append(value)
            if first:
                break
        return collected

    @app.action
    async def pieces(content: AsyncIterator[bytes]) -> AsyncIterator[object]:
        received = [piece async for piece in content]
        yield [len(piece) for piece in received]
        yield hashlib.sha256(b"".join(received)).hexdigest()

    @app.action
    async def upper(lines: AsyncIterator[str]) -> AsyncIterator[str]:
        async for line in lines:
            yield line.upper()

    @app.action
    async def search(query: str, limit: int = 10, offset: int = 0) -> object:
        if query == "unlike":
            return [1, 2, 3]
        hit = {"title": f"title {HARM}", "path": f"path {HARM}", "snippet": f"a «{query}» {HARM}", "score": 1.25}
        return {"total": 3, "hits": [hit], "took_ms": 0.5, "more": "than is shown"}

    return app, slow

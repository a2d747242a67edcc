"""A server to stand behind a proxy: `python balanced.py ADDRESS` prints its address when it listens."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import letterhead

app = letterhead.App(limits=letterhead.Limits(linger_quiet_seconds=0.1))


@app.action
async def pid() -> int:
    """Which server this is."""
    return os.getpid()


@app.action
async def caller() -> str:
    """Who asks, as the server sees it."""
    return letterhead.current().caller


@app.action
async def slow(seconds: float, begun: str | None = None) -> int:
    """Answers after a while; makes the file ``begun`` at once."""
    if begun is not None:
        Path(begun).touch()
    await asyncio.sleep(seconds)
    return os.getpid()


@app.action
async def count(to: int) -> AsyncIterator[int]:
    """A stream of numbers."""
    for number in range(to):
        yield number


@app.action
async def size(data: bytes) -> int:
    """How many bytes came."""
    return len(data)


@app.action
async def total(pieces: AsyncIterator[bytes]) -> int:
    """How many bytes came as a stream."""
    return sum([len(piece) async for piece in pieces])


def main() -> None:
    """Serve."""
    app.run(sys.argv[1], on_ready=lambda server: print(*server.addresses, flush=True))


if __name__ == "__main__":
    main()

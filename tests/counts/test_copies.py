"""How often large content is copied: received once into its own buffer, and handed on as it is."""

import asyncio
import tracemalloc

import letterhead
from letterhead.server.app import loop_factory

SIZE = 8 << 20
SMALL = 1 << 20
"""All else that happens meanwhile: scratch buffers, parts of frames."""


def test_an_echo_of_large_content_holds_it_once_at_either_end() -> None:
    app = letterhead.App(limits=letterhead.Limits(content_bytes=SIZE))
    received: list[int] = []

    @app.action
    async def echo(value: bytes) -> bytes:
        received.append(id(value))
        return value

    async def main() -> int:
        content = bytes(SIZE)
        async with app.serve("127.0.0.1:0") as server, letterhead.AsyncClient(server.addresses[0]) as client:
            await client.call("letterhead.ping")
            tracemalloc.start()
            try:
                answer = await client.call("echo", content)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert answer == content
            return peak

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        peak = runner.run(main())
    # The server's copy, which is also what it sends, and the client's: both are in this process.
    assert peak < 2 * SIZE + SMALL
    assert len(received) == 1

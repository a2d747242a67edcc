"""A connection that brings much at once is not read for a turn of the loop; what is due meanwhile still happens."""

import asyncio
import time
from pathlib import Path

from letterhead import App, Limits
from letterhead.server.server import Server
from letterhead.transport.stream import SCRATCH
from tests import leaks
from tests.conftest import Run
from tests.net.raw import connect, named

HALF = named(2, "letterhead.ping")[:20]
SECONDS = 0.05


def test_a_timer_that_passes_while_reading_rests_is_not_lost(run: Run, short_path: Path) -> None:
    """The bytes and the timer come in one turn of the loop, and the bytes fill a buffer that ends within a header."""

    async def main() -> None:
        limits = Limits(header_seconds=SECONDS, linger_quiet_seconds=0.02)
        async with Server(App(limits=limits), [f"unix:{short_path / 's'}"]) as server:
            with connect(server.addresses[0]) as sock:
                content = b'"%s"'
                frame = named(1, "letterhead.ping", content)
                room = SCRATCH + 1 - len(HALF) - (len(frame) - len(content))
                for _ in range(2):  # the length of the content is in the header
                    content = b'"' + b"x" * (room - 2) + b'"'
                    frame = named(1, "letterhead.ping", content)
                    room -= len(frame) + len(HALF) - (SCRATCH + 1)
                stream = frame + HALF
                assert len(stream) == SCRATCH + 1
                sock.sendall(stream[:1])
                await leaks.until(lambda: server.shared.counters.bytes_received == 1)
                sock.sendall(stream[1:])
                time.sleep(SECONDS * 2)  # noqa: ASYNC251  # the timer of the first header is due when the loop sees the bytes
                told = bytearray()

                def ended() -> bool:
                    while chunk := sock.recv(100_000):
                        told.extend(chunk)
                    return True

                assert await asyncio.to_thread(ended)
                assert b'"timeout"' in told

    run(main())

"""Peers that send faster than the server works: others get their turn."""

import asyncio
import threading
import time

import uvloop

from letterhead import App
from letterhead.server.server import Server
from letterhead.transport.stream import SCRATCH
from tests import leaks
from tests.net.raw import connect, named

REQUEST = 4096
REQUESTS = 512


def test_a_flood_leaves_the_loop_a_turn_after_each_read() -> None:
    """uvloop reads on as long as more is there: one connection's flood would be all that happens in a turn."""
    app = App()
    handled: list[int] = []  # requests, by turn of the loop

    @app.action(run="inline")
    def slow() -> None:
        handled[-1] += 1
        time.sleep(0.0005)

    def tick() -> None:
        handled.append(0)
        asyncio.get_running_loop().call_soon(tick)

    def flood(address: str) -> None:
        first = len(named(1, "slow", x=""))
        with connect(address) as sock:
            sock.sendall(b"".join(named(100 + n, "slow", x="x" * (REQUEST - first - 2)) for n in range(REQUESTS)))
            while sock.recv(SCRATCH):  # until the server leaves
                pass

    async def main() -> None:
        async with Server(app, ["127.0.0.1:0"]) as server:
            handled.append(0)
            tick()
            thread = threading.Thread(target=flood, args=(server.addresses[0],))
            thread.start()
            await leaks.until(lambda: sum(handled) >= REQUESTS)
        thread.join(leaks.PATIENCE)
        assert not thread.is_alive()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert sum(handled) == REQUESTS
    assert max(handled) <= 2 * SCRATCH // REQUEST  # what one read brought, and what waited for a task

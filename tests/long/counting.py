"""A server that keeps a ledger of what it ran: `python -m tests.long.counting ADDRESS LEDGER` prints when it listens.

Each run of an action is one line of the ledger, `ACTION TOKEN`, written before anything else, so that it outlives a
server that is killed. The next server goes on with the same ledger.
"""

import asyncio
import os
import random
import sys

from letterhead import App, Limits
from letterhead.server.server import Server

LONGEST = 0.02
"""Seconds that an answer takes at most: some are always under way when the server goes."""


def main() -> None:
    """Serve."""
    address, path = sys.argv[1:]
    ledger = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    app = App("counting", limits=Limits(linger_quiet_seconds=0.1))

    async def run(action: str, token: str) -> str:
        os.write(ledger, f"{action} {token}\n".encode())
        await asyncio.sleep(random.random() * LONGEST)
        return token

    @app.action
    async def once(token: str) -> str:
        return await run("once", token)

    @app.action(idempotent=True)
    async def again(token: str) -> str:
        return await run("again", token)

    def ready(server: Server) -> None:
        print("ready", flush=True)

    app.run(address, on_ready=ready)


if __name__ == "__main__":
    main()

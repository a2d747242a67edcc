"""A server, and clients that say when they noticed that nobody is there any more.

``silence.py LIMITS server ADDRESS …`` or ``silence.py LIMITS KIND SITUATION ADDRESS``; LIMITS are `default` or `short`.

A client prints `ready` when its connection is as the situation wants it, waits for a line, and prints the seconds from
then on until its call failed. One that is idle has no call: it sleeps until its input ends.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from letterhead import App, AsyncClient, Client, ConnectionLost, Limits
from letterhead.server.server import Server

PATIENT = 300.0
"""Seconds: no deadline of a call ends what is measured here."""
LIMITS = {
    "default": Limits(),
    "short": Limits(
        keepalive_idle_seconds=1, keepalive_interval_seconds=1, keepalive_probes=2, user_timeout_seconds=2.0
    ),
}


def serve(limits: Limits, *addresses: str) -> None:
    """`wait` answers after five minutes, `tick` says something ten times a second."""
    app = App(limits=limits)

    @app.action
    async def hello() -> None:
        return None

    @app.action
    async def wait() -> None:
        await asyncio.sleep(PATIENT)

    @app.action
    async def tick() -> AsyncIterator[int]:
        for number in range(int(PATIENT * 10)):
            yield number
            await asyncio.sleep(0.1)

    def ready(server: Server) -> None:
        print("ready", flush=True)

    app.run(*addresses, on_ready=ready)


def told() -> None:
    """Say that all is prepared, and wait for the word."""
    print("ready", flush=True)
    sys.stdin.readline()


def blocking(limits: Limits, address: str, situation: str) -> None:
    """One `Client`."""
    with Client(address, limits=limits) as client:
        client.call("hello")
        match situation:
            case "idle":
                told()
                sys.stdin.read()
            case "sending":
                told()
                _report(lambda: client.call("hello", timeout=PATIENT))
            case "waiting":
                print("ready", flush=True)
                _report(lambda: client.call("wait", timeout=PATIENT))
            case "reading":
                items = client.stream("tick", timeout=PATIENT)
                next(items)
                print("ready", flush=True)
                _report(lambda: list(items))


async def on_a_loop(limits: Limits, address: str, situation: str) -> None:
    """One `AsyncClient`."""
    async with AsyncClient(address, limits=limits) as client:
        await client.call("hello")
        match situation:
            case "idle":
                await asyncio.to_thread(told)
                await asyncio.to_thread(sys.stdin.read)
            case "sending":
                await asyncio.to_thread(told)
                await _report_async(client.call("hello", timeout=PATIENT))
            case "waiting":
                print("ready", flush=True)
                await _report_async(client.call("wait", timeout=PATIENT))
            case "reading":
                items = client.stream("tick", timeout=PATIENT)
                await anext(items)
                print("ready", flush=True)

                async def read() -> None:
                    async for _ in items:
                        continue

                await _report_async(read())


def _report(work: Callable[[], object]) -> None:
    try:
        work()
    except ConnectionLost as error:
        _lost(error)


async def _report_async(work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except ConnectionLost as error:
        _lost(error)


def _lost(error: ConnectionLost) -> None:
    print(f"{time.monotonic()} {error}", flush=True)  # the clock of the whole machine: whoever cut the line reads it


if __name__ == "__main__":
    chosen, what, *rest = sys.argv[1:]
    if what == "server":
        serve(LIMITS[chosen], *rest)
    elif what == "Client":
        blocking(LIMITS[chosen], rest[1], rest[0])
    else:
        asyncio.run(on_a_loop(LIMITS[chosen], rest[1], rest[0]))

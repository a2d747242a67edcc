"""Programs that serve, for the tests that look at a whole process: `python programs.py NAME ADDRESS [STOP_LIMIT]`.

Each prints its address when it listens. What they log goes to the standard error.
"""

import asyncio
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import letterhead
from letterhead import App, Limits
from letterhead.server.server import Server

OPEN_FILES = 400


def ready(server: Server) -> None:
    """Tell where it listens."""
    print(*server.addresses, flush=True)


def spin(begun: str) -> None:
    """Never returns, in a worker process."""
    Path(begun).touch()
    while True:
        time.sleep(0.01)


def spin_on(begun: str) -> None:
    """Never returns, and cannot be asked to."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    spin(begun)


def slow_app(drain_seconds: float) -> App:
    """`wait` answers when its file is there; most others never do."""
    # One worker process: a second one would still be starting when some tests stop the server.
    limits = Limits(drain_seconds=drain_seconds, drain_cancel_seconds=0.5, linger_quiet_seconds=0.1)
    app = App(limits=limits, processes=1)
    app.action(name="spin", run="process")(spin)
    app.action(name="spin-on", run="process")(spin_on)

    @app.on_stop
    def stopped() -> None:
        print("stopped", flush=True)

    @app.action
    async def wait(begun: str, gate: str) -> str:
        Path(begun).touch()
        while not Path(gate).exists():  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.005)
        return "answered"

    @app.action(name="wait-thread")
    def wait_in_thread(begun: str) -> None:
        Path(begun).touch()
        threading.Event().wait(600)

    @app.action
    async def endless(begun: str) -> AsyncIterator[bytes]:
        Path(begun).touch()
        while True:
            yield bytes(10_000)

    @app.action(name="endless-thread")
    def endless_in_thread(begun: str) -> Iterator[bytes]:
        Path(begun).touch()
        while True:
            yield bytes(10_000)

    @app.action
    async def ticks(begun: str) -> AsyncIterator[int]:
        """Without end, until the server leaves."""
        Path(begun).touch()
        call, number = letterhead.current(), 0
        while not call.draining:
            yield number
            number += 1
            await asyncio.sleep(0.01)

    @app.action
    async def stubborn(begun: str) -> None:
        Path(begun).touch()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    return app


def crowded_app() -> App:
    """`fill` leaves the process without a free descriptor, `empty` gives them back."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    app = App(limits=Limits(linger_quiet_seconds=0.1))
    held: list[int] = []

    @app.action(run="inline")
    def fill() -> int:
        while True:
            try:
                held.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                return len(held)

    @app.action(run="inline")
    def empty() -> None:
        while held:
            os.close(held.pop())

    @app.action(name="processor-seconds", run="inline")
    def processor_seconds() -> float:
        return time.process_time()

    return app


def starting_app(begun: str) -> App:
    """Its start hooks never end; the second one blocks the event loop."""
    app = App()

    @app.on_start
    async def wait() -> None:
        Path(begun).touch()
        if not begun.endswith("blocks"):
            await asyncio.Event().wait()

    @app.on_start
    def block() -> None:
        time.sleep(600)

    return app


def main() -> None:
    """Run the one that the command line names."""
    name, address = sys.argv[1:3]
    if name == "starting":
        print("starting", flush=True)
        starting_app(sys.argv[3]).run(address, on_ready=ready)
    app = crowded_app() if name == "crowded" else slow_app(float(sys.argv[3]) if len(sys.argv) > 3 else 30.0)
    app.run(address, on_ready=ready)
    print("left", flush=True)


if __name__ == "__main__":
    main()

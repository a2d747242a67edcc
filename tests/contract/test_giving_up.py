"""A caller that gives up: a task that is cancelled, a thread that gets Ctrl-C. The server hears of it either way."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from letterhead import AsyncClient, Client, Limits
from letterhead.server.server import Server
from letterhead.testing import background, memory
from tests import leaks
from tests.contract.application import application

LIMITS = Limits(control_frames=10_000, linger_quiet_seconds=0.05)


class Interrupted(Exception):
    """What the signal raises in the main thread."""


@pytest.fixture(params=["tcp", "unix", "memory"])
def pipe(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def places(pipe: str, short_path: Path) -> list[str]:
    """Where the server of a pipe listens."""
    return {"tcp": ["127.0.0.1:0"], "unix": [f"unix:{short_path / 's'}"], "memory": []}[pipe]


@pytest.fixture
def interrupts() -> Iterator[None]:
    """SIGUSR1 raises `Interrupted`."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.smoke
@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("loop", leaks.LOOPS)
def test_a_signal_in_a_blocking_call_cancels_it_at_the_server(
    places: list[str], loop: str, warm: bool, interrupts: None
) -> None:
    app = application(LIMITS)

    @app.action(name="interrupt-caller")
    async def interrupt_caller() -> None:
        # The main thread is in the call that this answers; the signal ends its wait.
        os.kill(os.getpid(), signal.SIGUSR1)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            app.state.cancelled.set()
            raise

    async def cancelled() -> None:
        async with asyncio.timeout(leaks.PATIENCE):
            await app.state.cancelled.wait()

    with background.running(app, *places, loop_factory=leaks.LOOPS[loop]) as served, client_of(served) as client:
        if warm:
            assert client.call("echo", 1) == 1
        with pytest.raises(Interrupted):
            client.call("interrupt-caller")
        served.run(cancelled())
        assert client.call("echo", 2) == 2


def client_of(served: background.Served) -> Client:
    addresses = served.server.addresses
    return Client(addresses[0]) if addresses else Client(memory.ADDRESS, connector=served.connector)


def async_client_of(server: Server, **options: Any) -> AsyncClient:
    if server.addresses:
        return AsyncClient(server.addresses[0], **options)
    return AsyncClient(memory.ADDRESS, connector=memory.connector(server), **options)


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize("loop", leaks.LOOPS)
def test_a_cancelled_task_cancels_its_call_at_the_server(places: list[str], loop: str, warm: bool) -> None:
    async def main() -> None:
        app = application(LIMITS)
        async with Server(app, places) as server, async_client_of(server) as client:
            if warm:
                assert await client.call("echo", 1) == 1
            call = asyncio.ensure_future(client.call("wait"))
            await app.state.started.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            async with asyncio.timeout(leaks.PATIENCE):
                await app.state.cancelled.wait()
            assert await client.call("echo", 2) == 2

    leaks.run(main(), loop)


@pytest.mark.parametrize("loop", leaks.LOOPS)
def test_a_call_cancelled_at_any_moment_harms_no_other(places: list[str], loop: str) -> None:
    """Each call is cancelled after some number of turns of the loop: while connecting, unsent, open, or answered."""

    async def main() -> None:
        app = application(LIMITS)
        async with Server(app, places) as server:
            for seed in range(8):
                async with async_client_of(server) as client:
                    await many_cancelled(client, random.Random(seed))
            await leaks.until(lambda: server.shared.counters.open_now == 0)

    leaks.run(main(), loop)


async def many_cancelled(client: AsyncClient, chance: random.Random) -> None:
    async def kept(number: int) -> None:
        for turn in range(5):
            action = chance.choice(["echo", "echo-thread", "echo-inline"])
            assert await client.call(action, [number, turn]) == [number, turn]

    async def given_up(turns: int) -> None:
        calls: list[tuple[str, list[Any]]] = [("echo", [b"x" * 100_000]), ("echo", [1]), ("wait", [])]
        action, arguments = chance.choice(calls)
        call: asyncio.Task[Any] = asyncio.ensure_future(client.call(action, *arguments))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])

    await asyncio.gather(*(kept(n) for n in range(10)), *(given_up(chance.randrange(12)) for _ in range(40)))


@pytest.mark.parametrize("kind", ["AsyncClient", "Client"])
def test_a_client_is_not_cut_off_by_its_own_cancellations(places: list[str], kind: str) -> None:
    """Far more are given up than a server allows for, which it would close the connection for."""
    limits = Limits(control_frames=40, control_seconds=0.5, linger_quiet_seconds=0.05)

    async def main() -> None:
        app = application(limits)
        async with Server(app, places) as server:
            if kind == "AsyncClient":
                async with async_client_of(server, limits=limits) as client:
                    await give_up_many(client)
                    assert await client.call("echo", 1) == 1
                    await leaks.until(lambda: server.shared.counters.open_now == 0)
            else:
                loop = asyncio.get_running_loop()
                await asyncio.to_thread(drop_many, server, loop)
                await leaks.until(lambda: server.shared.counters.open_now == 0)
            assert server.shared.counters.accepted == 1

    def drop_many(server: Server, loop: asyncio.AbstractEventLoop) -> None:
        with blocking_client_of(server, loop, limits) as blocking:
            for _ in range(100):
                stream = blocking.stream("silent")
                assert next(stream) == 0
                del stream
            assert blocking.call("echo", 1) == 1
            while server.shared.counters.open_now:
                time.sleep(0.01)

    async def give_up_many(client: AsyncClient) -> None:
        await client.call("echo", 1)
        calls = [asyncio.ensure_future(client.call("wait")) for _ in range(100)]
        await asyncio.sleep(0.05)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)

    leaks.run(main())


def blocking_client_of(server: Server, loop: asyncio.AbstractEventLoop, limits: Limits) -> Client:
    if server.addresses:
        return Client(server.addresses[0], limits=limits)
    return Client(memory.ADDRESS, connector=memory.wires(server, loop), limits=limits)

"""Much of everything, one after the other and at once: 10⁵ exchanges, 10³ connections, and nothing is left of them.

What is left is counted in objects that Python's collector tracks, not in bytes: that is the same on every machine.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator

import pytest

from letterhead import App, AsyncClient, Client
from letterhead.testing.background import running
from tests import leaks

CALLS = 100_000
CONNECTIONS = 1_000
TASKS = 64
_A_FEW = 300
"""Objects that caches and pools may have gained meanwhile: far fewer than one an exchange or a connection."""


def application() -> App:
    """Everything that an exchange can be."""
    app = App("endurance")

    @app.action
    async def echo(value: int) -> int:
        return value

    @app.action
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @app.action
    async def total(numbers: AsyncIterator[int]) -> int:
        found = 0
        async for number in numbers:
            found += number
        return found

    @app.action
    async def first(numbers: AsyncIterator[int]) -> int:
        return await anext(numbers)

    @app.action(name="one-and-wait")
    async def one_and_wait() -> AsyncIterator[int]:
        yield 0
        await asyncio.Event().wait()

    @app.action(name="count-plainly")
    def count_plainly(to: int) -> Iterator[int]:
        yield from range(to)

    return app


def tracked() -> int:
    """Objects that the collector tracks once there is no garbage."""
    gc.collect()
    gc.collect()
    return len(gc.get_objects())


async def one_of_each(client: AsyncClient, number: int) -> None:
    """One exchange: mostly a call, now and then a stream, an upload, a stream that is left or an upload cut short."""
    kind = number % 40
    if kind == 0:
        assert [item async for item in client.stream("count", to=5)] == [0, 1, 2, 3, 4]
    elif kind == 1:
        assert await client.call("total", numbers=iter(range(5))) == 10
    elif kind == 2:
        assert await client.call("first", numbers=iter(range(500))) == 0
    else:
        assert await client.call("echo", value=number) == number


@pytest.mark.timeout(240)
def test_a_hundred_thousand_exchanges_leave_nothing() -> None:
    async def work(client: AsyncClient, numbers: Iterator[int]) -> None:
        for number in numbers:
            await one_of_each(client, number)

    async def many(client: AsyncClient, count: int) -> None:
        numbers = iter(range(count))
        await asyncio.gather(*(work(client, numbers) for _ in range(TASKS)))

    async def main() -> None:
        async with application().serve("127.0.0.1:0") as server, AsyncClient(server.addresses[0]) as client:
            await many(client, CALLS // 10)
            before = tracked()
            await many(client, CALLS)
            assert tracked() - before < _A_FEW
            health = await client.call("letterhead.health")
            assert health["requests"]["open"] == 1  # this one
            assert server.shared.budget.used == 0
            assert health["connections"] == {
                "now": 1, "accepted": 1, "turned-away": 0, "idled": 0, "lost": 0, "stalled": 0, "misbehaved": 0,
            }  # fmt: skip

    leaks.run(main(), "uvloop")


def test_a_hundred_early_answers_to_uploads_with_much_under_way_take_no_slot() -> None:
    async def main() -> None:
        async with application().serve("127.0.0.1:0") as server, AsyncClient(server.addresses[0]) as client:
            for _ in range(129):  # one more than there are slots
                assert await client.call("first", numbers=iter(range(50_000))) == 0
            assert await client.call("echo", value=1) == 1
            assert server.shared.counters.accepted == 1

    leaks.run(main())


@pytest.mark.timeout(240)
def test_a_thousand_connections_one_after_the_other_leave_nothing() -> None:
    async def connect(address: str, count: int) -> None:
        for number in range(count):
            async with AsyncClient(address) as client:
                await one_of_each(client, number)

    async def main() -> None:
        async with application().serve("127.0.0.1:0") as server:
            await connect(server.addresses[0], 100)
            await leaks.until(lambda: not server.shared.connections)
            before = tracked()
            await connect(server.addresses[0], CONNECTIONS)
            await leaks.until(lambda: not server.shared.connections)
            assert tracked() - before < _A_FEW

    leaks.run(main())


@pytest.mark.timeout(240)
def test_a_thousand_connections_at_once_with_a_stream_each_leave_nothing() -> None:
    async def at_once(address: str, count: int) -> None:
        clients = [AsyncClient(address) for _ in range(count)]
        streams = [client.stream("one-and-wait") for client in clients]
        assert [await anext(stream) for stream in streams] == [0] * count
        for client in clients:
            await client.close()

    async def main() -> None:
        async with application().serve("127.0.0.1:0") as server:
            await at_once(server.addresses[0], 20)
            await leaks.until(lambda: not server.shared.connections)
            before = tracked()
            for _ in range(4):
                await at_once(server.addresses[0], CONNECTIONS // 4)
                await leaks.until(lambda: not server.shared.connections)
            assert tracked() - before < _A_FEW
            assert server.shared.counters.open_now == 0
            assert server.shared.budget.used == 0

    leaks.run(main(), "uvloop")


@pytest.mark.timeout(240)
def test_blocking_clients_and_threads_leave_nothing() -> None:
    def exchange(client: Client, number: int) -> None:
        kind = number % 10
        if kind == 0:
            assert list(client.stream("count-plainly", to=5)) == [0, 1, 2, 3, 4]
        elif kind == 1:
            for item in client.stream("count-plainly", to=100_000):
                assert item == 0
                break
        elif kind == 2:
            assert client.call("total", numbers=iter(range(5))) == 10
        else:
            assert client.call("echo", value=number) == number

    with leaks.nothing_left(), running(application(), "127.0.0.1:0") as served:

        def use(clients: int, calls: int) -> None:
            for _ in range(clients):
                with Client(served.server.addresses[0]) as client:
                    for number in range(calls):
                        exchange(client, number)

        use(2, 50)
        before = tracked()
        use(20, 100)
        assert tracked() - before < _A_FEW

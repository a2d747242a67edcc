"""One client of several servers: calls are spread, and nobody waits for a server that is not there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from letterhead import App, ConnectionFailed, Limits
from letterhead.server.server import Server
from tests import leaks
from tests.classic import server as classic
from tests.net import peers
from tests.net.kinds import Caller, Make, each_client
from tests.net.ports import free_port

FAST = Limits(linger_quiet_seconds=0.05, drain_seconds=leaks.PATIENCE)
LIMITS = Limits(reconnect_seconds=0.02, reconnect_max_seconds=0.1, slow_start_seconds=0.0, eyeballs_seconds=0.02)


def named(name: str) -> App:
    """An application that says which it is."""
    app = App(name, limits=FAST)
    app.state.gate = asyncio.Event()
    app.state.inside = 0

    @app.action
    async def who() -> str:
        return name

    @app.action(name="who-waits")
    async def who_waits() -> str:
        app.state.inside += 1
        await app.state.gate.wait()
        return name

    @app.action
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number
            await app.state.gate.wait()

    @app.action
    async def total(numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    return app


def calls(caller: Caller, number: int, action: str = "who", **args: Any) -> list[asyncio.Future[Any]]:
    return [asyncio.ensure_future(caller.call(action, **args)) for _ in range(number)]


@each_client
async def test_calls_are_spread_over_the_servers(make: Make) -> None:
    one, two = named("one"), named("two")
    async with Server(one, ["127.0.0.1:0"]) as a, Server(two, ["127.0.0.1:0"]) as b:
        caller = make([a.addresses[0], b.addresses[0]], limits=LIMITS)
        open_calls: list[asyncio.Future[Any]] = []
        while not (one.state.inside and two.state.inside):
            open_calls += calls(caller, 1, "who-waits")
            await asyncio.sleep(0.02)
            assert len(open_calls) < 100
        open_calls += calls(caller, 10, "who-waits")
        await leaks.until(lambda: one.state.inside + two.state.inside == len(open_calls))
        assert abs(one.state.inside - two.state.inside) <= 2
        one.state.gate.set()
        two.state.gate.set()
        await asyncio.gather(*open_calls)


@each_client
async def test_one_call_after_the_other_needs_one_connection(make: Make) -> None:
    async with Server(named("one"), ["127.0.0.1:0"]) as a, Server(named("two"), ["127.0.0.1:0"]) as b:
        caller = make([a.addresses[0], b.addresses[0]], limits=LIMITS)
        assert len({await caller.call("who") for _ in range(10)}) == 1
        assert caller.client.counters["connected"] == 1


@each_client
async def test_one_that_is_not_there_costs_no_call(make: Make) -> None:
    async with Server(named("one"), ["127.0.0.1:0"]) as a:
        for _ in range(5):
            caller = make([f"127.0.0.1:{free_port()}", a.addresses[0], f"127.0.0.1:{free_port()}"], limits=LIMITS)
            assert await asyncio.gather(*calls(caller, 20)) == ["one"] * 20


@each_client
async def test_nobody_waits_for_one_that_does_not_take_connections(make: Make) -> None:
    with peers.full_backlog() as dead:
        async with Server(named("one"), ["127.0.0.1:0"]) as a:
            limits = Limits(connect_seconds=1.0, eyeballs_seconds=0.02)
            caller = make([dead, a.addresses[0]], limits=limits)
            assert await asyncio.gather(*calls(caller, 20, timeout=0.9)) == ["one"] * 20
            await caller.close()


@each_client
async def test_where_none_is_there_the_error_tells_of_each(make: Make) -> None:
    ports = [free_port() for _ in range(3)]
    caller = make([f"127.0.0.1:{port}" for port in ports], limits=LIMITS)
    with pytest.raises(ConnectionFailed) as caught:
        await caller.call("who")
    assert all(str(port) in str(caught.value) for port in ports)


@each_client
async def test_one_that_leaves_in_order_costs_no_call(make: Make) -> None:
    async with Server(named("one"), ["127.0.0.1:0"]) as a:
        b = Server(named("two"), ["127.0.0.1:0"])
        await b.__aenter__()
        caller = make([a.addresses[0], b.addresses[0]], limits=LIMITS)
        ending = asyncio.Event()

        async def load() -> set[str]:
            seen = set()
            while not ending.is_set():
                seen.add(await caller.call("who"))
            return seen | {await caller.call("who")}

        workers = [asyncio.ensure_future(load()) for _ in range(6)]
        await leaks.until(lambda: b.shared.counters.served > 20 or caller.client.counters["connected"] < 2)
        await b.__aexit__(None, None, None)
        await asyncio.sleep(0.1)
        ending.set()
        assert set.union(*await asyncio.gather(*workers)) >= {"one"}
        assert await caller.call("who") == "one"


@each_client
async def test_one_that_comes_back_is_used_again(make: Make) -> None:
    address = f"127.0.0.1:{free_port()}"
    one, two = named("one"), named("two")
    async with Server(one, ["127.0.0.1:0"]) as a:
        caller = make([a.addresses[0], address], limits=LIMITS)
        held = calls(caller, 3, "who-waits")
        await leaks.until(lambda: caller.client.counters["connect-failed"])
        async with Server(two, [address]):
            while not two.state.inside:
                held += calls(caller, 1, "who-waits")
                await asyncio.sleep(0.02)
                assert len(held) < 200
            one.state.gate.set()
            two.state.gate.set()
            assert set(await asyncio.gather(*held)) == {"one", "two"}


@each_client
async def test_streams_and_uploads_are_spread_too(make: Make) -> None:
    one, two = named("one"), named("two")
    one.state.gate.set()
    two.state.gate.set()
    async with Server(one, ["127.0.0.1:0"]) as a, Server(two, ["127.0.0.1:0"]) as b:
        caller = make([a.addresses[0], b.addresses[0]], limits=LIMITS)
        streams = [await caller.stream("count", to=5) for _ in range(6)]
        sums = [asyncio.ensure_future(caller.call("total", numbers=iter(range(n)))) for n in range(6)]
        assert [await stream.rest() for stream in streams] == [list(range(5))] * 6
        assert await asyncio.gather(*sums) == [sum(range(n)) for n in range(6)]


@each_client
async def test_a_classic_server_may_be_among_them(make: Make) -> None:
    app = named("one")

    @app.action
    async def search(value: str) -> str:
        return "multiplexed"

    with classic.running() as (host, port):
        async with Server(app, ["127.0.0.1:0"]) as a:
            caller = make([f"{host}:{port}", a.addresses[0]], limits=LIMITS)
            found = await asyncio.gather(*(caller.call("search", "ring") for _ in range(30)))
            assert all(found)


@each_client
async def test_a_later_call_takes_an_earlier_ones_place_wherever_that_is(make: Make) -> None:
    one, two = named("one"), named("two")
    async with Server(one, ["127.0.0.1:0"]) as a, Server(two, ["127.0.0.1:0"]) as b:
        caller = make([a.addresses[0], b.addresses[0]], limits=LIMITS)
        held = calls(caller, 4, "who-waits")
        typed = []
        for _ in range(10):
            typed += calls(caller, 1, "who-waits", supersedes="box")
            await asyncio.sleep(0.005)
        await leaks.until(lambda: sum(call.done() for call in typed) == 9)
        one.state.gate.set()
        two.state.gate.set()
        assert await typed[-1] in ("one", "two")
        await asyncio.gather(*held)
        assert all(call.exception() for call in typed[:-1])

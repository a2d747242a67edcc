"""All at once: many callers, all sizes, timeouts, errors, connections that break. Each call ends as it should."""

import asyncio
import contextlib
import random
from typing import Any

from letterhead import ConnectionFailed, DeadlineExceeded, Limits, Refused, TooLarge
from tests import leaks
from tests.contract.scene import Scene, claim

BUSY = Limits(max_open=16, control_frames=100_000, content_bytes=1 << 20, linger_quiet_seconds=0.02)
SIZES = [0, 1, 5_000, 70_000, 300_000]


@claim(BUSY)
async def test_every_call_among_many_gets_its_own_outcome(scene: Scene) -> None:
    callers = [scene.another(limits=Limits(content_bytes=8 << 20)) for _ in range(2)]

    async def break_connections() -> None:
        for connection in list(scene.server.shared.connections):
            connection.abort()

    async def one(number: int, turn: int, chance: random.Random) -> None:
        caller = chance.choice(callers)
        kind = chance.choice(["value", "value", "bytes", "bytes", "late", "refused", "too large", "break"])
        action = chance.choice(["echo", "echo-thread", "echo-inline"])
        try:
            if kind == "value":
                assert await caller.call(action, [number, turn]) == [number, turn]
            elif kind == "bytes":
                data = bytes([number]) * chance.choice(SIZES)
                assert await caller.call(action, data) == data
            elif kind == "break":
                await break_connections()
            else:
                await caller_fails(caller, kind, number)
        except ConnectionFailed:
            return  # somebody broke the connection; that is told, and the next call is fine

    async def caller_fails(caller: Any, kind: str, number: int) -> None:
        try:
            if kind == "late":
                await caller.call("wait", timeout=0.001 * (number % 5))
            elif kind == "refused":
                await caller.call("order", number=number + 1)
            else:
                await caller.call("size", bytes(2 << 20))
        except DeadlineExceeded:
            assert kind == "late"
        except TooLarge:
            assert kind == "too large"
        except Refused as error:
            assert (kind, error.facts["order"]) == ("refused", number + 1)
        else:
            raise AssertionError(f"{kind} came back")

    async def worker(number: int) -> None:
        chance = random.Random(number)
        for turn in range(12):
            await one(number, turn, chance)

    async with asyncio.timeout(2 * leaks.PATIENCE):
        await asyncio.gather(*(worker(number) for number in range(16)))
        for caller in callers:
            with contextlib.suppress(ConnectionFailed):  # its connection may be breaking at this very moment
                await caller.call("echo", 1)
            assert await caller.in_turn("echo", range(20)) == list(range(20))
    await leaks.until(lambda: scene.server.shared.counters.open_now == 0)
    assert scene.server.shared.budget.used == 0


@claim(BUSY)
async def test_every_stream_among_many_is_whole_or_told_why_not(scene: Scene) -> None:
    """Streams both ways, left in every way there is, on connections that break; beside them plain calls."""
    callers = [scene.another(limits=Limits(control_frames=100_000)) for _ in range(2)]

    async def read(caller: Any, chance: random.Random) -> None:
        to = chance.choice([0, 1, 50, 5000])
        reading = await caller.stream(chance.choice(["count", "count-thread"]), to=to)
        wanted = chance.choice([to, to // 2])
        assert await reading.some(wanted) == list(range(wanted))
        how = chance.choice(["to its end", "closed", "dropped"])
        if how == "to its end":
            assert await reading.rest() == list(range(wanted, to))
        elif how == "closed":
            await reading.close()
        else:
            reading.drop()

    async def upload(caller: Any, chance: random.Random) -> None:
        items = range(chance.choice([0, 1, 50, 5000]))
        kind = chance.choice(["whole", "early", "failing", "late"])
        if kind == "whole":
            assert await caller.call(chance.choice(["total", "total-thread"]), items) == sum(items)
        elif kind == "early":
            assert await caller.call("first-of", items) == (0 if items else -1)
        elif kind == "late":
            with contextlib.suppress(DeadlineExceeded):
                await caller.call("take-none", items, timeout=0.01)
                raise AssertionError("it came back")
        else:
            failure = LookupError("the iterable's own")
            try:
                await caller.call("total", (fail(failure) if item == len(items) - 1 else item for item in items))
            except LookupError as error:
                assert error is failure
            else:
                assert not items

    async def converse(caller: Any, chance: random.Random) -> None:
        number = chance.choice([0, 1, 50, 3000])
        reading = await caller.stream(chance.choice(["double", "double-thread"]), range(number))
        wanted = chance.choice([number, number // 2])
        assert await reading.some(wanted) == [2 * n for n in range(wanted)]
        if chance.random() < 0.5:
            assert await reading.rest() == [2 * n for n in range(wanted, number)]

    async def plain(caller: Any, chance: random.Random) -> None:
        value = chance.random()
        assert await caller.call("echo", value) == value

    async def break_connections(_caller: Any, _chance: random.Random) -> None:
        for connection in list(scene.server.shared.connections):
            connection.abort()

    async def worker(number: int) -> None:
        chance = random.Random(number)
        kinds = [read, read, upload, upload, converse, plain, plain]
        for _ in range(10):
            kind = break_connections if chance.random() < 0.03 else chance.choice(kinds)
            with contextlib.suppress(ConnectionFailed):  # somebody broke the connection; that is told
                await kind(chance.choice(callers), chance)

    async with asyncio.timeout(3 * leaks.PATIENCE):
        await asyncio.gather(*(worker(number) for number in range(12)))
        for caller in callers:
            with contextlib.suppress(ConnectionFailed):
                await caller.call("echo", 1)
            assert await (await caller.stream("count", to=20)).rest() == list(range(20))
    await leaks.until(lambda: scene.server.shared.counters.open_now == 0)
    assert scene.server.shared.budget.used == 0


def fail(failure: Exception) -> int:
    raise failure

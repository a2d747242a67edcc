"""Streams of results: what comes, in which order, how it ends, and how it is left."""

import asyncio
import gc
from dataclasses import dataclass
from typing import Any

import pytest

from letterhead import (
    BadContent,
    Cancelled,
    ConnectionLost,
    DeadlineExceeded,
    InvalidArgument,
    Limits,
    Refused,
    TooLarge,
    UnknownAction,
    UsageError,
)
from tests import leaks
from tests.contract.callers import END
from tests.contract.scene import Scene, claim

MIB = 1024 * 1024


@dataclass
class Point:
    """The client's own idea of a point."""

    x: int
    y: int


async def in_time(event: asyncio.Event) -> None:
    async with asyncio.timeout(leaks.PATIENCE):
        await event.wait()


# What comes


@pytest.mark.smoke
@claim()
async def test_items_come_in_order_and_then_the_end(scene: Scene) -> None:
    for action in ("count", "count-thread"):
        reading = await scene.caller.stream(action, to=1000)
        assert await reading.rest() == list(range(1000))
        assert await reading.next() is END


@claim()
async def test_a_stream_of_nothing_ends_at_once(scene: Scene) -> None:
    for _ in range(2):  # on a fresh connection, and on a known one
        assert await (await scene.caller.stream("count", to=0)).rest() == []


@claim()
async def test_a_null_is_an_item_and_so_are_no_bytes(scene: Scene) -> None:
    assert await (await scene.caller.stream("items", values=[None])).rest() == [None]
    assert await (await scene.caller.stream("items", values=[[], "", 0, False])).rest() == [[], "", 0, False]
    assert await (await scene.caller.stream("empty-bytes")).rest() == [b""]


@claim()
async def test_each_item_is_read_by_its_own_header(scene: Scene) -> None:
    assert await (await scene.caller.stream("mixed")).rest() == [1, b"\x00\xff", "naïve", {"a": [None]}]


@claim()
async def test_each_item_becomes_the_type_that_is_wanted(scene: Scene) -> None:
    reading = await scene.caller.stream("items", values=[{"x": 1, "y": 2}, {"x": 3, "y": 4}], returns=Point)
    assert await reading.rest() == [Point(1, 2), Point(3, 4)]


@claim()
async def test_an_item_of_another_type_ends_the_stream_after_those_before(scene: Scene) -> None:
    reading = await scene.caller.stream("items", values=[1, 2, "three", 4], returns=int)
    assert await reading.some(2) == [1, 2]
    for _ in range(2):
        with pytest.raises(BadContent, match="does not fit 'returns'"):
            await reading.next()
    assert await scene.caller.call("echo", 1) == 1


@claim()
async def test_a_stream_larger_than_all_credit_comes_whole(scene: Scene) -> None:
    blocks = await (await scene.caller.stream("blocks", number=300, size=30_000)).rest()
    assert [(block[0], len(block)) for block in blocks] == [(n % 256, 30_000) for n in range(300)]


@claim()
async def test_items_larger_than_all_credit_come_one_by_one(scene: Scene) -> None:
    blocks = await (await scene.caller.stream("blocks", number=4, size=3 * MIB)).rest()
    assert [len(block) for block in blocks] == [3 * MIB] * 4


@claim()
async def test_many_streams_on_one_connection_keep_apart(scene: Scene) -> None:
    readings = [await scene.caller.stream("count", to=100 * n) for n in range(20)]
    assert await asyncio.gather(*(reading.rest() for reading in readings)) == [list(range(100 * n)) for n in range(20)]
    assert scene.server.shared.counters.accepted == 1


@claim()
async def test_who_subscribes_first_and_publishes_second_does_so_in_this_order(scene: Scene) -> None:
    for caller in (scene.another(), scene.caller):  # on a connection that nobody has used
        scene.app.state.order.clear()
        reading = await caller.stream("note-stream", name="subscribed")
        assert await caller.call("note", name="published", open_gate=True) == "published"
        assert scene.app.state.order == ["subscribed", "published"]
        assert await reading.rest() == ["subscribed"]


@claim()
async def test_a_stream_has_begun_before_anybody_reads_it(scene: Scene) -> None:
    reading = await scene.caller.stream("endless")
    await in_time(scene.app.state.started)
    await reading.close()


# Nobody reads


@claim()
async def test_a_stream_that_nobody_reads_holds_up_no_other(scene: Scene) -> None:
    stalled = await scene.caller.stream("blocks", number=1000, size=30_000)
    assert await (await scene.caller.stream("blocks", number=100, size=30_000)).rest() != []
    assert await scene.caller.in_turn("echo", range(20)) == list(range(20))
    assert len(await stalled.some(100)) == 100
    await stalled.close()


@claim()
async def test_the_server_sends_no_further_than_its_credit(scene: Scene) -> None:
    reading = await scene.caller.stream("endless")
    frame = len(b'  {"byteorder":"little","content-type":"text/json","content-encoding":"utf-8","more":true,')
    sent = -1
    while sent != scene.app.state.sent:
        sent = scene.app.state.sent
        await asyncio.sleep(0.2)
    assert 1000 < sent < MIB // frame
    assert await reading.some(1000) == list(range(1000))
    await reading.close()


# Ends


@claim()
async def test_items_that_came_before_an_error_are_handed_out_first(scene: Scene) -> None:
    for action in ("count", "count-thread"):
        reading = await scene.caller.stream(action, to=3, then="sold-out")
        assert await reading.some(3) == [0, 1, 2]
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                await reading.next()
            assert (caught.value.code, caught.value.facts) == ("sold-out", {"to": 3})


@claim()
async def test_a_stream_that_cannot_begin_tells_why(scene: Scene) -> None:
    for error, action, args in (
        (UnknownAction, "no-such-action", {}),
        (InvalidArgument, "count", {"to": "many"}),
    ):
        with pytest.raises(error):
            await (await scene.caller.stream(action, **args)).rest()


@claim()
async def test_one_result_is_no_stream_and_a_stream_no_result(scene: Scene) -> None:
    with pytest.raises(UsageError, match="use call"):
        await (await scene.caller.stream("echo", 1)).rest()
    with pytest.raises(UsageError, match="use stream"):
        await scene.caller.call("count", to=3)
    assert await scene.caller.call("echo", 2) == 2
    await leaks.until(lambda: scene.server.shared.counters.open_now == 0)


@claim(Limits(linger_quiet_seconds=0.02))
async def test_a_connection_that_ends_fails_the_stream_after_its_items(scene: Scene) -> None:
    reading = await scene.caller.stream("silent")
    assert await reading.next() == 0
    for connection in list(scene.server.shared.connections):
        connection.abort()
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            await reading.next()
    assert await scene.caller.call("echo", 1) == 1


@claim()
async def test_a_timeout_ends_a_stream_and_its_handler(scene: Scene) -> None:
    reading = await scene.caller.stream("silent", timeout=0.2)
    assert await reading.next() == 0
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            await reading.next()
    await in_time(scene.app.state.left)


@claim()
async def test_a_timeout_reaches_a_reader_that_is_slower_than_its_stream(scene: Scene) -> None:
    reading = await scene.caller.stream("endless", timeout=0.3)
    with pytest.raises(DeadlineExceeded):
        while True:  # what waits in memory would be enough for a minute
            await reading.next()
            await asyncio.sleep(0.01)


@claim(Limits(deadline_seconds=0.1))
async def test_a_stream_that_names_no_timeout_has_none(scene: Scene) -> None:
    caller = scene.another(timeout=0.1, limits=Limits(deadline_seconds=0.1))
    reading = await caller.stream("note-stream", name="first")
    assert await reading.next() == "first"
    await asyncio.sleep(0.3)
    scene.app.state.gate.set()
    assert await reading.next() is END


@claim()
async def test_an_item_above_the_clients_limit_fails_its_own_stream(scene: Scene) -> None:
    caller = scene.another(limits=Limits(content_bytes=MIB // 2))
    assert await caller.call("echo", 1) == 1
    with pytest.raises(TooLarge):
        await (await caller.stream("blocks", number=1, size=MIB // 2 + 1)).rest()
    assert await caller.call("echo", 2) == 2
    assert scene.server.shared.counters.accepted == 1


@claim()
async def test_closing_the_client_fails_a_stream_that_is_open(scene: Scene) -> None:
    caller = scene.another()
    reading = await caller.stream("silent")
    assert await reading.next() == 0
    waiting = asyncio.ensure_future(reading.next())
    await asyncio.sleep(0.05)
    await caller.close()
    with pytest.raises(ConnectionLost, match="closed"):
        await waiting
    with pytest.raises(ConnectionLost, match="closed"):
        await reading.next()
    await in_time(scene.app.state.left)


# Leaving


@pytest.mark.smoke
@claim()
async def test_a_stream_that_is_dropped_is_cancelled_at_the_server(scene: Scene) -> None:
    reading = await scene.caller.stream("endless")
    assert await reading.some(3) == [0, 1, 2]
    reading.drop()
    await in_time(scene.app.state.left)
    assert await scene.caller.call("echo", 1) == 1
    assert scene.server.shared.counters.accepted == 1, "the connection was kept"


@claim()
async def test_a_stream_that_is_closed_is_cancelled_and_says_so(scene: Scene) -> None:
    reading = await scene.caller.stream("endless")
    assert await reading.next() == 0
    for _ in range(2):
        await reading.close()
    await in_time(scene.app.state.left)
    for _ in range(2):
        with pytest.raises(Cancelled, match="closed before its end"):
            await reading.next()


@claim()
async def test_a_block_that_is_left_cancels_its_stream(scene: Scene) -> None:
    for error in (None, LookupError("in the block")):
        scene.app.state.left.clear()
        reading = await scene.caller.stream("endless")
        assert await reading.next() == 0
        if error is None:
            await reading.leave_in_block()
        else:
            with pytest.raises(LookupError):
                await reading.leave_in_block(error)
        await in_time(scene.app.state.left)


@claim()
async def test_a_stream_that_was_read_to_its_end_stays_so_when_it_is_closed(scene: Scene) -> None:
    reading = await scene.caller.stream("count", to=2)
    assert await reading.rest() == [0, 1]
    await reading.close()
    assert await reading.next() is END


@claim()
async def test_a_stream_in_a_cycle_is_cancelled_when_the_collector_finds_it(scene: Scene) -> None:
    reading = await scene.caller.stream("endless")
    assert await reading.next() == 0
    holder: list[Any] = [reading.stream]
    holder.append(holder)
    reading.drop()
    del holder
    assert not scene.app.state.left.is_set()
    gc.collect()
    await in_time(scene.app.state.left)


@claim()
async def test_streams_dropped_by_the_hundred_leave_nothing_open(scene: Scene) -> None:
    caller = scene.another()
    for _ in range(100):
        reading = await caller.stream("endless")
        assert await reading.next() == 0
        reading.drop()
    await leaks.until(lambda: scene.server.shared.counters.open_now == 0)
    assert await caller.call("echo", 1) == 1


@claim()
async def test_two_that_read_one_stream_at_once_are_told(scene: Scene) -> None:
    reading = await scene.caller.stream("silent")
    assert await reading.next() == 0
    first = asyncio.ensure_future(reading.next())
    await asyncio.sleep(0.1)
    with pytest.raises(UsageError, match="another"):
        await reading.next()
    await reading.close()
    with pytest.raises(Cancelled):
        await first


# Either


@claim()
async def test_a_tool_takes_either_answer(scene: Scene) -> None:
    for caller in (scene.another(), scene.caller):
        for _ in range(2):  # on a fresh connection, and on a known one
            reading = await caller.either("echo", {"value": {"a": 1}})
            assert await reading.rest() == [{"a": 1}]
            assert reading.stream is not None
            assert reading.stream.single
        reading = await caller.either("count", {"to": 3})
        assert await reading.rest() == [0, 1, 2]
        assert reading.stream is not None
        assert not reading.stream.single
    fresh = scene.another()
    assert await (await fresh.either("count", {"to": 3})).rest() == [0, 1, 2]
    with pytest.raises(InvalidArgument):
        await (await fresh.either("greet", {"timeout": 1})).rest()

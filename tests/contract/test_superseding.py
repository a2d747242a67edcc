"""A call that takes another's place: search as you type."""

import asyncio
from typing import Any

import pytest

from letterhead import Cancelled, Limits, UsageError
from tests import leaks
from tests.contract.scene import Scene, claim


async def in_time(event: asyncio.Event) -> None:
    async with asyncio.timeout(leaks.PATIENCE):
        await event.wait()


@pytest.mark.smoke
@claim()
async def test_the_earlier_call_with_the_key_ends_here_and_at_the_server(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    first = asyncio.ensure_future(scene.caller.call("wait", supersedes="typing"))
    await in_time(scene.app.state.started)
    assert await scene.caller.call("echo", 2, supersedes="typing") == 2
    with pytest.raises(Cancelled, match="superseded by a later call"):
        await first
    await in_time(scene.app.state.cancelled)
    await leaks.until(lambda: scene.server.shared.counters.open_now == 0)


@claim()
async def test_a_first_call_that_is_superseded_while_connecting_ends_too(scene: Scene) -> None:
    calls = [asyncio.ensure_future(scene.caller.call("wait", supersedes="typing")) for _ in range(5)]
    await leaks.until(lambda: sum(call.done() for call in calls) == 4)  # of threads nobody knows which is the last
    assert await scene.caller.call("echo", 2, supersedes="typing") == 2
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Cancelled] * 5
    await leaks.until(lambda: scene.server.shared.counters.open_now == 0)


@claim()
async def test_other_keys_and_other_clients_are_left_alone(scene: Scene) -> None:
    other = scene.another()
    held = [
        asyncio.ensure_future(scene.caller.call("pass-gate", 1, supersedes=("typing", 1))),
        asyncio.ensure_future(scene.caller.call("pass-gate", 2)),
        asyncio.ensure_future(other.call("pass-gate", 3, supersedes="typing")),
    ]
    await leaks.until(lambda: scene.app.state.inside == 3)
    assert await scene.caller.call("echo", 1, supersedes="typing") == 1
    scene.app.state.gate.set()
    assert await asyncio.gather(*held) == [1, 2, 3]


@claim()
async def test_a_call_that_has_ended_is_not_superseded(scene: Scene) -> None:
    for number in range(5):
        assert await scene.caller.call("echo", number, supersedes="typing") == number
    assert scene.server.shared.counters.failed == {}
    client: Any = scene.caller
    assert client.client._engine.core.by_key == {}


@claim(Limits(max_open=1))
async def test_without_a_free_slot_the_earlier_call_is_cancelled_first(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    first = asyncio.ensure_future(scene.caller.call("wait", supersedes="typing"))
    await in_time(scene.app.state.started)
    assert await scene.caller.call("echo", 2, supersedes="typing") == 2
    with pytest.raises(Cancelled):
        await first


@claim()
async def test_a_stream_is_superseded_at_once_and_hands_out_no_more(scene: Scene) -> None:
    first = await scene.caller.stream("endless", supersedes="typing")
    assert await first.some(3) == [0, 1, 2]
    second = await scene.caller.stream("count", to=2, supersedes="typing")
    with pytest.raises(Cancelled, match="superseded by a later call"):
        await first.next()
    await in_time(scene.app.state.left)
    assert await second.rest() == [0, 1]


@claim()
async def test_search_as_you_type_ends_with_the_last_answer_alone(scene: Scene) -> None:
    async def one(number: int) -> Any:
        try:
            return await scene.caller.call("echo-thread" if number % 2 else "echo", number, supersedes="typing")
        except Cancelled:
            return None

    calls = []
    for number in range(60):
        calls.append(asyncio.ensure_future(one(number)))
        await asyncio.sleep(0.001)
    answers = await asyncio.gather(*calls)
    assert all(answer in (None, number) for number, answer in enumerate(answers))
    # Two where the call that a connection was being made for was replaced in the moment in which it was made.
    assert scene.server.shared.counters.accepted <= 2


@claim()
async def test_a_key_that_cannot_be_one_is_refused(scene: Scene) -> None:
    with pytest.raises(UsageError, match="hashable"):
        await scene.caller.call("echo", 1, supersedes=["typing"])
    with pytest.raises(UsageError, match="hashable"):
        await scene.caller.stream("count", to=1, supersedes={})

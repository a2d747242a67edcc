"""Many calls at once, many callers, and the order of replies."""

import asyncio

import pytest

from letterhead import Limits, TooMany
from tests import leaks
from tests.contract.scene import Scene, claim


@pytest.mark.smoke
@claim()
async def test_sixty_four_calls_at_once_share_one_connection(scene: Scene) -> None:
    calls = [scene.caller.call("echo", [n, "x" * n]) for n in range(64)]
    assert await asyncio.gather(*calls) == [[n, "x" * n] for n in range(64)]
    assert scene.server.shared.counters.accepted == 1


@claim()
async def test_a_quick_reply_overtakes_a_slow_one(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    slow = asyncio.ensure_future(scene.caller.call("pass-gate", 7))
    await leaks.until(lambda: scene.app.state.inside == 1)
    assert await scene.caller.call("note", "first") == "first"
    assert not slow.done()
    assert await scene.caller.call("note", name="second", open_gate=True) == "second"
    assert await slow == 7


@claim()
async def test_replies_in_any_order_find_their_calls(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    waiting = [asyncio.ensure_future(scene.caller.call("pass-gate", n)) for n in range(30)]
    await leaks.until(lambda: scene.app.state.inside == 30)
    between = [scene.caller.call(action, n) for n in range(30) for action in ("echo", "echo-thread", "echo-inline")]
    assert await asyncio.gather(*between) == [n for n in range(30) for _ in range(3)]
    scene.app.state.gate.set()
    assert await asyncio.gather(*waiting) == list(range(30))


@claim(Limits(max_open=4))
async def test_more_calls_than_the_server_takes_at_once_wait_and_complete(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    calls = [asyncio.ensure_future(scene.caller.call("pass-gate", n)) for n in range(40)]
    await leaks.until(lambda: scene.app.state.inside == 4)
    scene.app.state.gate.set()
    assert await asyncio.gather(*calls) == list(range(40))
    assert scene.app.state.most == 4
    assert scene.server.shared.counters.failed == {}, "none was refused"


@claim(Limits(max_open=2))
async def test_slots_come_back_after_errors_and_timeouts(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    calls = [scene.caller.call("order", number=n) for n in range(10)]
    calls += [scene.caller.call("wait", timeout=0.02) for _ in range(6)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, Exception) and not isinstance(result, TooMany) for result in results)
    assert await asyncio.gather(*(scene.caller.call("echo", n) for n in range(20))) == list(range(20))


@claim()
async def test_sixteen_callers_with_two_hundred_calls_each_get_their_own_answers(scene: Scene) -> None:
    values = [[[caller, turn, "x" * (turn % 50)] for turn in range(200)] for caller in range(16)]
    assert await asyncio.gather(*(scene.caller.in_turn("echo", mine) for mine in values)) == values
    assert scene.server.shared.counters.accepted == 1


@claim()
async def test_callers_with_content_of_all_sizes_get_their_own_answers(scene: Scene) -> None:
    sizes = [0, 1, 100, 4095, 4096, 4097, 65_535, 65_536, 65_537, 200_000]
    values = [[bytes([caller]) * size for size in sizes] for caller in range(12)]
    assert await asyncio.gather(*(scene.caller.in_turn("echo", mine) for mine in values)) == values


@claim()
async def test_many_first_calls_at_once_make_one_connection(scene: Scene) -> None:
    for _ in range(5):
        before = scene.server.shared.counters.accepted
        caller = scene.another()
        calls = [caller.call("echo", n) if n % 3 else caller.call("size", bytes(n)) for n in range(32)]
        assert await asyncio.gather(*calls) == list(range(32))
        assert scene.server.shared.counters.accepted == before + 1
        await caller.close()


@claim()
async def test_calls_that_time_out_among_many_leave_the_others_alone(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1

    async def one(number: int) -> object:
        if number % 4 == 0:
            try:
                return await scene.caller.call("wait", timeout=0.001 * (number % 20 + 1))
            except TimeoutError:
                return "late"
        return await scene.caller.in_turn("echo", [number, [number], str(number)])

    results = await asyncio.gather(*(one(number) for number in range(60)))
    assert results == [[n, [n], str(n)] if n % 4 else "late" for n in range(60)]


@claim()
async def test_clients_one_after_the_other_leave_nothing_on_the_server(scene: Scene) -> None:
    for n in range(25):
        caller = scene.another()
        assert await caller.call("echo", n) == n
        await caller.close()
    await scene.all_connections_gone()
    counters = scene.server.shared.counters
    assert (counters.connections_now, counters.open_now, counters.accepted) == (0, 0, 25)

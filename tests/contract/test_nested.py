"""Calls from inside handlers, to the very server that runs them."""

import asyncio

import pytest

from letterhead import DeadlineExceeded, Internal
from tests import leaks
from tests.contract.scene import Scene, claim

LOOP, THREAD = "async", "thread"


@pytest.mark.smoke
@claim()
async def test_handlers_may_call_their_own_server(scene: Scene) -> None:
    scene.nest()
    for where in (LOOP, THREAD):
        assert await scene.caller.call(f"sum-below-{where}", 8) == 36
        calls = [scene.caller.call(f"sum-below-{where}", n) for n in range(8)]
        assert await asyncio.gather(*calls) == [n * (n + 1) // 2 for n in range(8)]


@claim()
async def test_handlers_may_call_through_the_client_that_called_them(scene: Scene) -> None:
    where = scene.nest(scene.caller)
    assert await scene.caller.call("echo", 1) == 1
    calls = [scene.caller.call(f"sum-below-{where}", n) for n in range(6)]
    assert await asyncio.gather(*calls) == [n * (n + 1) // 2 for n in range(6)]


@claim()
async def test_a_blocking_call_on_the_servers_loop_is_refused_instead_of_hanging(scene: Scene) -> None:
    scene.nest()
    for action in ("block-the-loop", "block-the-loop-inline"):
        assert "wait for itself" in await scene.caller.call(action)
    assert await scene.caller.call("sum-below-thread", 2) == 3


@claim()
async def test_an_error_of_a_nested_call_is_internal_to_the_outer_caller(
    scene: Scene,
) -> None:
    scene.nest()
    for where in (LOOP, THREAD):
        with pytest.raises(Internal) as caught:
            await scene.caller.call(f"pass-on-{where}", action="order", number=17)
        assert (caught.value.facts, "17" in str(caught.value)) == ({}, False)
        with pytest.raises(Internal):
            await scene.caller.call(f"pass-on-{where}", action="dance", number=1)


@claim()
async def test_a_nested_call_ends_with_the_handler_that_waits_for_it(scene: Scene) -> None:
    scene.nest()
    await scene.caller.call("sum-below-async", 1)
    with pytest.raises(DeadlineExceeded):
        await scene.caller.call("pass-on-async", action="wait", timeout=0.02)
    async with asyncio.timeout(leaks.PATIENCE):
        await scene.app.state.cancelled.wait()


@claim()
async def test_the_deadline_is_handed_on_reduced(scene: Scene) -> None:
    scene.nest()
    for where in (LOOP, THREAD):
        outer, inner = await scene.caller.call(f"remaining-{where}", timeout=20.0)
        assert 0.0 < inner <= outer <= 20.0
        with pytest.raises(DeadlineExceeded):
            await scene.caller.call(f"pass-on-{where}", action="wait", timeout=0.02)
        async with asyncio.timeout(leaks.PATIENCE):
            await scene.app.state.cancelled.wait()
        scene.app.state.cancelled.clear()


@claim()
async def test_a_nested_call_may_take_less_time_than_there_is_but_not_more(scene: Scene) -> None:
    scene.nest()
    for where in (LOOP, THREAD):
        outer, inner = await scene.caller.call(f"remaining-{where}", inner=100.0, timeout=20.0)
        assert inner <= outer <= 20.0
        outer, inner = await scene.caller.call(f"remaining-{where}", inner=5.0, timeout=20.0)
        assert inner <= 5.0 < outer

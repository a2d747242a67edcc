"""Connections that are lost while calls are open: what is sent again, what fails, and that the client goes on."""

import asyncio

import pytest

from letterhead import ConnectionLost, Timing
from tests import leaks
from tests.contract.scene import Scene, claim


async def lose(scene: Scene) -> None:
    """The server drops all its connections without a word."""
    for connection in list(scene.server.shared.connections):
        connection.abort()


async def stop_started(scene: Scene) -> None:
    async with asyncio.timeout(leaks.PATIENCE):
        await scene.app.state.started.wait()
    scene.app.state.started.clear()


@claim()
async def test_a_call_that_may_run_twice_is_answered_although_its_connection_was_lost(scene: Scene) -> None:
    caller = scene.another(idempotent=["pass-gate"])
    call = asyncio.ensure_future(caller.call("pass-gate", number=7))
    await stop_started(scene)
    await lose(scene)
    await stop_started(scene)
    scene.app.state.gate.set()
    assert await call == 7
    assert caller.client.counters["repeated"] == 1


@claim()
async def test_any_other_fails_and_the_next_one_works(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    call = asyncio.ensure_future(scene.caller.call("pass-gate", number=7))
    await stop_started(scene)
    await lose(scene)
    with pytest.raises(ConnectionLost):
        await call
    assert await scene.caller.call("echo", 2) == 2
    assert scene.caller.client.counters["repeated"] == 0


@claim()
async def test_it_is_sent_again_only_so_often(scene: Scene) -> None:
    caller = scene.another(idempotent=["pass-gate"])
    timing = Timing()
    call = asyncio.ensure_future(caller.call("pass-gate", number=7, timing=timing))
    for _ in range(6):
        await stop_started(scene)
        await lose(scene)
    with pytest.raises(ConnectionLost) as caught:
        await call
    assert caught.value.attempts == timing.attempts == 6


@claim()
async def test_a_stream_that_has_begun_ends_with_the_loss(scene: Scene) -> None:
    caller = scene.another(idempotent=["silent"])
    stream = await caller.stream("silent")
    assert await stream.next() == 0
    await lose(scene)
    with pytest.raises(ConnectionLost):
        await stream.next()
    assert caller.client.counters["repeated"] == 0


@claim()
async def test_an_upload_that_has_begun_ends_with_the_loss(scene: Scene) -> None:
    caller = scene.another(idempotent=["take-none"])
    call = asyncio.ensure_future(caller.call("take-none", numbers=iter(range(3))))
    await stop_started(scene)
    await leaks.until(lambda: scene.server.shared.counters.open_now == 1)
    await asyncio.sleep(0.05)  # its items are on their way
    await lose(scene)
    with pytest.raises(ConnectionLost):
        await call


@claim()
async def test_many_calls_come_through_many_losses(scene: Scene) -> None:
    caller = scene.another(idempotent=["echo"])

    async def one(number: int) -> None:
        for turn in range(5):
            assert await caller.call("echo", [number, turn]) == [number, turn]
            await asyncio.sleep(0.001)

    async def losses() -> None:
        for _ in range(4):
            await asyncio.sleep(0.005)
            await lose(scene)

    assert await caller.call("echo", 0) == 0  # a client that has never had an answer does not wait
    await asyncio.gather(*(one(number) for number in range(8)), losses())
    await leaks.until(lambda: scene.server.shared.counters.open_now == 0)


@claim()
async def test_what_the_server_could_not_run_is_asked_again(scene: Scene) -> None:
    assert await scene.caller.call("third-time") == 3


@claim()
async def test_the_state_is_told(scene: Scene) -> None:
    caller = scene.another()
    assert caller.client.state == "idle"
    await caller.call("echo", 1)
    assert caller.client.state == "ready"
    await caller.close()
    assert caller.client.state == "closed"


@claim()
async def test_an_open_call_ends_with_the_close_of_its_client(scene: Scene) -> None:
    caller = scene.another(idempotent=["pass-gate"])
    call = asyncio.ensure_future(caller.call("pass-gate", number=7))
    await stop_started(scene)
    await caller.close()
    with pytest.raises(ConnectionLost, match="client was closed"):
        await call

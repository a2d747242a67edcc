"""Much content: both ways, above limits, and an error while it is still on its way."""

import asyncio

import pytest

from letterhead import ConnectionFailed, Limits, Message, TooLarge
from tests.contract.scene import Scene, claim

MIB = 1024 * 1024
WIDE = Limits(content_bytes=64 * MIB, json_bytes=64 * MIB)


@pytest.mark.smoke
@claim()
async def test_a_mebibyte_goes_both_ways(scene: Scene) -> None:
    data = bytes(range(256)) * 4096
    assert await scene.caller.call("echo", data) == data


@claim()
async def test_five_mebibytes_go_both_ways_on_a_fresh_client_and_after(scene: Scene) -> None:
    for step in (1, 7):
        data = bytes(range(0, 256, step)) * (5 * MIB // len(range(0, 256, step)))
        assert await scene.caller.call("echo", data) == data


@claim()
async def test_three_mebibytes_of_json_go_both_ways(scene: Scene) -> None:
    text = "🐶 naïve " * (3 * MIB // len("🐶 naïve ".encode()))
    assert await scene.caller.call("echo", value=text) == text


@claim()
async def test_large_content_both_ways_at_once_does_not_block(scene: Scene) -> None:
    data = [bytes([n]) * (2 * MIB) for n in range(8)]
    assert await asyncio.gather(*(scene.caller.call("echo", part) for part in data)) == data


@claim()
async def test_small_calls_go_on_beside_large_ones(scene: Scene) -> None:
    data = bytes(4 * MIB)
    large = [scene.caller.call("size", data) for _ in range(4)]
    small = [scene.caller.call("echo", n) for n in range(50)]
    results = await asyncio.gather(*large, *small)
    assert results == [len(data)] * 4 + list(range(50))


@claim(Limits(content_bytes=MIB // 2))
async def test_content_a_little_above_the_limit_is_refused_and_the_connection_kept(scene: Scene) -> None:
    caller = scene.another(limits=WIDE)
    assert await caller.call("echo", 1) == 1
    with pytest.raises(TooLarge) as caught:
        await caller.call("size", bytes(MIB - 1))
    assert (caught.value.size, caught.value.limit) == (MIB - 1, MIB // 2)
    assert await caller.call("size", bytes(MIB // 2)) == MIB // 2
    assert scene.server.shared.counters.accepted == 1


@claim(Limits(content_bytes=2 * MIB))
async def test_a_typed_error_arrives_under_a_running_upload(scene: Scene) -> None:
    for fresh in (False, True):
        caller = scene.another(limits=WIDE)
        if not fresh:
            assert await caller.call("echo", 1) == 1
        with pytest.raises(TooLarge) as caught:
            await caller.call("size", bytes(32 * MIB))
        assert (caught.value.size, caught.value.limit) == (32 * MIB, 2 * MIB)
        assert await caller.call("echo", 2) == 2, "a new connection takes over"


@claim(Limits(json_bytes=6 * MIB, content_bytes=6 * MIB))
async def test_a_first_request_that_is_too_large_for_the_server_is_told_so_too(scene: Scene) -> None:
    # The first request may go in classic form: JSON, refused by the header alone.
    caller = scene.another(limits=WIDE)
    with pytest.raises(TooLarge) as caught:
        await caller.call("echo", value="x" * (12 * MIB))
    assert caught.value.limit == 6 * MIB


@claim(WIDE)
async def test_a_reply_above_the_clients_limit_fails_its_own_call(scene: Scene) -> None:
    caller = scene.another(limits=Limits(content_bytes=2 * MIB))
    assert await caller.call("echo", 1) == 1
    with pytest.raises(TooLarge) as caught:
        await caller.call("zeros", 2 * MIB + 1)
    assert caught.value.limit == 2 * MIB
    assert len(await caller.call("zeros", 2 * MIB)) == 2 * MIB


@claim(WIDE)
async def test_a_reply_far_above_the_clients_limit_costs_the_connection_only(scene: Scene) -> None:
    caller = scene.another(limits=Limits(content_bytes=2 * MIB))
    assert await caller.call("echo", 1) == 1
    with pytest.raises((TooLarge, ConnectionFailed)):
        await caller.call("zeros", 40 * MIB)
    assert await caller.call("echo", 2) == 2


@claim(Limits(buffered_bytes=3 * MIB))
async def test_content_above_the_servers_memory_is_refused_not_held(scene: Scene) -> None:
    held = asyncio.ensure_future(scene.caller.call("pass-gate", 1))
    await scene.app.state.started.wait()
    with pytest.raises(Exception, match="as much content as it may") as caught:
        await scene.caller.call("size", bytes(4 * MIB))
    assert getattr(caught.value, "code", "") == "too-many"
    scene.app.state.gate.set()
    assert await held == 1
    assert await scene.caller.call("size", bytes(2 * MIB)) == 2 * MIB, "nothing stays counted"
    assert scene.server.shared.budget.used == 0


@claim()
async def test_a_large_message_keeps_its_header(scene: Scene) -> None:
    sent = Message(bytes(3 * MIB), {"content-type": "binary/mine", "x": "y"})
    reply = await scene.caller.send(sent)
    assert (len(reply.content), reply.header["x-was"]) == (3 * MIB, "binary/mine")

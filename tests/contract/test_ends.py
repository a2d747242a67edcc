"""Timeouts, cancellations, and connections that end."""

import asyncio
import time
from typing import Any

import pytest

from letterhead import (
    ConnectionFailed,
    ConnectionLost,
    ConnectRefused,
    DeadlineExceeded,
    Limits,
    NoReply,
    UsageError,
)
from letterhead.server.connection import ServerConnection
from tests import leaks
from tests.contract.scene import Scene, claim

SOON = Limits(idle_seconds=0.02, linger_quiet_seconds=0.02)
NO_LINGER = Limits(linger_quiet_seconds=0.02)


async def in_time(event: asyncio.Event) -> None:
    async with asyncio.timeout(leaks.PATIENCE):
        await event.wait()


@pytest.mark.smoke
@claim()
async def test_a_timeout_reaches_the_handler(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    with pytest.raises(DeadlineExceeded) as caught:
        await scene.caller.call("wait", timeout=0.02)
    assert isinstance(caught.value, TimeoutError)
    await in_time(scene.app.state.cancelled)
    assert await scene.caller.call("echo", 2) == 2
    assert scene.server.shared.counters.accepted == 1, "the connection was kept"


@claim(NO_LINGER)
async def test_a_timeout_of_the_first_call_reaches_the_handler_too(scene: Scene) -> None:
    with pytest.raises(DeadlineExceeded):
        await scene.caller.call("wait", timeout=0.02)
    if scene.app.state.started.is_set():
        await in_time(scene.app.state.cancelled)
    assert await scene.caller.call("echo", 2) == 2


@claim()
async def test_the_clients_own_timeout_holds_where_a_call_names_none(scene: Scene) -> None:
    caller = scene.another(timeout=0.02)
    with pytest.raises(DeadlineExceeded):
        await caller.call("wait")
    assert 0 < await caller.call("remaining", timeout=7.0) <= 7.0


@claim()
async def test_the_server_gets_the_deadline(scene: Scene) -> None:
    for _ in range(2):
        remaining = await scene.caller.call("remaining", timeout=20.0)
        assert 0.0 < remaining <= 20.0
    assert 20.0 < await scene.caller.call("remaining") <= 30.0, "the server's own, where the client names none"


@claim(Limits(deadline_seconds=0.02))
async def test_the_servers_own_deadline_is_told_as_such(scene: Scene) -> None:
    for _ in range(2):
        with pytest.raises(DeadlineExceeded) as caught:
            await scene.caller.call("wait")
        assert caught.value.seconds == 0.02
    assert scene.app.state.cancelled.is_set()


@claim()
async def test_timeouts_of_many_calls_hit_only_those(scene: Scene) -> None:
    assert await scene.caller.call("echo", 0) == 0
    late = [scene.caller.call("wait", timeout=0.02) for _ in range(20)]
    fine = [scene.caller.call("echo", n) for n in range(20)]
    results = await asyncio.gather(*late, *fine, return_exceptions=True)
    assert [type(result) for result in results[:20]] == [DeadlineExceeded] * 20
    assert results[20:] == list(range(20))


@claim()
async def test_a_timeout_while_waiting_for_a_slot_sends_nothing(scene: Scene) -> None:
    caller = scene.caller
    assert await caller.call("echo", 0) == 0
    open_calls = [asyncio.ensure_future(caller.call("pass-gate", n)) for n in range(128)]
    await leaks.until(lambda: scene.app.state.inside == 128)
    with pytest.raises(DeadlineExceeded):
        await caller.call("note", "never", timeout=0.02)
    scene.app.state.gate.set()
    assert await asyncio.gather(*open_calls) == list(range(128))
    assert await caller.call("note", "after") == "after"
    assert scene.app.state.order == ["after"]


@claim(SOON)
async def test_an_idle_connection_that_the_server_closed_is_reopened(scene: Scene) -> None:
    for n in range(3):
        assert await scene.caller.call("echo", n) == n
        await scene.all_connections_gone()
    assert scene.server.shared.counters.accepted == 3


@claim(NO_LINGER)
async def test_a_server_that_is_gone_is_said_so(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    await scene.server.close()
    waits, fresh = scene.caller, scene.another()
    for call in (waits.call("echo", 2, timeout=0.2), fresh.call("echo", 2)):
        with pytest.raises(ConnectRefused) as caught:
            await call
        assert isinstance(caught.value, ConnectionError)
        assert "nothing listens at" in str(caught.value)


@claim()
async def test_a_connection_that_breaks_fails_what_is_open(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    calls = [asyncio.ensure_future(scene.caller.call("pass-gate", n)) for n in range(5)]
    await leaks.until(lambda: scene.app.state.inside == 5)
    for connection in list(scene.server.shared.connections):
        connection.abort()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionLost] * 5
    assert len(set(map(id, results))) == 5
    assert await scene.caller.call("echo", 2) == 2, "the next call connects again"


@claim()
async def test_a_connection_that_breaks_under_the_first_call_fails_it(scene: Scene) -> None:
    call = asyncio.ensure_future(scene.caller.call("wait"))
    await in_time(scene.app.state.started)
    for connection in list(scene.server.shared.connections):
        connection.abort()
    with pytest.raises((ConnectionLost, NoReply)):
        await call
    await in_time(scene.app.state.cancelled)


@claim(NO_LINGER)
async def test_a_server_that_ends_answers_what_it_accepted(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    calls = [asyncio.ensure_future(scene.caller.call("pass-gate", n)) for n in range(5)]
    await leaks.until(lambda: scene.app.state.inside == 5)
    closing = asyncio.ensure_future(scene.server.close())
    await asyncio.sleep(0)
    scene.app.state.gate.set()
    assert await asyncio.gather(*calls) == list(range(5))
    await closing
    with pytest.raises(ConnectionFailed):
        await scene.caller.call("echo", 2, timeout=0.2)


@claim(NO_LINGER)
async def test_a_server_that_ends_cuts_off_what_takes_too_long(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    call = asyncio.ensure_future(scene.caller.call("wait"))
    await in_time(scene.app.state.started)
    began = time.monotonic()
    await scene.server.close(timeout=0.02)
    assert time.monotonic() - began < leaks.PATIENCE
    with pytest.raises((ConnectionFailed, Exception), match=r"clos|stopp|reset|going away"):
        await call
    assert scene.app.state.cancelled.is_set()


@claim()
async def test_a_closed_client_says_so(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    await scene.caller.close()
    await scene.caller.close()
    with pytest.raises(UsageError, match="closed"):
        await scene.caller.call("echo", 2)
    fresh = scene.another()
    await fresh.close()
    with pytest.raises(UsageError, match="closed"):
        await fresh.call("echo", 2)
    await scene.all_connections_gone()


@claim()
async def test_closing_a_client_fails_its_open_calls_and_cancels_their_handlers(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    calls = [asyncio.ensure_future(scene.caller.call("wait")) for _ in range(3)]
    await in_time(scene.app.state.started)
    await leaks.until(lambda: scene.server.shared.counters.open_now == 3)
    await scene.caller.close()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionLost] * 3
    await in_time(scene.app.state.cancelled)


@claim()
async def test_closing_a_client_under_an_upload_does_not_wait_for_it(scene: Scene) -> None:
    assert await scene.caller.call("echo", 1) == 1
    call: asyncio.Task[Any] = asyncio.ensure_future(scene.caller.call("size", bytes(8 * 1024 * 1024)))
    await leaks.until(lambda: scene.server.shared.counters.open_now or call.done())
    (connection,) = scene.server.shared.connections
    assert isinstance(connection, ServerConnection)
    connection.pause_writing()  # a server that does not read
    await scene.caller.close()
    await asyncio.wait([call])
    if not isinstance(call.exception(), ConnectionLost):
        assert call.result() == 8 * 1024 * 1024  # it was quicker than the pause
    connection.resume_writing()
    await scene.all_connections_gone()

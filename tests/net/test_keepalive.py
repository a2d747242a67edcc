"""Connections that fall silent: given up where somebody waits, and never where the server is only busy."""

import asyncio
import socket
import time

import pytest

from letterhead import App, ConnectionLost, Limits, testing
from letterhead.server.server import Server
from tests import leaks
from tests.net import peers
from tests.net.kinds import Make, each_client
from tests.net.raw import echo_app
from tests.wire.frames import frame, json_frame

SOON = Limits(ping_after_seconds=0.1, ping_wait_seconds=0.1)
FAST = Limits(linger_quiet_seconds=0.05, drain_seconds=leaks.PATIENCE)


def falls_silent(sock: socket.socket) -> None:
    """Answers the first request, and nothing after it."""
    sock.recv(65536)
    sock.sendall(frame({"id": 1, "max-open": 8, "credit": 1 << 20}) + json_frame({"result": 1}, {"id": 1}))
    while sock.recv(65536):
        continue


def answers_late(sock: socket.socket) -> None:
    """A classic server that takes its time."""
    sock.recv(65536)
    time.sleep(1.0)
    sock.sendall(json_frame({"result": "late"}))


@each_client
async def test_a_silent_connection_is_given_up(make: Make) -> None:
    with peers.peer(falls_silent) as address:
        caller = make(address, limits=SOON)
        assert await caller.call("echo", 1) == 1
        with pytest.raises(ConnectionLost, match=r"no sign of life for 0\.2 s"):
            await caller.call("echo", 2, timeout=leaks.PATIENCE)
        await caller.close()


@each_client
async def test_so_is_one_that_a_stream_is_read_from(make: Make) -> None:
    with peers.peer(falls_silent) as address:
        caller = make(address, limits=SOON)
        assert await caller.call("echo", 1) == 1
        stream = await caller.stream("count", to=3)
        with pytest.raises(ConnectionLost, match="no sign of life"):
            await stream.next()
        await caller.close()


@each_client
async def test_a_call_that_may_run_twice_is_sent_again_elsewhere(make: Make) -> None:
    played = iter([falls_silent, falls_silent, falls_silent])

    with peers.peer(lambda sock: next(played)(sock)) as address:
        caller = make(address, limits=SOON, idempotent=["echo"])
        assert await caller.call("echo", 1) == 1
        assert await caller.call("echo", 2, timeout=leaks.PATIENCE) == 1
        assert caller.client.counters["repeated"] == 1
        await caller.close()


@each_client
async def test_a_busy_handler_never_looks_dead(make: Make) -> None:
    app = echo_app(FAST)

    @app.action
    async def slow(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    async with Server(app, ["127.0.0.1:0"]) as server:
        caller = make(server.addresses[0], limits=SOON)
        assert await caller.call("echo", 1) == 1
        assert await caller.call("slow", seconds=1.5) == "done"
        assert caller.client.counters["lost"] == 0


@each_client
async def test_nor_does_the_first_request_of_a_classic_server(make: Make) -> None:
    with peers.peer(answers_late) as address:
        caller = make(address, limits=SOON)
        assert await caller.call("echo", 1, timeout=leaks.PATIENCE) == "late"


@each_client
async def test_nor_does_a_server_that_leaves_and_still_works(make: Make) -> None:
    app = echo_app(FAST)
    begun = asyncio.Event()

    @app.action
    async def slow(seconds: float) -> str:
        begun.set()
        await asyncio.sleep(seconds)
        return "done"

    async with Server(app, ["127.0.0.1:0"]) as server:
        caller = make(server.addresses[0], limits=SOON)
        assert await caller.call("echo", 1) == 1
        call = asyncio.ensure_future(caller.call("slow", seconds=1.5))
        await begun.wait()
        ending = asyncio.ensure_future(server.close())
        assert await call == "done"
        await ending


@each_client
async def test_an_idle_connection_asks_nothing(make: Make) -> None:
    async with Server(echo_app(FAST), ["127.0.0.1:0"]) as server:
        caller = make(server.addresses[0], limits=SOON)
        assert await caller.call("echo", 1) == 1
        served = server.shared.counters.served
        await asyncio.sleep(0.5)
        assert server.shared.counters.served == served


@each_client
async def test_one_that_is_kept_alive_does(make: Make) -> None:
    async with Server(echo_app(FAST), ["127.0.0.1:0"]) as server:
        caller = make(server.addresses[0], limits=SOON, keep_alive=True)
        assert await caller.call("echo", 1) == 1
        await leaks.until(lambda: server.shared.counters.served > 3)
        assert caller.client.state == "ready"


@each_client
async def test_one_that_is_kept_alive_notices_that_the_server_is_silent(make: Make) -> None:
    with peers.peer(falls_silent) as address:
        caller = make(address, limits=SOON, keep_alive=True)
        assert await caller.call("echo", 1) == 1
        await leaks.until(lambda: caller.client.state != "ready")
        await caller.close()


# -- a clock that jumps --------------------------------------------------------------------------------------------


def slow_app() -> App:
    app = App("slow", limits=FAST)

    @app.action
    async def slow(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    return app


@pytest.mark.parametrize("seconds", [60.0, 250.0])
def test_a_call_of_minutes_is_answered_with_the_limits_as_they_are(seconds: float) -> None:
    fixed = testing.fixed_clock(jumps=True)

    async def main() -> None:
        async with testing.connected(slow_app()) as client:
            assert await client.call("slow", seconds=1.0) == "done"
            assert await client.call("slow", seconds=seconds, timeout=299.0) == "done"
            assert client.counters["lost"] == 0
        assert fixed.now() > seconds

    fixed.run(main())


def test_a_connection_that_swallows_all_is_given_up_after_its_forty_seconds() -> None:
    fixed = testing.fixed_clock(jumps=True)

    async def main() -> None:
        connection = testing.connected(slow_app())
        async with connection as client:
            assert await client.call("slow", seconds=0.0) == "done"
            began = fixed.now()
            connection.faults = testing.Faults(half_open_after=0)
            with pytest.raises(ConnectionLost, match="no sign of life for 40 s"):
                await client.call("slow", seconds=0.0, timeout=200.0)
            assert 40.0 <= fixed.now() - began < 42.0

    fixed.run(main())


def test_a_clock_that_leaps_far_ahead_costs_no_idle_connection_and_no_call() -> None:
    fixed = testing.fixed_clock()

    async def main() -> None:
        async with testing.connected(slow_app()) as client:
            for _ in range(3):
                call = asyncio.ensure_future(client.call("slow", seconds=5.0))
                await fixed.advance(5.0)
                assert await call == "done"
                await fixed.advance(86_400.0)
            assert client.counters["lost"] == 0

    fixed.run(main())

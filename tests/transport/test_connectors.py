"""Connectors of the user's own: which server is meant, and what becomes of those that make nothing."""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from letterhead import ConnectionFailed, Limits
from letterhead.testing.background import running
from letterhead.transport import connect, connect_async
from letterhead.transport.address import parse
from tests import leaks
from tests.net.kinds import Make, each_client
from tests.net.raw import echo_app


def connector(note: Callable[[str], object], makes: Callable[[], bool]) -> Any:
    """A connector for either client, which notes whom it was asked for, and makes a connection or nothing."""

    async def nothing() -> None:
        return None

    def connector(server: str, how: Any) -> object:
        note(server)
        if callable(how):
            return connect_async.connect(parse(server), how, Limits()) if makes() else nothing()
        return connect.connect(parse(server), how, Limits()) if makes() else None

    return connector


@each_client
async def test_it_is_told_which_server_is_meant(make: Make) -> None:
    noted: set[str] = set()
    with ExitStack() as stack:
        limits = Limits(linger_quiet_seconds=0.02)
        servers = [stack.enter_context(running(echo_app(limits), "127.0.0.1:0")).server.addresses[0] for _ in range(2)]
        client = make([servers[0], f"tcp://{servers[1]}"], connector=connector(noted.add, lambda: True))
        async with asyncio.timeout(leaks.PATIENCE):
            while noted != set(servers):
                assert await asyncio.gather(*(client.call("echo", 1) for _ in range(20))) == [1] * 20


@each_client
async def test_one_that_makes_nothing_fails_the_call_that_needs_it(make: Make) -> None:
    noted: list[str] = []
    with pytest.raises(ConnectionFailed, match=r"the connector made no connection to 127\.0\.0\.1:1"):
        await make("127.0.0.1:1", connector=connector(noted.append, lambda: False)).call("echo", 1)
    assert noted == ["127.0.0.1:1"]


@each_client
async def test_while_a_call_waits_one_that_makes_nothing_is_tried_with_the_pauses_of_any_failure(make: Make) -> None:
    noted: list[str] = []
    client = make("127.0.0.1:1", connector=connector(noted.append, lambda: False), wait_for_ready=True)
    with pytest.raises(ConnectionFailed, match=r"the connector made no connection to 127\.0\.0\.1:1"):
        await client.call("echo", 1, timeout=0.5)
    assert 1 <= len(noted) < 100


@each_client
async def test_an_attempt_that_makes_nothing_leaves_the_next_one_its_chance(make: Make) -> None:
    noted: list[str] = []
    with running(echo_app(Limits(linger_quiet_seconds=0.02)), "127.0.0.1:0") as served:
        address = served.server.addresses[0]
        client = make(address, connector=connector(noted.append, lambda: len(noted) > 1), wait_for_ready=True)
        assert await client.call("echo", 1) == 1
        assert noted == [address, address]

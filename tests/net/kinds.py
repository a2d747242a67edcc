"""Tests of both clients with sockets: `each_client` runs a coroutine function once for each client and event loop."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from letterhead import AsyncClient, Client
from tests import leaks
from tests.contract.callers import AsyncCaller, BlockingCaller

KINDS = ("Client-asyncio", "AsyncClient-asyncio", "AsyncClient-uvloop")
Caller = AsyncCaller | BlockingCaller
Make = Callable[..., Caller]
"""`make(addresses, **options)`: a client, closed at the end of the test."""


def each_client(body: Callable[[Make], Awaitable[None]]) -> Callable[[str], None]:
    """A test over both clients: `@each_client` above `async def test_…(make)`."""

    async def tried(kind: str) -> None:
        async with AsyncExitStack() as stack:

            def make(address: Any, **options: Any) -> Caller:
                caller: Caller = (
                    BlockingCaller(Client(address, **options))
                    if kind == "Client"
                    else AsyncCaller(AsyncClient(address, **options))
                )
                stack.push_async_callback(caller.close)
                return caller

            await body(make)

    @pytest.mark.parametrize("kind", KINDS)
    def test(kind: str) -> None:
        client, _, loop = kind.partition("-")
        leaks.run(partial(tried, client)(), loop)

    test.__name__ = getattr(body, "__name__", "test")
    test.__doc__ = body.__doc__
    return test

"""A server that leaves while one of its connections is in an odd state: everybody else is answered all the same."""

import asyncio
from collections.abc import AsyncIterator

from letterhead import App
from letterhead.server.server import Server
from tests.app.wire import item, opening, wire_to
from tests.leaks import run, until


def test_half_an_item_of_an_upload_that_is_answered_already_keeps_nobody_from_leaving() -> None:
    app, stopped = App(), list[str]()

    @app.action
    async def first(items: AsyncIterator[int]) -> int:
        return await anext(items)

    @app.action
    async def waits() -> None:
        await asyncio.Event().wait()

    @app.on_stop
    async def on_stop() -> None:
        stopped.append("the stop hook ran")

    async def main() -> None:
        server = Server(app, ())
        await server.start()
        odd, *others = [await wire_to(server) for _ in range(4)]
        odd.send(opening(1, "waits"), opening(2, "first", more=True), item(2, 5), item(2, "x" * 100)[:-10])
        assert (await odd.frame()).value == 5
        for other in others:
            other.send(opening(1, "waits"))
        await until(lambda: server.shared.counters.open_now == 4)
        closing = asyncio.ensure_future(server.close(0.0))
        for each in (odd, *others):
            assert (await each.frame()).header.get("closing") is not None
            assert (await each.frame()).status == "cancelled"
            each.transport.close()
        await closing
        assert stopped == ["the stop hook ran"]

    run(main())

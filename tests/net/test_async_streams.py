"""Streams of the async client: tasks that are cancelled, streams that are dropped anywhere, and the loop's own turn."""

import asyncio
import gc
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from letterhead import (
    App,
    AsyncClient,
    Cancelled,
    ConnectionFailed,
    DeadlineExceeded,
    Limits,
    UsageError,
)
from letterhead.server.server import Server
from tests import leaks
from tests.classic import server as classic
from tests.leaks import PATIENCE
from tests.net import peers
from tests.net.streaming import Seen, streaming_app
from tests.wire.frames import frame, json_frame

Body = Callable[[AsyncClient, Seen], Awaitable[None]]


@pytest.fixture(params=leaks.LOOPS)
def tried(request: pytest.FixtureRequest) -> Callable[[Body], None]:
    """`tried(body)`: run `body(client, seen)` beside a server, and see that nothing is left."""

    def tried(body: Body) -> None:
        async def main() -> None:
            app, seen = streaming_app(Limits(linger_quiet_seconds=0.05))
            async with Server(app, ["127.0.0.1:0"]) as server, AsyncClient(server.addresses[0]) as client:
                await body(client, seen)

        leaks.run(main(), request.param)

    return tried


async def left(seen: Seen) -> bool:
    return await asyncio.to_thread(seen.left.wait, PATIENCE)


@asynccontextmanager
async def without_collector() -> AsyncIterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


# Leaving


def test_a_loop_that_breaks_cancels_at_once(tried: Callable[[Body], None]) -> None:
    async def body(client: AsyncClient, seen: Seen) -> None:
        async with without_collector():
            async for number in client.stream("silent"):
                assert number == 0
                break
            assert await left(seen)

    tried(body)


def test_a_loop_that_raises_cancels_while_its_traceback_lives(tried: Callable[[Body], None]) -> None:
    async def body(client: AsyncClient, seen: Seen) -> None:
        async with without_collector():
            with pytest.raises(LookupError) as caught:
                async for _ in client.stream("silent"):
                    raise LookupError("in the body")
            assert caught.tb is not None
            assert await left(seen)

    tried(body)


def test_a_task_that_is_cancelled_in_a_loop_cancels_its_stream(tried: Callable[[Body], None]) -> None:
    async def body(client: AsyncClient, seen: Seen) -> None:
        stream = client.stream("silent")

        async def read() -> None:
            async for _ in stream:
                pass

        task = asyncio.ensure_future(read())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await left(seen)
        with pytest.raises(Cancelled):
            await anext(stream)
        assert await client.call("echo", 1) == 1

    tried(body)


def test_a_stream_may_be_dropped_in_another_thread(tried: Callable[[Body], None]) -> None:
    async def body(client: AsyncClient, seen: Seen) -> None:
        streams = [client.stream("silent")]
        assert await anext(streams[0]) == 0
        thread = threading.Thread(target=streams.clear)
        thread.start()
        thread.join()
        assert await left(seen)
        assert await client.call("echo", 1) == 1

    tried(body)


@pytest.mark.parametrize("loop", leaks.LOOPS)
def test_a_stream_that_outlives_its_loop_is_dropped_in_silence(loop: str) -> None:
    kept: list[Any] = []

    async def main() -> None:
        app, _ = streaming_app(Limits(linger_quiet_seconds=0.05))
        async with Server(app, ["127.0.0.1:0"]) as server, AsyncClient(server.addresses[0]) as client:
            kept.append(client.stream("silent"))
            assert await anext(kept[0]) == 0

    leaks.run(main(), loop)
    kept.clear()
    gc.collect()


# Beginning


def test_a_stream_outside_of_a_loop_is_refused() -> None:
    client = AsyncClient("127.0.0.1:1")
    with pytest.raises(UsageError, match="event loop"):
        client.stream("count", to=3)


def test_a_closed_client_opens_no_stream(tried: Callable[[Body], None]) -> None:
    async def body(client: AsyncClient, _: Seen) -> None:
        await client.close()
        with pytest.raises(UsageError, match="closed"):
            client.stream("count", to=3)
        with pytest.raises(UsageError, match="closed"):
            await client.call("total", iter([1]))

    tried(body)


@pytest.mark.parametrize("loop", leaks.LOOPS)
def test_a_stream_without_a_timeout_waits_only_so_long_for_a_server_that_says_nothing(loop: str) -> None:
    async def main(address: str) -> None:
        async with AsyncClient(address, limits=Limits(deadline_seconds=0.2)) as client:
            with pytest.raises(DeadlineExceeded, match="nothing came back"):
                await anext(client.stream("count", to=3))
            with pytest.raises(DeadlineExceeded, match="nothing came back"):
                await client.call("total", iter([1]))

    with peers.peer(peers.never_answers) as address:
        leaks.run(main(address), loop)


@pytest.mark.parametrize("loop", leaks.LOOPS)
def test_where_nobody_listens_the_first_item_says_so(loop: str) -> None:
    async def main() -> None:
        async with AsyncClient("127.0.0.1:1") as client:
            with pytest.raises(ConnectionFailed, match="nothing listens"):
                await anext(client.stream("count", to=3))
            with pytest.raises(ConnectionFailed, match="nothing listens"):
                await client.call("total", iter([1]))

    leaks.run(main(), loop)


@pytest.mark.parametrize("loop", leaks.LOOPS)
def test_a_classic_server_is_told_to_know_no_streams(loop: str) -> None:
    async def main(address: str) -> None:
        async with AsyncClient(address) as client:
            for _ in range(2):  # not known yet, and known
                with pytest.raises(ConnectionFailed, match="classic one: it knows no streams"):
                    await anext(client.stream("search", value="x"))
                with pytest.raises(ConnectionFailed, match="classic one: it knows no streams"):
                    await client.call("search", iter(["x"]))

    with classic.running() as where:
        leaks.run(main(":".join(map(str, where))), loop)


# Uploads


def test_an_iterable_that_never_waits_leaves_the_loop_its_turns(tried: Callable[[Body], None]) -> None:
    async def body(client: AsyncClient, _: Seen) -> None:
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.ensure_future(count_turns())
        assert await client.call("total", range(20_000)) == sum(range(20_000))
        counting.cancel()
        assert turns > 20

    tried(body)


@pytest.mark.parametrize("loop", leaks.LOOPS)
def test_unsent_bytes_of_an_upload_stay_bounded_whatever_credit_says(loop: str) -> None:
    done = threading.Event()

    def play(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(frame({"id": 1, "max-open": 9, "credit": 2**31 - 1}) + json_frame({"result": None}, {"id": 1}))
        done.wait(PATIENCE)  # and reads no more

    async def main(address: str) -> None:
        given = 0

        def blocks() -> Iterator[bytes]:
            nonlocal given
            while True:
                given += 1
                yield bytes(60_000)

        async with AsyncClient(address) as client:
            call = asyncio.ensure_future(client.call("store", blocks()))
            before = -1
            while before != given:
                before = given
                await asyncio.sleep(0.2)
            (connection,) = client._engine.core.connections
            assert connection.protocol.paused
            transport = connection.pipe.transport
            assert transport is not None
            assert transport.get_write_buffer_size() < Limits().write_high + 3 * 64 * 1024
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        done.set()

    with peers.peer(play) as address:
        leaks.run(main(address), loop)


def test_the_tasks_of_uploads_end_with_their_calls(tried: Callable[[Body], None]) -> None:
    async def body(client: AsyncClient, seen: Seen) -> None:
        closed = asyncio.Event()

        async def waiting() -> AsyncIterator[int]:
            try:
                yield 1
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                closed.set()

        before = len(asyncio.all_tasks())
        with pytest.raises(DeadlineExceeded):
            await client.call("take-none", waiting(), timeout=0.1)
        assert closed.is_set(), "the call waits until the generator is closed"
        assert len(asyncio.all_tasks()) == before

        closed.clear()
        call = asyncio.ensure_future(client.call("take-none", waiting()))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert closed.is_set()
        assert await left(seen)

    tried(body)


def test_a_handler_may_stream_from_its_own_server() -> None:
    app = App()

    @app.action
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    async def main() -> None:
        async with Server(app, ["127.0.0.1:0"]) as server, AsyncClient(server.addresses[0]) as client:

            @app.action
            async def nested(to: int) -> AsyncIterator[int]:
                async for number in client.stream("count", to=to):
                    yield number + 1

            assert [number async for number in client.stream("nested", to=3)] == [1, 2, 3]

    leaks.run(main())

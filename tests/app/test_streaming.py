"""Results that are streams, of every kind of generator: their items, their credit, what they must not hold up."""

import asyncio
import functools
import threading
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import Any

import pytest

from letterhead import App, Limits, Message
from letterhead.server.connection import ServerConnection
from tests.app.streams import Scene, each_kind
from tests.app.wire import each_pipe, opening, wire
from tests.conftest import Run
from tests.leaks import run, until
from tests.wire.frames import Frame, frame

MIB = 1024 * 1024


def code(got: Frame) -> Any:
    """The error code of an exchange's last frame, which stands in its content, too."""
    assert got.status == got.code
    assert "more" not in got.header
    return got.status


@each_pipe
@each_kind
def test_items_come_in_order_and_then_the_end(run: Run, kind: str, pipe: str) -> None:
    async def main() -> None:
        async with wire(Scene().app, pipe) as client:
            values = [*range(2000), None, "text", {"a": [1]}, [], 0.5, False]
            client.send(opening(1, f"{kind}-values", values=values))
            items, last = await client.answer(1)
            assert items == values
            assert last.header["more"] is False
            assert (last.header["content-type"], last.content) == ("application/octet-stream", b"")

    run(main())


@each_kind
def test_a_stream_may_be_empty(kind: str) -> None:
    async def main() -> None:
        async with wire(Scene().app) as client:
            client.send(opening(1, f"{kind}-values", values=[]))
            items, last = await client.answer(1)
            assert (items, last.header["more"]) == ([], False)

    run(main())


def decorated(function: Callable[..., Any]) -> Any:
    """A decorator that hides that a function is a generator."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def test_a_return_type_says_what_a_decorated_generator_is() -> None:
    app = App()

    @app.action
    @decorated
    async def async_iterator() -> AsyncIterator[int]:
        yield 1

    @app.action
    @decorated
    async def async_generator() -> AsyncGenerator[int, None]:
        yield 1

    @app.action
    @decorated
    async def async_iterable() -> AsyncIterable[int]:
        yield 1

    @app.action
    @decorated
    def iterator() -> Iterator[int]:
        yield 1

    @app.action
    @decorated
    def generator() -> Generator[int, None, None]:
        yield 1

    @app.action(run="inline")
    def inline_iterator() -> Iterator[int]:
        return iter([1])

    @app.action
    async def awaited() -> AsyncIterator[int]:
        await asyncio.sleep(0)
        return aiter(async_iterator())

    @app.action
    def generator_of_an_iterable() -> Iterable[int]:
        yield 1

    async def main() -> None:
        async with wire(app) as client:
            for id, name in enumerate(app.actions, 1):
                client.send(opening(id, name))
                items, last = await client.answer(id)
                assert (name, items, last.header.get("more")) == (name, [1], False)

    run(main())


def test_a_function_that_gives_an_iterable_gives_it_whole() -> None:
    app = App()

    @app.action
    def some() -> Iterable[int]:
        return [1, 2]

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "some"))
            items, last = await client.answer(1)
            assert (items, last.value, "more" in last.header) == ([], [1, 2], False)

    run(main())


@pytest.mark.parametrize("how", ["async", "thread", "inline"])
def test_what_gives_no_iterator_although_it_says_so_fails(how: str, caplog: pytest.LogCaptureFixture) -> None:
    app = App()

    def wrong() -> Any:
        return 7

    wrong.__annotations__["return"] = AsyncIterator[int] if how == "async" else Iterator[int]
    app.action(run="inline" if how == "inline" else None)(wrong)

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "wrong"))
            assert code((await client.answer(1))[1]) == "internal"

    run(main())
    assert "but int" in caplog.text


@each_kind
def test_items_are_encoded_as_results_are(kind: str) -> None:
    app = App()
    values = [b"\x00\x01", bytearray(b"ab"), "text", Message(b"img", {"content-type": "image/x", "x-at": 7})]

    async def generator() -> AsyncIterator[Any]:
        for value in values:
            yield value

    def plain() -> Iterator[Any]:
        yield from values

    app.action(name="mixed", run="inline" if kind == "inline" else None)(generator if kind == "async" else plain)

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "mixed"))
            got = [await client.frame() for _ in range(5)]
            kinds = [each.header["content-type"] for each in got[:4]]
            assert kinds == ["application/octet-stream", "application/octet-stream", "text/json", "image/x"]
            assert [each.content for each in got[:4]] == [b"\x00\x01", b"ab", b'"text"', b"img"]
            assert got[3].header["x-at"] == 7
            client.send(opening(2, "mixed", fields={"accept": ["text/plain", "text/json"]}))
            asked = [await client.frame() for _ in range(5)]
            assert (asked[2].header["content-type"], asked[2].content) == ("text/plain", b"text")

    run(main())


@each_kind
@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.parametrize("values", [[], [1, 2]], ids=["first", "after items"])
def test_an_error_is_one_last_frame_behind_the_items(
    kind: str, refuses: bool, values: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with wire(Scene().app) as client:
            client.send(opening(1, f"{kind}-failing", values=values, refuses=refuses))
            items, last = await client.answer(1)
            assert items == values
            assert code(last) == ("sold-out" if refuses else "internal")
            assert last.value["error"].get("count", 0) == 0
            assert b"secret" not in last.content
            client.send(opening(2, "letterhead.ping"))  # nothing follows it
            assert (await client.frame()).id == 2

    run(main())
    assert ("a secret" in caplog.text) is not refuses


@each_kind
def test_an_item_that_cannot_be_sent_is_the_handlers_failure(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    app = App(limits=Limits(content_bytes=2048))

    def bad(large: bool) -> Iterator[Any]:
        yield 1
        yield bytes(4096) if large else object()

    async def async_bad(large: bool) -> AsyncIterator[Any]:
        for value in bad(large):
            yield value

    app.action(name="bad", run="inline" if kind == "inline" else None)(async_bad if kind == "async" else bad)

    async def main() -> None:
        async with wire(app) as client:
            for id, large in ((1, True), (2, False)):
                client.send(opening(id, "bad", large=large))
                items, last = await client.answer(id)
                assert (items, code(last)) == ([1], "too-large" if large else "internal")

    run(main())
    reasons = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert [reason.startswith("the result cannot be sent") for reason in reasons] == [True, True]


# -- credit --------------------------------------------------------------------------------------------------------


@each_pipe
@each_kind
def test_no_more_is_sent_than_there_is_credit_and_the_handler_waits(run: Run, kind: str, pipe: str) -> None:
    scene = Scene()

    async def main() -> None:
        async with wire(scene.app, pipe) as client:
            client.send(opening(1, f"{kind}-endless", size=100_000))
            for _ in range(11):  # the eleventh begins below a mebibyte
                assert len((await client.frame()).content) == 100_000
            client.send(opening(2, "letterhead.ping"))
            assert (await client.frame()).id == 2
            ahead = 0 if kind != "thread" else 256 * 1024 // 100_000
            await until(lambda: scene.made >= 11 + ahead)
            client.send(opening(3, "letterhead.ping"))
            assert (await client.frame()).id == 3
            assert 11 <= scene.made <= 13 + ahead
            client.send(frame({"id": 1, "credit": 150_000}))
            assert len((await client.frame()).content) == 100_000
            client.send(frame({"id": 1, "cancel": True}))
            while (last := await client.frame()).header.get("more"):
                pass
            assert code(last) == "cancelled"

    run(main())


@each_kind
def test_credit_may_be_given_a_little_at_a_time(kind: str) -> None:
    async def main() -> None:
        async with wire(Scene().app) as client:
            values = ["x" * 50_000] * 60
            client.send(opening(1, f"{kind}-values", values=values))
            count = 0
            while (got := await client.frame()).header["more"]:
                count += 1
                client.send(frame({"id": 1, "credit": 2 + 200 + got.header["content-length"]}))
            assert count == 60

    run(main())


# -- what a stream must not hold up ----------------------------------------------------------------------------------


@each_kind
def test_a_generator_that_never_waits_lets_others_be_answered(run: Run, kind: str) -> None:
    async def main() -> None:
        async with wire(Scene().app) as client:
            client.send(opening(1, f"{kind}-endless"), frame({"id": 1, "credit": 1 << 30}))
            await client.frame()
            for id in range(2, 22):
                client.send(opening(id, "letterhead.ping", value=id))
                while (got := await client.frame()).id == 1:
                    pass
                assert (got.id, got.value) == (id, id)

    run(main())


@pytest.mark.parametrize("kind", ["async", "thread"])
def test_an_item_goes_out_although_the_next_one_takes_its_time(kind: str) -> None:
    app = App()
    goes_on = threading.Event()

    @app.action(name="async")
    async def on_the_loop() -> AsyncIterator[int]:
        yield 1
        await asyncio.to_thread(goes_on.wait)
        yield 2

    @app.action(name="thread")
    def in_a_thread() -> Iterator[int]:
        yield 1
        goes_on.wait()
        yield 2

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, kind))
            assert (await client.frame()).value == 1
            goes_on.set()
            assert (await client.answer(1))[0] == [2]

    run(main())


def nearly_too_long() -> list[dict[str, Any]]:
    """Header fields that just have room in a header, or just not: alone, with ``more``, with all that is added."""
    by_bytes = [{"x": "y" * size} for size in range(16_383 - 260, 16_383 - 60, 5)]
    return by_bytes + [{f"x-{number}": number for number in range(count)} for count in range(54, 62)]


@each_kind
def test_an_item_with_too_long_a_header_fails_its_stream_and_nothing_else(kind: str) -> None:
    app = App()
    items = [Message(b"", fields) for fields in nearly_too_long()]

    @app.action(name="async")
    async def on_the_loop(number: int) -> AsyncIterator[Message]:
        yield items[number]

    @app.action(name="thread")
    def in_a_thread(number: int) -> Iterator[Message]:
        yield items[number]

    @app.action(name="inline", run="inline")
    def inline(number: int) -> Iterator[Message]:
        yield items[number]

    async def main() -> None:
        ends: list[Any] = []
        async with wire(app) as client:
            for number in range(len(items)):
                client.send(opening(number + 1, kind, number=number))
                sent, last = await client.answer(number + 1)
                ends.append(last.status)
                assert (last.status is None) is (len(sent) == 1)
            client.send(opening(1000, "letterhead.ping", value=1))
            assert (await client.frame()).value == 1
        assert set(ends) == {None, "internal"}

    run(main())


@pytest.mark.parametrize("kind", ["async", "inline"])
def test_small_items_leave_with_few_writes(kind: str) -> None:
    async def main() -> None:
        async with wire(Scene().app) as client:
            (connection,) = client.server.shared.connections
            assert isinstance(connection, ServerConnection)
            writes: list[int] = []
            transport = connection.transport
            assert transport is not None
            write = transport.write

            def counted(data: Any) -> None:
                writes.append(len(data))
                write(data)

            transport.write = counted  # type: ignore[method-assign]
            client.send(opening(1, f"{kind}-values", values=list(range(5_000))))
            items, _ = await client.answer(1)
            assert len(items) == 5_000
            assert max(writes) < 66_000
            assert len(writes) < 1_000  # of a turn each: on a machine that is slow or busy, more and smaller ones

    run(main())


# -- memory --------------------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("reads", [True, False], ids=["without credit", "without reading"])
def test_a_hundred_stalled_streams_cost_little(kind: str, reads: bool) -> None:
    """Each could give without end. Without credit each holds an item or what a thread is ahead; a client that does not
    read is sent no more than the high mark and what one write gathers, and not all of its streams need begin.
    """
    streams, size = 100, 20_000
    scene = Scene(threads=2 * streams)  # of which one connection gets half

    async def main() -> None:
        async with wire(scene.app) as client:
            client.forgets = True
            await until(lambda: client.server.shared.connections)
            tracemalloc.start()
            if not reads:
                client.stop_reading()
            client.send(*(opening(id, f"{kind}-endless", size=size) for id in range(1, streams + 1)))
            await until(lambda: len(scene.opened) == streams if reads else scene.made > 13)
            before = -1
            while scene.made != before:  # until all stand still
                before = scene.made
                await asyncio.sleep(0.2)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < (40 * MIB if kind == "thread" else 8 * MIB)
            assert scene.made < streams * (2 + (MIB + 300_000) // size)
            client.transport.abort()
            await until(lambda: len(scene.closed) == len(scene.opened))

    run(main())

"""Parameters that receive a stream: what reaches the handler, what it costs, and how it ends."""

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from letterhead import (
    App,
    Cancelled,
    DeadlineExceeded,
    InvalidArgument,
    LetterheadError,
    Limits,
    UsageError,
)
from tests.app.wire import each_pipe, end, item, opening, upload, wire
from tests.conftest import Run
from tests.leaks import run, until
from tests.wire.frames import frame, json_frame

each_kind = pytest.mark.parametrize("kind", ["async", "thread"])


@dataclass
class Order:
    """What an item may be."""

    article: str
    count: int = 1


@dataclass
class Scene:
    """An application whose actions take streams, each in every kind there is, and what they saw.

    Attributes:
        app: it has ``KIND-total``, ``KIND-orders``, ``KIND-any`` and ``KIND-slow`` of each kind.
        taken: items that ``slow`` took.
        errors: what ended it; None where its stream ended.
        goes_on: ``slow`` waits for it before each item.
    """

    app: App
    taken: list[Any] = field(default_factory=list)
    errors: list[BaseException | None] = field(default_factory=list)
    goes_on: threading.Event = field(default_factory=threading.Event)


def scene(**options: Any) -> Scene:
    app = App("uploads", **options)
    made = Scene(app)

    @app.action(name="async-total")
    async def async_total(start: int, rows: AsyncIterator[int], times: int = 1) -> int:
        async for row in rows:
            start += row * times
        return start

    @app.action(name="thread-total")
    def thread_total(start: int, rows: Iterator[int], times: int = 1) -> int:
        return start + sum(row * times for row in rows)

    @app.action(name="async-orders")
    async def async_orders(orders: AsyncIterator[Order]) -> list[str]:
        return [f"{order.count} {order.article}" async for order in orders]

    @app.action(name="thread-orders")
    def thread_orders(orders: Iterator[Order]) -> list[str]:
        return [f"{order.count} {order.article}" for order in orders]

    @app.action(name="async-any")
    async def async_any(things: Annotated[AsyncIterator, "bare"]) -> list[Any]:  # type: ignore[type-arg]
        return [thing.hex() if isinstance(thing, bytes) else thing async for thing in things]

    @app.action(name="thread-any")
    def thread_any(things: Iterator) -> list[Any]:  # type: ignore[type-arg]
        return [thing.hex() if isinstance(thing, bytes) else thing for thing in things]

    @app.action(name="async-slow")
    async def async_slow(rows: AsyncIterator[Any]) -> int:
        try:
            async for row in rows:
                made.taken.append(row)
                await until(made.goes_on.is_set)
        except BaseException as error:
            made.errors.append(error)
            raise
        made.errors.append(None)
        return len(made.taken)

    @app.action(name="thread-slow")
    def thread_slow(rows: Iterator[Any]) -> int:
        try:
            for row in rows:
                made.taken.append(row)
                made.goes_on.wait()
        except BaseException as error:
            made.errors.append(error)
            raise
        made.errors.append(None)
        return len(made.taken)

    return made


# -- what reaches the handler --------------------------------------------------------------------------------------


@each_pipe
@each_kind
def test_items_reach_the_handler_beside_its_other_arguments(run: Run, kind: str, pipe: str) -> None:
    async def main() -> None:
        async with wire(scene().app, pipe) as client:
            client.send(upload(1, f"{kind}-total", *range(3000), start=7))
            assert (await client.answer(1))[1].value == 7 + sum(range(3000))
            client.send(upload(2, f"{kind}-total", start=5, times=2))
            assert (await client.answer(2))[1].value == 5
            for piece in (opening(3, f"{kind}-total", more=True, start=1, times=10), item(3, 1), item(3, 2), end(3)):
                client.send(piece)
                await asyncio.sleep(0.002)
            assert (await client.answer(3))[1].value == 31

    run(main())


@each_kind
def test_the_opening_may_be_of_classic_form_or_hold_the_single_argument(kind: str) -> None:
    async def main() -> None:
        async with wire(scene().app) as client:
            classic = {"action": f"{kind}-total", "value": {"start": 1}}
            client.send(json_frame(classic, {"id": 1, "more": True}), item(1, 2), end(1))
            assert (await client.answer(1))[1].value == {"result": 3}
            client.send(json_frame(4, {"id": 2, "action": f"{kind}-total", "more": True}), item(2, 5), end(2))
            assert (await client.answer(2))[1].value == 9

    run(main())


@each_kind
def test_items_become_what_the_parameter_says(kind: str) -> None:
    async def main() -> None:
        async with wire(scene().app) as client:
            client.send(upload(1, f"{kind}-orders", {"article": "pencil"}, {"article": "pen", "count": 3}))
            assert (await client.answer(1))[1].value == ["1 pencil", "3 pen"]

    run(main())


@each_kind
def test_items_without_a_type_are_what_they_are(kind: str) -> None:
    async def main() -> None:
        async with wire(scene().app) as client:
            text = {"content-type": "text/plain", "content-encoding": "iso-8859-1"}
            empty = frame({"id": 1, "more": True, **text})
            odd = frame({"id": 1, "more": True, **text}, "ä".encode("latin-1"))
            client.send(opening(1, f"{kind}-any", more=True), item(1, None), item(1, b""), item(1, b"\x01"), empty, odd)
            client.send(item(1, {"a": [1.5]}), end(1))
            assert (await client.answer(1))[1].value == [None, "", "01", "", "ä", {"a": [1.5]}]

    run(main())


@each_kind
@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (item(1, "two"), "invalid-argument"),
        (item(1, 2.5), "invalid-argument"),
        (item(1, b"\x00"), "invalid-argument"),
        (frame({"id": 1, "more": True, "content-type": "text/json", "content-encoding": "utf-8"}, b"{"), "bad-content"),
        (frame({"id": 1, "more": True, "content-type": "text/json", "content-encoding": "x"}, b"1"), "bad-content"),
        (frame({"id": 1, "more": True, "compression": "gzip"}, b"1"), "bad-header"),
    ],
    ids=["text", "fraction", "bytes", "no JSON", "encoding", "compression"],
)
def test_an_item_that_is_not_what_it_should_be_ends_the_exchange(kind: str, bad: bytes, code: str) -> None:
    async def main() -> None:
        async with wire(scene().app) as client:
            client.send(opening(1, f"{kind}-total", more=True, start=0), item(1, 1), bad, item(1, 1), end(1))
            items, last = await client.answer(1)
            assert (items, last.status, last.code) == ([], code, code)
            if code == "invalid-argument":
                assert last.value["error"]["message"].startswith("an item of 'rows': ")
                assert last.value["error"]["argument"] == "rows"
            client.send(upload(2, f"{kind}-total", 1, start=1))
            assert (await client.answer(2))[1].value == 2
            await until(lambda: client.server.shared.counters.open_now == 0)

    run(main())


@each_kind
def test_the_client_is_told_of_a_bad_item_at_once_and_the_handler_sees_the_same_error(kind: str) -> None:
    app = App()
    seen: list[BaseException] = []
    goes_on = threading.Event()

    @app.action(name="async")
    async def on_the_loop(rows: AsyncIterator[int]) -> str:
        for _ in range(2):
            try:
                async for _ in rows:
                    pass
            except LetterheadError as error:
                seen.append(error)
        await asyncio.to_thread(goes_on.wait)
        return "an answer after all"

    @app.action(name="thread")
    def in_a_thread(rows: Iterator[int]) -> str:
        for _ in range(2):
            try:
                for _ in rows:
                    pass
            except LetterheadError as error:
                seen.append(error)
        goes_on.wait()
        return "an answer after all"

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, kind, more=True), item(1, 1), item(1, "x"))
            assert (await client.answer(1))[1].status == "invalid-argument"
            assert client.server.shared.counters.open_now == 1
            goes_on.set()
            await until(lambda: client.server.shared.counters.open_now == 0)
            client.send(opening(2, "letterhead.ping"))
            assert (await client.frame()).id == 2
            assert [type(error) for error in seen] == [InvalidArgument, InvalidArgument]

    run(main())


# -- streams where there are none, and the other way round ---------------------------------------------------------


@each_kind
def test_an_upload_that_is_missing_or_not_wanted_is_an_invalid_argument(kind: str) -> None:
    app = scene().app

    @app.action
    async def plain(value: int = 0) -> int:
        return value

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, f"{kind}-total", start=1))
            client.send(opening(2, f"{kind}-total", start=1, rows=[1, 2]))
            client.send(upload(3, f"{kind}-total", 1, start=1, rows=[1, 2]))
            for id in (1, 2, 3):
                _, last = await client.answer(id)
                assert last.status == "invalid-argument"
                error = last.value["error"]
                assert error["message"] == "argument 'rows' is a stream: pass an iterator, such as iter([...])"
                assert error["argument"] == "rows"
            for id, action in ((4, "plain"), (5, "letterhead.ping"), (6, "letterhead.health")):
                client.send(upload(id, action, 1, 2))
                _, last = await client.answer(id)
                assert (last.status, last.value["error"]["message"]) == (
                    "invalid-argument",
                    f"{action} takes no stream",
                )
            client.send(upload(7, "nothing", 1, 2))
            assert (await client.answer(7))[1].status == "unknown-action"
            client.send(opening(8, f"{kind}-total", more=True), end(8))
            assert "needs the argument 'start'" in (await client.answer(8))[1].value["error"]["message"]
            client.send(opening(9, "plain", value=9))
            assert (await client.answer(9))[1].value == 9

    run(main())


def test_a_classic_connection_cannot_carry_an_upload() -> None:
    async def main() -> None:
        async with wire(scene().app) as client:
            client.send(json_frame({"action": "async-total", "value": {"start": 1}}))
            got = await client.frame()
            assert got.code == "invalid-argument"
            assert "takes a stream, which a connection without ids cannot carry" in got.value["result"]

    run(main())


# -- credit and memory ---------------------------------------------------------------------------------------------


@each_pipe
@each_kind
def test_credit_comes_back_as_the_handler_takes_items(kind: str, pipe: str) -> None:
    async def main() -> None:
        async with wire(scene().app, pipe) as client:
            client.send(opening(1, f"{kind}-total", more=True, start=0))
            credit, count = 1 << 20, 0
            piece = item(1, 1)
            while count < 60_000:  # 7 MB
                while credit > 0 and count < 60_000:
                    client.send(piece)
                    credit -= len(piece)
                    count += 1
                if credit <= 0:
                    credit += (await client.frame()).header["credit"]
            client.send(end(1))
            assert (await client.answer(1))[1].value == 60_000

    run(main())


@each_kind
def test_a_slow_handler_is_given_no_more_than_the_initial_credit(kind: str) -> None:
    """A thread besides holds the batch that it takes from."""
    made = scene()

    async def main() -> None:
        async with wire(made.app) as client:
            size = 10_000
            piece = item(1, bytes(size))
            client.send(opening(1, f"{kind}-slow", more=True))
            await until(lambda: client.server.shared.counters.open_now)
            sent = 0
            while sent * len(piece) < 1 << 20:
                client.send(piece)
                sent += 1
            await until(lambda: made.taken)
            client.send(opening(2, "letterhead.ping"))
            assert (await client.frame()).id == 2  # all was read, and no credit came
            (held,) = client.server.shared.connections
            assert len(made.taken) == 1
            given = client.server.shared.counters.items_received
            assert given == 1 if kind == "async" else 1 <= given <= 1 + 65_536 // size
            assert client.server.shared.budget.used <= (sent - given + 1) * len(piece)
            made.goes_on.set()
            client.send(end(1))
            while "credit" in (got := await client.frame()).header:
                pass
            assert got.value == sent
            await until(lambda: client.server.shared.budget.used == 0)
            assert held in client.server.shared.connections

    run(main())


# -- ends ----------------------------------------------------------------------------------------------------------


@each_pipe
@each_kind
@pytest.mark.parametrize("how", ["cancelled", "half-closed", "cut off", "late", "superseded"])
@pytest.mark.parametrize("waits", ["for items", "with items at hand"])
def test_an_upload_that_is_given_up_is_never_a_short_stream(
    run: Run, kind: str, pipe: str, how: str, waits: str
) -> None:
    made = scene()

    async def main() -> None:
        async with wire(made.app, pipe) as client:
            late = {"deadline": 1_000} if how == "late" else {}
            client.send(opening(1, f"{kind}-slow", more=True, fields=late), item(1, 1), item(1, 2), item(1, 3))
            if waits == "for items":
                made.goes_on.set()
            await until(lambda: len(made.taken) == (3 if waits == "for items" else 1))
            client.forgets = True
            match how:
                case "cancelled":
                    client.send(frame({"id": 1, "cancel": True}), item(1, 4), end(1))
                case "superseded":
                    client.send(opening(2, "letterhead.ping", fields={"supersedes": 1}), item(1, 4), end(1))
                case "half-closed":
                    client.transport.write_eof()
                case "cut off":
                    client.transport.abort()
                case _:
                    await until(lambda: client.server.shared.counters.failed.get("deadline-exceeded"))
            shared = client.server.shared
            if kind == "thread":  # whose handler sees it when it looks
                await until(lambda: how == "cut off" or shared.counters.failed or shared.counters.open_now <= 1)
                await asyncio.sleep(0.01)
                made.goes_on.set()
            await until(lambda: shared.counters.open_now == 0)
            (error,) = made.errors
            if kind == "async":
                assert isinstance(error, asyncio.CancelledError)
            else:
                assert isinstance(error, DeadlineExceeded if how == "late" else Cancelled)
            assert len(made.taken) == (3 if waits == "for items" else 1)
            await until(lambda: shared.budget.used == 0)

    run(main())


@each_kind
def test_an_upload_has_no_deadline_of_its_own(kind: str) -> None:
    made = scene(limits=Limits(deadline_seconds=0.05, deadline_max_seconds=0.05))

    async def main() -> None:
        async with wire(made.app) as client:
            client.send(opening(1, f"{kind}-total", more=True, start=1))
            await asyncio.sleep(0.15)
            client.send(item(1, 1), end(1))
            assert (await client.answer(1))[1].value == 2

    run(main())


def test_what_a_handler_leaves_behind_gets_no_items_and_does_not_hang(run: Run) -> None:
    app = App()
    left: list[asyncio.Task[Any]] = []

    @app.action
    async def leaves(rows: AsyncIterator[int], waits: bool) -> int:
        async def read() -> list[int]:
            return [row async for row in rows]

        left.append(asyncio.create_task(read()))
        if waits:
            await asyncio.sleep(0.01)
        return 1

    async def main() -> None:
        async with wire(app) as client:
            for id, waits in ((1, True), (2, False)):
                client.send(opening(id, "leaves", more=True, waits=waits))
                assert (await client.answer(id))[1].value == 1
                client.send(item(id, 1), end(id))
                with pytest.raises(UsageError, match="has been answered"):
                    await left.pop()

    run(main())


def test_a_bad_item_that_a_handler_s_other_task_takes_cancels_the_handler(run: Run) -> None:
    app = App()
    ended: list[str] = []

    @app.action
    async def chats(rows: AsyncIterator[int]) -> None:
        async def read() -> None:
            async for _ in rows:
                pass

        reading = asyncio.create_task(read())
        try:
            await asyncio.Event().wait()
        finally:
            with pytest.raises(InvalidArgument):
                await reading
            ended.append("the handler")

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "chats", more=True), item(1, "not a number"))
            assert (await client.answer(1))[-1].code == "invalid-argument"
            await until(lambda: ended)
            client.send(opening(2, "letterhead.health"))
            assert (await client.answer(2))[-1].value["requests"]["open"] == 1  # this one

    run(main())


def test_a_thread_that_a_handler_leaves_behind_gets_no_items_and_does_not_hang() -> None:
    app = App()
    left: list[threading.Thread] = []
    seen: list[BaseException] = []
    iterators: list[Iterator[int]] = []

    @app.action
    def leaves(rows: Iterator[int]) -> int:
        def read() -> None:
            try:
                list(rows)
            except LetterheadError as error:
                seen.append(error)

        left.append(threading.Thread(target=read))
        left[-1].start()
        iterators.append(rows)
        return 1

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "leaves", more=True), item(1, 5))
            assert (await client.answer(1))[1].value == 1
            await asyncio.to_thread(left[0].join)
            assert [type(error) for error in seen] == [UsageError]
            await asyncio.to_thread(next_fails)

    def next_fails() -> None:
        with pytest.raises(UsageError, match="has been answered"):
            next(iterators[0])

    run(main())
    next_fails()  # the loop has ended, too


def test_an_item_that_somebody_no_longer_waits_for_is_not_lost(run: Run) -> None:
    app = App()

    @app.action
    async def impatient(rows: AsyncIterator[int]) -> list[int]:
        got: list[int] = []
        while True:
            try:
                async with asyncio.timeout(0.005):
                    got.append(await anext(rows))
            except TimeoutError:
                continue
            except StopAsyncIteration:
                return got

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "impatient", more=True))
            for number in range(20):
                await asyncio.sleep(0.002 * (number % 4))
                client.send(item(1, number))
            client.send(end(1))
            assert (await client.answer(1))[1].value == list(range(20))

    run(main())


@each_kind
def test_several_may_read_and_each_item_goes_to_one(kind: str) -> None:
    app = App()

    @app.action(name="async")
    async def tasks(rows: AsyncIterator[int]) -> list[int]:
        async def read() -> list[int]:
            return [row async for row in rows]

        parts = await asyncio.gather(*(read() for _ in range(4)))
        return sorted(row for part in parts for row in part)

    @app.action(name="thread")
    def threads(rows: Iterator[int]) -> list[int]:
        got: list[int] = []
        readers = [threading.Thread(target=lambda: got.extend(rows)) for _ in range(4)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        return sorted(got)

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, kind, more=True))
            for start in range(0, 1000, 100):
                client.send(*(item(1, start + number) for number in range(100)))
                await asyncio.sleep(0.001)
            client.send(end(1))
            assert (await client.answer(1))[1].value == list(range(1000))

    run(main())


# -- both at once --------------------------------------------------------------------------------------------------


def conversing() -> App:
    app = App()

    @app.action(name="async-double")
    async def on_the_loop(rows: AsyncIterator[int], limit: int = 1 << 30) -> AsyncIterator[int]:
        count = 0
        async for row in rows:
            yield 2 * row
            count += 1
            if count == limit:
                return

    @app.action(name="thread-double")
    def in_a_thread(rows: Iterator[int], limit: int = 1 << 30) -> Iterator[int]:
        for count, row in enumerate(rows, 1):
            yield 2 * row
            if count == limit:
                return

    return app


@each_pipe
@each_kind
def test_a_conversation_goes_both_ways(run: Run, kind: str, pipe: str) -> None:
    async def main() -> None:
        async with wire(conversing(), pipe) as client:
            client.send(opening(1, f"{kind}-double", more=True))
            for number in range(200):
                client.send(item(1, number))
                assert (await client.frame()).value == 2 * number
            client.send(end(1))
            assert (await client.frame()).header["more"] is False

    run(main())


@each_pipe
@each_kind
def test_a_handler_may_end_before_its_upload_again_and_again(run: Run, kind: str, pipe: str) -> None:
    async def main() -> None:
        async with wire(conversing(), pipe) as client:
            for id in range(1, 130):
                client.send(opening(id, f"{kind}-double", more=True, limit=1), item(id, 4), item(id, 5))
                items, last = await client.answer(id)
                assert (items, last.header.get("more")) == ([8], False)
                client.send(item(id, 6), end(id))  # on its way when the answer came
            await until(lambda: client.server.shared.counters.open_now == 0)
            await until(lambda: client.server.shared.budget.used == 0)
            ids = range(200, 328)
            client.send(*(opening(id, f"{kind}-double", more=True) for id in ids))  # as many as may be open
            client.send(*(item(id, id) for id in ids), *(end(id) for id in ids))
            answers = await client.answers(*ids)
            assert all(answers[id][0] == [2 * id] for id in ids)

    run(main())


@each_kind
def test_a_bad_item_ends_a_conversation_whose_answers_wait_for_credit(kind: str) -> None:
    app = App()

    @app.action(name="async")
    async def on_the_loop(sizes: AsyncIterator[int]) -> AsyncIterator[bytes]:
        async def read() -> list[int]:
            return [size async for size in sizes]

        reading = asyncio.create_task(read())
        try:
            for _ in range(4):
                yield bytes(600_000)
        finally:
            await asyncio.wait([reading])
            assert isinstance(reading.exception(), InvalidArgument)

    @app.action(name="thread")
    def in_a_thread(sizes: Iterator[int]) -> Iterator[bytes]:
        for size in sizes:
            yield bytes(size)

    async def main() -> None:
        async with wire(app) as client:
            # The third is past the credit; the thread goes on to read while it waits, and returns with the error.
            client.send(opening(1, kind, more=True), item(1, 600_000), item(1, 600_000), item(1, 1000))
            assert [len((await client.frame()).content) for _ in range(2)] == [600_000, 600_000]
            client.send(item(1, "x"))
            assert (await client.frame()).status == "invalid-argument"
            await until(lambda: client.server.shared.counters.open_now == 0)

    run(main())


# -- what is refused when it is entered ----------------------------------------------------------------------------


async def async_with_iterator(rows: Iterator[int]) -> None:
    return None


async def generator_with_iterator(rows: Iterator[int]) -> AsyncIterator[int]:
    yield 1


def thread_with_async_iterator(rows: AsyncIterator[int]) -> None:
    return None


def plain(rows: Iterator[int]) -> None:
    return None


def two(rows: Iterator[int], others: Iterator[int]) -> None:
    return None


def with_a_default(rows: Iterator[int] = iter([])) -> None:  # noqa: B008
    return None


def unreadable(rows: Iterator[threading.Thread]) -> None:
    return None


async def async_iterable(rows: AsyncIterable[int]) -> None:
    return None


def generator_parameter(rows: Generator[int, None, None]) -> None:
    return None


async def stream_or_none(rows: AsyncIterator[int] | None) -> None:
    return None


def list_of_streams(rows: list[Iterator[int]]) -> None:
    return None


async def gives_an_iterator() -> Iterator[int]:
    return iter([1])


@pytest.mark.parametrize(
    ("handler", "options", "reason"),
    [
        (async_with_iterator, {}, r"is async: write rows: AsyncIterator\[…\]"),
        (generator_with_iterator, {}, r"is async: write rows: AsyncIterator\[…\]"),
        (thread_with_async_iterator, {}, r"is a plain function: write rows: Iterator\[…\]"),
        (plain, {"run": "inline"}, "run='inline' cannot wait for the items of 'rows'"),
        (plain, {"run": "process"}, "streams, which a worker process cannot"),
        (two, {}, "'others' is a stream, and 'rows' is one"),
        (with_a_default, {}, "'rows' is a stream, which has no default"),
        (unreadable, {}, "its item type has the type"),
        (async_iterable, {}, r"write AsyncIterator\[…\]"),
        (generator_parameter, {}, r"write Iterator\[…\]"),
        (stream_or_none, {}, "a stream is the whole"),
        (list_of_streams, {}, "a stream is the whole"),
        (gives_an_iterator, {}, "would hold the event loop: give AsyncIterator"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_write(handler: Any, options: Any, reason: str) -> None:
    app = App()
    with pytest.raises(UsageError, match=reason):
        app.action(**options)(handler)
    assert app.actions == {}

"""Streams of arguments: which arguments are streams, what of them arrives, who ends them; and both ways at once."""

import asyncio
import contextvars
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from letterhead import (
    ConnectionLost,
    DeadlineExceeded,
    InvalidArgument,
    Limits,
    Message,
    TooLarge,
    UnknownAction,
    UsageError,
    encode,
)
from tests import leaks
from tests.contract.callers import END
from tests.contract.scene import Scene, claim

MIB = 1024 * 1024


class Watched:
    """An iterable whose generators tell what becomes of them.

    Attributes:
        given: how many items were taken from it.
        closed: it was left, or has ended.
    """

    def __init__(self, items: Any = None, failure: BaseException | None = None) -> None:
        self.items = items
        self.failure = failure
        self.given = 0
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Any]:
        try:
            for item in self.items:
                self.given += 1
                yield item
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed.set()

    def generator(self) -> Iterator[Any]:
        return iter(self)


def endless() -> Iterator[int]:
    while True:
        yield 7


async def async_numbers(to: int) -> AsyncIterator[int]:
    for number in range(to):
        await asyncio.sleep(0)
        yield number


# What is a stream


@pytest.mark.smoke
@claim()
async def test_iterables_without_a_form_of_their_own_are_streamed(scene: Scene) -> None:
    sources: list[Callable[[], Any]] = [
        lambda: range(100),
        lambda: iter(list(range(100))),
        lambda: (number for number in range(100)),
        lambda: map(int, range(100)),
        lambda: dict.fromkeys(range(100)).keys(),
    ]
    for source in sources:
        for action in ("total", "total-thread"):
            assert await scene.caller.call(action, source()) == 4950
            assert await scene.caller.call(action, numbers=source()) == 4950
            assert await scene.caller.call(action, numbers=source(), start=50) == 5000


@claim()
async def test_what_json_can_say_is_sent_whole(scene: Scene) -> None:
    for value in ([1, 2], (1, 2), {1}, frozenset({1})):
        assert await scene.caller.call("echo", value) == list(value)
        with pytest.raises(InvalidArgument):
            await scene.caller.call("total", value)


@claim()
async def test_the_lines_of_a_file_are_its_items(scene: Scene) -> None:
    with Path(__file__).open() as text, Path(__file__).open("rb") as octets:
        lines = await scene.caller.call("collect", text)
        sizes = await scene.caller.call("sizes", octets)
        assert not text.closed
    assert "".join(lines) == Path(__file__).read_text()
    assert sum(sizes) == len(Path(__file__).read_bytes())


@claim()
async def test_items_keep_their_own_types(scene: Scene) -> None:
    items = [1, "two", None, [3], {"four": 4}, b"five", b"", encode("sechs", "text/plain", "utf-16")]
    assert await scene.caller.call("collect", iter(items)) == [*items[:5], "five", "", "sechs"]


@claim()
async def test_an_async_iterable_is_streamed_by_the_async_client_alone(scene: Scene) -> None:
    if scene.kind == "AsyncClient":
        assert await scene.caller.call("total", async_numbers(100)) == 4950
        assert await (await scene.caller.stream("double", numbers=async_numbers(3))).rest() == [0, 2, 4]
        return
    for source in (async_numbers(3), async_numbers(3)):
        with pytest.raises(UsageError, match="AsyncClient"):
            await scene.caller.call("total", source)
    with pytest.raises(UsageError, match="AsyncClient"):
        await scene.caller.stream("double", async_numbers(3))


@claim()
async def test_two_streams_in_one_call_are_refused_before_anything_is_sent(scene: Scene) -> None:
    with pytest.raises(UsageError, match="'numbers' and 'start' are streams"):
        await scene.caller.call("total", numbers=iter([1]), start=iter([2]))
    assert scene.server.shared.counters.accepted == 0


@claim()
async def test_what_is_no_stream_either_is_refused_as_ever(scene: Scene) -> None:
    for value in ([object()], {"a": object()}, object(), [float("nan")], int):
        with pytest.raises(UsageError, match="cannot be sent"):
            await scene.caller.call("echo", value=value)


@claim()
async def test_an_action_that_takes_no_stream_says_so(scene: Scene) -> None:
    with pytest.raises(InvalidArgument, match="stream"):
        await scene.caller.call("greet", name=iter(["Ada"]))
    with pytest.raises(UnknownAction):
        await scene.caller.call("no-such-action", iter([1]))


# What arrives


@claim()
async def test_no_items_are_a_stream_too(scene: Scene) -> None:
    for _ in range(2):
        assert await scene.caller.call("total", iter([])) == 0
        assert await scene.caller.call("first-of", iter([])) == -1


@claim()
async def test_an_upload_larger_than_all_credit_arrives_whole(scene: Scene) -> None:
    sizes = await scene.caller.call("sizes", (bytes(30_000) for _ in range(300)))
    assert sizes == [30_000] * 300


@claim()
async def test_items_larger_than_all_credit_arrive(scene: Scene) -> None:
    assert await scene.caller.call("sizes", (bytes(3 * MIB) for _ in range(4))) == [3 * MIB] * 4


@claim()
async def test_many_uploads_on_one_connection_keep_apart(scene: Scene) -> None:
    await scene.caller.call("echo", 1)
    totals = await asyncio.gather(*(scene.caller.call("total", range(100 * n)) for n in range(16)))
    assert totals == [sum(range(100 * n)) for n in range(16)]
    assert scene.server.shared.counters.accepted == 1


@claim()
async def test_no_more_is_taken_from_an_iterable_than_there_is_credit_for(scene: Scene) -> None:
    source = Watched(bytes(1000) for _ in range(100_000))
    caller = scene.another()
    call = asyncio.ensure_future(caller.call("take-none", source.generator()))
    await scene.app.state.started.wait()
    given = -1
    while given != source.given:
        given = source.given
        await asyncio.sleep(0.2)
    assert 100 < given < MIB // 1000
    await caller.close()
    with pytest.raises(ConnectionLost):
        await call
    assert await asyncio.to_thread(source.closed.wait, leaks.PATIENCE)


@claim()
async def test_a_slow_upload_goes_item_by_item(scene: Scene) -> None:
    asked = asyncio.Queue[int]() if scene.kind == "AsyncClient" else None
    reading: Any = None
    if asked is not None:

        async def questions() -> AsyncIterator[int]:
            while (number := await asked.get()) >= 0:
                yield number

        reading = await scene.caller.stream("double", questions())
        for number in range(5):
            asked.put_nowait(number)
            assert await reading.next() == 2 * number
        asked.put_nowait(-1)
    else:
        import queue

        waiting = queue.SimpleQueue[int]()
        reading = await scene.caller.stream("double", iter(waiting.get, -1))
        for number in range(5):
            waiting.put(number)
            assert await reading.next() == 2 * number
        waiting.put(-1)
    assert await reading.next() is END


@claim()
async def test_an_iterable_runs_in_the_callers_context(scene: Scene) -> None:
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("number")
    if scene.kind == "AsyncClient":
        variable.set(5)
        assert await scene.caller.call("total", (variable.get() for _ in range(2))) == 10
        return

    def call() -> Any:
        variable.set(5)
        return scene.caller.client.call("total", (variable.get() for _ in range(2)))

    assert await asyncio.to_thread(call) == 10


# Ends


@claim()
async def test_what_an_iterable_raises_is_raised_by_the_call(scene: Scene) -> None:
    failure = LookupError("of the iterable's own")
    for items in ([], [1, 2, 3], range(5000)):
        with pytest.raises(LookupError) as caught:
            await scene.caller.call("total", Watched(items, failure).generator())
        assert caught.value is failure
    await leaks.until(lambda: scene.server.shared.counters.open_now == 0)
    assert await scene.caller.call("total", range(3)) == 3
    assert scene.server.shared.counters.accepted == 1


@claim()
async def test_a_failing_iterable_cancels_the_handler(scene: Scene) -> None:
    async with asyncio.timeout(leaks.PATIENCE):
        with pytest.raises(LookupError):
            await scene.caller.call("take-none", Watched([], LookupError("at once")).generator())
        await leaks.until(lambda: scene.server.shared.counters.open_now == 0)


@claim()
async def test_an_item_that_cannot_be_sent_ends_the_call(scene: Scene) -> None:
    cases: list[tuple[Any, type[Exception], str]] = [
        (object(), UsageError, "an item of the upload cannot be sent"),
        (bytes(17 * MIB), TooLarge, "limit"),
        (Message(b"", {"action": "other"}), UsageError, "'action'"),
        (Message(b"", {"more": False}), UsageError, "'more'"),
        (Message(b"", {"content-type": "none"}), UsageError, "type/subtype"),
    ]
    for item, error, words in cases:
        with pytest.raises(error, match=words):
            await scene.caller.call("collect", iter([1, item]))
    assert await scene.caller.call("echo", 1) == 1


@claim()
async def test_an_item_that_does_not_fit_ends_the_call_with_what_the_server_says(scene: Scene) -> None:
    for action in ("total", "total-thread"):
        with pytest.raises(InvalidArgument, match="Expected `int`"):
            await scene.caller.call(action, iter([1, "two", 3]))


@pytest.mark.smoke
@claim()
async def test_an_early_answer_ends_the_upload_and_closes_its_generator(scene: Scene) -> None:
    for _ in range(3):
        source = Watched(endless())
        assert await scene.caller.call("first-of", source.generator()) == 7
        assert await asyncio.to_thread(source.closed.wait, leaks.PATIENCE)
    assert scene.server.shared.counters.accepted == 1


@claim()
async def test_many_early_answers_lose_no_slot(scene: Scene) -> None:
    for number in range(150):
        assert await scene.caller.call("first-of", iter([number, 1, 2])) == number
    await leaks.until(lambda: scene.server.shared.counters.open_now == 0)
    assert scene.server.shared.counters.accepted == 1


@claim()
async def test_a_timeout_ends_the_call_and_its_upload(scene: Scene) -> None:
    source = Watched(endless())
    assert await scene.caller.call("echo", 1) == 1
    with pytest.raises(DeadlineExceeded):
        await scene.caller.call("take-none", source.generator(), timeout=0.3)
    if source.given:  # else it never began, on a slow machine
        assert await asyncio.to_thread(source.closed.wait, leaks.PATIENCE)
    async with asyncio.timeout(leaks.PATIENCE):
        await scene.app.state.left.wait()


@claim(Limits(deadline_seconds=0.1))
async def test_an_upload_that_names_no_timeout_has_none(scene: Scene) -> None:
    caller = scene.another(timeout=0.1, limits=Limits(deadline_seconds=0.1))

    async def slowly() -> AsyncIterator[int]:
        for number in range(3):
            yield number
            await asyncio.sleep(0.1)

    def slowly_in_thread() -> Iterator[int]:
        for number in range(3):
            yield number
            time.sleep(0.1)

    source = slowly() if scene.kind == "AsyncClient" else slowly_in_thread()
    assert await caller.call("total", source) == 3


@claim()
async def test_closing_the_client_ends_its_uploads(scene: Scene) -> None:
    caller = scene.another()
    source = Watched(endless())
    call = asyncio.ensure_future(caller.call("take-none", source.generator()))
    await scene.app.state.started.wait()
    await leaks.until(lambda: source.given)
    await caller.close()
    with pytest.raises(Exception, match="closed"):
        await call
    assert await asyncio.to_thread(source.closed.wait, leaks.PATIENCE)


# Conversations


@pytest.mark.smoke
@claim()
async def test_a_conversation_goes_both_ways_at_once(scene: Scene) -> None:
    for action in ("double", "double-thread"):
        reading = await scene.caller.stream(action, range(3000))
        assert await reading.rest() == list(range(0, 6000, 2))


@claim()
async def test_both_sides_may_send_much_before_either_reads(scene: Scene) -> None:
    reading = await scene.caller.stream(
        "flood-both-ways", blocks=(bytes(100_000) for _ in range(50)), number=50, size=100_000
    )
    items = await reading.rest()
    assert [len(item) for item in items[:50]] == [100_000] * 50
    assert items[50:] == [b"100000"] * 50


@claim()
async def test_what_an_iterable_raises_comes_after_the_items_that_came_before(scene: Scene) -> None:
    failure = LookupError("of the iterable's own")
    gate = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        gate.wait(leaks.PATIENCE)
        raise failure

    async def async_source() -> AsyncIterator[int]:
        yield 1
        await asyncio.to_thread(gate.wait, leaks.PATIENCE)
        raise failure

    reading = await scene.caller.stream("double", async_source() if scene.kind == "AsyncClient" else source())
    assert await reading.next() == 2
    gate.set()
    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            await reading.next()
        assert caught.value is failure


@claim()
async def test_a_conversation_that_is_dropped_closes_its_generator(scene: Scene) -> None:
    source = Watched(endless())
    reading = await scene.caller.stream("double", source.generator())
    assert await reading.some(3) == [14, 14, 14]
    reading.drop()
    assert await asyncio.to_thread(source.closed.wait, leaks.PATIENCE)
    await leaks.until(lambda: scene.server.shared.counters.open_now == 0)

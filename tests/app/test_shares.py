"""A peer's share of the threads: whoever opens streams and falls silent keeps nobody else from a thread."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from letterhead import App, DeadlineExceeded, Limits, Refused, current
from letterhead.app.actions import Proceed
from letterhead.app.context import Context
from letterhead.app.threads import Threads
from letterhead.server.server import Server
from letterhead.testing.fake_clock import FixedClock, fixed_clock
from tests import leaks
from tests.app.calling import client_to, served
from tests.app.wire import Wire, end, item, opening, upload, wire_to

THREADS = 4
CONNECTION_S_SHARE = 2


class Scene:
    """An application whose streams take threads.

    Attributes:
        begun: the first arguments of the handlers that began, in order.
    """

    def __init__(self) -> None:
        self.app = app = App(threads=THREADS, limits=Limits(first_byte_seconds=1e6))
        self.begun: list[str] = []
        self.goes_on = threading.Event()

        @app.action
        def total(numbers: Iterator[int], who: str = "") -> int:
            self.begun.append(who)
            return sum(numbers)

        @app.action
        def count(to: int, who: str = "") -> Iterator[int]:
            self.begun.append(who)
            yield from range(to)

        @app.action
        def large(who: str = "") -> Iterator[bytes]:
            self.begun.append(who)
            while True:
                yield bytes(100_000)

        @app.action
        def watch(who: str = "") -> Iterator[str]:
            """Nothing happens until it does: it is not the peer that is waited for."""
            self.begun.append(who)
            yield "begun"
            while not self.goes_on.wait(0.01):
                if current().cancelled:
                    return
            yield "goes on"

        @app.action
        def greet(names: Iterator[str]) -> Iterator[str]:
            """The handler is the first to say something."""
            yield "who is there?"
            for name in names:
                yield f"hello {name}"


@contextlib.asynccontextmanager
async def wires(server: Server, count: int) -> AsyncIterator[list[Wire]]:
    """Connections to a server while the block runs."""
    made = [await wire_to(server) for _ in range(count)]
    try:
        yield made
    finally:
        for each in made:
            each.transport.abort()
        await leaks.until(lambda: not server.shared.connections)


async def begun(scene: Scene, count: int) -> None:
    await leaks.until(lambda: len(scene.begun) == count)


def test_uploads_that_are_only_opened_take_no_threads() -> None:
    scene = Scene()

    async def main() -> None:
        async with served(scene.app) as server, wires(server, 2) as (silent, other):
            silent.send(*(opening(id, "total", more=True, who="silent") for id in range(1, 65)))
            other.send(upload(1, "total", 3, 4, who="other"), opening(2, "count", to=2, who="other"))
            got = await other.answers(1, 2)
            assert got[1][1].value == 7
            assert got[2][0] == [0, 1]
            assert scene.begun == ["other"] * 2
            silent.send(item(64, 5), end(64), end(63))  # an end is as good as an item
            answers = await silent.answers(63, 64)
            assert (answers[63][1].value, answers[64][1].value) == (0, 5)

    leaks.run(main())


def test_a_conversation_begins_before_its_first_item() -> None:
    async def main() -> None:
        async with served(Scene().app) as server, wires(server, 1) as (peer,):
            peer.send(opening(1, "greet", more=True))
            assert (await peer.frame()).value == "who is there?"
            peer.send(item(1, "ada"), end(1))
            assert (await peer.answer(1))[0] == ["hello ada"]

    leaks.run(main())


def test_one_connection_gets_half_of_the_threads_for_streams() -> None:
    """At once, whatever it opened and sent: nobody is ended for it, and nothing is waited for."""
    scene = Scene()

    async def main() -> None:
        async with served(scene.app) as server, wires(server, 2) as (greedy, other):
            greedy.send(*(opening(id, "total", more=True, who="greedy") + item(id, 1) for id in range(1, 65)))
            await begun(scene, CONNECTION_S_SHARE)
            other.send(upload(1, "total", 3, 4, who="other"))
            assert (await other.answer(1))[1].value == 7
            assert scene.begun == ["greedy"] * CONNECTION_S_SHARE + ["other"]
            greedy.send(*(end(id) for id in range(1, 65)))  # each takes its turn
            answers = await greedy.answers(*range(1, 65))
            assert {last.value for _, last in answers.values()} == {1}

    leaks.run(main())


def test_a_thread_goes_to_whoever_has_the_fewest() -> None:
    scene = Scene()

    async def main() -> None:
        async with served(scene.app) as server, wires(server, 3) as (first, second, third):
            for peer, name in ((first, "first"), (second, "second")):
                peer.send(*(opening(id, "total", more=True, who=name) + item(id, 1) for id in (1, 2, 3)))
                await begun(scene, len(scene.begun) + CONNECTION_S_SHARE)
            third.send(opening(1, "total", more=True, who="third"), item(1, 1))
            await leaks.until(lambda: server.shared.counters.open_now == 7)
            first.send(end(1))
            await begun(scene, 5)
            assert scene.begun[-1] == "third", "the first has waited longer, but has a thread"

    leaks.run(main())


# -- silence ---------------------------------------------------------------------------------------------------------


async def passing(clock: FixedClock, seconds: float) -> None:
    """Let time pass while threads do what they do."""
    await asyncio.sleep(0)
    await clock.advance(seconds)


@pytest.mark.parametrize("kind", ["items", "credit"])
def test_while_others_wait_the_stream_ends_whose_peer_has_been_silent_longest(kind: str) -> None:
    scene = Scene()
    clock = fixed_clock(patience=0.05)

    def silent(id: int, who: str) -> bytes:
        if kind == "credit":  # it takes no more than it may be sent at first
            return opening(id, "large", who=who)
        return opening(id, "total", more=True, who=who) + item(id, 1)

    async def main() -> None:
        async with served(scene.app) as server, wires(server, 3) as (first, second, other):
            for peer, name in ((first, "first"), (second, "second")):
                peer.forgets = kind == "credit"
                for id in range(1, CONNECTION_S_SHARE + 1):
                    peer.send(silent(id, name))
                    await begun(scene, len(scene.begun) + 1)
                    await passing(clock, 10)
            await passing(clock, 15)  # the first silent for 55 s, the last for 25
            failed = server.shared.counters.failed
            other.send(upload(1, "total", 3, 4, who="other"))
            await passing(clock, 4)
            assert "timeout" not in failed, "nobody is ended before its time"
            assert len(scene.begun) == THREADS
            await passing(clock, 2)
            assert (await other.answer(1))[1].value == 7
            assert failed["timeout"] == 1, "one was enough"
            if kind == "items":
                last = (await first.answer(1))[1]
                assert last.value["error"]["code"] == "timeout"
                assert last.value["error"]["seconds"] >= 60

    clock.run(main())


def test_where_nobody_waits_for_a_thread_a_silent_stream_stays() -> None:
    scene = Scene()
    clock = fixed_clock(patience=0.05)

    async def main() -> None:
        async with served(scene.app) as server, wires(server, 1) as (peer,):
            for id in range(1, CONNECTION_S_SHARE + 1):
                peer.send(opening(id, "total", more=True) + item(id, 1))
            await begun(scene, CONNECTION_S_SHARE)
            await passing(clock, 86_400)
            peer.send(item(1, 2), end(1))
            assert (await peer.answer(1))[1].value == 3

    clock.run(main())


def test_a_stream_on_which_merely_nothing_happens_is_not_ended_for_others() -> None:
    scene = Scene()
    clock = fixed_clock(patience=0.05)

    async def main() -> None:
        async with served(scene.app) as server, wires(server, 3) as (first, second, other):
            for peer in (first, second):
                for id in range(1, CONNECTION_S_SHARE + 1):
                    peer.send(opening(id, "watch"))
                    assert (await peer.frame()).value == "begun"
            other.send(opening(1, "count", to=1, who="other"))
            await passing(clock, 3600)
            assert "timeout" not in server.shared.counters.failed
            assert "other" not in scene.begun
            scene.goes_on.set()
            assert (await first.answers(1, 2))[1][0] == ["goes on"]
            assert (await other.answer(1))[0] == [0]

    clock.run(main())


def test_a_peer_that_goes_on_is_not_silent() -> None:
    scene = Scene()
    clock = fixed_clock(patience=0.05)

    async def main() -> None:
        async with served(scene.app) as server, wires(server, 1) as (peer,):
            for id in range(1, CONNECTION_S_SHARE + 2):  # one more than its share: that one waits
                peer.send(opening(id, "total", more=True) + item(id, 1))
            await begun(scene, CONNECTION_S_SHARE)
            for _ in range(4):
                await passing(clock, 40)
                peer.send(*(item(id, 1) for id in range(1, CONNECTION_S_SHARE + 1)))
            await passing(clock, 1)
            assert "timeout" not in server.shared.counters.failed
            peer.send(*(end(id) for id in range(1, CONNECTION_S_SHARE + 2)))
            answers = await peer.answers(*range(1, CONNECTION_S_SHARE + 2))
            assert [last.value for _, last in answers.values()] == [5, 5, 1]

    clock.run(main())


# -- slots -----------------------------------------------------------------------------------------------------------


def test_a_slot_is_not_free_while_its_thread_runs_although_a_hook_waits_no_longer() -> None:
    app = App(limits=Limits(max_open=2))
    gate = threading.Event()
    running = threading.Semaphore(0)

    @app.around
    async def hasty(call: Context, proceed: Proceed) -> object:
        if call.action != "stubborn":
            return await proceed()
        try:
            async with asyncio.timeout(0.02):
                return await proceed()
        except TimeoutError:
            if call.headers.get("x-falls-back"):
                return "something else"
            raise Refused("slow", "too slow") from None

    @app.action
    def stubborn() -> None:
        running.release()
        gate.wait(leaks.PATIENCE)

    async def main() -> None:
        async with served(app) as server, wires(server, 1) as (peer,):
            peer.send(opening(1, "stubborn"), opening(2, "stubborn", fields={"x-falls-back": True}))
            answers = await peer.answers(1, 2)  # its caller need not wait for the thread
            assert answers[1][1].value["error"]["code"] == "slow"
            assert answers[2][1].value == "something else"
            await asyncio.to_thread(running.acquire)
            await asyncio.to_thread(running.acquire)
            assert server.shared.counters.open_now == 2
            peer.send(opening(3, "letterhead.ping", value=3))
            assert (await peer.answer(3))[1].value["error"]["code"] == "too-many"
            gate.set()
            await leaks.until(lambda: server.shared.counters.open_now == 0)
            peer.send(opening(4, "letterhead.ping", value=4))
            assert (await peer.answer(4))[1].value == 4

    leaks.run(main())


def test_a_hook_that_gives_up_a_stream_in_a_thread_ends_the_thread() -> None:
    app = App()
    began, closed = threading.Event(), threading.Event()

    @app.around
    async def hasty(call: Context, proceed: Proceed) -> object:
        async def over(bound: asyncio.Timeout) -> None:
            await leaks.until(began.is_set)
            bound.reschedule(asyncio.get_running_loop().time())

        async with asyncio.timeout(None) as bound:
            ending = asyncio.ensure_future(over(bound))
            try:
                return await proceed()
            finally:
                ending.cancel()

    @app.action
    def endless() -> Iterator[bytes]:
        began.set()
        try:
            while True:
                yield bytes(10_000)
        finally:
            closed.set()

    async def main() -> None:
        async with served(app) as server, wires(server, 1) as (peer,):
            peer.forgets = True
            peer.send(opening(1, "endless"))
            await asyncio.to_thread(closed.wait, leaks.PATIENCE)
            assert closed.is_set()
            await leaks.until(lambda: server.shared.counters.open_now == 0)

    leaks.run(main())


def test_a_call_that_is_late_while_its_thread_runs_is_stopped_after_a_hook_gave_it_up_once() -> None:
    """A hook may try again: what it gave up still holds the slot, and what it waits for now is stopped."""
    app = App()
    gate = threading.Event()
    began: list[int] = []

    @app.around
    async def twice(call: Context, proceed: Proceed) -> object:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                return await proceed()
        return await proceed()

    @app.action
    def stubborn() -> None:
        began.append(1)
        while not current().cancelled:
            if gate.wait(0.005):
                return

    async def main() -> None:
        async with served(app) as server, client_to(server) as client:
            with pytest.raises(DeadlineExceeded):
                await client.call("stubborn", timeout=0.3)
            await leaks.until(lambda: server.shared.counters.open_now == 0)

    leaks.run(main())
    assert len(began) == 2


# -- threads by themselves -------------------------------------------------------------------------------------------


def test_threads_are_shared_fairly_between_owners() -> None:
    threads = Threads(1)
    gate = threading.Event()
    done: list[str] = []

    def note(name: str) -> bool:
        done.append(name)
        return True

    futures = [threads.submit("gate", gate.wait, leaks.PATIENCE)]
    futures += [threads.submit("many", note, f"many {n}") for n in range(5)]
    futures += [threads.submit("few", note, f"few {n}") for n in range(2)]
    gate.set()
    assert all(future.result(leaks.PATIENCE) for future in futures)
    threads.close()
    assert done.index("few 1") <= 4, done
    assert [one for one in done if "many" in one] == [f"many {n}" for n in range(5)]


def test_no_owner_gets_more_than_its_share_and_all_of_its_work_is_done() -> None:
    threads = Threads(6, share=2)
    lock = threading.Lock()
    running = most = 0

    def work() -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.001)
        with lock:
            running -= 1
        return True

    futures = [threads.submit("one", work) for _ in range(50)]
    cancelled = [future for future in futures[::3] if future.cancel()]
    assert all(future.result(leaks.PATIENCE) for future in futures if future not in cancelled)
    threads.close()
    assert most <= 2


def test_closed_threads_take_no_work() -> None:
    threads = Threads(2)
    assert threads.submit(None, lambda: 1).result(leaks.PATIENCE) == 1
    threads.close()
    with pytest.raises(RuntimeError, match="the server has ended"):
        threads.submit(None, lambda: 1)

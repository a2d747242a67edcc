"""How streams share the event loop: one of those that stand in line goes on in each turn."""

import asyncio
import contextvars
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from letterhead import App
from letterhead.app.turns import Turns
from tests.app.wire import opening, wire
from tests.conftest import Run
from tests.leaks import run, until
from tests.wire.frames import frame


class Clock:
    """Counts the turns of the running loop, while the block runs."""

    def __init__(self) -> None:
        self.turn = 0
        self.goes = True

    def __enter__(self) -> "Clock":
        self._tick()
        return self

    def __exit__(self, *_: object) -> None:
        self.goes = False

    def _tick(self) -> None:
        self.turn += 1
        if self.goes:
            asyncio.get_running_loop().call_soon(self._tick)


def test_one_goes_on_in_each_turn_in_the_order_in_which_they_asked() -> None:
    async def main() -> None:
        turns = Turns(asyncio.get_running_loop())
        went: list[tuple[str, int]] = []
        with Clock() as clock:

            def goes(name: str, again: int = 0) -> Callable[[], None]:
                def go_on() -> None:
                    went.append((name, clock.turn))
                    if again:
                        turns.ask(goes(name, again - 1))

                return go_on

            for name in "abc":
                turns.ask(goes(name, again=1))
            await until(lambda: len(went) == 6)
        assert [name for name, _ in went] == list("abcabc")
        assert len({turn for _, turn in went}) == 6
        assert not turns

    run(main())


def test_who_waits_no_longer_keeps_nobody_from_going_on() -> None:
    async def main() -> None:
        turns = Turns(asyncio.get_running_loop())
        first, second = (asyncio.ensure_future(turns.wait()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert first.cancelled()

    run(main())


def test_who_goes_on_does_so_in_nobodys_context() -> None:
    mark: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="unmarked")

    async def main() -> None:
        turns = Turns(asyncio.get_running_loop())
        mark.set("of a handler")
        seen: list[str] = []
        for _ in range(3):
            turns.ask(lambda: seen.append(mark.get()))
        await until(lambda: len(seen) == 3)
        assert seen == ["unmarked"] * 3

    run(main())


@pytest.mark.parametrize("kind", ["async", "inline"])
def test_many_streams_that_are_read_at_once_do_not_all_go_on_in_one_turn(run: Run, kind: str) -> None:
    many = 20
    made: Counter[tuple[int, int]] = Counter()  # items, by turn and stream

    async def main() -> None:
        app = App()
        clock = Clock()

        def endless(number: int) -> Iterator[bytes]:
            for content in itertools.repeat(bytes(1000)):
                made[clock.turn, number] += clock.goes
                yield content

        async def endlessly(number: int) -> AsyncIterator[bytes]:
            for content in endless(number):
                yield content

        app.action(name="async")(endlessly)
        app.action(name="inline", run="inline")(endless)
        async with wire(app) as client:
            client.forgets = True
            with clock:
                for number in range(1, many + 1):
                    client.send(opening(number, kind, number=number), frame({"id": number, "credit": 1 << 30}))
                await until(lambda: len({number for _, number in made}) == many and made.total() > many * 300)

    run(main())
    # One item or two may be made without a place in the line: the first, and that for which credit has come again.
    assert set(Counter(turn for (turn, _), count in made.items() if count > 2).values()) == {1}

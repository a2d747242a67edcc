"""What `@app.action` refuses, at once and with a reason; and that handlers stay what they were."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from letterhead import App, UsageError
from tests.app.calling import client_of
from tests.leaks import run


def double(number: int) -> int:
    """Twice as much."""
    return number * 2


def test_a_handler_stays_the_function_it_was() -> None:
    app = App()
    assert app.action(double) is double
    assert app.action(name="other")(double) is double
    assert double(2) == 4


def test_a_name_may_be_given_and_hold_anything() -> None:
    app = App()
    names = ["Wörter 🐶", "a.b/c", "search", "x" * 300]
    for name in names:
        app.action(name=name, run="inline")(double)

    async def main() -> None:
        async with client_of(app) as client:
            for name in names * 2:
                assert await client.call(name, 4) == 8

    run(main())


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


async def on_the_loop() -> None:
    return None


def variable(*numbers: int) -> None:
    return None


def keywords(**names: int) -> None:
    return None


def positional(number: int, /) -> None:
    return None


def unresolved(value: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
    return None


def file(value: io.BytesIO) -> None:
    return None


def function(value: Callable[[], int]) -> None:
    return None


def ambiguous(value: list[int] | set[int]) -> None:
    return None


def ordinary(value: int) -> None:
    return None


@pytest.mark.parametrize(
    ("handler", "options", "reason"),
    [
        (generator, {"run": "process"}, "streams"),
        (async_generator, {"run": "thread"}, "async"),
        (async_generator, {"run": "process"}, "async"),
        (on_the_loop, {"run": "thread"}, "async"),
        (on_the_loop, {"run": "inline"}, "async"),
        (on_the_loop, {"run": "process"}, "async"),
        (ordinary, {"run": "loop"}, "plain"),
        (ordinary, {"run": "fibre"}, "fibre"),
        (ordinary, {"name": "letterhead.mine"}, "reserved"),
        (variable, {}, "numbers"),
        (keywords, {}, "names"),
        (positional, {}, "number"),
        (unresolved, {}, "Nowhere"),
        (file, {}, "value"),
        (function, {}, "value"),
        (ambiguous, {}, "value"),
        (lambda: None, {"run": "process"}, "imported|name"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_entered(handler: Any, options: Any, reason: str) -> None:
    app = App()
    with pytest.raises(UsageError, match=reason):
        app.action(**options)(handler)
    assert app.actions == {}


def test_a_name_is_given_once() -> None:
    app = App()
    app.action(double)
    with pytest.raises(UsageError, match="double"):
        app.action(double)


def test_what_was_entered_before_the_server_started_is_answered() -> None:
    app = App()

    @app.on_start
    def enter_late() -> None:
        app.action(name="late")(double)

    async def main() -> None:
        async with client_of(app) as client:
            assert await client.call("late", 4) == 8
            assert await asyncio.gather(*(client.call("late", n) for n in range(5))) == [0, 2, 4, 6, 8]

    run(main())


def test_methods_and_callable_objects_are_handlers_too() -> None:
    class Counter:
        def __init__(self) -> None:
            self.count = 0

        async def add(self, by: int = 1) -> int:
            self.count += by
            return self.count

    app = App()
    counter = Counter()
    app.action(counter.add)

    async def main() -> None:
        async with client_of(app) as client:
            assert [await client.call("add"), await client.call("add", by=4)] == [1, 5]

    run(main())


def test_what_answers_whole_is_no_generator() -> None:
    app = App()
    for enter in (app.binary, app.classic("generator")):
        for handler in (generator, async_generator):
            with pytest.raises(UsageError, match="answers whole"):
                enter(handler)

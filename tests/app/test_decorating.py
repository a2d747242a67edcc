"""What `@app.action` refuses, at once and with a reason; and that handlers stay what they were."""

import asyncio
import io
import threading
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


def test_a_method_in_the_body_of_a_class_is_refused_with_what_to_write_instead() -> None:
    app = App()
    for what, enter in (
        ("action 'answer'", app.action),
        ("action 'named'", app.action(name="named")),
        ("the binary handler", app.binary),
        ("the classic form of 'a'", app.classic("a")),
        ("a start hook", app.on_start),
        ("a stop hook", app.on_stop),
        ("an around hook", app.around),
    ):
        with pytest.raises(
            UsageError, match=f"{what} is a method in the body of a class.*app.action\\(thing.answer\\)"
        ):

            class Thing:
                @enter
                async def answer(self, call: Any, proceed: Any) -> Any: ...

    with pytest.raises(UsageError, match="'many' is a method in the body of a class"):

        class Other:
            @app.action
            def many(self) -> Iterator[int]:
                yield 1

    with pytest.raises(UsageError, match="is a classmethod"):

        class Another:
            @app.action(name="of-the-class")
            @classmethod
            def of_the_class(cls) -> int:
                return 1

    assert not (app.actions or app.classic_forms or app.start_hooks or app.stop_hooks or app.around_hooks)


def test_what_only_looks_like_a_method_is_an_action() -> None:
    app = App()

    @app.action
    async def about(self: str) -> str:
        return self

    class Tools:
        @staticmethod
        @app.action
        async def below(number: int) -> int:
            return number

        @app.action
        @staticmethod
        async def above(number: int) -> int:
            return number

        @classmethod
        async def of_the_class(cls, number: int) -> int:
            return number

    app.action(Tools.of_the_class)

    async def main() -> None:
        async with client_of(app) as client:
            assert await client.call("about", self="me") == "me"
            assert [await client.call(name, 5) for name in ("below", "above", "of_the_class")] == [5] * 3

    run(main())


def test_run_outside_of_the_main_thread_says_what_to_write_instead() -> None:
    app = App()
    raised: list[BaseException] = []

    def serve() -> None:
        try:
            app.run("127.0.0.1:0")
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    (error,) = raised
    assert type(error) is UsageError
    assert "main thread" in str(error)
    assert "async with app.serve(" in str(error)

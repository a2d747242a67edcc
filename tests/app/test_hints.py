"""Type hints of handlers: what cannot be used is a UsageError when the handler is entered, whatever the hint raises."""

import dataclasses
import datetime as dt
import enum
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, ClassVar, Final, NamedTuple, NewType, Required, TypedDict

import msgspec
import pytest

from letterhead import App, InvalidArgument, UsageError
from letterhead.app.describe import describe
from letterhead.client.aio.client import AsyncClient
from letterhead.content.typed import TypeReader
from letterhead.message import Message
from tests.app.calling import client_of
from tests.leaks import run


@dataclasses.dataclass
class Misspelt:
    """A dataclass with a field whose type is not there."""

    at: "dt.Datetime"  # type: ignore[name-defined]


class MisspeltStruct(msgspec.Struct):
    """The same as a Struct."""

    at: "dt.Datetime"  # type: ignore[name-defined]


class MisspeltDict(TypedDict):
    """The same as a TypedDict."""

    at: "dt.Datetime"  # type: ignore[name-defined]


class MisspeltTuple(NamedTuple):
    """The same as a NamedTuple."""

    at: "dt.Datetime"  # type: ignore[name-defined]


class Mixed(enum.Enum):
    """An enum of two kinds."""

    ONE = 1
    TWO = "two"


Alias = NewType("Alias", Misspelt)

UNRESOLVED = [
    "dt.Datetime", "list[dt.Datetime]", list["dt.Datetime"], "Nowhere", "1/0", "[][1]", "{}['a']", "int[", "",  # type: ignore[name-defined]
    "__import__('nowhere')", "int | 'a'",
]  # fmt: skip
UNCHECKABLE = [
    Misspelt, MisspeltStruct, MisspeltDict, MisspeltTuple, Alias, Misspelt | None, list[Misspelt],
    dict[str, Misspelt], Annotated[Misspelt, "note"], Mixed, Final[int], Annotated[Final[int], "note"], Final,
    ClassVar[int], Required[int], 5, [int], "5", Callable[[int], str], str | bytes,
]  # fmt: skip


def taking(hint: Any) -> Callable[..., Any]:
    async def handler(value: Any) -> None: ...

    handler.__annotations__ = {"value": hint}
    return handler


def receiving(hint: Any) -> Callable[..., Any]:
    async def handler(value: Any) -> None: ...

    handler.__annotations__ = {"value": f"AsyncIterator[{hint}]" if isinstance(hint, str) else AsyncIterator[hint]}
    return handler


def giving(hint: Any) -> Callable[..., Any]:
    async def handler() -> Any: ...

    handler.__annotations__ = {"return": hint}
    return handler


def streaming(hint: Any) -> Callable[..., Any]:
    def handler() -> Any:
        yield 1

    handler.__annotations__ = {"return": f"Iterator[{hint}]" if isinstance(hint, str) else Iterator[hint]}
    return handler


@pytest.mark.parametrize("made", [taking, receiving, giving, streaming])
@pytest.mark.parametrize("hint", UNRESOLVED, ids=str)
def test_a_hint_that_cannot_be_evaluated_is_refused_wherever_it_stands(hint: Any, made: Any) -> None:
    app = App()
    with pytest.raises(UsageError, match="'handler': a type hint cannot be resolved") as refused:
        app.action(made(hint))
    assert app.actions == {}
    if hint == "dt.Datetime":
        assert "module 'datetime' has no attribute 'Datetime'" in str(refused.value)


@pytest.mark.parametrize("made", [taking, receiving])
@pytest.mark.parametrize("hint", UNCHECKABLE, ids=str)
def test_a_parameter_that_cannot_be_checked_is_refused(hint: Any, made: Any) -> None:
    app = App()
    with pytest.raises(UsageError, match="'handler': parameter 'value'"):
        app.action(made(hint))
    assert app.actions == {}


@pytest.mark.parametrize("made", [giving, streaming])
@pytest.mark.parametrize("hint", [hint for hint in UNCHECKABLE if not isinstance(hint, str)], ids=str)
def test_a_result_may_be_of_any_type_and_is_described(hint: Any, made: Any) -> None:
    app = App()
    app.action(made(hint))
    assert describe(app)["actions"]["handler"]["result"] in ({}, {"type": "integer"})


@pytest.mark.parametrize("hint", [Misspelt, MisspeltStruct, list[Misspelt], Mixed, 5], ids=str)
def test_what_a_caller_wants_back_is_refused_likewise(hint: Any) -> None:
    with pytest.raises(TypeError):
        TypeReader(hint)

    async def main() -> None:
        async with client_of(App()) as client:
            with pytest.raises(UsageError, match="'returns'"):
                await client.call("letterhead.ping", 1, returns=hint)

    run(main())


class Point(msgspec.Struct):
    """A value that has no hash."""

    x: int


@pytest.mark.parametrize(
    ("hint", "content"),
    [
        (set, b"[[]]"),
        (frozenset, b"[{}]"),
        (set[Any], b"[[1]]"),
        (set[Point], b'[{"x":1}]'),
        (set[tuple[list[int], ...]], b"[[[1]]]"),
        (set[bytearray], b'["YQ=="]'),
    ],
    ids=str,
)
def test_what_cannot_be_an_item_of_a_set_does_not_fit(
    hint: Any, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    app.action(taking(hint))
    packed = msgspec.msgpack.encode(msgspec.json.decode(content))

    async def asked(client: AsyncClient, content: bytes, kind: str) -> None:
        with pytest.raises(InvalidArgument) as refused:
            await client.send(Message(content, {"action": "handler", "content-type": kind}))
        assert refused.value.facts == {"argument": "value"}

    async def main() -> None:
        async with client_of(app) as client:
            await asked(client, content, "text/json")
            await asked(client, b'{"value":%b}' % content, "text/json")
            await asked(client, packed, "application/msgpack")

    run(main())
    assert caplog.records == []


def test_the_parameters_of_a_function_may_be_unknown() -> None:
    with pytest.raises(UsageError, match="parameters cannot be found out"):
        App().action(min)


# views, which cannot go to another process


@dataclasses.dataclass
class Holding:
    """A view among others."""

    name: str
    views: list[memoryview]


class Tree(msgspec.Struct):
    """A type that holds itself."""

    below: "list[Tree]"
    data: memoryview | None = None


class Leaves(msgspec.Struct):
    """A type that holds itself, without views."""

    below: "list[Leaves]"


def in_process(value: Any = None) -> Any: ...


@pytest.mark.parametrize("place", ["value", "return"])
@pytest.mark.parametrize(
    "hint",
    [memoryview, memoryview | None, list[memoryview], dict[str, tuple[memoryview, ...]], Annotated[memoryview, 1],
     Holding, Tree | None, list[Tree]],
    ids=str,
)  # fmt: skip
def test_a_view_is_refused_for_worker_processes(hint: Any, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "__annotations__", {place: hint})
    with pytest.raises(UsageError, match=r"memoryview.*annotate bytes"):
        App().action(run="process")(in_process)
    App().action(run="thread")(in_process)


@pytest.mark.parametrize("hint", [bytes, bytes | None, Leaves, Any, list[Point], dict[str, bytearray]], ids=str)
def test_what_holds_no_view_goes_to_worker_processes(hint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_process, "__annotations__", {"value": hint, "return": hint})
    App().action(run="process")(in_process)


# methods


def test_a_method_in_the_body_of_a_class_is_refused_with_the_remedy() -> None:
    app = App()
    for enter in (app.action, app.action(name="other"), app.binary, app.classic("search"), app.on_start, app.on_stop):
        with pytest.raises(UsageError, match=r"body of a class.*thing\.method.*staticmethod"):

            class Service:
                @enter
                def method(self, number: int = 0) -> int:
                    return number

    with pytest.raises(UsageError, match="body of a class"):

        class Around:
            @app.around  # type: ignore[type-var]
            async def method(self, call: Any, proceed: Any) -> Any:
                return await proceed()

    with pytest.raises(UsageError, match="classmethod"):

        class Factory:
            @app.action
            @classmethod
            def method(cls) -> None: ...

    assert app.actions == {}
    assert [*app.start_hooks, *app.stop_hooks, *app.around_hooks] == []


def test_methods_of_objects_and_static_ones_are_entered() -> None:
    app = App()

    class Service:
        def method(self, number: int) -> int:
            return number + 1

        @staticmethod
        @app.action
        def apart(number: int) -> int:
            return number + 2

    app.action(Service().method)

    async def main() -> None:
        async with client_of(app) as client:
            assert await client.call("method", 1) == 2
            assert await client.call("apart", number=1) == 3

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the statement came with 3.12")
def test_aliases_are_looked_through() -> None:
    namespace: dict[str, Any] = {"Misspelt": Misspelt}
    exec("type Good = list[int]\ntype Bad = list[Misspelt]\ntype Nowhere = Nothing", namespace)  # noqa: S102
    App().action(taking(namespace["Good"]))
    for name in ("Bad", "Nowhere"):
        with pytest.raises(UsageError, match="parameter 'value'"):
            App().action(taking(namespace[name]))

"""Arguments by type hints: what is converted, what is refused, and that the error names the argument."""

import datetime as dt
import enum
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional, TypedDict

import msgspec
import pytest

from letterhead import App, BadContent, InvalidArgument, UnknownAction
from tests.app.calling import client_of, in_both_forms, send_json
from tests.leaks import run

Width = NewType("Width", int)
INVALID = "invalid-argument"


class Colour(enum.Enum):
    """An enum by value."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """An enum of integers."""

    LOW = 1
    HIGH = 2


@dataclass
class Point:
    """A dataclass."""

    x: int
    y: int = 0


@dataclass
class Line:
    """A dataclass that holds others."""

    start: Point
    end: Point
    tags: list[str] = field(default_factory=list)


class Cat(msgspec.Struct, tag="cat"):
    """One of two in a union."""

    name: str


class Dog(msgspec.Struct, tag="dog"):
    """The other."""

    name: str
    age: int = 0


class Options(TypedDict, total=False):
    """A dict with known keys."""

    deep: bool


def seen(value: Any) -> str:
    """How a handler saw its argument."""
    return f"{type(value).__name__} {value}" if not isinstance(value, (Point, Line, Cat, Dog)) else repr(value)


def app_for(kind: Any) -> App:
    """An application whose action `f` takes one argument of this type."""
    app = App()

    async def f(value: Any) -> str:
        return seen(value)

    f.__annotations__["value"] = kind
    app.action(f)
    return app


FITS: list[tuple[Any, Any, str]] = [
    (int, 5, "int 5"),
    (float, 5, "float 5.0"),
    (bool, True, "bool True"),
    (str, "5", "str 5"),
    (bytes, "AQID", "bytes b'\\x01\\x02\\x03'"),
    (Any, {"a": 1}, "dict {'a': 1}"),
    (object, [1], "list [1]"),
    (list[int], [1, 2], "list [1, 2]"),
    (tuple[int, str], [1, "a"], "tuple (1, 'a')"),
    (set[int], [1, 1], "set {1}"),
    (frozenset[str], ["a"], "frozenset frozenset({'a'})"),
    (dict[str, int], {"a": 1}, "dict {'a': 1}"),
    (dict[int, str], {"1": "a"}, "dict {1: 'a'}"),
    (int | None, None, "NoneType None"),
    (Optional[Point], {"x": 1}, "Point(x=1, y=0)"),  # noqa: UP045  # the older spelling, which users write
    (int | str, "a", "str a"),
    (int | list[int], [1], "list [1]"),
    (Literal["up", "down"], "up", "str up"),
    (Colour, "red", "Colour Colour.RED"),
    (Level, 2, "Level 2"),
    (Point, {"x": 1, "y": 2}, "Point(x=1, y=2)"),
    (Line, {"start": {"x": 1}, "end": {"x": 2}}, "Line(start=Point(x=1, y=0), end=Point(x=2, y=0), tags=[])"),
    (list[Point], [{"x": 1}], "list [Point(x=1, y=0)]"),
    (Cat | Dog, {"type": "dog", "name": "Rex"}, "Dog(name='Rex', age=0)"),
    (Options, {"deep": True}, "dict {'deep': True}"),
    (dt.datetime, "2024-02-29T12:00:00Z", "datetime 2024-02-29 12:00:00+00:00"),
    (dt.date, "2024-02-29", "date 2024-02-29"),
    (dt.time, "12:30:00", "time 12:30:00"),
    (dt.timedelta, "PT90S", "timedelta 0:01:30"),
    (uuid.UUID, "12345678-1234-5678-1234-567812345678", "UUID 12345678-1234-5678-1234-567812345678"),
    (Decimal, "1.50", "Decimal 1.50"),
    (Width, 3, "int 3"),
    (Annotated[int, msgspec.Meta(ge=1, le=9)], 9, "int 9"),
    (Annotated[str, msgspec.Meta(pattern="^[a-z]+$", max_length=3)], "abc", "str abc"),
]

DOES_NOT_FIT: list[tuple[Any, Any]] = [
    (int, "5"),
    (int, 5.5),
    (int, True),
    (bool, 1),
    (str, 5),
    (float, "1"),
    (bytes, "not base64!"),
    (int, None),
    (list[int], [1, "a"]),
    (list[int], 5),
    (tuple[int, str], [1]),
    (dict[str, int], {"a": "b"}),
    (dict[int, str], {"a": "b"}),
    (int | str, []),
    (Literal["up", "down"], "left"),
    (Colour, "green"),
    (Level, 3),
    (Point, {"y": 2}),
    (Point, {"x": "1"}),
    (Line, {"start": {"x": 1}, "end": {"x": None}}),
    (Cat | Dog, {"type": "cow", "name": "Rex"}),
    (dt.datetime, "yesterday"),
    (dt.date, "2023-02-29"),
    (uuid.UUID, "1234"),
    (Annotated[int, msgspec.Meta(ge=1, le=9)], 10),
    (Annotated[str, msgspec.Meta(pattern="^[a-z]+$")], "ABC"),
    (Annotated[list[int], msgspec.Meta(max_length=2)], [1, 2, 3]),
]


@pytest.mark.parametrize(("kind", "value", "as_seen"), FITS, ids=lambda item: str(item)[:40])
def test_a_value_becomes_what_the_hint_says(kind: Any, value: Any, as_seen: str) -> None:
    assert run(in_both_forms(app_for(kind), "f", value=value)) == as_seen


@pytest.mark.parametrize(("kind", "value"), DOES_NOT_FIT, ids=lambda item: str(item)[:40])
def test_a_value_that_does_not_fit_is_refused_by_its_name(kind: Any, value: Any) -> None:
    assert run(in_both_forms(app_for(kind), "f", value=value)) == (INVALID, "value")


def pair_app() -> App:
    app = App()

    @app.action
    async def pair(first: int, second: int = 2, *, third: Point | None = None) -> list[Any]:
        return [first, second, third and third.x]

    @app.action
    async def none() -> str:
        return "called"

    @app.action
    async def untyped(value, other=7):  # type: ignore[no-untyped-def]
        return [value, other]

    return app


def test_defaults_stand_where_nothing_is_given() -> None:
    assert run(in_both_forms(pair_app(), "pair", first=1)) == [1, 2, None]
    assert run(in_both_forms(pair_app(), "pair", first=1, third={"x": 5})) == [1, 2, 5]


def test_a_single_argument_is_the_first_one() -> None:
    assert run(in_both_forms(pair_app(), "pair", 5)) == [5, 2, None]


def test_without_hints_anything_goes() -> None:
    assert run(in_both_forms(pair_app(), "untyped", value=[None])) == [[None], 7]
    assert run(in_both_forms(pair_app(), "untyped", "x")) == ["x", 7]


@pytest.mark.parametrize(
    ("arg", "args", "named"),
    [
        ((), {}, "first"),
        ((), {"second": 3}, "first"),
        ((), {"first": 1, "fourth": 3}, "fourth"),
        ((), {"first": 1, "second": None}, "second"),
        ((), {"first": 1, "third": {"y": 1}}, "third"),
        (("x",), {}, "first"),
        (([1],), {}, "first"),
    ],
)
def test_the_error_names_the_argument(arg: tuple[Any, ...], args: dict[str, Any], named: str) -> None:
    assert run(in_both_forms(pair_app(), "pair", *arg, **args)) == (INVALID, named)


def test_an_action_without_parameters_takes_nothing() -> None:
    assert run(in_both_forms(pair_app(), "none")) == "called"
    assert run(in_both_forms(pair_app(), "none", value=1)) == (INVALID, "value")
    assert run(in_both_forms(pair_app(), "none", 1)) == (INVALID, None)


def test_messages_say_what_is_wrong_in_words() -> None:
    async def main() -> None:
        async with client_of(pair_app()) as client:
            for call, words in (
                (client.call("pair"), "pair needs the argument 'first'"),
                (
                    client.call("pair", first=1, fourth=2),
                    "pair has no argument 'fourth'; it takes first, second, third",
                ),
                (client.call("none", x=1), "none has no argument 'x'; it takes no arguments"),
                (client.call("pair", first="1"), "argument 'first': Expected `int`, got `str`"),
                (client.call("pair", first=1, third={"x": []}), r"argument 'third'.*\$.x"),
            ):
                with pytest.raises(InvalidArgument, match=words):
                    await call
            with pytest.raises(UnknownAction, match="invalid action 'dance'"):
                await client.call("dance")

    run(main())


def test_a_name_from_the_peer_is_shown_shortened_and_escaped() -> None:
    arguments: dict[str, Any] = {"first": 1, "\x1b[31m" + "x" * 5000: 1}

    async def main() -> None:
        async with client_of(pair_app()) as client:
            with pytest.raises(InvalidArgument) as caught:
                await client.call("pair", **arguments)
            assert "\x1b" not in str(caught.value)
            assert len(str(caught.value)) < 300

    run(main())


def test_bytes_arrive_as_the_single_argument() -> None:
    app = App()

    @app.action
    async def f(data: bytes, scale: int = 1) -> int:
        return len(data) * scale

    @app.action
    async def g(number: int) -> int:
        return number

    assert run(in_both_forms(app, "f", b"12345")) == 5
    assert run(in_both_forms(app, "g", b"12345")) == (INVALID, "number")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"value": 1} x',
        b'{"value": NaN}',
        b'{"value": "\xff"}',
        b'{"value": "\\ud800"}',
        b'{"value": {"x": 1, "unknown": "\xff"}}',
        b'{"value": {"x": 1, "unknown": "\\ud800"}}',
        b'{"value": {"x": 1, "unknown": ' + b"[" * 100 + b"]" * 100 + b"}}",
        b'{"value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda content: content[:30].decode("latin-1"),
)
@pytest.mark.parametrize("kind", [Any, Point], ids=["any", "dataclass"])
def test_content_that_is_no_strict_json_is_bad_content(kind: Any, content: bytes) -> None:
    async def main() -> None:
        async with client_of(app_for(kind)) as client:
            with pytest.raises(BadContent):
                await send_json(client, "f", content)
            assert await client.call("letterhead.ping", 1) == 1, "the connection was kept"

    run(main())


def test_of_a_key_that_stands_twice_the_last_one_counts() -> None:
    async def main() -> None:
        async with client_of(app_for(int)) as client:
            reply = await send_json(client, "f", b'{"value": 1, "value": "no", "value": 2}')
            assert bytes(reply.content) == b'"int 2"'
            with pytest.raises(InvalidArgument):
                await send_json(client, "f", b'{"value": 1, "value": "no"}')

    run(main())


def test_arguments_may_come_in_any_listed_encoding() -> None:
    async def main() -> None:
        async with client_of(app_for(str)) as client:
            for encoding in ("utf-16", "utf-16-be", "utf-32-le", "UTF-8", "utf8"):
                content = '{"value": "ä🐶"}'.encode(encoding)
                reply = await send_json(client, "f", content, **{"content-encoding": encoding})
                assert bytes(reply.content).decode() == '"str ä🐶"'
            latin = '{"value": "ä"}'.encode("iso-8859-1")
            reply = await send_json(client, "f", latin, **{"content-encoding": "ISO-8859-1"})
            assert bytes(reply.content).decode() == '"str ä"'
            for encoding in ("zlib", "rot13", "utf-7", "nonsense"):
                with pytest.raises(BadContent):
                    await send_json(client, "f", b'{"value": "a"}', **{"content-encoding": encoding})

    run(main())

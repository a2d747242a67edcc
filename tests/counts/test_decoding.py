"""How often the arguments of a request are decoded: once, wherever they stand, and whether they fit or not."""

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import pytest

from letterhead import App, InvalidArgument, Message
from tests.app.calling import client_of
from tests.leaks import run

ROWS = 50_000
EMPTIES = b"[" + b",".join([b"[]"] * ROWS) + b"]"
SMALL = 1 << 20


@dataclass
class Row:
    """A row that counts how many were made."""

    x: int
    made: ClassVar[int] = 0

    def __post_init__(self) -> None:
        Row.made += 1


async def whole(rows: Any = None) -> int:
    return len(rows)


async def typed(rows: list[Row]) -> int:
    return len(rows)


async def beside(rows: list[Row], last: int) -> int:
    return len(rows) + last


APP = App()
for handler in (whole, typed, beside):
    APP.action(handler)


def in_classic_form(action: str, arguments: bytes) -> Message:
    return Message(b'{"action":"%b","value":%b}' % (action.encode(), arguments), {"content-type": "text/json"})


def by_name(action: str, arguments: bytes) -> Message:
    return Message(arguments, {"action": action, "content-type": "text/json"})


FORMS = pytest.mark.parametrize("form", [in_classic_form, by_name])
PLACES = pytest.mark.parametrize("place", [b"%b", b'{"rows":%b}'], ids=["unnamed", "named"])


@FORMS
@PLACES
def test_a_value_is_made_of_arguments_once(form: Callable[[str, bytes], Message], place: bytes) -> None:
    message = form("whole", place % EMPTIES)

    async def main() -> int:
        async with client_of(APP) as client:
            await client.send(form("whole", place % b"[]"))
            tracemalloc.start()
            try:
                assert str(ROWS) in bytes((await client.send(message)).content).decode()
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    tracemalloc.start()
    try:
        value = msgspec.json.decode(EMPTIES)
        once = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(value) == ROWS
    assert once < run(main()) < 1.5 * once + SMALL


@FORMS
@pytest.mark.parametrize(
    ("action", "arguments", "named"),
    [
        ("typed", b"%b", None),
        ("typed", b'{"rows":%b}', None),
        ("typed", b'{"rows":%b,"more":1}', "more"),
        ("beside", b'{"rows":%b,"last":1}', None),
        ("beside", b'{"rows":%b,"last":"1"}', "last"),
        ("beside", b'{"rows":%b}', "last"),
    ],
)
def test_of_each_part_one_object_is_made(
    form: Callable[[str, bytes], Message], action: str, arguments: bytes, named: str | None
) -> None:
    _, made = answered(form(action, arguments % json.dumps([{"x": n} for n in range(100)]).encode()), named)
    assert made == (0 if named in ("more", "last") and b'"1"' not in arguments else 100)


@FORMS
@PLACES
def test_what_precedes_a_misfit_is_made_once(form: Callable[[str, bytes], Message], place: bytes) -> None:
    rows = json.dumps([*({"x": n} for n in range(100)), {"x": "100"}]).encode()
    words, made = answered(form("typed", place % rows), "rows")
    assert r"$[100].x" in words
    assert made == 100


def answered(message: Message, named: str | None) -> tuple[str, int]:
    """What the answer says, and how many rows were made; ``named`` is the argument that is refused, or None."""

    async def main() -> tuple[str, int]:
        async with client_of(APP) as client:
            before = Row.made
            try:
                reply = await client.send(message)
            except InvalidArgument as error:
                assert error.facts["argument"] == named
                return str(error), Row.made - before
            assert named is None
            return bytes(reply.content).decode(), Row.made - before

    return run(main())

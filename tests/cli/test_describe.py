"""`letterhead describe`, and how a JSON Schema is shown as a type."""

import enum
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
import pytest

import letterhead as library
from letterhead.cli.signatures import Action, choices, signature, type_of
from letterhead.testing.background import running
from tests.classic import server as classic_server
from tests.cli.application import HARM, OBEYED
from tests.cli.shell import failure, letterhead, on_terminal


class Kind(enum.Enum):
    """Kinds."""

    A = "a"
    B = "b"


@dataclass
class Order:
    """An order."""

    number: int
    kind: Kind = Kind.A


@pytest.fixture
def address() -> Iterator[str]:
    app = library.App("shop")

    @app.action
    async def find(number: int, kind: Kind = Kind.A, until: date | None = None) -> list[Order]:
        """Find an order.

        It may not be there.
        """
        return []

    @app.action
    async def bare(anything):  # type: ignore[no-untyped-def]
        return anything

    with running(app, "127.0.0.1:0") as served:
        yield served.server.addresses[0]


@pytest.mark.smoke
def test_actions_are_listed_as_signatures_with_the_first_lines_of_their_docstrings(address: str) -> None:
    done = letterhead("describe", address)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(
        f"shop at {address}, protocol version 1\n"
        "\n"
        "bare(anything: any)\n"
        "\n"
        'find(number: int, kind: Kind = "a", until: date | None = null) -> list[Order]\n'
        "    Find an order.\n"
    )
    assert "\n    content-bytes         16,777,216\n" in done.out


def test_of_one_action_all_is_told(address: str) -> None:
    out = letterhead("describe", address, "find").out
    head, _, rest = out.partition("\n\nparameters\n")
    assert head.splitlines()[1:] == ["", "    Find an order.", "", "    It may not be there."]
    parameters, _, rest = rest.partition("\n\nresult\n")
    assert json.loads(parameters)["properties"]["number"] == {"type": "integer"}
    result, _, defs = rest.partition("\n\n$defs, which those refer to\n")
    assert json.loads(result) == {"type": "array", "items": {"$ref": "#/$defs/Order"}}
    assert set(json.loads(defs)) == {"Kind", "Order"}


def test_of_an_idempotent_action_that_is_said(address: str) -> None:
    assert (
        "\nidempotent: running it twice does the same as running it once\n"
        in letterhead("describe", address, "letterhead.ping").out
    )
    assert "idempotent" not in letterhead("describe", address, "find").out


def test_json_is_what_the_server_says(address: str) -> None:
    with library.Client(address) as client:
        said = client.call("letterhead.describe")
    assert json.loads(letterhead("describe", address, "--json").out) == said
    assert json.loads(letterhead("describe", address, "find", "--json").out) == said["actions"]["find"]


def test_names_are_bold_on_a_terminal(address: str) -> None:
    out = on_terminal("describe", address).out
    assert "\x1b[1mfind\x1b[0m(number: int" in out
    assert "\x1b" not in on_terminal("describe", address, NO_COLOR="1").out


def test_an_unknown_action_is_told_with_the_one_that_was_meant(address: str) -> None:
    status, line = failure("describe", address, "fnd")
    assert status == 1
    assert "(unknown-action): there is no action 'fnd'; did you mean 'find'?" in line


def test_a_classic_server_describes_nothing() -> None:
    with classic_server.running() as (host, port):
        status, line = failure("describe", f"{host}:{port}")
    assert status == 1
    assert "is no Letterhead server, or a classic one: it has no letterhead.describe" in line


def test_what_a_server_says_of_itself_cannot_command_the_terminal() -> None:
    app = library.App(HARM)

    @app.action
    async def harm(value: str = HARM) -> None: ...

    action = app.actions.pop("harm")
    app.actions[HARM] = type(action)(HARM, action.function, action.run, action.parameters, HARM)
    with running(app, "127.0.0.1:0") as served:
        place = served.server.addresses[0]
        for words in ([], [HARM.replace("\r", "")]):
            done = letterhead("describe", place, *words)
            assert not [character for character in OBEYED if character in done.out + done.err]


def test_a_server_that_is_down_is_told(nobody: str) -> None:
    assert failure("describe", nobody)[0] == 1


# Types.


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (Any, "any"),
        (str, "str"),
        (bytes, "bytes"),
        (bool, "bool"),
        (None, "None"),
        (float | None, "float | None"),
        (list, "list"),
        (list[list[int]], "list[list[int]]"),
        (tuple[int, str], "tuple[int, str]"),
        (tuple[int, ...], "list[int]"),
        (dict, "dict"),
        (dict[str, list[bool]], "dict[str, list[bool]]"),
        (date, "date"),
        (Kind, "Kind"),
        (Order | None, "Order | None"),
    ],
)
def test_a_schema_is_shown_as_the_type_that_it_was_made_of(kind: Any, shown: str) -> None:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    assert type_of(schema) == shown


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        (None, "any"),
        ([], "any"),
        (True, "any"),
        ({"type": 3}, "any"),
        ({"type": ["string", "null", 3]}, "str | None | any"),
        ({"type": "unheard-of"}, "any"),
        ({"$ref": 3}, "any"),
        ({"anyOf": []}, "any"),
        ({"anyOf": 3, "type": "string"}, "str"),
        ({"enum": ["a", 1, None]}, '"a" | 1 | null'),
        ({"const": "a"}, '"a"'),
        ({"contentMediaType": "binary/ndarray", "dtype": "float64"}, "ndarray[float64]"),
        ({"contentMediaType": "binary/ndarray", "dtype": 5}, "ndarray"),
        ({"anyOf": [{"contentMediaType": "binary/ndarray"}, {"type": "null"}]}, "ndarray | None"),
        ({"contentMediaType": 5}, "any"),
        ({"oneOf": [{"type": "string"}, {"type": "string"}]}, "str"),
        ({"type": "string", "format": "unheard-of"}, "str"),
    ],
)
def test_a_schema_may_be_anything(schema: Any, shown: str) -> None:
    assert type_of(schema) == shown


def test_a_schema_that_nests_without_end_is_cut() -> None:
    schema: dict[str, Any] = {}
    for _ in range(60):
        schema = {"type": "array", "items": schema or {"type": "array"}}
    assert type_of(schema) == "list[" * 17 + "any" + "]" * 17


def test_schemas_that_refer_to_each_other_in_circles_are_followed_once() -> None:
    circle = {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "boolean"}, {"$ref": "#/$defs/B"}, {"$ref": "#/$defs/A"}]}
    assert choices(circle, {"A": circle, "B": circle}) == ["true", "false"]
    assert choices({"$ref": "#/$defs/none"}, {}) == []


@pytest.fixture
def streaming() -> Iterator[str]:
    app = library.App("streams")

    @app.action
    async def convert(orders: AsyncIterator[Order], limit: int = 3) -> AsyncIterator[Order]:
        """Convert orders."""
        async for order in orders:
            yield order

    @app.action
    def untyped():  # type: ignore[no-untyped-def]
        yield 1

    with running(app, "127.0.0.1:0") as served:
        yield served.server.addresses[0]


def test_streams_are_shown_as_such(streaming: str) -> None:
    done = letterhead("describe", streaming)
    assert "\nconvert(orders: stream[Order], limit: int = 3) -> stream[Order]\n" in done.out
    assert "\nuntyped() -> stream[any]\n" in done.out
    done = letterhead("describe", streaming, "convert")
    assert (done.status, done.err) == (0, "")
    assert "\nupload: the argument that is a stream, and each of its items\n" in done.out
    assert "\nresult: each item of the stream\n" in done.out
    assert '"argument": "orders"' in done.out
    told = json.loads(letterhead("describe", streaming, "convert", "--json").out)
    assert (told["stream"], told["upload"]["argument"]) == (True, "orders")


def test_a_default_that_is_not_told_is_shown_as_one() -> None:
    action = msgspec.convert({"parameters": {"properties": {"a": {}, "b": True}, "required": ["b"]}}, Action)
    assert signature("do", action) == "do(a: any = …, b: any)"

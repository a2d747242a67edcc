"""`letterhead.ping`, `letterhead.describe`, `letterhead.health`."""

import asyncio
import enum
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest

from letterhead import App, Context, InvalidArgument, Limits, Message, decode
from letterhead.app.actions import Proceed
from tests import leaks
from tests.app.calling import client_of, client_to, in_both_forms, served


class Kind(enum.Enum):
    """Kinds."""

    A = "a"
    B = "b"


@dataclass
class Order:
    """An order."""

    number: int
    kind: Kind = Kind.A


def shop() -> App:
    app = App("shop", limits=Limits(max_open=7, content_bytes=5000))

    @app.action
    async def find(number: Annotated[int, msgspec.Meta(ge=1)], deep: bool = False) -> Order | None:
        """Find an order.

        It may not be there.
        """
        return Order(number)

    @app.action(name="put-away", run="inline")
    def put_away(orders: list[Order]) -> int:
        return len(orders)

    @app.action
    def undescribed(anything, more=1):  # type: ignore[no-untyped-def]
        return anything

    return app


async def described(app: App) -> dict[str, Any]:
    async with client_of(app) as client:
        told: dict[str, Any] = await client.call("letterhead.describe")
        assert await client.call("letterhead.describe") == told
        return told


def test_describe_tells_name_version_and_limits() -> None:
    told = leaks.run(described(shop()))
    assert (told["name"], told["protocol"]) == ("shop", 1)
    assert told["limits"]["max-open"] == 7
    assert told["limits"]["content-bytes"] == 5000


def test_describe_tells_every_action_with_its_schemas() -> None:
    told = leaks.run(described(shop()))["actions"]
    assert set(told) == {
        "find", "put-away", "undescribed", "letterhead.ping", "letterhead.describe", "letterhead.health",
    }  # fmt: skip
    find = told["find"]
    assert find["doc"].startswith("Find an order.")
    assert find["parameters"]["properties"]["number"] == {"type": "integer", "minimum": 1}
    assert find["parameters"]["properties"]["deep"] == {"type": "boolean", "default": False}
    assert find["parameters"]["required"] == ["number"]
    assert find["parameters"]["additionalProperties"] is False
    assert {"$ref": "#/$defs/Order"} in find["result"]["anyOf"]
    assert find["$defs"]["Order"]["required"] == ["number"]
    assert find["$defs"]["Kind"]["enum"] == ["a", "b"]
    put_away = told["put-away"]
    assert put_away["parameters"]["properties"]["orders"]["items"] == {"$ref": "#/$defs/Order"}
    assert put_away["result"] == {"type": "integer"}
    undescribed = told["undescribed"]
    assert (undescribed["doc"], undescribed["result"]) == ("", {})
    assert undescribed["parameters"]["required"] == ["anything"]
    for action in told.values():
        assert action["stream"] is False
        assert isinstance(action["content-types"], list)


def test_streams_are_described_by_their_items() -> None:
    app = App()

    @app.action
    async def convert(orders: AsyncIterator[Order], limit: int = 3) -> AsyncIterator[Order]:
        async for order in orders:
            yield order

    @app.action
    def numbers(orders: Iterator[Order], texts: list[str]) -> Iterator[int]:
        yield 1

    @app.action
    def untyped():  # type: ignore[no-untyped-def]
        yield 1

    @app.action
    async def total(rows: AsyncIterator[int]) -> int:
        return 0

    actions = leaks.run(described(app))["actions"]
    order = {"$ref": "#/$defs/Order"}
    convert_told, numbers_told = actions["convert"], actions["numbers"]
    assert (convert_told["stream"], convert_told["result"]) == (True, order)
    assert convert_told["upload"] == {"argument": "orders", "item": order}
    assert convert_told["parameters"]["properties"] == {"limit": {"type": "integer", "default": 3}}
    assert convert_told["$defs"]["Order"]["title"] == "Order"
    assert (numbers_told["stream"], numbers_told["result"]) == (True, {"type": "integer"})
    assert (list(numbers_told["parameters"]["properties"]), numbers_told["upload"]["argument"]) == (["texts"], "orders")
    assert (actions["untyped"]["stream"], actions["untyped"]["result"]) == (True, {})
    assert "upload" not in actions["untyped"]
    assert (actions["total"]["stream"], actions["total"]["upload"]["item"]) == (False, {"type": "integer"})


def test_a_default_that_json_cannot_say_is_left_out() -> None:
    app = App()
    looped: list[Any] = []
    looped.append(looped)
    first = Order(1)
    nested = json.loads("[" * 20 + "]" * 20)

    @app.action
    async def draw(
        kind: Kind = Kind.A, order: Order | None = first, low: float = float("-inf"), name: str = "a" * 2000,
        deep: Any = nested, loop: Any = looped, raw: bytes = b"x",
    ) -> None: ...  # fmt: skip

    properties = leaks.run(described(app))["actions"]["draw"]["parameters"]["properties"]
    defaults = {name: schema["default"] for name, schema in properties.items() if "default" in schema}
    assert defaults == {"kind": "a", "order": {"number": 1, "kind": "a"}, "raw": "eA=="}


@pytest.mark.smoke
def test_ping_returns_its_argument() -> None:
    app = App()
    for value in (None, 1, "🐶", [1, {"a": None}], 1.5, b"\x00\xff", b""):
        assert leaks.run(in_both_forms(app, "letterhead.ping", value)) == value
    assert leaks.run(in_both_forms(app, "letterhead.ping")) is None
    assert leaks.run(in_both_forms(app, "letterhead.ping", value={"a": 1})) == {"a": 1}


def test_the_servers_own_actions_do_not_take_what_they_do_not_know() -> None:
    async def main() -> None:
        async with client_of(App()) as client:
            with pytest.raises(InvalidArgument):
                await client.call("letterhead.ping", other=1)

    leaks.run(main())


def test_health_counts_connections_requests_and_bytes() -> None:
    app = App()
    gate = asyncio.Event()

    @app.action
    async def wait() -> None:
        await gate.wait()

    async def main() -> None:
        async with served(app) as server, client_to(server) as client, client_to(server) as other:
            for _ in range(3):
                await other.call("letterhead.ping", "x" * 1000)
            waiting = asyncio.ensure_future(client.call("wait"))
            await leaks.until(lambda: server.shared.counters.open_now == 1)
            told = await other.call("letterhead.health")
            assert told["status"] == "ok"
            assert (told["connections"]["now"], told["connections"]["accepted"]) == (2, 2)
            assert told["requests"]["open"] == 2
            assert told["requests"]["served"] == 3
            assert told["bytes"]["received"] > 3000 < told["bytes"]["sent"]
            gate.set()
            await waiting
            await client.close()
            await leaks.until(lambda: len(server.shared.connections) == 1)
            told = await other.call("letterhead.health")
            assert (told["connections"]["now"], told["requests"]["open"], told["requests"]["served"]) == (1, 1, 5)

    leaks.run(main())


def test_an_action_may_be_declared_idempotent() -> None:
    app = App()

    @app.action(idempotent=True)
    async def price(article: str) -> float:
        return 1.0

    @app.action
    async def order(article: str) -> None: ...

    async def main() -> None:
        async with client_of(app) as client:
            actions = (await client.call("letterhead.describe"))["actions"]
            told = {name: action["idempotent"] for name, action in actions.items()}
            own = dict.fromkeys(("letterhead.describe", "letterhead.health", "letterhead.ping"), True)
            assert told == {"order": False, "price": True, **own}

    leaks.run(main())


def test_what_idles_breaks_off_or_misbehaves_is_counted() -> None:
    async def main() -> None:
        app = App(limits=Limits(idle_seconds=0.02, linger_quiet_seconds=0.02))
        async with served(app) as server:
            async with client_to(server) as client:
                await client.call("letterhead.ping")
                await leaks.until(lambda: not server.shared.connections)
            counted = server.shared.counters.as_dict()["connections"]
            assert (counted["idled"], counted["lost"], counted["misbehaved"]) == (1, 0, 0)

    leaks.run(main())


def test_a_description_is_made_once_and_anew_when_an_action_was_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    app = shop()
    schemas = msgspec.json.schema_components
    made: list[int] = []

    def counted(types: Any, **options: Any) -> Any:
        made.append(1)
        return schemas(types, **options)

    monkeypatch.setattr(msgspec.json, "schema_components", counted)

    async def main() -> None:
        async with client_of(app) as client:
            first = await client.call("letterhead.describe")
            count = len(made)
            assert count == len(app.actions)
            for _ in range(5):
                assert await client.call("letterhead.describe") == first
            assert len(made) == count

            @app.action
            async def added(number: int) -> int:
                return number

            described = await client.call("letterhead.describe")
            assert described["actions"].pop("added")["parameters"]["required"] == ["number"]
            assert described == first
            del app.actions["added"]
            assert await client.call("letterhead.describe") == first

    leaks.run(main())


def test_what_one_call_does_to_a_description_is_seen_by_no_other() -> None:
    app = shop()

    @app.around
    async def hides(call: Context, proceed: Proceed) -> Any:
        result = await proceed()
        if call.headers.get("x-hides"):
            result["actions"].clear()
        return result

    async def main() -> None:
        async with client_of(app) as client:
            await client.call("letterhead.ping")
            hiding = Message(b"{}", {"action": "letterhead.describe", "content-type": "text/json", "x-hides": True})
            assert decode(await client.send(hiding))["actions"] == {}
            assert "find" in (await client.call("letterhead.describe"))["actions"]

    leaks.run(main())

"""``Client`` and ``AsyncClient`` are one interface: the same public names, taking the same arguments."""

import inspect
from typing import Any

import pytest

from letterhead import AsyncClient, AsyncStream, Client, Stream
from letterhead.client.settings import Settings

PAIRS = [(Client, AsyncClient), (Stream, AsyncStream)]
NAMES = {"close": "aclose"}
"""What a stream calls otherwise: ``aclose`` is what async iterators have."""


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def test_both_clients_have_the_same_public_names() -> None:
    assert public(Client) == public(AsyncClient) == {"call", "close", "counters", "either", "send", "state", "stream"}


def test_both_streams_have_the_same_public_names() -> None:
    assert {NAMES.get(name, name) for name in public(Stream)} == public(AsyncStream) == {"aclose", "single"}


def test_instances_show_no_more_than_their_classes() -> None:
    for made in (Client("127.0.0.1:1"), AsyncClient("127.0.0.1:1")):
        assert not [name for name in vars(made) if not name.startswith("_")]


@pytest.mark.parametrize("name", ["__init__", "call", "close", "either", "send", "stream"])
def test_both_clients_take_the_same_arguments(name: str) -> None:
    assert parameters(getattr(Client, name)) == parameters(getattr(AsyncClient, name))


@pytest.mark.parametrize("name", ["counters", "state"])
def test_properties_are_properties_of_both(name: str) -> None:
    for cls in (Client, AsyncClient):
        assert isinstance(getattr(cls, name), property)


def test_what_waits_is_what_is_async() -> None:
    waits = {name for name in public(AsyncClient) if inspect.iscoroutinefunction(getattr(AsyncClient, name))}
    assert waits == {"call", "close", "send"}
    assert not any(inspect.iscoroutinefunction(getattr(Client, name)) for name in public(Client))


def test_every_setting_is_an_argument_of_both() -> None:
    taken = {name for name, _, _ in parameters(Client)} - {"address", "connector"}
    kept = set(Settings.__dataclass_fields__) - {"servers", "asks"}
    assert taken - {"accept"} == kept

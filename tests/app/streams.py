"""An application whose actions stream, each in every kind there is, and what became of them."""

import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from letterhead import App, Refused

each_kind = pytest.mark.parametrize("kind", ["async", "thread", "inline"])


class Scene:
    """The application, and its handlers' account.

    Attributes:
        app: it has the actions ``KIND-values``, ``KIND-failing`` and ``KIND-endless`` of each kind.
        made: how many items ``endless`` has made.
        opened, closed: the threads in which each ``endless`` began and ended.
    """

    def __init__(self, **options: Any) -> None:
        self.app = App("streams", **options)
        self.made = 0
        self.opened: list[int] = []
        self.closed: list[int] = []
        for name, generator in (("values", _values), ("failing", _failing), ("endless", self._endless)):
            self.app.action(name=f"thread-{name}")(generator)
            self.app.action(name=f"inline-{name}", run="inline")(generator)
        self.app.action(name="async-values")(_async_values)
        self.app.action(name="async-failing")(_async_failing)
        self.app.action(name="async-endless")(self._async_endless)

    def _endless(self, size: int = 0) -> Iterator[Any]:
        self.opened.append(threading.get_ident())
        try:
            for number in itertools.count():
                self.made += 1
                yield bytes(size) if size else number
        finally:
            self.closed.append(threading.get_ident())

    async def _async_endless(self, size: int = 0) -> AsyncIterator[Any]:
        self.opened.append(threading.get_ident())
        try:
            for number in itertools.count():
                self.made += 1
                yield bytes(size) if size else number
        finally:
            self.closed.append(threading.get_ident())


def _values(values: list[Any]) -> Iterator[Any]:
    yield from values


async def _async_values(values: list[Any]) -> AsyncIterator[Any]:
    for value in values:
        yield value


def _failing(values: list[Any], refuses: bool) -> Iterator[Any]:
    yield from values
    if refuses:
        raise Refused("sold-out", "nothing is left", count=0)
    raise KeyError("a secret")


async def _async_failing(values: list[Any], refuses: bool) -> AsyncIterator[Any]:
    for value in _failing(values, refuses):
        yield value

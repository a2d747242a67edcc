"""A server for the commands that call one."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from letterhead.testing.background import running
from tests.cli import application


class Everything(NamedTuple):
    """A running server of `application.make()`."""

    address: str
    slow: application.Slow


@pytest.fixture
def server() -> Iterator[Everything]:
    app, slow = application.make()
    with running(app, "127.0.0.1:0") as served:
        yield Everything(served.server.addresses[0], slow)


@pytest.fixture
def nobody() -> str:
    """An address of loopback where nothing listens."""
    # Ports below 1024 are not given out by the system; nobody who runs tests listens at this one.
    return "127.0.0.1:1"

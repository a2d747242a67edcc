"""Servers with real sockets for the tests of this folder, and the look at what they left behind."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

import pytest

from letterhead.testing.background import Served, running
from tests import leaks

Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread and no descriptor outlives a test here."""
    with leaks.nothing_left():
        yield


@pytest.fixture(params=list(leaks.LOOPS))
def serve(request: pytest.FixtureRequest) -> Serve:
    """`serve(app, *addresses)`: a server in a thread, once on asyncio's loop and once on uvloop."""
    return partial(running, loop_factory=leaks.LOOPS[request.param])

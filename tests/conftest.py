"""Fixtures for the rooms that run servers and clients. Nothing here is automatic."""

from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests import leaks

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=list(leaks.LOOPS))
def run(request: pytest.FixtureRequest) -> Run:
    """`run(coroutine)`, once on asyncio's loop and once on uvloop; see `tests.leaks.run`."""
    return partial(leaks.run, loop=request.param)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room in the 107 bytes that the path of a Unix socket has."""
    with TemporaryDirectory(prefix="letterhead-") as folder:
        yield Path(folder)

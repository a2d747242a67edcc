"""The pairs, and the look at what a claim left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import leaks
from tests.contract.scene import KINDS, PIPES, Pair

PAIRS = [(kind, pipe, loop) for kind in KINDS for pipe in PIPES for loop in leaks.LOOPS]


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, short_path: Path) -> Pair:
    """Client × pipe × event loop."""
    kind, pipe, loop = request.param
    return Pair(kind, pipe, loop, short_path)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread and no descriptor outlives a test here."""
    with leaks.nothing_left():
        yield

"""What a test of this folder must not leave behind."""

from collections.abc import Iterator

import pytest

from tests import leaks


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread and no descriptor outlives a test here."""
    with leaks.nothing_left():
        yield

"""What the tests of this folder share: servers in threads, a scheme of their own, and the look at what is left."""

import sys

import pytest

from tests.net.conftest import nothing_left as nothing_left
from tests.net.conftest import serve as serve
from tests.transport import greeting


@pytest.fixture
def greeting_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """`greeting://` is a scheme while the test runs, as if its file were among the others."""
    monkeypatch.setitem(sys.modules, "letterhead.transport.schemes.greeting", greeting)

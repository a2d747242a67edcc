"""Fixtures for the rooms that run servers and clients. All that is automatic is where caches lie, and Ctrl-C."""

import signal
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import leaks

# A slow machine is no failure: Hypothesis would take an example of more than 200 ms for one.
settings.register_profile("letterhead", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("letterhead")

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def pytest_configure() -> None:
    """Let Ctrl-C end the tests and all that they start, also where they run as a background job of a script.

    Such a job begins with SIGINT ignored, and every program that it starts inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_users() -> Iterator[None]:
    """Programs that tests start keep their caches in a folder that ends with the tests."""
    with TemporaryDirectory(prefix="letterhead-cache-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", folder)
        yield


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=list(leaks.LOOPS))
def run(request: pytest.FixtureRequest) -> Run:
    """`run(coroutine)`, once on asyncio's loop and once on uvloop; see `tests.leaks.run`."""
    return partial(leaks.run, loop=request.param)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room in the 107 bytes that the path of a Unix socket has."""
    with TemporaryDirectory(prefix="letterhead-") as folder:
        yield Path(folder)

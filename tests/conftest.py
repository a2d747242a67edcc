"""Fixtures for the folders that run servers and clients. All that is automatic is where caches lie, and Ctrl-C."""

import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests import leaks

# A slow machine is no failure: Hypothesis would take an example of more than 200 ms for one.
settings.register_profile("letterhead", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("letterhead")

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def pytest_configure(config: pytest.Config) -> None:
    """Let signals end what the tests start, also where they run as a background job of a script, or under nohup.

    Such a job begins with SIGINT or SIGHUP ignored, and every program that it starts inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    only_distributes = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN and not only_distributes:
        signal.signal(signal.SIGHUP, lambda *_: None)  # still without effect here, and not inherited


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option for what `make shuffled` does."""
    parser.addoption("--shuffle", type=int, metavar="SEED", help="run the tests in an order of chance, this one")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests into the order that was asked for: the same in each process of a run."""
    seed: int | None = config.getoption("--shuffle")
    if seed is not None:
        Random(seed).shuffle(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many processes `-n auto` starts: more than there are processors, since half of the tests mostly wait."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return available + (available + 1) // 2


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

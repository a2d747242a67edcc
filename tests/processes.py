"""Processes that tests start."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T", str, bytes)


@contextmanager
def ended(process: subprocess.Popen[T]) -> Iterator[subprocess.Popen[T]]:
    """A process for a block, after which it has ended: a test that fails leaves nothing behind."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def ignoring(*numbers: signal.Signals) -> Callable[[], None]:
    """For ``preexec_fn``: the process begins with signals ignored, as SIGINT is in a background job of a script."""

    def ignore() -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)

    return ignore

"""``run="process"``: worker processes of which one can be killed without harming the others.

``concurrent.futures.ProcessPoolExecutor`` breaks as a whole when one worker dies, so this uses ``pebble`` (the extra
``letterhead[process]``). Workers are spawned, never forked: a fork would copy sockets, locks and the event loop. They
import the handler by its module's name.
"""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from letterhead.app.context import CURRENT, Context
from letterhead.errors import UsageError


class Processes:
    """Worker processes, started at the first job."""

    def __init__(self, count: int | None) -> None:
        self._pool: Any
        try:
            import pebble
        except ImportError:
            raise UsageError(
                "run='process' needs the package pebble: install letterhead with its extra, letterhead[process]"
            ) from None
        self._pool = pebble.ProcessPool(
            max_workers=count or os.cpu_count() or 1, context=multiprocessing.get_context("spawn")
        )

    def submit(self, function: Callable[..., Any], arguments: dict[str, Any], context: Context) -> "Future[Any]":
        """Run it in a worker; cancelling the future kills the worker if it has begun."""
        future: Future[Any] = self._pool.schedule(_call, args=[function, arguments, context])
        return future

    def close(self) -> None:
        """Kill what is running and end the workers."""
        self._pool.stop()
        self._pool.join()


def _call(function: Callable[..., Any], arguments: dict[str, Any], context: Context) -> Any:
    CURRENT.set(context)
    return function(**arguments)

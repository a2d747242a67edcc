"""``in_steps``: how long each step of a coroutine holds the event loop.

A step is what runs between two waits. While one runs, nothing else on the loop does.

What the coroutine is for is not known here, nor what is done about a step that took long.
"""

import time
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")

BLOCKING_SECONDS = 0.1
"""A step of this length is reported: at ten of them a second the loop does nothing else."""


@types.coroutine
def in_steps(coroutine: Coroutine[Any, Any, T], report: Callable[[float], None]) -> Generator[Any, None, T]:
    """Await a coroutine; each step of it that takes ``BLOCKING_SECONDS`` or more is reported, with its seconds.

    It goes by the system's clock: what blocks the loop takes real time.
    """
    thrown: BaseException | None = None
    while True:
        began = time.monotonic()
        try:
            waits_for = coroutine.send(None) if thrown is None else coroutine.throw(thrown)
        except StopIteration as ended:
            result: T = ended.value
            return result
        finally:
            thrown = None  # an error knows this frame: neither would be freed before the collector comes
            seconds = time.monotonic() - began
            if seconds >= BLOCKING_SECONDS:
                report(seconds)
        try:
            yield waits_for
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as error:
            thrown = error
        finally:
            del waits_for  # it may hold a result as large as they come

"""What a test must not leave behind: tasks, timers, threads, descriptors, exceptions that nobody saw.

`run` is how tests run coroutines: a fresh loop, on which nothing may be left when the coroutine has returned.
`nothing_left` looks at the process around a block: threads and descriptors.
"""

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
PATIENCE = 20.0
"""Seconds after which a test that waits for something gives up: never a time that a passing test takes."""
_DESCRIPTORS = Path("/proc/self/fd")


def run(main: Coroutine[Any, Any, T], loop: str = "asyncio") -> T:
    """Run a coroutine on a loop of its own, and see that it left nothing on it.

    On asyncio's loop that includes timers; uvloop does not show its own.
    """
    unseen: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: unseen.append(context))
        result = runner.run(_then_look_around(main))
    gc.collect()  # an exception that nobody retrieved is reported when its task or future is collected
    assert not unseen, f"reported to the loop's exception handler: {unseen}"
    return result


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until the condition holds; an error if it never does."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  # conditions on what has no event, such as a counter
            await asyncio.sleep(0)


async def _then_look_around(main: Coroutine[Any, Any, T]) -> T:
    result = await main
    loop = asyncio.get_running_loop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:  # what was cancelled may need a few turns to end
        _, others = await asyncio.wait(others, timeout=PATIENCE)
    assert not others, f"tasks left: {others}"
    timers = [timer for timer in getattr(loop, "_scheduled", []) if not timer.cancelled()]
    assert not timers, f"timers left: {timers}"
    return result


@contextmanager
def nothing_left() -> Iterator[None]:
    """After the block there are the threads and descriptors that were there before, and no others."""
    _keep_what_the_process_keeps()
    gc.collect()
    threads = set(threading.enumerate())
    descriptors = _descriptors()
    yield
    new = set(threading.enumerate()) - threads
    left = [thread for thread in new if not _ends(thread)]
    assert not left, f"threads left: {left}"
    gc.collect()
    opened = {number: what for number, what in _descriptors().items() if descriptors.get(number) != what}
    assert not opened, f"descriptors left: {opened}"


def _ends(thread: threading.Thread) -> bool:
    """Whether a thread ends soon, as an executor's do when they are told to; it may be only just beginning."""
    until = time.monotonic() + PATIENCE
    while thread in threading.enumerate():
        if time.monotonic() > until:
            return False
        try:
            thread.join(PATIENCE)
        except RuntimeError:  # its start was interrupted, and it has not begun
            time.sleep(0.001)
    return True


@cache
def _keep_what_the_process_keeps() -> None:
    """Once: what is here already is nobody's leak, and need not be looked through again and again."""
    uvloop.new_event_loop().close()  # libuv opens a pipe for signals with a process's first loop, and keeps it
    gc.collect()
    gc.freeze()


def _descriptors() -> dict[str, str]:
    found = {}
    for entry in _DESCRIPTORS.iterdir():
        try:
            found[entry.name] = str(entry.readlink())
        except FileNotFoundError:
            continue  # the one that lists them
    return found

"""SIGINT in the main thread: what is done without its handler, and a lock that is waited for with it."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import pytest

from letterhead.transport.sigint import wait_by, without_sigint


@pytest.fixture
def noted() -> Iterator[list[str]]:
    """What happened, in order: the program's handler of SIGINT notes it."""
    happened: list[str] = []

    def handler(number: int, frame: FrameType | None) -> None:
        assert number == signal.SIGINT
        assert frame is not None
        happened.append("handler")

    before = signal.signal(signal.SIGINT, handler)
    yield happened
    assert signal.getsignal(signal.SIGINT) is handler, "the program's own stands there again"
    signal.signal(signal.SIGINT, before)


def interrupted(noted: list[str], error: Exception | None = None) -> int:
    """Is interrupted three times in its midst."""
    for _ in range(3):
        signal.raise_signal(signal.SIGINT)
        noted.append("went on")
    if error is not None:
        raise error
    return 7


def test_the_handler_is_called_behind_it_once(noted: list[str]) -> None:
    assert without_sigint(interrupted, noted) == 7
    assert noted == ["went on"] * 3 + ["handler"]
    assert without_sigint(lambda: 8) == 8
    assert len(noted) == 4
    signal.raise_signal(signal.SIGINT)
    assert noted[4:] == ["handler"]


def test_it_is_called_also_where_the_function_raises(noted: list[str]) -> None:
    with pytest.raises(LookupError):
        without_sigint(interrupted, noted, error=LookupError())
    assert noted == ["went on"] * 3 + ["handler"]


def test_what_the_handler_raises_comes_out_behind_the_function() -> None:
    noted: list[str] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            without_sigint(interrupted, noted)
        assert noted == ["went on"] * 3
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("theirs", [signal.SIG_IGN, signal.SIG_DFL])
def test_where_no_function_is_called_for_it_nothing_is_changed(theirs: signal.Handlers) -> None:
    before = signal.signal(signal.SIGINT, theirs)
    try:
        assert without_sigint(signal.getsignal, signal.SIGINT) is theirs
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_that_the_function_sets_stays(noted: list[str]) -> None:
    def own(*_: object) -> None:
        noted.append("own")

    before = signal.getsignal(signal.SIGINT)
    without_sigint(signal.signal, signal.SIGINT, own)
    assert signal.getsignal(signal.SIGINT) is own
    signal.signal(signal.SIGINT, before)


def test_one_that_was_left_behind_hands_the_signal_on_and_goes(noted: list[str]) -> None:
    """Another signal's handler has raised in the moment in which the program's was to be set again."""
    left: list[Any] = []
    without_sigint(lambda: left.append(signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, left[0])
    without_sigint(lambda: noted.append("another"))
    assert noted == ["another"]
    signal.signal(signal.SIGINT, left[0])
    signal.raise_signal(signal.SIGINT)
    assert noted == ["another", "handler"]


def test_in_another_thread_the_function_is_called_all_the_same(noted: list[str]) -> None:
    """Handlers are the main thread's to set, and called nowhere else."""
    results: list[int] = []
    call: Callable[[], None] = lambda: results.append(without_sigint(lambda: 9))  # noqa: E731
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert results == [9]


@pytest.mark.parametrize("where", ["in the main thread", "in another"])
@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.7])
def test_a_lock_is_waited_for_as_long_as_was_said(where: str, seconds: float) -> None:
    """Also where that is longer than the main thread waits at once."""
    results: list[tuple[bool, float]] = []

    def wait() -> None:
        began = time.monotonic()
        results.append((wait_by(partial(taken.acquire, True), seconds), time.monotonic() - began))

    taken = threading.Lock()
    taken.acquire()
    if where == "in another":
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    else:
        wait()
    [(acquired, waited)] = results
    assert not acquired
    assert waited >= seconds - 0.01


def test_a_lock_that_is_released_late_is_acquired() -> None:
    taken = threading.Lock()
    taken.acquire()
    release = threading.Timer(0.7, taken.release)
    release.start()
    assert wait_by(partial(taken.acquire, True))
    assert not taken.acquire(blocking=False)
    release.join()
    taken.release()
    assert wait_by(partial(taken.acquire, True), 0.0)

"""Ctrl-C in the main thread: ``without_sigint`` lets it cut nothing in two; by ``at_most`` no wait misses it.

Python calls signal handlers in the main thread, between any two instructions, and what the handler of SIGINT raises
comes out there. While the function runs another handler stands in its place, which only notes that the signal came;
the program's own is called behind it. To exchange the two and back costs two calls of the system.

Handlers of other signals are the program's own affair: what they raise comes out wherever it comes.

The system may give a signal to any thread that does not block it, and does so while the main thread starts another
one. Python then only notes it, and the main thread looks when it runs next, which may be never if it waits without an
end. So it wakes twice a second wherever it waits.
"""

import math
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

try:  # without the enums that ``signal`` turns numbers into and back, which takes ten times as long
    import _signal as fast  # type: ignore[import-not-found]
except ImportError:
    fast = signal
_get: Callable[[int], Any] = fast.getsignal
_set: Callable[[int, Any], Any] = fast.signal
_SIGINT = int(signal.SIGINT)
_LOOK_SECONDS = 0.5
"""For so long the main thread waits before it looks what signals other threads took."""


class _Held:
    """Stands in the place of the program's handler, and notes that the signal came."""

    __slots__ = ("came", "theirs")

    def __init__(self, theirs: Callable[[int, FrameType | None], Any]) -> None:
        self.theirs = theirs
        self.came = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        at = frame
        while at is not None:
            if at.f_code is without_sigint.__code__:
                self.came = True
                return
            at = at.f_back
        # Another signal's handler raised in the moment in which the two were exchanged, so this one was left here.
        _set(_SIGINT, self.theirs)
        self.theirs(number, frame)


def without_sigint(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function in the main thread. The handler of SIGINT is called behind it, if that comes meanwhile.

    Raises:
        BaseException: what the function raises, or else what that handler does.
    """
    theirs = _get(_SIGINT)
    if isinstance(theirs, _Held):
        theirs = theirs.theirs
    if not callable(theirs):  # ignored, the system's own, or not Python's
        return function(*args, **kwargs)
    held = _Held(theirs)
    try:
        _set(_SIGINT, held)
    except ValueError:  # the main thread of a subinterpreter, which gets no signals
        return function(*args, **kwargs)
    try:
        return function(*args, **kwargs)
    finally:
        if _get(_SIGINT) is held:
            _set(_SIGINT, theirs)
        if held.came:
            theirs(_SIGINT, sys._getframe())


def at_most(seconds: float) -> float:
    """So many seconds, or as many of them as this thread may wait before it runs again."""
    return min(seconds, _LOOK_SECONDS) if threading.get_ident() == threading.main_thread().ident else seconds


def wait_by(wait: Callable[[float], object], seconds: float = math.inf) -> bool:
    """Wait in any thread, for so many seconds at most; whether what was waited for came.

    Args:
        wait: waits for so many seconds, and returns what is true if it came.
        seconds: 0.0 and more.

    Raises:
        BaseException: in the main thread, what a signal's handler does, also where another thread took the signal.
    """
    while True:
        once = min(at_most(seconds), threading.TIMEOUT_MAX)
        if wait(once):
            return True
        seconds -= once
        if seconds <= 0:
            return False

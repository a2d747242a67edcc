"""``without_collecting``: makes a large value while the garbage collector rests.

A decoder makes containers, and no garbage. The collector would look through all of them again and again meanwhile, with
the interpreter lock held, so that every other thread waits for it: of 4 MiB of JSON that is 1.4 million empty lists it
takes three quarters of the time.

What the value is, and who wants it, is not known here.
"""

import gc
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MUCH = 64 * 1024
"""Bytes of content. What is made of fewer makes the collector look only once or twice."""


def without_collecting(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that makes much and drops nothing. A collector that the program has turned off stays so.

    While it rests no other thread makes garbage that matters, since the function keeps the interpreter lock. Where it
    calls foreign code that lets others run, the worst is that a collection comes later.
    """
    if not gc.isenabled():
        return function(*args, **kwargs)
    gc.disable()
    try:
        return function(*args, **kwargs)
    finally:
        gc.enable()

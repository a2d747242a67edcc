"""The hooks of an application: called around its time as a server, and around every call.

When a server starts and stops is not known here, nor what hooks do.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any


async def run_hooks(hooks: Sequence[Callable[[], Any]]) -> None:
    """Call start hooks, one after the other; the first that raises is the last that is called."""
    for hook in hooks:
        result = hook()
        if isinstance(result, Awaitable):
            await result


async def run_stop_hooks(hooks: Sequence[Callable[[], Any]]) -> None:
    """Call stop hooks, one after the other, each of them whatever the others do.

    Raises:
        BaseException: the one that a hook raised.
        BaseExceptionGroup: those that several raised; an ExceptionGroup where all are of class Exception.
    """
    errors: list[BaseException] = []
    for hook in hooks:
        try:
            await run_hooks([hook])
        except BaseException as error:  # also SystemExit, and the cancellation of something that a hook waited for
            errors.append(error)
    try:
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup(f"{len(errors)} stop hooks failed", errors)
    finally:
        errors.clear()  # they know this frame: neither would be freed before the collector comes


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives an awaitable: an ``async def``, also under decorators, or an object called like one."""
    plain = inspect.unwrap(function)
    call = getattr(plain, "__call__", None)  # noqa: B004  # not whether it can be called, but how
    return inspect.iscoroutinefunction(plain) or inspect.iscoroutinefunction(call)

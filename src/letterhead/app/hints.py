"""What the type hints of a handler say: whether its result or one of its parameters is a stream, and what is a view.

A result streams where the handler is a generator, or where its return type says so: ``AsyncIterator``,
``AsyncGenerator`` and ``AsyncIterable``, which nothing whole can be, ``Iterator`` and ``Generator``. ``Iterable`` and
``Sequence`` are no sign: a list is one of each. The sign is for handlers that are generators under a decorator.

A parameter receives a stream where it is an ``AsyncIterator`` or ``Iterator``, exactly: what a handler is given can be
read once, from its front, and cannot be sent anything.

A hint is foreign code: text that is evaluated, and classes whose own hints are. Whatever it raises becomes a
``UsageError``.

What such a handler may be, and where it runs, is decided by whoever enters it (``app.py``).

Nothing is called here, and no value is looked at: hints alone.
"""

import inspect
import typing
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import Annotated, Any, NamedTuple

import msgspec

from letterhead.errors import UsageError


class Streamed(NamedTuple):
    """A stream: of what, and whether it is read with ``async for``."""

    item: Any
    is_async: bool


_NEVER_WHOLE = (AsyncIterator, AsyncGenerator, AsyncIterable, Iterator, Generator)
_ALIKE = {AsyncIterable: AsyncIterator, AsyncGenerator: AsyncIterator, Iterable: Iterator, Generator: Iterator}


def hints_of(function: Callable[..., Any], what: str) -> dict[str, Any]:
    """The type hints of a handler, those that are text evaluated; its result's is ``return``.

    Raises:
        UsageError: one of them cannot be evaluated.
    """
    try:
        return typing.get_type_hints(function, include_extras=True)
    except Exception as error:
        raise UsageError(f"{what}: a type hint cannot be resolved: {told(error)}") from None


def parameters_of(function: Callable[..., Any], what: str) -> list[inspect.Parameter]:
    """The parameters of a handler, in order.

    Raises:
        UsageError: they are not known, as of some functions that are written in C.
    """
    try:
        return list(inspect.signature(function).parameters.values())
    except Exception as error:
        raise UsageError(f"{what}: its parameters cannot be found out: {told(error)}") from None


def told(error: Exception) -> str:
    """What a type hint raised, in one sentence."""
    return str(error) if isinstance(error, (TypeError, NameError)) else f"{type(error).__name__}: {error}"


def is_final(hint: Any) -> bool:
    """Whether a hint is ``Final[…]``; ``Annotated`` is looked through."""
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    return typing.get_origin(hint) is typing.Final


def holds_view(hint: Any) -> bool:
    """Whether what has this type may be or hold a ``memoryview``, which cannot be sent to another process."""
    try:
        pending: list[Any] = [msgspec.inspect.type_info(hint)]
    except Exception:  # a result may be of any type; which parameters may not is checked elsewhere
        return hint is memoryview
    seen: list[msgspec.Struct] = []  # types that hold themselves
    while pending:
        part = pending.pop()
        if isinstance(part, msgspec.inspect.MemoryViewType):
            return True
        if isinstance(part, tuple):
            pending.extend(part)
        elif isinstance(part, (msgspec.inspect.Type, msgspec.inspect.Field)) and not any(part is one for one in seen):
            seen.append(part)
            pending.extend(getattr(part, name) for name in part.__struct_fields__)
    return False


def streamed_result(function: Callable[..., Any], hint: Any) -> Streamed | None:
    """What a handler's results are a stream of; None where a result is one value.

    Args:
        function: the handler.
        hint: its return type; Any where it has none.
    """
    origin, item = _parts(hint)
    if inspect.isasyncgenfunction(function):
        return Streamed(item if origin in (AsyncIterator, AsyncGenerator, AsyncIterable) else Any, True)
    if inspect.isgeneratorfunction(function):
        return Streamed(item if origin in (Iterator, Generator, Iterable) else Any, False)
    if origin in _NEVER_WHOLE:
        return Streamed(item, issubclass(origin, AsyncIterable))
    return None


def streamed_parameter(hint: Any, what: str) -> Streamed | None:
    """What a parameter is a stream of; None where it is one value.

    Raises:
        UsageError: it is nearly one.
    """
    origin, item = _parts(hint)
    if origin in (AsyncIterator, Iterator):
        return Streamed(item, origin is AsyncIterator)
    if origin in _ALIKE:
        meant = _ALIKE[origin].__name__
        raise UsageError(
            f"{what} is an {origin.__name__}: write {meant}[…] for a stream, list[…] for a value that comes whole"
            if origin is Iterable
            else f"{what} is a kind of stream that cannot be received: write {meant}[…]"
        )
    if _holds_stream(hint):
        raise UsageError(
            f"{what} has a stream inside of another type: a stream is the whole parameter, and always there"
        )
    return None


def _holds_stream(hint: Any) -> bool:
    """Whether one of the types that a hint is made of is a stream."""
    return any(_parts(part)[0] in _NEVER_WHOLE or _holds_stream(part) for part in typing.get_args(hint))


def _parts(hint: Any) -> tuple[Any, Any]:
    """A hint's generic type and its first argument, Any where it has none; ``Annotated`` is looked through."""
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    origin = typing.get_origin(hint) or hint
    arguments = typing.get_args(hint)
    return (origin, arguments[0] if arguments else Any) if isinstance(origin, type) else (None, Any)

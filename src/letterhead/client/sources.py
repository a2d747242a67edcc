"""Which argument of a call is a stream: what has no form on the wire as a whole, but gives its items one by one.

Generators, other iterators, ``range``, open files (their lines), async generators are streams. What JSON can say whole
is none, and neither is a container whose contents are at fault (a list with a NaN in it), nor what holds bytes, as
arrays do.

It is asked only once encoding has failed: plain calls pay nothing for it.
"""

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

from letterhead.errors import UsageError

Source = Iterable[Any] | AsyncIterable[Any]
"""What an upload takes its items from."""

_WHOLE = (str, bytes, bytearray, memoryview, list, tuple, set, frozenset, Mapping, type)


def is_stream(value: Any) -> bool:
    """Whether a value that could not be encoded gives items to stream."""
    if isinstance(value, _WHOLE) or not isinstance(value, (Iterable, AsyncIterable)):
        return False
    try:
        memoryview(value).release()  # type: ignore[arg-type]  # whether it can is the question
    except TypeError:
        return True
    except (ValueError, BufferError):  # a buffer all the same, whose items memoryview cannot say
        return False
    return False


def split(action: str, arg: tuple[Any, ...], args: Mapping[str, Any]) -> tuple[Source, dict[str, Any]] | None:
    """The stream among the arguments of a call, and the other arguments; None where there is none.

    Args:
        action: the action's name, for a message.
        arg: the single unnamed argument, or nothing.
        args: named ones.

    Raises:
        UsageError: there is more than one.
    """
    if arg:
        return (arg[0], {}) if is_stream(arg[0]) else None
    names = [name for name, value in args.items() if is_stream(value)]
    if not names:
        return None
    if len(names) > 1:
        found = " and ".join(f"'{name}'" for name in names[:2])
        raise UsageError(f"a call can stream one argument; of those of {action!r}, {found} are streams")
    rest = {name: value for name, value in args.items() if name != names[0]}
    return args[names[0]], rest

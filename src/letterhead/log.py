"""Events worth a log line: one sentence for people, and fields for programs.

A record carries its fields as attributes, as ``extra=`` of the standard library sets them: ``record.event`` is the
event's name, a short stable word, and the rest is named as in ``docs/events.md``. Formatters that write JSON pick them
up by themselves.

What comes from a peer is quoted by whoever says it, shortened and escaped.

Handlers, filters and formatters belong to the program: what they raise never reaches the code that has something to
say, which has other things to finish.
"""

import contextlib
import logging
import sys
import traceback
from typing import Any

_TAKEN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_reported = False


def say(
    log: logging.Logger,
    level: int,
    event: str,
    sentence: str,
    *args: Any,
    exc_info: BaseException | None = None,
    **fields: Any,
) -> None:
    """Log one event. Nothing that a handler, filter or formatter raises comes out of here, save KeyboardInterrupt.

    The first time that one raises, its traceback is written to standard error, unless ``logging.raiseExceptions`` is
    False, as the standard library does where a handler fails.

    Args:
        log: where.
        level: as for ``logging``.
        event: its name, lower-case words joined by hyphens.
        sentence: what a person reads, with ``%s`` for each of ``args``.
        exc_info: the error whose traceback belongs to it.
        fields: what a program reads. None is left out.

    Raises:
        ValueError: a field has a name that log records use themselves.
    """
    taken = _TAKEN.intersection(fields)
    if taken:
        raise ValueError(f"a log record has a {min(taken)!r} already")
    try:
        if log.isEnabledFor(level):
            told = {name: value for name, value in fields.items() if value is not None}
            log.log(level, sentence, *args, exc_info=exc_info, extra={"event": event, **told}, stacklevel=2)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also what a handler should never raise, such as SystemExit
        _report(event, error)


def _report(event: str, error: BaseException) -> None:
    """Tell on standard error that an event could not be logged, the first time that this happens."""
    global _reported
    if _reported or not logging.raiseExceptions:
        return
    _reported = True
    with contextlib.suppress(Exception):  # standard error may be closed, or the error be one that cannot be printed
        sys.stderr.write(
            f"letterhead: the event {event!r} was not logged, since a log handler, filter or formatter raised an error "
            f"(said once; see logging.raiseExceptions):\n{''.join(traceback.format_exception(error))}"
        )

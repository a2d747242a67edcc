"""Events worth a log line: one sentence for people, and fields for programs.

A record carries its fields as attributes, as ``extra=`` of the standard library sets them: ``record.event`` is the
event's name, a short stable word, and the rest is named as in ``docs/events.md``. Formatters that write JSON pick them
up by themselves.

What comes from a peer is quoted by whoever says it, shortened and escaped.
"""

import logging
from typing import Any

_TAKEN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def say(
    log: logging.Logger,
    level: int,
    event: str,
    sentence: str,
    *args: Any,
    exc_info: BaseException | None = None,
    **fields: Any,
) -> None:
    """Log one event.

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
    if not log.isEnabledFor(level):
        return
    taken = _TAKEN.intersection(fields)
    if taken:
        raise ValueError(f"a log record has a {min(taken)!r} already")
    told = {name: value for name, value in fields.items() if value is not None}
    log.log(level, sentence, *args, exc_info=exc_info, extra={"event": event, **told}, stacklevel=2)

"""What the commands that call a server share: a client, and one line for whatever goes wrong with it.

This file and the commands that use it import no event loop, no SQLite and no rich: they should start at once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from letterhead.errors import ConnectionFailed, LetterheadError, UsageError
from letterhead.net.client import Client

F = TypeVar("F", bound=Callable[..., Any])

_DESCRIBE = "'letterhead call {address} letterhead.describe'"
_WHAT_NEXT = {
    "bad-content": "is this the server that you meant?",
    "connect-timed-out": "is the address right, and does a firewall let you through?",
    "connection-failed": "is the address right?",
    "connection-lost": "the server may have done it all the same",
    "foreign-protocol": "is the port right?",
    "invalid-argument": f"{_DESCRIBE} shows what there is to pass",
    "no-reply": "is it a Letterhead server?",
    "rejected": "try again in a moment",
    "too-many": "try again in a moment",
    "unavailable": "try again in a moment",
    "unknown-action": f"{_DESCRIBE} lists what there is",
}


class Failed(click.ClickException):
    """What was asked for failed; the sentence says what, where, and what to do next."""

    exit_code = 1


def timeout_option(seconds: float) -> Callable[[F], F]:
    """The option ``--timeout`` with its default."""
    return click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=seconds,
        show_default=True,
        metavar="S",
        help="Give up after S seconds; the server is told so, too.",
    )


@contextmanager
def calling(address: str, action: str, timeout: float) -> Iterator[Client]:
    """A client of the server at ``address``.

    Raises:
        Failed: what was done with it failed.
        UsageError: the address is not written as one, or the call cannot be right.
    """
    try:
        with Client(address, timeout=timeout) as client:
            yield client
    except UsageError:
        raise
    except LetterheadError as error:
        raise Failed(_told(error, address, action)) from None


def _told(error: LetterheadError, address: str, action: str) -> str:
    what = error.message.rstrip(".")
    if not isinstance(error, ConnectionFailed):
        what = f"{action} at {address} failed ({error.code}): {what}"
    next_step = _WHAT_NEXT.get(error.code, "").format(address=address)
    if error.code == "deadline-exceeded" and error.message.startswith("no answer"):
        next_step = "a longer --timeout waits longer"  # an application's own deadline says itself what helps
    return f"{what}; {next_step}" if next_step else what

"""What commands that call a server share: their options, a client, and one line for whatever goes wrong with it.

This module and the commands that use it import no event loop, no SQLite and no rich: they should start at once.
"""

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import click

from letterhead.cli.failing import Failed
from letterhead.client.blocking.client import Client
from letterhead.errors import BadContent, ConnectionFailed, InvalidArgument, LetterheadError, UsageError

_DESCRIBE = "'letterhead describe {address}'"
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


class Seconds(click.FloatRange):
    """A time in seconds; NaN and infinity, which Python reads as numbers, are none."""

    name = "number of seconds"

    def __init__(self, *, zero: bool = False) -> None:
        super().__init__(min=0, min_open=not zero)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        if not math.isfinite(seconds):
            self.fail(f"{value} is no number of seconds.", param, ctx)
        return seconds


class Options(NamedTuple):
    """What every command that calls a server can be told."""

    timeout: float | None
    as_json: bool
    verbose: bool

    @contextmanager
    def calling(self, address: str, what: str) -> Iterator[Client]:
        """A client of the server at ``address``; ``what`` names what is done there, for a message.

        Raises:
            Failed: what was done with it failed.
            UsageError: the address is not written as one, or the call cannot be right.
        """
        connector = None
        if self.verbose:
            from letterhead.cli.watching import watched

            connector = watched
        try:
            with Client(address, timeout=self.timeout, connector=connector) as client:
                yield client
        except UsageError:
            raise
        except LetterheadError as error:
            raise self.failed(error, address, what) from None

    def failed(self, error: LetterheadError, address: str, what: str) -> Failed:
        """The error as a user is told it: what failed, where, and what to do next."""
        return Failed(_told(error, address, what), error, as_json=self.as_json)


def client_options(seconds: float | None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options that all these commands have; the command gets them as ``options``.

    Args:
        seconds: the default of ``--timeout``, if it has one.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(*, timeout: float | None, as_json: bool, verbose: bool, **rest: Any) -> None:
            function(**rest, options=Options(timeout, as_json, verbose))

        for option in reversed(
            (
                click.option(
                    "--timeout",
                    type=Seconds(),
                    default=seconds,
                    show_default=seconds is not None,
                    metavar="S",
                    help="Give up after S seconds; the server is told so, too.",
                ),
                click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs; errors, too."),
                click.option(
                    "-v", "--verbose", is_flag=True, help="Show every frame that goes (>) and comes (<) on stderr."
                ),
            )
        ):
            command = option(command)
        return command

    return decorate


def about_stream(error: InvalidArgument, what_next: str) -> InvalidArgument:
    """The same error; where it tells a program to pass a stream, ``what_next`` tells a shell's user."""
    said, is_stream, _ = error.message.partition(" is a stream: ")
    return InvalidArgument(f"{said} is a stream: {what_next}", **error.facts) if is_stream else error


def not_letterhead(address: str, lacks: str) -> BadContent:
    """What an answer means that no Letterhead server gives."""
    return BadContent(f"what answers at {address} is no Letterhead server, or a classic one: it has no {lacks}")


def _told(error: LetterheadError, address: str, what: str) -> str:
    sentence = error.message.rstrip(".")
    if not isinstance(error, ConnectionFailed):
        sentence = f"{what} at {address} failed ({error.code}): {sentence}"
    next_step = _WHAT_NEXT.get(error.code, "").format(address=address)
    if error.code == "deadline-exceeded" and error.message.startswith("no answer"):
        next_step = "a longer --timeout waits longer"  # an application's own deadline says itself what helps
    return f"{sentence}; {next_step}" if next_step else sentence

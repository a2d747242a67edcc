"""Standard input as the items of a stream: its lines as values or as text, or its bytes in pieces.

Its rules:

* It is read past Python's own buffer: a thread that waits in that when the process ends brings the interpreter down.
* What has come is given on at once; a piece has what one read brought, and a line waits for its end alone.
* A line is bounded by what any item may hold, so that input without line ends is refused instead of collected.
* What goes wrong is told by the number of its line.

Nothing here knows an action or a server: which form is meant is said on the command line, and never guessed.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from letterhead.cli.values import value_of
from letterhead.limits import Limits

_OPTION = "--stdin"
_PIECE = 64 * 1024


def spelled_out(words: Sequence[str]) -> list[str]:
    """The words of a command line, a ``--stdin`` that stands by itself as ``--stdin=values``.

    As in other commands, a value that may be left out stands behind ``=``. click would take the next word for it.
    """
    options = words[: words.index("--")] if "--" in words else words
    return [f"{_OPTION}=values" if word == _OPTION else word for word in options] + list(words[len(options) :])


def values() -> Iterator[Any]:
    """Each line as a value is typed: the JSON that it is, else text.

    Raises:
        click.ClickException: a line is not UTF-8, or longer than an item may be.
    """
    return map(value_of, _texts(b"\r"))


def texts() -> Iterator[str]:
    """Each line as text, without its newline.

    Raises:
        click.ClickException: as ``values``.
    """
    return _texts(b"")


def pieces() -> Iterator[bytes]:
    """The bytes as they come, up to 64 KiB at a time."""
    if sys.stdin is None:
        return
    while piece := os.read(sys.stdin.fileno(), _PIECE):
        yield piece


FORMS: dict[str, Callable[[], Iterator[Any]]] = {"values": values, "text": texts, "bytes": pieces}
"""By the names that they have on the command line."""


def _texts(end: bytes) -> Iterator[str]:
    for number, line in enumerate(_lines(), 1):
        try:
            yield line.removesuffix(end).decode()
        except UnicodeDecodeError:
            raise click.ClickException(
                f"line {number} of standard input is not UTF-8; --stdin=bytes sends bytes"
            ) from None


def _lines() -> Iterator[bytes]:
    limit = Limits().content_bytes
    begun, number = bytearray(), 1
    for piece in pieces():
        first, *others = piece.split(b"\n")
        begun += first
        if others:
            yield bytes(begun)
            yield from others[:-1]
            begun = bytearray(others[-1])
            number += len(others)
        if len(begun) > limit:
            raise click.ClickException(
                f"line {number} of standard input is longer than an item may be, {limit:,} bytes; "
                "--stdin=bytes sends pieces"
            )
    if begun:
        yield bytes(begun)

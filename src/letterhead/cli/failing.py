"""``Failed``: how a command tells that it failed: one line on stderr, and exit status 1.

The line is a sentence for people, or with ``--json`` a JSON object of the shape that errors have on the wire:
``{"error": {"code": …, "message": …, …facts}}``. What was typed wrongly (exit status 2) is always told as a sentence:
its reader is whoever wrote the command.
"""

from typing import Any

import click

from letterhead.cli.text import as_json, one_line
from letterhead.errors import LetterheadError

_LONGEST_SENTENCE = 1_000
_LONGEST_DOCUMENT = 10_000


class Failed(click.ClickException):
    """What was asked for failed.

    Args:
        sentence: what, where, and what to do next.
        error: what it comes from; its code and facts are told to programs.
        as_json: the reader is a program.
    """

    exit_code = 1

    def __init__(self, sentence: str, error: LetterheadError, *, as_json: bool) -> None:
        super().__init__(sentence)
        self._error = error
        self._as_json = as_json

    def line(self) -> str:
        """What is written to stderr."""
        if not self._as_json:
            return as_line(self.message)
        told: dict[str, Any] = {"code": self._error.code, "message": self.message[:_LONGEST_SENTENCE]}
        facts = {name: value for name, value in self._error.facts.items() if name not in told}
        line = as_json({"error": {**told, **facts}}, indent=0)
        # Facts are a server's own words, and may be as long as a whole frame.
        return line if len(line) <= _LONGEST_DOCUMENT else as_json({"error": told}, indent=0)


def as_line(sentence: str) -> str:
    """What is written to stderr for a sentence."""
    return f"letterhead: {one_line(sentence, _LONGEST_SENTENCE)}"

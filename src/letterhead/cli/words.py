"""The words of a command line, as click needs them. Completion uses this as well, so nothing else is imported here."""

from collections.abc import Sequence

_OPTION = "--stdin"


def spelled_out(words: Sequence[str]) -> list[str]:
    """The words of a command line, a ``--stdin`` that stands by itself as ``--stdin=values``.

    As in other commands, a value that may be left out stands behind ``=``. click would take the next word for it.
    """
    options = words[: words.index("--")] if "--" in words else words
    return [f"{_OPTION}=values" if word == _OPTION else word for word in options] + list(words[len(options) :])

"""Values as they are typed in a shell: ``NAME=VALUE``, where a VALUE that is JSON is sent as that, else as text."""

from collections.abc import Iterable
from typing import Any

import click

from letterhead.limits import Limits
from letterhead.wire import strict_json

_DEPTH = Limits().content_depth


def named(typed: Iterable[str], what: str) -> dict[str, Any]:
    """The values by their names.

    Args:
        typed: each ``NAME=VALUE``.
        what: what one of them is, for a message: ``argument``, ``header field``.

    Raises:
        click.UsageError: one is not written so, or stands there twice.
    """
    values: dict[str, Any] = {}
    for word in typed:
        name, equals, value = word.partition("=")
        article = "an" if what[0] in "aeiou" else "a"
        if not name or not equals:
            raise click.UsageError(f"{article} {what} is written NAME=VALUE, not '{word}'")
        if name in values:
            raise click.UsageError(f"the {what} '{name}' stands there twice")
        values[name] = value_of(value)
    return values


def value_of(text: str) -> Any:
    """What is meant by a value as it was typed: the JSON that it is, else text."""
    try:
        return strict_json.decode(text.encode("utf-8", "surrogateescape"), _DEPTH)
    except strict_json.NotJson:
        return text

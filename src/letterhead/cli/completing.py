"""Completion of addresses, and of what a running server offers.

The server at the ADDRESS that stands on the line is asked for ``letterhead.describe``. It has half a second: whoever
presses the key waits. Whatever goes wrong means that nothing is offered; no error belongs into a prompt.

What a server sends goes onto a shell's line only if it is a plain word there: letters, digits, ``_ . / -``, and no
hyphen first, where it would be an option.

Every command that calls imports this file, so it imports nothing itself.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from letterhead.cli.signatures import Described

_SECONDS = 0.5
_SAFE = re.compile(r"\w[\w./-]{0,99}")
_MOST = 1_000
_HELP_CHARACTERS = 80
_COMMON_ADDRESSES = ("127.0.0.1:65432", "unix:")

Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem[str]]"]


def addresses(_: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
    """Addresses at which servers usually listen."""
    return [
        item(address, goes_on=address.endswith(":")) for address in _COMMON_ADDRESSES if address.startswith(incomplete)
    ]


def actions(ctx: click.Context, _: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
    """The actions of the server on the line."""
    described = _asked(ctx)
    if described is None:
        return []
    return [
        item(name, action.doc.strip().partition("\n")[0])
        for name, action in list(described.actions.items())[:_MOST]
        if name.startswith(incomplete) and may_be_offered(name)
    ]


def arguments(ctx: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
    """The arguments of the action on the line as ``NAME=``; behind that the values, where those are few."""
    described = _asked(ctx)
    action = None if described is None else described.actions.get(ctx.params.get("action") or "")
    if action is None:
        return []
    from letterhead.cli.signatures import choices, type_of

    properties = action.parameters.properties
    name, equals, _ = incomplete.partition("=")
    if equals:
        values = [f"{name}={choice}" for choice in choices(properties.get(name), action.defs) if may_be_offered(choice)]
        return [item(value) for value in values[:_MOST] if value.startswith(incomplete)]
    given = {word.partition("=")[0] for word in ctx.params.get("arguments") or ()}
    return [
        item(f"{name}=", type_of(schema), goes_on=True)
        for name, schema in list(properties.items())[:_MOST]
        if name.startswith(incomplete) and name not in given and may_be_offered(name)
    ]


def files(_: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
    """Files and folders, which the shell knows itself."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, "file")]


def folders(_: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
    """Folders alone, which the shell knows itself."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, "dir")]


def one_of(words: Sequence[str]) -> Completer:
    """Completes to one of these words; others may be typed."""
    return lambda _, __, incomplete: [item(word) for word in words if word.startswith(incomplete)]


def may_be_offered(name: str) -> bool:
    """Whether a name that somebody else chose is a plain word on a shell's line."""
    return _SAFE.fullmatch(name) is not None


def item(value: str, help: str = "", *, goes_on: bool = False) -> "CompletionItem[str]":
    """One offer. ``goes_on`` says that the word is not finished by it: no blank follows."""
    from click.shell_completion import CompletionItem

    from letterhead.cli.text import one_line

    return CompletionItem(value, "open" if goes_on else "plain", one_line(help, _HELP_CHARACTERS) or None)


def _asked(ctx: click.Context) -> "Described | None":
    """What the server on the line says of itself; None where that cannot be had at once."""
    # Where an option waits for its value click has given up before it handed the other words out.
    address = ctx.params.get("address") or next(iter(ctx.args), "")
    if not address:
        return None
    import threading

    answers: list[Described] = []
    # A thread, because the system's search for a name's address has no end that we could set.
    thread = threading.Thread(target=_ask, args=(address, answers), daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return answers[0] if answers else None


def _ask(address: str, answers: "list[Any]") -> None:
    import contextlib

    import msgspec

    from letterhead.cli.signatures import Described
    from letterhead.client.blocking.client import Client
    from letterhead.errors import LetterheadError

    with contextlib.suppress(LetterheadError, msgspec.ValidationError), Client(address, timeout=_SECONDS) as client:
        answers.append(msgspec.convert(client.call("letterhead.describe"), Described))

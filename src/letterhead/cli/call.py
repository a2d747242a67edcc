"""``letterhead call``: one call, its result on stdout."""

import shlex
import sys
from typing import Any

import click

from letterhead.cli.calling import calling, timeout_option
from letterhead.cli.text import as_json, harmless
from letterhead.content.registry import decode, encode
from letterhead.errors import InvalidArgument
from letterhead.limits import Limits
from letterhead.net.client import Client
from letterhead.wire import strict_json

_KEYWORDS = frozenset({"timeout", "returns"})
"""Names that ``Client.call`` keeps to itself."""


@click.command(
    epilog="""\b
Examples:
  letterhead call 127.0.0.1:65432 greet name=Ada times=2
  letterhead call 127.0.0.1:65432 greet 'name="3"'          the text 3, not the number
  letterhead call 127.0.0.1:65432 add 'terms=[1, 2, 3]'
  letterhead call 127.0.0.1:65432 letterhead.describe       what there is to call"""
)
@click.argument("address")
@click.argument("action")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@timeout_option(30.0)
def command(address: str, action: str, arguments: tuple[str, ...], timeout: float) -> None:
    """Call ACTION of the server at ADDRESS and print its result.

    A VALUE that is JSON is sent as that: 3, true, null, [1, 2], {"a": 1}, "text". Anything else is sent as text.

    A result that is text is printed as it is (what a terminal would obey as \\x1b and the like), bytes as well,
    anything else as indented JSON.
    """
    named = _named(arguments)
    with calling(address, action, timeout) as client:
        try:
            result = _result(client, action, named)
        except InvalidArgument as error:
            raise _about_text(error, arguments) from None
    if isinstance(result, bytes):
        _print_bytes(result)
    else:
        click.echo(harmless(result) if isinstance(result, str) else as_json(result))


def _named(arguments: tuple[str, ...]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not name or not equals:
            raise click.UsageError(f"an argument is written NAME=VALUE, not '{argument}'")
        if name in named:
            raise click.UsageError(f"the argument '{name}' stands there twice")
        named[name] = _value(value)
    return named


def _value(text: str) -> Any:
    try:
        return strict_json.decode(text.encode("utf-8", "surrogateescape"), Limits().content_depth)
    except strict_json.NotJson:
        return text


def _result(client: Client, action: str, named: dict[str, Any]) -> Any:
    if _KEYWORDS.isdisjoint(named):
        return client.call(action, **named)
    request = encode(named)
    request.header["action"] = action
    return decode(client.send(request))


def _about_text(error: InvalidArgument, arguments: tuple[str, ...]) -> InvalidArgument:
    """The same error; where text was wanted and something else was sent, it says how to send that as text."""
    wanted = f"{error.facts.get('argument')}="
    typed = next((argument for argument in arguments if argument.startswith(wanted)), None)
    if typed is None or "Expected `str`" not in error.message:
        return error
    text = shlex.quote(wanted + as_json(typed.removeprefix(wanted)))
    return InvalidArgument(f"{error.message}; {text} sends text")


def _print_bytes(data: bytes) -> None:
    if sys.stdout.isatty():
        click.echo(harmless(data.decode("utf-8", "backslashreplace")))
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()

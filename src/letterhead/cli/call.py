"""``letterhead call``: one call, its result on stdout."""

from typing import Any

import click

from letterhead.cli import completing
from letterhead.cli.calling import Options, client_options
from letterhead.cli.text import as_json, print_value
from letterhead.cli.values import named
from letterhead.content.registry import decode, encode
from letterhead.errors import InvalidArgument
from letterhead.net.client import Client

_KEYWORDS = frozenset({"timeout", "returns"})
"""Names that ``Client.call`` keeps to itself."""


@click.command(
    epilog="""\b
Examples:
  letterhead call 127.0.0.1:65432 greet name=Ada times=2
  letterhead call 127.0.0.1:65432 greet 'name="3"'          the text 3, not the number
  letterhead call 127.0.0.1:65432 add 'terms=[1, 2, 3]'
  letterhead call 127.0.0.1:65432 stock --json | jq .pencil
  letterhead describe 127.0.0.1:65432                       what there is to call"""
)
@click.argument("address", shell_complete=completing.addresses)
@click.argument("action", shell_complete=completing.actions)
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=completing.arguments)
@client_options(30.0)
def command(address: str, action: str, arguments: tuple[str, ...], options: Options) -> None:
    """Call ACTION of the server at ADDRESS and print its result.

    A VALUE that is JSON is sent as that: 3, true, null, [1, 2], {"a": 1}, "text". Anything else is sent as text.

    A result that is text is printed as it is (what a terminal would obey as \\x1b and the like), bytes as well,
    anything else as indented JSON. With --json every result is JSON: text in quotes, bytes in base64.
    """
    if not action:
        raise click.UsageError("ACTION is empty")
    values = named(arguments, "argument")
    with options.calling(address, action) as client:
        try:
            result = _result(client, action, values)
        except InvalidArgument as error:
            raise _about_text(error, arguments) from None
    if options.as_json:
        click.echo(as_json(result))
    else:
        print_value(result)


def _result(client: Client, action: str, values: dict[str, Any]) -> Any:
    if _KEYWORDS.isdisjoint(values):
        return client.call(action, **values)
    request = encode(values)
    request.header["action"] = action
    return decode(client.send(request))


def _about_text(error: InvalidArgument, arguments: tuple[str, ...]) -> InvalidArgument:
    """The same error; where text was wanted and something else was sent, it says how to send that as text."""
    wanted = f"{error.facts.get('argument')}="
    typed = next((argument for argument in arguments if argument.startswith(wanted)), None)
    if typed is None or "Expected `str`" not in error.message:
        return error
    import shlex

    text = shlex.quote(wanted + as_json(typed.removeprefix(wanted)))
    return InvalidArgument(f"{error.message}; {text} sends text", **error.facts)

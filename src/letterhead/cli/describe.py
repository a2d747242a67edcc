"""``letterhead describe``: what a server offers, as signatures."""

from typing import Any

import click
import msgspec

from letterhead.cli import completing
from letterhead.cli.calling import Options, client_options, not_letterhead
from letterhead.cli.signatures import Described, signature
from letterhead.cli.text import as_json, bold, harmless, one_line
from letterhead.errors import UnknownAction

_DESCRIBE = "letterhead.describe"
_LONGEST_LINE = 2_000
_PARTS = {
    "parameters": "parameters",
    "upload": "upload: the argument that is a stream, and each of its items",
    "result": "result",
    "$defs": "$defs, which those refer to",
}
_ITEM = "result: each item of the stream"


@click.command(
    epilog="""\b
Examples:
  letterhead describe 127.0.0.1:65432
  letterhead describe 127.0.0.1:65432 greet
  letterhead describe 127.0.0.1:65432 --json | jq '.actions | keys'"""
)
@click.argument("address", shell_complete=completing.addresses)
@click.argument("action", required=False, shell_complete=completing.actions)
@client_options(10.0)
def command(address: str, action: str | None, options: Options) -> None:
    """List the actions of the server at ADDRESS, or tell all about one ACTION.

    The list has a signature for each action, with types, defaults and the first line of its docstring, and the server's
    limits. For one ACTION it is the whole docstring and the JSON Schema of arguments and result.

    --json prints what the server says of itself: "name", "protocol", "limits", and by its name in "actions" each
    action's "doc", "parameters" and "result" (JSON Schema), "content-types", "stream" (then "result" is one item),
    "upload" ("argument" and "item", where it takes a stream), "idempotent"; for one ACTION that one's alone.
    """
    with options.calling(address, "describe") as client:
        told = client.call(_DESCRIBE)
        try:
            described = msgspec.convert(told, Described)
        except msgspec.ValidationError:
            raise not_letterhead(address, _DESCRIBE) from None
        if action is not None and action not in described.actions:
            raise UnknownAction(f"there is no action '{action}'{_like(action, described)}", action=action)
    if options.as_json:
        click.echo(as_json(told if action is None else told["actions"][action]))
    elif action is None:
        _print_all(described, address)
    else:
        _print_one(action, described, told["actions"][action])


def _like(action: str, described: Described) -> str:
    import difflib

    near = difflib.get_close_matches(action, described.actions, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _print_all(described: Described, address: str) -> None:
    version = "" if described.protocol is None else f", protocol version {described.protocol}"
    click.echo(f"{bold(one_line(described.name or 'a server', _LONGEST_LINE))} at {address}{version}")
    for name in described.actions:
        click.echo()
        _print_head(name, described)
        doc = described.actions[name].doc.strip().partition("\n")[0]
        if doc:
            click.echo(f"    {one_line(doc, _LONGEST_LINE)}")
    if described.limits:
        click.echo("\nlimits")
        width = max(map(len, described.limits))
        for name, value in described.limits.items():
            click.echo(f"    {one_line(name, _LONGEST_LINE):<{width}}  {value:,}")


def _print_one(name: str, described: Described, told: Any) -> None:
    _print_head(name, described)
    doc = described.actions[name].doc.strip()
    if doc:
        click.echo()
        for line in doc.splitlines():
            click.echo(f"    {harmless(line)}".rstrip())
    if described.actions[name].idempotent:
        click.echo("\nidempotent: running it twice does the same as running it once")
    for field, heading in _PARTS.items():
        if field in told:
            streams = field == "result" and described.actions[name].stream
            click.echo(f"\n{_ITEM if streams else heading}")
            for line in as_json(told[field]).splitlines():
                click.echo(f"    {line}")


def _print_head(name: str, described: Described) -> None:
    shown = one_line(signature(name, described.actions[name]), _LONGEST_LINE)
    head = one_line(name, _LONGEST_LINE)
    click.echo(bold(head) + shown.removeprefix(head) if shown.startswith(head) else shown)

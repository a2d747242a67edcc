"""``letterhead health``: whether a server takes requests, for people, scripts and container health checks."""

from collections.abc import Iterator
from typing import Any

import click

from letterhead.cli import completing
from letterhead.cli.calling import Options, client_options, not_letterhead
from letterhead.cli.text import as_json, bold, one_line

_HEALTH = "letterhead.health"
_LONGEST_LINE = 2_000
_DEEPEST = 8


@click.command(
    epilog="""\b
Examples:
  letterhead health 127.0.0.1:65432
  letterhead health unix:/run/search.sock --timeout 2 || systemctl restart search
  HEALTHCHECK CMD ["letterhead", "health", "127.0.0.1:65432"]"""
)
@click.argument("address", shell_complete=completing.addresses)
@client_options(10.0)
@click.pass_context
def command(ctx: click.Context, address: str, options: Options) -> None:
    """Ask the server at ADDRESS whether it takes requests, and what it has done so far.

    The exit status is 0 when it is ok, 1 when it says anything else, such as draining, or does not answer.

    --json prints the answer itself: "status", and under "connections", "requests" and "bytes" the numbers.
    """
    with options.calling(address, _HEALTH) as client:
        health = client.call(_HEALTH)
        if not isinstance(health, dict) or not isinstance(health.get("status"), str):
            raise not_letterhead(address, _HEALTH)
    if options.as_json:
        click.echo(as_json(health))
    else:
        click.echo(bold(one_line(health["status"], _LONGEST_LINE)))
        rows = [(name, told) for name, told in _rows(health) if name != "status"]
        width = max((len(name) for name, _ in rows), default=0)
        for name, told in rows:
            click.echo(f"    {one_line(name, _LONGEST_LINE):<{width}}  {one_line(told, _LONGEST_LINE)}")
    if health["status"] != "ok":
        ctx.exit(1)


def _rows(told: dict[str, Any], above: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Each number of the answer, by the names that lead to it."""
    for name, value in told.items():
        if isinstance(value, dict) and depth < _DEEPEST:
            yield from _rows(value, f"{above}{name} ", depth + 1)
        else:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            yield f"{above}{name}", f"{value:,}" if number else value if isinstance(value, str) else as_json(value, 0)

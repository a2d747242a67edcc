"""``letterhead ping``: measures how soon a server answers, in the manner of ping(8)."""

import math
import time
from typing import Any

import click

from letterhead.cli import completing
from letterhead.cli.calling import Options, Seconds, client_options
from letterhead.cli.text import as_json, one_line
from letterhead.client.blocking.client import Client
from letterhead.errors import LetterheadError, UsageError

_PING = "letterhead.ping"
_LONGEST_LINE = 1_000


@click.command(
    epilog="""\b
Examples:
  letterhead ping 127.0.0.1:65432
  letterhead ping unix:/run/search.sock --count 1000
  letterhead ping 127.0.0.1:65432 --count 60 --interval 1 --timeout 0.5
  letterhead ping 127.0.0.1:65432 --json | jq .median_ms"""
)
@click.argument("address", shell_complete=completing.addresses)
@click.option("--count", type=click.IntRange(min=1), default=5, show_default=True, metavar="N", help="How many times.")
@click.option(
    "--interval",
    type=Seconds(zero=True),
    default=0.0,
    metavar="S",
    help="Wait S seconds between two of them; without, the next goes when the answer has come.",
)
@client_options(10.0)
@click.pass_context
def command(ctx: click.Context, address: str, count: int, interval: float, options: Options) -> None:
    """Ask the server at ADDRESS for a sign of life, N times in a row over one connection.

    The time from request to reply is printed for each, then how many were lost, and the shortest, the median, the 99th
    percentile and the longest. Connecting is not counted. One that is lost (no answer within --timeout, or the
    connection broke) is told, and the next one tries again. Ctrl-C prints the summary so far.

    The exit status is 0 if an answer came, 1 if none did.

    --json prints "address", "connect_ms", "letterhead" (false: a classic server), "sent", "received", "lost", "min_ms",
    "median_ms", "p99_ms", "max_ms" (null if none came), and in "times_ms" each, null for those lost.
    """
    times: list[float | None] = []
    with options.calling(address, _PING) as client:
        connecting = time.perf_counter()
        is_letterhead = client.call(_PING, 0) == 0
        connected = time.perf_counter() - connecting
        if not options.as_json:
            click.echo(f"connected to {address} in {_shown(connected)}")
            if not is_letterhead:
                click.echo("it answers as no Letterhead server does: a classic one is connected to each time")
        try:
            _ping(client, times, count, interval, options)
        finally:  # also after Ctrl-C
            summary = _summary(times)
            if options.as_json:
                first = {"address": address, "connect_ms": _milliseconds(connected), "letterhead": is_letterhead}
                click.echo(as_json({**first, **summary}))
            elif times:
                _print(summary)
    if not summary["received"]:
        ctx.exit(1)


def _ping(client: Client, times: list[float | None], count: int, interval: float, options: Options) -> None:
    for number in range(1, count + 1):
        if interval and number > 1:
            time.sleep(interval)
        lost = ""
        began = time.perf_counter()
        try:
            client.call(_PING, number)
            times.append(time.perf_counter() - began)
        except UsageError:
            raise
        except LetterheadError as error:
            times.append(None)
            lost = f"lost: {one_line(error.message, _LONGEST_LINE)}"
        if not options.as_json:
            seconds = times[-1]
            click.echo(f"{number:>4}  {lost if seconds is None else _shown(seconds)}")


def _summary(times: list[float | None]) -> dict[str, Any]:
    came = sorted(seconds for seconds in times if seconds is not None)
    figures = dict.fromkeys(("min_ms", "median_ms", "p99_ms", "max_ms"))
    if came:
        middle = (came[(len(came) - 1) // 2] + came[len(came) // 2]) / 2
        highest = came[math.ceil(0.99 * len(came)) - 1]
        figures = dict(zip(figures, map(_milliseconds, (came[0], middle, highest, came[-1])), strict=True))
    return {
        "sent": len(times),
        "received": len(came),
        "lost": len(times) - len(came),
        **figures,
        "times_ms": [None if seconds is None else _milliseconds(seconds) for seconds in times],
    }


def _print(summary: dict[str, Any]) -> None:
    lost = summary["lost"] / summary["sent"]
    click.echo(f"{summary['sent']} sent, {summary['received']} answered, {lost:.0%} lost")
    if summary["received"]:
        names = ("min", "median", "p99", "max")
        click.echo(", ".join(f"{name} {summary[f'{name}_ms']:.3f} ms" for name in names))


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1_000, 3)


def _shown(seconds: float) -> str:
    return f"{seconds * 1_000:.3f} ms"

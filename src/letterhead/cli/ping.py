"""``letterhead ping``: how far away a server is."""

import statistics
import time

import click

from letterhead.cli.calling import calling, timeout_option

_PING = "letterhead.ping"


@click.command(
    epilog="""\b
Examples:
  letterhead ping 127.0.0.1:65432
  letterhead ping unix:/run/search.sock --count 1000"""
)
@click.argument("address")
@click.option("--count", type=click.IntRange(min=1), default=5, show_default=True, metavar="N", help="How many times.")
@timeout_option(10.0)
def command(address: str, count: int, timeout: float) -> None:
    """Ask the server at ADDRESS for a sign of life, N times in a row over one connection.

    The time from request to reply is printed for each, then the shortest, the median and the longest. Connecting is
    not counted.
    """
    times = []
    with calling(address, _PING, timeout) as client:
        connecting = time.perf_counter()
        pinged = client.call(_PING, 0)
        click.echo(f"connected to {address} in {_shown(time.perf_counter() - connecting)}")
        if pinged != 0:
            click.echo("it answers as no Letterhead server does: a classic one is connected to each time")
        for number in range(1, count + 1):
            began = time.perf_counter()
            client.call(_PING, number)
            times.append(time.perf_counter() - began)
            click.echo(f"{number:>4}  {_shown(times[-1])}")
    shortest, median, longest = map(_shown, (min(times), statistics.median(times), max(times)))
    click.echo(f"min {shortest}, median {median}, max {longest}")


def _shown(seconds: float) -> str:
    return f"{seconds * 1_000:.3f} ms"

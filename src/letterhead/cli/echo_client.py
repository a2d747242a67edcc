"""``letterhead echo-client``: sends messages to an echo server, and checks that they come back."""

import click

from letterhead.cli.calling import Seconds
from letterhead.cli.failing import Failed
from letterhead.cli.text import as_json
from letterhead.echo_client import Report, Result, exchange
from letterhead.errors import ConnectionFailed
from letterhead.transport.address import of_parts


@click.command(
    epilog="""\b
Examples:
  letterhead echo-client 127.0.0.1 65432
  letterhead echo-client ::1 7000 --message one --message two --connections 100
  letterhead echo-client 127.0.0.1 65432 --repeat 10000000 --json"""
)
@click.argument("host")
@click.argument("port", required=False, metavar="PORT")
@click.option(
    "--message",
    "messages",
    multiple=True,
    default=("Hello, world",),
    show_default=True,
    metavar="TEXT",
    help="Send TEXT in UTF-8; may stand several times.",
)
@click.option(
    "--repeat", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Send the messages N times."
)
@click.option(
    "--connections",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Over N connections at once.",
)
@click.option(
    "--timeout",
    type=Seconds(),
    default=10.0,
    show_default=True,
    metavar="S",
    help="Give a connection up when nothing goes or comes on it for S seconds.",
)
@click.option("--json", "for_programs", is_flag=True, help="Print one JSON object.")
def command(
    host: str,
    port: str | None,
    messages: tuple[str, ...],
    repeat: int,
    connections: int,
    timeout: float,
    for_programs: bool,
) -> None:
    """Send messages to the echo server at HOST and PORT, and see that the same bytes come back.

    What came back is printed for each connection as Python writes bytes, its beginning where it is long. The exit
    status is 1 if a connection failed or got back anything else than it sent.

    The object of --json has `address`, `connections`, `failed` (how many), `bytes` (that came back), `seconds`, and
    `results`: for each connection `connection` (its number), `sent` and `received` (bytes), `seconds`, `problem` (a
    sentence, or null).
    """
    data = [message.encode("utf-8", "surrogateescape") for message in messages]
    if port is None:
        raise click.UsageError(f"HOST and PORT are written apart, such as 127.0.0.1 65432: '{host}' is all there is")
    address = str(of_parts(host, port))
    report = exchange(address, data, repeat=repeat, connections=connections, timeout=timeout)
    failed = report.failed
    if for_programs:
        click.echo(as_json(_document(report)))
    elif len(failed) < connections:
        for result in report.results:
            click.echo(_line(result))
        same = f"{report.received:,} bytes came back in {report.seconds:.3f} s"
        click.echo(f"{connections:,} connection{'s' * (connections != 1)} to {address}: {same}")
    if failed:
        what = str(failed[0].problem)
        sentence = what if connections == 1 else f"{len(failed):,} of {connections:,} connections failed: {what}"
        raise Failed(sentence, ConnectionFailed(sentence, address=address), as_json=for_programs)


def _line(result: Result) -> str:
    if result.problem is not None:
        return f"{result.number}: {result.problem}"
    more = f"… ({result.received:,} bytes)" if result.received > len(result.beginning) else ""
    return f"{result.number}: {result.beginning!r}{more}"


def _document(report: Report) -> dict[str, object]:
    return {
        "address": report.address,
        "connections": len(report.results),
        "failed": len(report.failed),
        "bytes": report.received,
        "seconds": report.seconds,
        "results": [
            {
                "connection": result.number,
                "sent": result.sent,
                "received": result.received,
                "seconds": result.seconds,
                "problem": result.problem,
            }
            for result in report.results
        ],
    }

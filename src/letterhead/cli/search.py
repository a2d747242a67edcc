"""``letterhead search``: a query to a search server, its hits for people to read."""

import shutil
import textwrap
from typing import Any

import click
import msgspec

from letterhead.cli.calling import calling, timeout_option
from letterhead.cli.text import harmless, highlighted, one_line, with_style

_LONGEST_LINE = 2_000
_NARROWEST = 40


class Hit(msgspec.Struct):
    """What is shown of a hit; a server may leave out all but the title."""

    title: str
    path: str = ""
    snippet: str = ""
    score: float | None = None


class Answer(msgspec.Struct):
    """What is shown of an answer. Not the search's own class, which would bring SQLite along."""

    total: int
    hits: list[Hit]
    took_ms: float | None = None


@click.command(
    epilog="""\b
Examples:
  letterhead search 127.0.0.1:65432 white rabbit
  letterhead search 127.0.0.1:65432 os.path --limit 3
  letterhead search 127.0.0.1:65432 import --offset 10"""
)
@click.argument("address")
@click.argument("query", nargs=-1, required=True, metavar="QUERY...")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Show at most N hits (10 where you do not say).")
@click.option("--offset", type=click.IntRange(min=0), metavar="N", help="Leave out the first N hits.")
@timeout_option(10.0)
def command(address: str, query: tuple[str, ...], limit: int | None, offset: int | None, timeout: float) -> None:
    """Ask the search server at ADDRESS for the documents that hold every word of QUERY, best first."""
    words = " ".join(query)
    # Only what was asked for: with the query alone, classic servers and searches of other people understand it, too.
    options: dict[str, Any] = {}
    if limit is not None:
        options["limit"] = limit
    if offset is not None:
        options["offset"] = offset
    with calling(address, "search", timeout) as client:
        if options:
            answer = client.call("search", query=words, **options, returns=Answer | str)
        else:
            answer = client.call("search", words, returns=Answer | str)
    if isinstance(answer, str):
        click.echo(harmless(answer))
    else:
        _print(answer, words, offset or 0)


def _print(answer: Answer, query: str, offset: int) -> None:
    last = offset + len(answer.hits)
    summary = f"{answer.total:,} document{'s' * (answer.total != 1)} for '{one_line(query, _LONGEST_LINE)}'"
    if len(answer.hits) != answer.total:
        summary += f", {offset + 1:,} to {last:,}" if answer.hits else ", none of them shown"
    if answer.took_ms is not None:
        summary += f" ({answer.took_ms:.1f} ms)"
    click.echo(summary)
    for number, hit in enumerate(answer.hits, offset + 1):
        click.echo()
        _print_hit(number, hit)
    if answer.hits and last < answer.total:
        click.echo(f"\nmore: --offset {last}")


def _print_hit(number: int, hit: Hit) -> None:
    style = with_style()
    title, path, snippet = (one_line(text, _LONGEST_LINE) for text in (hit.title, hit.path, hit.snippet))
    score = "" if hit.score is None else f"  (score {hit.score:.2f})"
    click.echo(f"{number:>3}. {click.style(title, bold=True, underline=True) if style else title}{score}")
    if path and path != title:
        click.echo(f"     {click.style(path, dim=True) if style else path}")
    if snippet and style:
        width = max(shutil.get_terminal_size().columns - 1, _NARROWEST)
        snippet = textwrap.fill(snippet, width, initial_indent=" " * 5, subsequent_indent=" " * 5)
        click.echo(highlighted(snippet))
    elif snippet:
        click.echo(f"     {snippet}")

"""``letterhead search``: a query to a search server, its hits for people to read.

A word of the query may begin with a hyphen (``-rabbit``: not that word), though words that begin so are options to a
command line. ``_Query`` tells them apart before click reads them.
"""

import shutil
import textwrap
from typing import Any

import click
import msgspec

from letterhead.cli import completing
from letterhead.cli.calling import Options, client_options
from letterhead.cli.text import as_json, harmless, highlighted, one_line, with_style
from letterhead.errors import BadContent

_LONGEST_LINE = 2_000
_NARROWEST = 40


class Hit(msgspec.Struct):
    """What is shown of a hit; a server may leave out all but the title."""

    title: str
    path: str = ""
    line: int = 0
    type: str = ""
    snippet: str = ""
    score: float | None = None


class Answer(msgspec.Struct):
    """What is shown of an answer. Not the search's own class, which would bring SQLite along."""

    total: int
    hits: list[Hit]
    took_ms: float | None = None
    suggestion: str | None = None


class _Query(click.Command):
    """A command whose words may begin with one hyphen.

    What begins with two is an option, and an error where there is no such one: a misspelt ``--limit`` must not become a
    word that is searched for. So are the short options themselves (``-v``, ``-h``), alone: ``-hat`` is a word. What
    follows ``--`` is words in any case.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options, words = self._apart(ctx, args)
        return super().parse_args(ctx, [*options, "--", *words] if words else options)

    def _apart(self, ctx: click.Context, args: list[str]) -> tuple[list[str], list[str]]:
        known = {name: one for one in self.get_params(ctx) if isinstance(one, click.Option) for name in one.opts}
        options: list[str] = []
        words: list[str] = []
        rest = iter(args)
        for word in rest:
            if word == "--":
                words += rest
            elif word in known or word.startswith("--"):
                options.append(word)
                if word in known and not known[word].is_flag:
                    value = next(rest, None)
                    if value is None:
                        return [*words, *options], []  # click says that a value is missing, which "--" would become
                    options.append(value)
            else:
                words.append(word)
        return options, words


@click.command(
    cls=_Query,
    epilog="""\b
Examples:
  letterhead search 127.0.0.1:65432 white rabbit
  letterhead search 127.0.0.1:65432 '"white rabbit"'       the phrase: these words side by side
  letterhead search 127.0.0.1:65432 rabbit -white          without this word
  letterhead search 127.0.0.1:65432 'rab*' path:alice --limit 3
  letterhead search 127.0.0.1:65432 import --offset 10
  letterhead search 127.0.0.1:65432 rabbit --json | jq -r '.hits[].path'""",
)
@click.argument("address", shell_complete=completing.addresses)
@click.argument("query", nargs=-1, required=True, metavar="QUERY...")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Show at most N hits (10 where you do not say).")
@click.option("--offset", type=click.IntRange(min=0), metavar="N", help="Leave out the first N hits.")
@client_options(10.0)
def command(address: str, query: tuple[str, ...], limit: int | None, offset: int | None, options: Options) -> None:
    """Ask the search server at ADDRESS for the documents that hold every word of QUERY, best first.

    The words go to the server as they are typed, with a blank between them; what quotes, *, - and a prefix such as
    path: mean is the server's to say. The shell takes one pair of quotes away: "white rabbit" is two words,
    '"white rabbit"' a phrase. A word may begin with a hyphen; one that begins with two stands after --.

    --json prints the server's answer: "total", "took_ms", "suggestion" (or null), and "hits" with "title", "path",
    "line", "type", "snippet" (matches between « and ») and "score", as far as the server tells them. Of a classic
    server it is a string.
    """
    words = " ".join(query)
    # Only what was asked for: with the query alone, classic servers and searches of other people understand it, too.
    asked: dict[str, Any] = {}
    if limit is not None:
        asked["limit"] = limit
    if offset is not None:
        asked["offset"] = offset
    with options.calling(address, "search") as client:
        told = client.call("search", query=words, **asked) if asked else client.call("search", words)
        try:
            answer = told if isinstance(told, str) else msgspec.convert(told, Answer)
        except msgspec.ValidationError as error:
            raise BadContent(f"this is no search result: {error}") from None
    if options.as_json:
        click.echo(as_json(told))
    elif isinstance(answer, str):
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
    if not answer.total and answer.suggestion:
        click.echo(f"did you mean: {one_line(answer.suggestion, _LONGEST_LINE)}?")
    for number, hit in enumerate(answer.hits, offset + 1):
        click.echo()
        _print_hit(number, hit)
    if answer.hits and last < answer.total:
        click.echo(f"\nmore: --offset {last}")


def _print_hit(number: int, hit: Hit) -> None:
    style = with_style()
    title, path, kind, snippet = (
        one_line(text, _LONGEST_LINE) for text in (hit.title, hit.path, hit.type, hit.snippet)
    )
    score = "" if hit.score is None else f"{hit.score:.2f}"
    # In a few documents every word is common, and BM25 gives next to nothing: that would look like a defect.
    facts = ([] if score.strip("-0.") == "" else [f"score {score}"]) + ([kind] if kind else [])
    aside = f"  ({', '.join(facts)})" if facts else ""
    click.echo(f"{number:>3}. {click.style(title, bold=True, underline=True) if style else title}{aside}")
    if path and (path != title or hit.line > 0):
        place = f"{path}:{hit.line}" if hit.line > 0 else path
        click.echo(f"     {click.style(place, dim=True) if style else place}")
    if snippet and style:
        width = max(shutil.get_terminal_size().columns - 1, _NARROWEST)
        snippet = textwrap.fill(snippet, width, initial_indent=" " * 5, subsequent_indent=" " * 5)
        click.echo(highlighted(snippet))
    elif snippet:
        click.echo(f"     {snippet}")

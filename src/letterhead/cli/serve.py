"""``letterhead serve``: a search over folders of text, whose index is brought up to date when it starts."""

import contextlib
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import util
from pathlib import Path

import click

from letterhead.cli import completing
from letterhead.cli.listening import at_option, for_clients, letterhead_elsewhere, python_elsewhere, say_where
from letterhead.cli.text import one_line
from letterhead.errors import Unavailable
from letterhead.limits import Limits
from letterhead.search import schema
from letterhead.search.application import application
from letterhead.search.documents import SAMPLES, walk
from letterhead.search.index import Index, build
from letterhead.search.items import Skipped
from letterhead.search.place import place_of
from letterhead.search.terms import tokens
from letterhead.search.update import Changes, Progress, Update
from letterhead.server.app import App
from letterhead.server.server import Server
from letterhead.transport.address import parse

_LONGEST_PATH = 1_000
_WORTH_A_SPEED = 1_000_000
_A_MOMENT = 3.0
"""Seconds."""


class Failed(click.ClickException):
    """There is nothing to serve; the sentence says why."""

    exit_code = 1


@click.command(
    epilog="""\b
Examples:
  letterhead serve                                 three samples, at 127.0.0.1:65432
  letterhead serve ~/notes ~/src/project
  letterhead serve ~/notes --watch                 what changes there is found at once
  letterhead serve docs --at :65432                for other machines, too
  letterhead serve docs --at unix:/run/user/1000/search.sock --index /var/cache/docs.index"""
)
@click.argument("folders", nargs=-1, metavar="[FOLDER]...", shell_complete=completing.folders)
@at_option
@click.option("--watch", is_flag=True, help="Keep the index up to date while the files change.")
@click.option(
    "--index",
    metavar="FILE",
    shell_complete=completing.files,
    help="Keep the index there, instead of in your cache folder.",
)
@click.option("--rebuild", is_flag=True, help="Make the index anew, whatever state it is in.")
@click.option("-v", "--verbose", is_flag=True, help="List the files that are left out.")
def command(
    folders: tuple[str, ...], at: tuple[str, ...], watch: bool, index: str | None, rebuild: bool, verbose: bool
) -> None:
    """Index the text in each FOLDER and answer searches over it until Ctrl-C.

    Text is what reads as text, whatever its name: plain, Markdown, source code in any encoding, HTML, and PDF where
    letterhead[pdf] is installed. Hidden files, symbolic links and very large files are left out. The folders stay as
    they are. The index is kept in your cache folder, and the next start reads only what has changed since. Without a
    FOLDER three samples are served.
    """
    if watch and util.find_spec("watchfiles") is None:
        raise click.UsageError("--watch needs watchfiles: install Letterhead with its extra watch")
    _try_to_listen(at)
    # Until the server takes over, SIGTERM and SIGHUP end the blocks below in order, too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    if not folders:
        if watch or rebuild or index is not None:
            raise click.UsageError("--watch, --index and --rebuild take the folders that are to be searched")
        with tempfile.TemporaryDirectory(prefix="letterhead-") as folder:
            path = Path(folder, "index")
            build(path, SAMPLES)
            click.echo(f"no folder is named, so there are three samples: {', '.join(s.title for s in SAMPLES)}")
            _serve(application(path), at, "rabbit")
        return
    folders = tuple(os.path.expanduser(folder) for folder in folders)  # noqa: PTH111  # a folder that was typed stays as it was
    path = place_of(folders) if index is None else Path(os.path.expanduser(index)).absolute()  # noqa: PTH111
    with contextlib.ExitStack() as stack:
        written = stack.enter_context(Index(path, rebuild=rebuild, on_doubt=_say_doubt))
        update = Update(written, folders)
        _bring_up_to_date(written, update, folders, verbose=verbose)
        app = application(path)
        if watch:
            _keep_up_to_date(app, update)
        else:
            stack.close()  # what is written no more may be written by others
        _serve(app, at, _a_word(path))


def _serve(app: App, at: Sequence[str], word: str) -> None:
    app.run(*at, on_ready=lambda server: _say_how(server, word))


def _try_to_listen(at: Sequence[str]) -> None:
    """An address that is in use should be known before the indexing, not after."""
    for place in [parse(text) for text in at]:
        place.transport.listen(place, Limits()).close()


# -- the index ---------------------------------------------------------------------------------------------------------


def _bring_up_to_date(index: Index, update: Update, folders: Sequence[str], *, verbose: bool) -> None:
    new = index.new
    try:
        with _progress(folders) as progress:
            changes = update.all(progress, _say_skipped if verbose else None)
    except Unavailable as error:
        if not index.complete:
            raise
        click.echo(f"letterhead: {error.message}; what it holds from last time is served", err=True)
        return
    if not changes.documents:
        why = _left_out(changes)
        why = f" ({why})" if why else ""
        raise Failed(f"no text to search in {', '.join(folders)}{why}: name a folder with text files in it")
    _say_what(changes, new=new)


def _keep_up_to_date(app: App, update: Update) -> None:
    from letterhead.search.watch import Watch

    watch = Watch(update, _say_change)
    app.on_start(watch.start)
    app.on_stop(watch.stop)


@contextlib.contextmanager
def _progress(folders: Sequence[str]) -> Iterator[Progress | None]:
    """A progress bar, if there is somebody to see it; for a log one line, if it takes longer than a moment."""
    if not sys.stderr.isatty():
        yield _said_once(time.monotonic() + _A_MOMENT)
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("indexing"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    # Walking twice costs little; keeping what the first walk found would take memory that grows with the corpus.
    size = sum(found.size for found in walk(folders))
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("indexing", total=size)
        yield lambda _, done: bar.update(task, completed=done)


def _said_once(after: float) -> Progress:
    said = False

    def progress(_: int, done: int) -> None:
        nonlocal said
        if not said and time.monotonic() > after:
            said = True
            click.echo(f"indexing: {_size(done)} so far", err=True)

    return progress


# -- what is said ------------------------------------------------------------------------------------------------------


def _say_doubt() -> None:
    click.echo("looking through the index, since something else has changed its file", err=True)


def _say_change(changes: Changes) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more
        click.echo(f"updated: {_news(changes)}")


def _say_skipped(skipped: Skipped) -> None:
    click.echo(f"left out, {skipped.reason}: {one_line(skipped.path, _LONGEST_PATH)}", err=True)


def _say_what(changes: Changes, *, new: bool) -> None:
    documents = f"{changes.documents:,} document{'s' * (changes.documents != 1)}"
    took = f"in {changes.seconds:.2f} s"
    if new and changes.bytes >= _WORTH_A_SPEED:
        took += f" ({changes.bytes / 1e6 / max(changes.seconds, 1e-6):.1f} MB/s)"
    news = "" if new else f"; since last time {_news(changes) or 'nothing has changed'}"
    left_out = _left_out(changes)
    left_out = f"; left out: {left_out}" if left_out else ""
    click.echo(f"indexed {documents}, {_size(changes.bytes)} {took}{news}{left_out}")


def _size(count: int) -> str:
    if count < 1_000:
        return f"{count} byte{'s' * (count != 1)}"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _news(changes: Changes) -> str:
    counts = {"new": changes.added, "changed": changes.changed, "gone": changes.removed}
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def _left_out(changes: Changes) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(changes.skipped.items()))


def _a_word(index: Path) -> str:
    """A word to ask for: one of a title, so that something is found."""
    with contextlib.closing(schema.open_reader(index, Limits().search_seconds)) as connection:
        row = connection.execute("SELECT title FROM documents ORDER BY length(title), id LIMIT 1").fetchone()
    return " ".join(tokens(row[0] if row else "")) or "words"


def _say_how(server: Server, query: str) -> None:
    say_where(server.addresses)
    address = for_clients(server.addresses)
    program = f'import letterhead; print(letterhead.Client("{address}").call("search", query="{query}"))'
    click.echo("elsewhere:")
    click.echo(f"  {letterhead_elsewhere()} search {shlex.quote(address)} {shlex.quote(query)}")
    click.echo(f"  {python_elsewhere()} -c {shlex.quote(program)}")

"""``letterhead serve``: a search over folders of text, indexed when it starts."""

import contextlib
import os
import shlex
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from letterhead.cli.listening import at_option, for_clients, letterhead_elsewhere, python_elsewhere, say_where
from letterhead.limits import Limits
from letterhead.net.address import listen, parse
from letterhead.net.server import Server
from letterhead.search.application import application
from letterhead.search.documents import SAMPLES
from letterhead.search.index import Built, build, build_folders
from letterhead.search.terms import words


class NothingToSearch(click.ClickException):
    """The folders hold no text."""

    exit_code = 1


@click.command(
    epilog="""\b
Examples:
  letterhead serve                                 three samples, at 127.0.0.1:65432
  letterhead serve ~/notes ~/src/project
  letterhead serve docs --at :65432                for other machines, too
  letterhead serve docs --at unix:/run/user/1000/search.sock"""
)
@click.argument("folders", nargs=-1, metavar="[FOLDER]...")
@at_option
def command(folders: tuple[str, ...], at: tuple[str, ...]) -> None:
    """Index the text files of each FOLDER and answer searches over them until Ctrl-C.

    Text is what reads as text, whatever its name. Hidden files, symbolic links and files above 4 MiB are left out. The
    index is a temporary file; the folders stay as they are. Without a FOLDER three samples are served.
    """
    _try_to_listen(at)
    folders = tuple(os.path.expanduser(folder) for folder in folders)  # noqa: PTH111  # a folder that was typed stays as it was
    # Until the server takes over, SIGTERM and SIGHUP end the block below in order, too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="letterhead-") as folder:
        index = Path(folder, "index")
        built = _index(index, folders)
        _say_what(built, folders)
        word = _a_word(index) if folders else "rabbit"
        application(index).run(*at, on_ready=lambda server: _say_how(server, word))


def _try_to_listen(at: Sequence[str]) -> None:
    """An address that is in use should be known before the indexing, not after."""
    for place in [parse(text) for text in at]:
        for sock in listen(place, Limits()):
            sock.close()
        if place.path is not None:
            Path(place.path).unlink(missing_ok=True)


def _index(path: Path, folders: Sequence[str]) -> Built:
    """Index the folders, with a progress bar if there is somebody to see it."""
    if not folders:
        return build(path, SAMPLES)
    if not sys.stderr.isatty():
        return build_folders(path, folders)
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("indexing"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("indexing", total=None)

        def advance(_: int, done: int, __: int, size: int) -> None:
            bar.update(task, completed=done, total=size)

        return build_folders(path, folders, advance)


def _say_what(built: Built, folders: Sequence[str]) -> None:
    skipped = ", ".join(f"{count:,} {reason}" for reason, count in sorted(built.skipped.items()))
    if not built.documents:
        why = f" ({skipped})" if skipped else ""
        raise NothingToSearch(f"no text to search in {', '.join(folders)}{why}: name a folder with text files in it")
    if not folders:
        click.echo(f"no folder is named, so there are three samples: {', '.join(sample.title for sample in SAMPLES)}")
        return
    documents = f"{built.documents:,} document{'s' * (built.documents != 1)}"
    size = f"{built.bytes / 1e6:.1f} MB" if built.bytes >= 1e6 else f"{built.bytes / 1e3:.1f} kB"
    speed = built.bytes / 1e6 / max(built.seconds, 1e-6)
    left_out = f"; left out: {skipped}" if skipped else ""
    click.echo(f"indexed {documents}, {size} in {built.seconds:.2f} s ({speed:.1f} MB/s){left_out}")


def _a_word(index: Path) -> str:
    """A word to ask for: one of a title, so that something is found."""
    with contextlib.closing(sqlite3.connect(index)) as connection:
        (title,) = connection.execute("SELECT title FROM documents ORDER BY length(title), id LIMIT 1").fetchone()
    return next((" ".join(word) for word in words(title)), "words")


def _say_how(server: Server, query: str) -> None:
    say_where(server.addresses)
    address = for_clients(server.addresses)
    program = f'import letterhead; print(letterhead.Client("{address}").call("search", query="{query}"))'
    click.echo("elsewhere:")
    click.echo(f"  {letterhead_elsewhere()} search {shlex.quote(address)} {shlex.quote(query)}")
    click.echo(f"  {python_elsewhere()} -c {shlex.quote(program)}")

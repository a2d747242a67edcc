"""``letterhead serve``: a search over folders of text, indexed when it starts."""

import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from letterhead.cli.listening import at_option, for_clients, say_where
from letterhead.limits import Limits
from letterhead.net.address import listen, parse
from letterhead.net.server import Server
from letterhead.search.application import application
from letterhead.search.documents import SAMPLES
from letterhead.search.index import Built, build, build_folders

_TERMINATED = 128 + signal.SIGTERM


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
    # Until the server takes over, SIGTERM ends the block below in order, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    with tempfile.TemporaryDirectory(prefix="letterhead-") as folder:
        index = Path(folder, "index")
        built = _index(index, folders)
        _say_what(built, folders)
        application(index).run(*at, on_ready=lambda server: _say_how(server, "rabbit" if not folders else "words"))


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


def _say_how(server: Server, words: str) -> None:
    say_where(server.addresses)
    address = for_clients(server.addresses)
    python = f'import letterhead; print(letterhead.Client("{address}").call("search", query="{words}"))'
    click.echo(f"elsewhere:\n  letterhead search {shlex.quote(address)} {words}\n  python -c {shlex.quote(python)}")

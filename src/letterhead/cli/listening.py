"""What the commands that serve share: where to listen, and what to type elsewhere."""

import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from letterhead.cli import completing
from letterhead.server.signals import how_to_stop
from letterhead.transport.address import parse

F = TypeVar("F", bound=Callable[..., Any])

_EVERYWHERE = ("0.0.0.0", "::")


def at_option(function: F) -> F:
    """The option ``--at``, which may stand several times."""
    return click.option(
        "--at",
        multiple=True,
        default=("127.0.0.1:65432",),
        show_default=True,
        metavar="ADDRESS",
        shell_complete=completing.addresses,
        help="Listen there: HOST:PORT, [::1]:PORT, :PORT (every interface) or unix:PATH; port 0 takes a free one.",
    )(function)


def say_where(addresses: Sequence[str]) -> None:
    """Say where a server listens."""
    click.echo(f"listening at {' and '.join(addresses)}; {how_to_stop()} stops")


def letterhead_elsewhere() -> str:
    """How this command is typed in another shell: by its path where the name alone would not find it."""
    script = Path(sys.executable).with_name("letterhead")
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m letterhead"
    return "letterhead" if _is_found(script) else shlex.quote(str(script))


def python_elsewhere() -> str:
    """How the Python that has Letterhead is started in another shell on this machine."""
    python = Path(sys.executable).with_name("python")
    return "python" if _is_found(python) else shlex.quote(sys.executable)


def _is_found(program: Path) -> bool:
    found = shutil.which(program.name)
    return found is not None and Path(found).absolute() == program.absolute()


def for_clients(addresses: Sequence[str]) -> str:
    """The address by which clients on this machine reach a server that listens there."""
    first = parse(addresses[0])
    return f"localhost:{first.port}" if first.host in _EVERYWHERE else addresses[0]

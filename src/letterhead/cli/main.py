"""The command ``letterhead``: finds the command that was typed, and says in one line what went wrong.

A command is the module of its name in this folder (``_`` stands for ``-``), imported when it is typed: ``letterhead
call`` starts without what ``letterhead serve`` needs (an event loop, SQLite, a progress bar). So this file imports no
more than every command does, and the list below is all that ``--help`` knows of them.

Exit status: 0 success; 1 what was asked for failed; 2 it was asked for wrongly; 130 Ctrl-C. What a user or another
program can be the cause of is told in one line on stderr. A traceback is a bug of Letterhead or of the application that
``letterhead run`` serves.
"""

import contextlib
import io
import platform
import sys
from importlib import import_module

import click

from letterhead.cli.text import one_line
from letterhead.errors import LetterheadError, UsageError

_COMMANDS = {
    "serve": "Serve a search over folders of text.",
    "run": "Serve an application of your own.",
    "search": "Ask a server's search.",
    "call": "Call an action of a server.",
    "ping": "Measure how long a server takes to answer.",
    "echo-server": "Send back every byte that comes.",
    "echo-client": "See whether an echo server does.",
}
_INTERRUPTED = 130


class _Commands(click.Group):
    """The commands, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"letterhead.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        try:
            version = metadata.version("letterhead")
        except metadata.PackageNotFoundError:
            version = "(not installed)"
        click.echo(f"letterhead {version}, Python {platform.python_version()}")
        ctx.exit()


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  letterhead serve ~/notes                            search them at 127.0.0.1:65432
  letterhead search 127.0.0.1:65432 white rabbit      in another terminal
  letterhead run server:app                           the App `app` in server.py
  letterhead call 127.0.0.1:65432 greet name=Ada
  letterhead call 127.0.0.1:65432 letterhead.describe

An address is HOST:PORT, [::1]:PORT, :PORT or unix:PATH. `letterhead COMMAND --help` tells more.""",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Say which one.")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Programs that talk in self-describing frames: serve them, call them, search with them."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(2)


def main() -> None:
    """Run the command that was typed, and exit with its status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character gets it escaped, instead of no answer at all.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.exit(commands.main(standalone_mode=False))
    except click.UsageError as error:
        hint = f"; see '{error.ctx.command_path} --help'" if error.ctx is not None else ""
        _fail(error.format_message().rstrip(".") + hint, error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(_INTERRUPTED)
    except UsageError as error:
        _fail(error.message, 2)
    except LetterheadError as error:
        _fail(error.message, 1)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error), 1)


def _fail(sentence: str, status: int) -> None:
    with contextlib.suppress(OSError):  # nobody reads stderr: the status says enough
        click.echo(f"letterhead: {one_line(sentence, 1_000)}", err=True)
    sys.exit(status)

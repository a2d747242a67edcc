"""The command ``letterhead``: finds the command that was typed, and says in one line what went wrong.

A command is the module of its name in this folder (``_`` stands for ``-``), imported when it is typed: ``letterhead
call`` starts without what ``letterhead serve`` needs (an event loop, SQLite, a progress bar). So this file imports no
more than every command does, and the list below is all that ``--help`` knows of them.

Exit status: 0 success; 1 what was asked for failed, or whoever read stdout stopped early, as head(1) does; 2 it was
asked for wrongly; 130 Ctrl-C, save that servers end with 0. What a user or another program can be the cause of is told
in one line on stderr. A traceback is a bug of Letterhead or of the application that ``letterhead run`` serves.
"""

import contextlib
import gc
import io
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING

import click

from letterhead.cli.failing import Failed, as_line
from letterhead.errors import LetterheadError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMMANDS = {
    "serve": "Serve a search over folders of text.",
    "run": "Serve an application of your own.",
    "search": "Ask a server's search.",
    "call": "Call an action of a server.",
    "send": "Send a file or stdin to a server.",
    "describe": "List the actions of a server.",
    "ping": "Measure how long a server takes to answer.",
    "health": "Ask whether a server takes requests.",
    "echo-server": "Send back every byte that comes.",
    "echo-client": "See whether an echo server does.",
    "proxy": "Stand between a client and a server as a bad network.",
    "completion": "Print a script for completion in a shell.",
}
_COMPLETE = "_LETTERHEAD_COMPLETE"
"""The variable by which a shell asks for completions (shells.py)."""
_INTERRUPTED = 130
_WRITING = (__name__, "click.utils", "letterhead.cli.text")
"""The modules that write to stdout and stderr."""


class _Commands(click.Group):
    """The group of commands, each imported when it is needed."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            import difflib

            near = difflib.get_close_matches(name, _COMMANDS, n=1)
            meant = f". Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{name}'{meant}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        with _without_garbage():
            command: click.Command = import_module(f"letterhead.cli.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=what) for name, what in _COMMANDS.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


@contextlib.contextmanager
def _without_garbage() -> Iterator[None]:
    """Import without a look for garbage, then and later: what is imported stays until the process ends.

    Those looks, most of them at the end, were 12 of the 80 ms of a call.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        import platform
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
  letterhead describe 127.0.0.1:65432                 what there is to call

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
    _open_what_is_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show a character gets it escaped, instead of no answer at all.
        sys.stdout.reconfigure(errors="backslashreplace")
    if _COMPLETE in os.environ:
        from letterhead.cli.shells import register

        register()
    try:
        status = commands.main(standalone_mode=False, complete_var=_COMPLETE)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where its failure can be told
        sys.exit(status)
    except click.UsageError as error:
        hint = f"; see '{error.ctx.command_path} --help'" if error.ctx is not None else ""
        _fail(as_line(error.format_message().rstrip(".") + hint), error.exit_code)
    except Failed as error:
        _fail(error.line(), error.exit_code)
    except click.ClickException as error:
        _fail(as_line(error.format_message()), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(_INTERRUPTED)
    except UsageError as error:
        _fail(as_line(error.message), 2)
    except LetterheadError as error:
        _fail(as_line(error.message), 1)
    except BrokenPipeError:
        # Whoever read stdout has read enough, as head(1) does: nobody is left to tell.
        _forget_stdout()
        sys.exit(1)
    except OSError as error:
        _forget_stdout()
        what = error.filename or ("the output could not be written" if _is_of_output(error) else None)
        said = error.strerror or str(error)
        _fail(as_line(f"{what}: {said}" if what else said), 1)


def _is_of_output(error: OSError) -> bool:
    """Whether it was raised where all that commands print is written: the error itself does not say."""
    import traceback  # here: few commands fail so

    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals["__name__"] in _WRITING


def _open_what_is_closed() -> None:
    """A standard stream that was closed gets /dev/null: a socket must not become descriptor 0, 1 or 2.

    What anybody writes to stderr would go into it, and event loops refuse such sockets. ``sys.stdout`` stays None.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is given out, which is this one; worker processes get it, too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _forget_stdout() -> None:
    """What could not be written is not tried again when Python ends, which would complain about it."""
    if sys.stdout is None:
        return
    with contextlib.suppress(OSError, ValueError):  # it has no descriptor, or is closed: then nothing is written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(line: str, status: int) -> None:
    with contextlib.suppress(OSError):  # nobody reads stderr: the status says enough
        click.echo(line, err=True)
    sys.exit(status)

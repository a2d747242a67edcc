"""``letterhead run``: serves an application from a module of the user's."""

import logging
import shlex
import sys
from collections.abc import Callable
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from letterhead.app.actions import Action
from letterhead.app.hooks import run_hooks
from letterhead.cli import faults, modules
from letterhead.cli.listening import at_option, for_clients, letterhead_elsewhere, say_where
from letterhead.log import say
from letterhead.server.app import App, not_while_imported
from letterhead.server.server import Server

log = logging.getLogger("letterhead.server")


class CannotLoad(click.ClickException):
    """There is no such application; the sentence says why."""

    exit_code = 2


class HookFailed(click.ClickException):
    """A start or stop hook of the application raised an error; the sentence says which and where."""

    exit_code = 1


@click.command(
    epilog="""\b
Examples:
  letterhead run server:app                        `app` in server.py, or in the package server
  letterhead run project/server.py:app
  letterhead run server:app --at 127.0.0.1:0 --at unix:/run/user/1000/app.sock"""
)
@click.argument("target", metavar="MODULE:APP", shell_complete=modules.applications)
@at_option
def command(target: str, at: tuple[str, ...]) -> None:
    """Serve APP, a letterhead.App in MODULE, until Ctrl-C.

    MODULE is a module's name, looked up from the current folder on, or the path of a .py file. What is being answered
    when Ctrl-C comes is answered; a second Ctrl-C does not wait.
    """
    app = load(target)
    app.start_hooks[:] = [_explained(hook, "start") for hook in app.start_hooks]
    app.stop_hooks[:] = [_explained(hook, "stop in order") for hook in app.stop_hooks]

    def ready(server: Server) -> None:
        say_where(server.addresses)
        address = shlex.quote(for_clients(server.addresses))
        click.echo("elsewhere:")
        for action in map(_typed, app.actions.values()) if app.actions else ("letterhead.describe",):
            click.echo(f"  {letterhead_elsewhere()} call {address} {action}")

    try:
        app.run(*at, on_ready=ready)
    except ExceptionGroup as failed:  # of several stop hooks; each traceback is in the log
        raise HookFailed("; ".join(map(str, failed.exceptions))) from None


def _typed(action: Action) -> str:
    return " ".join([shlex.quote(action.name), *(f"{name}=…" for name in action.parameters.required)])


def _explained(hook: Callable[[], Any], what: str) -> Callable[[], Any]:
    """The same hook; where it fails, its own traceback is logged, and the command ends with one sentence."""

    async def explained() -> None:
        try:
            await run_hooks([hook])
        except Exception as error:
            trace = faults.without_letterhead(error.__traceback__)
            say(
                log, logging.ERROR, "hook-failed", "a hook of the application failed",
                exc_info=error.with_traceback(trace), hook=what.partition(" ")[0],
            )  # fmt: skip
            raise HookFailed(f"the application could not {what}: {faults.told(error)}") from None

    return explained


def load(target: str) -> App:
    """The application that ``MODULE:APP`` names.

    Raises:
        CannotLoad: there is none.
    """
    place, colon, name = target.rpartition(":")
    if not (place and colon and name):
        raise CannotLoad(f"an application is written MODULE:APP, such as server:app, not '{target}'")
    with not_while_imported():
        module = _module_in_file(Path(place)) if place.endswith(".py") else _module_named(place)
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise CannotLoad(f"{place} has no '{name}'{_apps_of(module)}")
        found = getattr(found, part)
    if not isinstance(found, App):
        raise CannotLoad(
            f"'{name}' in {place} is no letterhead.App but of type {type(found).__name__}{_apps_of(module)}"
        )
    return found


def _apps_of(module: ModuleType) -> str:
    names = sorted(name for name, value in vars(module).items() if isinstance(value, App))
    return f"; its applications: {', '.join(names)}" if names else ""


def _module_named(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise CannotLoad(f"there is no module '{error.name}' in {folder}, nor is one installed") from None
        raise _broken(name, error) from None
    except Exception as error:
        raise _broken(name, error) from None


def _module_in_file(path: Path) -> ModuleType:
    """Imported under the file's own name, from its folder: worker processes find it there again."""
    path = path.resolve()
    if not path.is_file():
        raise CannotLoad(f"there is no file {path}")
    name = path.stem
    if name in sys.modules or name in sys.stdlib_module_names:
        raise CannotLoad(f"there is a module '{name}' already: give {path.name} another name")
    sys.path.insert(0, str(path.parent))
    spec = util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CannotLoad(f"{path} cannot be imported")
    module = sys.modules[name] = util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _broken(path.name, error) from None
    return module


def _broken(name: str, error: Exception) -> CannotLoad:
    return CannotLoad(f"{name} cannot be imported: {faults.told(error)}")

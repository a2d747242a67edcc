"""Completion for ``letterhead run``: a module, and behind its colon the applications in it.

Modules are looked for where ``run`` looks that may be completed: the current folder, or the folder whose path has been
typed. They are parsed, never imported: who presses a key has not asked for anything to be run. So an application is
known by its first line alone, ``name = App(…)`` or ``name = letterhead.App(…)`` at the top level. One that is made
otherwise can be typed.

As everywhere in completion, what goes wrong means that nothing is offered.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from letterhead.cli.completing import item, may_be_offered

if TYPE_CHECKING:
    import ast

    from click.shell_completion import CompletionItem

_LONGEST_MODULE = 1_000_000
"""Bytes. It takes a second to parse them, and somebody waits."""


def applications(_: click.Context, __: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
    """``MODULE:`` while no colon has been typed, then ``MODULE:APP``."""
    module, colon, begun = incomplete.rpartition(":")
    if not colon:
        return [item(word, goes_on=True) for word in sorted(_modules(incomplete))]
    return [item(f"{module}:{name}") for name in _apps(module) if name.startswith(begun) and may_be_offered(name)]


def _modules(incomplete: str) -> Iterator[str]:
    """Modules and packages by name, or by path where a path has been begun; folders, where there may be more."""
    folder, slash, begun = incomplete.rpartition("/")
    try:
        entries = list(os.scandir(os.path.expanduser(folder + slash) or "."))  # noqa: PTH111  # names, as they are typed
    except OSError:
        return
    for entry in entries:
        name, dot, _ = entry.name.rpartition(".py")
        if not entry.name.startswith(begun) or not may_be_offered(entry.name) or entry.name.startswith("__"):
            continue
        if dot and entry.name.endswith(".py"):
            by_name = not slash and name.isidentifier() and name.startswith(begun)
            yield f"{folder}{slash}{name if by_name else entry.name}:"
        elif entry.is_dir():
            is_package = not slash and os.path.exists(f"{entry.path}/__init__.py")  # noqa: PTH110
            yield f"{folder}{slash}{entry.name}{':' if is_package else '/'}"


def _apps(module: str) -> list[str]:
    """The names of the applications in a module, in the order of its text."""
    import ast
    import warnings

    path = os.path.expanduser(module) if module.endswith(".py") else module.replace(".", "/")  # noqa: PTH111
    for file in (path,) if module.endswith(".py") else (f"{path}.py", f"{path}/__init__.py"):
        try:
            with open(file, "rb") as stream, warnings.catch_warnings(action="ignore"):  # noqa: PTH123
                text = stream.read(_LONGEST_MODULE + 1)
                tree = ast.parse(text if len(text) <= _LONGEST_MODULE else b"")
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # MemoryError: it nests too deeply
            continue
        return [name for statement in tree.body for name in _app_of(statement)]
    return []


def _app_of(statement: "ast.stmt") -> list[str]:
    """The names that a statement gives to a new App."""
    import ast

    if not isinstance(statement, ast.Assign | ast.AnnAssign) or not isinstance(statement.value, ast.Call):
        return []
    made = statement.value.func
    if (made.attr if isinstance(made, ast.Attribute) else made.id if isinstance(made, ast.Name) else "") != "App":
        return []
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]

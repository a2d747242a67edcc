"""Checks the structure of the package: ``check_layers.py [FOLDER]`` looks at FOLDER/src/letterhead.

* Layers. A module imports only from lower layers, or from its own without a circle. Its folder says which layer it
  is in (``LAYERS``); of the modules beside the folders, ``WORDS`` are the lowest. Imports inside functions and under
  ``TYPE_CHECKING`` count like others: a module that needs the words of a higher layer to describe its arguments
  depends on it all the same.
* No I/O and no clock in the modules of the folders of ``PURE``; a folder within one is another matter.
* An ``__init__.py`` holds no code; those whose names users import (``LAZY``) resolve them lazily.
* Classes stand whole: at most ``PRIVATE_MEMBERS`` private members, in the whole package, are set or defined by a base
  class in one file and used by a subclass in another.

Each problem is one line, ``file:line: sentence``; the exit status is 1 if there is one. Nothing is imported.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = "letterhead"

WORDS = frozenset({"errors", "limits", "message", "clock", "log"})
"""Modules of the lowest layer: they stand beside the folders, as the public API of the highest layers does."""
LAYERS: dict[str, tuple[int, str]] = {
    "wire": (1, "frames and content"),
    "content": (1, "frames and content"),
    "protocol": (2, "protocol"),
    "client": (3, "client core and application"),
    "app": (3, "client core and application"),
    "transport": (4, "transports, server and clients"),
    "server": (4, "transports, server and clients"),
    "client.blocking": (4, "transports, server and clients"),
    "client.aio": (4, "transports, server and clients"),
    "cli": (6, "public API"),
    "__main__": (6, "public API"),
    "": (6, "public API"),
}
"""The folders with a layer of their own, and its name. Whatever is not here is built with the package: ``OTHERS``."""
OTHERS = (5, "uses")

PURE = frozenset({"wire", "content", "protocol", "client"})
_IO = "asyncio concurrent multiprocessing select selectors signal socket ssl subprocess threading time uvloop"
IO_MODULES = frozenset([*_IO.split(), f"{PACKAGE}.clock"])

LAZY = ("", "testing")
"""Folders whose names users import. Nothing of the package imports what stands in their ``__init__.py``."""

PRIVATE_MEMBERS = 10


class Import(NamedTuple):
    """One imported module of any package, by its full name, and the line of the import."""

    line: int
    name: str


def layer_of(module: str) -> tuple[int, str]:
    """The layer of a module, named without the package (``wire.reader``; the package itself is empty)."""
    if module in WORDS:
        return 0, "words"
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        found = LAYERS.get(".".join(parts[:length]))
        if found is not None:
            return found
    return OTHERS


def check(root: Path) -> Iterator[str]:
    """The problems of the package under ``root``/src, one line each."""
    files = {_name(path, root): path for path in sorted((root / "src" / PACKAGE).rglob("*.py"))}
    edges: dict[str, set[str]] = {}
    trees: dict[str, ast.Module] = {}
    for module, path in files.items():
        shown = path.relative_to(root).as_posix()
        tree = trees[shown] = ast.parse(path.read_text(encoding="utf-8"), shown)
        if path.name == "__init__.py":
            yield from (f"{shown}:{line}: {text}" for line, text in _init(tree, module))
            if module:
                continue
        for found in dict.fromkeys(_imports(tree, module, path.name == "__init__.py", files)):
            problem = _problem(found, module, files)
            if problem:
                yield f"{shown}:{found.line}: {problem}"
            if _ours(found.name):
                edges.setdefault(module, set()).add(_inner(found.name))
    for circle in _circles(edges):
        shown = files[circle[0]].relative_to(root).as_posix()
        yield f"{shown}:1: imports in a circle: {' → '.join([*circle, circle[0]])}"
    yield from _divided(trees)


def _name(path: Path, root: Path) -> str:
    parts = path.relative_to(root / "src" / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _inner(name: str) -> str:
    return name.removeprefix(PACKAGE).removeprefix(".")


def _imports(tree: ast.Module, module: str, is_package: bool, files: dict[str, Path]) -> Iterator[Import]:
    """Every import in the module, wherever it stands; ``from x import y`` names x.y where that is a module."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (Import(node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=source, names=names, level=level):
                base = source or ""
                if level:
                    parts = [PACKAGE, *filter(None, module.split("."))]
                    parts = parts[: len(parts) - level + is_package]
                    base = ".".join([*parts, *filter(None, [source])])
                for alias in names:
                    deeper = f"{base}.{alias.name}"
                    yield Import(node.lineno, deeper if _ours(deeper) and _inner(deeper) in files else base)
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[first, *_]):
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield Import(node.lineno, first.value)


def _ours(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def _problem(found: Import, module: str, files: dict[str, Path]) -> str | None:
    """What is wrong with an import, or None."""
    level, name = layer_of(module)
    if module.rpartition(".")[0] in PURE:
        top = found.name if _ours(found.name) else found.name.partition(".")[0]
        if top in IO_MODULES:
            return f"{module} imports {top}: there is no I/O and no clock in {module.rpartition('.')[0]}"
    if not _ours(found.name):
        return None
    inner = _inner(found.name)
    if inner not in files:
        return f"{module} imports {found.name}, which is no module"
    if files[inner].name == "__init__.py" and inner:
        return f"{module} imports {found.name}, a folder without code: import a module of it"
    theirs, their_name = layer_of(inner)
    if theirs > level:
        return f"{module} in layer {level} ({name}) imports {inner or PACKAGE} from layer {theirs} ({their_name})"
    return None


def _init(tree: ast.Module, module: str) -> Iterator[tuple[int, str]]:
    """What does not belong into an ``__init__.py``."""
    for number, node in enumerate(tree.body):
        if number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if module not in LAZY:
            yield node.lineno, f"code in the __init__.py of {module}: it holds a docstring at most"
        elif not _lazy(node):
            where = "/".join([PACKAGE, *module.split(".")] if module else [PACKAGE])
            yield node.lineno, f"{where}/__init__.py holds lazy names and nothing else: move this to a module"


def _lazy(node: ast.stmt) -> bool:
    """True for what lazy names are made of: tables, __getattr__ and __dir__, imports for type checkers."""
    match node:
        case ast.Import(names=names):
            return not any(_ours(alias.name) for alias in names)
        case ast.ImportFrom(module=source, level=level):
            return level == 0 and not _ours(source or "")
        case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), body=body, orelse=[]):
            return all(isinstance(inner, ast.Import | ast.ImportFrom) for inner in body)
        case ast.If(test=ast.UnaryOp(op=ast.Not(), operand=ast.Name(id="TYPE_CHECKING")), body=body, orelse=[]):
            return all(_lazy(inner) for inner in body)
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return not any(isinstance(inner, ast.Lambda) for inner in ast.walk(value))
        case ast.FunctionDef(name=name):
            return name in ("__getattr__", "__dir__")
    return False


def _circles(edges: dict[str, set[str]]) -> Iterator[list[str]]:
    """Each circle of imports once, from its first module in alphabetical order."""
    seen: set[frozenset[str]] = set()
    done: set[str] = set()

    def walk(module: str, trail: list[str]) -> Iterator[list[str]]:
        if module in trail:
            circle = trail[trail.index(module) :]
            if len(circle) > 1 and frozenset(circle) not in seen:
                seen.add(frozenset(circle))
                start = circle.index(min(circle))
                yield circle[start:] + circle[:start]
            return
        if module in done:
            return
        for target in sorted(edges.get(module, ())):
            yield from walk(target, [*trail, module])
        done.add(module)

    for module in sorted(edges):
        yield from walk(module, [])


class Class(NamedTuple):
    """A class, and the private members of ``self`` that its body sets or defines (``made``) and uses."""

    shown: str
    node: ast.ClassDef
    made: frozenset[str]
    used: frozenset[str]


def _divided(trees: dict[str, ast.Module]) -> Iterator[str]:
    """One line for each class that uses private members of a base class in another file, if they are too many."""
    classes: dict[str, list[Class]] = {}
    for shown, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(Class(shown, node, *_private(node)))
    across = [(one, names) for found in classes.values() for one in found if (names := _borrowed(one, classes))]
    if sum(len(names) for _, names in across) > PRIVATE_MEMBERS:
        for one, names in across:
            listed = ", ".join(sorted(names))
            yield (
                f"{one.shown}:{one.node.lineno}: {one.node.name} uses private members of a base class in another file "
                f"({listed}): a class stands whole in one file"
            )


def _private(node: ast.ClassDef) -> tuple[frozenset[str], frozenset[str]]:
    made: set[str] = set()
    used: set[str] = set()
    for item in ast.walk(node):
        match item:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if name.startswith("_"):
                made.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name) if name[0] == "_" and name[:2] != "__":
                (used if isinstance(item.ctx, ast.Load) else made).add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                made.add(name)
    return frozenset(made), frozenset(used)


def _bases(node: ast.ClassDef) -> Iterator[str]:
    for base in node.bases:
        match base:
            case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)):
                yield name


def _borrowed(one: Class, classes: dict[str, list[Class]]) -> set[str]:
    names: set[str] = set()
    todo, seen = list(_bases(one.node)), set[str]()
    while todo:
        base = todo.pop()
        if base in seen:
            continue
        seen.add(base)
        for parent in classes.get(base, []):
            if parent.shown != one.shown:
                names |= one.used & parent.made - one.made
            todo += _bases(parent.node)
    return names


def main(arguments: list[str]) -> int:
    """Print the problems; the exit status."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    problems = list(check(root))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Checks that no module of the package climbs: `check_floors.py [FOLDER]` looks at FOLDER/src/letterhead.

The house stands in `FLOORS`, lowest first. A module imports only from lower floors and from earlier rooms of
its own floor; imports inside functions and under `TYPE_CHECKING` count like others, because a room that needs
the words of a higher floor to describe its arguments depends on it all the same. Floors 0 to 2 have no I/O
and no clock. No module is longer than 400 lines, an `__init__.py` holds no code, and those whose names users
import (`LAZY`) resolve them lazily.

Each problem is one line, `file:line: sentence`; the exit code is 1 if there is one. Nothing is imported.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PACKAGE = "letterhead"

# A room is a module, or a folder (`search.*`) whose modules may import one another, though not in a circle.
FLOORS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("words", ("errors", "events", "limits", "message")),
    (
        "wire and content",
        (
            "wire.strict_json",
            "wire.foreign",
            "wire.header",
            "wire.reader",
            "wire.writer",
            "content.encoded",
            "content.text",
            "content.json",
            "content.msgpack",
            "content.ndarray",
            "content.compression",
            "content.registry",
            "content.typed",
        ),
    ),
    (
        "exchange",
        (
            "exchange.fields",
            "exchange.states",
            "exchange.timeouts",
            "exchange.budget",
            "exchange.counters",
            "exchange.streams",
            "exchange.admission",
            "exchange.requests",
            "exchange.replies",
            "exchange.sources",
            "exchange.timing",
            "exchange.calls",
            "exchange.openings",
            "exchange.items",
            "exchange.repeating",
            "exchange.liveness",
            "exchange.asking",
            "exchange.requester",
            "exchange.pool",
            "exchange.answering",
            "exchange.responder",
        ),
    ),
    (
        "app",
        (
            "clock",
            "app.hints",
            "app.hooks",
            "app.arguments",
            "app.context",
            "app.app",
            "app.describe",
            "app.processes",
            "app.tasks",
            "app.threads",
            "app.turns",
            "app.encoder",
            "app.streaming",
            "app.uploads",
            "app.runner",
        ),
    ),
    (
        "net",
        (
            "net.address",
            "net.stop",
            "net.names",
            "net.eyeballs",
            "net.dial",
            "net.listeners",
            "net.reports",
            "net.caller",
            "net.waiting",
            "net.expiry",
            "net.tls",
            "net.connection",
            "net.wire",
            "net.outbox",
            "net.waiters",
            "net.carrier",
            "net.link",
            "net.links",
            "net.streams",
            "net.shared",
            "net.server_connection",
            "net.leaving",
            "net.server",
            "net.serving",
            "net.client_connection",
            "net.async_dial",
            "net.async_connections",
            "net.async_streams",
            "net.async_client",
            "net.blocking",
            "net.client",
            "net.workers",
        ),
    ),
    ("uses", ("testing.*", "echo", "echo_client", "search.*", "files.*", "tools.*", "bridges.*", "console.*")),
    ("door", ("", "cli.*", "__main__")),
)

# Folders whose names users import. What stands in their `__init__.py` is no room: nothing of the package imports it.
LAZY = ("", "testing")

# Floors below this one have no I/O and no clock: these modules stay out of them.
FIRST_WITH_IO = 3
_IO = "asyncio concurrent multiprocessing select selectors signal socket ssl subprocess threading time uvloop"
IO_MODULES = frozenset(_IO.split())

LONGEST = 400


class Place(NamedTuple):
    """Where a module stands: its floor, and the number of its room there. Places compare by height."""

    floor: int
    room: int


class Import(NamedTuple):
    """One imported module of any package, by its full name, and the line of the import."""

    line: int
    name: str


def place_of(module: str) -> Place | None:
    """The place of a module, named without the package (`wire.reader`; the package itself is empty)."""
    for floor, (_, rooms) in enumerate(FLOORS):
        for number, room in enumerate(rooms):
            if module == room or (room.endswith(".*") and f"{module}.".startswith(room[:-1])):
                return Place(floor, number)
    return None


def check(root: Path) -> Iterator[str]:
    """The problems of the package under `root`/src, one line each."""
    files = {_name(path, root): path for path in sorted((root / "src" / PACKAGE).rglob("*.py"))}
    edges: dict[str, set[str]] = {}
    for module, path in files.items():
        shown = path.relative_to(root).as_posix()
        source = path.read_text(encoding="utf-8")
        lines = source.count("\n")
        if lines > LONGEST:
            yield f"{shown}:{lines}: {lines} lines are more than {LONGEST}: make two rooms of it"
        tree = ast.parse(source, shown)
        if path.name == "__init__.py":
            yield from (f"{shown}:{line}: {text}" for line, text in _init(tree, module))
            if module:
                continue
        place = place_of(module)
        if place is None:
            yield f"{shown}:1: {module} has no place in the house: give it one in FLOORS of check_floors.py"
            continue
        for found in dict.fromkeys(_imports(tree, module, path.name == "__init__.py", files)):
            problem = _problem(found, module, place, files)
            if problem:
                yield f"{shown}:{found.line}: {problem}"
            if _ours(found.name):
                edges.setdefault(module, set()).add(_inner(found.name))
    for circle in _circles(edges):
        shown = files[circle[0]].relative_to(root).as_posix()
        yield f"{shown}:1: imports in a circle: {' → '.join([*circle, circle[0]])}"


def _name(path: Path, root: Path) -> str:
    parts = path.relative_to(root / "src" / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _inner(name: str) -> str:
    return name.removeprefix(PACKAGE).removeprefix(".")


def _imports(tree: ast.Module, module: str, is_package: bool, files: dict[str, Path]) -> Iterator[Import]:
    """Every import in the module, wherever it stands; `from x import y` names x.y where that is a module."""
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


def _problem(found: Import, module: str, place: Place, files: dict[str, Path]) -> str | None:
    """What is wrong with an import, or None."""
    here = f"floor {place.floor} ({FLOORS[place.floor][0]})"
    if not _ours(found.name):
        top = found.name.partition(".")[0]
        if place.floor < FIRST_WITH_IO and top in IO_MODULES:
            return f"{module} stands on {here}, which has no I/O and no clock, and imports {top}"
        return None
    inner = _inner(found.name)
    target = place_of(inner)
    if inner not in files:
        return f"{module} imports {found.name}, which is no module"
    if target is None:
        if files[inner].name == "__init__.py":
            return f"{module} imports {found.name}, a folder without code: import a module of it"
        return None  # the module without a place is a problem of its own
    if target < place or (target == place and FLOORS[place.floor][1][place.room].endswith(".*")):
        return None
    if target.floor == place.floor:
        return f"{module} imports {inner or PACKAGE}, a room that does not stand before it on {here}"
    return f"{module} on {here} imports {inner or PACKAGE} from floor {target.floor} ({FLOORS[target.floor][0]})"


def _init(tree: ast.Module, module: str) -> Iterator[tuple[int, str]]:
    """What does not belong into an `__init__.py`."""
    for number, node in enumerate(tree.body):
        if number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if module not in LAZY:
            yield node.lineno, f"code in the __init__.py of {module}: it holds a docstring at most"
        elif not _lazy(node):
            where = "/".join([PACKAGE, *module.split(".")] if module else [PACKAGE])
            yield node.lineno, f"{where}/__init__.py holds lazy names and nothing else: move this to a room"


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


def main(arguments: list[str]) -> int:
    """Print the problems; the exit code."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    problems = list(check(root))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

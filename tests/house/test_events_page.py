"""docs/events.md lists the events that the code tells, with their levels and fields."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src/letterhead").rglob("*.py"))
PAGE = ROOT / "docs/events.md"
_NAME = re.compile(r"[a-z]+(-[a-z]+)+|connected|listening|draining|drained")
_ROW = re.compile(r"^\| `([a-z-]+)` \| ([A-Z]+(?: or [A-Z]+)*) \| ([^|]*) \| [^|]+ \|$", re.MULTILINE)


_TELLING = ("say", "tell", "_tell", "_report", "Logged", "write_failure")


class Event(NamedTuple):
    """One kind of event."""

    levels: frozenset[str]
    fields: frozenset[str]


def told() -> dict[str, Event]:
    """The events in the code, by name: calls of `say`, and of what hands on to it."""
    found: dict[str, Event] = {}
    for path in SOURCES:
        for name, event in _said(ast.parse(path.read_text(encoding="utf-8"))):
            before = found.get(name, Event(frozenset(), frozenset()))
            found[name] = Event(before.levels | event.levels, before.fields | event.fields)
    return found


def _said(tree: ast.Module) -> Iterator[tuple[str, Event]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or _called(node.func) not in _TELLING:
            continue
        names = [str(arg.value) for arg in node.args if isinstance(arg, ast.Constant) and _is_name(arg.value)]
        if not names:
            continue  # it hands on what it was told
        levels = {_called(inner) for arg in _levels(node, tree) for inner in ast.walk(arg) if _is_level(inner)}
        if _called(node.func) == "write_failure":
            levels.add("ERROR")
        fields = {keyword.arg for keyword in node.keywords if keyword.arg and keyword.arg != "exc_info"}
        for arg in node.args:
            if isinstance(arg, ast.Dict):
                fields |= {str(key.value) for key in arg.keys if isinstance(key, ast.Constant)}
        yield names[0], Event(frozenset(levels), frozenset(fields))


def _called(function: ast.AST) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_level(node: ast.AST) -> bool:
    return isinstance(node, ast.expr) and _called(node) in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def _levels(call: ast.Call, tree: ast.Module) -> Iterator[ast.expr]:
    """The arguments of a call, and for a variable called ``level`` what it is given in that module."""
    for arg in call.args:
        yield arg
        if _called(arg) == "level":
            for node in ast.walk(tree):
                if isinstance(node, ast.Assign) and [_called(target) for target in node.targets] == ["level"]:
                    yield node.value


def listed() -> dict[str, Event]:
    """The events on the page."""
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len({name for name, _, _ in rows}) == len(rows), "an event stands there twice"
    return {
        name: Event(frozenset(levels.split(" or ")), frozenset(re.findall(r"`([a-z_]+)`", fields)))
        for name, levels, fields in rows
    }


def test_the_page_lists_the_events_that_the_code_tells() -> None:
    assert listed() == told()


def test_the_code_is_read_at_all() -> None:
    assert {"listening", "handler-failed", "peer-misbehaved"} <= told().keys()

"""Write docs/limits.md from the docstrings of `Limits`, the one place where the limits and their reasons stand."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/letterhead/limits.py"
PAGE = ROOT / "docs/limits.md"
_INTRODUCTION = """\
# Limits

Every bound is a field of `letterhead.Limits`: `App(limits=Limits(content_bytes=64 << 20))`. Sizes are bytes, times are
seconds. A value that makes no sense is refused with a sentence that says why. The defaults were chosen against what
trusted servers use.
"""
_UNITS = {"KIB": "KiB", "MIB": "MiB"}


def page() -> str:
    """The page's text."""
    return _INTRODUCTION + "".join(_lines(SOURCE.read_text(encoding="utf-8")))


def _lines(source: str) -> Iterator[str]:
    lines = source.splitlines()
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    body = classes[0].body
    for field, doc in pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(doc, ast.Expr) and field.value is not None):
            continue
        above = lines[field.lineno - 2].strip()
        if above.startswith("# -- "):
            yield f"\n## {above.strip('#- ').capitalize()}\n\n| limit | default | what it bounds |\n|---|---|---|\n"
        text = ast.literal_eval(doc.value).replace("``", "`")
        yield f"| `{ast.unparse(field.target)}` | {_shown(field.value)} | {text} |\n"


def _shown(value: ast.expr) -> str:
    if isinstance(value, ast.BinOp):
        return f"{_shown(value.left)} {ast.unparse(value.right).replace('KIB', 'KiB').replace('MIB', 'MiB')}"
    if isinstance(value, ast.Name):
        return f"1 {_UNITS[value.id]}"
    number = ast.literal_eval(value)
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""The public names: what `import letterhead` offers, to programs and to type checkers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import letterhead


def names_for_type_checkers() -> list[str]:
    tree = ast.parse(Path(letterhead.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name))
    return [alias.asname or "" for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]


def test_type_checkers_know_the_names_that_programs_get() -> None:
    assert sorted(names_for_type_checkers()) == sorted(letterhead.__all__)


def test_every_name_is_there_under_its_own_name() -> None:
    for name in letterhead.__all__:
        assert getattr(letterhead, name).__name__ == name
        assert name in dir(letterhead)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = getattr(letterhead, "Nothing")  # noqa: B009  # type checkers know that it is not there


@pytest.mark.smoke
def test_a_program_that_only_calls_imports_nothing_heavy() -> None:
    program = "import sys, letterhead; letterhead.Client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert not {"asyncio", "uvloop", "click", "rich", "sqlite3", "pebble"} & set(done.stdout.split())

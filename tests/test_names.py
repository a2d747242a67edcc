"""The public names: what `letterhead` and `letterhead.testing` offer, to programs and to type checkers."""

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import letterhead
from letterhead import testing

packages = pytest.mark.parametrize("package", [letterhead, testing], ids=lambda package: package.__name__)


def names_for_type_checkers(package: ModuleType) -> list[str]:
    tree = ast.parse(Path(package.__file__ or "").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name))
    return [alias.asname or "" for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]


@packages
def test_type_checkers_know_the_names_that_programs_get(package: ModuleType) -> None:
    assert sorted(names_for_type_checkers(package)) == sorted(package.__all__)


@packages
def test_every_name_is_there_under_its_own_name(package: ModuleType) -> None:
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
        assert name in dir(package)


@packages
def test_a_name_that_is_not_there_is_an_attribute_error(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = getattr(package, "Nothing")  # noqa: B009  # type checkers know that it is not there


def test_no_module_of_letterhead_testing_has_the_name_of_what_it_offers() -> None:
    modules = {path.stem for path in Path(testing.__file__).parent.glob("*.py")}
    assert not modules & set(testing.__all__), "an imported module is an attribute of its package, too"


@pytest.mark.smoke
def test_a_program_that_only_calls_imports_nothing_heavy() -> None:
    program = "import sys, letterhead; letterhead.Client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True)
    assert not {"asyncio", "uvloop", "click", "rich", "sqlite3", "pebble"} & set(done.stdout.split())

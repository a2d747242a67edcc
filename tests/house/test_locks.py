"""The locks name files by hash and no registry, agree with each other, and hold what is asked for."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def locked(name: str) -> dict[str, str]:
    """Name → version of each package in a lock."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def names(requirements: list[Any]) -> set[str]:
    """The package names of a list of requirements."""
    return {re.split(r"[^\w.-]", item)[0] for item in requirements if isinstance(item, str)}


def test_all_locks_are_there() -> None:
    assert [path.stem for path in LOCKS] == ["dev", "lock", "runtime", "test"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_package_is_pinned_with_hashes_and_no_registry_is_named(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash)", text, re.MULTILINE)
    entries = [line for line in text.replace("\\\n", " ").splitlines() if not line.lstrip().startswith("#")]
    assert entries
    for entry in entries:
        assert re.match(r"[\w.-]+==[\w.]+( ; .+?)?( +--hash=sha256:[0-9a-f]{64})+ *$", entry), entry[:80]


@pytest.mark.parametrize(("small", "large"), [("runtime", "test"), ("test", "dev")])
def test_a_larger_lock_holds_the_same_versions(small: str, large: str) -> None:
    assert locked(small).items() <= locked(large).items()


def test_the_locks_hold_what_is_asked_for() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = asked["dependency-groups"]
    assert groups["build"] == asked["build-system"]["requires"]
    extras = [requirement for extra in asked["project"]["optional-dependencies"].values() for requirement in extra]
    assert names([*asked["project"]["dependencies"], *extras, *groups["build"]]) <= locked("runtime").keys()
    assert names(groups["test"]) <= locked("test").keys()
    assert names(groups["dev"]) <= locked("dev").keys()
    assert names(groups["lock"]) == locked("lock").keys()

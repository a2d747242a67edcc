"""find_python.sh: takes a Python that answers, in the order promised, and without one says what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def interpreter(path: Path, minor: int, ability: str = "able") -> Path:
    """A program that answers as Python 3.`minor` would, with its own path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 3 {minor} {ability} '{path}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def broken(path: Path) -> None:
    """A program that is there but fails, as pyenv's shims do for versions that are switched off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\necho 'no such version' >&2\nexit 127\n", encoding="utf-8")
    path.chmod(0o755)


def find(*arguments: str, path: list[Path] | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script with nothing in its environment but PATH and what is given."""
    names = os.pathsep.join(str(folder) for folder in path or [Path("/nowhere")])
    return subprocess.run(
        ["/bin/sh", str(ROOT / "scripts" / "find_python.sh"), *arguments],
        env={"PATH": names, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_real_python_is_found_behind_its_environment() -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    done = find(version, path=[Path(sys.executable).parent])
    assert done.returncode == 0
    assert Path(done.stdout.strip()).parent == Path(sys.base_prefix, "bin")


def test_3_11_comes_first_then_the_newest(tmp_path: Path) -> None:
    old, new, newest = (interpreter(tmp_path / f"python3.{minor}", minor) for minor in (11, 12, 13))
    assert find(path=[tmp_path]).stdout.strip() == str(old)
    old.unlink()
    assert find(path=[tmp_path]).stdout.strip() == str(newest)
    newest.unlink()
    assert find(path=[tmp_path]).stdout.strip() == str(new)


def test_a_plain_python3_that_is_new_enough_will_do(tmp_path: Path) -> None:
    interpreter(tmp_path / "a" / "python3", 10)
    found = interpreter(tmp_path / "b" / "python3", 15)
    assert find(path=[tmp_path / "a", tmp_path / "b"]).stdout.strip() == str(found)


def test_one_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    broken(tmp_path / "a" / "python3.11")
    found = interpreter(tmp_path / "b" / "python3.11", 11)
    assert find(path=[tmp_path / "a", tmp_path / "b"]).stdout.strip() == str(found)


def test_one_with_another_version_than_its_name_is_passed_over(tmp_path: Path) -> None:
    interpreter(tmp_path / "a" / "python3.12", 11)
    assert find("3.12", path=[tmp_path / "a"]).returncode == 1


def test_versions_behind_shims_and_in_pyenv_s_folder_are_found(tmp_path: Path) -> None:
    broken(tmp_path / "shims" / "python3.12")
    found = interpreter(tmp_path / "versions" / "3.12.1" / "bin" / "python3.12", 12)
    assert find("3.12", path=[tmp_path / "shims"]).stdout.strip() == str(found)
    assert find("3.12", PYENV_ROOT=str(tmp_path)).stdout.strip() == str(found)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".pyenv").symlink_to(tmp_path)
    assert find("3.12", HOME=str(tmp_path / "home")).returncode == 0


def test_a_folder_with_a_blank_in_its_name_is_no_trouble(tmp_path: Path) -> None:
    found = interpreter(tmp_path / "my programs" / "python3.11", 11)
    assert find(path=[tmp_path / "my programs"]).stdout.strip() == str(found)


def test_the_one_that_is_asked_for_is_taken_before_all_others(tmp_path: Path) -> None:
    interpreter(tmp_path / "python3.11", 11)
    asked = interpreter(tmp_path / "elsewhere" / "python", 13)
    assert find(path=[tmp_path], PYTHON=str(asked)).stdout.strip() == str(asked)


@pytest.mark.parametrize("minor", [None, 10])
def test_one_that_is_asked_for_and_will_not_do_is_named_on_one_line(tmp_path: Path, minor: int | None) -> None:
    asked = tmp_path / "python"
    if minor:
        interpreter(asked, minor)
    done = find(PYTHON=str(asked))
    assert done.returncode == 1
    assert done.stderr == (
        f"PYTHON={asked} is not a Python 3.11 or newer that runs: name another one, or leave PYTHON out\n"
    )


def test_without_any_python_one_line_says_what_to_do() -> None:
    done = find()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("no Python 3.11 or newer was found: install one")
    assert done.stderr.count("\n") == 1


def test_without_the_venv_module_one_line_names_the_package(tmp_path: Path) -> None:
    found = interpreter(tmp_path / "python3.11", 11, "lame")
    done = find(path=[tmp_path])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"{found} has neither pip nor the modules venv and ensurepip: install them"
        " (on Debian and Ubuntu: apt-get install python3.11-venv)\n"
    )


def test_one_without_the_venv_module_gives_way_to_one_with_it(tmp_path: Path) -> None:
    interpreter(tmp_path / "python3.11", 11, "lame")
    found = interpreter(tmp_path / "python3.13", 13)
    assert find(path=[tmp_path]).stdout.strip() == str(found)


def test_a_version_that_is_missing_is_passed_over_in_silence() -> None:
    done = find("3.12")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")

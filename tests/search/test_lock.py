"""The right to write an index."""

import subprocess
import sys
from pathlib import Path

import pytest

from letterhead.errors import Unavailable
from letterhead.search.documents import SAMPLES
from letterhead.search.index import Index, build
from letterhead.search.lock import Lock
from tests.leaks import PATIENCE


def doubtful(path: Path) -> bool:
    lock = Lock(path)
    lock.release(sound=True)
    return lock.doubtful


def test_one_has_it_at_a_time_and_the_other_is_told_who(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from letterhead.search.index import Index\n"
        "with Index(Path(sys.argv[1])): print('mine', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "index")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"mine\n"
        with pytest.raises(Unavailable, match=rf"written by another program \(process {other.pid}\)"):
            Index(tmp_path / "index")
        other.communicate(timeout=PATIENCE)
    Index(tmp_path / "index").close()


def test_one_that_was_killed_holds_nothing_and_leaves_no_doubt(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from letterhead.search.index import Index\n"
        "index = Index(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "index")], check=False, timeout=PATIENCE)
    assert not doubtful(tmp_path / "index")


def test_a_file_as_it_was_left_is_not_doubted(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    assert not doubtful(tmp_path / "index")


def test_a_file_that_something_else_changed_is_doubted(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    with (tmp_path / "index").open("r+b") as file:
        file.write(b"S")
    assert doubtful(tmp_path / "index")


def test_a_file_that_comes_from_elsewhere_is_doubted(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    (tmp_path / "copy").write_bytes((tmp_path / "index").read_bytes())
    assert doubtful(tmp_path / "copy")


def test_a_file_that_is_not_there_is_not_doubted(tmp_path: Path) -> None:
    assert not doubtful(tmp_path / "index")
    assert not doubtful(tmp_path / "index")


def test_a_file_that_its_writer_found_unsound_is_doubted_by_the_next(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    Lock(tmp_path / "index").release(sound=False)
    lock = Lock(tmp_path / "index")
    lock.release(sound=True)
    assert lock.doubtful


def test_a_lock_file_that_says_nothing_sensible_makes_for_doubt(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    (tmp_path / "index.letterhead-lock").write_bytes(b'{"writer": "nobody"')
    assert doubtful(tmp_path / "index")


def test_an_index_in_doubt_is_looked_through_and_used(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    (tmp_path / "index.letterhead-lock").unlink()
    with Index(tmp_path / "index") as index:
        assert not index.new
    assert not doubtful(tmp_path / "index")

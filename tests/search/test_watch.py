"""An index kept in step with its folders while they change."""

import logging
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from letterhead.search.index import Index
from letterhead.search.query import Searcher
from letterhead.search.update import Changes, Update
from letterhead.search.watch import Watch
from tests.leaks import PATIENCE

SOON = {"wake_seconds": 0.1, "gather_seconds": 0.05}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "folder"
    place.mkdir()
    (place / "alice.txt").write_text("Alice follows the rabbit.")
    return place


@contextmanager
def watching(tmp_path: Path, *folders: Path) -> Iterator[tuple["queue.SimpleQueue[Changes]", Watch]]:
    """A watch from its first look on; what it tells of each change."""
    told: queue.SimpleQueue[Changes] = queue.SimpleQueue()
    with Index(tmp_path / "index") as index, ExitStack() as stack:
        update = Update(index, folders)
        update.all()
        # Its first look is for what changes between that and the moment when it watches.
        (folders[0] / "between.txt").write_text("between")
        watch = Watch(update, told.put, again_seconds=0.2, **SOON)
        watch.start()
        stack.callback(watch.stop)
        assert told.get(timeout=PATIENCE).added == 1
        yield told, watch


def paths(tmp_path: Path, query: str) -> list[str]:
    with Searcher(tmp_path / "index") as searcher:
        return sorted(hit.path for hit in searcher.search(query).hits)


def test_a_new_a_changed_and_a_gone_file_are_noticed(tmp_path: Path, folder: Path) -> None:
    with watching(tmp_path, folder) as (told, _):
        (folder / "new.txt").write_text("a new rabbit")
        assert told.get(timeout=PATIENCE).added == 1
        assert paths(tmp_path, "rabbit") == ["alice.txt", "new.txt"]
        (folder / "new.txt").write_text("a new hare")
        assert told.get(timeout=PATIENCE).changed == 1
        assert paths(tmp_path, "hare") == ["new.txt"]
        (folder / "alice.txt").unlink()
        assert told.get(timeout=PATIENCE).removed == 1
        assert paths(tmp_path, "rabbit") == []


def test_whole_trees_that_come_and_go_are_noticed(tmp_path: Path, folder: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("a", "b/c", "d/e/f"):
        (tree / name).mkdir(parents=True)
        (tree / name / "x.txt").write_text("rabbit")
    with watching(tmp_path, folder) as (told, _):
        tree.rename(folder / "moved")
        assert told.get(timeout=PATIENCE).added == 3
        assert paths(tmp_path, "rabbit path:moved") == ["moved/a/x.txt", "moved/b/c/x.txt", "moved/d/e/f/x.txt"]
        (folder / "moved").rename(tmp_path / "away")
        assert told.get(timeout=PATIENCE).removed == 3


def test_what_happens_in_hidden_folders_changes_nothing(tmp_path: Path, folder: Path) -> None:
    with watching(tmp_path, folder) as (told, _):
        (folder / ".git").mkdir()
        (folder / ".git" / "index").write_text("rabbit")
        (folder / "seen.txt").write_text("seen")
        changes = told.get(timeout=PATIENCE)
        assert changes.added == 1
        assert paths(tmp_path, "rabbit") == ["alice.txt"]


def test_what_cannot_be_written_is_tried_again_and_not_lost(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: queue.SimpleQueue[Changes] = queue.SimpleQueue()
    with Index(tmp_path / "index") as index:
        update = Update(index, [folder])
        update.all()
        ((pages,),) = index.rows("PRAGMA page_count")
        index.rows(f"PRAGMA max_page_count = {pages}")
        watch = Watch(update, told.put, again_seconds=0.1, **SOON)
        watch.start()
        try:
            (folder / "large.txt").write_text(" ".join(f"word{n}" for n in range(50_000)))
            with caplog.at_level(logging.WARNING, "letterhead.search"):
                while "no space is left" not in caplog.text:
                    with pytest.raises(queue.Empty):
                        told.get(timeout=0.2)
            assert paths(tmp_path, "rabbit") == ["alice.txt"]
            index.rows("PRAGMA max_page_count = 1000000")
            assert told.get(timeout=PATIENCE).added == 1
        finally:
            watch.stop()
    assert paths(tmp_path, "word49999") == ["large.txt"]


def test_a_watch_ends_when_it_is_told_to(tmp_path: Path, folder: Path) -> None:
    with watching(tmp_path, folder) as (told, watch):
        watch.stop()
        assert "letterhead-watch" not in {thread.name for thread in threading.enumerate()}
        (folder / "late.txt").write_text("late")
        assert told.empty()
    assert paths(tmp_path, "late") == []


def test_a_folder_that_is_replaced_is_watched_on(tmp_path: Path, folder: Path) -> None:
    with watching(tmp_path, folder) as (told, _):
        folder.rename(tmp_path / "away")
        with pytest.raises(queue.Empty):
            told.get(timeout=1.0)  # much longer than it gathers and wakes
        assert paths(tmp_path, "rabbit") == ["alice.txt"]  # what is gone for a while is not taken for deleted
        folder.mkdir()
        (folder / "new.txt").write_text("a new rabbit")
        changes = told.get(timeout=PATIENCE)
        while not changes.added:
            changes = told.get(timeout=PATIENCE)
        assert paths(tmp_path, "rabbit") == ["new.txt"]
        (folder / "newer.txt").write_text("a newer rabbit")
        assert told.get(timeout=PATIENCE).added == 1


def test_a_name_that_is_no_unicode_ends_no_watch(tmp_path: Path, folder: Path) -> None:
    with watching(tmp_path, folder) as (told, _):
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff.txt")).write_text("rabbit")
        assert told.get(timeout=PATIENCE).added == 1
        (folder / "after.txt").write_text("rabbit")
        assert told.get(timeout=PATIENCE).added == 1
    assert paths(tmp_path, "rabbit") == ["after.txt", "alice.txt", "\ufffd.txt"]


def test_nobody_who_listens_can_end_a_watch(tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: queue.SimpleQueue[Changes] = queue.SimpleQueue()

    def fail(changes: Changes) -> None:
        told.put(changes)
        raise BrokenPipeError("nobody reads this")

    with Index(tmp_path / "index") as index:
        update = Update(index, [folder])
        watch = Watch(update, fail, again_seconds=0.0, **SOON)
        watch.start()
        try:
            for name in ("one", "two"):
                before = told.get(timeout=PATIENCE)
                assert before.added == 1
                (folder / name).write_text("rabbit")
            assert told.get(timeout=PATIENCE).added == 1
        finally:
            watch.stop()
    assert "nobody reads this" in caplog.text

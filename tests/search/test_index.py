"""Documents into an index file."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from letterhead.errors import Internal, Unavailable, UsageError
from letterhead.search.documents import SAMPLES
from letterhead.search.index import build, build_folders, refusal
from letterhead.search.items import Document, Reason, Skipped
from letterhead.search.query import Searcher


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute(statement).fetchall()
    connection.close()
    return found


def test_documents_stand_in_the_index_in_their_order(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    found = rows(tmp_path / "index", "SELECT title, path, text FROM documents ORDER BY id")
    assert found == [(sample.title, sample.path, sample.text) for sample in SAMPLES]


def test_what_a_build_came_to_is_told(tmp_path: Path) -> None:
    items: list[Document | Skipped] = [
        Document("a", "a", "text", 4),
        Skipped("b", Reason.BINARY, 100),
        Skipped("c", Reason.BINARY, 100),
        Skipped("d", Reason.SYMLINK),
        Document("e", "e", "füße", 6),
    ]
    built = build(tmp_path / "index", items)
    assert (built.documents, built.bytes) == (2, 10)
    assert built.skipped == {Reason.BINARY: 2, Reason.SYMLINK: 1}
    assert built.seconds > 0


def test_a_folder_is_indexed_with_what_was_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.md").write_text("# The guide\nFollow the rabbit.\n")
    (folder / "b.bin").write_bytes(b"\0")
    built = build_folders(tmp_path / "index", [folder])
    assert (built.documents, built.skipped) == (1, {Reason.BINARY: 1})
    with Searcher(tmp_path / "index") as searcher:
        assert [hit.title for hit in searcher.search("rabbit").hits] == ["The guide"]


def test_no_text_is_stored_twice(tmp_path: Path) -> None:
    words = " ".join(f"word{number}" for number in range(100))
    build(tmp_path / "index", [Document("a", "a", words * 1_000)])
    assert (tmp_path / "index").stat().st_size < 2 * len(words * 1_000)


def test_an_index_is_sound_and_agrees_with_its_documents(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    assert rows(tmp_path / "index", "PRAGMA integrity_check") == [("ok",)]
    connection = sqlite3.connect(tmp_path / "index")
    connection.execute("INSERT INTO texts (texts, rank) VALUES ('integrity-check', 1)")
    connection.close()


def test_an_index_is_in_one_segment(tmp_path: Path) -> None:
    # More different words than FTS5 keeps in memory, so that it writes several segments on the way.
    parts = (range(start, start + 10_000) for start in range(0, 400_000, 10_000))
    build(tmp_path / "index", (Document("part", "part", " ".join(map(str, part))) for part in parts))
    assert rows(tmp_path / "index", "SELECT count(DISTINCT segid) FROM texts_idx") == [(1,)]


def test_an_empty_index_answers(tmp_path: Path) -> None:
    built = build(tmp_path / "index", [])
    assert built.documents == 0
    with Searcher(tmp_path / "index") as searcher:
        assert searcher.search("rabbit").total == 0


def test_only_its_owner_can_read_an_index(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    assert stat.S_IMODE((tmp_path / "index").stat().st_mode) == 0o600


def test_a_new_index_replaces_the_old_one_while_that_is_read(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    with Searcher(tmp_path / "index") as before:
        build(tmp_path / "index", [Document("new", "new", "The white rabbit again.")])
        assert [hit.title for hit in before.search("rabbit").hits] == ["morpheus"]
        with Searcher(tmp_path / "index") as after:
            assert [hit.title for hit in after.search("rabbit").hits] == ["new"]


# -- progress ------------------------------------------------------------------------------------------------


def test_progress_ends_with_what_was_expected(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number}.txt").write_text("text")
    (folder / "b.bin").write_bytes(b"\0" * 10)
    reports: list[tuple[int, int, int, int]] = []
    build_folders(tmp_path / "index", [folder], lambda *report: reports.append(report))
    assert reports[-1] == (101, 410, 101, 410)


def test_progress_only_rises_and_comes_more_than_once(tmp_path: Path) -> None:
    reports: list[tuple[int, int, int, int]] = []
    items = [Document(f"{n}", f"{n}", "text", 4) for n in range(100)]
    build(tmp_path / "index", items, progress=lambda *report: reports.append(report), files=100, size=400)
    assert len(reports) > 2
    assert reports == sorted(reports)


def test_a_large_file_is_reported_at_once(tmp_path: Path) -> None:
    reports: list[tuple[int, int, int, int]] = []
    items = [Document("a", "a", "text", 1 << 20), Document("b", "b", "text", 4)]
    build(tmp_path / "index", items, progress=lambda *report: reports.append(report))
    assert reports[0][:2] == (1, 1 << 20)


# -- failures ------------------------------------------------------------------------------------------------


def failing() -> Iterator[Document]:
    yield SAMPLES[0]
    raise KeyboardInterrupt


def test_a_build_that_fails_leaves_the_old_index_and_nothing_else(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES[1:])
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "index", failing())
    assert list(tmp_path.iterdir()) == [tmp_path / "index"]
    with Searcher(tmp_path / "index") as searcher:
        assert searcher.search("caves").total == 1


def test_a_missing_folder_for_the_index_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be written") as caught:
        build(tmp_path / "missing" / "index", SAMPLES)
    assert str(tmp_path) not in str(caught.value)


def test_an_index_cannot_take_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    with pytest.raises(Unavailable, match="cannot be written"):
        build(tmp_path / "index", SAMPLES)
    assert list(tmp_path.iterdir()) == [tmp_path / "index"]


def test_a_missing_folder_to_index_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        build_folders(tmp_path / "index", [tmp_path / "missing"])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "small")
    connection.execute("PRAGMA max_page_count = 4")
    connection.execute("CREATE TABLE numbers (number)")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("INSERT INTO numbers VALUES (?)", ("a" * 100_000,))
    connection.close()
    refused = refusal(caught.value)
    assert isinstance(refused, Unavailable)
    assert refused.message == "the index cannot be written: no space is left"


def test_what_sqlite_says_never_reaches_users(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("SELECT secret FROM nowhere")
    connection.close()
    refused = refusal(caught.value)
    assert isinstance(refused, Internal)
    assert refused.message == "the index could not be used"

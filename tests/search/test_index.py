"""Documents into and out of an index file."""

import sqlite3
import stat
from pathlib import Path

import pytest

from letterhead.errors import Internal, Unavailable, UsageError
from letterhead.search import schema
from letterhead.search.documents import SAMPLES
from letterhead.search.index import Index, build
from letterhead.search.items import Document
from letterhead.search.query import Searcher


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute(statement).fetchall()
    connection.close()
    return found


def titles(path: Path, query: str) -> list[str]:
    with Searcher(path) as searcher:
        return [hit.title for hit in searcher.search(query).hits]


def test_documents_stand_in_the_index_in_their_order(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    found = rows(tmp_path / "index", "SELECT title, path, text FROM documents JOIN contents USING (id) ORDER BY id")
    assert found == [(sample.title, sample.path, sample.text) for sample in SAMPLES]


def test_no_text_is_stored_twice(tmp_path: Path) -> None:
    words = " ".join(f"word{number}" for number in range(100))
    build(tmp_path / "index", [Document("a", "a", words * 1_000)])
    assert (tmp_path / "index").stat().st_size < 2 * len(words * 1_000)


def test_a_built_index_is_sound(tmp_path: Path) -> None:
    build(tmp_path / "index", [*SAMPLES, Document("Café™", "a", "東京 für ＡＢＣ")])
    connection = schema.open_writer(tmp_path / "index")
    assert schema.verify(connection)
    connection.close()


def test_a_built_index_is_in_one_segment(tmp_path: Path) -> None:
    # More different words than FTS5 keeps in memory, so that it writes several segments on the way.
    parts = (range(start, start + 10_000) for start in range(0, 400_000, 10_000))
    build(tmp_path / "index", (Document("part", "part", " ".join(map(str, part))) for part in parts))
    assert rows(tmp_path / "index", "SELECT count(DISTINCT segid) FROM texts_idx") == [(1,)]


def test_an_empty_index_answers(tmp_path: Path) -> None:
    build(tmp_path / "index", [])
    assert titles(tmp_path / "index", "rabbit") == []


def test_only_its_owner_can_read_an_index_and_what_stands_beside_it(tmp_path: Path) -> None:
    with Index(tmp_path / "index") as index, index.transaction():
        index.add(SAMPLES[0])
        assert len(list(tmp_path.iterdir())) == 4
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_closed_index_leaves_its_file_and_its_lock_alone(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "index.letterhead-lock"]


# -- changes -------------------------------------------------------------------------------------------------


def test_a_removed_document_is_found_no_more_and_leaves_nothing(tmp_path: Path) -> None:
    with Index(tmp_path / "index") as index:
        with index.transaction():
            index.add(Document("Café™ 東京", "a", "ein Hase™, naïve 兎"), 7)
            index.add(Document("other", "b", "another rabbit"), 8)
            index.completed()
        with index.transaction():
            index.remove(7)
    assert titles(tmp_path / "index", "兎") == titles(tmp_path / "index", "hase") == []
    assert titles(tmp_path / "index", "rabbit") == ["other"]
    connection = schema.open_writer(tmp_path / "index")
    assert schema.verify(connection)
    connection.close()


def test_to_remove_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    with Index(tmp_path / "index") as index, index.transaction():
        index.add(SAMPLES[0])
        index.remove(99)
        index.completed()
    assert titles(tmp_path / "index", "rabbit") == ["morpheus"]


def test_a_transaction_that_fails_is_taken_back_whole(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES[:1])
    with Index(tmp_path / "index") as index:
        with pytest.raises(KeyboardInterrupt), index.transaction():
            index.add(SAMPLES[1])
            index.remove(1)
            raise KeyboardInterrupt
        with index.transaction():
            index.add(SAMPLES[2])
    assert titles(tmp_path / "index", "caves") == []
    assert titles(tmp_path / "index", "rabbit") == ["morpheus"]
    assert titles(tmp_path / "index", "ball") == ["🐶"]


def test_readers_see_a_commit_as_soon_as_it_is_made_and_nothing_before(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES[:1])
    with Searcher(tmp_path / "index") as searcher, Index(tmp_path / "index") as index:
        with index.transaction():
            index.add(SAMPLES[1])
            assert searcher.search("caves").total == 0
        assert searcher.search("caves").total == 1


# -- what stood there before ---------------------------------------------------------------------------------


def test_what_is_there_stays(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    with Index(tmp_path / "index") as index:
        assert not index.new
    assert titles(tmp_path / "index", "rabbit") == ["morpheus"]


def test_rebuilding_begins_empty(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    with Index(tmp_path / "index", rebuild=True) as index:
        assert index.new
        assert index.rows("SELECT * FROM documents") == []


def test_what_is_not_complete_is_not_answered_from(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    with Searcher(tmp_path / "index") as before:
        with Index(tmp_path / "index", rebuild=True) as index, index.transaction():
            index.add(SAMPLES[0])
        with pytest.raises(Unavailable, match="is being built: try again in a moment"):
            Searcher(tmp_path / "index")
        # Who read the old one goes on with it until the new one is complete.
        assert before.search("caves").total == 1
        build(tmp_path / "index", SAMPLES[:1])
        assert before.search("caves").total == 0


def test_a_rebuilt_index_takes_the_place_of_the_old_one_for_those_who_read_it(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    with Searcher(tmp_path / "index") as before:
        build(tmp_path / "index", [Document("new", "new", "The white rabbit again.")])
        assert [hit.title for hit in before.search("rabbit").hits] == ["new"]
        assert titles(tmp_path / "index", "rabbit") == ["new"]


def test_an_index_that_is_deleted_is_read_on(tmp_path: Path) -> None:
    build(tmp_path / "index", SAMPLES)
    with Searcher(tmp_path / "index") as searcher:
        for path in tmp_path.iterdir():
            path.unlink()
        assert [hit.title for hit in searcher.search("rabbit").hits] == ["morpheus"]


@pytest.mark.parametrize(
    "change",
    ["PRAGMA user_version = 1", "UPDATE meta SET value = 'other' WHERE name = 'terms'"],
    ids=["format", "words"],
)
def test_an_index_of_another_version_is_made_anew(tmp_path: Path, change: str) -> None:
    build(tmp_path / "index", SAMPLES)
    connection = sqlite3.connect(tmp_path / "index")
    connection.execute(change)
    connection.commit()
    connection.close()
    with Index(tmp_path / "index") as index:
        assert index.new


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("content", [b"a text of somebody's\n" * 500, "database"])
def test_a_file_of_another_kind_is_never_touched(tmp_path: Path, content: bytes | str, rebuild: bool) -> None:
    path = tmp_path / "file"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE mine (value)")
        connection.close()
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(UsageError, match="a file of another kind, no index"):
            Index(path, rebuild=rebuild)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_an_index(tmp_path: Path) -> None:
    (tmp_path / "index").touch()
    build(tmp_path / "index", SAMPLES)
    assert titles(tmp_path / "index", "rabbit") == ["morpheus"]


def test_an_index_without_its_log_begins_where_it_was_written_out(tmp_path: Path) -> None:
    # What a deleted index leaves behind must not be taken for a part of the next one.
    build(tmp_path / "index", SAMPLES)
    (tmp_path / "index-wal").write_bytes(b"left behind " * 1_000)
    (tmp_path / "index").unlink()
    build(tmp_path / "index", SAMPLES[:1])
    assert titles(tmp_path / "index", "rabbit") == ["morpheus"]


# -- failures ------------------------------------------------------------------------------------------------


def test_a_missing_folder_for_the_index_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"missing/index cannot be written: No such file"):
        Index(tmp_path / "missing" / "index")


def test_a_folder_cannot_be_an_index(tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    with pytest.raises(Unavailable, match="cannot be written"):
        Index(tmp_path / "index")
    assert list(tmp_path.iterdir()) == [tmp_path / "index"]


def test_an_error_of_sqlite_names_the_index_and_nothing_of_sqlite(tmp_path: Path) -> None:
    with Index(tmp_path / "index") as index, pytest.raises(Internal) as caught, index.transaction():
        index.rows("SELECT secret FROM nowhere")
    assert caught.value.message == f"the index {tmp_path / 'index'} could not be used"


def test_what_sqlite_says_never_reaches_users() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("SELECT secret FROM nowhere")
    connection.close()
    assert schema.refusal(caught.value).message == "the index could not be used"

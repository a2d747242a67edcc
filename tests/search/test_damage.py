"""An index that is not what was written: it is noticed, never answered from, and built anew on request."""

import sqlite3
from pathlib import Path

import pytest

from letterhead.errors import Internal
from letterhead.search import schema
from letterhead.search.index import Index, build
from letterhead.search.items import Document
from letterhead.search.query import Searcher

TEXTS = [Document(f"title {n}", f"folder/{n}.txt", f"rabbit number{n} " + f"w{n}x " * 200) for n in range(300)]
PAGE = 16 << 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    build(tmp_path / "index", TEXTS)
    return tmp_path / "index"


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def answers(path: Path) -> list[str]:
    """Every document, found by its word and read whole."""
    with Searcher(path) as searcher:
        found = [searcher.search(f"number{n}").hits[0].path for n in range(300)]
        assert [searcher.document(text.path).text for text in TEXTS] == [text.text for text in TEXTS]
    return found


@pytest.mark.parametrize("offset", [100, 5_000, 15_000])
def test_what_is_overwritten_is_noticed_when_the_index_is_opened_or_was_not_in_use(path: Path, offset: int) -> None:
    whole = path.read_bytes()
    pages = range(1, len(whole) // PAGE, max(1, len(whole) // PAGE // 12))
    noticed = 0
    for page in pages:
        path.write_bytes(whole)
        overwrite(path, page * PAGE + offset, b"overwritten " * 100)
        try:
            Index(path).close()
        except Internal as error:
            assert error.message.endswith("is damaged: --rebuild builds it anew")
            noticed += 1
        else:
            assert answers(path) == [text.path for text in TEXTS]
    assert noticed


def test_a_single_changed_letter_of_a_text_is_noticed(path: Path) -> None:
    data = path.read_bytes()
    at = data.index(b"rabbit number17 ")
    overwrite(path, at, b"habbit")
    with pytest.raises(Internal, match="damaged"):
        Index(path)


def test_a_damaged_index_stays_refused(path: Path) -> None:
    overwrite(path, path.stat().st_size // 2, b"overwritten " * 1_000)
    for _ in range(2):
        with pytest.raises(Internal, match="damaged"):
            Index(path)


def test_a_beginning_that_is_no_database_any_more_is_damage(path: Path) -> None:
    overwrite(path, 0, b"overwritten " * 10)
    with pytest.raises(Internal, match="damaged"):
        Index(path)


def test_a_file_cut_short_is_damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(Internal, match="damaged"):
        Index(path)


@pytest.mark.parametrize("at", [0, PAGE])
def test_rebuilding_mends_it(path: Path, at: int) -> None:
    overwrite(path, at, b"\xff" * (path.stat().st_size - at))
    build(path, TEXTS)
    with Searcher(path) as searcher:
        assert searcher.search("rabbit").total == 300


# -- while it is read ----------------------------------------------------------------------------------------


def test_what_sqlite_stumbles_over_is_an_error(path: Path) -> None:
    overwrite(path, PAGE, b"\xff" * (path.stat().st_size - PAGE))
    with pytest.raises(Internal) as caught:
        Searcher(path)
    assert caught.value.message == schema.DAMAGED
    assert str(path) not in caught.value.message


def test_what_sqlite_stumbles_over_later_is_an_error(path: Path) -> None:
    with Searcher(path) as searcher:
        overwrite(path, PAGE, b"\xff" * (path.stat().st_size - PAGE))
        for ask in (searcher.search, searcher.classic, searcher.document):
            with pytest.raises(Internal) as caught:
                ask("rabbit")
            assert caught.value.message == schema.DAMAGED


def test_an_index_that_is_built_anew_is_answered_from_again(path: Path) -> None:
    with Searcher(path) as searcher:
        overwrite(path, PAGE, b"\xff" * (path.stat().st_size - PAGE))
        with pytest.raises(Internal):
            searcher.search("rabbit")
        build(path, TEXTS)
        assert searcher.search("rabbit").total == 300


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE documents SET type = 'py' WHERE id = 18",
        "UPDATE documents SET path = 'elsewhere' WHERE id = 18",
        "DELETE FROM contents WHERE id = 18",
        "DELETE FROM documents WHERE id = 18",
    ],
)
def test_what_stands_in_the_tables_is_compared_too(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    with Searcher(path) as searcher, pytest.raises(Internal, match="damaged"):
        searcher.search("number17")
    with pytest.raises(Internal, match="damaged"):
        Index(path)


def test_a_log_that_something_else_put_there_is_doubted(path: Path) -> None:
    path.with_name("index-wal").write_bytes(b"a log of another index" * 100)
    doubts: list[bool] = []
    Index(path, on_doubt=lambda: doubts.append(True)).close()
    assert doubts == [True]


def test_a_changed_text_is_never_shown(path: Path) -> None:
    at = path.read_bytes().index(b"rabbit number17 ")
    overwrite(path, at, b"habbit")
    with Searcher(path) as searcher, pytest.raises(Internal, match="damaged"):
        searcher.search("number17")


def test_bytes_that_are_no_text_are_damage(path: Path) -> None:
    at = path.read_bytes().index(b"rabbit number17 ")
    overwrite(path, at, b"\xff\xfe")
    with Searcher(path) as searcher, pytest.raises(Internal, match="damaged"):
        searcher.document("folder/17.txt")


def test_once_damage_is_found_nothing_is_answered_any_more(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    at = path.read_bytes().index(b"rabbit number17 ")
    overwrite(path, at, b"habbit")
    with Searcher(path) as searcher:
        assert searcher.search("number18").total == 1
        with pytest.raises(Internal):
            searcher.search("number17")
        with pytest.raises(Internal):
            searcher.search("number18")
    assert [record.getMessage() for record in caplog.records] == [
        f"the index {path} is damaged; nothing is answered from it any more"
    ]


def test_text_that_is_not_utf_8_is_known_as_damage() -> None:
    connection = sqlite3.connect(":memory:")
    with pytest.raises(sqlite3.OperationalError) as caught:
        connection.execute("SELECT CAST(x'ff' AS TEXT)").fetchone()
    connection.close()
    assert schema.is_damage(caught.value)

"""A document, fetched from the index by its path."""

from collections.abc import Callable
from pathlib import Path

import pytest

from letterhead.errors import DeadlineExceeded, InvalidArgument, Refused, TooLarge
from letterhead.limits import Limits
from letterhead.search.answers import Found
from letterhead.search.index import build
from letterhead.search.items import Document
from letterhead.search.query import Searcher

MakeSearcher = Callable[..., Searcher]
TEXT = "one\ntwo rabbit\r\nthree\x0b\u2028still three\n\nfive Rabbit rabbit\n"


@pytest.fixture
def searcher(tmp_path: Path) -> Searcher:
    build(tmp_path / "index", [Document("Title", "folder/a b.md", TEXT, type="md")])
    return Searcher(tmp_path / "index")


def test_a_document_comes_whole_and_as_it_was(searcher: Searcher) -> None:
    with searcher:
        assert searcher.document("folder/a b.md") == Found("Title", "folder/a b.md", "md", TEXT, 1, 5, [])


def test_the_lines_of_a_query_are_told(searcher: Searcher) -> None:
    with searcher:
        assert searcher.document("folder/a b.md", "rabbit").matches == [2, 5]
        assert searcher.document("folder/a b.md", "rab* thr* -one").matches == [2, 3, 5]
        assert searcher.search("rabbit").hits[0].line == 2


@pytest.mark.parametrize(
    ("first", "count", "text"),
    [(2, 1, "two rabbit\r"), (4, 2, "\nfive Rabbit rabbit"), (6, None, ""), (7, 3, ""), (1, 0, ""), (5, 9, TEXT[-19:])],
)
def test_a_part_of_it_is_chosen_by_lines(searcher: Searcher, first: int, count: int | None, text: str) -> None:
    with searcher:
        found = searcher.document("folder/a b.md", "rabbit", first, count)
    assert found.text == text
    assert (found.first_line, found.line_count, found.matches) == (first, 5, [2, 5])


@pytest.mark.parametrize("path", ["folder/a", "folder/A b.md", "/etc/hosts", "../a b.md", "", "Title", "\0"])
def test_only_what_stands_in_the_index_is_given(searcher: Searcher, path: str) -> None:
    with searcher, pytest.raises(Refused) as caught:
        searcher.document(path)
    assert (caught.value.code, caught.value.facts) == ("not-found", {"path": path})


@pytest.mark.parametrize(("first", "count", "argument"), [(0, None, "first_line"), (1, -1, "lines")])
def test_lines_are_bounded(searcher: Searcher, first: int, count: int | None, argument: str) -> None:
    with searcher, pytest.raises(InvalidArgument) as caught:
        searcher.document("folder/a b.md", "", first, count)
    assert caught.value.argument == argument


def test_a_text_too_long_for_a_reply_is_refused_and_given_in_parts(searcher_over: MakeSearcher) -> None:
    searcher = searcher_over({"long": "line\n" * 1_000}, Limits(json_bytes=4_000))
    with pytest.raises(TooLarge, match="fewer lines"):
        searcher.document("folder/long")
    assert searcher.document("folder/long", lines=100).text == "line\n" * 99 + "line"


def test_the_lines_that_are_told_are_bounded(searcher_over: MakeSearcher) -> None:
    assert len(searcher_over({"long": "rabbit\n" * 5_000}).document("folder/long", "rabbit").matches) == 1_000


def test_looking_for_lines_ends_when_the_time_is_over(searcher_over: MakeSearcher) -> None:
    texts = {"long": "no match in this line\n" * 40_000}
    query = " ".join(f"word{n}" for n in range(16))
    assert searcher_over(texts, Limits(search_seconds=60.0)).document("folder/long", query, lines=1).matches == []
    readings = iter([0.0] * 10)
    with pytest.raises(DeadlineExceeded):
        searcher_over(texts, clock=lambda: next(readings, 1e9)).document("folder/long", query, lines=1)

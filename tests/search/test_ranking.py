"""Filters, and the order where very much matches."""

from collections.abc import Callable
from pathlib import Path

import pytest

from letterhead.errors import InvalidArgument
from letterhead.limits import Limits
from letterhead.search.index import build
from letterhead.search.items import Document
from letterhead.search.query import Searcher

MakeSearcher = Callable[..., Searcher]

DOCUMENTS = [
    Document("client", "src/net/client.py", "connect the rabbit", type="py"),
    Document("test client", "tests/net/test_client.py", "test the rabbit", type="py"),
    Document("stub", "src/net/client.pyi", "rabbit stub", type="pyi"),
    Document("guide", "docs/Guide_100%.md", "the rabbit guide", type="md"),
    Document("page", "docs/page.html", "a hare", type="html"),
    Document("Makefile", "Makefile", "rabbit:", type=""),
    Document("summer", "E\u0301te\u0301/plage.txt", "sea", type="txt"),
]


@pytest.fixture
def searcher(tmp_path: Path) -> Searcher:
    build(tmp_path / "index", DOCUMENTS)
    return Searcher(tmp_path / "index", Limits(search_seconds=60.0))


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("rabbit path:src/", ["src/net/client.py", "src/net/client.pyi"]),
        ("rabbit path:NET/CLIENT", ["src/net/client.py", "src/net/client.pyi"]),
        ("rabbit path:src path:py", ["src/net/client.py", "src/net/client.pyi"]),
        ("rabbit path:s*client", ["src/net/client.py", "src/net/client.pyi", "tests/net/test_client.py"]),
        ("rabbit -path:net", ["Makefile", "docs/Guide_100%.md"]),
        ("path:guide_1", ["docs/Guide_100%.md"]),
        ("path:guide11", []),
        ("path:0%.", ["docs/Guide_100%.md"]),
        ("path:%", ["docs/Guide_100%.md"]),
        ("path:_", ["docs/Guide_100%.md", "tests/net/test_client.py"]),
        ("path:\\", []),
        ("rabbit type:py", ["src/net/client.py", "tests/net/test_client.py"]),
        ("rabbit type:python -path:test", ["src/net/client.py", "src/net/client.pyi"]),
        ("type:py type:html", ["docs/page.html", "src/net/client.py", "tests/net/test_client.py"]),
        ("type:md -hare", ["docs/Guide_100%.md"]),
        ("path:docs -rabbit", ["docs/page.html"]),
        ("path:docs -hare -guide", []),
        ("rabbit -type:python", ["Makefile", "docs/Guide_100%.md"]),
        ("rabbit -stub -test", ["Makefile", "docs/Guide_100%.md", "src/net/client.py"]),
        ('rabbit -"the rabbit"', ["Makefile", "src/net/client.pyi"]),
        ("rab* -con*", ["Makefile", "docs/Guide_100%.md", "src/net/client.pyi", "tests/net/test_client.py"]),
        ("path:') OR 1 --", []),
        ("path:\u00e9t\u00e9", ["E\u0301te\u0301/plage.txt"]),
        ("path:PLAGE", ["E\u0301te\u0301/plage.txt"]),
        ("path:page\0zzz", []),
    ],
)
def test_filters_and_exclusions(searcher: Searcher, query: str, paths: list[str]) -> None:
    with searcher:
        answer = searcher.search(query)
    assert sorted(hit.path for hit in answer.hits) == paths
    assert answer.total == len(paths)


def test_what_a_filter_alone_lists_comes_by_path_in_pages(searcher: Searcher) -> None:
    with searcher:
        pages = [searcher.search("path:*", 2, offset) for offset in (0, 2, 4, 6)]
    assert [hit.path for page in pages for hit in page.hits] == sorted(document.path for document in DOCUMENTS)
    assert {page.total for page in pages} == {7}


def test_a_hit_tells_the_type_of_its_document(searcher: Searcher) -> None:
    with searcher:
        assert searcher.search("stub").hits[0].type == "pyi"


# -- where very much matches ---------------------------------------------------------------------------------


def numbered(searcher_over: MakeSearcher, ranked: int) -> Searcher:
    """Documents 0 to 99: the later, the better; two of them with the word in their titles."""
    texts = {f"{n}" if n not in (50, 97) else f"rabbit {n}": "rabbit " * n + "other words " * 100 for n in range(100)}
    return searcher_over(texts, Limits(search_seconds=60.0, search_ranked=ranked))


def order(searcher: Searcher, limit: int = 100, offset: int = 0) -> list[int]:
    answer = searcher.search("rabbit", limit, offset)
    assert answer.total == 99
    return [int(hit.title.removeprefix("rabbit ")) for hit in answer.hits]


def test_all_are_ranked_where_few_match(searcher_over: MakeSearcher) -> None:
    found = [n for n in order(numbered(searcher_over, 99)) if n not in (50, 97)]
    assert found == [n for n in range(99, 0, -1) if n not in (50, 97)]


def test_of_many_the_first_ones_are_ranked_and_those_with_the_words_in_their_titles(
    searcher_over: MakeSearcher,
) -> None:
    found = order(numbered(searcher_over, 20), limit=20)
    assert set(found[:2]) == {50, 97}
    assert found[2:] == sorted(found[2:], reverse=True)
    assert set(found[2:]) <= set(range(1, 21))


def test_pages_of_many_go_on_in_the_order_of_indexing_and_leave_nothing_out(searcher_over: MakeSearcher) -> None:
    searcher = numbered(searcher_over, 20)
    pages = [order(searcher, 10, offset) for offset in range(0, 100, 10)]
    found = [number for page in pages for number in page]
    assert sorted(found) == list(range(1, 100))
    assert found[:20] == order(searcher, 20)
    assert found[22:] == [n for n in range(21, 100) if n not in (50, 97)]


def test_none_need_be_ranked(searcher_over: MakeSearcher) -> None:
    assert len(order(numbered(searcher_over, 0))) == 99


def test_a_page_far_behind_the_last_is_empty(searcher: Searcher) -> None:
    with searcher:
        assert searcher.search("rabbit", 10, 2**62).hits == []
        with pytest.raises(InvalidArgument):
            searcher.search("rabbit", 10, 2**63)

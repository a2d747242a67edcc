"""Questions to an index, and what is answered in which order."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from letterhead.search.documents import SAMPLES
from letterhead.search.index import build
from letterhead.search.items import Document
from letterhead.search.query import Searcher

MakeSearcher = Callable[..., Searcher]
SAMPLE_TEXTS = {sample.title: sample.text for sample in SAMPLES}


def found(searcher: Searcher, query: str) -> list[str]:
    """The titles of the hits, best first."""
    result = searcher.search(query, limit=100)
    assert result.total == len(result.hits)
    return [hit.title for hit in result.hits]


# -- answers -------------------------------------------------------------------------------------------------


def test_an_answer_has_the_fields_that_clients_know(searcher_over: MakeSearcher) -> None:
    result = searcher_over(SAMPLE_TEXTS).search("rabbit")
    decoded = msgspec.json.decode(msgspec.json.encode(result))
    assert list(decoded) == ["query", "total", "took_ms", "hits", "suggestion"]
    assert list(decoded["hits"][0]) == ["title", "path", "snippet", "score", "line", "type"]


def test_an_answer_shows_what_was_found(searcher_over: MakeSearcher) -> None:
    result = searcher_over(SAMPLE_TEXTS).search("White rabbit")
    assert (result.query, result.total) == ("White rabbit", 1)
    (hit,) = result.hits
    assert hit.title == "morpheus"
    assert hit.path == "folder/morpheus"
    assert hit.snippet == "Follow the «white» «rabbit». 🐰"
    assert hit.line == 1
    assert hit.score > 0


def test_the_time_taken_is_in_milliseconds(searcher_over: MakeSearcher) -> None:
    times = iter([10.0, 10.0, 10.0, 10.0, 10.0125])
    searcher = searcher_over(SAMPLE_TEXTS, clock=lambda: next(times, 10.0125))
    assert searcher.search("rabbit").took_ms == 12.5


def test_every_word_must_occur(searcher_over: MakeSearcher) -> None:
    searcher = searcher_over({"a": "white rabbit", "b": "white", "c": "rabbit, which is white"})
    assert sorted(found(searcher, "rabbit white")) == ["a", "c"]


def test_words_may_occur_in_title_and_text(searcher_over: MakeSearcher) -> None:
    assert found(searcher_over({"Guide to rabbits": "white"}), "guide white") == ["Guide to rabbits"]


def test_case_and_accents_make_no_difference(searcher_over: MakeSearcher) -> None:
    searcher = searcher_over({"a": "Ein CAFÉ"})
    assert found(searcher, "cafe") == found(searcher, "cafe\u0301") == found(searcher, "Café") == ["a"]


def test_an_emoji_is_found_inside_text(searcher_over: MakeSearcher) -> None:
    assert found(searcher_over({"a": "white rabbit🐰🥕", "b": "no rabbit"}), "🐰") == ["a"]


def test_a_word_next_to_a_symbol_is_found(searcher_over: MakeSearcher) -> None:
    assert found(searcher_over({"a": "Python™ at 25°C"}), "python 25") == ["a"]


def test_a_word_next_to_a_symbol_in_a_title_is_found(searcher_over: MakeSearcher) -> None:
    assert found(searcher_over({"Python™": ""}), "python") == ["Python™"]


def test_a_word_with_punctuation_finds_its_parts_next_to_each_other(searcher_over: MakeSearcher) -> None:
    searcher = searcher_over({"a": "os.path.join", "b": "the path of an os", "c": "an os\npath"})
    assert sorted(found(searcher, "os.path")) == ["a", "c"]


@pytest.mark.parametrize("query", ["", "   ", '"', "-- * () ^", "\0", "…", "\n"])
def test_a_query_without_words_has_no_hits(searcher_over: MakeSearcher, query: str) -> None:
    assert found(searcher_over(SAMPLE_TEXTS), query) == []


# -- order ---------------------------------------------------------------------------------------------------


def test_a_word_in_the_title_weighs_more(searcher_over: MakeSearcher) -> None:
    texts = {
        "a": "the rabbit in here",
        "the rabbit": "it is in here",
        "b": "a rabbit in here",
        "c": "x",
        "d": "y",
    }
    assert found(searcher_over(texts), "rabbit")[0] == "the rabbit"


def test_more_of_a_word_comes_before_less(searcher_over: MakeSearcher) -> None:
    texts = {"a": "one rabbit among words", "b": "rabbit rabbit rabbit words", "c": "x", "d": "y", "e": "z"}
    assert found(searcher_over(texts), "rabbit") == ["b", "a"]


def test_equal_hits_come_in_the_order_of_indexing(searcher_over: MakeSearcher) -> None:
    assert found(searcher_over(dict.fromkeys("zay", "rabbit")), "rabbit") == ["z", "a", "y"]


def test_a_title_equal_to_the_query_comes_first_whatever_its_score(searcher_over: MakeSearcher) -> None:
    texts = {"ring ring": "ring ring ring", "ring": "caves " * 100, "x": "", "y": "", "z": ""}
    hits = searcher_over(texts).search("ring").hits
    assert [hit.title for hit in hits] == ["ring", "ring ring"]
    assert hits[0].score < hits[1].score


@pytest.mark.parametrize("title", ["🐶", "C++", "...", "«»", 'say "no"', "title:x", "\u200d"])
def test_a_title_equal_to_the_query_is_a_hit(searcher_over: MakeSearcher, title: str) -> None:
    assert found(searcher_over({title: "text", "other": "other"}), title) == [title]


def test_several_titles_equal_to_the_query_are_counted_and_come_first(tmp_path: Path) -> None:
    titles = ["other C", "C", "other C", "C", "..."]
    build(tmp_path / "index", [Document(title, f"{n}", "C") for n, title in enumerate(titles)])
    with Searcher(tmp_path / "index") as searcher:
        assert [hit.path for hit in searcher.search("C").hits] == ["1", "3", "0", "2", "4"]


def test_behind_a_title_equal_to_the_query_the_others_are_ranked(searcher_over: MakeSearcher) -> None:
    texts = {"once": "one ring among words", "thrice": "ring ring ring words", "ring": "", "x": "", "y": "", "z": ""}
    assert found(searcher_over(texts), "ring") == ["ring", "thrice", "once"]


# -- pages ---------------------------------------------------------------------------------------------------


def test_pages_together_are_the_whole_answer(searcher_over: MakeSearcher) -> None:
    searcher = searcher_over({f"{n}": "rabbit " * n for n in range(25)})
    pages = [searcher.search("rabbit", 10, offset) for offset in (0, 10, 20)]
    assert [len(page.hits) for page in pages] == [10, 10, 4]
    assert {page.total for page in pages} == {24}
    assert [hit.title for page in pages for hit in page.hits] == [
        hit.title for hit in searcher.search("rabbit", 24).hits
    ]


@pytest.mark.parametrize("offset", [3, 2**63 - 1])
def test_past_the_end_there_are_no_hits_but_a_total(searcher_over: MakeSearcher, offset: int) -> None:
    result = searcher_over({"a": "x", "b": "x", "c": "x"}).search("x", 10, offset)
    assert (result.total, result.hits) == (3, [])


def test_no_hits_may_be_asked_for(searcher_over: MakeSearcher) -> None:
    result = searcher_over({"a": "x"}).search("x", 0)
    assert (result.total, result.hits) == (1, [])

"""The answers for classic connections."""

from collections.abc import Callable
from pathlib import Path

import pytest

from letterhead.errors import InvalidArgument, TooLarge
from letterhead.limits import Limits
from letterhead.search.documents import SAMPLES
from letterhead.search.index import build
from letterhead.search.items import Document
from letterhead.search.query import Searcher

MakeSearcher = Callable[..., Searcher]
SAMPLE_TEXTS = {sample.title: sample.text for sample in SAMPLES}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path.encode("unicode_escape").decode())
def test_classic_a_title_gives_its_text(searcher_over: MakeSearcher, sample: Document) -> None:
    assert searcher_over(SAMPLE_TEXTS).classic(sample.title) == sample.text


def test_classic_of_equal_titles_the_first_gives_its_text(tmp_path: Path) -> None:
    build(tmp_path / "index", [Document("ring", "1", "first"), Document("ring", "2", "second")])
    with Searcher(tmp_path / "index") as searcher:
        assert searcher.classic("ring") == "first"


def test_classic_words_give_the_best_hits_one_a_line(searcher_over: MakeSearcher) -> None:
    searcher = searcher_over({"a": "the white\nrabbit", "b": "rabbit, white rabbit", "c": "white"})
    assert searcher.classic("white rabbit").splitlines() == [
        "b (folder/b): «rabbit», «white» «rabbit»",
        "a (folder/a): the «white» «rabbit»",
    ]


def test_classic_hits_are_ten_at_most(searcher_over: MakeSearcher) -> None:
    assert len(searcher_over({f"{n}": "x" for n in range(20)}).classic("x").splitlines()) == 10


@pytest.mark.parametrize("value", ["zebra", "", "'", "-"])
def test_classic_nothing_found_is_said(searcher_over: MakeSearcher, value: str) -> None:
    assert searcher_over(SAMPLE_TEXTS).classic(value) == f"No match for '{value}'."


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "None"),
        (True, "True"),
        (0, "0"),
        (2.5, "2.5"),
        ([], "[]"),
        (["zebra", 1], "['zebra', 1]"),
        ({"zebra": None}, "{'zebra': None}"),
    ],
)
def test_classic_other_values_are_shown_as_python_shows_them(
    searcher_over: MakeSearcher, value: object, shown: str
) -> None:
    assert searcher_over(SAMPLE_TEXTS).classic(value) == f"No match for '{shown}'."


def test_classic_other_values_find_titles(searcher_over: MakeSearcher) -> None:
    assert searcher_over({"42": "the answer", "None": "nothing"}).classic(42) == "the answer"


@pytest.mark.parametrize(
    "value",
    ["a" * 1_025, "a b c d e f g h i j k l m n o p q", ["a"] * 1_000, "\ud800", 10**5_000],
    ids=["bytes", "words", "list", "surrogate", "integer"],
)
def test_classic_values_are_bounded(searcher_over: MakeSearcher, value: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        searcher_over(SAMPLE_TEXTS).classic(value)
    assert caught.value.argument == "value"


def test_classic_a_text_that_fills_a_reply_is_given(searcher_over: MakeSearcher) -> None:
    limits = Limits(json_bytes=1_000)
    text = "a" * (1_000 - len('{"result":""}'))
    assert searcher_over({"title": text}, limits).classic("title") == text


def test_classic_a_text_too_long_for_a_reply_is_refused(searcher_over: MakeSearcher) -> None:
    limits = Limits(json_bytes=1_000)
    with pytest.raises(TooLarge) as caught:
        searcher_over({"title": "a" * (1_001 - len('{"result":""}'))}, limits).classic("title")
    assert (caught.value.size, caught.value.limit) == (1_001, 1_000)

"""Did you mean."""

from collections.abc import Callable

import pytest

from letterhead.limits import Limits
from letterhead.search.query import Searcher

MakeSearcher = Callable[..., Searcher]
TEXTS = {
    "a": "Follow the white rabbit through Wonderland, pathlib and os.path",
    "b": "rabbits and rabbit; a serendipity",
    "c": "весна приходит; ουρανός; 東京",
    "d": "raft",
}


@pytest.mark.parametrize(
    ("query", "suggestion"),
    [
        ("rabit", "rabbit"),  # a letter less
        ("rabbbit", "rabbit"),  # one more
        ("ravbit", "rabbit"),  # a wrong one
        ("arbbit", "rabbit"),  # two swapped, the first too
        ("xwhite", "white"),
        ("RABIT", "rabbit"),
        ("wite rabit", "white rabbit"),
        ('"wite rabbit" the', '"white rabbit" the'),
        ("os.pth", "os.path"),
        ("serendpiiyt", "serendipity"),  # two slips
        ("seremdipty", "serendipity"),
        ("весма", "весна"),
        ("wondrland -caves path:folder", "wonderland -caves path:folder"),
    ],
)
def test_a_similar_query_that_finds_something_is_suggested(
    searcher_over: MakeSearcher, query: str, suggestion: str
) -> None:
    answer = searcher_over(TEXTS, Limits(search_seconds=60.0)).search(query)
    assert (answer.total, answer.suggestion) == (0, suggestion)


@pytest.mark.parametrize(
    "query",
    [
        "rabbit",  # found
        "xylophonist",  # nothing is similar
        "rabit raft",  # mended, it would find nothing either
        "white raft",  # both words stand somewhere, though never together
        "ab",  # too short to tell
        "rab1t",  # no word
        "东",
        "rabz*",  # a prefix stands for many words
        "",
        "...",
    ],
)
def test_nothing_is_suggested_otherwise(searcher_over: MakeSearcher, query: str) -> None:
    assert searcher_over(TEXTS, Limits(search_seconds=60.0)).search(query).suggestion is None


def test_a_suggestion_that_would_be_too_long_is_none(searcher_over: MakeSearcher) -> None:
    query = "rabit " + " " * 1_018
    answer = searcher_over(TEXTS, Limits(search_seconds=60.0)).search(query)
    assert (len(query), answer.total, answer.suggestion) == (1_024, 0, None)


def test_of_several_the_word_that_more_documents_have_is_suggested(searcher_over: MakeSearcher) -> None:
    texts = {"a": "cart", "b": "card", "c": "card", "d": "care"}
    assert searcher_over(texts, Limits(search_seconds=60.0)).search("carx").suggestion == "card"


def test_a_suggestion_that_takes_too_long_is_left_out_and_the_answer_given(searcher_over: MakeSearcher) -> None:
    texts = {f"{n}": "rabbit" + "".join(chr(ord("a") + int(digit)) for digit in f"{n:05}") for n in range(9_000)}
    searcher = searcher_over(texts, Limits(search_seconds=60.0))
    assert searcher.search("rabbitxxabc").suggestion is not None
    readings = iter([0.0] * 4)  # the start, a connection, the end of the answer, and a first look
    late = searcher_over(texts, clock=lambda: next(readings, 1e9))
    answer = late.search("rabbitxxabc")
    assert (answer.total, answer.suggestion) == (0, None)

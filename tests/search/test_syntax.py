"""What users may write in a query."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterhead.errors import InvalidArgument
from letterhead.limits import Limits
from letterhead.search.syntax import Query, Term, kinds, parse

LIMITS = Limits()


def words(terms: list[Term]) -> list[str]:
    return [" ".join(term.word) + "*" * term.prefix for term in terms]


def wanted(text: str) -> list[str]:
    return words(parse(text, LIMITS).wanted)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("white rabbit", ["white", "rabbit"]),
        ('"white rabbit"', ["white rabbit"]),
        ('"white rabbit" caves', ["white rabbit", "caves"]),
        ("os.path is_file", ["os path", "is file"]),
        ("rab*", ["rab*"]),
        ("os.pat*", ["os pat*"]),
        ('"rab*"', ["rab"]),
        ("r*b it*s", ["r b", "it s"]),
        ('"white rabbit', ["white rabbit"]),
        ('say"white rabbit"now', ["say", "white rabbit", "now"]),
        ("“white rabbit” „caves“", ["white rabbit", "caves"]),
        ("--watch -", ["watch"]),
        ("well-known", ["well known"]),
        ("white white WHITE", ["white", "WHITE"]),
        ("title:morpheus paths:x", ["title morpheus", "paths x"]),
        ('"path:x" "-y"', ["path x", "y"]),
        ("path: x type :", ["path", "x", "type"]),
        ("东京大学", ["东 京 大 学"]),
        ("东京*", ["东 京"]),
        ("", []),
        ('"" -- * ()', []),
    ],
)
def test_words_phrases_and_prefixes(text: str, terms: list[str]) -> None:
    assert wanted(text) == terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("x -caves", ["caves"]),
        ('x -"white rabbit"', ["white rabbit"]),
        ("x -rab*", ["rab*"]),
        ("-caves x", ["caves"]),
        ("x -os.path", ["os path"]),
        ("well-known x --y", []),
        ('x"y"-z', []),
    ],
)
def test_a_minus_that_begins_a_part_excludes(text: str, terms: list[str]) -> None:
    assert words(parse(text, LIMITS).unwanted) == terms


def test_filters_are_no_words() -> None:
    query = parse('path:src/net PATH:"my notes" -path:old/ type:.PY -type:html x', LIMITS)
    assert wanted(query.text) == ["x"]
    assert (query.paths, query.unwanted_paths) == (["src/net", "my notes"], ["old/"])
    assert (query.types, query.unwanted_types) == (["py"], ["html"])


def test_kinds_have_names() -> None:
    assert kinds(["python", "md", "python"]) == ["py", "pyi", "pyw", "md", "py", "pyi", "pyw"]


@given(st.text())
def test_terms_know_where_they_stand(text: str) -> None:
    try:
        query = parse(text, Limits(search_query_bytes=1 << 20, search_terms=1_000))
    except InvalidArgument:
        return
    for term in query.wanted + query.unwanted:
        again = parse(f'"{text[term.start : term.end]}"', LIMITS) if len(term.word) < 16 else None
        assert again is None or again.wanted[0].word == term.word


# -- mistakes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("-caves", "query says only what is not wanted: add a word that is"),
        ("-path:x", "query says only what is not wanted: add a word that is"),
        ("-type:py -caves", "query says only what is not wanted: add a word that is"),
        ("ra*", "ra* is too short: at least 3 letters stand before a *"),
        ("x -ra*", "ra* is too short: at least 3 letters stand before a *"),
        ("a\u0301\u0301*", "a\u0301\u0301* is too short: at least 3 letters stand before a *"),
        (
            "header_by*",
            "header_by* is too short: it ends with the word by, and at least 3 letters stand before a *",
        ),
        ("aaa* bbb* ccc*", "query has 3 words that end in *; at most 2 are allowed"),
        (" ".join(f"w{n}" for n in range(17)), "query has 17 words and filters; at most 16 are allowed"),
        ("x " + "type:py " * 16, "query has 17 words and filters; at most 16 are allowed"),
        (".".join("a" * 65), "query has 65 parts of words; at most 64 are allowed"),
        ('path:""', "query has nothing behind path: a part of a path follows it"),
        ("a" * 1_025, "query is 1025 bytes long; at most 1024 are allowed"),
        ("\ud800", "query is not Unicode text: it holds half a character"),
    ],
)
def test_what_cannot_be_meant_is_told(text: str, sentence: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text, LIMITS)
    assert (caught.value.message, caught.value.argument) == (sentence, "query")


def test_the_argument_is_named_as_the_caller_calls_it() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse("-caves", LIMITS, "value")
    assert caught.value.argument == "value"


def test_a_sentence_of_chinese_is_one_phrase_within_bounds() -> None:
    assert len(parse("东" * 64, LIMITS).wanted[0].word) == 64


@given(st.text())
def test_nothing_of_a_query_reaches_the_index_but_in_quotes(text: str) -> None:
    try:
        query = parse(text, LIMITS)
    except InvalidArgument:
        return
    left = Query.match(query) if query.wanted else ""
    for term in query.wanted + query.unwanted:
        left = left.replace(term.match(), "")
    assert set(left.replace("AND", "").replace("NOT", "").replace("OR", "")) <= set(" ()*")

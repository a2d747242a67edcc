"""What users type is never the language of the index."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterhead.errors import InvalidArgument
from letterhead.limits import Limits
from letterhead.search.documents import SAMPLES
from letterhead.search.index import build
from letterhead.search.items import Document
from letterhead.search.query import Searcher
from letterhead.search.terms import fold, words

MakeSearcher = Callable[..., Searcher]
SAMPLE_TEXTS = {sample.title: sample.text for sample in SAMPLES}


def found(searcher: Searcher, query: str) -> list[str]:
    """The titles of the hits, best first."""
    result = searcher.search(query, limit=100)
    assert result.total == len(result.hits)
    return [hit.title for hit in result.hits]


@pytest.mark.parametrize(
    ("query", "hits"),
    [
        ("rab*", []),
        ("rabbit*", ["morpheus"]),
        ('"white rabbit', ["morpheus"]),
        ('"rabbit white"', ["morpheus"]),
        ("rabbit OR caves", []),
        ("rabbit NOT caves", []),
        ("rabbit AND white", []),
        ("NEAR(white rabbit)", []),
        ("title:morpheus", []),
        ("{title}:morpheus", []),
        ("-rabbit", ["morpheus"]),
        ("^white", ["morpheus"]),
        ("white + rabbit", ["morpheus"]),
        ("white\0rabbit", ["morpheus"]),
        ("rabbit\0caves", []),
        ("rabbit'); DROP TABLE documents; --", []),
        ("%", []),
    ],
)
def test_operators_are_text(searcher_over: MakeSearcher, query: str, hits: list[str]) -> None:
    assert found(searcher_over(SAMPLE_TEXTS), query) == hits


@pytest.mark.parametrize("word", ["AND", "OR", "NOT", "NEAR"])
def test_an_operators_name_is_a_word_to_find(searcher_over: MakeSearcher, word: str) -> None:
    assert found(searcher_over({"a": "this and or not near that", "b": "nothing"}), word) == ["a"]


CORPUS = {
    "morpheus": "Follow the white rabbit. 🐰",
    "near": "a rabbit and a ring, or not: NEAR it",
    "🐶": "🐾 Playing ball! 🏐",
    "Café": "os.path.join is no title",
    "C++": "",
}
PIECES = [
    *(
        "white",
        "rabbit",
        "RABBIT",
        "and",
        "AND",
        "or",
        "OR",
        "NOT",
        "NEAR",
        "near",
        "title",
        "text",
        "rank",
        "cafe",
        "🐶",
    ),
    *(
        '"',
        '""',
        "'",
        "*",
        "^",
        "-",
        "+",
        ":",
        "(",
        ")",
        "{",
        "}",
        ",",
        ".",
        "/",
        "\0",
        " ",
        " ",
        "\n",
        "é",
        "e\u0301",
        "☃",
    ),
    *("os.path", "join", "C++", "2", "%", "_", "\\", ";", "?", "|"),
]


def expected(query: str) -> list[str]:
    """The titles that hold the words of the query, worked out without SQLite."""

    def tokens(text: str) -> list[str]:
        found = (token for part in text.split() for word in words(part) for token in word)
        return ["".join(fold(letter) for letter in token.replace("\u0301", "")) for token in found]

    def holds(phrase: list[str], text: list[str]) -> bool:
        return any(text[start : start + len(phrase)] == phrase for start in range(len(text)))

    phrases = [phrase for part in query.split() if (phrase := tokens(part))]
    if not phrases:
        return [title for title in CORPUS if title == query]
    columns = {title: (tokens(title), tokens(text)) for title, text in CORPUS.items()}
    return sorted(
        title
        for title, (title_tokens, text_tokens) in columns.items()
        if all(holds(phrase, title_tokens) or holds(phrase, text_tokens) for phrase in phrases)
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> "Callable[[str], list[str]]":
    path = tmp_path_factory.mktemp("corpus") / "index"
    build(path, [Document(title, title, text) for title, text in CORPUS.items()])

    def ask(query: str) -> list[str]:
        with Searcher(path, Limits(search_seconds=60.0)) as searcher:
            return sorted(found(searcher, query))

    return ask


@given(query=st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_any_mixture_of_words_and_operators_finds_its_words(corpus: Callable[[str], list[str]], query: str) -> None:
    assert corpus(query) == expected(query)


@given(query=st.text(st.characters(codec=None), max_size=2_000))
def test_any_text_is_answered_or_refused_as_an_argument(corpus: Callable[[str], list[str]], query: str) -> None:
    try:
        answer = corpus(query)
    except InvalidArgument as refused:
        assert refused.argument == "query"
    else:
        assert answer == expected(query)

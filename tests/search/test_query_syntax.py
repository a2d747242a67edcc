"""What users type is never the language of the index."""

import re
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from letterhead.errors import InvalidArgument
from letterhead.limits import Limits
from letterhead.search.documents import SAMPLES
from letterhead.search.index import build
from letterhead.search.items import Document
from letterhead.search.query import Searcher
from letterhead.search.syntax import Term, parse
from letterhead.search.terms import fold, tokens

MakeSearcher = Callable[..., Searcher]
ROOMY = Limits(search_seconds=60.0)
SAMPLE_TEXTS = {sample.title: sample.text for sample in SAMPLES}


def found(searcher: Searcher, query: str) -> list[str]:
    """The titles of the hits, best first."""
    result = searcher.search(query, limit=100)
    assert result.total == len(result.hits)
    return [hit.title for hit in result.hits]


@pytest.mark.parametrize(
    ("query", "hits"),
    [
        ("rabbit OR caves", []),
        ("rabbit NOT caves", []),
        ("rabbit AND white", []),
        ("NEAR(white rabbit)", []),
        ("title:morpheus", []),
        ("{title}:morpheus", []),
        ("^white", ["morpheus"]),
        ("white + rabbit", ["morpheus"]),
        ("white\0rabbit", ["morpheus"]),
        ("rabbit\0caves", []),
        ("rabbit'); DROP TABLE documents; --", []),
        ("%", []),
    ],
)
def test_operators_of_the_index_are_text(searcher_over: MakeSearcher, query: str, hits: list[str]) -> None:
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
    *(" -", "whi*", "joi*", "path:", "path:mor", ' "', '" ', "-path:near"),
    *("os.path", "join", "C++", "2", "%", "_", "\\", ";", "?", "|"),
]


def stands_in(path: str, title: str) -> bool:
    """Whether a filter on paths holds for a document whose path is its title."""
    wanted, whole = (unicodedata.normalize("NFC", text).casefold() for text in (path, title))
    return re.search(".*".join(map(re.escape, wanted.split("*"))), whole, re.DOTALL) is not None


def expected(query: str) -> list[str]:
    """The titles that a query finds, worked out without SQLite from what ``parse`` makes of it."""

    def folded(words: tuple[str, ...]) -> list[str]:
        return ["".join(fold(letter) for letter in word.replace("\u0301", "")) for word in words]

    def holds(term: Term, text: list[str]) -> bool:
        phrase = folded(term.word)
        last = len(phrase) - 1
        return any(
            text[start : start + last] == phrase[:last]
            and text[start + last : start + last + 1]
            and (text[start + last] == phrase[last] or (term.prefix and text[start + last].startswith(phrase[last])))
            for start in range(len(text))
        )

    asked = parse(query, ROOMY)
    if not (asked.wanted or asked.filtered):
        return [title for title in CORPUS if title == query]
    matching = []
    for title, text in CORPUS.items():
        columns = folded(tokens(title)), folded(tokens(text))
        wanted = all(any(holds(term, column) for column in columns) for term in asked.wanted)
        unwanted = any(holds(term, column) for term in asked.unwanted for column in columns)
        paths = all(stands_in(path, title) for path in asked.paths)
        no_paths = any(stands_in(path, title) for path in asked.unwanted_paths)
        if wanted and paths and not unwanted and not no_paths and not asked.types:
            matching.append(title)
    return sorted(matching)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> "Callable[[str], list[str]]":
    path = tmp_path_factory.mktemp("corpus") / "index"
    build(path, [Document(title, title, text) for title, text in CORPUS.items()])

    def ask(query: str) -> list[str]:
        with Searcher(path, ROOMY) as searcher:
            return sorted(found(searcher, query))

    return ask


@given(query=st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@example(query="path:e\u0301")
@example(query="path:c*f")
@example(query="-path:C*F")
def test_any_mixture_of_words_and_operators_finds_what_it_says(corpus: Callable[[str], list[str]], query: str) -> None:
    try:
        answer = corpus(query)
    except InvalidArgument as refused:
        assert refused.argument == "query"
    else:
        assert answer == expected(query)


@given(query=st.text(st.characters(codec=None), max_size=2_000))
def test_any_text_is_answered_or_refused_as_an_argument(corpus: Callable[[str], list[str]], query: str) -> None:
    try:
        answer = corpus(query)
    except InvalidArgument as refused:
        assert refused.argument == "query"
    else:
        assert answer == expected(query)

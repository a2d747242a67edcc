"""What users may write in a query, and what it means.

    white rabbit            both words, anywhere in title or text
    "white rabbit"          next to each other, in this order; what punctuation joins is so, too: os.path
    rab*                    words that begin so; at least three letters, and at most two of them in a query
    -caves                  not with this word; also -"a phrase", -rab*, -path:old/, -type:py
    path:notes/2024         the path holds this, in any case; * stands for anything: path:src/*_test
    type:py                 what kind of document; also by name: type:python, type:markdown

All wanted words must occur, and all of several ``path:``; of several ``type:`` any one. A filter alone lists what
passes it. A quote that is not closed ends with the query. Anything else is a word or nothing: no query is a mistake,
save those that ``parse`` names, and none is ever a part of FTS5's language.

Words inside of Chinese, Japanese and Korean text need no ``*``: they are found wherever they stand.

Databases and files are not known here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from letterhead.errors import InvalidArgument
from letterhead.limits import Limits
from letterhead.search.terms import MARKS, Word, stands_alone, tokens

TOKENS_A_TERM = 4
"""So many tokens for each term that a query may have: a phrase of Chinese has one for each character."""

# “typographic” quotes are what telephones type.
_PART = re.compile(r'(-(?!-))?(?:(path|type):)?(?:["“”„]([^"“”„]*)["“”„]?|([^\s"“”„]+))', re.IGNORECASE)
_MARK = re.compile(f"[{MARKS}]")
_TYPES = {
    "c++": ("cpp", "cc", "cxx", "hpp", "hh"),
    "javascript": ("js", "mjs", "cjs", "jsx"),
    "markdown": ("md", "markdown", "mkd"),
    "python": ("py", "pyi", "pyw"),
    "restructuredtext": ("rst", "rest"),
    "ruby": ("rb",),
    "rust": ("rs",),
    "shell": ("sh", "bash", "zsh", "fish"),
    "text": ("txt", "text", ""),
    "typescript": ("ts", "tsx"),
    "yaml": ("yaml", "yml"),
}
"""Kinds of documents by their names, where that is not the ending of their files."""


@dataclass(frozen=True, slots=True)
class Term:
    """A word, a phrase or a prefix, and where in the query it stands (without its quotes)."""

    word: Word
    prefix: bool = False
    start: int = 0
    end: int = 0

    def match(self) -> str:
        """This term in FTS5's language: its tokens hold nothing that means something there."""
        return f'"{" ".join(self.word)}"' + " *" * self.prefix


@dataclass(slots=True)
class Query:
    """A parsed query."""

    text: str
    wanted: list[Term] = field(default_factory=list)
    unwanted: list[Term] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    unwanted_paths: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    unwanted_types: list[str] = field(default_factory=list)

    @property
    def filtered(self) -> bool:
        """Whether something must hold of the document itself."""
        return bool(self.paths or self.unwanted_paths or self.types or self.unwanted_types)

    def match(self) -> str:
        """The wanted words and not the others, in FTS5's language."""
        wanted = " AND ".join(term.match() for term in self.wanted)
        return f"({wanted}) NOT ({self.match_unwanted()})" if self.unwanted else wanted

    def match_unwanted(self) -> str:
        """Any of the words that are not wanted, in FTS5's language."""
        return " OR ".join(term.match() for term in self.unwanted)


def kinds(types: Sequence[str]) -> list[str]:
    """The kinds of documents that these types name: ``python`` is ``py``, ``pyi`` and ``pyw``."""
    return [kind for name in types for kind in _TYPES.get(name, (name,))]


def parse(text: str, limits: Limits, argument: str = "query") -> Query:
    """The query that ``text`` is.

    Raises:
        InvalidArgument: it is too long, has too many terms or prefixes, a prefix that is too short, a filter without a
            value, says only what should not be there, or is no Unicode text. The error names ``argument``.
    """
    check_size(text, limits, argument)
    query = Query(text)
    for part in _PART.finditer(text):
        minus, filtered, quoted, bare = part.groups()
        # A minus inside of a word joins it: only one that begins a part excludes.
        excluded = minus is not None and (part.start() == 0 or text[part.start() - 1].isspace())
        value = quoted if bare is None else bare
        if filtered is not None:
            _filter(query, filtered.lower(), value, excluded, argument)
            continue
        start = part.start(3 if bare is None else 4)
        prefix = bare is not None and value.endswith("*")
        word = tokens(value)
        if word:
            term = Term(word, prefix and not stands_alone(word[-1]), start, part.end(3 if bare is None else 4))
            terms = query.unwanted if excluded else query.wanted
            if all((known.word, known.prefix) != (term.word, term.prefix) for known in terms):
                terms.append(term)
    _check(query, limits, argument)
    return query


def _filter(query: Query, name: str, value: str, excluded: bool, argument: str) -> None:
    value = value.replace("\0", "").strip()
    if not value:
        raise InvalidArgument(f"{argument} has nothing behind {name}: a part of a {name} follows it", argument=argument)
    if name == "path":
        (query.unwanted_paths if excluded else query.paths).append(value)
    else:
        (query.unwanted_types if excluded else query.types).append(value.lower().lstrip("."))


def check_size(text: str, limits: Limits, argument: str) -> None:
    """Refuses what is too long for a query, or no Unicode text.

    Raises:
        InvalidArgument: it is; the error names ``argument``.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidArgument(f"{argument} is not Unicode text: it holds half a character", argument=argument) from None
    limit = limits.search_query_bytes
    if size > limit:
        message = f"{argument} is {size} bytes long; at most {limit} are allowed"
        raise InvalidArgument(message, argument=argument, size=size, limit=limit)


def _check(query: Query, limits: Limits, argument: str) -> None:
    terms = [*query.wanted, *query.unwanted]
    filters = [*query.paths, *query.unwanted_paths, *query.types, *query.unwanted_types]
    parts = sum(len(term.word) for term in terms)
    for size, limit, what in (
        (len(terms) + len(filters), limits.search_terms, "words and filters"),
        (parts, limits.search_terms * TOKENS_A_TERM, "parts of words"),
        (sum(term.prefix for term in terms), limits.search_prefixes, "words that end in *"),
    ):
        if size > limit:
            message = f"{argument} has {size} {what}; at most {limit} are allowed"
            raise InvalidArgument(message, argument=argument, size=size, limit=limit)
    shortest = limits.search_prefix_letters
    for term in terms:
        letters = len(_MARK.sub("", term.word[-1]))
        if term.prefix and letters < shortest:
            typed = query.text[term.start : term.end]
            message = f"{typed} is too short: at least {shortest} letters stand before a *"
            if len(term.word) > 1:
                message = (
                    f"{typed} is too short: it ends with the word {term.word[-1]}, and {message.partition(': ')[2]}"
                )
            raise InvalidArgument(message, argument=argument, size=letters, limit=shortest)
    if not (query.wanted or query.paths or query.types) and (query.unwanted or query.filtered):
        raise InvalidArgument(f"{argument} says only what is not wanted: add a word that is", argument=argument)

"""``Asking``: queries of an index within one transaction, and the shapes of their answers.

Threads are not known here, nor what is done when the time for a query is over: ``check`` raises then.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from letterhead.errors import DeadlineExceeded, InvalidArgument, Refused, TooLarge
from letterhead.limits import Limits
from letterhead.search import schema
from letterhead.search.ranking import Ranking
from letterhead.search.snippets import lines, snippet
from letterhead.search.spelling import suggestion
from letterhead.search.syntax import Query, parse
from letterhead.wire.header import content_limit

# Characters that one answer's snippets are looked for in, times the words of the query: for most a tenth of a second,
# and never longer than the query may take.
_REACH = 16 << 20
_MOST_LINES = 1_000

_DOCUMENT = "SELECT checksum, title, path, type, text FROM documents LEFT JOIN contents USING (id) WHERE"
_NUMBERED = f"{_DOCUMENT} id = ?"
_TITLED = f"{_DOCUMENT} title = ? ORDER BY id LIMIT 1"
_AT_PATH = f"{_DOCUMENT} path = ? ORDER BY id LIMIT 1"


@dataclass(frozen=True, slots=True)
class Hit:
    """One found document.

    ``snippet`` is one line with the matches between « and », ``line`` the line of the text, from 1, that holds the
    first of them; 0 where there is none, as only the title matches. ``type`` is the document's kind, such as ``md``.
    ``score`` is bm25 with the title counting five times; higher is better, and it compares hits of one answer only.
    """

    title: str
    path: str
    snippet: str
    score: float
    line: int = 0
    type: str = ""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to a query: how many documents match in all, and those asked for, best first.

    ``suggestion`` is a similar query that finds something, where this one finds nothing.
    """

    query: str
    total: int
    took_ms: float
    hits: list[Hit]
    suggestion: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A document, or a part of it.

    ``text`` holds the lines from ``first_line`` (the first is 1) on, out of ``line_count``. ``matches`` are the lines,
    of the whole text, in which a word of the query stands; at most 1,000 of them.
    """

    title: str
    path: str
    type: str
    text: str
    first_line: int
    line_count: int
    matches: list[int]


class Asking:
    """Queries of an index in one transaction; ``check`` raises once the time for it is over."""

    def __init__(self, connection: sqlite3.Connection, limits: Limits, check: Callable[[], None]) -> None:
        self._connection = connection
        self._limits = limits
        self._check = check

    def answer(self, query: Query, limit: int, offset: int) -> tuple[int, list[Hit]]:
        """How many documents match in all, and ``limit`` hits from ``offset`` on."""
        ranking = Ranking(self._connection, query, self._limits.search_ranked)
        total = ranking.total()
        rows = ranking.rows(total, limit, offset) if limit and offset < total else []
        left = _REACH // max(sum(len(term.word) for term in query.wanted), 1)
        hits: list[Hit] = []
        for number, score in rows:
            self._check()
            found = self._document(_NUMBERED, number)
            if found is None:
                raise schema.Damaged
            title, path, kind, text = found
            # Short texts leave more for long ones.
            reach = left // (len(rows) - len(hits))
            left -= min(reach, len(text))
            shown = snippet(text, query.wanted, reach=reach, check=self._check)
            hits.append(Hit(title, path, shown.text, float(f"{score:.6g}"), shown.line, kind))
        self._check()
        return total, hits

    def suggestion(self, query: Query) -> str | None:
        """A similar query that finds something; None where there is none, or none was found in time."""
        try:
            better = suggestion(self._connection, query, self._check)
            if better is None:
                return None
            return better if self.answer(parse(better, self._limits), 0, 0)[0] else None
        except (DeadlineExceeded, InvalidArgument):  # out of time, or longer than a query may be
            return None
        except sqlite3.Error as error:
            if schema.is_interruption(error):
                return None
            raise

    def titled(self, title: str) -> str | None:
        """The text of the first document with this title."""
        found = self._document(_TITLED, title)
        return None if found is None else self._sendable(found[-1])

    def document(self, path: str, query: Query, first_line: int, count: int | None) -> Found:
        """The document at ``path``: ``count`` of its lines, and where words of ``query`` stand in it."""
        document = self._document(_AT_PATH, path)
        if document is None:
            raise Refused("not-found", "no document has this path; a search tells the paths that there are", path=path)
        title, path, kind, text = document
        part = text
        if first_line > 1 or count is not None:
            rest = text.split("\n")[first_line - 1 :]
            part = "\n".join(rest if count is None else rest[:count])
        found = lines(text, query.wanted, _MOST_LINES, self._check)
        self._check()
        count_of_lines = text.count("\n") + (not text.endswith("\n") and text != "")
        return Found(title, path, kind, self._sendable(part), first_line, count_of_lines, found)

    def _document(self, statement: str, value: object) -> tuple[str, str, str, str] | None:
        """Title, path, type and text of a document, found to be what was stored.

        Raises:
            schema.Damaged: they are not.
        """
        row = self._connection.execute(statement, (value,)).fetchone()
        if row is None:
            return None
        checksum, title, path, kind, text = row
        if text is None or schema.checksum(title, path, kind, text) != checksum:
            raise schema.Damaged
        return title, path, kind, text

    def _sendable(self, text: str) -> str:
        limit = content_limit("text/json", self._limits)
        # A character takes six bytes of JSON at most, so that most texts need not be encoded to know.
        if len(text) * 6 + 1_024 > limit and (size := len(msgspec.json.encode({"result": text}))) > limit:
            message = f"this text takes {size} bytes and a reply holds {limit}: ask for fewer lines"
            raise TooLarge(message, size=size, limit=limit)
        return text

"""Questions to an index: a user's words in, ranked hits out.

* What a user types is never FTS5's language: ``terms.words`` keeps letters, digits and symbols alone, and
  each word goes to FTS5 between quotes. All words must occur, in the title or in the text.
* Every question is bounded (``Limits.search_…``): its length, its words, its rows before it runs, its time
  while it runs. SQLite asks every so many steps whether to go on. ``total`` is exact, or the answer is an error.
* A connection is used by one thread at a time and kept for the next: there are as many as threads that ask at once.
* No error carries SQLite's text or a path.

This file knows no files but the index, and nothing of how answers travel.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from letterhead.errors import DeadlineExceeded, InvalidArgument, TooLarge, Unavailable
from letterhead.limits import Limits
from letterhead.search.index import APPLICATION_ID, FORMAT, refusal
from letterhead.search.snippets import snippet
from letterhead.search.terms import Word, words
from letterhead.search.titles import one_line
from letterhead.wire.header import content_limit

_STEPS = 200
# Characters that one answer's snippets are looked for in, times the words of the query: about a tenth of a second.
_REACH = 16 << 20
_CLASSIC_HITS = 10
_MOST_OFFSET = 2**63 - 1
_TITLE_WEIGHT = 5.0

_COUNT = "SELECT count(*) FROM texts WHERE texts MATCH ?"
# Ties go by number, the order of indexing: the same question has the same answer.
_RANKED = f"""
SELECT rowid, -bm25(texts, {_TITLE_WEIGHT}, 1.0) AS score FROM texts WHERE texts MATCH :words
ORDER BY score DESC, rowid LIMIT :limit OFFSET :offset
"""
_RANKED_TITLED_FIRST = f"""
SELECT rowid, -bm25(texts, {_TITLE_WEIGHT}, 1.0) AS score FROM texts WHERE texts MATCH :words
ORDER BY rowid IN (SELECT id FROM documents WHERE title = :query) DESC, score DESC, rowid
LIMIT :limit OFFSET :offset
"""
_TITLED_COUNT = "SELECT count(*) FROM documents WHERE title = ?"
_TITLED = "SELECT id, 0.0 FROM documents WHERE title = :query ORDER BY id LIMIT :limit OFFSET :offset"
_TITLED_TEXT = "SELECT text FROM documents WHERE title = ? ORDER BY id LIMIT 1"
_DOCUMENT = "SELECT title, path, text FROM documents WHERE id = ?"


@dataclass(frozen=True, slots=True)
class Hit:
    """One found document.

    ``snippet`` is one line with the matches between « and ». ``score`` is bm25 with the title counting five
    times; higher is better, and it compares hits of one answer only.
    """

    title: str
    path: str
    snippet: str
    score: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to a query: how many documents match in all, and those asked for, best first."""

    query: str
    total: int
    took_ms: float
    hits: list[Hit]


class Searcher:
    """Answers from the index at ``path``, from any number of threads; ``close`` it, or use it in a ``with``.

    ``clock`` gives seconds and is what ``Limits.search_seconds`` is measured by.

    Raises:
        Unavailable: there is no index, or it is of another version.
        Internal: the index is damaged.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = Path(path).absolute().as_uri() + "?mode=ro"
        self._limits = limits or Limits()
        self._clock = clock
        self._changed = threading.Condition()
        self._busy = 0
        self._closed = False
        try:
            self._idle = [self._open()]
        except sqlite3.Error as error:
            raise refusal(error) from error

    def __enter__(self) -> "Searcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops what is being answered (``Unavailable`` there), closes all connections; may be repeated."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._busy)
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def search(self, query: str, limit: int = 10, offset: int = 0) -> SearchResult:
        """The documents in which every word of ``query`` occurs, best first, led by any with that very title.

        A part like ``os.path`` finds its words next to each other. A query without words has no hits, save
        titles equal to it. ``limit`` and ``offset`` choose from the ranking; ``total`` counts it whole.

        Raises:
            InvalidArgument: the query is too long or no Unicode text, ``limit`` or ``offset`` negative or too
                large. DeadlineExceeded: it took longer than ``Limits.search_seconds``. Unavailable: the
                searcher is closed, or its index cannot be read. Internal: the index is damaged.
        """
        started = self._clock()
        _check_rows(limit, offset, self._limits.search_rows)
        self._check_size(query, "query")
        asked = self._words(query, "query")
        with self._asking(started) as (connection, check):
            total, hits = _answer(connection, check, query, asked, limit, offset)
        return SearchResult(query, total, round((self._clock() - started) * 1_000, 3), hits)

    def classic(self, value: Any) -> str:
        """The answer for classic connections (protocol section 2), one string.

        The text of the first document whose title is ``value``; else the ten best hits, one a line; else
        ``No match for 'VALUE'.`` What is not a string is taken as ``str`` shows it.

        Raises:
            TooLarge: the document's text is longer than a JSON reply may be. InvalidArgument,
                DeadlineExceeded, Unavailable, Internal: as ``search``; the argument is named ``value``.
        """
        started = self._clock()
        query = _as_text(value)
        self._check_size(query, "value")
        with self._asking(started) as (connection, check):
            titled = connection.execute(_TITLED_TEXT, (query,)).fetchone()
            if titled is not None:
                return self._sendable(titled[0])
            _, hits = _answer(connection, check, query, self._words(query, "value"), _CLASSIC_HITS, 0)
        if not hits:
            return f"No match for '{query}'."
        return "\n".join(map(_line, hits))

    def _check_size(self, query: str, argument: str) -> None:
        try:
            size = len(query.encode())
        except UnicodeEncodeError:
            raise InvalidArgument(
                f"{argument} is not Unicode text: it holds half a character", argument=argument
            ) from None
        limit = self._limits.search_query_bytes
        if size > limit:
            message = f"{argument} is {size} bytes long; at most {limit} are allowed"
            raise InvalidArgument(message, argument=argument, size=size, limit=limit)

    def _words(self, query: str, argument: str) -> list[Word]:
        found = words(query)
        terms, limit = sum(map(len, found)), self._limits.search_terms
        if terms > limit:
            message = f"{argument} has {terms} words; at most {limit} are allowed"
            raise InvalidArgument(message, argument=argument, size=terms, limit=limit)
        return found

    def _sendable(self, text: str) -> str:
        limit = content_limit("text/json", self._limits)
        # A character takes six bytes of JSON at most, so that most texts need not be encoded to know.
        if len(text) * 6 + 64 > limit and (size := len(msgspec.json.encode({"result": text}))) > limit:
            raise TooLarge(f"this document takes {size} bytes; a reply holds {limit}", size=size, limit=limit)
        return text

    @contextmanager
    def _asking(self, started: float) -> Iterator[tuple[sqlite3.Connection, Callable[[], None]]]:
        """A connection for the calling thread alone, and what raises once its time is over."""

        def over() -> bool:
            return self._closed or self._clock() - started >= self._limits.search_seconds

        def check() -> None:
            if over():
                raise self._stopped()

        with self._changed:
            check()
            self._busy += 1
            connection = self._idle.pop() if self._idle else None
        try:
            connection = connection or self._open()
            connection.set_progress_handler(over, _STEPS)
            yield connection, check
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise self._stopped() from error
            raise refusal(error) from error
        finally:
            with self._changed:
                if connection is not None:
                    self._idle.append(connection)
                self._busy -= 1
                self._changed.notify_all()

    def _stopped(self) -> Unavailable | DeadlineExceeded:
        if self._closed:
            return Unavailable("the search is closed")
        seconds = self._limits.search_seconds
        message = f"the search took longer than {seconds * 1_000:g} ms: fewer or rarer words take less"
        return DeadlineExceeded(message, seconds=seconds)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._address,
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=self._limits.search_seconds,
        )
        try:
            connection.executescript("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY;")
            known = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
            if known != [APPLICATION_ID, FORMAT]:
                raise Unavailable("the index is of another version, or none at all: build it again")
        except BaseException:
            connection.close()
            raise
        return connection


def _answer(
    connection: sqlite3.Connection,
    check: Callable[[], None],
    query: str,
    asked: list[Word],
    limit: int,
    offset: int,
) -> tuple[int, list[Hit]]:
    """How many documents match in all, and the hits from ``offset`` on."""
    match = " AND ".join('"' + " ".join(word) + '"' for word in asked)
    titled: int = connection.execute(_TITLED_COUNT, (query,)).fetchone()[0]
    # A title equal to the query holds all its words; only where there are none must it be counted by itself.
    total: int = connection.execute(_COUNT, (match,)).fetchone()[0] if asked else titled
    if not limit or offset >= total:
        return total, []
    ranking = (_RANKED_TITLED_FIRST if titled else _RANKED) if asked else _TITLED
    values = {"words": match, "query": query, "limit": limit, "offset": offset}
    found = connection.execute(ranking, values).fetchall()
    left = _REACH // max(sum(map(len, asked)), 1)
    hits: list[Hit] = []
    for number, score in found:
        check()
        title, path, text = connection.execute(_DOCUMENT, (number,)).fetchone()
        # Short texts leave more for long ones.
        reach = left // (len(found) - len(hits))
        left -= min(reach, len(text))
        hits.append(Hit(title, path, snippet(text, asked, reach=reach), float(f"{score:.6g}")))
    check()
    return total, hits


def _check_rows(limit: int, offset: int, most: int) -> None:
    if not 0 <= limit <= most:
        raise InvalidArgument(f"limit is {limit}; it takes 0 to {most}", argument="limit", limit=most)
    if not 0 <= offset <= _MOST_OFFSET:
        raise InvalidArgument(f"offset is {offset}; it takes 0 or more", argument="offset")


def _line(hit: Hit) -> str:
    """A hit on one line; the path only where it says more than the title."""
    path = one_line(hit.path)
    return f"{hit.title}: {hit.snippet}" if path == hit.title else f"{hit.title} ({path}): {hit.snippet}"


def _as_text(value: Any) -> str:
    try:
        return str(value)
    except (ValueError, RecursionError):
        # An integer of thousands of digits, or lists in lists without end: Python refuses to show them.
        raise InvalidArgument("value is too large to be searched for", argument="value") from None

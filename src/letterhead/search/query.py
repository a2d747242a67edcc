"""``Searcher``: answers the queries of users from an index.

* What a user types never reaches FTS5 as its query language: ``syntax.py`` parses it, and quotes each word.
* Every query is bounded (``Limits.search_…``): its length, words and rows before it runs, its time while it
  runs. SQLite asks every so many steps whether to go on. ``total`` is exact, or the answer is an error.
* An answer is of one state of the index, whatever is written meanwhile.
* A connection is used by one thread at a time and kept for the next: there are as many as threads that ask at once.
* Once the index was found to be damaged there are no more answers: the next one might be wrong without a sign of it.
* No error carries SQLite's text or the index's place.

How answers are sent is not known here.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from letterhead.errors import DeadlineExceeded, Internal, InvalidArgument, Unavailable
from letterhead.limits import Limits
from letterhead.search import schema
from letterhead.search.answers import Asking, Found, Hit, SearchResult
from letterhead.search.identity import identity
from letterhead.search.syntax import check_size, parse
from letterhead.search.terms import prepare
from letterhead.search.titles import one_line

_log = logging.getLogger("letterhead.search")

# Between two looks at the clock, some milliseconds: each look waits for the threads that run Python.
_STEPS = 5_000
_CLASSIC_HITS = 10
_MOST_OFFSET = 2**63 - 1


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
        prepare()  # now, since the first query has no more time than any other
        self._path = path
        self._limits = limits or Limits()
        self._clock = clock
        self._changed = threading.Condition()
        self._busy = 0
        self._closed = False
        self._damaged = False
        self._file = identity(path)
        try:
            self._idle = [schema.open_reader(path, self._limits.search_seconds)]
        except sqlite3.Error as error:
            raise schema.refusal(error) from error

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
        """The documents that match ``query`` (see ``syntax.py``), best first, led by any with that very title.

        A query without words has no hits, save titles equal to it. ``limit`` and ``offset`` choose from the ranking;
        ``total`` counts it whole.

        Raises:
            InvalidArgument: the query is too long, or cannot be meant; ``limit`` or ``offset`` is negative or too
                large. DeadlineExceeded: it took longer than ``Limits.search_seconds``. Unavailable: the
                searcher is closed, or its index cannot be read. Internal: the index is damaged.
        """
        started = self._clock()
        _check_rows(limit, offset, self._limits.search_rows)
        asked = parse(query, self._limits)
        with self._asking(started) as asking:
            total, hits = asking.answer(asked, limit, offset)
            better = None if total else asking.suggestion(asked)
        return SearchResult(query, total, round((self._clock() - started) * 1_000, 3), hits, better)

    def document(self, path: str, query: str = "", first_line: int = 1, lines: int | None = None) -> Found:
        """The document whose path is ``path``, as it was indexed, and the lines in which words of ``query`` stand.

        ``first_line`` and ``lines`` choose a part of its text.

        Raises:
            Refused: ``not-found``, no document of the index has this path. TooLarge: the text is longer than a JSON
                reply may be; fewer lines may be asked for. InvalidArgument: ``first_line`` or ``lines`` is out of its
                range, or the query as in ``search``. DeadlineExceeded, Unavailable, Internal: as ``search``.
        """
        started = self._clock()
        if first_line < 1:
            raise InvalidArgument(f"first_line is {first_line}; the first line is 1", argument="first_line")
        if lines is not None and lines < 0:
            raise InvalidArgument(f"lines is {lines}; it takes 0 or more", argument="lines")
        asked = parse(query, self._limits)
        with self._asking(started) as asking:
            return asking.document(path, asked, first_line, lines)

    def classic(self, value: Any) -> str:
        """The answer for classic connections (protocol section 2), one string.

        The text of the first document whose title is ``value``; else the ten best hits, one a line; else
        ``No match for 'VALUE'.`` What is not a string is taken as ``str`` shows it.

        Raises:
            TooLarge: the document's text is longer than a JSON reply may be. InvalidArgument,
                DeadlineExceeded, Unavailable, Internal: as ``search``; the argument is named ``value``.
        """
        started = self._clock()
        query = _as_text(value, self._limits)
        with self._asking(started) as asking:
            titled = asking.titled(query)
            if titled is not None:
                return titled
            _, hits = asking.answer(parse(query, self._limits, "value"), _CLASSIC_HITS, 0)
        if not hits:
            return f"No match for '{query}'."
        return "\n".join(map(_line, hits))

    @contextmanager
    def _asking(self, started: float) -> Iterator[Asking]:
        """Queries of the index for the calling thread, until the time for them is over."""

        def over() -> bool:
            return self._closed or self._clock() - started >= self._limits.search_seconds

        def check() -> None:
            if over():
                raise self._stopped()

        with self._changed:
            self._drop_what_was_replaced()
            if self._damaged:
                raise Internal(schema.DAMAGED)
            check()
            self._busy += 1
            file = self._file
            connection = self._idle.pop() if self._idle else None
        try:
            connection = connection or schema.open_reader(self._path, self._limits.search_seconds)
            connection.set_progress_handler(over, _STEPS)
            connection.execute("BEGIN")
            try:
                yield Asking(connection, self._limits, check)
            finally:
                connection.set_progress_handler(None, 0)
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except schema.Damaged as error:
            raise self._found_damaged() from error
        except sqlite3.Error as error:
            if schema.is_interruption(error):
                raise self._stopped() from error
            if schema.is_damage(error):
                raise self._found_damaged() from error
            raise schema.refusal(error) from error
        finally:
            with self._changed:
                if connection is not None and file == self._file:
                    self._idle.append(connection)
                elif connection is not None:
                    connection.close()
                self._busy -= 1
                self._changed.notify_all()

    def _drop_what_was_replaced(self) -> None:
        """Close the connections to an index that another program has replaced, once the new one can be read."""
        file = identity(self._path)
        if file in (None, self._file):  # one that is gone is read on
            return
        try:
            connection = schema.open_reader(self._path, self._limits.search_seconds)
        except (sqlite3.Error, Unavailable):
            return
        for idle in self._idle:
            idle.close()
        self._file, self._idle, self._damaged = file, [connection], False

    def _stopped(self) -> Unavailable | DeadlineExceeded:
        if self._closed:
            return Unavailable("the search is closed")
        seconds = self._limits.search_seconds
        message = f"the search took longer than {seconds * 1_000:g} ms: fewer, rarer or longer words take less"
        return DeadlineExceeded(message, seconds=seconds)

    def _found_damaged(self) -> Internal:
        if not self._damaged:
            self._damaged = True
            _log.error("the index %s is damaged; nothing is answered from it any more", self._path)
        return Internal(schema.DAMAGED)


def _check_rows(limit: int, offset: int, most: int) -> None:
    if not 0 <= limit <= most:
        raise InvalidArgument(f"limit is {limit}; it takes 0 to {most}", argument="limit", limit=most)
    if not 0 <= offset <= _MOST_OFFSET:
        raise InvalidArgument(f"offset is {offset}; it takes 0 or more", argument="offset")


def _line(hit: Hit) -> str:
    """A hit on one line; the path only where it says more than the title."""
    path = one_line(hit.path)
    return f"{hit.title}: {hit.snippet}" if path == hit.title else f"{hit.title} ({path}): {hit.snippet}"


def _as_text(value: Any, limits: Limits) -> str:
    try:
        text = str(value)
    except (ValueError, RecursionError):
        # An integer of thousands of digits, or lists in lists without end: Python refuses to show them.
        raise InvalidArgument("value is too large to be searched for", argument="value") from None
    check_size(text, limits, "value")
    return text

"""Suggestions for queries with words that no document has.

Only words of the index are suggested, and only where the query then finds something. A word one mistake away (a letter
more, less, wrong, or two swapped, wherever) comes first; of several, the one that the most documents have. For longer
words the index's words with the same beginning are looked at for two mistakes.

Time is not known here: ``check`` raises when it is over.
"""

import sqlite3
from collections.abc import Callable, Iterator

from letterhead.search.syntax import Query, Term
from letterhead.search.terms import MARKS, Word, fold, stands_alone

_SHORTEST, _LONGEST = 3, 40
_SHORTEST_FOR_TWO_SLIPS = 6
_SAME_BEGINNING = 3
_ALPHABETS = ("abcdefghijklmnopqrstuvwxyz", "абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґ", "αβγδεζηθικλμνξοπρστυφχψω")


def suggestion(connection: sqlite3.Connection, query: Query, check: Callable[[], None]) -> str | None:
    """The query with each word that stands nowhere replaced by a similar one; None where there is none.

    ``check`` is called again and again; what it raises ends the search.

    Raises:
        sqlite3.Error: the connection is interrupted, or fails.
    """
    better = query.text
    # From the end, so that places before a replaced word stay what they are.
    for term in sorted(query.wanted, key=lambda term: term.start, reverse=True):
        if term.prefix:
            continue
        for token in term.word:
            if _documents(connection, (token,)):
                continue
            similar = _similar(connection, "".join(map(fold, token.strip(MARKS))), check)
            if similar is None:
                return None
            part = better[term.start : term.end].replace(token, similar, 1)
            better = better[: term.start] + part + better[term.end :]
    return None if better == query.text else better


def _similar(connection: sqlite3.Connection, word: str, check: Callable[[], None]) -> str | None:
    if not _SHORTEST <= len(word) <= _LONGEST or stands_alone(word) or not word.isalpha():
        return None
    found = {}
    for near in set(_one_slip(word)):
        check()
        if count := _documents(connection, (near,)):
            found[near] = count
    if not found and len(word) >= _SHORTEST_FOR_TWO_SLIPS:
        start = word[:_SAME_BEGINNING]
        rows = connection.execute(
            "SELECT term, doc FROM temp.vocabulary WHERE term >= ? AND term < ? AND length(term) BETWEEN ? AND ?",
            (start, start + "\U0010ffff", len(word) - 2, len(word) + 2),
        )
        found = {near: count for near, count in rows if _within_two(word, near)}
    return max(found, key=lambda near: (found[near], near), default=None)


def _one_slip(word: str) -> Iterator[str]:
    alphabet = next((letters for letters in _ALPHABETS if word[0] in letters), "")
    for place in range(len(word) + 1):
        before, after = word[:place], word[place:]
        yield before + after[1:]
        if len(after) > 1:
            yield before + after[1] + after[0] + after[2:]
        for letter in alphabet:
            yield before + letter + after
            yield before + letter + after[1:]


def _within_two(word: str, other: str) -> bool:
    """Whether at most two letters must be put in, taken out, replaced or swapped with their neighbour."""
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(word, 1):
        row = [i]
        for j, their in enumerate(other, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != their))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == their:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        if min(row) > 2 and min(rows[-1]) > 1:  # a swap builds on the row before
            return False
        rows.append(row)
    return rows[-1][-1] <= 2


def _documents(connection: sqlite3.Connection, word: Word) -> int:
    """How many documents have a word."""
    values = (Term(word).match(),)
    if connection.execute("SELECT rowid FROM texts WHERE texts MATCH ? LIMIT 1", values).fetchone() is None:
        return 0
    count: int = connection.execute("SELECT count(*) FROM texts WHERE texts MATCH ?", values).fetchone()[0]
    return count

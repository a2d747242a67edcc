"""``Ranking``: the SQL that finds which documents match a query, how many, and in which order.

The order is that of bm25, a word in the title weighing five times one in the text; documents whose title equals the
query come first. To rank costs some microseconds for each document that matches, which a common word makes too long in
a large index: so of more than ``Limits.search_ranked`` matches those are ranked that have the words in their title, and
the first so many besides; the others follow in the order of indexing. How many match is always exact.

Threads, time and texts are not known here.
"""

import sqlite3
from collections.abc import Sequence

from letterhead.search.schema import folded_path
from letterhead.search.syntax import Query, kinds

_TITLE_WEIGHT = 5.0

_LAST_RANKED = "SELECT rowid {matches} ORDER BY rowid LIMIT 1 OFFSET :ranked - 1"
_IS_RANKED = "(rowid <= :last OR +rowid IN (SELECT rowid FROM texts WHERE texts MATCH :in_title LIMIT :ranked))"
_BM25 = f"-bm25(texts, {_TITLE_WEIGHT}, 1.0)"
# Ties go by number, the order of indexing: the same question has the same answer.
_RANKED = "SELECT rowid, {score} AS score {matches} ORDER BY {first} score DESC, rowid LIMIT :limit OFFSET :offset"
_TITLED_FIRST = "rowid IN (SELECT id FROM documents WHERE title = :title) DESC,"
_LISTED = "SELECT id, 0.0 {matches} ORDER BY path, id LIMIT :limit OFFSET :offset"
_TITLED = "SELECT id, 0.0 {matches} ORDER BY id LIMIT :limit OFFSET :offset"


class Ranking:
    """The documents that match ``query``, in one transaction of ``connection``.

    ``ranked``: of how many documents the order is worked out, where more match.
    """

    def __init__(self, connection: sqlite3.Connection, query: Query, ranked: int) -> None:
        self._connection = connection
        self._query = query
        self._values: dict[str, object] = {"title": query.text, "ranked": ranked}
        self._ranked = ranked
        self._matches = self._matching()

    def total(self) -> int:
        """How many documents match."""
        return self._value(f"SELECT count(*) {self._matches}")

    def rows(self, total: int, limit: int, offset: int) -> list[tuple[int, float]]:
        """Numbers and scores of ``limit`` documents, best first, without the first ``offset``; ``total`` match."""
        values = {**self._values, "limit": limit, "offset": offset}
        matches, score = self._matches, _BM25
        if not self._query.wanted:
            listed = _LISTED if self._query.filtered else _TITLED
            return self._connection.execute(listed.format(matches=matches), values).fetchall()
        if total > self._ranked:
            values["last"] = self._value(_LAST_RANKED.format(matches=matches)) if self._ranked else 0
            if offset + limit <= self._ranked:
                matches += f" AND {_IS_RANKED}"
            else:
                score = f"CASE WHEN {_IS_RANKED} THEN {_BM25} ELSE 0.0 END"
        # A title that equals the query holds all its words: so there is none among the matches if there is none at all.
        first = _TITLED_FIRST if self._value("SELECT count(*) FROM documents WHERE title = :title") else ""
        return self._connection.execute(_RANKED.format(score=score, matches=matches, first=first), values).fetchall()

    def _matching(self) -> str:
        """``FROM … WHERE …`` for the documents that match."""
        query = self._query
        filters = self._filters()
        if query.wanted:
            self._values["words"] = query.match()
            self._values["in_title"] = f"title : ({query.match()})"
            among = f" AND +rowid IN (SELECT id FROM documents WHERE {filters})" if filters else ""
            return f"FROM texts WHERE texts MATCH :words{among}"
        if not filters:  # nothing that is a word: but a document may be called so
            return "FROM documents WHERE title = :title"
        if query.unwanted:
            self._values["words"] = query.match_unwanted()
            filters += " AND id NOT IN (SELECT rowid FROM texts WHERE texts MATCH :words)"
        return f"FROM documents WHERE {filters}"

    def _filters(self) -> str:
        query = self._query
        parts = [f"folded_path LIKE {self._name(_like(path))} ESCAPE '\\'" for path in query.paths]
        parts += [f"folded_path NOT LIKE {self._name(_like(path))} ESCAPE '\\'" for path in query.unwanted_paths]
        if query.types:
            parts.append(f"type IN ({self._names(kinds(query.types))})")
        if query.unwanted_types:
            parts.append(f"type NOT IN ({self._names(kinds(query.unwanted_types))})")
        return " AND ".join(parts)

    def _names(self, values: Sequence[str]) -> str:
        return ", ".join(map(self._name, values))

    def _name(self, value: str) -> str:
        """The name of a parameter for a value in a statement: what a user typed never becomes a part of the SQL."""
        name = f"value{len(self._values)}"
        self._values[name] = value
        return f":{name}"

    def _value(self, statement: str) -> int:
        value: int = self._connection.execute(statement, self._values).fetchone()[0]
        return value


def _like(path: str) -> str:
    """The pattern of SQL's LIKE for a filter on paths: found anywhere in the path, with * for anything."""
    path = folded_path(path)
    for special in "\\%_":
        path = path.replace(special, f"\\{special}")
    return f"%{path.replace('*', '%')}%"

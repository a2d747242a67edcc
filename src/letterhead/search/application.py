"""The search as an application: the actions ``search``, in both its forms, and ``document`` over one index.

Queries run in the application's threads, never on the event loop. Sockets are not known here, nor how an
index is made.
"""

import os
from typing import Any

from letterhead.limits import Limits
from letterhead.search.answers import Found, SearchResult
from letterhead.search.query import Searcher
from letterhead.server.app import App


def application(index_path: str | os.PathLike[str], limits: Limits | None = None) -> App:
    """An application that answers ``search`` from the index at ``index_path``.

    The index is opened when the server starts and closed when it has stopped; in between the searcher is
    ``app.state.searcher``. Starting raises what ``Searcher`` raises where there is no sound index.
    """
    # A query's time limit runs while its thread does. More threads than processors would only share the time: measured
    # with 64 queries at once on two processors, 64 threads let half of them run out of it, two none.
    app = App("search", limits=limits, threads=max(2, os.cpu_count() or 2))

    @app.on_start
    def open_index() -> None:
        app.state.searcher = Searcher(index_path, app.limits)

    @app.on_stop
    def close_index() -> None:
        app.state.searcher.close()

    @app.action(idempotent=True)
    def search(query: str, limit: int = 10, offset: int = 0) -> SearchResult:
        """Find the documents with every word of the query in their title or text, best first.

        Case and accents make no difference. "A phrase" finds its words next to each other, so does os.path; rab*
        words that begin so, -word leaves out the documents with it; path:notes/ and type:md (type:python, …) are
        filters. Words of Chinese, Japanese and Korean are found inside of text. A document whose title equals the
        query comes before all others.

        Arguments:
            query: at most 16 words, phrases and filters, in 1,024 bytes, where the server sets no other limits.
            limit: how many hits to give; 0 to 100 likewise.
            offset: how many to leave out before them.

        Result:
            query: as it was asked.
            total: how many documents match in all.
            took_ms: how long it took, in milliseconds.
            hits: title, path, snippet (matches between « and »), score, line (of the first match, from 1; 0 where
                only the title matches) and type of each; higher scores are better.
            suggestion: where nothing matches, a similar query that finds something, or null.

        Fails with invalid-argument where an argument is out of its range, and with deadline-exceeded where
        it takes too long (250 ms, where the server sets no other limit).
        """
        result: SearchResult = app.state.searcher.search(query, limit, offset)
        return result

    @app.action(idempotent=True)
    def document(path: str, query: str = "", first_line: int = 1, lines: int | None = None) -> Found:
        """A document as it was indexed, and the lines in which words of a query stand.

        Arguments:
            path: as the hits of a search tell it.
            query: what to look for in it, as for search.
            first_line: where to begin, from 1.
            lines: how many lines to give; all of them where it is not said.

        Result:
            title, path, type: of the document.
            text: the lines that were asked for.
            first_line: the number of the first of them; line_count: how many the document has.
            matches: the lines, of the whole document, in which a word stands; the first 1,000.

        Fails with not-found where no document has this path, and with too-large where the text does not fit into
        a reply: fewer lines may be asked for.
        """
        found: Found = app.state.searcher.document(path, query, first_line, lines)
        return found

    @app.classic("search")
    def search_classic(value: Any) -> str:
        """The text of the document with this title, else the best hits one a line, else that none match."""
        answer: str = app.state.searcher.classic(value)
        return answer

    return app

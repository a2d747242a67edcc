"""``Index``: an index open for writing. Documents are added and removed in transactions.

An ``Index`` holds the lock for writing (``lock.py``). The file's format is ``schema.py``'s; which documents go into it
is not known here. A transaction that fails is undone whole: the index stays what it was before.

Its memory is bounded by SQLite's page cache and FTS5's table of words, whatever the size of the index.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from letterhead.errors import Internal, Refused, Unavailable, UsageError
from letterhead.search import schema
from letterhead.search.items import Document
from letterhead.search.lock import ENDING, Lock, beside
from letterhead.search.terms import VERSION, spaced

# Pages of FTS5's that one step of a merge writes: each step is a transaction, so that readers and the log go on.
_MERGE_PAGES = 500


class Index:
    """The index in the file ``path``, to be written by one thread at a time; ``close`` it, or use it in a ``with``.

    An index of another version is made anew, empty. So is any with ``rebuild``.

    Args:
        path: the file; it is made if it is not there, with others beside it (``files_of``).
        rebuild: begin with an empty index, whatever state the old one is in.
        on_doubt: called before the whole index is looked through, since something else has changed its file.

    Attributes:
        new: whether it was made just now, and so is empty.

    Raises:
        Unavailable: another program writes it, or it cannot be opened or written.
        Internal: it is damaged.
        UsageError: the file is something else than an index.
    """

    def __init__(self, path: Path, *, rebuild: bool = False, on_doubt: Callable[[], None] | None = None) -> None:
        self.path = path
        self.new = False
        self._sound = True
        self._lock = Lock(path)
        ours = self._lock.known
        try:
            ours = ours or schema.may_be_index(path)
            if not ours:
                raise UsageError(f"{path} is a file of another kind, no index: name another one")
            self._lock.begin()
            if self._lock.doubtful and on_doubt is not None and not rebuild:
                on_doubt()
            self._connection = self._open(rebuild)
        except BaseException as error:
            told = self._told(error) if isinstance(error, sqlite3.Error) else None
            if ours:
                self._lock.release(sound=self._sound)
            else:
                self._lock.forget()
            if told is not None:
                raise told from error
            if isinstance(error, OSError) and not isinstance(error, Refused):
                raise Unavailable(f"the index {path} cannot be written: {error.strerror}") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write everything to the file, and release the lock."""
        try:
            self._connection.close()
        except sqlite3.Error as error:
            raise self._told(error) from error
        finally:
            self._lock.release(sound=self._sound)

    # -- opening ---------------------------------------------------------------------------------------------------

    def _open(self, rebuild: bool) -> sqlite3.Connection:
        if rebuild:
            self._remove()
        connection = schema.open_writer(self.path)
        try:
            if self._lock.doubtful and not rebuild and not schema.verify(connection):
                raise self._damaged()
            if not schema.of_this_version(connection) or not self._same_words(connection):
                connection.close()
                self._remove()
                connection = schema.open_writer(self.path)
                schema.create(connection)
                self.new = True
        except BaseException:
            connection.close()
            raise
        return connection

    def _same_words(self, connection: sqlite3.Connection) -> bool:
        row = connection.execute("SELECT value FROM meta WHERE name = 'terms'").fetchone()
        return row is not None and row[0] == VERSION

    def _remove(self) -> None:
        """Remove the file. Programs that have it open go on reading the removed one."""
        # The index before its log: a log without its index is dropped by SQLite, an index without its log is damaged.
        for end in ("", "-wal", "-shm"):
            beside(self.path, end).unlink(missing_ok=True)

    def _told(self, error: sqlite3.Error) -> Refused:
        """The error that users get for a fault of the file."""
        return self._damaged() if schema.is_damage(error) else schema.refusal(error, f"the index {self.path}")

    def _damaged(self) -> Internal:
        self._sound = False
        return Internal(f"the index {self.path} is damaged: --rebuild builds it anew")

    # -- documents -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction: what is done in its block takes effect whole when the block ends, or not at all.

        Raises:
            Unavailable: it cannot be written: no space is left, say. Internal: the index is damaged.
        """
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self.execute("ROLLBACK")
            raise
        self._bound_log()

    def _bound_log(self) -> None:
        """Begin the log anew where it has grown, which SQLite does not do while somebody is always reading."""
        with contextlib.suppress(OSError):
            if beside(self.path, "-wal").stat().st_size > schema.LOG_BYTES:
                self.rows("PRAGMA wal_checkpoint (RESTART)")

    def execute(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Run a statement that writes to the tables of ``schema.py``; the number of the row that it inserted, if any.

        Raises:
            As ``transaction``.
        """
        try:
            return self._connection.execute(statement, values).lastrowid or 0
        except sqlite3.Error as error:
            raise self._told(error) from error

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of a statement that reads.

        Raises:
            As ``transaction``.
        """
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._told(error) from error

    def add(self, document: Document, number: int | None = None) -> None:
        """Add a document, under a number that no other has; by default the next one."""
        shown = (document.title, document.path, document.type)
        number = self.execute(
            "INSERT INTO documents (id, title, path, type, folded_path) VALUES (?, ?, ?, ?, ?)",
            (number, *shown, schema.folded_path(document.path)),
        )
        values = (number, document.text, schema.checksum(*shown, document.text))
        self.execute("INSERT INTO contents (id, text, checksum) VALUES (?, ?, ?)", values)
        words = (number, spaced(document.title), spaced(document.text))
        self.execute("INSERT INTO texts (rowid, title, text) VALUES (?, ?, ?)", words)

    def remove(self, number: int) -> None:
        """Remove the document with this number, if there is one."""
        self.execute(
            "INSERT INTO texts (texts, rowid, title, text) SELECT 'delete', id, title, text FROM indexed WHERE id = ?",
            (number,),
        )
        self.execute("DELETE FROM contents WHERE id = ?", (number,))
        self.execute("DELETE FROM documents WHERE id = ?", (number,))

    @property
    def complete(self) -> bool:
        """Whether an update has been completed; until then no query is answered from the index."""
        try:
            return schema.is_complete(self._connection)
        except sqlite3.Error as error:
            raise self._told(error) from error

    def completed(self) -> None:
        """Record that an update has been completed."""
        self.execute("INSERT OR IGNORE INTO meta VALUES ('complete', '1')")

    def merge(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Merge the parts that a large update left into one, which is read faster; ends early once ``stop`` is true."""
        pages = -_MERGE_PAGES  # negative: begin to merge all there is
        while not stop():
            before = self._connection.total_changes
            self.execute("INSERT INTO texts (texts, rank) VALUES ('merge', ?)", (pages,))
            pages = _MERGE_PAGES
            if self._connection.total_changes - before < 2:  # nothing but the command itself
                break
        self.rows("PRAGMA wal_checkpoint (TRUNCATE)")


def files_of(path: Path) -> frozenset[str]:
    """The files that belong to the index at ``path``: itself, SQLite's logs and the lock."""
    place = path.resolve()
    return frozenset(str(beside(place, ending)) for ending in ("", "-wal", "-shm", "-journal", ENDING))


def build(path: Path, documents: Iterable[Document]) -> None:
    """Make the file ``path`` an index of ``documents``, whatever index stood there.

    Raises:
        As ``Index``.
    """
    with Index(path, rebuild=True) as index:
        with index.transaction():
            for document in documents:
                index.add(document)
            index.completed()
        index.merge()

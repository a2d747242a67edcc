"""Documents into one SQLite file: a table of documents and a full-text index that stores no text again.

The file is made beside its final place and moved there when it is whole: a reader never sees half an index,
and a crash while building costs nothing but the work. So the build itself needs neither journal nor syncing.
Its memory is bounded by SQLite's page cache and FTS5's table of words, whatever the size of the corpus.

What goes into the index is ``terms.spaced`` of what stands in the documents: to take a document out again,
FTS5 must be given exactly that. This file does not know how queries are written or answered.
"""

import os
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from letterhead.errors import Internal, Refused, Unavailable
from letterhead.search.documents import documents, walk
from letterhead.search.items import Document, Reason, Skipped
from letterhead.search.terms import TOKENIZER, spaced

APPLICATION_ID = 0x4C745248
"""SQLite's ``application_id`` of an index: "LtRH"."""
FORMAT = 1
"""SQLite's ``user_version`` of an index: a reader refuses any other."""

Progress = Callable[[int, int, int, int], None]
"""Called now and then with files done, bytes done, files in all, bytes in all (both 0 where not known)."""

# Measured on the standard library's 31 MB: pages of 16 KiB build 15 % faster than those of 4 KiB. FTS5's default of
# 1 MiB of words before it writes a segment takes 1.6 times as long as 16 MiB; more than that gains nothing.
_PAGE_BYTES = 16 << 10
_WORDS_BYTES = 16 << 20
_REPORT_FILES = 32
_REPORT_BYTES = 256 << 10

_SETTINGS = f"""
PRAGMA page_size = {_PAGE_BYTES};
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
"""
_TABLES = f"""
CREATE TABLE documents (id INTEGER PRIMARY KEY, title TEXT NOT NULL, path TEXT NOT NULL, text TEXT NOT NULL);
CREATE VIRTUAL TABLE texts USING fts5
    (title, text, content = 'documents', content_rowid = 'id', tokenize = "{TOKENIZER}");
INSERT INTO texts (texts, rank) VALUES ('hashsize', {_WORDS_BYTES});
"""
# One segment answers faster than several; an index on titles is cheaper made at once than kept while inserting.
_FINISH = """
INSERT INTO texts (texts) VALUES ('optimize');
CREATE INDEX titles ON documents (title);
"""


@dataclass(frozen=True, slots=True)
class Built:
    """What a build came to: documents, their bytes on disk, seconds, and how many files were skipped why."""

    documents: int
    bytes: int
    seconds: float
    skipped: dict[Reason, int]


def build_folders(
    path: str | os.PathLike[str],
    folders: Iterable[str | os.PathLike[str]],
    progress: Progress | None = None,
) -> Built:
    """Indexes the text files of ``folders`` into the file ``path``, replacing what stands there.

    Raises:
        UsageError: no folder is named, or one of them does not exist or is no folder.
        Unavailable: the index cannot be written (see ``build``).
    """
    folders = list(folders)
    files = size = 0
    if progress is not None:
        # Walking twice costs little; keeping what the first walk found would take memory that grows with the corpus.
        for found in walk(folders):
            files += 1
            size += found.size
    return build(path, documents(folders), progress=progress, files=files, size=size)


def build(
    path: str | os.PathLike[str],
    items: Iterable[Document | Skipped],
    *,
    progress: Progress | None = None,
    files: int = 0,
    size: int = 0,
) -> Built:
    """Indexes ``items`` into the file ``path``, replacing what stands there.

    ``files`` and ``size`` (bytes) are what is expected in all, handed on to ``progress``.

    Raises:
        Unavailable: it cannot be written: no space, no such folder, no right to, or an SQLite without FTS5.
    """
    started = time.monotonic()
    path = Path(path)
    tally = _Tally()
    building = _beside(path)
    try:
        connection = sqlite3.connect(building, isolation_level=None)
        try:
            for item in _inserted(connection, items):
                if tally.add(item) and progress is not None:
                    progress(tally.files, tally.bytes, files, size)
        finally:
            connection.close()
        _move(building, path)
    except sqlite3.Error as error:
        raise refusal(error) from error
    finally:
        building.unlink(missing_ok=True)
    if progress is not None:
        progress(tally.files, tally.bytes, files, size)
    return Built(tally.documents, tally.document_bytes, time.monotonic() - started, dict(tally.skipped))


def refusal(error: sqlite3.Error) -> Refused:
    """What a user is told of an SQLite error: its kind in plain words, never its text."""
    primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return Unavailable("the index cannot be written: no space is left")
    if primary in (
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_AUTH,
    ):
        return Unavailable("the index cannot be opened")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable("the index is in use by another program")
    if primary == sqlite3.SQLITE_IOERR:
        return Unavailable("the index cannot be read or written: the disk reports an error")
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return Internal("the index is damaged: build it again")
    if "no such module" in str(error):
        return Unavailable("this Python's SQLite has no full-text search (FTS5)")
    return Internal("the index could not be used")


@dataclass(slots=True)
class _Tally:
    documents: int = 0
    document_bytes: int = 0
    files: int = 0
    bytes: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    _reported_files: int = 0
    _reported_bytes: int = 0

    def add(self, item: Document | Skipped) -> bool:
        """Counts ``item``; says whether enough has come together to be worth a report."""
        self.files += 1
        self.bytes += item.size
        if isinstance(item, Skipped):
            self.skipped[item.reason] += 1
        else:
            self.documents += 1
            self.document_bytes += item.size
        if self.files - self._reported_files < _REPORT_FILES and self.bytes - self._reported_bytes < _REPORT_BYTES:
            return False
        self._reported_files, self._reported_bytes = self.files, self.bytes
        return True


def _inserted(connection: sqlite3.Connection, items: Iterable[Document | Skipped]) -> Iterator[Document | Skipped]:
    """Each of ``items`` once it is in the index, or passed over; at the end the index is whole."""
    connection.executescript(_SETTINGS)
    connection.executescript(_TABLES)
    # One transaction: without a journal it holds nothing in memory, and each one's end would write out FTS5's
    # words.
    connection.execute("BEGIN")
    number = 0
    for item in items:
        if isinstance(item, Document):
            number += 1
            connection.execute("INSERT INTO documents VALUES (?, ?, ?, ?)", (number, item.title, item.path, item.text))
            connection.execute(
                "INSERT INTO texts (rowid, title, text) VALUES (?, ?, ?)",
                (number, spaced(item.title), spaced(item.text)),
            )
        yield item
    connection.execute("COMMIT")
    connection.executescript(_FINISH)


def _beside(path: Path) -> Path:
    try:
        # Readable by its owner alone, as the files it was made from may be.
        descriptor, name = tempfile.mkstemp(prefix=path.name + ".", suffix=".building", dir=path.parent)
    except OSError as error:
        raise Unavailable(f"the index cannot be written: {error.strerror}") from error
    os.close(descriptor)
    return Path(name)


def _move(building: Path, path: Path) -> None:
    try:
        building.replace(path)
    except OSError as error:
        raise Unavailable(f"the index cannot be written: {error.strerror}") from error

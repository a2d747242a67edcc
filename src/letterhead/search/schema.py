"""The format of an index's file: its tables, and how it is opened for reading and for writing.

One SQLite file in write-ahead mode: one writer (see ``lock.py``) and any number of readers, in any number of
processes, each of which sees the index as of a commit.

* ``documents`` holds what is shown of a document, ``contents`` its text, with a checksum over both. Two tables, so that
  filters on path and type read no text.
* ``texts`` is the full-text index. It stores no text again: its content is the view ``indexed``, which is the two
  tables with ``terms.spaced`` done to them. So FTS5 can be given exactly what it once took in, to take it out again,
  and can compare all of it with the documents (``verify``).
* ``folders`` and ``files`` are what was found on disk, with what tells whether a file has changed. A file has the id
  of its document; one that was left out has ``skipped``, and no document.

What is durable when: a commit survives the end of the process at any moment. After a power cut the last commits may be
gone, never a part of one; since what was seen of a file is in the same commit as its document, the next start finds
those files changed and reads them again. So commits need not wait for the disk (``synchronous = NORMAL``).

Folders and queries are not known here.
"""

import contextlib
import os
import sqlite3
import unicodedata
import zlib
from pathlib import Path

from letterhead.errors import Internal, Refused, Unavailable
from letterhead.search.terms import TOKENIZER, VERSION, spaced

APPLICATION_ID = 0x4C745248
"""SQLite's ``application_id`` of an index: "LtRH"."""
FORMAT = 2
"""SQLite's ``user_version`` of an index: a reader refuses any other, a writer makes the index anew."""

DAMAGED = "the index is damaged: build it anew with 'letterhead serve --rebuild'"

# Measured on the standard library's 31 MB: pages of 16 KiB build 15 % faster than those of 4 KiB. FTS5's default of
# 1 MiB of words before it writes a segment takes 1.6 times as long as 16 MiB; more than that gains nothing. An index
# on three-letter prefixes would make queries such as con* in 1 GB five times as fast, and building a third slower: not
# worth it where most prefixes are longer and most folders smaller.
_PAGE_BYTES = 16 << 10
_WORDS_BYTES = 16 << 20
_CACHE_KIB = 16 << 10
LOG_BYTES = 64 << 20
"""Above this size the write-ahead log is written out and begun anew; it is cut back to it."""

_TABLES = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE folders (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name BLOB NOT NULL, UNIQUE (parent, name));
CREATE TABLE files (
    id INTEGER PRIMARY KEY, folder INTEGER NOT NULL, name BLOB NOT NULL, size INTEGER NOT NULL,
    mtime INTEGER NOT NULL, ctime INTEGER NOT NULL, skipped TEXT, UNIQUE (folder, name));
CREATE TABLE documents (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL, path TEXT NOT NULL, folded_path TEXT NOT NULL, type TEXT NOT NULL);
CREATE TABLE contents (id INTEGER PRIMARY KEY, text TEXT NOT NULL, checksum INTEGER NOT NULL);
CREATE INDEX titles ON documents (title);
CREATE INDEX paths ON documents (path);
CREATE VIEW indexed AS
    SELECT documents.id AS id, spaced(title) AS title, spaced(text) AS text FROM documents JOIN contents USING (id);
CREATE VIRTUAL TABLE texts USING fts5
    (title, text, content = 'indexed', content_rowid = 'id', tokenize = "{TOKENIZER}");
INSERT INTO texts (texts, rank) VALUES ('hashsize', {_WORDS_BYTES});
INSERT INTO meta VALUES ('terms', '{VERSION}');
"""
# Documents that no file stands for, where any do; files in no folder; texts of no document.
_ASTRAY = """
SELECT 1 FROM files WHERE folder NOT IN (SELECT id FROM folders)
UNION ALL SELECT 1 FROM files WHERE skipped IS NULL AND id NOT IN (SELECT id FROM documents)
UNION ALL SELECT 1 FROM contents WHERE id NOT IN (SELECT id FROM documents)
UNION ALL SELECT 1 FROM documents WHERE EXISTS (SELECT 1 FROM files) AND id NOT IN (SELECT id FROM files) LIMIT 1
"""


class Damaged(Exception):
    """A text of the index is not the one that was stored."""


def open_reader(path: str | os.PathLike[str], lock_seconds: float) -> sqlite3.Connection:
    """A connection that can only read, for any one thread at a time; locks are waited for ``lock_seconds``.

    Raises:
        sqlite3.Error: the file cannot be opened. Unavailable: it is no index, one of another version, or one that has
            not been complete yet.
    """
    connection = sqlite3.connect(
        Path(path).absolute().as_uri() + "?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=lock_seconds,
    )
    try:
        connection.execute("PRAGMA temp_store = MEMORY")
        if not of_this_version(connection):
            raise Unavailable("the index is of another version, or none at all: build it again")
        if not is_complete(connection):
            raise Unavailable("the index is being built: try again in a moment")
        # What makes the words of the index readable as a table, for this connection alone.
        connection.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab (main, texts, row)")
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def open_writer(path: Path) -> sqlite3.Connection:
    """A connection that writes, for one thread; the file is made if it is not there, for its owner alone.

    Raises:
        sqlite3.Error: it cannot be opened. OSError: it cannot be made.
    """
    # Readable by its owner alone, as the files it is made from may be; its log files take after it. A file that is
    # there is not opened: to close it again would take this process's locks on it, those of readers, too.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
    try:
        connection.create_function("spaced", 1, spaced, deterministic=True)
        connection.executescript(
            f"PRAGMA page_size = {_PAGE_BYTES}; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -{_CACHE_KIB};"
            f"PRAGMA journal_size_limit = {LOG_BYTES}; PRAGMA trusted_schema = ON;"
        )
    except BaseException:
        connection.close()
        raise
    return connection


def create(connection: sqlite3.Connection) -> None:
    """Make the tables, in one transaction, and turn to write-ahead mode."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(f"BEGIN; {_TABLES} COMMIT;")


def of_this_version(connection: sqlite3.Connection) -> bool:
    """Whether the file is an index that this code reads."""
    return [_pragma(connection, name) for name in ("application_id", "user_version")] == [APPLICATION_ID, FORMAT]


def is_complete(connection: sqlite3.Connection) -> bool:
    """Whether an update has come to its end once: then it is out of date at worst, not a part of what there is."""
    return connection.execute("SELECT 1 FROM meta WHERE name = 'complete'").fetchone() is not None


def may_be_index(path: Path) -> bool:
    """Whether the file is an index of whatever version and in whatever state, or empty, or not there.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            header = file.read(72)
    except FileNotFoundError:
        return True
    # https://www.sqlite.org/fileformat.html, section 1.3: magic bytes, and application_id at offset 68.
    return not header or (header.startswith(b"SQLite format 3\0") and header[68:] == APPLICATION_ID.to_bytes(4, "big"))


def verify(connection: sqlite3.Connection) -> bool:
    """Whether the whole index is sound: every page, every text, and every word of each. Reads all of it.

    Raises:
        sqlite3.Error: what SQLite stumbles over, where it is not sound.
    """
    if connection.execute("PRAGMA integrity_check (1)").fetchone()[0] != "ok":
        return False
    for known, *document in connection.execute(
        "SELECT checksum, title, path, type, text FROM documents LEFT JOIN contents USING (id)"
    ):
        if known is None or checksum(*document) != known:
            return False
    if connection.execute(_ASTRAY).fetchone() is not None:
        return False
    connection.execute("INSERT INTO texts (texts, rank) VALUES ('integrity-check', 1)")
    return True


def checksum(title: str, path: str, type: str, text: str) -> int:
    """A checksum of a document, which shows damage that SQLite itself would not notice."""
    return zlib.crc32(text.encode(), zlib.crc32(f"{title}\0{path}\0{type}".encode()))


def folded_path(path: str) -> str:
    """A path, or a part of one, as filters compare it: without case, and accented letters as one character."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def refusal(error: sqlite3.Error, what: str = "the index") -> Refused:
    """The error that users get for one of SQLite's: its kind in words, never its text. ``what`` names the index."""
    primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if primary == sqlite3.SQLITE_FULL:
        return Unavailable(f"{what} cannot be written: no space is left on its disk")
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH):
        return Unavailable(f"{what} cannot be opened")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(f"{what} is in use by another program")
    if primary == sqlite3.SQLITE_IOERR:
        return Unavailable(f"{what} cannot be read or written: the disk reports an error")
    if is_damage(error):
        return Internal(DAMAGED)
    if "no such module" in str(error):
        return Unavailable("this Python's SQLite has no full-text search (FTS5)")
    return Internal(f"{what} could not be used")


def is_damage(error: BaseException) -> bool:
    """Whether an SQLite error says that the file is damaged."""
    primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    # Text that is no longer UTF-8 is reported by Python, without a code.
    return primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "decode to UTF-8" in str(error)


def is_interruption(error: BaseException) -> bool:
    """Whether an SQLite error says that a progress handler ended the statement."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value

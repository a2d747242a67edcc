"""``Update``: brings an index up to date with folders, reading only what is new or changed since the last time.

It goes folder by folder: a folder's entries are compared with what the index knows of that folder, so that memory
is bounded by the largest folder, not by the corpus. A file is read again when its size, its time of change or its time
of inode change is another one; the last of them changes on every write, whoever sets the other one back. A file that
changed in the last two seconds is not trusted: it could change again without its times telling (two seconds is the
coarsest that file systems have), so the next update reads it once more. What reads as before is not indexed again.

Commits come every few megabytes: an update that is ended, killed even, is gone on with the next time. A folder that is
gone takes its documents with it; so does one that may not be read any more. Where a named folder itself cannot be read,
nothing is taken for gone.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from letterhead.errors import Unavailable, UsageError
from letterhead.search.documents import Folder, Listing, listing, passed_over, roots_of
from letterhead.search.index import Index, files_of
from letterhead.search.items import NOT_TO_BE_READ, Document, Reason, Skipped, Source
from letterhead.search.reading import load

Progress = Callable[[int, int], None]
"""Called now and then with files and bytes looked at so far."""

# A commit writes out FTS5's table of words, so that many small ones take longer; measured, larger ones gain nothing.
_COMMIT_BYTES = 16 << 20
_TRUSTED_SECONDS = 2.0
_REPORT_FILES = 32
_REPORT_BYTES = 256 << 10
# What may be read next time, though the file is the same.
_RETRIED = frozenset(
    {Reason.UNREADABLE, Reason.FAILED, Reason.VANISHED, Reason.PDF_NOT_INSTALLED, Reason.PDF_READER_FAILED}
)
# Above so many paths of which something is told, to look through everything is less work.
_MOST_PATHS = 2_000


@dataclass(slots=True)
class Changes:
    """The outcome of an update.

    ``documents`` and ``bytes`` (on disk) are what was found; ``added``, ``changed`` and ``removed`` what of it was
    other than last time; ``read`` how many files were read to know that; ``skipped`` counts the files that were left
    out, by reason.
    """

    documents: int = 0
    bytes: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    read: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    skipped_bytes: int = 0
    seconds: float = 0.0

    @property
    def files(self) -> int:
        """All that was looked at."""
        return self.documents + self.skipped.total()


class _Stamp(NamedTuple):
    """What tells whether a file has changed: its size in bytes, and times in nanoseconds."""

    size: int
    mtime: int
    ctime: int


_UNKNOWN = _Stamp(-1, 0, 0)
"""The stamp of no file."""


class _Known(NamedTuple):
    """What the index knows of a file; ``skipped``, the name of a ``Reason``, is None for a document."""

    number: int
    stamp: _Stamp
    skipped: str | None


class Update:
    """Brings ``index`` up to date with ``folders``.

    Args:
        index: where it is not new, it must be of the same folders.
        folders: as typed; one that lies in another is read once.
        trusted_seconds: how long ago a file must have changed for its times to tell.

    Attributes:
        folders: the real places of the folders.

    Raises:
        UsageError: no folder is named, one of them does not exist, or the index is of other folders.
    """

    def __init__(
        self,
        index: Index,
        folders: Iterable[str | os.PathLike[str]],
        *,
        trusted_seconds: float = _TRUSTED_SECONDS,
    ) -> None:
        self._index = index
        self._roots = roots_of(folders)
        self.folders = tuple(self._roots)
        self._on_skipped: Callable[[Skipped], None] | None = None
        self._trusted_ns = int(trusted_seconds * 1e9)
        self._changes = Changes()
        self._ending = False
        self._apart = files_of(index.path)
        self._failed_roots: list[str] = []
        there = sorted(self._numbers(0))
        if there and there != sorted(self._roots):
            raise UsageError(
                f"the index {index.path} is of other folders ({', '.join(there)}): name another file with --index, or "
                "build it anew with --rebuild"
            )

    def all(self, progress: Progress | None = None, on_skipped: Callable[[Skipped], None] | None = None) -> Changes:
        """Look through all folders; ``on_skipped`` is called with each file that is left out.

        Raises:
            Unavailable: a named folder cannot be read (the others are up to date then), or as ``Index.transaction``.
            Internal: as there.
        """
        began = time.monotonic()
        ((before,),) = self._index.rows("SELECT count(*) FROM documents")
        self._failed_roots = []
        self._on_skipped = on_skipped
        try:
            changes = self._made(self._everything(), progress)
        finally:
            self._on_skipped = None
        if changes.added + changes.changed > before // 2:
            self._index.merge(lambda: self._ending)
        changes.seconds = time.monotonic() - began
        if self._failed_roots:
            raise Unavailable("; ".join(self._failed_roots))
        if not self._ending and not self._index.complete:
            with self._index.transaction():
                self._index.completed()
        return changes

    def some(self, paths: Iterable[str]) -> Changes:
        """Look through the folders in which something happened to ``paths``, and through what is new below them.

        The outcome tells of these folders alone.

        Raises:
            Unavailable, Internal: as ``Index.transaction``.
        """
        told = set(paths) - self._apart
        return self.all() if len(told) > _MOST_PATHS else self._made(self._around(told), None)

    def end(self) -> None:
        """End updating for good, from another thread. What is under way ends after the file that is being read, and
        keeps what it has done."""
        self._ending = True

    def _made(self, work: Iterator[int], progress: Progress | None) -> Changes:
        """Do work, in transactions of some megabytes; ``work`` tells after each step the bytes that it took in."""
        began = time.monotonic()
        changes = self._changes = Changes()
        told_files = told_size = 0
        finished = False
        while not finished:
            with self._index.transaction():
                written = 0
                finished = True
                for size in work:
                    written += size
                    files, looked_at = changes.files, changes.bytes + changes.skipped_bytes
                    if files - told_files >= _REPORT_FILES or looked_at - told_size >= _REPORT_BYTES:
                        told_files, told_size = files, looked_at
                        if progress is not None:
                            progress(files, looked_at)
                    if written >= _COMMIT_BYTES or self._ending:
                        finished = self._ending
                        break
        if progress is not None:
            progress(changes.files, changes.bytes + changes.skipped_bytes)
        changes.seconds = time.monotonic() - began
        return changes

    # -- folders ---------------------------------------------------------------------------------------------------

    def _everything(self) -> Iterator[int]:
        # All of them before any file is committed: else an update that ended early would seem to be of fewer folders.
        numbers = {location: self._number(0, location) or self._enter(0, location) for location in self._roots}
        for location, number in numbers.items():
            root = Folder(location, self._roots[location])
            try:
                found = listing(root, self._roots, self._apart)
            except OSError as error:
                self._failed_roots.append(f"{location} cannot be read: {error.strerror}")
                continue
            yield from self._compare(root, number, found, deep=True)

    def _around(self, paths: set[str]) -> Iterator[int]:
        # A folder that something is told of may be another one by now, under the same name: then all below it is, too.
        deep = {path for path in paths if os.path.isdir(path)}  # noqa: PTH112  # Path.is_dir may raise
        holding = {str(Path(path).parent) for path in paths if path not in self._roots} | deep
        # By name, so that a folder comes before what it holds; each is looked up when its turn comes, since comparing
        # the one above may have found it gone, or new.
        for place in sorted(holding):
            for folder, number in self._known(place):
                try:
                    found = listing(folder, self._roots, self._apart)
                except OSError:
                    continue  # it is gone, which the folder that holds it tells; a root that is gone may come back
                yield from self._compare(folder, number, found, deep=folder.location in deep)
            yield 0

    def _known(self, place: str) -> Iterator[tuple[Folder, int]]:
        """The folder at ``place``, or where the index does not know it, the nearest above that it does."""
        for location, shown in self._roots.items():
            if not Path(place).is_relative_to(location):
                continue
            names = Path(place).relative_to(location).parts
            if any(map(passed_over, names)):
                continue
            folder, number = Folder(location, shown), self._number(0, location)
            for name in names:
                further = self._number(number, name)
                if not further:
                    break
                folder, number = folder.below(name), further
            if number:
                yield folder, number

    def _compare(self, folder: Folder, number: int, found: Listing, *, deep: bool) -> Iterator[int]:
        """Bring one folder up to date, and those below it: all of them with ``deep``, else those that are new."""
        # A stack, not recursion: folders nest deeper than Python's calls may.
        stack: list[tuple[Folder, int, Listing | None]] = [(folder, number, found)]
        while stack:
            folder, number, given = stack.pop()
            listed = given or self._listed(folder)
            if listed is None:
                continue
            yield from self._compare_files(number, listed)
            known = self._numbers(number)
            below = []
            for sub in listed.folders:
                there = known.pop(sub.name, None)
                if there is None or deep:
                    below.append((sub, there or self._enter(number, sub.name), None))
            stack.extend(reversed(below))
            for gone in known.values():
                yield from self._leave(gone)

    def _listed(self, folder: Folder) -> Listing | None:
        """What stands in a folder; None where that cannot be known now, as the disk or the network fails."""
        try:
            return listing(folder, self._roots, self._apart)
        except OSError as error:
            self._skip(Skipped(folder.shown, Reason.UNREADABLE))
            return Listing() if error.errno in NOT_TO_BE_READ else None

    def _numbers(self, parent: int) -> dict[str, int]:
        rows = self._index.rows("SELECT name, id FROM folders WHERE parent = ?", (parent,))
        return {os.fsdecode(name): number for name, number in rows}

    def _number(self, parent: int, name: str) -> int:
        """The number of a folder in another one; 0 where it is not known."""
        rows = self._index.rows("SELECT id FROM folders WHERE parent = ? AND name = ?", (parent, os.fsencode(name)))
        return rows[0][0] if rows else 0

    def _enter(self, parent: int, name: str) -> int:
        values = (parent, os.fsencode(name))
        return self._index.execute("INSERT INTO folders (parent, name) VALUES (?, ?)", values)

    def _leave(self, number: int) -> Iterator[int]:
        """Remove a folder and all below it."""
        numbers = [number]
        for above in numbers:
            numbers.extend(self._numbers(above).values())
        # From below: what a commit in between leaves is still below a folder that is known, and found to be gone again.
        for gone in reversed(numbers):
            yield from self._compare_files(gone, Listing())
            self._index.execute("DELETE FROM folders WHERE id = ?", (gone,))

    # -- files -----------------------------------------------------------------------------------------------------

    def _compare_files(self, folder: int, found: Listing) -> Iterator[int]:
        rows = self._index.rows("SELECT name, id, size, mtime, ctime, skipped FROM files WHERE folder = ?", (folder,))
        known = {}
        for name, number, size, mtime, ctime, skipped in rows:
            # A reason of another version of this program may have gone since: then the file is read again.
            stamp = _Stamp(size, mtime, ctime) if skipped is None or skipped in Reason.__members__ else _UNKNOWN
            known[os.fsdecode(name)] = _Known(number, stamp, skipped)
        for source in found.files:
            yield self._compare_file(folder, source, known.pop(source.name, None))
        for skipped in found.skipped:
            self._skip(skipped)
        for gone in known.values():
            yield self._forget(gone)

    def _compare_file(self, folder: int, source: Source, known: _Known | None) -> int:
        """Bring one file up to date; the bytes that were taken in."""
        stamp = _Stamp(source.size, source.mtime, source.ctime)
        if known is not None and known.stamp == stamp:
            if known.skipped is None:
                self._changes.documents += 1
                self._changes.bytes += source.size
            else:
                self._skip(Skipped(source.path, Reason[known.skipped], source.size))
            return 0
        if time.time_ns() - max(stamp.mtime, stamp.ctime) < self._trusted_ns:
            stamp = _UNKNOWN
        self._changes.read += 1
        item = load(source)
        if isinstance(item, Skipped):
            self._skip(item)
            if item.reason == Reason.FAILED:
                return 0
            freed = 0 if known is None else self._forget(known)
            if item.reason not in _RETRIED:
                self._note(folder, source.name, stamp, item.reason)
            return freed
        self._changes.documents += 1
        self._changes.bytes += source.size
        was_document = known is not None and known.skipped is None
        if known is not None and was_document and self._reads_as_before(known.number, item):
            values = (*stamp, known.number)
            self._index.execute("UPDATE files SET size = ?, mtime = ?, ctime = ? WHERE id = ?", values)
            return 0
        self._changes.added += not was_document
        self._changes.changed += was_document
        if known is not None:
            self._take_out(known.number)
        self._index.add(item, self._note(folder, source.name, stamp, None))
        return max(source.size, len(item.text))

    def _reads_as_before(self, number: int, document: Document) -> bool:
        known = self._index.rows(
            "SELECT title, path, type, text FROM documents JOIN contents USING (id) WHERE id = ?", (number,)
        )
        return known == [(document.title, document.path, document.type, document.text)]

    def _note(self, folder: int, name: str, stamp: _Stamp, skipped: Reason | None) -> int:
        values = (folder, os.fsencode(name), *stamp, skipped and skipped.name)
        return self._index.execute(
            "INSERT INTO files (folder, name, size, mtime, ctime, skipped) VALUES (?, ?, ?, ?, ?, ?)", values
        )

    def _forget(self, known: _Known) -> int:
        """Remove a file that is a document no more; the bytes that this wrote."""
        self._changes.removed += known.skipped is None
        self._take_out(known.number)
        return max(known.stamp.size, 0)

    def _take_out(self, number: int) -> None:
        self._index.remove(number)
        self._index.execute("DELETE FROM files WHERE id = ?", (number,))

    def _skip(self, skipped: Skipped) -> None:
        self._changes.skipped[skipped.reason] += 1
        self._changes.skipped_bytes += skipped.size
        if self._on_skipped is not None:
            self._on_skipped(skipped)

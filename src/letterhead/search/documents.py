"""Folders to documents: which files are read, how their bytes become text, and what a document is called.

* Order is fixed: the files of a folder by name, then its folders by name.
* Symbolic links are never followed, whatever they point at; a folder that the user names may itself be one.
* Passed over: hidden files and folders, version control's, caches, installed packages, virtual environments.
* Text is known by content, never by name: see ``decode``. What is not indexed is a ``Skipped`` that says why.
* No absolute path leaves this file in a ``Document`` or ``Skipped``: paths are relative to the folder, with ``/``.

This file knows nothing of SQLite or of queries.
"""

import codecs
import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from letterhead.errors import UsageError
from letterhead.search.titles import title

MAX_BYTES = 4 << 20
"""A larger file is skipped: it is data or a log more often than something to read."""

_PASSED_OVER = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages", "CVS", "_darcs"})
_ENVIRONMENT_MARKS = frozenset({"pyvenv.cfg", "conda-meta"})
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose little-endian mark it begins with.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Backspace to carriage return occur in text, and escape where it has colours for a terminal; the rest do not.
_BINARY_CONTROLS = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f]")
# Links are not followed and pipes not waited for, should one have taken a file's place since it was found.
_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class Reason(StrEnum):
    """Why a file was not indexed."""

    BINARY = "binary"
    TOO_LARGE = "too large"
    UNREADABLE = "unreadable"
    SYMLINK = "symbolic link"
    NOT_A_FILE = "not a file"


@dataclass(frozen=True, slots=True)
class Document:
    """One text, whole, with its title, its path as users see it, and the bytes that it takes on disk."""

    title: str
    path: str
    text: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not indexed, or a folder that cannot be listed; ``size`` in bytes, 0 where unknown."""

    path: str
    reason: Reason
    size: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was found but not read yet: where it lies, its path as users see it, its size in bytes."""

    location: str
    path: str
    size: int


def _sample(name: str, text: str) -> Document:
    return Document(name, name, text, len(text.encode()))


SAMPLES = (
    _sample("morpheus", "Follow the white rabbit. \N{RABBIT FACE}"),
    _sample("ring", "In the caves beneath the Misty Mountains. \N{RING}"),
    _sample("\N{DOG FACE}", "\N{PAW PRINTS} Playing ball! \N{VOLLEYBALL}"),
)
"""What is searched where no folder is named."""


def documents(folders: Iterable[str | os.PathLike[str]]) -> Iterator[Document | Skipped]:
    """Every text file in ``folders`` as a ``Document``, every other one as ``Skipped``, one at a time.

    With several folders each path begins with its folder's name, made unique by ``-2``, ``-3``, …. A folder
    that is named twice, or lies in another one that is named too, is read once.

    Raises:
        UsageError: no folder is named, or one of them does not exist or is no folder.
    """
    return (load(found) if isinstance(found, Source) else found for found in walk(folders))


def walk(folders: Iterable[str | os.PathLike[str]]) -> Iterator[Source | Skipped]:
    """What ``documents`` would read, with sizes; nothing is opened.

    Raises:
        UsageError: as ``documents``; before the first is yielded.
    """
    roots = _roots(folders)
    return (found for root, prefix in roots.items() for found in _walk(root, prefix, roots))


def load(source: Source) -> Document | Skipped:
    """Reads one file; one that is gone, too large or something else by now is ``Skipped``."""
    try:
        descriptor = os.open(source.location, _OPEN)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return Skipped(source.path, Reason.NOT_A_FILE, source.size)
            size = min(status.st_size, MAX_BYTES)
            data = file.read(size + 1)
            if len(data) > size:
                # It grew since, or is one of those files that have no size until they are read.
                data += file.read(MAX_BYTES + 1 - len(data))
    except OSError as error:
        return Skipped(source.path, Reason.SYMLINK if error.errno == errno.ELOOP else Reason.UNREADABLE, source.size)
    if len(data) > MAX_BYTES:
        return Skipped(source.path, Reason.TOO_LARGE, source.size)
    text = decode(data)
    if text is None:
        return Skipped(source.path, Reason.BINARY, source.size)
    return Document(title(source.path.rpartition("/")[2], text), source.path, text, source.size)


def decode(data: bytes) -> str | None:
    """The text that ``data`` holds, or None where it is binary.

    A byte-order mark decides, if there is one (UTF-8, UTF-16, UTF-32). Without one it is UTF-8 where it
    decodes strictly. What is left is read as Windows-1252, the superset of Latin-1 that most older texts in
    Western languages are in, unless it holds control characters that no text has, or one of the five bytes
    that mean nothing there. A text never holds NUL.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _decoded(data, encoding)
    text = _decoded(data, "utf-8")
    if text is None and not _BINARY_CONTROLS.search(data):
        text = _decoded(data, "windows-1252")
    return text


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _roots(folders: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """The real places of the folders, each with what its paths begin with."""
    roots: dict[str, str] = {}
    for folder in folders:
        place = Path(folder).resolve()
        if not place.is_dir():
            problem = "is not a folder" if place.exists() else "does not exist"
            raise UsageError(f"{os.fspath(folder)!r} {problem}: name a folder with text files in it")
        roots[str(place)] = ""
    if not roots:
        raise UsageError("no folder to search: name one or more")
    if len(roots) > 1:
        taken: set[str] = set()
        for root in roots:
            name = _shown(Path(root).name) or "root"
            names = (name if number == 1 else f"{name}-{number}" for number in range(1, len(roots) + 2))
            unique = next(candidate for candidate in names if candidate not in taken)
            taken.add(unique)
            roots[root] = unique + "/"
    return roots


def _walk(root: str, prefix: str, roots: dict[str, str]) -> Iterator[Source | Skipped]:
    # A stack, not recursion: folders nest deeper than Python's calls may.
    folders = [(root, prefix)]
    while folders:
        folder, shown = folders.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            yield Skipped(shown or "./", Reason.UNREADABLE)
            continue
        if folder != root and any(entry.name in _ENVIRONMENT_MARKS for entry in entries):
            continue
        below = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = shown + _shown(entry.name)
            found = _found(entry, path)
            if found is not None:
                yield found
            elif entry.name not in _PASSED_OVER and entry.path not in roots:
                below.append((entry.path, path + "/"))
        folders.extend(reversed(below))


def _found(entry: "os.DirEntry[str]", path: str) -> Source | Skipped | None:
    """The file at ``entry``; None for a folder."""
    try:
        if entry.is_symlink():
            return Skipped(path, Reason.SYMLINK)
        if entry.is_dir(follow_symlinks=False):
            return None
        if not entry.is_file(follow_symlinks=False):
            return Skipped(path, Reason.NOT_A_FILE)
        size = entry.stat(follow_symlinks=False).st_size
    except OSError:
        return Skipped(path, Reason.UNREADABLE)
    if size > MAX_BYTES:
        return Skipped(path, Reason.TOO_LARGE, size)
    return Source(entry.path, path, size)


def _shown(name: str) -> str:
    """A file's name as text: bytes that are not UTF-8 become replacement characters."""
    return os.fsencode(name).decode("utf-8", "replace")

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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
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
    type: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not indexed, or a folder that cannot be listed; ``size`` in bytes, 0 where unknown."""

    path: str
    reason: Reason
    size: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was found but not read yet.

    ``location`` is where it lies, ``path`` what users see, ``size`` in bytes, the times of change of its content
    (``mtime``) and of its inode (``ctime``) in nanoseconds.
    """

    location: str
    path: str
    size: int
    mtime: int = 0
    ctime: int = 0

    @property
    def name(self) -> str:
        """Its name in its folder."""
        return os.path.basename(self.location)  # noqa: PTH119  # a Path for each of 100,000 files takes a second


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder: where it lies, and what the paths in it begin with (empty, or ending with ``/``)."""

    location: str
    shown: str

    @property
    def name(self) -> str:
        """Its name in its folder."""
        return os.path.basename(self.location)  # noqa: PTH119

    def below(self, name: str) -> "Folder":
        """The folder of this name in it."""
        return Folder(os.path.join(self.location, name), f"{self.shown}{_shown(name)}/")  # noqa: PTH118


@dataclass(slots=True)
class Listing:
    """What stands in one folder, each kind by name."""

    files: list[Source] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


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
    roots = roots_of(folders)
    return (found for location, shown in roots.items() for found in _walk(Folder(location, shown), roots))


def roots_of(folders: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """The real places of the folders, in order, each with what its paths begin with.

    Raises:
        UsageError: no folder is named, or one of them does not exist or is no folder.
    """
    places = set()
    for folder in folders:
        place = Path(folder).resolve()
        if not place.is_dir():
            problem = "is not a folder" if place.exists() else "does not exist"
            raise UsageError(f"{os.fspath(folder)!r} {problem}: name a folder with text files in it")
        places.add(str(place))
    if not places:
        raise UsageError("no folder to search: name one or more")
    roots = dict.fromkeys(sorted(places), "")
    if len(roots) > 1:
        taken: set[str] = set()
        for root in roots:
            name = _shown(os.path.basename(root)) or "root"  # noqa: PTH119
            names = (name if number == 1 else f"{name}-{number}" for number in range(1, len(roots) + 2))
            unique = next(candidate for candidate in names if candidate not in taken)
            taken.add(unique)
            roots[root] = unique + "/"
    return roots


def listing(folder: Folder, roots: Mapping[str, str]) -> Listing:
    """What stands in a folder that is searched together with all of ``roots``.

    Raises:
        OSError: it cannot be read.
    """
    found = Listing()
    with os.scandir(folder.location) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    if folder.location not in roots and any(entry.name in _ENVIRONMENT_MARKS for entry in ordered):
        return found
    for entry in ordered:
        if entry.name.startswith("."):
            continue
        path = folder.shown + _shown(entry.name)
        file = _found(entry, path)
        if isinstance(file, Source):
            found.files.append(file)
        elif file is not None:
            found.skipped.append(file)
        elif not passed_over(entry.name) and entry.path not in roots:
            found.folders.append(Folder(entry.path, path + "/"))
    return found


def passed_over(name: str) -> bool:
    """Whether folders of this name are never looked into: hidden ones, caches, installed packages."""
    return name.startswith(".") or name in _PASSED_OVER


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


def _walk(root: Folder, roots: Mapping[str, str]) -> Iterator[Source | Skipped]:
    # A stack, not recursion: folders nest deeper than Python's calls may.
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            found = listing(folder, roots)
        except OSError:
            yield Skipped(folder.shown or "./", Reason.UNREADABLE)
            continue
        yield from found.files
        yield from found.skipped
        folders.extend(reversed(found.folders))


def _found(entry: "os.DirEntry[str]", path: str) -> Source | Skipped | None:
    """The file at ``entry``; None for a folder."""
    try:
        if entry.is_symlink():
            return Skipped(path, Reason.SYMLINK)
        if entry.is_dir(follow_symlinks=False):
            return None
        if not entry.is_file(follow_symlinks=False):
            return Skipped(path, Reason.NOT_A_FILE)
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return Skipped(path, Reason.UNREADABLE)
    return Source(entry.path, path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _shown(name: str) -> str:
    """A file's name as text: bytes that are not UTF-8 become replacement characters."""
    return os.fsencode(name).decode("utf-8", "replace")

"""The files of folders as documents: which are read, and in which order.

* Order is fixed: the files of a folder by name, then its folders by name.
* Symbolic links are never followed, whatever they point at; a folder that the user names may itself be one.
* Passed over: hidden files and folders, version control's, caches, installed packages, virtual environments.
* No absolute path leaves this file in a ``Document`` or ``Skipped``: paths are relative to the folder, with ``/``.

``reading.py`` makes documents of files. Nothing here knows SQLite or queries.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from letterhead.errors import UsageError
from letterhead.search.items import MAX_PDF_BYTES, NOT_TO_BE_READ, Document, Reason, Skipped, Source
from letterhead.search.reading import load

_PASSED_OVER = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages", "CVS", "_darcs"})
_ENVIRONMENT_MARKS = frozenset({"pyvenv.cfg", "conda-meta"})


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder: its place on disk, and what the paths in it begin with (empty, or ending with ``/``)."""

    location: str
    shown: str

    @property
    def name(self) -> str:
        """The folder's name within the one that it lies in."""
        return self.location.rpartition(os.sep)[2]

    def below(self, name: str) -> "Folder":
        """The folder called ``name`` within this one."""
        return Folder(str(Path(self.location, name)), f"{self.shown}{_shown(name)}/")


@dataclass(slots=True)
class Listing:
    """The entries of one folder, each kind sorted by name."""

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
            name = _shown(root.rpartition(os.sep)[2]) or "root"
            names = (name if number == 1 else f"{name}-{number}" for number in range(1, len(roots) + 2))
            unique = next(candidate for candidate in names if candidate not in taken)
            taken.add(unique)
            roots[root] = unique + "/"
    return roots


def listing(folder: Folder, roots: Mapping[str, str], apart: Collection[str] = ()) -> Listing:
    """The entries of a folder, without the files in ``apart``, where all of ``roots`` are searched together.

    Raises:
        OSError: the folder cannot be read.
    """
    found = Listing()
    with os.scandir(folder.location) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    if folder.location not in roots and any(entry.name in _ENVIRONMENT_MARKS for entry in ordered):
        return found
    for entry in ordered:
        if entry.name.startswith(".") or entry.path in apart:
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
    except OSError as error:
        if error.errno not in NOT_TO_BE_READ:
            raise
        return Skipped(path, Reason.UNREADABLE)
    if status.st_size > MAX_PDF_BYTES:
        return Skipped(path, Reason.TOO_LARGE, status.st_size)
    return Source(entry.path, path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _shown(name: str) -> str:
    """A file's name as text: bytes that are not UTF-8 become replacement characters."""
    return os.fsencode(name).decode("utf-8", "replace")

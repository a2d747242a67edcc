"""Folders to documents: which files are read, and in which order.

* Order is fixed: the files of a folder by name, then its folders by name.
* Symbolic links are never followed, whatever they point at; a folder that the user names may itself be one.
* Passed over: hidden files and folders, version control's, caches, installed packages, virtual environments.
* No absolute path leaves this file in a ``Document`` or ``Skipped``: paths are relative to the folder, with ``/``.

How a file becomes a document, ``reading.py`` knows. This file knows nothing of SQLite or of queries.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from letterhead.errors import UsageError
from letterhead.search.items import MAX_PDF_BYTES, Document, Reason, Skipped, Source
from letterhead.search.reading import load

_PASSED_OVER = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages", "CVS", "_darcs"})
_ENVIRONMENT_MARKS = frozenset({"pyvenv.cfg", "conda-meta"})


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
    if size > MAX_PDF_BYTES:
        return Skipped(path, Reason.TOO_LARGE, size)
    return Source(entry.path, path, size)


def _shown(name: str) -> str:
    """A file's name as text: bytes that are not UTF-8 become replacement characters."""
    return os.fsencode(name).decode("utf-8", "replace")

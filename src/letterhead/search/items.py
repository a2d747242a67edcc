"""What a walk finds, and what reading makes of it: a ``Source`` becomes a ``Document`` or a ``Skipped``.

Definitions alone: files and formats are not known here, so that every module of this folder may use them.
No absolute path stands in a ``Document`` or ``Skipped``: paths are relative to the folder that is indexed, with ``/``.
"""

import errno
import os
from dataclasses import dataclass
from enum import StrEnum

MAX_BYTES = 4 << 20
"""A larger file is skipped: it is data or a log more often than something to read."""
MAX_PDF_BYTES = 64 << 20
"""The same for PDF, most of which is pictures and fonts: 64 MiB hold nearly every book and manual."""


NOT_TO_BE_READ = frozenset({errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""Errors that concern a single file. Others concern the system: after them no file is taken to be gone."""


class Reason(StrEnum):
    """Why a file was not indexed, in words that follow a number: ``3 binary, 1 symbolic link``."""

    BINARY = "binary"
    TOO_LARGE = f"too large (over {MAX_BYTES >> 20} MiB)"
    UNREADABLE = "unreadable"
    FAILED = "not read this time (the disk, the network or the system failed)"
    VANISHED = "gone before it was read"
    SYMLINK = "symbolic link"
    NOT_A_FILE = "not a file"
    PDF_NOT_INSTALLED = "PDF (install letterhead[pdf] to read it)"
    PDF_ENCRYPTED = "PDF with a password"
    PDF_DAMAGED = "damaged PDF"
    PDF_WITHOUT_TEXT = "PDF without text (scanned pages)"
    PDF_TOO_LARGE = f"PDF too large (over {MAX_PDF_BYTES >> 20} MiB, or {MAX_BYTES >> 20} MiB of text)"
    PDF_TOO_COSTLY = "PDF that takes too long or too much memory"
    PDF_READER_FAILED = "PDF (the program that reads them does not start)"


@dataclass(frozen=True, slots=True)
class Document:
    """One text, whole, with its title, its path as users see it, the bytes that it takes on disk, and its type.

    The type is ``html`` or ``pdf`` where the content says so, else the ending of the file's name: see ``type_of``.
    """

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
        """The file's name within its folder."""
        return self.location.rpartition(os.sep)[2]  # a Path for each of 100,000 files takes a second


# Their names are their type: they have no ending, and everybody calls them so.
_KNOWN_NAMES = frozenset(
    {
        "makefile",
        "gnumakefile",
        "dockerfile",
        "containerfile",
        "jenkinsfile",
        "vagrantfile",
        "gemfile",
        "rakefile",
        "procfile",
        "justfile",
    }
)
_MAX_TYPE = 16


def type_of(name: str) -> str:
    """The type of a file called ``name``: its last ending in lower case without the dot, ``""`` for none.

    ``Makefile``, ``Dockerfile`` and their like are of the type ``makefile``, ``dockerfile``. What is too long for an
    ending, or has white space in it, is none.
    """
    stem, dot, ending = name.lower().rpartition(".")
    if not dot:
        return ending if ending in _KNOWN_NAMES else ""
    usable = stem and len(ending) <= _MAX_TYPE and len(ending.split()) == 1
    return ending if usable else ""

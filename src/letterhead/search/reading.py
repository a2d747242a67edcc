"""``load``: reads one file as a ``Document``, or says in a ``Skipped`` why it is none.

The content says what a file is, never its name: PDF (``pdf.py``), else text in some encoding (``encodings.py``), and
of that HTML (``html.py``) or anything else, which is taken as it is. A file is opened once and never followed through
a link or waited for; one that fails while it is read does so alone.

Folders and the index are not known here.
"""

import errno
import os
import stat
from typing import IO

from letterhead.search.encodings import decode
from letterhead.search.html import is_html, to_text
from letterhead.search.items import MAX_BYTES, MAX_PDF_BYTES, NOT_TO_BE_READ, Document, Reason, Skipped, Source, type_of
from letterhead.search.pdf import MAGIC, read_pdf
from letterhead.search.terms import composed
from letterhead.search.titles import fitting, title

# Links are not followed and pipes not waited for, should one have taken a file's place since it was found.
_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FAILURES = {
    errno.ELOOP: Reason.SYMLINK,
    errno.ENOENT: Reason.VANISHED,
    errno.ENOTDIR: Reason.VANISHED,  # the folder above it is a file by now
}


def load(source: Source) -> Document | Skipped:
    """Reads one file; one that is gone, too large or something else by now is ``Skipped``."""
    try:
        with os.fdopen(os.open(source.location, _OPEN), "rb") as file:
            found = _read(file, source)
    except OSError as error:
        refused = Reason.UNREADABLE if error.errno in NOT_TO_BE_READ else Reason.FAILED
        found = _FAILURES.get(error.errno or 0, refused)
    return Skipped(source.path, found, source.size) if isinstance(found, Reason) else found


def _read(file: IO[bytes], source: Source) -> Document | Reason:
    """The outcome for an open file.

    Raises:
        OSError: it cannot be read to its end.
    """
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        return Reason.NOT_A_FILE
    if status.st_size > MAX_BYTES:
        # Of a file that is too large for a text, the first bytes say whether it is one of the larger kind.
        data = file.read(len(MAGIC))
        if data != MAGIC:
            return Reason.TOO_LARGE
    else:
        data = file.read(status.st_size + 1)
        if len(data) > status.st_size:
            # It grew since, or is one of those files that have no size until they are read.
            data += file.read(MAX_BYTES + 1 - len(data))
    if data.startswith(MAGIC):
        return _pdf(file, status.st_size, source)
    return Reason.TOO_LARGE if len(data) > MAX_BYTES else _text(data, source)


def _pdf(file: IO[bytes], size: int, source: Source) -> Document | Reason:
    if size > MAX_PDF_BYTES:
        return Reason.PDF_TOO_LARGE
    found = read_pdf(file)
    if isinstance(found, Reason):
        return found
    heading, text = found
    return Document(fitting(heading, _name(source)), source.path, composed(text), source.size, "pdf")


def _text(data: bytes, source: Source) -> Document | Reason:
    text = decode(data)
    if text is None:
        return Reason.BINARY
    # What is shown is what words are found in.
    text = composed(text)
    name = _name(source)
    if is_html(name, text):
        heading, text = to_text(text)
        return Document(fitting(heading, name), source.path, text, source.size, "html")
    return Document(title(name, text), source.path, text, source.size, type_of(name))


def _name(source: Source) -> str:
    return source.path.rpartition("/")[2]

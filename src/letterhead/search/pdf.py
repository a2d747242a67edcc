"""The text of PDF files, by ``pypdf`` (the extra ``pdf``), in a process of its own.

A PDF is a program of a kind, and a hostile one makes any reader of it work or grow without end. pypdf bounds much of
that, not all, and nothing stops a thread from outside. So a child process reads each PDF: it is killed when it takes
longer than ``SECONDS``, and the system bounds its processor time and memory where it can (Linux; on macOS and Windows
the time alone does). What it writes or logs goes nowhere; it starts in the current folder, and imports nothing from
there. The file comes to it as its standard input, the outcome goes back as one JSON object.

* The text is that of the pages, an empty line between them. One longer than ``MAX_BYTES`` is not read to its end.
* The title is the one in the file, unless it is a file's name or one that a program gave.
* A PDF that opens with an empty password is read: that one forbids printing or the like, not reading.

Folders and the index are not known here.
"""

import contextlib
import importlib.util
import json
import re
import subprocess
import sys
from typing import IO

from letterhead.search.items import MAX_BYTES, Reason
from letterhead.search.titles import one_line

MAGIC = b"%PDF-"
"""What a PDF begins with."""
SECONDS = 30.0
"""How long one PDF may take: a book of a thousand full pages was measured to take 11 s."""
MEMORY_BYTES = 1 << 30
"""The address space of the process that reads one."""

_COMMAND = ("-P", "-m", "letterhead.search.pdf")
# What must not stand in a text, or means nothing there: control characters, and halves of characters.
_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_LINE_END = re.compile(r"\r\n?|\x0c")
_NO_TITLE = re.compile(
    r"(?:untitled|unknown|title|document|slide|presentation|power ?point presentation|microsoft \w+)?[\W\d_]*"
    r"|\S*\.(?:docx?|dvi|eps|fm|html?|indd|md|odp|odt|pdf|pptx?|ps|qxd|rst|rtf|tex|txt|xlsx?)",
    re.IGNORECASE,
)
_PROGRAM = re.compile(r"Microsoft (?:Office )?\w+ - ", re.IGNORECASE)


def read_pdf(file: IO[bytes]) -> tuple[str, str] | Reason:
    """The title (``""`` if it has none) and the text of the PDF in ``file``, an open file on disk; or why not."""
    if importlib.util.find_spec("pypdf") is None:
        return Reason.PDF_NOT_INSTALLED
    file.seek(0)
    try:
        child = subprocess.run(
            [sys.executable, *_COMMAND],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Reason.PDF_TOO_COSTLY
    except OSError:
        return Reason.PDF_READER_FAILED
    if child.returncode:
        # Once it reads, it ends with 0 whatever it meets, unless the system ends it.
        return Reason.PDF_TOO_COSTLY if child.returncode < 0 else Reason.PDF_READER_FAILED
    outcome = json.loads(child.stdout)
    return Reason[outcome["reason"]] if "reason" in outcome else (outcome["title"], outcome["text"])


def extract(file: IO[bytes]) -> tuple[str, str] | Reason:
    """What ``read_pdf`` returns, found in this process: with no bounds on time and memory but pypdf's own."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, LimitReachedError

    try:
        reader = PdfReader(file)
        if reader.is_encrypted and not reader.decrypt(""):
            return Reason.PDF_ENCRYPTED
        title = _meaningful(reader.metadata.title if reader.metadata else None)
        pages, size = [], 0
        for page in reader.pages:
            text = _cleaned(page.extract_text())
            if text:
                pages.append(text)
                size += len(text.encode()) + 2
            if size > MAX_BYTES:
                return Reason.PDF_TOO_LARGE
    except DependencyError:
        # A cipher that the installed libraries do not have.
        return Reason.PDF_ENCRYPTED
    except (LimitReachedError, MemoryError, RecursionError):
        return Reason.PDF_TOO_COSTLY
    except Exception:  # pypdf raises whatever its many parsers run into
        return Reason.PDF_DAMAGED
    return (title, "\n\n".join(pages) + "\n") if pages else Reason.PDF_WITHOUT_TEXT


def _meaningful(title: object) -> str:
    """The title, unless it is a file's name or one that a program gave."""
    if not isinstance(title, str):
        return ""
    title = _PROGRAM.sub("", one_line(_NO_TEXT.sub(" ", title)))
    return "" if _NO_TITLE.fullmatch(title) else title


def _cleaned(text: str) -> str:
    lines = _NO_TEXT.sub("", _LINE_END.sub("\n", text)).split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def bound() -> None:
    """Bounds this process's memory and processor time, as far as the system can."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # what a system does not have, it cannot bound
        import resource

        for limit, value in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, int(SECONDS))):
            _, most = resource.getrlimit(limit)
            resource.setrlimit(limit, (value if most == resource.RLIM_INFINITY else min(value, most), most))


def _main() -> None:
    bound()
    found = extract(sys.stdin.buffer)
    outcome = {"reason": found.name} if isinstance(found, Reason) else dict(zip(("title", "text"), found, strict=True))
    sys.stdout.buffer.write(json.dumps(outcome).encode())


if __name__ == "__main__":
    _main()

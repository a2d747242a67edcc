"""PDF to text."""

import io
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from pypdf import PdfReader, PdfWriter

from letterhead.search import pdf as pdf_module
from letterhead.search.items import Document, Reason, Skipped, Source
from letterhead.search.pdf import extract, read_pdf
from letterhead.search.reading import load
from tests.search.pdf_file import pdf, pdf_of


def read(data: bytes) -> tuple[str, str] | Reason:
    """What is found in a PDF without another process."""
    return extract(io.BytesIO(data))


def encrypted(password: str, algorithm: str = "AES-256") -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(["A secret"], "A title"))))
    writer.encrypt(password, "the owner's", algorithm=algorithm)
    data = io.BytesIO()
    writer.write(data)
    return data.getvalue()


# -- in its own process --------------------------------------------------------------------------------------


def test_a_pdf_is_a_document_with_its_title_and_text(tmp_path: Path) -> None:
    data = pdf(["Page one\nof two", "Page two"], "A guide")
    (tmp_path / "guide.bin").write_bytes(data)
    found = load(Source(str(tmp_path / "guide.bin"), "folder/guide.bin", len(data)))
    assert found == Document("A guide", "folder/guide.bin", "Page one\nof two\n\nPage two\n", len(data), "pdf")


def test_why_it_is_left_out_comes_back(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7\nnothing")
    assert load(Source(str(tmp_path / "a.pdf"), "a.pdf", 16)) == Skipped("a.pdf", Reason.PDF_DAMAGED, 16)


def test_one_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_module, "SECONDS", 0.001)
    (tmp_path / "a.pdf").write_bytes(pdf(["text"]))
    with (tmp_path / "a.pdf").open("rb") as file:
        assert read_pdf(file) is Reason.PDF_TOO_COSTLY


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone bounds a process's memory")
def test_the_process_takes_no_more_memory_than_its_bound() -> None:
    program = "from letterhead.search.pdf import MEMORY_BYTES, bound\nbound()\nbytearray(MEMORY_BYTES)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "MemoryError" in run.stderr


def test_one_that_unfolds_without_end_is_given_up() -> None:
    bomb = zlib.compress(b" " * (100 << 20))
    assert read(pdf_of([bomb], extra=b"/Filter /FlateDecode")) is Reason.PDF_TOO_COSTLY


def test_nothing_is_said_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(["text"]).replace(b"startxref\n", b"startxref\n9"))
    with (tmp_path / "a.pdf").open("rb") as file:
        assert read_pdf(file) == ("", "text\n")
    assert capfd.readouterr() == ("", "")


def test_nothing_is_imported_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pypdf.py").write_text("raise SystemExit(1)\n")
    (tmp_path / "a.pdf").write_bytes(pdf(["text"]))
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "a.pdf").open("rb") as file:
        assert read_pdf(file) == ("", "text\n")


def test_a_reader_that_cannot_be_started_is_not_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    (tmp_path / "a.pdf").write_bytes(pdf(["text"]))
    assert load(Source(str(tmp_path / "a.pdf"), "a.pdf", 1)) == Skipped("a.pdf", Reason.PDF_READER_FAILED, 1)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)  # how Python notes that a module is not there
    (tmp_path / "a.pdf").write_bytes(pdf(["text"]))
    found = load(Source(str(tmp_path / "a.pdf"), "a.pdf", 1))
    assert found == Skipped("a.pdf", Reason.PDF_NOT_INSTALLED, 1)
    assert "letterhead[pdf]" in Reason.PDF_NOT_INSTALLED


# -- what is found -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_one_that_only_forbids_printing_is_read(algorithm: str) -> None:
    assert read(encrypted("", algorithm)) == ("A title", "A secret\n")


def test_one_with_a_password_is_left_out() -> None:
    assert read(encrypted("secret")) is Reason.PDF_ENCRYPTED


def test_one_without_text_is_left_out() -> None:
    assert read(pdf(["", ""])) is Reason.PDF_WITHOUT_TEXT


@pytest.mark.parametrize("data", [b"%PDF-", b"%PDF-1.4\n" + b"\xff" * 5000, pdf(["text"])[:150]])
def test_a_damaged_one_is_left_out(data: bytes) -> None:
    assert read(data) is Reason.PDF_DAMAGED


def test_one_with_too_much_text_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_module, "MAX_BYTES", 10)
    assert read(pdf(["some text", "more text"])) is Reason.PDF_TOO_LARGE
    assert read(pdf(["text"])) == ("", "text\n")


@pytest.mark.parametrize(
    ("given", "title"),
    [
        ("A guide", "A guide"),
        ("  A\tguide ", "A guide"),
        ("Microsoft Word - A guide", "A guide"),
        ("TeX: the program", "TeX: the program"),
        ("", ""),
        ("Untitled", ""),
        ("untitled1", ""),
        ("Microsoft Word - guide.doc", ""),
        ("guide-v2.DVI", ""),
        ("PowerPoint Presentation", ""),
        ("---", ""),
    ],
)
def test_a_title_counts_if_somebody_gave_it(given: str, title: str) -> None:
    assert read(pdf(["text"], given)) == (title, "text\n")


def test_control_characters_are_no_text() -> None:
    assert read(pdf_of([rb"BT /F1 12 Tf 72 720 Td (a\000\001b) Tj ET"])) == ("", "ab\n")

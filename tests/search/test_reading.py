"""One file to a document, or to the reason why not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from letterhead.search.items import MAX_BYTES, MAX_PDF_BYTES, Document, Reason, Skipped, Source
from letterhead.search.reading import load


def source(path: Path) -> Source:
    return Source(str(path), path.name, path.stat().st_size)


def put(path: Path, data: bytes) -> Source:
    """A file with these bytes."""
    path.write_bytes(data)
    return source(path)


def document(path: Path, data: bytes) -> Document:
    """What a file with these bytes becomes."""
    found = load(put(path, data))
    assert isinstance(found, Document)
    return found


# -- what it is ----------------------------------------------------------------------------------------------


def test_a_document_has_title_path_text_size_and_type(tmp_path: Path) -> None:
    data = "# The guide\n\nnaïve\n".encode()
    assert document(tmp_path / "guide.md", data) == Document("The guide", "guide.md", data.decode(), 20, "md")


def test_a_page_is_known_by_its_content(tmp_path: Path) -> None:
    found = document(tmp_path / "page.txt", b"<!doctype html><title>A page</title><p>Its <b>text</b>")
    assert (found.title, found.text, found.type) == ("A page", "Its text\n", "html")


def test_a_page_without_a_title_is_called_by_its_name(tmp_path: Path) -> None:
    assert document(tmp_path / "page.html", b"<html><p>text").title == "page.html"


def test_a_page_in_an_older_encoding_is_read_as_it_says(tmp_path: Path) -> None:
    data = '<html><head><meta charset="koi8-r"></head><body>да</body></html>'.encode("koi8-r")
    assert document(tmp_path / "page.html", data).text == "да\n"


def test_the_path_alone_is_shown_not_where_it_lies(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    assert load(Source(str(tmp_path / "a"), "folder/a", 4)) == Document("a", "folder/a", "text", 4)


def test_a_binary_file_is_skipped_whatever_its_name(tmp_path: Path) -> None:
    assert load(put(tmp_path / "a.txt", b"\x7fELF\0")) == Skipped("a.txt", Reason.BINARY, 5)


# -- what took its place -------------------------------------------------------------------------------------


def test_a_file_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    found = put(tmp_path / "a.txt", b"text")
    put(tmp_path / "secret.txt", b"secret")
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.txt").symlink_to(tmp_path / "secret.txt")
    assert load(found) == Skipped("a.txt", Reason.SYMLINK, 4)


def test_a_file_that_became_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    found = put(tmp_path / "a.txt", b"text")
    (tmp_path / "a.txt").unlink()
    os.mkfifo(tmp_path / "a.txt")
    assert load(found) == Skipped("a.txt", Reason.NOT_A_FILE, 4)


def test_a_file_that_is_gone_is_skipped_as_such(tmp_path: Path) -> None:
    found = put(tmp_path / "a.txt", b"text")
    (tmp_path / "a.txt").unlink()
    assert load(found) == Skipped("a.txt", Reason.VANISHED, 4)


def test_a_file_whose_folder_is_gone_is_skipped_as_such(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    found = put(tmp_path / "folder" / "a.txt", b"text")
    (tmp_path / "folder" / "a.txt").unlink()
    (tmp_path / "folder").rmdir()
    (tmp_path / "folder").touch()
    assert load(found) == Skipped("a.txt", Reason.VANISHED, 4)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux's /proc")
def test_a_file_that_fails_while_it_is_read_is_told_apart_from_one_that_may_not_be_read() -> None:
    assert load(Source("/proc/self/mem", "mem", 0)) == Skipped("mem", Reason.FAILED)


def test_a_file_that_may_not_be_read_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"text")
    (tmp_path / "a.txt").chmod(0)
    tmp_path.chmod(0o755)
    program = (
        "import os, sys\n"
        "from letterhead.search.reading import load\n"
        "from letterhead.search.items import Source\n"
        # Root reads everything, so the process becomes somebody else, who may search no folder above this one.
        "os.chdir(sys.argv[1])\n"
        "os.getuid() or os.setuid(65534)\n"
        "print(load(Source('a.txt', 'a.txt', 4)).reason.name)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("UNREADABLE\n", "")


# -- sizes ---------------------------------------------------------------------------------------------------


def test_a_file_of_the_largest_size_is_read(tmp_path: Path) -> None:
    assert len(document(tmp_path / "a.txt", b"a" * MAX_BYTES).text) == MAX_BYTES


def test_a_larger_file_is_skipped(tmp_path: Path) -> None:
    found = put(tmp_path / "a.txt", b"a" * (MAX_BYTES + 1))
    assert load(found) == Skipped("a.txt", Reason.TOO_LARGE, MAX_BYTES + 1)


def test_a_file_that_has_grown_too_large_is_skipped(tmp_path: Path) -> None:
    found = put(tmp_path / "a.txt", b"a")
    put(tmp_path / "a.txt", b"a" * (MAX_BYTES + 1))
    assert load(found) == Skipped("a.txt", Reason.TOO_LARGE, 1)


def test_a_pdf_may_be_larger_than_a_text_but_not_without_end(tmp_path: Path) -> None:
    with (tmp_path / "a.pdf").open("wb") as file:
        file.write(b"%PDF-1.7\n")
        file.truncate(MAX_PDF_BYTES + 1)
    assert load(source(tmp_path / "a.pdf")) == Skipped("a.pdf", Reason.PDF_TOO_LARGE, MAX_PDF_BYTES + 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_file_that_says_it_is_empty_is_read_to_its_end() -> None:
    found = load(Source("/proc/self/status", "status", 0))
    assert isinstance(found, Document)
    assert "Pid:" in found.text

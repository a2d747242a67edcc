"""Folders to documents."""

import os
import socket
import sys
from pathlib import Path

import pytest

from letterhead.errors import UsageError
from letterhead.search import documents as documents_module
from letterhead.search.documents import SAMPLES, documents, walk
from letterhead.search.items import MAX_PDF_BYTES, Document, Reason, Skipped


def put(folder: Path, *names: str) -> None:
    """Text files of these names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"text of {name}")


def paths(*folders: Path) -> list[str]:
    return [document.path for document in documents(folders) if isinstance(document, Document)]


def only(folder: Path) -> Document | Skipped:
    (found,) = documents([folder])
    return found


# -- which files ---------------------------------------------------------------------------------------------


def test_files_come_before_folders_each_by_name(tmp_path: Path) -> None:
    put(tmp_path, "b/z.txt", "b/a/n.txt", "a/y.txt", "c.txt", "B.txt", "a.txt")
    assert paths(tmp_path) == ["B.txt", "a.txt", "c.txt", "a/y.txt", "b/z.txt", "b/a/n.txt"]


def test_a_document_has_title_path_text_and_size(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "guide.md").write_text("# The guide\n\nnaïve\n", encoding="utf-8")
    assert only(tmp_path) == Document("The guide", "docs/guide.md", "# The guide\n\nnaïve\n", 20, "md")


def test_a_file_without_an_ending_is_text_by_its_content(tmp_path: Path) -> None:
    put(tmp_path, "LICENSE")
    assert paths(tmp_path) == ["LICENSE"]


def test_an_empty_file_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    assert only(tmp_path) == Document("__init__.py", "__init__.py", "", 0, "py")


@pytest.mark.parametrize(
    "name",
    [
        ".git/config",
        ".hidden/a.txt",
        "CVS/Root",
        "__pycache__/a.txt",
        "node_modules/a/a.js",
        "site-packages/a.py",
        ".env",
    ],
)
def test_hidden_and_generated_files_are_passed_over(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, "below/" + name, "kept.txt")
    assert [(source.path, source.size) for source in walk([tmp_path])] == [("kept.txt", 16)]


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta/history"])
def test_a_virtual_environment_is_passed_over_whatever_its_name(tmp_path: Path, mark: str) -> None:
    put(tmp_path, f"tools/{mark}", "tools/lib/a.py", "kept.txt")
    assert paths(tmp_path) == ["kept.txt"]


def test_a_folder_that_is_named_is_read_whatever_it_is(tmp_path: Path) -> None:
    put(tmp_path, ".venv/pyvenv.cfg", ".venv/a.txt")
    assert paths(tmp_path / ".venv") == ["a.txt", "pyvenv.cfg"]


def test_folders_may_nest_deeper_than_calls(tmp_path: Path) -> None:
    depth = sys.getrecursionlimit() + 100
    folders = [tmp_path]
    for _ in range(depth):
        folders.append(folders[-1] / "d")
        folders[-1].mkdir()
    (folders[-1] / "a.txt").write_text("deep")
    try:
        assert paths(tmp_path) == ["d/" * depth + "a.txt"]
    finally:
        # Removed here: the removal of temporary folders recurses.
        (folders[-1] / "a.txt").unlink()
        for folder in reversed(folders[1:]):
            folder.rmdir()


def test_a_name_that_is_not_utf8_is_shown_with_replacement_characters(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("coffee")
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    assert only(tmp_path) == Document("caf\ufffd.txt", "caf\ufffd.txt", "coffee", 6, "txt")


# -- links and special files ---------------------------------------------------------------------------------


def test_a_link_to_a_file_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "folder/a.txt", "secret.txt")
    (tmp_path / "folder" / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert list(documents([tmp_path / "folder"]))[1:] == [Skipped("link.txt", Reason.SYMLINK)]


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path, "folder/a.txt", "elsewhere/b.txt")
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert list(documents([tmp_path / "folder"]))[1:] == [Skipped("link", Reason.SYMLINK)]


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    put(tmp_path, "a/b.txt")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    assert paths(tmp_path) == ["a/b.txt"]


def test_a_link_that_is_named_is_followed(tmp_path: Path) -> None:
    put(tmp_path, "folder/a.txt")
    (tmp_path / "link").symlink_to(tmp_path / "folder", target_is_directory=True)
    assert paths(tmp_path / "link") == ["a.txt"]


def test_pipes_and_sockets_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert list(documents([tmp_path])) == [
            Skipped("pipe", Reason.NOT_A_FILE),
            Skipped("socket", Reason.NOT_A_FILE),
        ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read_is_unreadable(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", "folder/b.txt")
    (tmp_path / "a.txt").chmod(0)
    (tmp_path / "folder").chmod(0)
    try:
        assert list(documents([tmp_path])) == [
            Skipped("a.txt", Reason.UNREADABLE, 13),
            Skipped("folder/", Reason.UNREADABLE),
        ]
    finally:
        (tmp_path / "folder").chmod(0o700)


def test_a_folder_that_is_gone_when_its_turn_comes_is_unreadable(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", "folder/b.txt")
    found = walk([tmp_path])
    next(found)
    (tmp_path / "folder" / "b.txt").unlink()
    (tmp_path / "folder").rmdir()
    assert list(found) == [Skipped("folder/", Reason.UNREADABLE)]


def test_a_file_that_is_larger_than_any_may_be_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.pdf").open("wb") as file:
        file.truncate(MAX_PDF_BYTES + 1)
    assert list(walk([tmp_path])) == [Skipped("a.pdf", Reason.TOO_LARGE, MAX_PDF_BYTES + 1)]


# -- several folders -----------------------------------------------------------------------------------------


def test_with_several_folders_paths_begin_with_their_names(tmp_path: Path) -> None:
    put(tmp_path, "docs/a.txt", "source/b/c.txt")
    assert paths(tmp_path / "source", tmp_path / "docs") == ["docs/a.txt", "source/b/c.txt"]


def test_folders_of_equal_name_are_numbered(tmp_path: Path) -> None:
    put(tmp_path, "1/docs/a.txt", "2/docs/a.txt", "docs-2/a.txt")
    folders = [tmp_path / "1" / "docs", tmp_path / "docs-2", tmp_path / "2" / "docs"]
    assert paths(*folders) == ["docs/a.txt", "docs-2/a.txt", "docs-2-2/a.txt"]


def test_a_folder_named_twice_is_read_once(tmp_path: Path) -> None:
    put(tmp_path, "docs/a.txt")
    assert paths(tmp_path / "docs", tmp_path / "docs" / ".." / "docs") == ["a.txt"]


def test_a_folder_in_a_folder_is_read_once(tmp_path: Path) -> None:
    put(tmp_path, "docs/a.txt", "docs/more/b.txt")
    assert paths(tmp_path / "docs", tmp_path / "docs" / "more") == ["docs/a.txt", "more/b.txt"]


def test_a_missing_folder_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        documents([tmp_path, tmp_path / "missing"])


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    put(tmp_path, "a.txt")
    with pytest.raises(UsageError, match="is not a folder"):
        documents([tmp_path / "a.txt"])


def test_at_least_one_folder_must_be_named() -> None:
    with pytest.raises(UsageError, match="no folder"):
        documents([])


# -- samples -------------------------------------------------------------------------------------------------


def test_the_samples_are_those_of_the_classic_server() -> None:
    assert {sample.title: sample.text for sample in SAMPLES} == {
        "morpheus": "Follow the white rabbit. 🐰",
        "ring": "In the caves beneath the Misty Mountains. 💍",
        "🐶": "🐾 Playing ball! 🏐",
    }


def test_a_samples_path_is_its_title() -> None:
    assert [sample.path for sample in SAMPLES] == [sample.title for sample in SAMPLES]


def test_no_absolute_path_stands_in_what_users_see(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", "b/c.md")
    (tmp_path / "b" / "link").symlink_to(tmp_path)
    found = [repr(item) for item in documents_module.documents([tmp_path])]
    assert len(found) == 3
    assert not any(str(tmp_path) in text for text in found)

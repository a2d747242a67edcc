"""An index brought in step with folders."""

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from letterhead.errors import Internal, Unavailable, UsageError
from letterhead.search import schema
from letterhead.search.index import Index
from letterhead.search.items import Reason, Skipped
from letterhead.search.query import Searcher
from letterhead.search.update import Changes, Update
from tests.leaks import PATIENCE
from tests.permissions import obey_permissions

LONG_AGO = 1_600_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "folder"
    place.mkdir()
    write(place / "alice.txt", "Alice follows the rabbit.")
    write(place / "sub" / "hatter.md", "# The hatter\n\nTea at six.")
    (place / "picture").write_bytes(bytes(range(256)))
    return place


def write(path: Path, text: str, when: int = LONG_AGO) -> None:
    """A file that seems to have been written long ago, as far as that can be set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (when, when))


def updated(
    tmp_path: Path, *folders: Path, skipped: Callable[[Skipped], None] | None = None, trusted_seconds: float = 0.0
) -> Changes:
    """What an update comes to that trusts files as soon as they are written: no test waits two seconds for it."""
    with Index(tmp_path / "index") as index:
        return Update(index, folders, trusted_seconds=trusted_seconds).all(None, skipped)


def news(changes: Changes) -> tuple[int, int, int]:
    return changes.added, changes.changed, changes.removed


def paths(tmp_path: Path, query: str) -> list[str]:
    with Searcher(tmp_path / "index") as searcher:
        return sorted(hit.path for hit in searcher.search(query).hits)


def sound(tmp_path: Path) -> bool:
    connection = schema.open_writer(tmp_path / "index")
    try:
        return schema.verify(connection)
    finally:
        connection.close()


# -- what is found -------------------------------------------------------------------------------------------


def test_what_an_update_came_to_is_told(tmp_path: Path, folder: Path) -> None:
    changes = updated(tmp_path, folder)
    assert (changes.documents, changes.bytes) == (2, 25 + 25)
    assert news(changes) == (2, 0, 0)
    assert changes.skipped == {Reason.BINARY: 1}
    assert changes.files == 3
    assert changes.seconds > 0
    assert paths(tmp_path, "rabbit") == ["alice.txt"]
    assert paths(tmp_path, "hatter") == ["sub/hatter.md"]


def test_what_is_left_out_is_told_one_by_one_also_the_next_time(tmp_path: Path, folder: Path) -> None:
    (folder / "sub" / "link").symlink_to("/etc/hosts")
    for _ in range(2):
        found: list[Skipped] = []
        updated(tmp_path, folder, skipped=found.append)
        assert [(skipped.path, skipped.reason) for skipped in found] == [
            ("picture", Reason.BINARY),
            ("sub/link", Reason.SYMLINK),
        ]


def test_several_folders_are_one_index_in_any_order(tmp_path: Path, folder: Path) -> None:
    write(tmp_path / "other" / "queen.txt", "Off with the rabbit's head!")
    updated(tmp_path, folder, tmp_path / "other")
    assert paths(tmp_path, "rabbit") == ["folder/alice.txt", "other/queen.txt"]
    assert news(updated(tmp_path, tmp_path / "other", folder)) == (0, 0, 0)


def test_a_folder_inside_another_is_read_once(tmp_path: Path, folder: Path) -> None:
    changes = updated(tmp_path, folder, folder / "sub")
    assert changes.documents == 2


def test_names_that_are_no_unicode_are_kept_apart(tmp_path: Path, folder: Path) -> None:
    for name in (b"\xff.txt", b"\xfe.txt"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("rabbit")
    assert updated(tmp_path, folder).documents == 4
    assert updated(tmp_path, folder).documents == 4
    assert paths(tmp_path, "rabbit") == ["alice.txt", "\ufffd.txt", "\ufffd.txt"]


# -- what has changed ----------------------------------------------------------------------------------------


def test_what_has_not_changed_is_not_read_again(tmp_path: Path, folder: Path) -> None:
    assert updated(tmp_path, folder).read == 3
    changes = updated(tmp_path, folder)
    assert (changes.read, news(changes)) == (0, (0, 0, 0))
    assert (changes.documents, changes.bytes, changes.skipped) == (2, 50, {Reason.BINARY: 1})


def test_what_changed_just_now_is_read_once_more(tmp_path: Path, folder: Path) -> None:
    # The time of inode change cannot be set back: these files were made a moment ago, less than an hour in any case.
    updated(tmp_path, folder, trusted_seconds=3_600)
    changes = updated(tmp_path, folder)
    assert (changes.read, news(changes)) == (3, (0, 0, 0))
    assert updated(tmp_path, folder).read == 0


def test_new_changed_and_gone_files_are_noticed(tmp_path: Path, folder: Path) -> None:
    updated(tmp_path, folder)
    write(folder / "alice.txt", "Alice follows the hare.")
    write(folder / "new.txt", "A new rabbit.")
    (folder / "sub" / "hatter.md").unlink()
    changes = updated(tmp_path, folder)
    assert (changes.read, news(changes)) == (2, (1, 1, 1))
    assert paths(tmp_path, "hare") == ["alice.txt"]
    assert paths(tmp_path, "rabbit") == ["new.txt"]
    assert paths(tmp_path, "tea") == []
    assert sound(tmp_path)


def test_a_change_of_the_same_size_whose_time_was_set_back_is_noticed(tmp_path: Path, folder: Path) -> None:
    updated(tmp_path, folder)
    write(folder / "alice.txt", "Alice follows the rabbis.")
    assert news(updated(tmp_path, folder)) == (0, 1, 0)
    assert paths(tmp_path, "rabbis") == ["alice.txt"]


def test_a_touched_file_is_read_but_not_indexed_again(tmp_path: Path, folder: Path) -> None:
    updated(tmp_path, folder)
    os.utime(folder / "alice.txt")
    changes = updated(tmp_path, folder)
    assert (changes.read, news(changes)) == (1, (0, 0, 0))
    assert updated(tmp_path, folder).read == 0


def test_a_text_that_becomes_binary_is_gone_and_one_that_becomes_text_is_new(tmp_path: Path, folder: Path) -> None:
    updated(tmp_path, folder)
    (folder / "alice.txt").write_bytes(b"\0\1\2")
    write(folder / "picture", "rabbit after all")
    changes = updated(tmp_path, folder)
    assert news(changes) == (1, 0, 1)
    assert changes.skipped == {Reason.BINARY: 1}
    assert paths(tmp_path, "rabbit") == ["picture"]


def test_a_folder_that_is_gone_takes_all_below_it_along(tmp_path: Path, folder: Path) -> None:
    write(folder / "sub" / "deeper" / "deepest" / "rabbit.txt", "rabbit")
    updated(tmp_path, folder)
    (folder / "sub").rename(tmp_path / "elsewhere")
    assert news(updated(tmp_path, folder)) == (0, 0, 2)
    (tmp_path / "elsewhere").rename(folder / "renamed")
    assert news(updated(tmp_path, folder)) == (2, 0, 0)
    assert paths(tmp_path, "rabbit") == ["alice.txt", "renamed/deeper/deepest/rabbit.txt"]
    assert sound(tmp_path)


def test_a_file_that_becomes_a_folder_and_a_link_are_noticed(tmp_path: Path, folder: Path) -> None:
    updated(tmp_path, folder)
    (folder / "alice.txt").unlink()
    write(folder / "alice.txt" / "inside.txt", "rabbit")
    (folder / "sub" / "hatter.md").unlink()
    (folder / "sub" / "hatter.md").symlink_to(folder / "picture")
    assert news(updated(tmp_path, folder)) == (1, 0, 2)
    assert paths(tmp_path, "rabbit") == ["alice.txt/inside.txt"]


def test_a_folder_that_becomes_an_environment_is_passed_over_from_then_on(tmp_path: Path, folder: Path) -> None:
    updated(tmp_path, folder)
    (folder / "sub" / "pyvenv.cfg").touch()
    assert news(updated(tmp_path, folder)) == (0, 0, 1)


# -- some of it ----------------------------------------------------------------------------------------------


@pytest.fixture
def watched(tmp_path: Path, folder: Path) -> Iterator[Update]:
    with Index(tmp_path / "index") as index:
        found = Update(index, [folder], trusted_seconds=0.0)
        found.all()
        yield found


def test_only_where_something_happened_is_looked_through(tmp_path: Path, folder: Path, watched: Update) -> None:
    write(folder / "new.txt", "rabbit")
    write(folder / "sub" / "unnoticed.txt", "rabbit")
    changes = watched.some([str(folder / "new.txt")])
    assert (changes.read, news(changes)) == (1, (1, 0, 0))
    assert paths(tmp_path, "rabbit") == ["alice.txt", "new.txt"]


def test_new_folders_are_looked_through_with_all_below_them(tmp_path: Path, folder: Path, watched: Update) -> None:
    write(folder / "a" / "b" / "c" / "new.txt", "rabbit")
    assert news(watched.some([str(folder / "a" / "b" / "c" / "new.txt")])) == (1, 0, 0)
    assert paths(tmp_path, "rabbit") == ["a/b/c/new.txt", "alice.txt"]


def test_folders_that_changed_places_are_noticed(tmp_path: Path, folder: Path, watched: Update) -> None:
    for number in range(3):
        write(folder / f"v{number}" / "deep" / "text.txt", f"version{number}")
    watched.all()
    (folder / "v0").rename(tmp_path / "away")
    (folder / "v1").rename(folder / "v0")
    (folder / "v2").rename(folder / "v1")
    watched.some([str(folder / f"v{number}") for number in range(3)])
    assert paths(tmp_path, "version1") == ["v0/deep/text.txt"]
    assert paths(tmp_path, "version2") == ["v1/deep/text.txt"]
    assert paths(tmp_path, "version0") == []


def test_a_folder_that_comes_back_while_its_removal_is_noticed_is_indexed_once(
    tmp_path: Path, folder: Path, watched: Update
) -> None:
    (folder / "sub").rename(tmp_path / "away")
    work = watched._around({str(folder / "sub"), str(folder / "sub" / "hatter.md")})
    with watched._index.transaction():
        for size in work:  # it comes back as soon as it was found to be gone
            if size and not (folder / "sub").exists():
                (tmp_path / "away").rename(folder / "sub")
    watched.some([str(folder / "sub")])
    assert paths(tmp_path, "hatter") == ["sub/hatter.md"]
    assert sound(tmp_path)


def test_many_changes_at_once_cost_no_more_than_looking_through_everything(folder: Path, watched: Update) -> None:
    for number in range(700):
        write(folder / f"{number}" / "text.txt", "rabbit")
    watched.all()
    changes = watched.some([str(folder / f"{number}" / name) for number in range(700) for name in "abc"])
    assert changes.files == 703


def test_the_index_itself_and_what_belongs_to_it_are_no_documents(folder: Path) -> None:
    (folder / "my.index").touch()
    with Index(folder / "my.index") as index:
        update = Update(index, [folder], trusted_seconds=0.0)
        assert update.all().files == 3
        beside = [str(path) for path in folder.iterdir() if path.name.startswith("my.index")]
        assert len(beside) == 4
        assert update.some(beside).files == 0


def test_a_named_folder_that_is_missing_keeps_no_other_from_being_updated(tmp_path: Path, folder: Path) -> None:
    write(tmp_path / "other" / "queen.txt", "queen")
    with Index(tmp_path / "index") as index:
        update = Update(index, [folder, tmp_path / "other"], trusted_seconds=0.0)
        update.all()
        folder.rename(tmp_path / "away")
        write(tmp_path / "other" / "king.txt", "king")
        with pytest.raises(Unavailable, match=r"folder cannot be read: No such file"):
            update.all()
    assert paths(tmp_path, "king") == ["other/king.txt"]
    assert paths(tmp_path, "alice") == ["folder/alice.txt"]


def test_what_is_gone_is_noticed_by_the_folder_that_held_it(tmp_path: Path, folder: Path, watched: Update) -> None:
    (folder / "sub" / "hatter.md").unlink()
    (folder / "sub").rmdir()
    told = [str(folder / "sub" / "hatter.md"), str(folder / "sub")]
    assert news(watched.some(told)) == (0, 0, 1)


@pytest.mark.parametrize("name", [".git/index", "sub/.hidden/x.txt", "node_modules/x.js", "../outside.txt"])
def test_what_happens_where_nothing_is_indexed_is_nothing(folder: Path, watched: Update, name: str) -> None:
    path = Path(os.path.normpath(folder / name))
    write(path, "rabbit")
    assert watched.some([str(path)]).files == 0


def test_a_named_folder_that_is_gone_for_a_while_loses_nothing(tmp_path: Path, folder: Path, watched: Update) -> None:
    folder.rename(tmp_path / "away")
    assert news(watched.some([str(folder / "alice.txt")])) == (0, 0, 0)
    with pytest.raises(Unavailable, match="cannot be read"):
        watched.all()
    assert paths(tmp_path, "rabbit") == ["alice.txt"]


# -- mistakes and misfortunes --------------------------------------------------------------------------------


def test_an_index_of_other_folders_is_left_alone(tmp_path: Path, folder: Path) -> None:
    updated(tmp_path, folder)
    with pytest.raises(UsageError, match=r"is of other folders \(.*folder\): name another file"):
        updated(tmp_path, folder / "sub")
    assert paths(tmp_path, "rabbit") == ["alice.txt"]


def test_a_folder_below_that_may_not_be_read_is_left_out(tmp_path: Path, folder: Path) -> None:
    updated(tmp_path, folder)
    (folder / "sub").chmod(0)
    try:
        done = subprocess.run(
            [sys.executable, "-c", UPDATING, str(tmp_path / "index"), str(folder)],
            preexec_fn=obey_permissions,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=True,
        )
    finally:
        (folder / "sub").chmod(0o700)
    assert done.stdout == "0 new, 1 gone, {'unreadable': 1, 'binary': 1}\n"


def small_files(limit: int) -> Callable[[], None]:
    """No file may grow above ``limit`` bytes: what a process sees of a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


UPDATING = """
import signal, sys
from pathlib import Path
from letterhead.errors import Unavailable
from letterhead.search.index import Index
from letterhead.search.update import Update
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    with Index(Path(sys.argv[1])) as index:
        changes = Update(index, [sys.argv[2]]).all()
    skipped = {str(reason): count for reason, count in sorted(changes.skipped.items(), reverse=True)}
    print(f"{changes.added} new, {changes.removed} gone, {skipped}")
except Unavailable as error:
    sys.exit(error.message)
"""


def test_a_disk_without_room_is_told_and_what_was_committed_is_read_on(tmp_path: Path, folder: Path) -> None:
    updated(tmp_path, folder)
    for number in range(40):
        write(folder / f"{number}.txt", " ".join(f"w{number}x{n}" for n in range(20_000)))
    done = subprocess.run(
        [sys.executable, "-c", UPDATING, str(tmp_path / "index"), str(folder)],
        preexec_fn=small_files(2 << 20),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"the index {tmp_path / 'index'} cannot be "), done.stderr
    assert paths(tmp_path, "rabbit") == ["alice.txt"]
    assert updated(tmp_path, folder).documents == 42
    assert sound(tmp_path)


def test_an_update_of_several_folders_that_ends_early_is_gone_on_with(tmp_path: Path, folder: Path) -> None:
    write(tmp_path / "other" / "queen.txt", "queen")
    with Index(tmp_path / "index") as index:
        update = Update(index, [folder, tmp_path / "other"])
        update.all(None, lambda _: update.end())
    assert updated(tmp_path, folder, tmp_path / "other").documents == 3


def test_an_update_that_is_killed_is_gone_on_with(tmp_path: Path, folder: Path) -> None:
    for number in range(60):
        write(folder / f"{number}.txt", " ".join(f"w{number}x{n} rabbit" for n in range(40_000)))
    program = UPDATING.replace(
        "from letterhead.search.update",
        "import letterhead.search.update as module\nmodule._COMMIT_BYTES = 1 << 20\nfrom letterhead.search.update",
    )
    counted = 0
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "index"), str(folder)])
        while process.poll() is None:
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                now = count(tmp_path)
                if now > counted + 3:
                    break
        process.kill()
        process.wait()
        after = count(tmp_path)
        assert after >= counted, "what was committed is lost"
        counted = after
    assert updated(tmp_path, folder).documents == 62
    assert len(paths(tmp_path, "w59x39999")) == 1
    assert sound(tmp_path)


def count(tmp_path: Path) -> int:
    """How many documents a reader sees; 0 while there is no index."""
    try:
        connection = sqlite3.connect(f"file:{tmp_path / 'index'}?mode=ro", uri=True)
        try:
            found: int = connection.execute("SELECT count(*) FROM documents").fetchone()[0]
            return found
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return 0


def test_an_update_that_is_ended_keeps_what_it_has_done_and_is_gone_on_with(tmp_path: Path, folder: Path) -> None:
    for number in range(50):
        write(folder / f"{number}.txt", "rabbit")
    with Index(tmp_path / "index") as index:
        update = Update(index, [folder], trusted_seconds=0.0)
        changes = update.all(None, lambda _: update.end())
        assert 0 < changes.added < 52
        assert not index.complete
    rest = updated(tmp_path, folder)
    assert rest.added == 52 - changes.added
    assert sound(tmp_path)


def test_a_folder_whose_removal_is_ended_midway_is_removed_the_next_time(tmp_path: Path, folder: Path) -> None:
    for name in ("one", "two", "three"):
        for number in range(20):
            write(folder / "gone" / name / f"{number}.txt", "rabbit")
    updated(tmp_path, folder)
    (folder / "gone").rename(tmp_path / "away")
    with Index(tmp_path / "index") as index, index.transaction():
        update = Update(index, [folder], trusted_seconds=0.0)
        for _ in islice(update._everything(), 30):  # what is committed when the process ends here
            pass
    removed = 62 - count(tmp_path)
    assert 0 < removed < 60
    rest = updated(tmp_path, folder)
    assert removed + rest.removed == 60
    assert rest.documents == 2
    assert sorted(paths(tmp_path, "path:*")) == ["alice.txt", "sub/hatter.md"]


def test_damage_that_is_met_on_the_way_is_told(tmp_path: Path, folder: Path) -> None:
    for number in range(200):
        write(folder / f"{number}.txt", f"rabbit {number} " * 200)
    updated(tmp_path, folder)
    with Index(tmp_path / "index") as index:
        whole = (tmp_path / "index").read_bytes()
        (tmp_path / "index").write_bytes(whole[: 16 << 10] + b"\xff" * (len(whole) - (16 << 10)))
        with pytest.raises(Internal, match="is damaged: --rebuild builds it anew"):
            Update(index, [folder]).all()
    with pytest.raises(Internal, match="is damaged"):
        Index(tmp_path / "index")

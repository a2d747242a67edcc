"""`letterhead serve`."""

import re
import resource
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import letterhead as library
from letterhead.cli.listening import for_clients
from tests.classic import client as classic
from tests.cli.shell import COMMAND, failure, letterhead, on_terminal, started
from tests.leaks import PATIENCE
from tests.permissions import obey_permissions
from tests.processes import ended


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two texts and a file that is none."""
    place = tmp_path / "texts"
    place.mkdir()
    (place / "alice.txt").write_text("Alice follows the rabbit.", encoding="utf-8")
    (place / "hatter.md").write_text("# The hatter\n\nTea at six.", encoding="utf-8")
    (place / "picture").write_bytes(bytes(range(256)))
    return place


@pytest.fixture
def taken() -> Iterator[str]:
    """An address of loopback where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.smoke
def test_a_folder_is_indexed_and_searched(folder: Path) -> None:
    with started("serve", str(folder), "--at", "127.0.0.1:0") as server:
        assert re.fullmatch(r"indexed 2 documents, 50 bytes in \d\.\d\d s; left out: 1 binary\n", server.said[0])
        assert "Alice follows the «rabbit»." in letterhead("search", server.address, "rabbit").out


def test_without_a_folder_there_are_three_samples() -> None:
    with started("serve", "--at", "127.0.0.1:0") as server:
        assert server.said[0] == "no folder is named, so there are three samples: morpheus, ring, 🐶\n"
        assert letterhead("search", server.address, "🐶").out.count("🐾 Playing ball! 🏐") == 1


def test_classic_clients_get_their_string() -> None:
    with started("serve", "--at", "127.0.0.1:0") as server:
        host, _, port = server.address.rpartition(":")
        assert classic.request((host, int(port)), "search", "morpheus").result == "Follow the white rabbit. 🐰"


def test_several_folders_are_searched_as_one(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "queen.txt").write_text("Off with the rabbit's head!", encoding="utf-8")
    with started("serve", str(folder), str(other), "--at", "127.0.0.1:0") as server:
        out = letterhead("search", server.address, "rabbit").out
    assert "     other/queen.txt:1\n" in out
    assert "     texts/alice.txt:1\n" in out


def test_what_it_says_to_type_elsewhere_works() -> None:
    with started("serve", "--at", "127.0.0.1:0") as server:
        lines = [server.process.stdout.readline() for _ in range(3)] if server.process.stdout else []
        assert lines[0] == "elsewhere:\n"
        command, python = (shlex.split(line) for line in lines[1:])
        assert command[:3] == ["letterhead", "search", server.address]
        assert "morpheus" in letterhead(*command[1:]).out
        assert python[0] == "python"
        done = subprocess.run([sys.executable, *python[1:]], capture_output=True, encoding="utf-8", check=True)
    assert "morpheus" in done.stdout


def test_it_listens_at_several_addresses(short_path: Path) -> None:
    with started("serve", "--at", "127.0.0.1:0", "--at", f"unix:{short_path}/socket") as server:
        assert server.said[-1] == f"listening at {server.address} and unix:{short_path}/socket; Ctrl-C stops\n"
        assert "morpheus" in letterhead("search", f"unix:{short_path}/socket", "rabbit").out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_order_and_leaves_an_index_and_its_lock(cache: Path, folder: Path, number: signal.Signals) -> None:
    with started("serve", str(folder), "--at", "127.0.0.1:0") as server:
        done = server.stop(number)
    assert (done.status, done.err) == (0, "")
    files = {path.name: path.stat().st_size for path in (cache / "letterhead" / "search").iterdir()}
    (index,) = (name for name in files if name.endswith(".index"))
    assert index.startswith("texts-")
    assert files.keys() <= {index, f"{index}.letterhead-lock", f"{index}-wal", f"{index}-shm"}
    assert files.get(f"{index}-wal", 0) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_samples_leave_no_file(cache: Path, tmp_path: Path, number: signal.Signals) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with started("serve", "--at", "127.0.0.1:0", TMPDIR=str(temporary)) as server:
        assert len(list(temporary.iterdir())) == 1
        assert server.stop(number).status == 0
    assert list(temporary.iterdir()) == []
    assert not cache.exists()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_an_end_while_it_indexes_loses_nothing(
    cache: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    for name in range(100):
        (texts / f"{name}.txt").write_text(" ".join(f"word{name}x{n}" for n in range(20_000)), encoding="utf-8")
    command = [*COMMAND, "serve", str(texts), "--at", "127.0.0.1:0"]
    with ended(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)) as process:
        while not any(cache.glob("letterhead/search/*-wal")) and process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.01)  # the pause between two looks is a wait for its end
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    # Should it have been done with its index by then, it is a server that ends in order.
    assert process.returncode in (status, 0)
    assert err.strip() == b""
    with started("serve", str(texts), "--at", "127.0.0.1:0") as server:
        assert server.said[0].startswith("indexed 100 documents, ")
        with library.Client(server.address) as client:
            assert client.call("search", "word99x19999")["total"] == 1


# -- the index that is kept --------------------------------------------------------------------------------------------


def test_the_next_start_reads_what_has_changed_since(folder: Path) -> None:
    with started("serve", str(folder), "--at", "127.0.0.1:0"):
        pass
    (folder / "alice.txt").write_text("Alice follows the hare.", encoding="utf-8")
    (folder / "queen.txt").write_text("Off with its head!", encoding="utf-8")
    (folder / "hatter.md").unlink()
    with started("serve", str(folder), "--at", "127.0.0.1:0") as server:
        assert "; since last time 1 new, 1 changed, 1 gone; left out: 1 binary\n" in server.said[0]
        assert "Alice follows the «hare»." in letterhead("search", server.address, "hare").out
    with started("serve", str(folder), "--at", "127.0.0.1:0") as server:
        assert "; since last time nothing has changed; left out: 1 binary\n" in server.said[0]


def test_several_serve_the_same_folder_at_once(folder: Path) -> None:
    with started("serve", str(folder), "--at", "127.0.0.1:0") as one:
        (folder / "queen.txt").write_text("Off with the rabbit's head!", encoding="utf-8")
        with started("serve", str(folder), "--at", "127.0.0.1:0") as two:
            for server in (one, two):
                assert letterhead("search", server.address, "rabbit").out.startswith("2 documents ")


def test_an_index_may_lie_elsewhere(cache: Path, tmp_path: Path, folder: Path) -> None:
    index = tmp_path / "my index"
    with started("serve", str(folder), "--at", "127.0.0.1:0", "--index", str(index)) as server:
        assert "alice.txt" in letterhead("search", server.address, "rabbit").out
    assert index.exists()
    assert not cache.exists()


def test_with_watch_what_changes_is_found_at_once(folder: Path) -> None:
    with started("serve", str(folder), "--at", "127.0.0.1:0", "--watch") as server:
        (folder / "queen.txt").write_text("Off with the rabbit's head!", encoding="utf-8")
        assert server.process.stdout is not None
        lines = iter(server.process.stdout.readline, "")
        assert next(line for line in lines if line.startswith("updated")) == "updated: 1 new\n"
        assert letterhead("search", server.address, "rabbit").out.startswith("2 documents ")
        status, line = failure("serve", str(folder), "--at", "127.0.0.1:0")
        assert status == 1
        assert f"is being written by another program (process {server.process.pid})" in line
        assert server.stop().status == 0


def test_what_is_left_out_is_listed_on_request(folder: Path) -> None:
    (folder / "link\x1b").symlink_to("alice.txt")
    with started("serve", str(folder), "--at", "127.0.0.1:0", "--verbose") as server:
        done = server.stop()
    assert sorted(done.err.splitlines()) == ["left out, binary: picture", "left out, symbolic link: link\\x1b"]


def test_a_damaged_index_is_told_and_rebuilt_on_request(cache: Path, folder: Path) -> None:
    with started("serve", str(folder), "--at", "127.0.0.1:0"):
        pass
    (index,) = cache.glob("letterhead/search/*.index")
    index.write_bytes(b"\xff" * index.stat().st_size)
    done = letterhead("serve", str(folder), "--at", "127.0.0.1:0")
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines() == [
        "looking through the index, since something else has changed its file",
        f"letterhead: the index {index} is damaged: --rebuild builds it anew",
    ]
    with started("serve", str(folder), "--at", "127.0.0.1:0", "--rebuild") as server:
        assert server.said[0].startswith("indexed 2 documents")


def test_an_index_of_other_folders_is_told(tmp_path: Path, folder: Path) -> None:
    index, other = tmp_path / "index", tmp_path / "other"
    other.mkdir()
    with started("serve", str(folder), "--at", "127.0.0.1:0", "--index", str(index)):
        pass
    status, line = failure("serve", str(other), "--at", "127.0.0.1:0", "--index", str(index))
    assert status == 2
    assert line == (
        f"the index {index} is of other folders ({folder}): name another file with --index, or build it anew with "
        "--rebuild"
    )


def test_a_file_of_another_kind_is_not_taken_for_an_index(tmp_path: Path, folder: Path) -> None:
    text = folder / "alice.txt"
    status, line = failure("serve", str(folder), "--at", "127.0.0.1:0", "--index", str(text), "--rebuild")
    assert (status, line) == (2, f"{text} is a file of another kind, no index: name another one")
    assert text.read_text(encoding="utf-8") == "Alice follows the rabbit."


def _small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def test_without_room_for_what_is_new_the_index_is_served_as_it_is(folder: Path) -> None:
    with started("serve", str(folder), "--at", "127.0.0.1:0"):
        pass
    for name in range(40):
        (folder / f"{name}.txt").write_text(" ".join(f"w{name}x{n}" for n in range(9_000)), encoding="utf-8")
    with started("serve", str(folder), "--at", "127.0.0.1:0", preexec=_small_files) as server:
        assert "alice.txt" in letterhead("search", server.address, "rabbit").out
        done = server.stop()
    assert re.fullmatch(
        r"letterhead: the index \S+ cannot be [^\n]*; what it holds from last time is served\n", done.err
    )


@pytest.mark.parametrize("options", [["--watch"], ["--rebuild"], ["--index", "x"]])
def test_the_samples_take_no_options_of_an_index(options: list[str]) -> None:
    status, line = failure("serve", "--at", "127.0.0.1:0", *options)
    assert status == 2
    assert "take the folders that are to be searched" in line


def test_there_is_a_progress_bar_on_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(bytes(range(256)) * 1_000)
    done = on_terminal("serve", str(tmp_path), "--at", "127.0.0.1:0")
    assert done.status == 1  # there is nothing to serve, so it ends by itself
    assert "indexing " in done.out
    assert "256.0/256.0 kB" in done.out


def test_there_is_none_on_a_pipe(folder: Path) -> None:
    with started("serve", str(folder), "--at", "127.0.0.1:0") as server:
        done = server.stop()
    assert done.err == ""
    assert "\x1b" not in done.out


@pytest.mark.parametrize("listening", ["0.0.0.0:5", "[::]:5"])
def test_an_address_for_everybody_is_localhost_for_clients_here(listening: str) -> None:
    assert for_clients([listening, "127.0.0.1:6"]) == "localhost:5"


# Mistakes


def test_an_address_in_use_is_told_before_anything_is_indexed(taken: str) -> None:
    status, line = failure("serve", "/nowhere", "--at", taken)
    assert status == 1
    assert line.startswith(f"cannot listen at {taken}: ")
    assert "is in use" in line


def test_a_socket_in_use_is_told(short_path: Path) -> None:
    with started("serve", "--at", f"unix:{short_path}/socket") as server:
        status, line = failure("serve", "--at", server.address)
        assert status == 1
        assert "another program listens there" in line
        assert "morpheus" in letterhead("search", server.address, "rabbit").out


def test_looking_whether_an_address_is_free_leaves_no_socket(short_path: Path) -> None:
    status, _ = failure("serve", "/nowhere", "--at", f"unix:{short_path}/socket")
    assert status == 2
    assert list(short_path.iterdir()) == []


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    place = str(tmp_path / "nowhere")
    assert failure("serve", place, "--at", "127.0.0.1:0") == (
        2,
        f"'{place}' does not exist: name a folder with text files in it",
    )


def test_a_file_is_no_folder(folder: Path) -> None:
    status, line = failure("serve", str(folder / "alice.txt"), "--at", "127.0.0.1:0")
    assert status == 2
    assert "is not a folder" in line


def test_a_folder_without_text_is_told_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(bytes(range(256)))
    status, line = failure("serve", str(tmp_path), "--at", "127.0.0.1:0")
    assert (status, line) == (
        1,
        f"no text to search in {tmp_path} (1 binary): name a folder with text files in it",
    )


@pytest.mark.parametrize("below", ["", "inside"])
def test_a_folder_without_permission_is_told(tmp_path: Path, below: str) -> None:
    closed = tmp_path / "closed"
    (closed / "inside").mkdir(parents=True)
    closed.chmod(0)
    try:
        done = subprocess.run(
            [*COMMAND, "serve", str(closed / below), "--at", "127.0.0.1:0"],
            preexec_fn=obey_permissions,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )
    finally:
        closed.chmod(0o700)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"letterhead: [^\n]*(1 unreadable|Permission denied)[^\n]*\n", done.stderr)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:port", "127.0.0.1:70000", "http://127.0.0.1:80"])
def test_what_is_no_address_is_status_2(address: str) -> None:
    status, _ = failure("serve", "--at", address)
    assert status == 2


def test_what_a_file_is_called_cannot_command_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "\x1b[2J\x07.txt").write_text("rabbit", encoding="utf-8")
    with started("serve", str(tmp_path), "--at", "127.0.0.1:0") as server:
        with library.Client(server.address) as client:
            assert "\x1b" in client.call("search", "rabbit")["hits"][0]["path"]
        done = letterhead("search", server.address, "rabbit")
    assert "\\x1b[2J\\x07.txt" in done.out
    assert "\x1b" not in done.out

"""What users, their shells and their files do wrong: one line and a status, never a traceback, in any command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Everything
from tests.cli.shell import COMMAND, PLAIN, failure, letterhead
from tests.leaks import PATIENCE

CALLING: dict[str, list[str]] = {
    "call": ["greet", "name=Ada"],
    "describe": [],
    "health": [],
    "ping": [],
    "search": ["rabbit"],
    "send": [],
}


def in_shell(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command as ``"$@"`` within a script of the shell, whose status is the command's own."""
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", *COMMAND, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        env=os.environ | PLAIN,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("command", CALLING)
@pytest.mark.parametrize("address", ["", "here", "127.0.0.1:http", "127.0.0.1:65536", "::1:80", "unix:", "http://a:80"])
def test_an_address_that_is_none_is_status_2(command: str, address: str) -> None:
    assert failure(command, address, *CALLING[command])[0] == 2


@pytest.mark.parametrize("command", CALLING)
@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "1e999", "", "soon"])
def test_a_timeout_is_a_number_of_seconds_above_0(command: str, seconds: str) -> None:
    status, line = failure(command, "127.0.0.1:1", *CALLING[command], "--timeout", seconds)
    assert status == 2
    assert line.startswith("Invalid value for '--timeout': ")


@pytest.mark.parametrize("command", CALLING)
def test_a_server_that_is_not_there_is_status_1(command: str, nobody: str) -> None:
    assert failure(command, nobody, *CALLING[command]) == (
        1,
        f"nothing listens at {nobody}; is the server running, and is this its address?",
    )


@pytest.mark.parametrize("command", CALLING)
def test_an_option_that_is_misspelt_is_told_with_the_right_one(command: str) -> None:
    status, line = failure(command, "127.0.0.1:1", *CALLING[command], "--timeuot", "3")
    assert status == 2
    assert "No such option '--timeuot'" in line and "--timeout" in line


@pytest.mark.parametrize("command", CALLING)
def test_a_very_long_word_is_told_in_a_short_line(command: str) -> None:
    assert len(failure(command, "a" * 100_000, *CALLING[command])[1]) < 1_200


@pytest.mark.parametrize(
    "words",
    [
        ["call", "127.0.0.1:1", "gr\udcff"],
        ["call", "127.0.0.1:1", "greet", "name=\udcff"],
        ["call", "127.0.0.1:1", "greet", "\udcff=1"],
        ["call", "\udcff:80", "greet"],
        ["call", "unix:/\udcff", "greet"],
        ["search", "127.0.0.1:1", "\udcff"],
        ["send", "127.0.0.1:1", "\udcff"],
        ["send", "127.0.0.1:1", "--type", "text/\udcff"],
        ["send", "127.0.0.1:1", "--header", "x=\udcff"],
        ["describe", "127.0.0.1:1", "\udcff"],
        ["\udcff"],
    ],
)
def test_words_that_are_no_utf_8_are_told(words: list[str]) -> None:
    done = in_shell('"$@"', *words)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert done.stderr.startswith("letterhead: ")
    assert done.stderr.count("\n") == 1


def test_a_file_may_have_any_name(server: Everything, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.json"
    Path(os.fsdecode(name)).write_text('{"name": "Ada"}')
    done = in_shell('"$@"', "send", server.address, os.fsdecode(name), "--action", "greet")
    assert (done.returncode, done.stdout) == (0, "hello Ada\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads what it likes")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0)
    assert "is not readable" in failure("send", "127.0.0.1:1", str(tmp_path / "secret"))[1]


# Who reads.


@pytest.mark.parametrize(
    "words",
    [["call", "{}", "echo", 'value=["a", "b"]'], ["describe", "{}"], ["health", "{}"], ["ping", "{}"], ["--help"]],
)
def test_a_reader_that_has_read_enough_is_no_error(server: Everything, words: list[str]) -> None:
    words = [word.replace("{}", server.address) for word in words]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write) as nobody_reads:
        done = subprocess.run(
            [*COMMAND, *words], stdout=nobody_reads, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("action", [["greet", "name=Ada"], ["octets"], ["echo", f"value={'a' * 20_000}"]])
def test_output_that_cannot_be_written_is_told(server: Everything, action: list[str]) -> None:
    done = in_shell('"$@" >/dev/full', "call", server.address, *action)
    assert (done.returncode, done.stderr) == (
        1,
        "letterhead: the output could not be written: No space left on device\n",
    )


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["call", "describe", "ping", "health"])
def test_closed_streams_are_no_error(server: Everything, closed: str, command: str) -> None:
    done = in_shell(f'"$@" {closed}', command, server.address, *CALLING[command])
    assert (done.returncode, done.stderr) == (0, "")
    if ">&-" not in closed.split():
        assert done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", [["run", "shop:app", "--at"], ["serve", "--at"]])
def test_a_server_without_standard_streams_serves_and_ends_in_order(
    short_path: Path, closed: str, command: list[str]
) -> None:
    (short_path / "shop.py").write_text("import letterhead\napp = letterhead.App()\n", encoding="utf-8")
    with subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, *command, "unix:s"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=short_path,
        env=os.environ | PLAIN,
    ) as process:
        try:
            while (asked := letterhead("health", "unix:s", cwd=short_path)).status:
                assert process.poll() is None, process.communicate()
            process.terminate()
            _, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert asked.out.startswith("ok\n")
    assert (process.returncode, err) == (0, b"")


def test_a_stdin_that_is_closed_cannot_be_sent() -> None:
    done = in_shell('"$@" <&-', "send", "127.0.0.1:1")
    assert done.returncode == 2
    assert "there is no stdin to send: name a FILE" in done.stderr


def test_a_failure_that_nobody_hears_of_keeps_its_status(nobody: str) -> None:
    assert in_shell('"$@" 2>&-', "call", nobody, "greet").returncode == 1


def test_text_that_a_terminal_cannot_show_is_escaped(server: Everything) -> None:
    done = letterhead("call", server.address, "echo", "value=a 🐶", PYTHONIOENCODING="iso-8859-1")
    assert done.out == "a \\U0001f436\n"


def test_python_itself_is_named_where_it_was_typed() -> None:
    assert "see 'python -m letterhead call --help'" in failure("call", "127.0.0.1:1")[1]
    script = Path(sys.executable).with_name("letterhead")
    done = subprocess.run([script, "call", "127.0.0.1:1"], capture_output=True, encoding="utf-8", check=False)
    assert "see 'letterhead call --help'" in done.stderr

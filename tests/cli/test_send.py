"""`letterhead send`."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import letterhead as library
from letterhead.testing.background import running
from tests.classic import server as classic_server
from tests.cli.application import HARM, OBEYED
from tests.cli.conftest import Everything
from tests.cli.shell import COMMAND, PLAIN, failure, letterhead, on_terminal
from tests.leaks import PATIENCE
from tests.processes import ended


@pytest.fixture
def address() -> Iterator[str]:
    """A server that says what it was sent."""
    app = library.App()

    @app.action
    async def greet(name: str) -> str:
        return f"hello {name}"

    @app.action
    async def double(number: int) -> int:
        return number * 2

    @app.action
    async def seen() -> object:
        headers = library.current().headers
        return {name: value for name, value in headers.items() if name.startswith("x-")}

    @app.action
    async def turn(content: bytes) -> library.Message:
        return library.Message(content[::-1], {"content-type": "image/x-turned", "x-angle": 180})

    @app.action
    async def harm(content: bytes) -> library.Message:
        return library.Message(HARM.encode(), {"content-type": "text/plain", "content-encoding": "utf-8"})

    @app.action
    async def refuse(content: bytes) -> None:
        raise library.Refused("not-wanted", "nobody wants this", colour="red")

    @app.binary
    async def stored(message: library.Message) -> str:
        return f"{len(message.content)} {message.type} {message.encoding}"

    with running(app, "127.0.0.1:0") as served:
        yield served.server.addresses[0]


def told(*words: str, cwd: Path | None = None, stdin: str = "") -> str:
    """What the binary handler says that it was sent."""
    done = letterhead("send", *words, cwd=cwd, stdin=stdin)
    assert (done.status, done.err) == (0, "")
    result: str = json.loads(done.out)["result"]
    return result


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.txt", "text/plain utf-8"),
        ("a.html", "text/html utf-8"),
        ("a.png", "image/png binary"),
        ("a.txt.gz", "application/octet-stream binary"),
        ("a.unheard-of", "application/octet-stream binary"),
        ("a", "application/octet-stream binary"),
        ("http:a.png", "image/png binary"),
    ],
)
def test_the_type_is_guessed_by_the_files_name(address: str, tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(b"some")
    assert told(address, name, cwd=tmp_path) == f"4 {kind}"


def test_a_json_file_is_json(address: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"action": "greet", "value": {"name": "Ada"}}')
    assert json.loads(letterhead("send", address, "a.json", cwd=tmp_path).out) == {"result": "hello Ada"}


@pytest.mark.parametrize("words", [[], ["-"]])
@pytest.mark.smoke
def test_stdin_is_sent_where_no_file_is_named(address: str, words: list[str]) -> None:
    assert told(address, *words, stdin="some text") == "9 application/octet-stream binary"


def test_type_and_encoding_can_be_said(address: str) -> None:
    assert told(address, "--type", "text/plain", "--encoding", "latin1", stdin="some") == "4 text/plain latin1"
    assert told(address, "--type", "Text/CSV; header=absent", stdin="some") == "4 text/csv utf-8"


def test_an_action_gets_the_content_as_arguments(address: str) -> None:
    words = ("--action", "greet", "--type", "text/json")
    assert letterhead("send", address, *words, stdin='{"name": "Ada"}').out == "hello Ada\n"


def test_header_fields_are_json_where_they_can_be_else_text(address: str) -> None:
    fields = ("--header", "x-number=3", "--header", "x-text=three", "--header", 'x-object={"a": [1]}')
    done = letterhead("send", address, "--action", "seen", "--type", "text/json", *fields, stdin="{}")
    assert json.loads(done.out) == {"x-number": 3, "x-text": "three", "x-object": {"a": [1]}}


def test_bytes_go_to_a_pipe_as_they_are(address: str) -> None:
    command = [*COMMAND, "send", address, "--action", "turn"]
    assert subprocess.run(command, input=b"\xff\x00\x1b", capture_output=True, check=True).stdout == b"\x1b\x00\xff"


def test_bytes_on_a_terminal_are_escaped(address: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\x1b")
    assert on_terminal("send", address, str(tmp_path / "a"), "--action", "turn").out == "\\x1b\\xff\n"


def test_text_cannot_command_the_terminal(address: str) -> None:
    done = letterhead("send", address, "--action", "harm", stdin="x")
    assert "owned" in done.out
    assert not [character for character in OBEYED if character in done.out]


def test_json_tells_header_and_content(address: str) -> None:
    reply = json.loads(letterhead("send", address, "--json", stdin="x").out)
    assert reply["content"] == {"result": "1 application/octet-stream binary"}
    assert reply["header"]["content-type"] == "text/json"


def test_json_tells_bytes_in_base64(address: str) -> None:
    reply = json.loads(letterhead("send", address, "--json", "--action", "turn", stdin="ab").out)
    assert (reply["base64"], reply["header"]["x-angle"], "content" in reply) == ("YmE=", 180, False)


@pytest.mark.parametrize(("words", "kind"), [(["-"], "application/octet-stream"), (["a.txt"], "text/plain")])
def test_arguments_of_a_guessed_type_are_told_how_to_be_json(
    address: str, tmp_path: Path, words: list[str], kind: str
) -> None:
    (tmp_path / "a.txt").write_text('{"number": 1}')
    words = ["send", address, *words, "--action", "double"]
    _, line = failure(*words, cwd=tmp_path, stdin='{"number": 1}')
    assert f"; it went as {kind}: --type text/json sends JSON; " in line
    assert letterhead(*words, "--type", "text/json", cwd=tmp_path, stdin='{"number": 1}').out == "2\n"


def test_arguments_of_a_type_that_was_said_are_not_told_so(address: str) -> None:
    words = ["send", address, "--action", "double", "--type"]
    assert "it went as" not in failure(*words, "text/plain", stdin="one")[1]
    assert "it went as" not in failure(*words, "text/json", stdin='"one"')[1]


def test_an_error_reply_is_one_line(address: str) -> None:
    assert failure("send", address, "--action", "refuse", stdin="x") == (
        1,
        f"refuse at {address} failed (not-wanted): nobody wants this",
    )


def test_a_file_above_the_limit_is_not_read(address: str, tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    status, line = failure("send", address, str(tmp_path / "huge"))
    assert status == 1
    assert "(too-large)" in line and "has 1,099,511,627,776 bytes; the limit is 16,777,216" in line


def test_json_has_a_limit_of_its_own(address: str, tmp_path: Path) -> None:
    (tmp_path / "huge.json").write_bytes(b" " * (4 << 20) + b"{}")
    assert "the limit is 4,194,304" in failure("send", address, str(tmp_path / "huge.json"))[1]


def test_of_a_stdin_without_end_no_more_is_read_than_can_be_sent(address: str) -> None:
    command = [*COMMAND, "send", address]
    with Path("/dev/zero").open("rb") as zeros:
        done = subprocess.run(command, stdin=zeros, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert b"stdin has more bytes than the limit of 16,777,216" in done.stderr


def test_whoever_types_is_told_that_the_terminal_is_read(address: str) -> None:
    ours, theirs = pty.openpty()
    with ended(
        subprocess.Popen(
            [*COMMAND, "send", address],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | PLAIN,
        )
    ) as process:
        os.close(theirs)
        assert process.stdout is not None and process.stderr is not None
        assert process.stderr.readline().startswith(b"reading from the terminal; Ctrl-D")
        os.write(ours, b"typed\n\x04")
        assert b"6 application/octet-stream" in process.stdout.read()
    os.close(ours)


def test_a_classic_server_gets_the_frame_as_it_is() -> None:
    with classic_server.running() as (host, port):
        done = letterhead("send", f"{host}:{port}", stdin="0123456789abc")
    assert done.out == "First 10 bytes of request: 0123456789"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["/"], "is a directory"),
        (["no-such-file"], "File 'no-such-file' does not exist"),
        (["--header", "x"], "a header field is written NAME=VALUE, not 'x'"),
        (["--header", "x=1", "--header", "x=2"], "the header field 'x' stands there twice"),
        (["--header", "content-type=a/b"], "the header field 'content-type' is given by --type"),
        (["--header", "content-length=3"], "the header field 'content-length' is counted"),
        (["--header", "id=3"], "the header field 'id' is the connection's own"),
        (["--type", "text"], "a content type is type/subtype, not 'text'"),
        (["--action", ""], "--action is empty"),
    ],
)
def test_wrong_usage_is_status_2(address: str, words: list[str], says: str) -> None:
    status, line = failure("send", address, *words, stdin="x")
    assert status == 2
    assert says in line


def test_a_streamed_answer_is_left_to_call(server: Everything) -> None:
    status, line = failure("send", server.address, "--action", "count", "--type", "text/json", stdin='{"to": 3}')
    assert status == 2
    use = f"use 'letterhead call {server.address} count'"
    assert line == f"count answers with a stream, which send does not print: {use}"


@pytest.mark.parametrize("words", [[], ["--type", "text/json"]])
def test_an_action_that_takes_a_stream_is_left_to_call(server: Everything, words: list[str]) -> None:
    status, line = failure("send", server.address, "--action", "collect", *words, stdin="3")
    assert status == 1
    assert f"is a stream: 'letterhead call {server.address} collect --stdin' streams to it; " in line
    assert "--type" not in line

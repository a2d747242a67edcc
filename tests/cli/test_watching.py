"""`--verbose`: what is shown of the frames that go and come."""

import json
import re
import socket
import subprocess
import threading

import pytest

from letterhead.cli.watching import Direction, Watched
from letterhead.wire.writer import encode_frame
from tests.classic import server as classic_server
from tests.cli.application import OBEYED
from tests.cli.conftest import Everything
from tests.cli.shell import COMMAND, letterhead
from tests.leaks import PATIENCE

HEADER = {"content-type": "text/plain", "content-encoding": "utf-8"}


@pytest.mark.parametrize("option", ["-v", "--verbose"])
def test_every_frame_is_shown_with_direction_size_header_and_content(server: Everything, option: str) -> None:
    done = letterhead("call", server.address, "greet", "name=Ada", option)
    assert (done.status, done.out) == (0, "hello Ada\n")
    connected, asked, question, hello, answered, answer, closed = done.err.splitlines()
    assert re.fullmatch(rf"\* connected to {re.escape(server.address)} in \d+\.\d ms", connected)
    size, header = re.fullmatch(r"> (\d+) bytes: (\{.*\})", asked).groups()  # type: ignore[union-attr]  # fails here
    fields = json.loads(header)
    content = '{"action":"greet","value":{"name":"Ada"}}'
    assert question == f">     content, {fields['content-length']} bytes: {content}"
    assert int(size) == 2 + len(header) + len(content)
    assert json.loads(hello.partition(": ")[2])["max-open"] == 128
    assert re.match(r"< \d+ bytes: \{.*\"id\":1\}", answered)
    assert answer == '<     content, 22 bytes: {"result":"hello Ada"}'
    assert closed == "* connection closed"


@pytest.mark.smoke
def test_stdout_stays_one_json_document(server: Everything) -> None:
    done = letterhead("call", server.address, "greet", "name=Ada", "--json", "-v")
    assert json.loads(done.out) == "hello Ada"
    assert "< " in done.err


def test_what_is_shown_cannot_command_the_terminal(server: Everything) -> None:
    for action in ("harm", "nested_harm", "refuse", "octets"):
        err = letterhead("call", server.address, action, "-v", "--json").err
        assert "content, " in err
        assert not [character for character in OBEYED if character in err]


def test_of_long_content_the_beginning_is_shown(server: Everything) -> None:
    err = letterhead("call", server.address, "echo", f"value={'x' * 100_000}", "-v").err
    assert re.search(
        r'^>     content, 100,\d+ bytes: \{"action":"echo","value":\{"value":"x{100,200}…$', err, re.MULTILINE
    )
    assert re.search(r'^<     content, 100,\d+ bytes: \{"result":"x{100,200}…$', err, re.MULTILINE)


def test_bytes_that_are_no_frame_are_shown_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_one() -> None:
            with listener.accept()[0] as sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\x1b[2J")

        thread = threading.Thread(target=answer_one)
        thread.start()
        done = letterhead("call", f"127.0.0.1:{listener.getsockname()[1]}", "greet", "-v")
        thread.join()
    assert done.status == 1
    assert "< 30 bytes that are no frame: HTTP/1.1 400 Bad Request\\r\\n\\x1b[2J\n" in done.err


def test_a_classic_servers_frames_are_shown() -> None:
    with classic_server.running() as (host, port):
        err = letterhead("search", f"{host}:{port}", "ring", "-v").err
    assert '{"result":' in err.replace(" ", "")


def test_a_server_that_is_down_is_told_in_one_line(nobody: str) -> None:
    done = letterhead("ping", nobody, "-v")
    assert done.err == f"letterhead: nothing listens at {nobody}; is the server running, and is this its address?\n"


def test_a_stderr_that_nobody_reads_changes_nothing(server: Everything) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" 2>&-', "sh", *COMMAND, "call", server.address, "greet", "name=Ada", "-v"],
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout == b"hello Ada\n"


# One direction by itself.


def test_frames_are_shown_the_same_however_they_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    data = b"".join(encode_frame({**HEADER, "x": number}, b"abc" * 100 * number) for number in range(4))
    whole = Direction("<")
    whole.saw(data)
    shown = capsys.readouterr().err
    pieces = Direction("<")
    for byte in data:
        pieces.saw(bytes([byte]))
    assert capsys.readouterr().err == shown
    assert len(shown.splitlines()) == 4 + 3  # the first one has no content


def test_an_end_within_a_frame_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    direction = Direction("<")
    direction.saw(encode_frame(HEADER, b"abc")[:-1])
    direction.ended()
    assert capsys.readouterr().err == "< end of the stream, within a frame\n"


def test_a_token_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Direction(">").saw(encode_frame({**HEADER, "authorization": "Bearer secret"}))
    shown = capsys.readouterr().err
    assert "(not shown)" in shown
    assert "secret" not in shown


def test_after_bytes_that_are_no_frame_none_is_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    direction = Direction("<")
    direction.saw(b"GET / HTTP/1.1\r\n")
    direction.saw(encode_frame(HEADER, b"x" * 500))
    assert re.search(r"^< \d{3} bytes that are no frame: .*…$", capsys.readouterr().err, re.MULTILINE)


def test_only_what_went_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    frame = encode_frame(HEADER, b"x" * 50)

    class Half:
        """A pipe that takes half of what it is given."""

        def send(self, pieces: list[bytes]) -> int:
            return sum(map(len, pieces)) // 2

    watched = Watched(Half())  # type: ignore[arg-type]  # only this half is used
    assert watched.send([frame, frame]) == len(frame)
    assert capsys.readouterr().err.count("content, 50 bytes") == 1

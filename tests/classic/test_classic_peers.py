"""The classic client and the classic server against each other, one claim of "What classic peers do" a test.

What lives here: loopback conversations of the two, on ports that the system chooses.
The rules: "never answers" is shown by order, not by waiting: the server is one thread that takes what
arrives in turn, so a request still open after two later ones were answered in full is never answered.
What this file must not know: Letterhead.
"""

import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.classic import client, server

HERE = Path(__file__).parent


@pytest.fixture
def address() -> Iterator[client.Address]:
    with server.running() as address:
        yield address


@contextmanager
def connected(address: client.Address) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=client.PATIENCE) as sock:
        yield sock


def answered_twice(address: client.Address) -> None:
    """Two whole conversations: after them the server has looked at everything that was sent before."""
    for _ in range(2):
        assert client.request(address, "search", "ring").result.startswith("In the caves")


def is_silent_and_open(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        received = sock.recv(1)
    except BlockingIOError:
        return True
    finally:
        sock.settimeout(client.PATIENCE)
    assert not received, "the server answered"
    return False


# The server


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("morpheus", "Follow the white rabbit. 🐰"),
        ("ring", "In the caves beneath the Misty Mountains. 💍"),
        ("🐶", "🐾 Playing ball! 🏐"),
    ],
)
def test_search_answers_the_sample_with_that_title(address: client.Address, title: str, text: str) -> None:
    reply = client.request(address, "search", title)
    assert reply.json() == {"result": text}
    assert (reply.header["content-type"], reply.header["content-encoding"]) == ("text/json", "utf-8")


@pytest.mark.parametrize(
    ("value", "shown"), [("xyzzy", "xyzzy"), ("", ""), (None, "None"), (7, "7"), (1.5, "1.5"), (True, "True")]
)
def test_search_says_when_nothing_matches(address: client.Address, value: Any, shown: str) -> None:
    assert client.request(address, "search", value).result == f"No match for '{shown}'."


@pytest.mark.parametrize(("content", "name"), [({"action": "dance", "value": 1}, "dance"), ({"value": "ring"}, "None")])
def test_an_unknown_action_is_named_in_the_result(address: client.Address, content: Any, name: str) -> None:
    with connected(address) as sock:
        client.send_json(sock, content)
        assert client.receive_reply(sock).json() == {"result": f"Error: invalid action '{name}'."}


def test_bytes_are_answered_with_their_first_ten(address: client.Address) -> None:
    reply = client.request_binary(address, b"0123456789abcdef")
    assert reply.content == b"First 10 bytes of request: 0123456789"
    assert reply.header["content-type"] == "binary/custom-server-binary-type"
    assert reply.header["content-encoding"] == "binary"


def test_the_server_closes_after_one_reply(address: client.Address) -> None:
    with connected(address) as sock:
        client.send_json(sock, {"action": "search", "value": "morpheus"})
        assert client.receive_reply(sock).result == "Follow the white rabbit. 🐰"
        assert client.receive_frame(sock) is None


def test_an_id_is_ignored(address: client.Address) -> None:
    with connected(address) as sock:
        client.send_json(sock, {"action": "search", "value": "morpheus"}, extra={"id": 1, "deadline": 1000})
        reply = client.receive_reply(sock)
        assert reply.result == "Follow the white rabbit. 🐰"
        assert set(reply.header) == set(client.REQUIRED_FIELDS)
        assert client.receive_frame(sock) is None


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"{}", "text/json"),
        (b"null", "text/json"),
        (b"", "binary/custom-client-binary-type"),
        (b"", "text/plain"),
    ],
)
def test_some_first_frames_are_never_answered(address: client.Address, content: bytes, content_type: str) -> None:
    with connected(address) as sock:
        client.send_frame(sock, content, content_type=content_type, content_encoding="utf-8")
        answered_twice(address)
        assert is_silent_and_open(sock)
        sock.shutdown(socket.SHUT_WR)
        assert client.receive_frame(sock) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"[1]", b"5", b"true", b'"search"'])
def test_empty_and_non_object_json_is_closed_without_a_reply(address: client.Address, content: bytes) -> None:
    with connected(address) as sock:
        client.send_frame(sock, content, content_type="text/json", content_encoding="utf-8")
        assert client.receive_frame(sock) is None


@pytest.mark.parametrize("value", [[], ["ring"], {"query": "ring"}])
def test_a_value_that_cannot_be_looked_up_is_closed_without_a_reply(address: client.Address, value: Any) -> None:
    with pytest.raises(client.ClassicError, match="without a reply"):
        client.request(address, "search", value)


@pytest.mark.parametrize("content_type", ["application/json", "TEXT/JSON", "text/json; charset=utf-8"])
def test_text_json_alone_is_json_to_the_server(address: client.Address, content_type: str) -> None:
    with connected(address) as sock:
        content = b'{"action": "search", "value": "ring"}'
        client.send_frame(sock, content, content_type=content_type, content_encoding="utf-8")
        assert client.receive_reply(sock).content == b"First 10 bytes of request: " + content[:10]


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x02[]",
        b"\x00\x02{}",
        b"\x00\x03\xff{}",
        b"\x00\x05{bad}",
        b"\x00\x5d" + b'{"byteorder":"big","content-length":-1,"content-type":"text/json","content-encoding":"utf-8"}',
    ],
)
def test_what_is_no_frame_is_closed_without_a_reply(address: client.Address, raw: bytes) -> None:
    with connected(address) as sock:
        sock.sendall(raw)
        assert client.receive_frame(sock) is None


def test_json_in_an_unknown_encoding_is_closed_without_a_reply(address: client.Address) -> None:
    with connected(address) as sock:
        client.send_frame(sock, b'{"action": "search"}', content_type="text/json", content_encoding="utf-99")
        assert client.receive_frame(sock) is None


def test_a_request_may_arrive_a_byte_at_a_time(address: client.Address) -> None:
    with connected(address) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in server.encode_frame(b'{"action": "search", "value": "ring"}', "text/json", "utf-8"):
            sock.sendall(bytes([byte]))
        assert client.receive_reply(sock).result == "In the caves beneath the Misty Mountains. 💍"


def test_a_request_may_be_followed_by_a_half_close(address: client.Address) -> None:
    with connected(address) as sock:
        client.send_json(sock, {"action": "search", "value": "ring"})
        sock.shutdown(socket.SHUT_WR)
        assert client.receive_reply(sock).result == "In the caves beneath the Misty Mountains. 💍"


def test_running_leaves_no_thread_and_no_listener_behind() -> None:
    before = set(threading.enumerate())
    with server.running() as address, connected(address) as held:
        client.send_json(held, None)
        answered_twice(address)
        assert set(threading.enumerate()) != before
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        client.request(address, "search", "ring")


# The client, against a peer that says what the test tells it to


@contextmanager
def scripted(answer: Callable[[socket.socket], None]) -> Iterator[client.Address]:
    """A peer that reads one frame, calls `answer`, and then reads until the client is gone."""
    failures: list[BaseException] = []

    def play(listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(client.PATIENCE)
                assert client.receive_frame(sock) is not None
                answer(sock)
                assert sock.recv(1) == b"", "the client sent more, or did not close"
        except BaseException as error:
            failures.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(client.PATIENCE)
        thread = threading.Thread(target=play, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[:2]
        finally:
            thread.join()
    assert not failures, failures


def send(header: dict[str, Any], content: bytes) -> Callable[[socket.socket], None]:
    full = {
        "byteorder": "big",
        "content-length": len(content),
        "content-type": "text/json",
        "content-encoding": "utf-8",
    } | header
    encoded = json.dumps(full).encode("ascii")
    return lambda sock: sock.sendall(struct.pack(">H", len(encoded)) + encoded + content)


def test_the_client_closes_after_the_reply() -> None:
    with scripted(send({}, b'{"result": 1}')) as address:
        assert client.request(address, "search", "x").result == 1


def test_the_client_takes_whatever_frame_comes_first_as_its_reply() -> None:
    hello = {
        "content-type": "application/octet-stream",
        "content-encoding": "binary",
        "id": 1,
        "max-open": 128,
    }
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(client.PATIENCE)
        send(hello, b"")(theirs)
        send({"id": 1}, b'{"result": 1}')(theirs)
        reply = client.receive_reply(ours)
    assert reply.content == b""
    assert reply.header["max-open"] == 128


def test_an_unknown_reply_field_is_kept_and_does_not_disturb() -> None:
    with scripted(send({"status": "internal", "x": [1]}, b'{"result": "Error: no", "error": {}}')) as address:
        reply = client.request(address, "search", "x")
    assert reply.result == "Error: no"
    assert reply.header["x"] == [1]


@pytest.mark.parametrize("content", [b"{}", b'{"error": {"code": "internal"}}', b"null", b'["result"]', b""])
def test_the_client_needs_a_top_level_result(content: bytes) -> None:
    with (
        scripted(send({}, content)) as address,
        pytest.raises(client.ClassicError, match=r"no top-level result|not JSON"),
    ):
        client.request(address, "search", "x")


def test_a_connection_can_be_held_for_several_requests() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(client.PATIENCE)
        for number in range(3):
            client.send_json(ours, {"action": "count", "value": number})
            asked = client.receive_frame(theirs)
            assert asked is not None
            assert asked.json() == {"action": "count", "value": number}
            client.send_json(theirs, {"result": number + 1})
            assert client.receive_reply(ours).result == number + 1


@pytest.mark.parametrize("cut", [1, 2, 3, 40, -1])
def test_a_reply_cut_off_by_the_end_of_the_stream_is_an_error(cut: int) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(server.encode_frame(b'{"result": 1}', "text/json", "utf-8")[:cut])
        with pytest.raises(client.ClassicError, match="inside a frame"):
            client.receive_reply(ours)


# Both as scripts


def test_both_run_as_scripts() -> None:
    command = [sys.executable, str(HERE / "server.py"), "127.0.0.1", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().rsplit(":", 1)[1].strip()
            asked = [
                sys.executable,
                "-X",
                "utf8",
                str(HERE / "client.py"),
                "127.0.0.1",
                port,
                "search",
                "morpheus",
            ]
            shown = subprocess.run(asked, capture_output=True, check=True, encoding="utf-8")
            assert shown.stdout == "Follow the white rabbit. 🐰\n"
            binary = [
                *asked[:3],
                str(HERE / "client.py"),
                "--binary",
                "127.0.0.1",
                port,
                "search",
                "morpheus",
            ]
            shown = subprocess.run(binary, capture_output=True, check=True, encoding="utf-8")
            assert shown.stdout == "b'First 10 bytes of request: searchmorp'\n"
        finally:
            process.terminate()

"""examples/classic: the application scripts, crossed with the commands, the library and classic peers."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import letterhead as library
from tests.classic import client as classic
from tests.classic import server as classic_server
from tests.examples.scripts import letterhead, run, script, started
from tests.leaks import PATIENCE
from tests.net.peers import RESET, peer, says
from tests.net.raw import connect

BINARY = "Got 'binary/custom-server-binary-type': b'First 10 bytes of request: pingHello,'"
SERVERS = ["app-server.py", "letterhead serve", "classic"]


@contextmanager
def served(name: str) -> Iterator[list[str]]:
    """Host and port of an application server that serves the samples."""
    if name == "classic":
        with classic_server.running() as (host, port):
            yield [host, str(port)]
        return
    program = (script(name), "127.0.0.1", "0") if name.endswith(".py") else (letterhead("serve"), "--at", "127.0.0.1:0")
    with started(*program) as serving:
        yield serving.at


@pytest.fixture
def app_server() -> Iterator[str]:
    """The address of app-server.py."""
    with served("app-server.py") as at:
        yield ":".join(at)


@pytest.mark.smoke
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(
    ("action", "value", "shown"),
    [
        ("search", "morpheus", "Got result: 'Follow the white rabbit. 🐰'"),
        ("search", "🐶", "Got result: '🐾 Playing ball! 🏐'"),
        ("search", "needle", "Got result: \"No match for 'needle'.\""),
        ("ping", "Hello, world", BINARY),
    ],
)
def test_the_client_gets_its_answer_from_every_server(server: str, action: str, value: str, shown: str) -> None:
    with served(server) as at:
        done = run(script("app-client.py"), *at, action, value)
    assert (done.status, done.err) == (0, "")
    sending, got = done.out.splitlines()
    assert sending.startswith("Sending b'")
    assert got == shown


def test_the_search_command_is_answered(app_server: str) -> None:
    done = run(letterhead("search"), app_server, "morpheus")
    assert done == (0, "Follow the white rabbit. 🐰\n", "")


def test_the_library_s_client_is_answered(app_server: str) -> None:
    with library.Client(app_server) as client:
        assert client.call("search", "ring") == "In the caves beneath the Misty Mountains. 💍"
        assert client.call("search", 17) == "No match for '17'."
        assert client.call("dance") == "Error: invalid action 'dance'."


def test_classic_clients_are_answered(app_server: str) -> None:
    host, _, port = app_server.rpartition(":")
    assert classic.request((host, int(port)), "search", "morpheus").result == "Follow the white rabbit. 🐰"
    assert classic.request_binary((host, int(port)), b"0123456789ab").content.endswith(b": 0123456789")


def test_one_connection_carries_requests_one_after_the_other(app_server: str) -> None:
    with connect(app_server) as sock:
        for value in ("ring", "morpheus"):  # the second before the reply to the first
            classic.send_json(sock, {"action": "search", "value": value})
        assert [classic.receive_reply(sock).result[:6] for _ in range(2)] == ["In the", "Follow"]


@pytest.mark.parametrize(
    "request_",
    [{"action": "dance"}, {}, [], None, {"action": None}, {"action": "search"}, {"action": "search", "value": [1]}],
    ids=str,
)
def test_odd_requests_are_answered_as_letterhead_answers_them(app_server: str, request_: object) -> None:
    with served("letterhead serve") as at:
        replies = []
        for address in (app_server, ":".join(at)):
            with connect(address) as sock:
                classic.send_json(sock, request_)
                replies.append(classic.receive_reply(sock))
    ours, theirs = (reply.json() for reply in replies)
    assert ours["result"] == theirs["result"]
    assert ours.get("error", {}).get("code") == theirs.get("error", {}).get("code")


@pytest.mark.parametrize("bad", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b"\0\2{}", b'\0\7{"a": }'], ids=repr)
def test_bytes_that_are_no_frame_get_an_error_and_the_end_and_harm_nobody(app_server: str, bad: bytes) -> None:
    with connect(app_server) as other, connect(app_server) as sock:
        classic.send_json(other, {"action": "search", "value": "ring"})
        sock.sendall(bad + bytes(1_000_000))
        assert classic.receive_reply(sock).json()["error"]["code"] == "bad-frame"
        assert sock.recv(1) == b""
        assert classic.receive_reply(other).result.startswith("In the caves")


def test_a_server_whose_output_knows_only_ascii_answers_whatever_is_asked() -> None:
    with started(["env", "PYTHONIOENCODING=ascii", *script("app-server.py")], "127.0.0.1", "0") as serving:
        for request, result in (
            ({"action": "dance 🐶"}, "Error: invalid action 'dance 🐶'."),
            ({"action": "search", "value": "🐶"}, "🐾 Playing ball! 🏐"),
        ):
            with connect(f"{serving.host}:{serving.port}") as sock:
                classic.send_json(sock, request)
                assert classic.receive_reply(sock).result == result


def test_content_that_is_no_json_gets_an_error_and_the_next_request_its_answer(app_server: str) -> None:
    with connect(app_server) as sock:
        classic.send_frame(sock, b"{", content_type="text/json", content_encoding="utf-8")
        assert classic.receive_reply(sock).json()["error"]["code"] == "bad-content"
        classic.send_frame(sock, bytes(1_100_000), content_type="a/b", content_encoding="binary")
        assert classic.receive_reply(sock).json()["error"]["code"] == "too-large"
        classic.send_json(sock, {"action": "search", "value": "ring"})
        assert classic.receive_reply(sock).result.startswith("In the caves")


def test_a_client_that_breaks_off_harms_nobody(app_server: str) -> None:
    with connect(app_server) as other:
        for size in (0, 1, 50):
            with connect(app_server) as sock:
                sock.sendall((b"\1\0" + b'{"action": ' * 10)[:size])
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        other.settimeout(PATIENCE)
        classic.send_json(other, {"action": "search", "value": "ring"})
        assert classic.receive_reply(other).result.startswith("In the caves")


def test_an_answer_that_is_none_of_ours_is_shown_as_it_is() -> None:
    with started(script("multiconn-server.py"), "127.0.0.1", "0") as serving:
        done = run(script("app-client.py"), *serving.at, "search", "ring")  # an echo, which is a frame
    assert done.out.endswith("Got 'text/json': {'action': 'search', 'value': 'ring'}\n")


def test_an_answer_that_is_no_frame_is_told_in_one_line() -> None:
    with peer(says(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as address:
        done = run(script("app-client.py"), *address.split(":"), "search", "ring")
    assert done.status == 1
    assert re.fullmatch(rf"{address}: this is an HTTP [^\n]+\n", done.err)


def test_a_server_that_ends_without_an_answer_is_told_in_one_line() -> None:
    with peer(says(b"\0")) as address:
        done = run(script("app-client.py"), *address.split(":"), "search", "ring")
    assert (done.status, done.err) == (1, f"{address}: the server ended the connection without an answer\n")

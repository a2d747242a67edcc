"""`letterhead echo-client`."""

import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.cli.shell import COMMAND, failure, letterhead, on_terminal
from tests.echoing import echoing
from tests.leaks import PATIENCE
from tests.net.peers import closes_at_once, never_answers, peer, says
from tests.processes import ended


@pytest.fixture
def server() -> Iterator[list[str]]:
    """Host and port of an echo server."""
    with echoing() as running:
        yield running.addresses[0].split(":")


def host_and_port(address: str) -> list[str]:
    return address.split(":")


@pytest.mark.smoke
def test_what_came_back_is_printed(server: list[str]) -> None:
    done = letterhead("echo-client", *server)
    assert (done.status, done.err) == (0, "")
    first, summary = done.out.splitlines()
    assert first == "1: b'Hello, world'"
    assert re.fullmatch(rf"1 connection to {':'.join(server)}: 12 bytes came back in \d+\.\d{{3}} s", summary)


def test_several_messages_go_over_several_connections(server: list[str]) -> None:
    done = letterhead("echo-client", *server, "--message", "one", "--message", "zwei ü", "--connections", "3")
    assert done.out.splitlines()[:3] == [f"{number}: b'onezwei \\xc3\\xbc'" for number in (1, 2, 3)]
    assert done.out.splitlines()[3].startswith(f"3 connections to {':'.join(server)}: 30 bytes came back in ")


def test_of_much_the_beginning_is_shown(server: list[str]) -> None:
    done = letterhead("echo-client", *server, "--message", "x", "--repeat", "3000000")
    assert done.out.splitlines()[0] == f"1: b'{'x' * 256}'… (3,000,000 bytes)"


def test_json_is_one_object(server: list[str]) -> None:
    done = letterhead("echo-client", *server, "--connections", "2", "--json")
    assert (done.status, done.err) == (0, "")
    report = json.loads(done.out)
    assert report["seconds"] > 0
    assert all(result["seconds"] > 0 for result in report["results"])
    assert report == {
        "address": ":".join(server),
        "connections": 2,
        "failed": 0,
        "bytes": 24,
        "seconds": report["seconds"],
        "results": [
            {"connection": number, "sent": 12, "received": 12, "seconds": result["seconds"], "problem": None}
            for number, result in enumerate(report["results"], 1)
        ],
    }


def test_json_tells_problems_too() -> None:
    with peer(says(b"Hello, World")) as address:
        done = letterhead("echo-client", *host_and_port(address), "--json")
    assert done.status == 1
    assert json.loads(done.out)["results"][0]["problem"].startswith("what came back differs at byte 7")
    told = json.loads(done.err)["error"]
    assert told["code"] == "connection-failed"
    assert told["message"].startswith("what came back differs at byte 7")


def test_what_a_server_sends_cannot_command_the_terminal() -> None:
    with peer(says(b"\x1b[2J\x07 or so ")) as address:
        done = on_terminal("echo-client", *host_and_port(address))
    assert done.status == 1
    assert "b'\\x1b[2J\\x07 or so '" in done.out
    assert "\x1b" not in done.out


def test_of_several_connections_those_that_failed_are_told() -> None:
    with peer(closes_at_once) as address:
        status, line = failure("echo-client", *host_and_port(address), "--connections", "3")
    assert status == 1
    assert line.startswith("3 of 3 connections failed: the server ")


def test_a_server_that_says_nothing_is_given_up() -> None:
    with peer(never_answers) as address:
        assert failure("echo-client", *host_and_port(address), "--timeout", "0.2") == (
            1,
            "nothing went or came for 0.2 s, after 0 of 12 bytes",
        )


def test_a_server_that_is_down_is_told(nobody: str) -> None:
    assert failure("echo-client", *host_and_port(nobody)) == (
        1,
        f"nothing listens at {nobody}; is the server running, and is this its address?",
    )


def test_ctrl_c_ends_it() -> None:
    asked = threading.Event()

    def play(sock: socket.socket) -> None:
        sock.recv(1)
        asked.set()
        never_answers(sock)

    with peer(play) as address:
        command = [*COMMAND, "echo-client", *host_and_port(address), "--timeout", str(PATIENCE * 10)]
        with ended(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)) as process:
            assert asked.wait(PATIENCE)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err.strip()) == (130, b"", b"")


def test_an_address_in_one_word_is_told_to_be_two() -> None:
    status, line = failure("echo-client", "127.0.0.1:28240")
    assert status == 2
    assert line.startswith("HOST and PORT are written apart, such as 127.0.0.1 65432: '127.0.0.1:28240' is all there")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["127.0.0.1"],
        ["127.0.0.1", "port"],
        ["127.0.0.1:1", "1"],
        ["127.0.0.1", "1", "--connections", "0"],
        ["127.0.0.1", "1", "--repeat", "0"],
        ["127.0.0.1", "1", "--timeout", "0"],
        ["127.0.0.1", "1", "--timeout", "nan"],
        ["127.0.0.1", "1", "--timeout", "soon"],
        ["127.0.0.1", "1", "--connections", "10000000"],
    ],
)
def test_wrong_usage_is_status_2(words: list[str]) -> None:
    status, _ = failure("echo-client", *words)
    assert status == 2

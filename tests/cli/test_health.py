"""`letterhead health`."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import letterhead as library
from letterhead.testing.background import running
from letterhead.wire.writer import encode_frame
from tests.classic import server as classic_server
from tests.cli.application import HARM, OBEYED
from tests.cli.conftest import Everything
from tests.cli.shell import failure, letterhead


@contextmanager
def answering(result: Any) -> Iterator[str]:
    """The address of a server that answers one request, whatever it is, in classic form."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_one() -> None:
            with listener.accept()[0] as sock:
                sock.recv(65536)
                content = json.dumps({"result": result}).encode()
                sock.sendall(encode_frame({"content-type": "text/json", "content-encoding": "utf-8"}, content))

        thread = threading.Thread(target=answer_one)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.smoke
def test_a_server_that_takes_requests_is_ok(server: Everything) -> None:
    with library.Client(server.address) as client:
        client.call("greet", name="Ada")
        done = letterhead("health", server.address)
    assert (done.status, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["ok"]
    assert ["requests", "served", "1"] in lines
    assert ["connections", "now", "2"] in lines


def test_json_is_what_the_server_says(server: Everything) -> None:
    told = json.loads(letterhead("health", server.address, "--json").out)
    assert told["status"] == "ok"
    assert told["connections"]["accepted"] == 1


def test_a_server_that_drains_is_status_1() -> None:
    with answering({"status": "draining", "requests": {"open": 3}}) as address:
        done = letterhead("health", address)
    assert (done.status, done.err) == (1, "")
    assert done.out == "draining\n    requests open  3\n"
    with answering({"status": "draining"}) as address:
        done = letterhead("health", address, "--json")
    assert (done.status, json.loads(done.out)) == (1, {"status": "draining"})


def test_a_server_that_is_down_is_status_1(nobody: str) -> None:
    assert failure("health", nobody)[0] == 1


def test_a_classic_server_has_no_health() -> None:
    with classic_server.running() as (host, port):
        status, line = failure("health", f"{host}:{port}")
    assert status == 1
    assert "it has no letterhead.health" in line


def test_what_a_server_says_cannot_command_the_terminal() -> None:
    with answering({"status": HARM, HARM: {HARM: [HARM]}}) as address:
        done = letterhead("health", address)
    assert done.out.count("owned") == 4
    assert not [character for character in OBEYED if character in done.out]


def test_an_application_without_actions_is_healthy() -> None:
    with running(library.App(), "127.0.0.1:0") as served:
        assert letterhead("health", served.server.addresses[0]).status == 0

"""examples/classic: the echo scripts, crossed with the commands."""

import re
import threading

import pytest

from tests.examples.scripts import Program, letterhead, run, script, started
from tests.leaks import PATIENCE

SERVERS = [script("echo-server.py"), script("multiconn-server.py"), letterhead("echo-server")]
CLIENTS = [script("echo-client.py"), letterhead("echo-client")]


def name(program: object) -> str:
    """What a test's name says of a program."""
    return str(program[-1]).rpartition("/")[2] if isinstance(program, list) else str(program)


@pytest.mark.parametrize("client", CLIENTS, ids=name)
@pytest.mark.parametrize("server", SERVERS, ids=name)
def test_every_client_gets_its_message_back_from_every_server(server: Program, client: Program) -> None:
    with started(server, "127.0.0.1", "0") as serving:
        done = run(client, *serving.at)
    assert (done.status, done.err) == (0, "")
    assert "b'Hello, world'" in done.out


@pytest.mark.smoke
def test_the_pair_says_what_it_does_and_ends() -> None:
    with started(script("echo-server.py"), "127.0.0.1", "0") as serving:
        client = run(script("echo-client.py"), *serving.at)
        server = serving.ended()
    assert client == (0, "Received b'Hello, world'\n", "")
    assert (server.status, server.err) == (0, "")
    listening, connected = server.out.splitlines()
    assert listening == f"Listening on ('127.0.0.1', {serving.port})"
    assert re.fullmatch(r"Connected by \('127\.0\.0\.1', \d+\)", connected)


@pytest.mark.parametrize("server", SERVERS[1:], ids=name)
@pytest.mark.parametrize("count", ["1", "20"])
def test_several_connections_are_served_at_once(server: Program, count: str) -> None:
    with started(server, "127.0.0.1", "0") as serving:
        done = run(script("multiconn-client.py"), *serving.at, count)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    for number in range(1, int(count) + 1):
        assert f"Starting connection {number} to ('127.0.0.1', {serving.port})" in lines
        assert f"Sending b'Message 1 from client.' to connection {number}" in lines
        assert f"Sending b'Message 2 from client.' to connection {number}" in lines
        assert f"Closing connection {number}" in lines
    received = "".join(re.findall(r"^Received b'(.*)' from connection 1$", done.out, re.MULTILINE))
    assert received == "Message 1 from client.Message 2 from client."


def test_the_server_for_several_says_each_step() -> None:
    with started(script("multiconn-server.py"), "127.0.0.1", "0") as serving:
        assert run(script("multiconn-client.py"), *serving.at, "3").status == 0
        assert run(letterhead("echo-client"), *serving.at, "--connections", "5").status == 0
        said = serving.says("Closing connection to", 8)  # which it may do after its clients have ended
        done = serving.interrupted()
    assert (done.status, done.err) == (0, "")
    for start, count in (("Accepted connection from", 8), ("Closing connection to", 8)):
        found = re.findall(rf"^{start} \('127\.0\.0\.1', \d+\)$", said + done.out, re.MULTILINE)
        assert len(found) == len(set(found)) == count
    assert re.search(r"^Echoing b'Message 1 from client\..*' to \('127\.0\.0\.1', \d+\)$", said, re.MULTILINE)


def test_the_server_for_several_echoes_more_than_all_buffers_hold() -> None:
    with started(script("multiconn-server.py"), "127.0.0.1", "0") as serving:
        drain = threading.Thread(target=serving.ended)  # it says each step: somebody has to listen
        drain.start()
        client = run(letterhead("echo-client"), *serving.at, "--message", "x" * 1000, "--repeat", "20000", "--json")
        serving.process.kill()
        drain.join(PATIENCE)
    assert client.status == 0
    assert '"bytes": 20000000' in client.out

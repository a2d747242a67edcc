"""examples/classic: what the scripts say when they are started wrongly, and how they end."""

import errno
import re
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.examples.scripts import run, script, started
from tests.leaks import PATIENCE
from tests.net.raw import connect
from tests.processes import ended

ARGUMENTS = {
    "echo-server.py": "[HOST [PORT]]",
    "echo-client.py": "[HOST [PORT]]",
    "multiconn-server.py": "HOST PORT",
    "multiconn-client.py": "HOST PORT NUM_CONNECTIONS",
    "app-server.py": "HOST PORT",
    "app-client.py": "HOST PORT ACTION VALUE",
}
SERVERS = [name for name in ARGUMENTS if "server" in name]
CLIENTS = {"echo-client.py": [], "multiconn-client.py": ["2"], "app-client.py": ["search", "ring"]}


@pytest.fixture
def silent() -> Iterator[tuple[str, socket.socket]]:
    """The port of a server that says nothing, and its listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield str(listener.getsockname()[1]), listener


@pytest.mark.parametrize("port", ["port", "70000"])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_is_no_port_gets_the_usage(name: str, port: str) -> None:
    done = run(script(name), "127.0.0.1", port, *CLIENTS.get(name, []))
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines()[0] == f"usage: {name} {ARGUMENTS[name]}"


@pytest.mark.parametrize("name", [name for name, arguments in ARGUMENTS.items() if not arguments.startswith("[")])
def test_arguments_that_are_missing_get_the_usage(name: str) -> None:
    done = run(script(name))
    assert (done.status, done.out) == (2, "")
    assert done.err.splitlines()[0] == f"usage: {name} {ARGUMENTS[name]}"


@pytest.mark.parametrize("name", SERVERS)
def test_a_port_in_use_is_told_in_one_line(name: str, silent: tuple[str, socket.socket]) -> None:
    port, _ = silent
    done = run(script(name), "127.0.0.1", port)
    assert (done.status, done.out) == (1, "")
    assert re.fullmatch(rf"127\.0\.0\.1:{port}: [^\n]*Address already in use[^\n]*\n", done.err)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_server_that_is_down_is_told_in_one_line(name: str) -> None:
    done = run(script(name), "127.0.0.1", "1", *CLIENTS[name])
    assert done.status == 1
    assert done.err == f"127.0.0.1:1: [Errno {errno.ECONNREFUSED}] Connection refused\n"


@pytest.mark.parametrize("name", CLIENTS)
def test_a_server_that_hangs_up_is_told_in_one_line(name: str, silent: tuple[str, socket.socket]) -> None:
    port, listener = silent
    with ended(
        subprocess.Popen(
            [*script(name), "127.0.0.1", port, *CLIENTS[name]],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    ) as process:
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert re.fullmatch(rf"127\.0\.0\.1:{port}: [^\n]+\n", err)


@pytest.mark.parametrize("name", SERVERS)
def test_ctrl_c_ends_a_server_cleanly(name: str) -> None:
    with started(script(name), "127.0.0.1", "0") as serving, connect(f"{serving.host}:{serving.port}"):
        done = serving.interrupted()
    assert done.err == ""
    assert done.status == (130 if name == "echo-server.py" else 0), "the one that ends by itself was cut short"


@pytest.mark.parametrize("name", CLIENTS)
def test_ctrl_c_ends_a_client_cleanly(name: str, silent: tuple[str, socket.socket]) -> None:
    port, listener = silent
    with ended(
        subprocess.Popen(
            [*script(name), "127.0.0.1", port, *CLIENTS[name]],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    ) as process:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (130, "")


@pytest.mark.parametrize("name", [name for name in SERVERS if name != "echo-server.py"])
def test_servers_for_several_listen_at_ipv6_too(name: str) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    with started(script(name), "::1", "0") as serving:
        socket.create_connection((serving.host, int(serving.port)), timeout=PATIENCE).close()


@pytest.mark.parametrize("name", ["multiconn-server.py", "app-server.py"])
def test_without_a_free_descriptor_who_is_in_is_served(name: str) -> None:
    limited = ["sh", "-c", 'ulimit -n 12 && exec "$@"', "sh", *script(name)]
    with started(limited, "127.0.0.1", "0") as serving:
        socks = [socket.create_connection((serving.host, int(serving.port)), timeout=PATIENCE) for _ in range(12)]
        try:
            line = ""
            while "Accepted nobody: " not in line:
                assert serving.process.stdout is not None
                line = serving.process.stdout.readline()
            socks[0].sendall(b"\0\0")  # to one an echo, to the other no frame
            assert socks[0].recv(1)
        finally:
            for sock in socks:
                sock.close()

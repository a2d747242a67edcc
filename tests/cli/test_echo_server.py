"""`letterhead echo-server`."""

import os
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.cli.shell import COMMAND, failure, letterhead, started
from tests.echoing import all_received, received, until
from tests.leaks import PATIENCE
from tests.net.raw import connect
from tests.net.test_listening import needs_ipv6

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@contextmanager
def never_reading(address: str) -> Iterator[socket.socket]:
    """A peer that sends until nothing goes any more, and reads nothing."""
    with connect(address) as sock:
        sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            while True:
                sock.sendall(bytes(1 << 20))
        sock.settimeout(PATIENCE)
        yield sock


@pytest.mark.smoke
@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGHUP])
def test_it_echoes_and_a_signal_ends_it_in_order(number: signal.Signals) -> None:
    with started("echo-server", "127.0.0.1", "0") as server:
        assert server.said == [f"listening at {server.address}; Ctrl-C stops\n"]
        with connect(server.address) as sock:
            sock.sendall(b"hello")
            assert received(sock, 5) == b"hello"
            sock.shutdown(socket.SHUT_WR)
            assert all_received(sock) == b""
        done = server.stop(number)
    assert (done.status, done.err) == (0, "")


@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_the_host_may_be_an_ipv6_address(host: str) -> None:
    with started("echo-server", host, "0") as server:
        assert server.address.startswith("[::1]:")
        with connect(server.address) as sock:
            sock.sendall(b"hello")
            assert received(sock, 5) == b"hello"


def test_verbose_logs_each_coming_and_going_with_its_bytes() -> None:
    with started("echo-server", "127.0.0.1", "0", "-v") as server:
        with connect(server.address) as sock:
            peer = "{}:{}".format(*sock.getsockname())
            sock.sendall(b"hello")
            assert received(sock, 5) == b"hello"
            sock.shutdown(socket.SHUT_WR)
            assert all_received(sock) == b""
        lines = server.stop().err.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} ", line) for line in lines)
    assert [line[13:] for line in lines] == [f"{peer} connected", f"{peer} closed: 5 bytes received, 5 sent back"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_peer_that_never_reads_does_not_keep_it(number: signal.Signals) -> None:
    with started("echo-server", "127.0.0.1", "0") as server, never_reading(server.address):
        assert server.stop(number).status == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_it_at_once(number: signal.Signals) -> None:
    with started("echo-server", "127.0.0.1", "0") as server, never_reading(server.address):
        server.process.send_signal(number)
        until(lambda: not _listens(server.address))
        assert server.stop(number).status == -number


def _listens(address: str) -> bool:
    try:
        connect(address).close()
    except ConnectionError:
        return False
    return True


def test_without_a_free_descriptor_it_rests_and_goes_on_when_there_are_some() -> None:
    command = f"ulimit -n 20 && exec {shlex.join(COMMAND)} echo-server 127.0.0.1 0"
    with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.match(r"listening at (\S+);", process.stdout.readline())[1]  # type: ignore[index]  # fails here
            with ExitStack() as stack:
                socks = [stack.enter_context(connect(address)) for _ in range(30)]
                for sock in socks:
                    sock.sendall(b"hello")
                assert received(socks[0], 5) == b"hello"
                before = _processor_seconds(process.pid)
                for _ in range(100):
                    socks[0].sendall(b"again")
                    assert received(socks[0], 5) == b"again", "who is in is served"
                with pytest.raises(TimeoutError):
                    socks[-1].settimeout(1.0)
                    socks[-1].recv(5)
                assert _processor_seconds(process.pid) - before < 0.5
                for sock in socks[:20]:
                    sock.close()
                socks[-1].settimeout(PATIENCE)
                assert received(socks[-1], 5) == b"hello"
            process.terminate()
            _, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0
    assert re.fullmatch(r"\S+ no more connections for the moment: Too many open files; [^\n]+\n", errors), errors


def _processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Mistakes


def test_an_address_in_use_is_told_with_who_has_it() -> None:
    with started("echo-server", "127.0.0.1", "0") as server:
        host, _, port = server.address.rpartition(":")
        status, line = failure("echo-server", host, port)
    assert status == 1
    assert line.startswith(f"cannot listen at {server.address}: {server.address} is in use by ")
    assert f"(process {server.process.pid})" in line


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["127.0.0.1", "port"], "a port is a number from 0 to 65535, not 'port'"),
        (["127.0.0.1", "65536"], "a port is a number from 0 to 65535, not '65536'"),
        (
            ["127.0.0.1:7000"],
            "a host is a name or an IP address, not '127.0.0.1:7000'; a port is written apart from it",
        ),
    ],
)
def test_what_is_no_address_is_status_2(words: list[str], line: str) -> None:
    assert failure("echo-server", *words) == (2, line)


def test_a_host_that_is_not_here_is_told() -> None:
    status, line = failure("echo-server", "192.0.2.1", "0")
    assert status == 1
    assert "this machine has no address '192.0.2.1'" in line


def test_its_help_says_when_connections_are_closed() -> None:
    assert "takes nothing for 10 s" in " ".join(letterhead("echo-server", "--help").out.split())

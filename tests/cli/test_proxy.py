"""`letterhead proxy`: a bad network between a client and a server."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from letterhead import Client, LetterheadError
from tests.cli.conftest import Everything
from tests.cli.shell import failure, letterhead, started
from tests.echoing import all_received, echoing, received
from tests.leaks import PATIENCE


@pytest.fixture
def echo() -> Iterator[str]:
    with echoing() as server:
        yield server.addresses[0]


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE)


@pytest.mark.smoke
def test_without_an_option_the_network_is_a_good_one(server: Everything) -> None:
    with started("proxy", server.address) as proxy:
        with Client(proxy.address) as client:
            assert client.call("greet", name="Ada") == "hello Ada"
        done = proxy.stop(signal.SIGINT)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"listening at {proxy.address}; Ctrl-C stops\n"


def test_a_delay_is_taken_in_both_directions(echo: str) -> None:
    with started("proxy", echo, "--delay", "50ms") as proxy, connect(proxy.address) as sock:
        began = time.monotonic()
        sock.sendall(b"hello")
        assert received(sock, 5) == b"hello"
        assert time.monotonic() - began >= 0.1


def test_what_is_done_is_told_with_verbose(echo: str) -> None:
    with started("proxy", echo, "--reset-after", "1k", "--direction", "to-client", "-v") as proxy:
        with connect(proxy.address) as sock:
            peer = "{}:{}".format(*sock.getsockname())
            sock.sendall(bytes(1_000))
            assert received(sock, 1_000) == bytes(1_000)
            sock.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        with connect(proxy.address) as sock:
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            assert all_received(sock) == b"hello"
        lines = proxy.stop().err.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3} ", line) for line in lines)
    said = [line[13:] for line in lines]
    assert said[:3] == [
        f"connection 1: from {peer} to {echo}",
        "connection 1: reset after 1001 bytes to the server and 1000 to the client",
        "connection 1: closed, 1001 bytes to the server, 1000 to the client",
    ]
    assert said[3].startswith("connection 2: from ")
    assert said[-1] == (
        "2 connections, 1006 bytes to the server, 1005 to the client; 1 reset, 0 stalled, 0 half open, 0 unreachable"
    )


def test_a_target_that_is_not_there_is_told_without_verbose() -> None:
    with started("proxy", "127.0.0.1:1") as proxy:
        with pytest.raises(ConnectionResetError), connect(proxy.address) as sock:
            sock.recv(1)
        done = proxy.stop()
    assert done.status == 0
    assert re.fullmatch(r"\S+ a client was reset: nothing listens at 127\.0\.0\.1:1; [^\n]+\n", done.err), done.err


@pytest.mark.parametrize("options", [["--reset-chance", "1", "--seed", "7"], ["--reset-after", "0"]], ids=" ".join)
def test_a_connection_is_reset_by_chance_or_by_its_bytes(server: Everything, options: list[str]) -> None:
    with started("proxy", server.address, *options, "-v") as proxy:
        with Client(proxy.address) as client, pytest.raises(LetterheadError):
            client.call("greet", name="Ada", timeout=0.5)
        assert "connection 1: reset after 0 bytes to the server" in proxy.stop().err


@pytest.mark.parametrize(
    "options",
    [
        ["--single-bytes"],
        ["--jitter", "1ms", "--delay", "0.001"],
        ["--bandwidth", "1.5MB"],
        ["--stall-after", "1Gi", "--half-open-after", "1G", "--direction", "to-server"],
    ],
    ids=" ".join,
)
def test_what_is_slow_loses_nothing(echo: str, options: list[str]) -> None:
    data = bytes(range(256)) * 8
    with started("proxy", echo, *options) as proxy, connect(proxy.address) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert all_received(sock) == data


def test_unix_sockets_on_both_sides_and_nothing_is_left_of_them(server: Everything, short_path: Path) -> None:
    middle = f"unix:{short_path / 'middle'}"
    with started("proxy", server.address, "--listen", middle) as first:
        with started("proxy", middle) as second, Client(second.address) as client:
            assert client.call("greet", name="Ada") == "hello Ada"
        assert first.stop().status == 0
    assert list(short_path.iterdir()) == []


def test_what_is_open_when_it_ends_is_reset(echo: str) -> None:
    with started("proxy", echo) as proxy, connect(proxy.address) as sock:
        sock.sendall(b"hello")
        assert received(sock, 5) == b"hello"
        assert proxy.stop().status == 0
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["localhost"], "an address is HOST:PORT, [::1]:PORT, :PORT or unix:PATH, not 'localhost'"),
        (["--delay", "5x"], "Invalid value for '--delay': a time is written as 50ms, 1.5s, 2m, or 2 (seconds)"),
        (["--delay", "-1"], "Invalid value for '--delay': a time is written as 50ms"),
        (["--delay", "1" * 400], "Invalid value for '--delay': a time is written as 50ms"),
        (["--bandwidth", "0"], "Invalid value for '--bandwidth': it takes at least 1 byte, not '0'"),
        (["--stall-after", "many"], "Invalid value for '--stall-after': a number of bytes is written as 1000, 64k"),
        (["--reset-chance", "2"], "Invalid value for '--reset-chance': 2.0 is not in the range 0<=x<=1"),
        (["--direction", "up"], "Invalid value for '--direction': 'up' is not one of 'both', 'to-server'"),
    ],
)
def test_what_is_typed_wrongly_is_status_2(words: list[str], line: str) -> None:
    status, said = failure("proxy", *words) if len(words) == 1 else failure("proxy", "127.0.0.1:1", *words)
    assert status == 2
    assert said.startswith(line)


def test_an_address_in_use_is_told(echo: str) -> None:
    status, line = failure("proxy", "127.0.0.1:1", "--listen", echo)
    assert status == 1
    assert line.startswith(f"cannot listen at {echo}: {echo} is in use")


def test_its_help_says_how_times_and_bytes_are_written() -> None:
    said = " ".join(letterhead("proxy", "--help").out.split())
    assert "64k (64,000), 64Ki (65,536)" in said
    assert "50ms, 1.5s or 2m" in said

"""The echo client: whatever the server is, what comes back is compared, and what is wrong with it told."""

import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from letterhead import ConnectionFailed, UsageError
from letterhead.echo_client import KEPT, SCRATCH, Report, exchange
from tests import leaks
from tests.echoing import echoing, pattern
from tests.net.peers import closes_at_once, full_backlog, never_answers, peer, resets, says
from tests.net.test_listening import has_ipv6


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread and no descriptor outlives a test here."""
    with leaks.nothing_left():
        yield


def echo_plainly(sock: socket.socket) -> None:
    """One connection of an echo server as it is written first: blocking, a thread for each."""
    while data := sock.recv(1024):
        sock.sendall(data)


@contextmanager
def threaded(play: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that gives each connection a thread."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threads: list[threading.Thread] = []
        ending = threading.Event()

        def work(sock: socket.socket) -> None:
            with sock:
                play(sock)

        def serve() -> None:
            while True:
                sock, _ = listener.accept()
                if ending.is_set():
                    sock.close()
                    return
                threads.append(threading.Thread(target=work, args=(sock,)))
                threads[-1].start()

        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield "{}:{}".format(*listener.getsockname())
        finally:
            ending.set()
            socket.create_connection(listener.getsockname()).close()
            for thread in (accepting, *threads):
                thread.join(leaks.PATIENCE)


def problem(report: Report) -> str:
    """What is wrong with the one connection."""
    (result,) = report.results
    assert result.problem is not None
    return result.problem


# What comes back


@pytest.mark.smoke
def test_messages_go_out_and_come_back() -> None:
    with echoing() as server:
        report = exchange(server.addresses[0], [b"Hello, ", b"world"])
    (result,) = report.results
    assert (result.number, result.sent, result.received, result.problem) == (1, 12, 12, None)
    assert result.beginning == b"Hello, world"
    assert 0 < result.seconds <= report.seconds
    assert (report.failed, report.received) == ([], 12)


def test_any_echo_server_will_do() -> None:
    with threaded(echo_plainly) as address:
        report = exchange(address, [pattern(100_000)], connections=20)
    assert (report.failed, report.received) == ([], 2_000_000)


def test_a_server_that_echoes_only_what_it_has_whole_before_it_reads_on_is_no_deadlock() -> None:
    """Messages above all that the buffers of both systems hold, and a server that does not read while it sends."""
    with threaded(echo_plainly) as address:
        report = exchange(address, [pattern(20_000_000)])
    assert (report.failed, report.received) == ([], 20_000_000)


def test_many_connections_are_open_at_once() -> None:
    everybody = threading.Barrier(50, timeout=leaks.PATIENCE)

    def play(sock: socket.socket) -> None:
        everybody.wait()
        echo_plainly(sock)

    with threaded(play) as address:
        report = exchange(address, [b"Hello"], connections=50)
    assert report.failed == []
    assert [result.number for result in report.results] == list(range(1, 51))


def test_messages_are_repeated_as_one_stream() -> None:
    with threaded(echo_plainly) as address:
        report = exchange(address, [b"abc", b"de"], repeat=3)
    assert report.results[0].beginning == b"abcdeabcdeabcde"


@pytest.mark.parametrize("size", [1, 7, SCRATCH - 1, SCRATCH, SCRATCH + 1, 3 * SCRATCH + 5])
def test_a_repeated_message_of_any_size_is_compared_rightly(size: int) -> None:
    with echoing() as server:
        report = exchange(server.addresses[0], [pattern(size)], repeat=300_000 // size + 2)
    assert (report.failed, report.received) == ([], size * (300_000 // size + 2))


def test_nothing_is_nothing_back() -> None:
    with echoing() as server:
        report = exchange(server.addresses[0], [b"", b""])
    assert (report.failed, report.received) == ([], 0)


def test_memory_does_not_grow_with_what_is_sent() -> None:
    with threaded(echo_plainly) as address:
        tracemalloc.start()
        try:
            report = exchange(address, [b"Hello, world"], repeat=2_000_000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (report.failed, report.received) == ([], 24_000_000)
    assert peak < 1_000_000
    assert len(report.results[0].beginning) == KEPT


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_of_a_name_s_addresses_the_next_is_tried_where_nobody_listens_at_one() -> None:
    with echoing("127.0.0.1:0") as server:
        port = server.addresses[0].rpartition(":")[2]
        assert exchange(f"localhost:{port}", [b"Hello"], connections=3).failed == []


def test_unix_sockets_are_servers_too(short_path: object) -> None:
    with echoing(f"unix:{short_path}/echo") as server:
        assert exchange(server.addresses[0], [pattern(1_000_000)], connections=5).failed == []


# What is wrong with it


def test_other_bytes_are_told_with_their_place() -> None:
    with peer(says(b"Hello, World")) as address:
        assert problem(exchange(address, [b"Hello, world"])) == (
            "what came back differs at byte 7: b'World' instead of b'world'"
        )


def test_a_difference_far_into_a_repeated_message_is_found() -> None:
    def play(sock: socket.socket) -> None:
        left = 200_003
        while left > 0 and (data := sock.recv(min(left, 65536))):
            left -= len(data)
            sock.sendall(data if left else data[:-1] + b"\x1b")
        while sock.recv(65536):
            continue

    with peer(play) as address:
        report = exchange(address, [b"0123456789"], repeat=100_000)
    assert problem(report) == "what came back differs at byte 200,002: b'\\x1b' instead of b'2'"


def test_more_than_went_out_is_told() -> None:
    with peer(says(b"Hello, world, and goodbye")) as address:
        assert problem(exchange(address, [b"Hello, world"])) == (
            "13 bytes came back that had not gone out: b', and goodbye'"
        )


def test_a_server_that_ends_early_is_told() -> None:
    with peer(says(b"Hell")) as address:
        assert problem(exchange(address, [b"Hello"])) == "the server ended the connection after 4 of 5 bytes"


def test_a_reset_is_told() -> None:
    with peer(resets) as address:
        assert problem(exchange(address, [b"Hello"])) == "the server reset the connection after 0 of 5 bytes"


def test_a_server_that_hangs_up_while_much_is_sent_is_told() -> None:
    with peer(closes_at_once) as address:
        assert "after 0 of 5,000,000 bytes" in problem(exchange(address, [pattern(5_000_000)]))


@pytest.mark.parametrize("size", [5, 50_000_000])
def test_a_server_that_says_nothing_is_given_up(size: int) -> None:
    stop = threading.Event()

    def play(sock: socket.socket) -> None:
        if size == 5:
            never_answers(sock)
        stop.wait(leaks.PATIENCE)

    with peer(play) as address:
        report = exchange(address, [bytes(size)], timeout=0.2)
        stop.set()
    assert problem(report) == f"nothing went or came for 0.2 s, after 0 of {size:,} bytes"


def test_a_server_that_is_slow_but_goes_on_is_waited_for() -> None:
    def play(sock: socket.socket) -> None:
        for byte in sock.recv(1024):
            time.sleep(0.2)
            sock.sendall(bytes([byte]))
        sock.recv(1)

    with peer(play) as address:
        assert exchange(address, [b"0123456789"], timeout=1.5).failed == []


def test_nobody_there_is_told() -> None:
    assert problem(exchange("127.0.0.1:1", [b"Hello"])).startswith("nothing listens at 127.0.0.1:1;")


def test_an_address_that_does_not_answer_is_given_up() -> None:
    with full_backlog() as address:
        assert problem(exchange(address, [b"Hello"], timeout=0.3)) == f"{address} did not answer within 0.3 s"


def test_one_connection_s_problem_is_not_the_others() -> None:
    first = threading.Lock()

    def play(sock: socket.socket) -> None:
        if first.acquire(blocking=False):
            sock.recv(1)
        else:
            echo_plainly(sock)

    with threaded(play) as address:
        report = exchange(address, [b"Hello"], connections=10)
    assert len(report.failed) == 1
    assert report.received == 45


# What cannot be right


def test_a_name_without_an_address_is_an_error() -> None:
    with pytest.raises(ConnectionFailed, match="cannot be resolved"):
        exchange("no-such-host.invalid:65432", [b"Hello"])


@pytest.mark.parametrize(
    "wrong", [{"connections": 0}, {"repeat": 0}, {"timeout": 0}, {"timeout": -1.0}, {"timeout": float("nan")}]
)
def test_arguments_that_cannot_be_right_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        exchange("127.0.0.1:1", [b"Hello"], **wrong)


def test_more_connections_than_the_process_may_open_are_refused_before_any_is() -> None:
    with pytest.raises(UsageError, match="ulimit -n"):
        exchange("127.0.0.1:1", [b"Hello"], connections=10_000_000)

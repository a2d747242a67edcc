"""The echo server: what comes in goes back, and no peer can make it cost others, memory or processor time."""

import logging
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from letterhead import Limits, ListenFailed, UsageError
from letterhead.echo import SCRATCH, EchoServer
from tests import leaks
from tests.echoing import all_received, echoing, pattern, received, send_until_nothing_goes, until
from tests.net.peers import RESET
from tests.net.raw import connect
from tests.net.test_listening import needs_ipv6

SMALL = Limits(write_high=64 * 1024, write_low=16 * 1024)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No thread and no descriptor outlives a test here."""
    with leaks.nothing_left():
        yield


def still_echoes(server: EchoServer) -> bool:
    """Whether somebody new gets back what they send."""
    with connect(server.addresses[0]) as sock:
        sock.sendall(b"still there?")
        return received(sock, 12) == b"still there?"


# Bytes


@pytest.mark.smoke
def test_what_comes_in_goes_back_in_order() -> None:
    with echoing() as server, connect(server.addresses[0]) as sock:
        for message in (b"one", b"two", bytes(range(256))):
            sock.sendall(message)
            assert received(sock, len(message)) == message


@needs_ipv6
def test_it_listens_at_every_kind_of_address(short_path: Path) -> None:
    path = f"unix:{short_path}/echo"
    with echoing("127.0.0.1:0", "[::1]:0", path) as server:
        assert len(server.addresses) == 3
        assert server.addresses[2] == path
        for address in server.addresses:
            with connect(address) as sock:
                sock.sendall(b"hello")
                assert received(sock, 5) == b"hello"
    assert list(short_path.iterdir()) == [], "the socket file goes with the server"


def test_everything_that_came_before_the_end_of_a_peer_s_stream_is_echoed_then_it_is_closed() -> None:
    with echoing(limits=SMALL) as server, connect(server.addresses[0]) as sock:
        data = pattern(5_000_000)
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(all_received(sock)))
        reader.start()
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        reader.join(leaks.PATIENCE)
        assert got == [data]
        until(lambda: not server.connections_now)


def test_an_end_of_stream_that_comes_while_bytes_are_unsent_waits_for_them() -> None:
    with echoing() as server, connect(server.addresses[0]) as sock:
        went = send_until_nothing_goes(sock, server)
        sock.shutdown(socket.SHUT_WR)
        assert all_received(sock) == pattern(went)


def test_a_peer_that_sends_nothing_and_ends_is_closed() -> None:
    with echoing() as server, connect(server.addresses[0]) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert all_received(sock) == b""


@pytest.mark.smoke
def test_many_connections_are_served_at_once() -> None:
    with echoing() as server, ExitStack() as stack:
        socks = [stack.enter_context(connect(server.addresses[0])) for _ in range(300)]
        for number, sock in enumerate(socks):
            sock.sendall(b"%08d" % number)
        for number, sock in enumerate(socks):
            assert received(sock, 8) == b"%08d" % number
        assert server.connections_now == server.accepted == 300
        until(lambda: server.received == server.sent == 2_400)


# Slow readers


def test_of_a_peer_that_does_not_read_a_bounded_part_is_held() -> None:
    with echoing(limits=SMALL) as server, connect(server.addresses[0]) as sock:
        went = send_until_nothing_goes(sock, server)
        assert went > server.received, "the rest waits in the kernel"
        assert 0 < server.received - server.sent <= SMALL.write_high + SCRATCH
        assert still_echoes(server)


def test_it_is_read_again_when_it_reads() -> None:
    with echoing(limits=SMALL) as server, connect(server.addresses[0]) as sock:
        went = send_until_nothing_goes(sock, server)
        assert received(sock, went) == pattern(went)
        sock.sendall(b"on we go")
        assert received(sock, 8) == b"on we go"


def test_a_peer_that_takes_nothing_for_too_long_is_cut_off_and_others_are_not() -> None:
    with echoing(limits=Limits(write_seconds=0.3)) as server, connect(server.addresses[0]) as other:
        with connect(server.addresses[0]) as sock:
            send_until_nothing_goes(sock, server)
            until(lambda: server.connections_now == 1)
            with pytest.raises(ConnectionResetError):
                all_received(sock)
        other.sendall(b"hello")
        assert received(other, 5) == b"hello"


def test_to_go_on_sending_is_no_progress_for_a_peer_that_does_not_read() -> None:
    limits = Limits(write_seconds=0.5, write_high=1 << 30, idle_seconds=leaks.PATIENCE)
    with echoing(limits=limits) as server, connect(server.addresses[0]) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(0.02)
        with pytest.raises(ConnectionError):
            while True:
                try:
                    sock.send(bytes(65536))
                except TimeoutError:
                    continue
                until(lambda: server.received > 0)


def test_a_peer_that_takes_a_little_now_and_then_is_not_cut_off() -> None:
    """Each pause is shorter than the time without progress, all of them together are longer."""
    with echoing(limits=Limits(write_seconds=1.0)) as server, connect(server.addresses[0]) as sock:
        went = send_until_nothing_goes(sock, server)
        taken = 0
        for _ in range(12):
            threading.Event().wait(0.15)  # the pause of a slow reader
            taken += len(received(sock, 64 * 1024))
        assert received(sock, went - taken) == pattern(went)[taken:]


# Errors of one connection, and limits


def test_a_reset_in_the_middle_harms_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "letterhead.echo"), echoing() as server, connect(server.addresses[0]) as other:
        for _ in range(20):
            with connect(server.addresses[0]) as sock:
                sock.sendall(bytes(1_000_000))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        until(lambda: server.connections_now == 1 and server.accepted == 21)
        other.sendall(b"hello")
        assert received(other, 5) == b"hello"
    assert sum("reset the connection" in line for line in caplog.messages) > 0


def test_a_connection_on_which_nothing_comes_is_closed_after_a_time() -> None:
    with echoing(limits=Limits(idle_seconds=0.2)) as server, connect(server.addresses[0]) as sock:
        sock.sendall(b"hello")
        assert received(sock, 5) == b"hello"
        assert all_received(sock) == b""


def test_above_the_cap_connections_are_closed_at_once_and_a_place_that_comes_free_is_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with echoing(limits=Limits(connections=3)) as server, ExitStack() as stack:
        inside = [stack.enter_context(connect(server.addresses[0])) for _ in range(3)]
        for _ in range(10):
            with connect(server.addresses[0]) as outside:
                assert all_received(outside) == b""
        assert server.turned_away == 10
        inside.pop().close()
        until(lambda: server.connections_now == 2)
        assert still_echoes(server)
    assert [line for line in caplog.messages if "as many as may be" in line] == [
        "no more connections for the moment: 3 are open, as many as may be; further ones are closed at once"
    ]


def test_the_cap_leaves_room_below_the_limit_on_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    try:
        with echoing() as server, ExitStack() as stack:
            for _ in range(44):
                stack.enter_context(connect(server.addresses[0]))
            with connect(server.addresses[0]) as outside:
                assert all_received(outside) == b""
            assert server.turned_away == 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_each_coming_and_going_is_logged_with_its_bytes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "letterhead.echo"), echoing() as server:
        with connect(server.addresses[0]) as sock:
            peer = "{}:{}".format(*sock.getsockname())
            sock.sendall(b"hello")
            assert received(sock, 5) == b"hello"
        until(lambda: not server.connections_now)
    assert caplog.messages == [f"{peer} connected", f"{peer} closed: 5 bytes received, 5 sent back"]


def test_an_address_that_others_reach_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with echoing(":0"):
        assert any("can be reached from other machines" in line for line in caplog.messages)


# The end


def test_what_was_read_is_still_sent_to_who_takes_it_when_the_server_stops() -> None:
    with echoing() as server, connect(server.addresses[0]) as sock:
        send_until_nothing_goes(sock, server)
        server.stop()
        with pytest.raises(ConnectionError):  # refused, or reset on the way
            while True:  # until it has seen that it should stop
                connect(server.addresses[0]).close()
        assert all_received(sock) == pattern(server.received)


def test_a_peer_that_never_reads_does_not_keep_the_server() -> None:
    limits = Limits(write_seconds=leaks.PATIENCE * 10, drain_seconds=leaks.PATIENCE * 10)
    with ExitStack() as stack:
        with echoing(limits=limits) as server:
            socks = [stack.enter_context(connect(server.addresses[0])) for _ in range(5)]
            for sock in socks:
                send_until_nothing_goes(sock, server)
        assert server.connections_now == 0


def test_a_peer_that_reads_ever_so_slowly_is_cut_off_in_the_end() -> None:
    with ExitStack() as stack, echoing(limits=Limits(drain_seconds=0.3)) as server:
        sock = stack.enter_context(connect(server.addresses[0]))
        send_until_nothing_goes(sock, server)
        server.stop()
        until(lambda: sock.recv(1) and not server.connections_now)


def test_a_quiet_connection_is_told_that_the_server_stops_and_is_not_waited_for_long() -> None:
    with ExitStack() as stack:
        with echoing(limits=Limits(drain_seconds=leaks.PATIENCE * 10)) as server:
            sock = stack.enter_context(connect(server.addresses[0]))
            sock.sendall(b"hello")
            assert received(sock, 5) == b"hello"
        assert all_received(sock) == b""


def test_a_peer_that_goes_on_sending_when_the_server_stops_gets_what_was_read_and_keeps_nobody() -> None:
    with echoing(limits=Limits(drain_seconds=leaks.PATIENCE * 10)) as server, connect(server.addresses[0]) as sock:
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append(all_received(sock)))
        reader.start()
        with pytest.raises(ConnectionError):
            while True:
                sock.sendall(bytes(65536))
                if server.sent > 1_000_000:
                    server.stop()
        reader.join(leaks.PATIENCE)
        assert got == [bytes(server.received)]
        until(lambda: not server.connections_now)


def test_a_stop_that_comes_before_it_runs_counts() -> None:
    with EchoServer("127.0.0.1:0") as server:
        server.stop()
        server.run()


def test_it_runs_once() -> None:
    with EchoServer("127.0.0.1:0") as server:
        server.stop()
        server.run()
        server.stop()
        with pytest.raises(UsageError, match="closed"):
            server.run()


def test_an_address_in_use_is_told_and_leaves_nothing_open() -> None:
    with EchoServer("127.0.0.1:0") as server, pytest.raises(ListenFailed, match="is in use"):
        EchoServer("127.0.0.1:0", server.addresses[0])

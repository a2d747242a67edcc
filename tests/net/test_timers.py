"""How long a server waits for a peer, with small limits: what it waits for ends the connection, and is told or not."""

import logging
import time
from typing import Any

import pytest

from letterhead import Limits
from tests.leaks import PATIENCE
from tests.net.conftest import Serve
from tests.net.raw import all_received, code_of, connect, echo_app, named, opening, received

SOON = 0.1
LONG = 3 * PATIENCE
"""Times that no test here waits for."""


def patient(**short: float) -> Limits:
    """Limits where all times but those given are long."""
    times: dict[str, Any] = {
        "first_byte_seconds": LONG,
        "header_seconds": LONG,
        "content_quiet_seconds": LONG,
        "idle_seconds": LONG,
        "write_seconds": LONG,
        "linger_quiet_seconds": SOON,
    }
    return Limits(**{**times, **short})


def test_who_says_nothing_is_closed_without_a_frame(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with serve(echo_app(patient(first_byte_seconds=SOON)), "127.0.0.1:0") as served:
        with connect(served.server.addresses[0]) as sock:
            assert all_received(sock) == []
        assert not caplog.records


@pytest.mark.parametrize("begun", [1, 2, 30])
def test_a_header_that_is_not_finished_is_told_timeout(serve: Serve, begun: int) -> None:
    with (
        serve(echo_app(patient(header_seconds=SOON)), "127.0.0.1:0") as served,
        connect(served.server.addresses[0]) as sock,
    ):
        sock.sendall(opening(None, "echo", 1)[:begun])
        (told,) = all_received(sock)
        assert code_of(told) == "timeout"


def test_a_header_is_waited_for_from_its_first_byte_however_slowly_it_comes(serve: Serve) -> None:
    with (
        serve(echo_app(patient(header_seconds=2 * SOON)), "127.0.0.1:0") as served,
        connect(served.server.addresses[0]) as sock,
    ):
        request = opening(None, "echo", 1)
        sock.settimeout(SOON / 4)
        for byte in request:
            sock.sendall(bytes([byte]))
            try:
                first = sock.recv(1)
            except TimeoutError:
                continue
            break
        else:
            pytest.fail("a byte now and then was enough to be waited for")
        assert first == b"\x00"


@pytest.mark.parametrize("length", [1000, 1_000_000])
def test_content_that_does_not_come_is_told_timeout(serve: Serve, length: int) -> None:
    with (
        serve(echo_app(patient(content_quiet_seconds=SOON)), "127.0.0.1:0") as served,
        connect(served.server.addresses[0]) as sock,
    ):
        sock.sendall(named(1, "size", bytes(length), **{"content-type": "binary/x"})[:-900])
        hello, told = all_received(sock)
        assert hello.header["max-open"] == 128
        assert (code_of(told), told.header.get("id")) == ("timeout", None)


def test_content_that_trickles_is_told_timeout_in_the_end(serve: Serve) -> None:
    """After the quiet time it must have come at the least rate: 1,000 bytes take half a second at most."""
    limits = patient(content_quiet_seconds=2 * SOON, content_rate=10_000)
    with serve(echo_app(limits), "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(named(1, "size", bytes(100_000), **{"content-type": "binary/x"})[:-90_000])
        assert received(sock).header["max-open"] == 128
        sock.settimeout(SOON / 4)
        for _ in range(10_000):
            sock.sendall(b"x")
            try:
                first = sock.recv(1)
            except TimeoutError:
                continue
            break
        else:
            pytest.fail("a byte now and then was enough to be waited for")
        assert first == b"\x00"


@pytest.mark.parametrize("id", [None, 1])
def test_an_idle_connection_is_closed_with_no_frame_but_closing(serve: Serve, id: int | None) -> None:
    with (
        serve(echo_app(patient(idle_seconds=SOON)), "127.0.0.1:0") as served,
        connect(served.server.addresses[0]) as sock,
    ):
        for number in range(3):
            sock.sendall(opening(None if id is None else number + 1, "echo", number))
            frames = [received(sock) for _ in range(2 if id and not number else 1)]
            assert frames[-1].result == number
        assert [frame.header.get("closing") for frame in all_received(sock)] == ([] if id is None else [3])
        assert served.server.shared.counters.idled == 1


def test_several_replies_in_one_turn_do_not_make_an_idle_connection_stay(serve: Serve) -> None:
    """The deadline of 30 s, which bounds each request, must not stand in for the idle time."""
    with (
        serve(echo_app(patient(idle_seconds=SOON)), "127.0.0.1:0") as served,
        connect(served.server.addresses[0]) as sock,
    ):
        sock.sendall(b"".join(opening(number, "echo", number) for number in range(1, 21)))
        began = time.monotonic()
        frames = all_received(sock)
        assert [frame.header.get("id") for frame in frames] == [1, *range(1, 21), None]
        assert time.monotonic() - began < PATIENCE


def test_a_connection_with_something_open_is_not_idle(serve: Serve) -> None:
    app = echo_app(patient(idle_seconds=SOON))

    @app.action
    def slow() -> str:
        time.sleep(4 * SOON)  # longer than a connection may idle: that it is not taken for idle is the claim
        return "slow"

    with serve(app, "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(opening(1, "slow"))
        assert received(sock).header["max-open"] == 128
        assert received(sock).result == "slow"


@pytest.mark.parametrize("id", [None, 1])
def test_time_in_which_the_server_does_not_read_is_not_counted_against_the_peer(serve: Serve, id: int | None) -> None:
    """A reply that the peer takes slowly stops the reading; the request behind it is not late for that."""
    limits = patient(header_seconds=2 * SOON, write_high=20_000, write_low=10_000)
    with serve(echo_app(limits), "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        zeros = {"count": 15_000_000}
        second = opening(None if id is None else 2, "echo", "second")
        sock.sendall(opening(id, "zeros", zeros) + second[:20])
        time.sleep(4 * SOON)  # nothing is read here for longer than a header may take
        sock.sendall(second[20:])
        frames = [received(sock) for _ in range(2 if id is None else 3)]
        assert len(frames[-2].content) == 15_000_000
        assert frames[-1].result == "second"


def test_what_ran_out_of_time_is_logged_in_one_line(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    limits = patient(header_seconds=SOON)
    with serve(echo_app(limits), "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(b"\x00")
        all_received(sock)
        name = ":".join(map(str, sock.getsockname()))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert (name in record.getMessage(), "timeout" in record.getMessage()) == (True, True)

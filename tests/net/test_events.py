"""What a server tells of itself as events: their names, levels and fields, with real peers behind them."""

import json
import logging
import socket
from typing import Any

import pytest

from letterhead import Limits
from letterhead.log import say
from tests import leaks
from tests.net.conftest import Serve
from tests.net.raw import all_received, connect, echo_app, named, opening, received

QUICK = Limits(linger_quiet_seconds=0.05)


def events(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The events so far: name, level, and fields."""
    usual = {*vars(logging.makeLogRecord({})), "message"}
    return [
        {**{name: value for name, value in vars(record).items() if name not in usual}, "level": record.levelname}
        for record in caplog.records
    ]


def test_one_that_misbehaves_is_told_with_its_address_and_code(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with serve(echo_app(QUICK), "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(b"\x00\x00")
        all_received(sock)
        peer = ":".join(map(str, sock.getsockname()))
        assert served.server.shared.counters.misbehaved == 1
    (told,) = events(caplog)
    assert told.pop("reason")
    assert told == {"event": "peer-misbehaved", "level": "WARNING", "peer": peer, "code": "bad-frame"}


def test_one_too_many_is_told_as_refused(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(connections=1, linger_quiet_seconds=0.05)
    with serve(echo_app(limits), "127.0.0.1:0") as served, connect(served.server.addresses[0]) as inside:
        inside.sendall(opening(None, "echo", 1))
        received(inside)
        with connect(served.server.addresses[0]) as outside:
            all_received(outside)
            peer = ":".join(map(str, outside.getsockname()))
        counters = served.server.shared.counters
        assert (counters.turned_away, counters.misbehaved) == (1, 0)
    (told,) = events(caplog)
    assert told == {"event": "connection-refused", "level": "WARNING", "peer": peer, "code": "too-many"}


def test_one_that_takes_nothing_is_told_as_stalled(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with serve(echo_app(Limits(write_seconds=0.1)), "127.0.0.1:0") as served, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = served.server.addresses[0].split(":")
        sock.connect((host, int(port)))
        sock.sendall(b"".join(named(number, "zeros", b'{"count": 4000000}') for number in range(1, 9)))
        leaks.run(leaks.until(lambda: served.server.shared.counters.stalled))
    (told,) = events(caplog)
    assert told.pop("unsent") > 0
    assert told.pop("peer").startswith("127.0.0.1:")
    assert told == {"event": "peer-stalled", "level": "WARNING"}


def test_a_connection_that_was_reset_is_counted_as_lost(serve: Serve) -> None:
    with serve(echo_app(QUICK), "127.0.0.1:0") as served:
        with connect(served.server.addresses[0]) as sock:
            sock.sendall(opening(1, "echo", 1))
            received(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        leaks.run(leaks.until(lambda: served.server.shared.counters.lost))


def test_an_orderly_end_is_told_at_its_beginning_and_end(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with serve(echo_app(QUICK), "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(opening(1, "echo", 1))
        received(sock)
        served.run(served.server.close(5.0))
    draining, drained = events(caplog)
    assert draining == {"event": "draining", "level": "INFO", "open": 0, "connections": 1, "limit": 5.0}
    assert drained.pop("seconds") < leaks.PATIENCE
    assert drained == {"event": "drained", "level": "INFO", "cancelled": 0, "left": 0}


def test_an_end_for_which_nobody_waits_is_no_line_to_people(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "letterhead")
    with serve(echo_app(), "127.0.0.1:0"):
        pass
    assert [(told["event"], told["level"]) for told in events(caplog)] == [("draining", "DEBUG"), ("drained", "DEBUG")]


def test_fields_are_what_json_can_say(caplog: pytest.LogCaptureFixture) -> None:
    say(logging.getLogger("letterhead"), logging.WARNING, "some-event", "%d of %s", 3, "them", count=3, left_out=None)
    (told,) = events(caplog)
    assert json.loads(json.dumps(told)) == {"event": "some-event", "level": "WARNING", "count": 3}
    assert caplog.messages == ["3 of them"]


def test_a_field_cannot_take_the_place_of_a_record_s_own() -> None:
    with pytest.raises(ValueError, match="'name'"):
        say(logging.getLogger("letterhead"), logging.WARNING, "some-event", "words", name="x")

"""Log lines about bad peers: one a connection, escaped, and so many a second."""

import logging
import re

import pytest

from letterhead import App, Limits
from tests.net.conftest import Serve
from tests.net.raw import all_received, connect
from tests.wire.frames import frame, framed

QUICK = Limits(linger_quiet_seconds=0.05)
NASTY = [
    b"\r\n\x1b[31mERROR forged line\x07\x00" * 100,
    framed(b'{"content-length": 0, "x\\n\\u001b[31mforged": "\x1b[0m\\r\\n"'),
    frame({"byteorder": "\n\x1b[31mforged\u2028", "id": 1}),
    frame({"id": "\n\x1b[31mforged", "content-type": "a/b"}),
    frame({"content-type": "\n\x1b[31mforged" * 100, "id": 1}),
    frame({"id": 1, "\n\x1b[31mforged\u0085": True, "cancel": "\n\x1bforged"}),
]


@pytest.mark.parametrize("data", NASTY, ids=range(len(NASTY)))
def test_what_came_from_a_peer_stands_in_one_short_line_of_plain_characters(
    serve: Serve, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(App(limits=QUICK), "127.0.0.1:0") as served, connect(served.server.addresses[0]) as sock:
        sock.sendall(data)
        sock.shutdown(1)
        all_received(sock)
    for record in caplog.records:
        line = record.getMessage()
        assert re.fullmatch(r"[\x20-\x7e…]{1,400}", line), line
        assert record.exc_info is None
    assert len(caplog.records) <= 1


def test_many_bad_peers_cost_a_few_lines_and_a_count(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with serve(App(limits=Limits(linger_quiet_seconds=0.05, log_lines=3)), "127.0.0.1:0") as served:
        for _ in range(200):
            with connect(served.server.addresses[0]) as sock:
                sock.sendall(b"nonsense")
                all_received(sock)
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    said = [line for line in lines if "closed the connection" in line]
    counts = [int(line.split()[0]) for line in lines if "more connections misbehaved" in line]
    seconds = len(counts) + 1
    assert len(said) <= 3 * (seconds + 1)
    assert len(said) + sum(counts) <= 200

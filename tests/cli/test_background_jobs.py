"""Commands that serve, started by a script as a background job, or under ``nohup``."""

import signal
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Everything
from tests.cli.shell import started
from tests.net.raw import connect
from tests.processes import ignoring

COMMANDS = {
    "run": ["run", "application:app", "--at", "127.0.0.1:0"],
    "serve": ["serve", "--at", "127.0.0.1:0"],
    "echo-server": ["echo-server", "127.0.0.1", "0"],
    "proxy": ["proxy", "TARGET", "--listen", "127.0.0.1:0"],
}


@pytest.mark.parametrize(("number", "how"), [(signal.SIGINT, "SIGTERM"), (signal.SIGHUP, "Ctrl-C")])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_that_was_ignored_at_the_start_stops_no_server(
    command: str, number: signal.Signals, how: str, server: Everything, tmp_path: Path
) -> None:
    (tmp_path / "application.py").write_text("import letterhead\n\napp = letterhead.App()\n", encoding="utf-8")
    words = [server.address if word == "TARGET" else word for word in COMMANDS[command]]
    with started(*words, cwd=tmp_path, preexec=ignoring(number)) as program:
        assert program.said[-1] == f"listening at {program.address}; {how} stops\n"
        for _ in range(2):  # a second one would end it at once
            program.process.send_signal(number)
            with connect(program.address) as sock:  # it listens, and sees the end of who comes
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(1) == b""
        done = program.stop(signal.SIGTERM)
    assert done.status == 0
    assert "Traceback" not in done.err

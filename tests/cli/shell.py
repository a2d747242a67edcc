"""The command `letterhead` as a user types it: a process, its output, its exit status."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.leaks import PATIENCE

COMMAND = [sys.executable, "-m", "letterhead"]
PLAIN = {
    "NO_COLOR": "",
    "TERM": "xterm-256color",
    "COLUMNS": "100",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


class Done(NamedTuple):
    """How a command ended: exit status, stdout, stderr."""

    status: int
    out: str
    err: str


def letterhead(*words: str, cwd: Path | None = None, stdin: str = "", **variables: str) -> Done:
    """Run a command to its end, its output on pipes."""
    done = subprocess.run(
        [*COMMAND, *words],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        cwd=cwd,
        env={**os.environ, **PLAIN, **variables},
        timeout=PATIENCE,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def failure(*words: str, cwd: Path | None = None, stdin: str = "") -> tuple[int, str]:
    """The exit status of a command that must fail, and the one line that it must say why in."""
    done = letterhead(*words, cwd=cwd, stdin=stdin)
    assert done.status != 0, done.out
    assert done.out == ""
    assert re.fullmatch(r"letterhead: [^\n]+\n", done.err), done.err
    return done.status, done.err.removeprefix("letterhead: ").rstrip("\n")


def on_terminal(*words: str, **variables: str) -> Done:
    """Run a command to its end on a terminal of 100 columns; stdout and stderr are one there."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*COMMAND, *words],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, **PLAIN, **variables},
        )
    finally:
        os.close(theirs)
    try:
        out = b"".join(iter(lambda: _read(ours), b""))
        return Done(process.wait(PATIENCE), out.decode().replace("\r\n", "\n"), "")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other end was closed: what other systems report as an end
        return b""


class Started(NamedTuple):
    """A serving command that runs."""

    process: subprocess.Popen[str]
    address: str
    said: list[str]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Done:
        """End it by a signal, and see that it ends; what it said in all."""
        assert self.process.stdout is not None and self.process.stderr is not None
        self.process.send_signal(number)
        # Not communicate(): it would pass by what the reading of lines has buffered already.
        out, err = self.process.stdout.read(), self.process.stderr.read()
        return Done(self.process.wait(PATIENCE), "".join(self.said) + out, err)


@contextmanager
def started(
    *words: str, cwd: Path | None = None, preexec: Callable[[], None] | None = None, **variables: str
) -> Iterator[Started]:
    """Run a command that serves, from when it listens until the block ends; ``preexec`` runs in its process first."""
    with subprocess.Popen(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=cwd,
        env={**os.environ, **PLAIN, **variables},
        preexec_fn=preexec,
    ) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            said: list[str] = []
            while not (listening := re.match(r"listening at (\S+?)(?: and \S+)*;", said[-1] if said else "")):
                said.append(process.stdout.readline())
                assert said[-1], process.stderr.read()
            yield Started(process, listening[1], said)
        finally:
            process.kill()
            process.communicate()

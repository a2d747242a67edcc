"""The scripts of examples/classic as a learner runs them: processes, what they print, how they end."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.cli.shell import COMMAND
from tests.leaks import PATIENCE

FOLDER = Path(__file__).parents[2] / "examples" / "classic"
Program = Sequence[str]


def script(name: str) -> list[str]:
    """The command that runs a script. What is still open when it ends is closed by the system, as everywhere."""
    return [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", str(FOLDER / name)]


def letterhead(name: str) -> list[str]:
    """The command `letterhead NAME`."""
    return [*COMMAND, name]


class Done(NamedTuple):
    """How a program ended."""

    status: int
    out: str
    err: str


def run(program: Program, *words: str) -> Done:
    """Run a program to its end."""
    done = subprocess.run(
        [*program, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONUTF8": "1"},
        timeout=PATIENCE,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Started(NamedTuple):
    """A server that runs, and where."""

    process: subprocess.Popen[str]
    host: str
    port: str
    first: str

    @property
    def at(self) -> list[str]:
        """Host and port, as clients take them."""
        return [self.host, self.port]

    def says(self, what: str, times: int) -> str:
        """What it prints until it has said this so many times."""
        assert self.process.stdout is not None
        said: list[str] = []
        while sum(line.startswith(what) for line in said) < times and (line := self.process.stdout.readline()):
            said.append(line)
        return "".join(said)

    def ended(self) -> Done:
        """Wait for its end, or bring it about where it serves on."""
        assert self.process.stdout is not None and self.process.stderr is not None
        out, err = self.process.stdout.read(), self.process.stderr.read()
        return Done(self.process.wait(PATIENCE), self.first + out, err)

    def interrupted(self) -> Done:
        """Ctrl-C, and its end."""
        self.process.send_signal(signal.SIGINT)
        return self.ended()


@contextmanager
def started(program: Program, *words: str) -> Iterator[Started]:
    """A server, from when it says where it listens until the block ends."""
    with subprocess.Popen(
        [*program, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"},
    ) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            said = ""
            while not (found := re.search(r"istening (?:at|on) .*?([0-9a-f.:]+)(?:', |\]?:)(\d+)", said)):
                line = process.stdout.readline()
                assert line, process.stderr.read()
                said += line
            yield Started(process, found[1], found[2], said)
        finally:
            process.kill()
            process.communicate()

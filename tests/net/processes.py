"""A program of `programs.py` in a process of its own, while a block runs."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.leaks import PATIENCE

PROGRAMS = Path(__file__).with_name("programs.py")


@dataclass
class Running:
    """A process, its address, and after `ended` what it said."""

    process: subprocess.Popen[str]
    address: str
    out: str = ""
    errors: str = ""
    status: int | None = field(default=None)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; its exit status."""
        self.out, self.errors = self.process.communicate(timeout=PATIENCE)
        self.status = self.process.returncode
        return self.status


@contextmanager
def running(name: str, *arguments: str, address: str = "127.0.0.1:0") -> Iterator[Running]:
    """The program, started; it is killed at the end of the block if it still runs."""
    command = [sys.executable, "-W", "error", str(PROGRAMS), name, address, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline().strip()
            if not told:
                raise AssertionError(process.communicate()[1])
            yield Running(process, told)
        finally:
            if process.poll() is None:
                process.kill()


def file_made(path: Path) -> None:
    """Wait until another process has made a file."""
    until = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < until, f"{path.name} never came"
        time.sleep(0.005)

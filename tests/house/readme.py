"""Runs every code block of a Markdown file as a reader would: `run(file)`.

A block runs in a new folder that shows the files beside `file` (as links), with the folder of the running
Python first in PATH. Nothing can be left out: a block that there is no way to run is a problem.

    ```python             runs by itself, in a process of its own, and ends with exit code 0
    ```sh                 each line is a command, runs in a shell of its own, and ends with exit code 0
    ```console            the same for lines that begin with `$ `; the lines after one are what it prints
    ```json, ```toml      is valid

`make TARGET` is not run but looked up: the folder of `file` has a Makefile with that target and the variables
that are given (`make test` is what runs this). In an output that is shown, `...` stands for anything, also
over several lines.

What else there is to say about a block stands in a comment before it, which readers do not see:

    <!-- test: file=server.py -->              is written to that file; something later must name the file
    <!-- test: file=server.py background -->   is written, and runs until the next background block
    <!-- test: background -->                  a python, sh or console block without a name does so
    <!-- test: background once -->             the same for one that serves a single client, and then ends by itself
    <!-- test: continue -->                    goes on where the python block before it ended
    <!-- test: output -->                      is what the block before it prints (```text)
    <!-- test: drawing -->                     is for the eye: a block that names no language

A background block names port 65432. That number is replaced, textually, by one free port in all code,
commands and outputs, and the next block runs when something listens there. A background command is a single
program. At the end it gets SIGTERM and must end. One that runs `once` is not looked at by connecting to it, which
would be its single client: the next block runs when it has printed something, and at the end it must have ended with
exit code 0. Lines that a traceback names are those of `file`.
"""

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

from tests.house.readme_blocks import Block, Command, Problem, blocks, commands, join_continued, matches
from tests.net.ports import free_port

PORT = "65432"

# Alone in a shell of its own, each of these changes nothing that a later command sees.
_WITHOUT_EFFECT = {"cd", "export", "source", ".", "alias", "set", "unset"}


class Running(NamedTuple):
    """A command that was started; `output` is the file it prints to, `once` that it ends by itself."""

    command: Command
    process: subprocess.Popen[bytes]
    output: Path
    once: bool = False

    def printed(self) -> str:
        """What it has printed so far."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def problem(self, sentence: str) -> Problem:
        """A problem of this command, with what it printed."""
        return Problem(self.command.line, sentence, self.printed())

    def compare(self) -> None:
        """Raise `Problem` if it printed something else than is shown."""
        if self.command.shown is not None and not matches(self.command.shown, self.printed()):
            raise self.problem("what is printed is not what is shown")

    def kill(self) -> None:
        """End it with all that it started; nothing happens to what has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def run(file: Path, seconds: float = 60, seconds_to_end: float = 60) -> None:
    """Run all code blocks of `file`. Raises the first `Problem`.

    A command ends, or listens, within `seconds`; one that gets SIGTERM ends within `seconds_to_end`.
    """
    found = join_continued(blocks(file.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        runner = _Runner(file.resolve().parent, Path(folder), seconds, seconds_to_end)
        try:
            for block in found:
                runner.run(block)
            runner.end()
        finally:
            for running in runner.background:
                running.kill()


class _Runner:
    """The state between two blocks: files that were written, what runs, what was printed last."""

    def __init__(self, home: Path, folder: Path, seconds: float, seconds_to_end: float) -> None:
        self.home = home
        self.folder = folder
        self.seconds = seconds
        self.seconds_to_end = seconds_to_end
        self.port = free_port()
        self.background: list[Running] = []
        self.unnamed: dict[str, int] = {}
        self.printed: str | None = None
        for path in home.iterdir():
            if not path.name.startswith("."):
                (folder / path.name).symlink_to(path)

    def run(self, block: Block) -> None:
        if "drawing" in block.words:
            if block.language or block.file or block.words != {"drawing"}:
                raise Problem(block.line, "a drawing names no language, and is nothing else")
            return
        background = "background" in block.words
        once = "once" in block.words
        if once and not background:
            raise Problem(block.line, "only a background block runs once")
        if background:
            if PORT not in block.text:
                raise Problem(block.line, f"a background block names port {PORT}, for a free one to take its place")
            self.stop_background()
        text = self._with_port(block.text)
        if block.language == "python":
            text = "\n" * block.line + text
            self._note_names(text)
        if "output" in block.words:
            if self.printed is None:
                raise Problem(block.line, "no block before this one has printed anything")
            if not matches(text, self.printed):
                raise Problem(block.line, "what is printed is not what is shown", self.printed)
            return
        if block.file:
            self._write(block.file, block.line, text)
        match block.language:
            case "python" if background or not block.file:
                name = block.file or f"block_{block.line}.py"
                self._write(name, block.line, text)
                self._run_command(Command(block.line, f"python {name}", None), background, once)
            case "sh" | "console" if not block.file:
                for command in commands(block):
                    self._run_command(command, background, once)
            case _ if background:
                raise Problem(block.line, "only a python, sh or console block runs in the background")
            case "json" | "toml":
                try:
                    (json if block.language == "json" else tomllib).loads(text)
                except ValueError as error:
                    raise Problem(block.line, f"this is no {block.language}: {error}") from error
            case _ if not block.file:
                raise Problem(block.line, f"there is no way to run a block of language {block.language!r}")

    def end(self) -> None:
        for name, line in self.unnamed.items():
            raise Problem(line, f"{name} is written, and nothing after it names it")
        self.stop_background()

    def stop_background(self) -> None:
        """End what runs in the background, and see that it ends when it is told to."""
        self._check_background()
        while self.background:
            running = self.background[-1]
            after, fine = (
                ("its client", [0]) if running.once else ("SIGTERM", [0, -signal.SIGTERM, 128 + signal.SIGTERM])
            )
            if not running.once:
                os.killpg(running.process.pid, signal.SIGTERM)
            try:
                code = running.process.wait(self.seconds_to_end)
            except subprocess.TimeoutExpired:
                raise running.problem(f"runs on {self.seconds_to_end:g} s after {after}") from None
            if code not in fine:
                raise running.problem(f"ended with exit code {code} after {after}")
            running.compare()
            running.kill()
            self.background.pop()

    def _with_port(self, text: str) -> str:
        return text.replace(PORT, str(self.port))

    def _note_names(self, text: str) -> None:
        """A file counts as used that `text` names: `client.py`, `client:app`, or the module, imported or run."""
        for name in list(self.unnamed):
            module = re.escape(name.removesuffix(".py"))
            if re.search(rf"\b{re.escape(name)}\b|(?:\bimport|\bfrom|-m)\s+{module}\b|\b{module}:\w", text):
                del self.unnamed[name]

    def _write(self, name: str, line: int, text: str) -> None:
        target = self.folder / name
        if target.is_symlink() or target.parent != self.folder:
            raise Problem(line, f"{name} stands in the repository, or in another folder")
        target.write_text(text, encoding="utf-8")
        self.unnamed[name] = line

    def _run_command(self, command: Command, background: bool, once: bool) -> None:
        shown = None if command.shown is None else self._with_port(command.shown)
        command = Command(command.line, self._with_port(command.text), shown)
        self._note_names(command.text)
        try:
            words = shlex.split(command.text, comments=True)
        except ValueError as error:
            raise Problem(command.line, f"no shell reads this: {error}") from error
        if "make" in words:
            self._look_up(words, command.line)
            return
        if not words or (words[0] in _WITHOUT_EFFECT and not re.search("&&|;", command.text)):
            raise Problem(command.line, "this has no effect: each command runs in a shell of its own")
        if background:
            # In the shell's place, so that SIGTERM reaches the program itself and its end is seen.
            command = command._replace(text=f"exec {command.text}")
        running = self._start(command)._replace(once=once)
        if background:
            self.background.append(running)
            self._wait_for_port(running)
            self.printed = None
            return
        try:
            code = running.process.wait(self.seconds)
        except subprocess.TimeoutExpired:
            raise running.problem(f"goes on after {self.seconds:g} s: is it a background block?") from None
        finally:
            running.kill()
        self._check_background()
        if code:
            raise running.problem(f"ended with exit code {code}")
        running.compare()
        self.printed = running.printed()

    def _look_up(self, words: list[str], line: int) -> None:
        if words[0] != "make" or len(words) == 1:
            raise Problem(line, "make is not run here but looked up: it has a line of its own and names a target")
        makefile = self.home / "Makefile"
        text = makefile.read_text(encoding="utf-8") if makefile.is_file() else ""
        for word in words[1:]:
            name, is_variable, _ = word.partition("=")
            pattern = rf"\$\({re.escape(name)}\)" if is_variable else rf"^{re.escape(name)}\s*:(?!=)"
            if not re.search(pattern, text, re.MULTILINE):
                raise Problem(line, f"the Makefile has no {'variable' if is_variable else 'target'} {name}")

    def _start(self, command: Command) -> Running:
        output = self.folder / f".printed-{command.line}"
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        with output.open("wb") as stream:
            process = subprocess.Popen(
                command.text,
                shell=True,
                cwd=self.folder,
                env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Running(command, process, output)

    def _wait_for_port(self, running: Running) -> None:
        deadline = time.monotonic() + self.seconds
        while not (running.printed() if running.once else _listens(self.port)):
            self._check_background()
            if time.monotonic() > deadline:
                what = "nothing is printed" if running.once else f"nothing listens on port {PORT}"
                raise running.problem(f"{what} after {self.seconds:g} s")
            # The pause between two looks is a wait for the end of the process, which would be news as well.
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(0.02)

    def _check_background(self) -> None:
        for running in self.background:
            code = running.process.poll()
            if code is not None and not (running.once and code == 0):
                raise running.problem(f"ended by itself, with exit code {code}")


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def described(problem: Problem, file: Path) -> str:
    """A problem on one line, `file:line: sentence`, with the end of what was printed below it."""
    printed = "".join(f"\n    {line}" for line in problem.printed.splitlines()[-40:])
    return f"{file.name}:{problem.line}: {problem.sentence}{printed}"

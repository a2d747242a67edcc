"""What commands import: all of it is time before anything is done, in every start."""

import re
import subprocess
import sys

import pytest

from tests.cli.conftest import Everything
from tests.leaks import PATIENCE

RUN = """
import sys
from letterhead.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end
print("imported", *sys.modules)
"""
FOR_SERVERS = frozenset({"asyncio", "concurrent", "logging", "multiprocessing", "pebble", "sqlite3", "uvloop"})
FOR_FEW = frozenset({"difflib", "http", "importlib.metadata", "ipaddress", "json", "mimetypes", "pathlib", "ssl"})
FOR_LOOKS = frozenset({"pydoc", "pygments", "rich", "shlex", "shutil", "subprocess", "tempfile"})
NEVER = FOR_SERVERS | FOR_FEW | FOR_LOOKS | {"encodings.idna", "statistics"}


def imported(program: str, *words: str) -> set[str]:
    """The modules that a program has imported when it ends, beyond those of Python's own start."""

    def run(program: str, *words: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-c", program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=True,
        )
        return set(done.stdout.splitlines()[-1].split()[1:])

    return run(program, *words) - run("import sys; print('imported', *sys.modules)")


def test_a_call_imports_nothing_that_it_does_not_need(server: Everything) -> None:
    modules = imported(RUN, "call", server.address, "greet", "name=Ada")
    assert {"letterhead.cli.call", "letterhead.client.blocking.client"} <= modules
    assert not NEVER & modules
    for_servers = re.compile(
        r"letterhead\.(net\.(server|serving|async|shared)|app\.(app|arguments|runner)|search|testing)"
    )
    assert not {module for module in modules if for_servers.match(module)}


def test_a_client_alone_needs_no_command_line() -> None:
    modules = imported("import sys, letterhead; letterhead.Client; print('imported', *sys.modules)")
    assert "letterhead.client.blocking.client" in modules
    assert not (NEVER | {"click", "letterhead.cli"}) & modules


@pytest.mark.parametrize("words", [["--help"], ["completion", "bash"]])
def test_what_calls_nobody_needs_no_client(words: list[str]) -> None:
    modules = imported(RUN, *words)
    assert "letterhead.cli.main" in modules
    assert not {"msgspec", "socket", "letterhead.client.blocking.client"} & modules


def test_help_of_a_command_imports_no_other_command() -> None:
    modules = imported(RUN, "call", "--help")
    assert "letterhead.cli.call" in modules
    others = ("completion", "describe", "health", "ping", "run", "search", "send", "serve", "shells", "watching")
    assert not {f"letterhead.cli.{name}" for name in others} & modules
    assert not FOR_SERVERS & modules

"""`letterhead` itself: help, version, and commands that do not exist."""

import sys

import pytest

from tests.cli.shell import failure, letterhead

PROGRAM = "python -m letterhead"
COMMANDS = [
    *("serve", "run", "search", "call", "send", "describe", "ping", "health"),
    *("echo-server", "echo-client", "proxy", "completion"),
]


def test_help_lists_every_command_and_examples() -> None:
    done = letterhead("--help")
    assert (done.status, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.partition("Commands:\n")[2].splitlines()[: len(COMMANDS)]] == COMMANDS
    assert "Examples:" in done.out


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_help_with_examples(command: str, option: str) -> None:
    done = letterhead(command, option)
    assert (done.status, done.err) == (0, "")
    assert f"  letterhead {command} " in done.out.partition("Examples:\n")[2]


def test_call_says_how_values_are_read() -> None:
    assert "A VALUE that is JSON is sent as that" in letterhead("call", "--help").out


def test_no_command_is_wrong_usage_and_gets_the_help() -> None:
    done = letterhead()
    assert (done.status, done.out) == (2, "")
    assert done.err == letterhead("--help").out


def test_an_unknown_command_is_told() -> None:
    assert failure("nonsense") == (2, f"No such command 'nonsense'; see '{PROGRAM} --help'")


@pytest.mark.parametrize(("typed", "meant"), [("serch", "search"), ("sevre", "serve"), ("echo-cleint", "echo-client")])
def test_a_misspelt_command_is_told_with_the_right_one(typed: str, meant: str) -> None:
    status, line = failure(typed, "127.0.0.1:1")
    assert status == 2
    assert line.startswith(f"No such command '{typed}'. Did you mean '{meant}'?")


def test_the_version_is_told() -> None:
    done = letterhead("--version")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("letterhead ")
    assert done.out.endswith(f", Python {sys.version.split()[0]}\n")

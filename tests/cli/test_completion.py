"""Completion: typed into real shells, and what it offers there."""

import enum
import os
import pty
import shutil
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import letterhead as library
from letterhead.testing.background import running
from tests.classic import server as classic_server
from tests.cli.application import HARM
from tests.cli.shell import PLAIN, failure, letterhead
from tests.leaks import PATIENCE

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SET_UP = {
    "bash": 'eval "$(letterhead completion bash)"',
    "zsh": 'autoload -Uz compinit; compinit -u -D; eval "$(letterhead completion zsh)"',
    "fish": "letterhead completion fish | source",
}
OWN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)
"""A shell that is interactive wants the terminal to be its own."""


class Colour(enum.Enum):
    """What can be completed."""

    RED = "red"
    GREEN = "green"
    NOT_A_WORD = "$(touch owned)"


SHOP = """
import pathlib
import letterhead

pathlib.Path("imported").touch()
limits = letterhead.Limits()
app = also = letterhead.App("shop \\d")
other: letterhead.App = letterhead.App()
name = app.name
later: int
def make():
    inner = letterhead.App()
"""


def shop() -> library.App:
    app = library.App("shop")

    @app.action
    async def greet(name: str, times: int = 1) -> str:
        """Greet somebody: in words."""
        return ", ".join([f"hello {name}"] * times)

    @app.action(name="paint.wall")
    async def paint(colour: Colour, fast: bool = False) -> str:
        return f"{colour.value} {fast}"

    @app.action
    async def harm() -> None:
        """Do harm."""

    # An App refuses some of these names; a server that means harm does not use it.
    harmful = app.actions.pop("harm")
    names = ("--help", "a b", "a;touch owned", "$(touch owned)", "`touch owned`", "a'b", 'a"b', "a\nplain,b", "*", HARM)
    app.actions.update(dict.fromkeys(names, harmful))
    return app


@pytest.fixture
def address() -> Iterator[str]:
    with running(shop(), "127.0.0.1:0") as served:
        yield served.server.addresses[0]


@pytest.fixture(params=list(SHELLS))
def shell(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def typed(shell: str, line: str, until: str, home: Path) -> str:
    """Type a line, with its tabs, into a shell on a terminal; what the terminal showed until ``until`` stood there."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, 200))
    place = str(home)
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL, *SHELLS[shell]],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=home,
        env={**os.environ, **PLAIN, "HOME": place, "XDG_CONFIG_HOME": place, "XDG_DATA_HOME": place, "TERM": "vt100"},
        start_new_session=True,
    )
    os.close(theirs)
    try:
        os.write(ours, f"{SET_UP[shell]}; echo 're''ady'\n".encode())
        _until(ours, "ready")
        while termios.tcgetattr(ours)[3] & termios.ICANON:  # until the prompt the terminal itself edits what is typed
            time.sleep(0.01)
        os.write(ours, f"{line}\n".encode())
        return _until(ours, until)
    finally:
        process.kill()
        process.wait(PATIENCE)
        os.close(ours)


def _until(terminal: int, wanted: str) -> str:
    shown = ""
    while wanted not in shown:
        shown += os.read(terminal, 65536).decode("utf-8", "replace")
    return shown


def offered(shell: str, line: str, word: str = "", cwd: Path | None = None) -> list[str]:
    """What a shell's script is answered for a line that the cursor stands at the end of."""
    done = letterhead(_LETTERHEAD_COMPLETE=f"{shell}_complete", _LETTERHEAD_LINE=line, _LETTERHEAD_WORD=word, cwd=cwd)
    assert done.err == ""
    return [line for line in done.out.split("\n") if line]


# In real shells: what is completed is run, so that only a whole and correct line gives the answer.


def test_actions_and_arguments_of_a_live_server_are_completed(shell: str, address: str, tmp_path: Path) -> None:
    typed(shell, f"letterhead call {address} gr\tna\tAda ti\t2", "hello Ada, hello Ada", tmp_path)


def test_values_of_an_enum_and_names_with_dots_are_completed(shell: str, address: str, tmp_path: Path) -> None:
    typed(shell, f"letterhead call {address} pai\tco\tr\tfa\tt\t", "red True", tmp_path)


def test_commands_options_and_files_are_completed(shell: str, address: str, tmp_path: Path) -> None:
    (tmp_path / "argument.json").write_text('{"name": "Ada"}')
    typed(shell, f"letterhead sen\t{address} argu\t --act\tgr\t", "hello Ada", tmp_path)


def test_what_cannot_be_asked_is_not_completed_and_says_nothing(shell: str, nobody: str, tmp_path: Path) -> None:
    shown = typed(shell, f"letterhead call {nobody} gr\tna\tAda; echo en''d", "end", tmp_path)
    assert shown.count("letterhead: ") == 1  # the command's own, once it is run
    assert "invalid" not in shown and "Traceback" not in shown


def test_nothing_harmful_is_done_or_offered_in_a_shell(shell: str, address: str, tmp_path: Path) -> None:
    shown = typed(shell, f"letterhead call {address} \t\t\x15echo en''d", "end", tmp_path)
    assert not (tmp_path / "owned").exists()
    assert "owned" not in shown


# What the scripts are answered.


@pytest.mark.parametrize("shell_name", list(SHELLS))
def test_names_that_are_no_plain_words_are_not_offered(shell_name: str, address: str) -> None:
    lines = offered(shell_name, f"letterhead call {address} ")
    names = {line.partition(",")[2].partition("\t")[0].partition(":")[0] for line in lines}
    assert names == {"greet", "paint.wall", "letterhead.ping", "letterhead.describe", "letterhead.health"}


def test_values_that_are_no_plain_words_are_not_offered(address: str) -> None:
    lines = offered("fish", f"letterhead call {address} paint.wall colour=")
    assert sorted(lines) == ["plain,colour=green", "plain,colour=red"]


def test_zsh_and_fish_are_told_what_an_action_does(address: str) -> None:
    assert offered("zsh", f"letterhead call {address} gr") == ["plain,greet:Greet somebody: in words."]
    assert offered("fish", f"letterhead call {address} gr") == ["plain,greet\tGreet somebody: in words."]


@pytest.mark.smoke
def test_an_argument_that_stands_there_is_not_offered_again(address: str) -> None:
    assert offered("bash", f"letterhead call {address} greet name=Ada ") == ["open,times="]


def test_bash_gets_the_part_behind_what_it_takes_for_a_word_break() -> None:
    assert offered("bash", "letterhead call 127.0.0.1:6", "6") == ["plain,65432"]
    assert offered("bash", "letterhead call 127.0.0.1:", "") == ["plain,65432"]
    assert offered("bash", "letterhead call 127", "127") == ["plain,127.0.0.1:65432"]
    # with COMP_WORDBREAKS without the colon
    assert offered("bash", "letterhead call 127.0.0.1:6", "127.0.0.1:6") == ["plain,127.0.0.1:65432"]
    assert offered("bash", "letterhead send 127.0.0.1:1 --encoding=utf-1", "utf-1") == ["plain,utf-16"]


def test_an_option_joined_to_its_value_stays_so() -> None:
    assert offered("zsh", "letterhead send 127.0.0.1:1 --encoding=utf-1") == ["plain,--encoding=utf-16"]


def test_the_forms_of_stdin_are_offered_behind_an_equals_sign() -> None:
    assert offered("fish", "letterhead call 127.0.0.1:1 f --stdin=") == [
        "plain,--stdin=values",
        "plain,--stdin=text",
        "plain,--stdin=bytes",
    ]


def test_behind_stdin_arguments_are_offered(address: str) -> None:
    assert offered("bash", f"letterhead call {address} greet --stdin na", "na") == ["open,name="]


def test_quotes_on_the_line_are_read_as_the_shell_reads_them(address: str) -> None:
    assert offered("bash", f"letterhead call '{address}' \"gr", "gr") == ["plain,greet"]


def test_a_server_is_told_where_it_may_listen() -> None:
    assert offered("fish", "letterhead run app:app --at ") == ["plain,127.0.0.1:65432", "open,unix:"]


def test_a_proxy_is_told_where_to_lead_and_what_to_spoil() -> None:
    assert offered("fish", "letterhead proxy 127") == ["plain,127.0.0.1:65432"]
    assert offered("fish", "letterhead proxy --listen u") == ["open,unix:"]
    assert offered("fish", "letterhead proxy --direction to-") == ["plain,to-server", "plain,to-client"]


@pytest.mark.parametrize(
    "line", ["", "letterhead", "letterhead no-such-command ", "letterhead call 'unclosed ", "\\", "'"]
)
def test_a_line_of_any_kind_is_no_error(line: str) -> None:
    for shell in SHELLS:
        offered(shell, line)


def test_commands_are_offered_without_a_look_at_them() -> None:
    assert offered("fish", "letterhead s") == [
        "plain,serve\tServe a search over folders of text.",
        "plain,search\tAsk a server's search.",
        "plain,send\tSend a file or stdin to a server.",
    ]


def test_files_and_folders_are_left_to_the_shell() -> None:
    assert offered("bash", "letterhead send 127.0.0.1:1 ") == ["file,"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with modules, a package, a folder of more, and what is none of these."""
    (tmp_path / "shop.py").write_text(SHOP, encoding="utf-8")
    (tmp_path / "my-app.py").write_text("from letterhead import App\nlarge: App = App('large')\n", encoding="utf-8")
    for folder in ("package", "project"):
        (tmp_path / folder).mkdir()
    (tmp_path / "package" / "__init__.py").write_text("from letterhead import App\nmain = App()\n", encoding="utf-8")
    (tmp_path / "project" / "server.py").write_text("from letterhead import App\napp = App()\n", encoding="utf-8")
    (tmp_path / "broken.py").write_text("app = App(\n", encoding="utf-8")
    for other in ("shop.txt", ".hidden.py", "a b.py", "$(touch owned).py"):
        (tmp_path / other).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", ["broken:", "my-app.py:", "package:", "project/", "shop:"]),
        ("s", ["shop:"]),
        ("shop.p", ["shop.py:"]),
        ("shop:", ["shop:app", "shop:also", "shop:other"]),
        ("shop:o", ["shop:other"]),
        ("shop.py:o", ["shop.py:other"]),
        ("my-app.py:", ["my-app.py:large"]),
        ("package:", ["package:main"]),
        ("pro", ["project/"]),
        ("project/", ["project/server.py:"]),
        ("project/server.py:", ["project/server.py:app"]),
        ("./sh", ["./shop.py:"]),
        ("project.server:", ["project.server:app"]),
        ("broken:", []),
        ("nowhere:", []),
        ("nowhere/", []),
    ],
)
def test_modules_and_their_applications_are_offered_to_run(project: Path, typed: str, words: list[str]) -> None:
    kind = "plain" if ":" in typed else "open"
    assert offered("fish", f"letterhead run {typed}", cwd=project) == [f"{kind},{word}" for word in words]


def test_what_is_completed_is_not_run(project: Path) -> None:
    offered("fish", "letterhead run shop:", cwd=project)
    assert not (project / "imported").exists()


def test_a_module_and_its_application_are_completed(shell: str, project: Path) -> None:
    typed(shell, "letterhead run sho\tap\t --at 127.0.0.1:0", "listening at", project)


def test_a_classic_server_offers_nothing() -> None:
    with classic_server.running() as (host, port):
        assert offered("bash", f"letterhead call {host}:{port} ") == []


def test_a_server_that_never_answers_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert offered("bash", f"letterhead call 127.0.0.1:{silent.getsockname()[1]} ") == []
        assert time.monotonic() - began < PATIENCE / 2  # a call waits 30 s


def test_every_script_is_one_that_its_shell_reads(shell: str) -> None:
    script = letterhead("completion", shell).out
    done = subprocess.run([shell, "-n"], input=script, capture_output=True, encoding="utf-8", check=True)
    assert done.stderr == ""


def test_another_shell_is_wrong_usage() -> None:
    status, line = failure("completion", "tcsh")
    assert status == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in line

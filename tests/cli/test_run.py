"""`letterhead run`."""

import shlex
import signal
import socket
from pathlib import Path

import pytest

from tests.cli.shell import failure, letterhead, started

SERVER = """
import os

import letterhead

app = letterhead.App("greeter")

class Settings:
    app = letterhead.App("other")

@app.action
async def greet(name: str, times: int = 1) -> str:
    return ", ".join([f"hello {name}"] * times)

@app.action(run="process")
def process_id() -> int:
    return os.getpid()

@app.action
async def server_id() -> int:
    return os.getpid()

if __name__ == "__main__":
    raise SystemExit("it is imported, not run")
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with `server.py`."""
    (tmp_path / "server.py").write_text(SERVER, encoding="utf-8")
    return tmp_path


@pytest.mark.smoke
def test_a_module_of_the_current_folder_is_served(project: Path) -> None:
    with started("run", "server:app", "--at", "127.0.0.1:0", cwd=project) as server:
        assert letterhead("call", server.address, "greet", "name=Ada").out == "hello Ada\n"


def test_a_file_is_served(project: Path) -> None:
    with started("run", f"{project}/server.py:app", "--at", "127.0.0.1:0") as server:
        assert letterhead("call", server.address, "greet", "name=Ada").out == "hello Ada\n"


def test_worker_processes_find_the_file_again(project: Path) -> None:
    with started("run", f"{project}/server.py:app", "--at", "127.0.0.1:0") as server:
        worker, served_by = (letterhead("call", server.address, name).out for name in ("process_id", "server_id"))
    assert worker.strip().isdigit()
    assert worker != served_by


def test_an_application_may_be_an_attribute_of_something(project: Path) -> None:
    with started("run", "server:Settings.app", "--at", "127.0.0.1:0", cwd=project) as server:
        assert '"name": "other"' in letterhead("call", server.address, "letterhead.describe").out


def test_a_module_that_serves_by_itself_is_told(project: Path) -> None:
    (project / "serves.py").write_text("import letterhead\napp = letterhead.App()\napp.run()\n", encoding="utf-8")
    status, said = failure("run", "serves:app", cwd=project)
    assert status == 2
    assert "if __name__ == '__main__'" in said


def test_it_says_what_to_call_elsewhere(project: Path) -> None:
    with started("run", "server:app", "--at", "127.0.0.1:0", cwd=project) as server:
        done = server.stop()
    commands = [shlex.split(line) for line in done.out.partition("elsewhere:\n")[2].splitlines()]
    assert commands == [
        ["letterhead", "call", server.address, "greet", "name=…"],
        ["letterhead", "call", server.address, "process_id"],
        ["letterhead", "call", server.address, "server_id"],
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_order(project: Path, number: signal.Signals) -> None:
    with started("run", "server:app", "--at", "127.0.0.1:0", cwd=project) as server:
        done = server.stop(number)
    assert (done.status, done.err) == (0, "")


# Mistakes


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("server", "an application is written MODULE:APP, such as server:app, not 'server'"),
        ("server:", "an application is written MODULE:APP, such as server:app, not 'server:'"),
        ("sevrer:app", "there is no module 'sevrer' in "),
        ("server.deeper:app", "there is no module 'server.deeper' in "),
        ("nowhere/server.py:app", "there is no file "),
        ("server:application", "server has no 'application'; its applications: app"),
        ("server:Settings.application", "server has no 'Settings.application'; its applications: app"),
        ("server:greet", "'greet' in server is no letterhead.App but of type function; its applications: app"),
        ("fails:app", "fails cannot be imported: ZeroDivisionError: division by zero ("),
        ("fails.py:app", "fails.py cannot be imported: ZeroDivisionError: division by zero ("),
        ("broken:app", "broken cannot be imported: SyntaxError: "),
        ("lacks:app", "lacks cannot be imported: ModuleNotFoundError: No module named 'not_installed' ("),
        ("empty:app", "empty has no 'app'"),
    ],
)
def test_what_cannot_be_loaded_is_told(project: Path, target: str, says: str) -> None:
    (project / "fails.py").write_text("\n1 / 0\n", encoding="utf-8")
    (project / "broken.py").write_text("\ndef (:\n", encoding="utf-8")
    (project / "lacks.py").write_text("import not_installed\n", encoding="utf-8")
    (project / "empty.py").touch()
    status, line = failure("run", target, cwd=project)
    assert status == 2
    assert line.startswith(says)


def test_a_file_cannot_take_the_name_of_a_module_in_use(tmp_path: Path) -> None:
    (tmp_path / "json.py").touch()
    status, line = failure("run", f"{tmp_path}/json.py:app")
    assert (status, line) == (2, "there is a module 'json' already: give json.py another name")


@pytest.mark.parametrize(("name", "text"), [("fails", "\n1 / 0\n"), ("broken", "\ndef (:\n")])
def test_a_module_that_fails_is_told_with_the_line(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    assert failure("run", f"{name}:app", cwd=tmp_path)[1].endswith(f"{name}.py, line 2)")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("from letterhead import App\napp = App()\napp.action(print, 1)\n", "TypeError: "),
        ("from letterhead import App\napp = App()\napp.action('a')\n", "UsageError: an action is a function "),
        ("from letterhead import Client\n\nClient('127.0.0.1:1').call('a')\n", "ConnectRefused: nothing listens at "),
        ("import json\n\njson.loads('{')\n", "JSONDecodeError: Expecting property name "),
        ("import refuses\n\n", "ZeroDivisionError: division by zero (/refuses.py, line 3)"),
        ("\n\nassert False\n", "AssertionError (/m.py, line 3)"),
    ],
)
def test_a_mistake_is_told_with_the_users_own_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "refuses.py").write_text("\n\n1 / 0\n", encoding="utf-8")
    (tmp_path / "m.py").write_text(text, encoding="utf-8")
    line = failure("run", "m:app", cwd=tmp_path)[1].replace(str(tmp_path), "")
    assert line.startswith(f"m cannot be imported: {says}")
    assert line.endswith(".py, line 3)")


def test_a_syntax_error_names_its_place_once(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("\ndef (:\n", encoding="utf-8")
    line = failure("run", "m:app", cwd=tmp_path)[1]
    assert line == f"m cannot be imported: SyntaxError: invalid syntax ({tmp_path}/m.py, line 2)"


HOOKS = """
import letterhead

app = letterhead.App()

@app.on_{when}
{kind} go():
    raise ValueError("db is down")
"""


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_start_hook_that_fails_is_told_in_one_last_line(tmp_path: Path, kind: str) -> None:
    (tmp_path / "m.py").write_text(HOOKS.format(when="start", kind=kind), encoding="utf-8")
    done = letterhead("run", "m:app", "--at", "127.0.0.1:0", cwd=tmp_path)
    last = f"letterhead: the application could not start: ValueError: db is down ({tmp_path}/m.py, line 8)"
    assert (done.status, done.out, done.err.splitlines()[-1]) == (1, "", last)


def test_of_a_hook_that_fails_only_the_users_frames_are_logged(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(HOOKS.format(when="start", kind="def"), encoding="utf-8")
    logged = letterhead("run", "m:app", "--at", "127.0.0.1:0", cwd=tmp_path).err
    assert [line.split('"')[1] for line in logged.splitlines() if line.startswith("  File ")] == [f"{tmp_path}/m.py"]


def test_a_stop_hook_that_fails_is_told_in_one_last_line(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(HOOKS.format(when="stop", kind="def"), encoding="utf-8")
    with started("run", "m:app", "--at", "127.0.0.1:0", cwd=tmp_path) as server:
        done = server.stop()
    last = f"letterhead: the application could not stop in order: ValueError: db is down ({tmp_path}/m.py, line 8)"
    assert (done.status, done.err.splitlines()[-1]) == (1, last)


def test_of_several_stop_hooks_that_fail_each_is_told(tmp_path: Path) -> None:
    hook = "@app.on_stop\ndef {0}():\n    raise ValueError('{0}')\n"
    text = "import letterhead\napp = letterhead.App()\n" + hook.format("one") + hook.format("two")
    (tmp_path / "m.py").write_text(text, encoding="utf-8")
    with started("run", "m:app", "--at", "127.0.0.1:0", cwd=tmp_path) as server:
        done = server.stop()
    last = done.err.splitlines()[-1]
    assert done.status == 1
    assert last.index("stop in order: ValueError: two") < last.index("stop in order: ValueError: one")


def test_an_address_in_use_is_told(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        status, line = failure("run", "server:app", "--at", address, cwd=project)
    assert status == 1
    assert line.startswith(f"cannot listen at {address}: ")
    assert "is in use" in line


def test_what_is_no_address_is_status_2(project: Path) -> None:
    status, _ = failure("run", "server:app", "--at", "nowhere", cwd=project)
    assert status == 2

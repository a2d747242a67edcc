"""Runs README.md, and shows on small planted texts that the runner (readme.py) lets nothing pass unrun."""

import re
from pathlib import Path

import pytest

from tests.house import readme
from tests.house.readme_blocks import Problem

ROOT = Path(__file__).resolve().parents[2]

# A server in a few lines, on the port that the runner replaces. It says hello to whoever connects.
SERVER = """
import socketserver

class Hello(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"hello")

class Server(socketserver.TCPServer):
    allow_reuse_address = True

with Server(("127.0.0.1", 65432), Hello) as server:
    print("ready on 65432")
    server.serve_forever()
"""

CLIENT = """
import socket

with socket.create_connection(("127.0.0.1", 65432)) as connection:
    print(connection.makefile().read())
"""


def fence(language: str, text: str, comment: str = "") -> str:
    """A code block, after a test comment if there is one."""
    before = f"<!-- test: {comment} -->\n" if comment else ""
    return f"{before}```{language}\n{text.strip()}\n```\n"


def run(folder: Path, text: str, **seconds: float) -> None:
    """Run `text` as the README of `folder`."""
    file = folder / "README.md"
    file.write_text(text, encoding="utf-8")
    readme.run(file, **seconds)


def problem(folder: Path, text: str, **seconds: float) -> Problem:
    """The problem that running `text` finds."""
    with pytest.raises(Problem) as caught:
        run(folder, text, **seconds)
    return caught.value


@pytest.mark.timeout(600)
def test_every_block_of_the_readme_runs() -> None:
    file = ROOT / "README.md"
    try:
        readme.run(file)
    except Problem as found:
        pytest.fail(readme.described(found, file), pytrace=False)


def test_a_text_without_blocks_is_fine(tmp_path: Path) -> None:
    run(tmp_path, "# Title\n\nText with ``` `code` ``` in it.\n\n- a list\n\n    that goes on\n")


def test_blocks_really_run(tmp_path: Path) -> None:
    python = tmp_path / "python-ran"
    shell = tmp_path / "shell-ran"
    run(tmp_path, fence("python", f"open({str(python)!r}, 'w').close()") + fence("sh", f"touch '{shell}'"))
    assert python.exists()
    assert shell.exists()


def test_a_failing_python_block_is_found_with_its_line(tmp_path: Path) -> None:
    found = problem(tmp_path, "# Title\n\n" + fence("python", "x = 1\nassert x == 2, 'no'"))
    assert found.line == 3
    assert found.sentence == "ended with exit code 1"
    assert "AssertionError: no" in found.printed
    assert "line 5" in found.printed


def test_a_problem_is_shown_on_one_line_with_what_was_printed_below(tmp_path: Path) -> None:
    found = problem(tmp_path, "\n" + fence("sh", "echo before; exit 3"))
    assert readme.described(found, tmp_path / "README.md") == "README.md:3: ended with exit code 3\n    before"


@pytest.mark.parametrize("language", ["sh", "console"])
def test_a_failing_command_is_found_with_its_line(tmp_path: Path, language: str) -> None:
    prompt = "$ " if language == "console" else ""
    found = problem(tmp_path, fence(language, f"{prompt}true\n{prompt}false"))
    assert (found.line, found.sentence) == (3, "ended with exit code 1")


@pytest.mark.parametrize("block", ["python", "sh"])
def test_a_block_that_does_not_end_is_found(tmp_path: Path, block: str) -> None:
    text = {"python": "import threading\nthreading.Event().wait()", "sh": "sleep 600"}[block]
    found = problem(tmp_path, fence(block, text), seconds=0.5)
    assert found.sentence == "goes on after 0.5 s: is it a background block?"


def test_python_blocks_share_nothing_unless_they_say_so(tmp_path: Path) -> None:
    assert problem(tmp_path, fence("python", "x = 1") + fence("python", "print(x)")).line == 4
    run(tmp_path, fence("python", "x = 1") + "\nthen\n\n" + fence("python", "assert x == 1", "continue"))


def test_a_continued_block_keeps_its_line_numbers(tmp_path: Path) -> None:
    found = problem(tmp_path, fence("python", "x = 1") + "\nthen\n\n" + fence("python", "assert x == 2", "continue"))
    assert "line 9" in found.printed


def test_only_python_continues(tmp_path: Path) -> None:
    found = problem(tmp_path, fence("sh", "true") + fence("python", "", "continue"))
    assert found.sentence == "only a python block continues, and only a python block before it"


# Serves one connection, and ends.
SINGLE = """
import socket

with socket.create_server(("127.0.0.1", 65432)) as listener:
    print("ready", flush=True)
    connection, _ = listener.accept()
    connection.sendall(b"hello")
    connection.close()
"""


def test_a_server_for_a_single_client_serves_it_and_has_ended(tmp_path: Path) -> None:
    run(tmp_path, fence("python", SINGLE, "background once") + fence("python", CLIENT) + fence("sh", "true"))


def test_a_server_for_a_single_client_that_runs_on_is_found(tmp_path: Path) -> None:
    found = problem(tmp_path, fence("python", SINGLE, "background once") + fence("sh", "true"), seconds_to_end=0.5)
    assert found.sentence == "runs on 0.5 s after its client"


def test_a_server_for_a_single_client_that_fails_is_found(tmp_path: Path) -> None:
    failing = SINGLE + "\nraise SystemExit(3)"
    found = problem(tmp_path, fence("python", failing, "background once") + fence("python", CLIENT))
    assert re.fullmatch("ended (by itself, )?with exit code 3( after its client)?", found.sentence)


def test_one_that_prints_nothing_is_found(tmp_path: Path) -> None:
    silent = SINGLE.replace('print("ready", flush=True)', "")
    found = problem(tmp_path, fence("python", silent, "background once"), seconds=0.5)
    assert found.sentence == "nothing is printed after 0.5 s"


def test_only_a_background_block_runs_once(tmp_path: Path) -> None:
    assert problem(tmp_path, fence("python", "x = 1", "once")).sentence == "only a background block runs once"


def test_a_file_is_written_for_later_commands_and_blocks(tmp_path: Path) -> None:
    written = fence("python", "print('six')", "file=six.py")
    run(tmp_path, written + fence("console", "$ python six.py\nsix"))
    run(tmp_path, written + fence("python", "import six"))


@pytest.mark.parametrize("command", ["echo sixty", "echo six", "echo import sixty", "echo --six.python"])
def test_a_file_that_nothing_names_is_found(tmp_path: Path, command: str) -> None:
    found = problem(tmp_path, fence("python", "print('six')", "file=six.py") + fence("sh", command))
    assert (found.line, found.sentence) == (2, "six.py is written, and nothing after it names it")


@pytest.mark.parametrize("command", ["python six.py", "python -m six", "echo six:app", "python -c 'import six'"])
def test_a_file_may_be_named_as_a_module(tmp_path: Path, command: str) -> None:
    run(tmp_path, fence("python", "print('six')", "file=six.py") + fence("sh", command))


@pytest.mark.parametrize("name", ["README.md", "../x.py", "folder/x.py"])
def test_a_file_takes_no_other_one_s_place(tmp_path: Path, name: str) -> None:
    found = problem(tmp_path, fence("python", "1", f"file={name}") + fence("sh", f"cat {name}"))
    assert found.sentence == f"{name} stands in the repository, or in another folder"


def test_commands_see_what_stands_beside_the_readme(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text("here", encoding="utf-8")
    run(tmp_path, fence("console", "$ cat docs/page.md\nhere"))


def test_python_is_the_one_that_runs_the_test(tmp_path: Path) -> None:
    run(tmp_path, fence("sh", 'python -c "import pytest"'))


def test_a_command_may_take_several_lines(tmp_path: Path) -> None:
    run(
        tmp_path,
        fence("console", "$ echo one \\\n>   two\none two") + fence("sh", "# comment\n\ntest 1 \\\n  = 1"),
    )


@pytest.mark.parametrize(
    ("shown", "fits"),
    [
        ("one\ntwo", True),
        ("one", False),
        ("...", True),
        ("o...o", True),
        ("one\n...", True),
        ("...three", False),
    ],
)
def test_an_output_that_is_shown_is_compared(tmp_path: Path, shown: str, fits: bool) -> None:
    for text in (
        fence("console", f"$ echo one; echo two\n{shown}"),
        fence("python", "print('one')\nprint('two')") + fence("text", shown, "output"),
    ):
        if fits:
            run(tmp_path, text)
        else:
            found = problem(tmp_path, text)
            assert found.sentence == "what is printed is not what is shown"
            assert found.printed == "one\ntwo\n"


def test_an_output_without_a_block_before_it_is_found(tmp_path: Path) -> None:
    assert problem(tmp_path, fence("text", "...", "output")).sentence == "no block before this one has printed anything"


def test_a_server_runs_in_the_background_on_a_free_port(tmp_path: Path) -> None:
    run(
        tmp_path,
        fence("python", SERVER, "file=server.py background")
        + fence("python", CLIENT)
        + fence("text", "hello", "output")
        + fence("python", CLIENT, "file=client.py")
        + fence("console", "$ python client.py # 65432\nhello"),
    )


def test_a_server_command_runs_in_the_background(tmp_path: Path) -> None:
    run(
        tmp_path,
        fence("python", SERVER, "file=server.py")
        + fence("console", "$ python -m server # on 65432\nready on 65432", "background")
        + fence("python", CLIENT),
    )


def test_the_next_background_block_ends_the_one_before(tmp_path: Path) -> None:
    other = SERVER.replace("hello", "other")
    run(
        tmp_path,
        fence("python", SERVER, "background")
        + fence("python", other, "background")
        + fence("python", CLIENT)
        + fence("text", "other", "output"),
    )


def test_the_wrong_output_of_a_server_is_found_at_its_end(tmp_path: Path) -> None:
    found = problem(
        tmp_path,
        fence("python", SERVER, "file=server.py")
        + fence("console", "$ python server.py # on 65432\nready on 80", "background"),
    )
    assert found.sentence == "what is printed is not what is shown"


def test_a_server_that_ends_by_itself_is_found(tmp_path: Path) -> None:
    found = problem(tmp_path, fence("python", "raise SystemExit('65432 is taken')", "background"))
    assert found.sentence == "ended by itself, with exit code 1"
    assert "is taken" in found.printed


def test_a_server_that_never_listens_is_found(tmp_path: Path) -> None:
    found = problem(tmp_path, fence("sh", "sleep 600 # 65432", "background"), seconds=0.5)
    assert found.sentence == "nothing listens on port 65432 after 0.5 s"


def test_a_server_without_the_port_is_found(tmp_path: Path) -> None:
    found = problem(tmp_path, fence("sh", "sleep 600", "background"))
    assert found.sentence == "a background block names port 65432, for a free one to take its place"


def test_a_server_that_does_not_end_is_found(tmp_path: Path) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVER
    found = problem(tmp_path, fence("python", deaf, "background"), seconds_to_end=0.5)
    assert found.sentence == "runs on 0.5 s after SIGTERM"


def test_a_server_that_ends_badly_is_found(tmp_path: Path) -> None:
    bad = "import signal, os\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(7))\n" + SERVER
    found = problem(tmp_path, fence("python", bad, "background"))
    assert found.sentence == "ended with exit code 7 after SIGTERM"


def test_make_is_looked_up_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("demo: x\n\techo $(FOLDER); touch made\nFOLD := x\n", encoding="utf-8")
    run(tmp_path, fence("sh", "make demo\nmake demo FOLDER=~/notes"))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("make none", "the Makefile has no target none"),
        ("make FOLD", "the Makefile has no target FOLD"),
        ("make demo WHERE=x", "the Makefile has no variable WHERE"),
        ("make", "make is not run here but looked up: it has a line of its own and names a target"),
        (
            "true && make demo",
            "make is not run here but looked up: it has a line of its own and names a target",
        ),
        ("make demo && true", "the Makefile has no target &&"),
    ],
)
def test_make_without_that_target_is_found(tmp_path: Path, command: str, sentence: str) -> None:
    (tmp_path / "Makefile").write_text("demo: x\n\techo $(FOLDER)\nFOLD := x\n", encoding="utf-8")
    assert problem(tmp_path, fence("sh", command)).sentence == sentence


@pytest.mark.parametrize(("language", "good", "bad"), [("json", '{"a": 1}', "{a: 1}"), ("toml", "a = 1", "a: 1")])
def test_data_is_read(tmp_path: Path, language: str, good: str, bad: str) -> None:
    run(tmp_path, fence(language, good))
    assert problem(tmp_path, fence(language, bad)).sentence.startswith(f"this is no {language}: ")


def test_a_drawing_is_not_run(tmp_path: Path) -> None:
    run(tmp_path, fence("", "a ──► b", "drawing"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (fence("", "x"), "there is no way to run a block of language ''"),
        (fence("text", "x"), "there is no way to run a block of language 'text'"),
        (fence("bash", "true"), "there is no way to run a block of language 'bash'"),
        (fence("sh", "true", "drawing"), "a drawing names no language, and is nothing else"),
        (fence("", "x", "drawing background"), "a drawing names no language, and is nothing else"),
        (fence("sh", "x", "file=x.sh"), "x.sh is written, and nothing after it names it"),
        (
            fence("json", "{}  # 65432", "background"),
            "only a python, sh or console block runs in the background",
        ),
        ("~~~python\n1/0\n~~~\n", "ended with exit code 1"),
        ("```python extra words\n1/0\n```\n", "ended with exit code 1"),
        ("- a list\n\n    ```python\n    1/0\n    ```\n", "ended with exit code 1"),
        (
            "- ```python\n  1/0\n  ```\n",
            "a code block here would not be run: begin its fence on a line of its own",
        ),
        (
            "> ```python\n> 1/0\n> ```\n",
            "a code block here would not be run: begin its fence on a line of its own",
        ),
        ("<pre>1/0</pre>\n", "a code block here would not be run: begin its fence on a line of its own"),
        ("Text.\n\n    indented\n", "an indented block names no language: write it between fences"),
        ("```python\n1/0\n", "this block is never closed"),
        (fence("sh", ""), "this block has no command"),
        (fence("sh", "# only a comment"), "this block has no command"),
        (fence("sh", "true \\"), "this block ends within a command"),
        (fence("sh", "echo 'open"), "no shell reads this: No closing quotation"),
        (fence("sh", "cd docs"), "this has no effect: each command runs in a shell of its own"),
        (fence("console", "true"), "a console block begins with a command, behind a dollar sign and a blank"),
        (
            fence("python", "1", "skip"),
            "'skip' is no word of a test comment: file=NAME, background, continue, drawing, once, output",
        ),
        ("<!-- test: output -->\n\ntext\n", "no code block follows this comment"),
        ("<!-- test: output -->\n", "no code block follows this comment"),
        (
            "<!-- test: file=x.py\n-->\n```python\n```\n",
            "a test comment has a line of its own and ends on it",
        ),
    ],
)
def test_nothing_is_left_out(tmp_path: Path, text: str, sentence: str) -> None:
    assert problem(tmp_path, text).sentence.startswith(sentence)

"""examples/demo.py: shows what it promises, over any folder, and ends well."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo.py"


def demo(*folders: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo, its output on a pipe."""
    return subprocess.run(
        [sys.executable, DEMO, *folders],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "80"},
        check=False,
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo shows of three small documents."""
    folder = tmp_path_factory.mktemp("texts")
    for name, text in {
        "alice.txt": "Alice was beginning to get tired of sitting by her sister, when a rabbit came by.",
        "hatter.md": "# The hatter\n\nHave some wine, said the hare. There was no wine, when Alice looked.",
        "queen.txt": "The Queen had only one way of settling difficulties, when any came up.",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    done = demo(folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.smoke
def test_documents_are_indexed_served_and_the_server_stopped(shown: str) -> None:
    assert re.search(r"indexed 3 documents, \d{3} bytes in \d+\.\d\d s", shown)
    assert re.search(r"listening at 127\.0\.0\.1:\d+;", shown)
    assert re.search(r"the server was told to stop, and did in \d+ ms, with status 0\n\Z", shown)


def test_answers_have_highlighted_snippets(shown: str) -> None:
    answers = re.findall(r"^  (\w+)\?  (\d) found in \d+\.\d ms$", shown, re.MULTILINE)
    assert len(answers) == 2  # a rare word and a frequent one; the third question has two words
    assert sorted(int(total) for _, total in answers) == [1, 3]
    assert all(re.search(f"«{word}»", shown, re.IGNORECASE) for word, _ in answers)


def test_three_clients_ask(shown: str) -> None:
    assert re.search(r"\d+ searches, 0 of them refused as too slow", shown)
    assert re.search(r"64 searches found \d+ documents: [\d,]+ searches a second", shown)
    assert re.search(r"6,400 pings, .*: [\d,]+ a second", shown)
    assert "a socket, json and struct" in shown


def test_frames_are_shown_as_they_stand_on_the_wire(shown: str) -> None:
    table = shown[shown.index("What went over the wire: classic") : shown.index("Figures")]
    assert re.findall("^ ([→←])", table, re.MULTILINE) == ["→", "←", "→", "←", "←", "→", "←"]
    frames = [re.sub(r"\s*\n\s*", "", frame) for frame in re.findall(r"\n   00 [0-9a-f]{2} (\{[^}]*\})", table)]
    lengths = [int(length, 16) for length in re.findall(r"\n   00 ([0-9a-f]{2}) \{", table)]
    # The classic client's json puts a space after each comma; one of them stands where its line was cut.
    assert [len(frame) for frame in frames[1:]] == lengths[1:]
    assert '"id"' not in frames[0] + frames[1]
    assert '"max-open":128' in frames[3]
    assert '"action":"search"' in frames[5]
    assert all(frame.endswith(f'"id":{number}}}') for frame, number in zip(frames[2:], (1, 1, 1, 2, 2), strict=True))


def test_figures_are_summed_up(shown: str) -> None:
    figures = shown[shown.index("Figures") :]
    assert re.search(r"indexing +3 documents, .* s", figures)
    assert re.search(r"one search at a time +p50 \d+\.\d ms, p99 \d+\.\d ms", figures)
    assert re.search(r"64 searches at once +[\d,]+ a second", figures)


def test_it_fits_a_terminal_of_100_columns(shown: str) -> None:
    assert max(map(len, shown.splitlines())) <= 100


def test_without_a_folder_the_documentation_and_the_standard_library_are_searched() -> None:
    done = demo()
    assert done.returncode == 0
    assert all(line.startswith("indexing: ") for line in done.stderr.splitlines())  # where that takes a while
    assert "letterhead/README.md" in done.stdout
    assert re.search(r"  python3\.\d+/", done.stdout)
    assert " 0 found" not in done.stdout


@pytest.mark.parametrize(("name", "says"), [("nowhere", "does not exist"), ("empty", "there are no words to ask for")])
def test_a_folder_with_nothing_to_ask_for_is_told(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "empty").mkdir()
    done = demo(tmp_path / name)
    assert done.returncode == 1
    assert re.fullmatch(rf"[^\n]*{says}[^\n]*\n", done.stderr)

"""check_links.py: passes on the tree, and finds each fault that is planted in a small one."""

from pathlib import Path

import pytest

from scripts import check_links

ROOT = Path(__file__).resolve().parents[2]


OTHER = """
# One: *two* & `three_four`

Under
=====

## Twice
## Twice

<a id="named"></a>
"""


def problems(root: Path, text: str, name: str = "page.md") -> list[str]:
    """The problems of a tree with docs/other.md, src/code.py and the file `name` with this text."""
    for inner, content in {
        "docs/other.md": OTHER,
        "src/code.py": "",
        name: text,
    }.items():
        (root / inner).parent.mkdir(parents=True, exist_ok=True)
        (root / inner).write_text(content, encoding="utf-8")
    return list(check_links.check(root))


def test_the_tree_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_links.main([str(ROOT)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "[file](src/code.py), [folder](src), [slash](src/), [self](page.md), ![image](src/code.py)",
        "[root](/docs/other.md) and [with title](docs/other.md 'Title') and [pointed](<docs/other.md>)",
        "[a](docs/other.md#one-two--three_four) [b](docs/other.md#under)",
        "[c](docs/other.md#twice) [d](docs/other.md#twice-1) [e](docs/other.md#named)",
        "# Größe, gemessen\n[here](#größe-gemessen)",
        "[far](https://example.org/none) <mailto:nobody@example.org> [mail](mailto:nobody@example.org)",
        "[text][label] and [Label][]\n\n[LABEL]: docs/other.md",
        "`[code](none.md)` and ``[code`](none.md)``",
        "```\n[code](none.md)\n# no heading\n```",
        "<!-- [comment](none.md)\n[comment](none.md) -->",
        "# [A link](docs/other.md) in a heading\n[to it](#a-link-in-a-heading)",
    ],
)
def test_sound_links_have_no_problem(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](none.md)", "page.md:1: none.md leads to no file"),
        ("\n![a](docs/none.png)", "page.md:2: docs/none.png leads to no file"),
        ("[a](SRC/code.py)", "page.md:1: SRC/code.py leads to no file"),
        ("[a](docs/other.md#none)", "page.md:1: docs/other.md#none leads to no heading of docs/other.md"),
        (
            "[a](docs/other.md#twice-2)",
            "page.md:1: docs/other.md#twice-2 leads to no heading of docs/other.md",
        ),
        ("# Title\n[a](#titel)", "page.md:2: #titel leads to no heading of page.md"),
        ("```\n# Code\n```\n[a](#code)", "page.md:4: #code leads to no heading of page.md"),
        ("[a](../elsewhere.md)", "page.md:1: ../elsewhere.md leads out of the repository"),
        ("[a][b]", "page.md:1: [b] has no definition in this file"),
        ("[a]\n\n[a]: none.md", "page.md:3: none.md leads to no file"),
        ("[a]()", "page.md:1: a link without a target"),
        ('<img src="none.png">', "page.md:1: none.png leads to no file"),
        ("````\n```\n````\n[a](none.md)", "page.md:4: none.md leads to no file"),
        ("<!-- x --> [a](none.md)", "page.md:1: none.md leads to no file"),
    ],
)
def test_each_fault_is_found(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, text) == [expected]


def test_every_folder_is_looked_at_but_for_hidden_and_built_ones(tmp_path: Path) -> None:
    for folder in ("docs/deep", ".venv/lib", "build"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "page.md").write_text("[a](none.md)", encoding="utf-8")
    assert list(check_links.check(tmp_path)) == ["docs/deep/page.md:1: none.md leads to no file"]


def test_problems_are_printed_and_exit_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = problems(tmp_path, "[a](none.md)\n[b](#c)")
    assert check_links.main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == expected
    assert len(expected) == 2

"""What documents are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterhead.search.titles import one_line, title


def test_a_source_file_is_called_by_its_name() -> None:
    assert title("selectors.py", "# Selectors\nimport io\n") == "selectors.py"


@pytest.mark.parametrize(
    "text",
    [
        "# The guide\n\ntext",
        "text before\n\n## The guide ##\n",
        "The guide\n=========\n",
        "\ntext\n\nThe guide\n---\n",
        "---\ntitle: front matter\n---\n# The guide",
        "```sh\n# not this\n```\n# The guide",
        "~~~~\n# nor this\n~~~\n# nor this\n~~~~\n# The guide",
        '<h1 align="center">\n\n# The <em>guide</em>\n',
        "- item\n---\n# The guide",
        "a paragraph\nof two lines\n---\n# The guide",
        "# [The guide](https://example.org) ![build](badge.svg)",
        "# **The** `guide`",
        "#\n# The guide",
        "#!/bin/sh\n# The guide",
    ],
)
def test_markdown_is_called_by_its_first_heading(text: str) -> None:
    assert title("README.md", text) == "The guide"


@pytest.mark.parametrize(
    "text",
    [
        "The guide\n=========\n\ntext\n",
        "=========\nThe guide\n=========\n",
        "===========\n The guide\n===========\n",
        ".. _guide:\n\nThe guide\n---------\n",
        "A paragraph.\n\n----\n\nThe guide\n~~~~~~~~~\n",
        "The **guide**\n*************\n",
    ],
)
def test_restructuredtext_is_called_by_its_first_heading(text: str) -> None:
    assert title("guide.rst", text) == "The guide"


def test_a_role_in_a_heading_is_shown_as_its_text() -> None:
    heading = ":mod:`!asyncio` --- Asynchronous I/O\n====================================\n"
    assert title("asyncio.rst", heading) == "asyncio --- Asynchronous I/O"


@pytest.mark.parametrize("text", ["", "only text\n", "#hashtag\n", "    # code\n", "#\n", "# <br>\n", "| a |\n---\n"])
def test_markdown_without_a_heading_is_called_by_its_name(text: str) -> None:
    assert title("notes.md", text) == "notes.md"


@pytest.mark.parametrize("text", ["", "only text\n", "text\n::\n", "   indented\n===========\n", "====\n====\n"])
def test_restructuredtext_without_a_heading_is_called_by_its_name(text: str) -> None:
    assert title("notes.rst", text) == "notes.rst"


def test_a_long_heading_is_cut() -> None:
    assert title("a.md", "# " + "word " * 90) == ("word " * 40)[:199] + "…"


def test_a_title_is_one_line_without_control_characters() -> None:
    assert title("a\n\x1b[31mb\x00.py", "") == "a [31mb .py"


def test_a_name_of_white_space_is_no_title() -> None:
    assert title("\n", "") == "untitled"


def test_one_line_folds_white_space() -> None:
    assert one_line(" a\t \r\n b\x0c") == "a b"


@given(st.sampled_from(["a.md", "a.rst"]), st.text(st.sampled_from("ab #=-`~*:<>[]()!_.|\n\t'\x00é")))
def test_every_text_has_a_title_of_one_line(name: str, text: str) -> None:
    found = title(name, text)
    assert found
    assert found == one_line(found)

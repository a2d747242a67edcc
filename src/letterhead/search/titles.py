"""Titles of documents: the first heading of a Markdown or reStructuredText file, else the file's name.

Pages and PDF bring titles of their own: ``fitting`` makes those fit.

Headings are read well enough for what people write, without a parser for either language. Files and databases are not
known here.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

_MAX_TITLE = 200
# For names of white space alone.
_UNTITLED = "untitled"
_LOOKED_AT = 64 << 10
# No heading is longer; the expressions below may take quadratic time on longer ones.
_MAX_LINE = 500
_MARKDOWN = (".md", ".markdown", ".mkd")
_RESTRUCTURED = (".rst", ".rest", ".rst.txt")

BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
"""White space and control characters: what becomes one space where a text is shown on one line."""
_FENCE = re.compile(r" {0,3}(```+|~~~+)")
_HASHES = re.compile(r" {0,3}#{1,6}(?=\s|$)")
_CLOSING_HASHES = re.compile(r"(?:^|\s)#+$")
_MARKDOWN_RULE = re.compile(r" {0,3}(?:=+|-+)\s*$")
_NO_PARAGRAPH = re.compile(r"\t| {4}|\s*(?:[>|]|[-+*]\s|\d+[.)]\s|[-=*_]{3,}\s*$)")
_RULE = re.compile(r"([!-/:-@\[-`{-~])\1*\s*$")
_DIRECTIVE = re.compile(r"\.\.(?:\s|$)|:[\w -]+:(?:\s|$)")

_INLINE_MARKDOWN = (
    (re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>"), ""),
    (re.compile(r"!\[([^\[\]]*)\]\([^()]*\)"), ""),
    (re.compile(r"\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])"), r"\1"),
    (re.compile(r"(\*\*|__|`+)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
)
_INLINE_RESTRUCTURED = (
    (re.compile(r"(?::[\w.+-]+)*:?`[~!]?([^`<>]+?)(?:\s*<[^`<>]*>)?`_{0,2}"), r"\1"),
    (re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*"), r"\1"),
)


def title(name: str, text: str) -> str:
    """The title of the document in a file called ``name``: one line of 1 to 200 characters."""
    lower = name.lower()
    found = ""
    if lower.endswith(_MARKDOWN):
        found = _markdown(text[:_LOOKED_AT].splitlines())
    elif lower.endswith(_RESTRUCTURED):
        found = _restructured(text[:_LOOKED_AT].splitlines())
    return fitting(found, name)


def fitting(found: str, name: str) -> str:
    """``found``, which is one line, as a title of at most 200 characters; where it is empty, the name of the file."""
    found = found or one_line(name) or _UNTITLED
    return found if len(found) <= _MAX_TITLE else found[: _MAX_TITLE - 1] + "…"


def one_line(text: str) -> str:
    """``text`` with each run of white space and control characters folded to one space, none at the ends."""
    return BLANK.sub(" ", text).strip()


def _markdown(lines: list[str]) -> str:
    before = paragraph = ""
    for line in _outside_blocks(lines):
        heading = ""
        if hashes := _HASHES.match(line):
            heading = _CLOSING_HASHES.sub("", line[hashes.end() :].strip())
        elif paragraph and _MARKDOWN_RULE.match(line):
            heading = paragraph
        if found := _plain(heading, _INLINE_MARKDOWN):
            return found
        # What a rule turns into a heading is a paragraph of one line; a longer one is rarely meant as one.
        paragraph = "" if hashes or before or _NO_PARAGRAPH.match(line) else line.strip()
        before = line.strip()
    return ""


def _outside_blocks(lines: list[str]) -> Iterator[str]:
    """The lines that are neither front matter nor in a fenced block of code."""
    start = 0
    if lines and lines[0].rstrip() in ("---", "+++"):
        ends = (number for number, line in enumerate(lines[1:], 2) if line.rstrip() == lines[0].rstrip())
        start = next(ends, 0)
    fence = ""
    for line in lines[start:]:
        mark = _FENCE.match(line)
        if fence:
            closes = mark and mark[1].startswith(fence) and not line[mark.end() :].strip()
            fence = "" if closes else fence
        elif mark:
            fence = mark[1]
        elif len(line) <= _MAX_LINE:
            yield line


def _restructured(lines: list[str]) -> str:
    over = ""
    for heading, under in pairwise(lines):
        if found := _ruled_heading(over, heading, under):
            return found
        over = heading
    return ""


def _ruled_heading(over: str, heading: str, under: str) -> str:
    """The second of three lines, if it is a heading: ruled below, and indented only if ruled above too."""
    words = heading.strip()
    if not words or len(heading) > _MAX_LINE or (heading[0].isspace() and over != under):
        return ""
    # A rule shorter than the heading is a mistake that is let pass, unless it is too short to be a rule at all.
    if not _RULE.match(under) or len(under.rstrip()) < min(len(words), 4):
        return ""
    return "" if _RULE.match(heading) or _DIRECTIVE.match(heading) else _plain(words, _INLINE_RESTRUCTURED)


def _plain(heading: str, inline: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    for pattern, replacement in inline:
        heading = pattern.sub(replacement, heading)
    return one_line(heading)

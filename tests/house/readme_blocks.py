"""The code blocks of a Markdown text, and the commands in them. What may stand in one: the docstring of
readme.py.

Reads text and runs nothing. A block that the runner would not see is a `Problem` here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*([^`]*)$")
_HIDDEN_FENCE = re.compile(r"^\s*(?:>\s*|[-*+]\s+|\d+[.)]\s+)+(?:```|~~~)|<pre\b", re.IGNORECASE)
_COMMENT = re.compile(r"^\s*<!--\s*test:\s*(.*?)\s*-->\s*$")
_LIST_ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s")
_WORDS = ("background", "continue", "drawing", "once", "output")


class Problem(Exception):
    """A block that cannot be run as it stands, or did not do what the text says.

    `line` counts from 1; `printed` is what its command wrote.
    """

    def __init__(self, line: int, sentence: str, printed: str = "") -> None:
        super().__init__(sentence)
        self.line = line
        self.sentence = sentence
        self.printed = printed


@dataclass
class Block:
    """One code block: its language, the line of its fence, its text and what the comment before it says."""

    language: str
    line: int
    text: str
    file: str = ""
    words: set[str] = field(default_factory=set)


class Command(NamedTuple):
    """One command of a shell block; `shown` is the output that the text gives for it, None without one."""

    line: int
    text: str
    shown: str | None


def blocks(text: str) -> list[Block]:
    """All code blocks, in order. Raises `Problem` for one that would be overlooked or is ill described."""
    found: list[Block] = []
    comment: tuple[int, str] | None = None
    lines = iter(enumerate(text.splitlines(), 1))
    previous = ""
    in_list = False
    for number, line in lines:
        if fence := _FENCE.match(line):
            block = Block(fence[3].partition(" ")[0].strip().lower(), number, _body(lines, fence, number))
            if comment:
                _describe(block, *comment)
            found.append(block)
            comment = None
            previous = ""
            continue
        if comment and line.strip():
            break
        if words := _COMMENT.match(line):
            comment = (number, words[1])
        elif "<!-- test:" in line:
            raise Problem(number, "a test comment has a line of its own and ends on it")
        elif _HIDDEN_FENCE.search(line):
            raise Problem(number, "a code block here would not be run: begin its fence on a line of its own")
        elif _LIST_ITEM.match(line):
            in_list = True
        elif line.strip() and not line.startswith((" ", "\t")):
            in_list = False
        elif line.startswith(("    ", "\t")) and line.strip() and not previous.strip() and not in_list:
            raise Problem(number, "an indented block names no language: write it between fences")
        previous = line
    if comment:
        raise Problem(comment[0], "no code block follows this comment")
    return found


def _body(lines: Iterator[tuple[int, str]], fence: re.Match[str], number: int) -> str:
    indent, mark = fence[1], fence[2]
    body: list[str] = []
    for _, line in lines:
        if line.strip().startswith(mark) and not line.strip().strip(mark[0]):
            return "\n".join([*body, ""])
        body.append(line.removeprefix(indent))
    raise Problem(number, "this block is never closed")


def _describe(block: Block, line: int, words: str) -> None:
    for word in words.split():
        if word.startswith("file="):
            block.file = word.removeprefix("file=")
        elif word in _WORDS:
            block.words.add(word)
        else:
            raise Problem(line, f"{word!r} is no word of a test comment: file=NAME, {', '.join(_WORDS)}")


def join_continued(found: list[Block]) -> list[Block]:
    """The blocks, with those that continue another one made part of it, on lines that keep their distance."""
    joined: list[Block] = []
    for block in found:
        if "continue" not in block.words:
            joined.append(block)
            continue
        before = joined[-1] if joined else None
        if before is None or before.language != "python" or block.language != "python" or block.file:
            raise Problem(block.line, "only a python block continues, and only a python block before it")
        before.words |= block.words - {"continue"}
        before.text += "\n" * (block.line - before.line - before.text.count("\n")) + block.text
    return joined


def commands(block: Block) -> list[Command]:
    """The commands of a shell block; one that ends a line with a backslash goes on in the next."""
    return _from_console(block) if block.language == "console" else _from_script(block)


def _from_console(block: Block) -> list[Command]:
    """Commands stand behind `$ `, their further lines behind `> `; any other line is output of a command."""
    found: list[Command] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            found.append(Command(number, line[2:], None))
        elif not found:
            raise Problem(number, "a console block begins with a command, behind a dollar sign and a blank")
        elif found[-1].text.endswith("\\"):
            found[-1] = found[-1]._replace(text=found[-1].text[:-1] + line.removeprefix("> ").strip())
        else:
            shown = found[-1].shown
            found[-1] = found[-1]._replace(shown=line if shown is None else f"{shown}\n{line}")
    return _whole(block, found)


def _from_script(block: Block) -> list[Command]:
    """Each line is a command; empty lines and comments are none."""
    found: list[Command] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if found and found[-1].text.endswith("\\"):
            found[-1] = found[-1]._replace(text=found[-1].text[:-1] + line.strip())
        elif line.strip() and not line.lstrip().startswith("#"):
            found.append(Command(number, line.strip(), None))
    return _whole(block, found)


def _whole(block: Block, found: list[Command]) -> list[Command]:
    if not found or found[-1].text.endswith("\\"):
        raise Problem(block.line, "this block ends within a command" if found else "this block has no command")
    return found


def matches(shown: str, printed: str) -> bool:
    """True if `printed` is what is `shown`; `...` stands for anything, blanks at line ends do not count."""
    pattern = ".*?".join(re.escape(part) for part in _trimmed(shown).split("..."))
    return re.fullmatch(pattern, _trimmed(printed), re.DOTALL) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())

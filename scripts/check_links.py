"""Checks the links of all Markdown files: `check_links.py [FOLDER]` (default: the repository).

A relative link names a file or folder that stands inside FOLDER, spelled exactly so; `#anchor` names a
heading of its file, by the rule of GitHub's renderer, or an `id` or `name` attribute there; `[text][label]`
has a definition. Links with a scheme (`https:`) are not followed. What stands in code is no link.

Each problem is one line, `file:line: sentence`; the exit code is 1 if there is one.
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

# Folders that hold no text of the project: hidden ones, environments, and what was built.
_SKIPPED = re.compile(r"^(\..*|build|dist|node_modules|__pycache__)$")

_FENCE = re.compile(r"^\s*(?:>\s*)*(?:[-*+]\s+)?(`{3,}|~{3,})")
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_COMMENT = re.compile(r"<!--.*?-->")
_HEADING = re.compile(r"^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-+)\s*$")
_INLINE = re.compile(r"\]\(\s*(?:<([^<>]*)>|([^\s()]*(?:\([^\s()]*\)[^\s()]*)*))(?:\s+(?:\"[^\"]*\"|'[^']*'))?\s*\)")
_DEFINITION = re.compile(r"^ {0,3}\[([^\]^][^\]]*)\]:\s*(?:<([^<>]*)>|(\S+))")
_REFERENCE = re.compile(r"\[([^\[\]]+)\]\[([^\[\]]*)\]")
_ATTRIBUTE = re.compile(r"<(?:a|img|source)\s[^>]*?(?:href|src)\s*=\s*[\"']([^\"']*)[\"']", re.IGNORECASE)
_NAMED = re.compile(r"<\w+\s[^>]*?(?:id|name)\s*=\s*[\"']([^\"']+)[\"']", re.IGNORECASE)
_LINK_TEXT = re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:|^//")


class Line(NamedTuple):
    """A line of Markdown outside of code blocks and comments; in `prose` code spans are blanked too."""

    number: int
    text: str
    prose: str


def markdown_files(root: Path) -> Iterator[Path]:
    """All *.md files under `root`, in order."""
    for path in sorted(root.iterdir()):
        if path.is_dir() and not path.is_symlink() and not _SKIPPED.match(path.name):
            yield from markdown_files(path)
        elif path.suffix == ".md" and path.is_file():
            yield path


def check(root: Path) -> Iterator[str]:
    """The problems of all Markdown files under `root`, one line each."""
    root = root.resolve()
    for path in markdown_files(root):
        shown = path.relative_to(root).as_posix()
        for number, sentence in _check_file(path, root):
            yield f"{shown}:{number}: {sentence}"


def _check_file(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    lines = _lines(path)
    labels = {_label(found[1]) for line in lines if (found := _DEFINITION.match(line.text))}
    for line in lines:
        if found := _DEFINITION.match(line.text):
            targets = [found[2] or found[3]]
        else:
            targets = [found[1] or found[2] or "" for found in _INLINE.finditer(line.prose)]
            for found in _REFERENCE.finditer(line.prose):
                if _label(found[2] or found[1]) not in labels:
                    yield line.number, f"[{found[2] or found[1]}] has no definition in this file"
        targets += _ATTRIBUTE.findall(line.prose)
        for target in targets:
            if not _SCHEME.match(target) and (sentence := _problem(target, path, root)):
                yield line.number, sentence


def _label(text: str) -> str:
    return " ".join(text.casefold().split())


def _problem(target: str, path: Path, root: Path) -> str | None:
    """What is wrong with a link without a scheme, or None."""
    name, _, anchor = unquote(target).partition("#")
    if not name and not anchor:
        return "a link without a target"
    base = root if name.startswith("/") else path.parent
    aimed = (base / name.lstrip("/")).resolve() if name else path
    if not aimed.is_relative_to(root):
        return f"{target} leads out of the repository"
    if not _stands(aimed, root):
        return f"{target} leads to no file"
    if anchor and aimed.suffix == ".md" and anchor not in anchors(aimed):
        return f"{target} leads to no heading of {aimed.relative_to(root).as_posix()}"
    return None


def _stands(path: Path, root: Path) -> bool:
    """True if `path` exists with exactly this spelling; some file systems take any case."""
    while path != root:
        if path.name not in _names(path.parent):
            return False
        path = path.parent
    return True


@cache
def _names(folder: Path) -> frozenset[str]:
    return frozenset(path.name for path in folder.iterdir()) if folder.is_dir() else frozenset()


@cache
def anchors(path: Path) -> frozenset[str]:
    """Every anchor that a link to the Markdown file `path` may name."""
    found: set[str] = set()
    count: dict[str, int] = {}
    previous = ""
    for line in _lines(path):
        found.update(_NAMED.findall(line.prose))
        title = None
        if heading := _HEADING.match(line.text):
            title = heading[2]
        elif _UNDERLINE.match(line.text) and previous.strip():
            title = previous
        previous = "" if title is not None else line.text
        if title is None:
            continue
        slug = _slug(title)
        again = count.get(slug, 0)
        count[slug] = again + 1
        found.add(f"{slug}-{again}" if again else slug)
    return frozenset(found)


def _slug(title: str) -> str:
    """The anchor of a heading: lower case, without markup and punctuation, blanks as hyphens."""
    title = _LINK_TEXT.sub(r"\1", title.strip())
    title = re.sub(r"<[^<>]+>", "", title)
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@cache
def _lines(path: Path) -> tuple[Line, ...]:
    """The lines outside of code blocks and comments."""
    result: list[Line] = []
    fence = ""
    commented = False
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        mark = _FENCE.match(text)
        if fence:
            if mark and mark[1].startswith(fence) and not text.strip(" \t>").strip(fence[0]):
                fence = ""
            continue
        if commented:
            _, end, text = text.partition("-->")
            commented = not end
            if commented:
                continue
        elif mark:
            fence = mark[1]
            continue
        text = _COMMENT.sub("", text)
        text, opened, _ = text.partition("<!--")
        commented = bool(opened)
        result.append(Line(number, text, _CODE.sub("", text)))
    return tuple(result)


def main(arguments: list[str]) -> int:
    """Print the problems; the exit code."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    problems = list(check(root))
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

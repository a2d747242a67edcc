"""The title of an HTML or XHTML page, and the text that its readers see.

* Scripts, styles, templates, comments and markup are left out; what they hide from readers is not found by a search.
* Blocks begin lines; paragraphs, headings, lists and tables stand apart by an empty line. White space is folded to
  one space, but not in ``<pre>``. An image is its ``alt`` text.
* The title is ``<title>``, else the first heading that is not empty, else none.
* Where markup is broken, this reads on as browsers do; what would be open until the end of the file hides the rest.

The work is linear in the input, whatever stands in it, for any file may call itself a page. Each search either finds
its end, and goes on behind it, or ends the page. (The standard library's ``html.parser`` is not: 256 KiB of ``<a ``
or ``<!--`` keep it busy for more than 8 s on Python 3.11.2 to 3.13.0.) No tree is built, so nothing nests too deeply.

Files and encodings are not known here.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from html import unescape

from letterhead.search.titles import one_line

_LOOKED_AT = 4 << 10
# Most texts begin with something else, and this is asked of every one.
_BEGINNINGS = frozenset("< \t\r\n\f\ufeff")
# What may stand before the first tag; each alternative begins differently, so that none is tried twice.
_BEFORE = re.compile(r"(?:[\s\ufeff]+|<\?(?:[^?]|\?(?!>))*\?>|<!--(?:[^-]|-(?!->))*-->)")
_FIRST_TAG = re.compile(r"<(?:!doctype\s+html|html|head)[\s/>]", re.IGNORECASE)
_ANY_TAG = re.compile(r"<!?[a-z]", re.IGNORECASE)
_NAMES = (".html", ".htm", ".xhtml")

# `<` before anything else is text.
_MARKUP = re.compile(r"<(?:(/?)([a-zA-Z][^\s/>]*)(>?)|!--|!\[CDATA\[|[!?/])")
_COMMENT_END = re.compile(r"--!?>")
# The end of a tag: the first `>` that is not in a quoted value. A quote that nothing closes ends the page.
_TAG_STEP = re.compile(r""">|=\s*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z))""")
_ALT = re.compile(r"""[\s"'/]alt\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
# Numbers of more digits are no characters, and Python takes quadratic time to read them.
_CHARACTER = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});?")

_RAW = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in ("script", "style", "iframe", "noembed", "noframes", "xmp", "textarea", "title")
}
_SHOWN_RAW = frozenset({"textarea", "xmp"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_APART = _HEADINGS | {"p", "pre", "ul", "ol", "dl", "table", "blockquote", "figure", "article", "section", "hr"}
# fmt: off
_LINES = _APART | {
    "address", "aside", "body", "br", "caption", "center", "dd", "details", "dialog", "dir", "div", "dt",
    "fieldset", "figcaption", "footer", "form", "frameset", "head", "header", "hgroup", "html", "legend", "li",
    "listing", "main", "menu", "nav", "optgroup", "option", "search", "select", "summary", "tbody", "tfoot",
    "thead", "title", "tr",
}
# fmt: on
_CELLS = frozenset({"td", "th"})


def is_html(name: str, text: str) -> bool:
    """Whether a text is a page: its first tag says so, or any first tag in a file that is called ``.html``."""
    if text[:1] not in _BEGINNINGS:
        return False
    start = 0
    while found := _BEFORE.match(text, start, _LOOKED_AT):
        start = found.end()
    if _FIRST_TAG.match(text, start):
        return True
    return name.lower().endswith(_NAMES) and _ANY_TAG.match(text, start) is not None


def to_text(page: str) -> tuple[str, str]:
    """The title of a page, on one line (``""`` if it has none), and its text."""
    reader = _Reader(page)
    reader.run()
    lines = reader.lines
    return reader.title or reader.heading, "\n".join(lines) + "\n" if lines else ""


@dataclass(slots=True)
class _Reader:
    page: str
    title: str = ""
    heading: str = ""
    lines: list[str] = field(default_factory=list)
    _line: list[str] = field(default_factory=list)
    _apart: bool = False
    _preformatted: int = 0
    _templates: int = 0
    _in_heading: bool = False

    def run(self) -> None:
        position = 0
        while position >= 0:
            found = _MARKUP.search(self.page, position)
            if found is None:
                self._text(self.page[position:])
                break
            if found.start() > position:
                self._text(self.page[position : found.start()])
            position = self._tag(found) if found[2] else self._declaration(found)
        self._break()

    def _declaration(self, found: re.Match[str]) -> int:
        """Passes over a comment or the like; where it ends, or -1."""
        if found[0] == "<!--":
            # `<!-->` is a comment, too: its end may begin where it does.
            end = _COMMENT_END.search(self.page, found.start() + 2)
            return end.end() if end else -1
        if found[0] == "<![CDATA[":
            close = self.page.find("]]>", found.end())
            if close >= 0:
                self._add(self.page[found.end() : close])
                return close + 3
            return -1
        close = self.page.find(">", found.end())
        return close + 1 if close >= 0 else -1

    def _tag(self, found: re.Match[str]) -> int:
        """Reads a tag, with its content where that is no markup; where it ends, or -1."""
        # Most tags have no attributes.
        end = found.end() if found[3] else self._end_of_tag(found.end())
        if end < 0:
            return end
        name = found[2].lower()
        if found[1]:
            self._close(name)
        elif name in _RAW:
            # `<script src="…"/>` is whole in XHTML; in HTML nothing but its end would stand in it.
            return end if self.page[end - 2] == "/" else self._raw(name, end)
        else:
            self._open(name, self.page[found.end() : end] if name in ("img", "area") else "")
        return end

    def _end_of_tag(self, start: int) -> int:
        step = _TAG_STEP.search(self.page, start)
        while step is not None and step[0] != ">":
            step = _TAG_STEP.search(self.page, step.end())
        return -1 if step is None else step.end()

    def _open(self, name: str, attributes: str) -> None:
        if name in _LINES:
            self._break(apart=name in _APART)
            if name == "pre":
                self._preformatted += 1
            elif name in _HEADINGS:
                self._in_heading = True
        elif name in _CELLS:
            self._add("\t" if self._preformatted else " ")
        elif name == "template":
            self._templates += 1
        elif alt := _ALT.search(attributes):
            self._text(f" {alt[1] or alt[2] or alt[3] or ''} ")

    def _close(self, name: str) -> None:
        if name in _LINES:
            self._break(apart=name in _APART)
            if name == "pre":
                self._preformatted = max(0, self._preformatted - 1)
            elif name in _HEADINGS:
                self._in_heading = False
        elif name in _CELLS:
            self._add(" ")
        elif name == "template":
            self._templates = max(0, self._templates - 1)

    def _raw(self, name: str, start: int) -> int:
        """Reads an element in which nothing but its own end is markup; where that begins, or -1."""
        end = _RAW[name].search(self.page, start)
        content = self.page[start : end.start() if end else len(self.page)]
        if name == "title" and not self.title:
            # The first one: others belong to pictures.
            self.title = one_line(_characters(content))
        elif name in _SHOWN_RAW:
            self._break()
            self._text(content)
            self._break()
        # The end itself is read as any other tag.
        return end.start() if end else -1

    def _text(self, source: str) -> None:
        self._add(_characters(source))

    def _add(self, text: str) -> None:
        if not self._templates:
            self._line.append(text)

    def _break(self, apart: bool = False) -> None:
        """Ends the line; ``apart``: with an empty one between it and the next."""
        if self._line:
            text = "".join(self._line)
            self._line.clear()
            lines = text.strip("\n").splitlines() if self._preformatted else [" ".join(text.split())]
            if any(lines):
                if self._apart and self.lines:
                    self.lines.append("")
                self._apart = False
                self.lines.extend(line.rstrip() for line in lines)
                if self._in_heading and not self.heading:
                    # Many tools end headings with a link to themselves that is such a sign.
                    self.heading = one_line(text).rstrip("¶# ")
        self._apart = self._apart or apart


def _characters(text: str) -> str:
    """``text`` with its character references replaced."""
    return _CHARACTER.sub(lambda found: _character(found[0]), text) if "&" in text else text


@lru_cache(maxsize=512)
def _character(reference: str) -> str:
    return unescape(reference)

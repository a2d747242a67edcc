"""The text of a file's bytes: which encoding they are in, and whether they are text at all.

The first of these that holds decides:

1. A byte-order mark: UTF-8, UTF-16 or UTF-32.
2. It decodes strictly as UTF-8: nothing else looks like UTF-8 by chance, whatever the file says of itself.
3. It is UTF-16 or UTF-32 without a mark: a script's letters where both should stand, zeros in the rest.
4. It holds control characters that no text has: binary.
5. It names its encoding near its beginning, as XML, HTML, Python, Emacs and gettext do, and decodes strictly in it.
6. It is UTF-8 with a few faults: those are shown as U+FFFD, the rest is right.
7. It looks like a language in one of the older encodings (``legacy.py``).
8. It decodes as Windows-1252, the superset of Latin-1 that most older texts in Western languages are in.

Everything else is binary. A name in a file is looked up in a fixed list and never reaches Python's codec search.
A text never holds NUL. Files are not known here, nor what a text means.
"""

import codecs
import re

from letterhead.content.text import codec_for
from letterhead.errors import BadContent

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose little-endian mark it begins with.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ANY_MARK = tuple(mark for mark, _ in _BYTE_ORDER_MARKS)
# Backspace to carriage return occur in text, and escape where it has colours for a terminal; the rest do not.
_BINARY_CONTROLS = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f]")
_NO_TEXT = re.compile(r"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffe\uffff]")
_SHARE_LOOKED_AT = 4 << 10

_DECLARED_WITHIN = 4 << 10
_DECLARATION = re.compile(
    rb"(?:(?:coding|charset)\s{0,8}[:=]\s{0,8}[\"']?\s{0,8}|scriptencoding\s{1,8})([a-z][\w.:-]{1,40})", re.IGNORECASE
)
_LINE_ENDS = ("-unix", "-dos", "-mac")
# Names that files use beside those of the list, and the supersets that are meant by names on it, as browsers read them.
_ALIASES = {
    "gb2312": "gbk",
    "x-gbk": "gbk",
    "x-sjis": "shift_jis",
    "windows-31j": "shift_jis",
    "ks-c-5601-1987": "euc-kr",
    "windows-949": "euc-kr",
    "cp949": "euc-kr",
    "x-euc-jp": "euc-jp",
    "big5-hkscs": "big5",
    "x-cp1251": "windows-1251",
}
_SUPERSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_MORE = {"ibm866": "cp866", "cp866": "cp866", "tis-620": "cp874", "windows-874": "cp874", "macintosh": "mac-roman"}

# A text with one fault in so many characters beyond ASCII was UTF-8 before something damaged it.
_FAULTS_AMONG = 8


def decode(data: bytes) -> str | None:
    """The text that ``data`` holds, by the rules of this module; None where it is binary."""
    if data.startswith(_ANY_MARK):
        return next(_without_nul(data, encoding) for mark, encoding in _BYTE_ORDER_MARKS if data.startswith(mark))
    text = _decoded(data, "utf-8")
    if text is None:
        return _not_utf8(data)
    return _wide(data) if "\0" in text else text


def declared(data: bytes) -> str | None:
    """Python's codec for the encoding that ``data`` names near its beginning, or None; never one of UTF."""
    for found in _DECLARATION.finditer(data, 0, _DECLARED_WITHIN):
        name = found[1].decode("ascii").lower().replace("_", "-")
        for ending in _LINE_ENDS:
            name = name.removesuffix(ending)
        if name in _MORE:
            return _MORE[name]
        try:
            codec = codec_for(_ALIASES.get(name, name), "little", b"")
        except BadContent:
            continue
        if not codec.startswith("utf-"):
            return _SUPERSETS.get(codec, codec)
    return None


def _not_utf8(data: bytes) -> str | None:
    if b"\0" in data:
        return _wide(data)
    if _BINARY_CONTROLS.search(data):
        return None
    named = declared(data)
    text = None if named is None else _decoded(data, named)
    if text is not None:
        return text
    mended = data.decode("utf-8", "replace")
    faults = mended.count("\ufffd")
    # What is beyond ASCII takes two bytes or more in UTF-8: so many characters of it there are at least.
    if faults * _FAULTS_AMONG <= (len(data) - len(mended)) // 2:
        return mended
    # Most files never come here, and what this imports takes a moment.
    from letterhead.search import legacy

    for encoding in (legacy.encoding(data), "cp1252"):
        text = None if encoding is None else _decoded(data, encoding)
        if text is not None:
            return text
    return None


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a byte-order mark, where it is clear."""
    candidates = []
    if len(data) % 4 == 0:
        # Of four bytes the highest is always zero: no other data decodes by chance.
        candidates += ["utf-32-le", "utf-32-be"]
    head = data[:_SHARE_LOOKED_AT]
    even, odd = head[::2].count(0), head[1::2].count(0)
    # Spaces, line ends and ASCII have one zero, always on the same side. So may a list of words with NUL between them;
    # but those are text without the zeros, and hardly have as many of them.
    words = not _BINARY_CONTROLS.search(head.replace(b"\0", b""))
    if len(data) % 2 == 0 and not (even and odd) and (not words or 8 * (even + odd) >= 3 * len(head)):
        candidates.append("utf-16-be" if even else "utf-16-le")
    for candidate in candidates:
        text = _decoded(data, candidate)
        if text is not None and _reads_like_text(text):
            return text
    return None


def _reads_like_text(text: str) -> bool:
    if _NO_TEXT.search(text):
        return False
    head = text[:_SHARE_LOOKED_AT]
    # Numbers of 16 bits decode to characters from anywhere in Unicode; a text has letters and spaces, nearly always.
    good = sum(letter.isalnum() or letter.isspace() or "!" <= letter <= "~" for letter in head)
    return "".join(head.split()).isprintable() and good >= 0.9 * len(head)


def _without_nul(data: bytes, encoding: str) -> str | None:
    text = _decoded(data, encoding)
    return None if text is None or "\0" in text else text


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None

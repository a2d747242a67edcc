"""What a word is, the same for indexing and for searching.

SQLite's ``unicode61`` tokenizer does the cutting and folding (letters and digits, case and Latin accents
folded). Its words are runs of letters, digits and symbols. Two kinds of characters must not melt into such a run:

* symbols, so that ``Python™`` is found by its name and an emoji by itself;
* Chinese, Japanese and Korean, which are written without spaces: each character is a word of its own, and what is
  typed as a run of them is a phrase. So a word of any length is found wherever it stands.

They get spaces around them before a text is indexed (``spaced``), and what is neither letter, digit nor symbol becomes
a space: icons of private use and characters younger than SQLite's tables would melt into words, too. The same is done
to a query. ``fold`` says in Python what the tokenizer folds, for finding matches in an original text.

Databases and files are not known here.
"""

import re
import sqlite3
import unicodedata
from functools import cache, lru_cache
from itertools import groupby

TOKENIZER = "unicode61 remove_diacritics 2 categories 'L* N* So'"
"""The tokenizer as FTS5's ``tokenize`` option takes it."""

VERSION = f"1, Unicode {unicodedata.unidata_version}, SQLite {sqlite3.sqlite_version}"
"""What words depend on: an index made with another one may hold others."""

MARKS = "\u0300-\u0304\u0306-\u030c\u030f\u0311\u031b\u0323-\u0328\u032d\u032e\u0330\u0331"
"""The combining marks that the tokenizer drops from a word: the inside of a regular expression's ``[…]``."""

UNSPACED = (
    "\u1100-\u11ff\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u3096\u309d-\u309f\u30a1-\u30fa"
    "\u30fc-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97c\uac00-\ud7fb\uf900-\ufaff"
    "\uff66-\uff9f\uffa0-\uffdc\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
"""Han, kana, bopomofo and Hangul, by Unicode's blocks: the inside of a regular expression's ``[…]``."""

# Emoji are named by their range, not by category: Unicode grows faster there than Python's and SQLite's tables do.
_EMOJI = "\U0001f000-\U0001fbff"
# Parts of Hangul syllables, and marks of kana, that may be written apart: macOS names files so.
_IN_PIECES = re.compile("[\u1100-\u11ff\u3099\u309a]")
# Letters and digits as wide as a Han character: they are those of ASCII to everybody but a computer.
_WIDE = {0xFEE0 + code: code for code in (*range(0x30, 0x3A), *range(0x41, 0x5B), *range(0x61, 0x7B))}
_ANY_WIDE = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_SHORT = 3

Word = tuple[str, ...]
"""A word as typed: the tokens that must stand next to each other (``os.path`` is two)."""


def spaced(text: str) -> str:
    """``text`` as it goes to the tokenizer: every symbol and every character of an unspaced script stands alone."""
    return text if text.isascii() else _BEYOND_ASCII.sub(_spaced_run, text)


def composed(text: str) -> str:
    """``text`` with each syllable of Hangul and each letter of kana as one character."""
    return unicodedata.normalize("NFC", text) if not text.isascii() and _IN_PIECES.search(text) else text


def tokens(text: str) -> Word:
    """The tokens of a piece of a query, in their order.

    A token holds nothing but letters, digits, symbols and marks: between quotes it means nothing to FTS5's syntax.
    """
    return tuple(_token().findall(spaced(text)))


def fold(letter: str) -> str:
    """One character without its case, its width and, where an ASCII letter is left, its accent, as indexed."""
    if letter.isascii():
        return letter.lower()
    if ord(letter) in _WIDE:
        return chr(_WIDE[ord(letter)]).lower()
    folded = letter.casefold()
    if len(folded) != 1:
        folded = letter.lower()
    base = unicodedata.normalize("NFD", folded)[0]
    return base if base.isascii() else folded[0]


def spellings(letter: str) -> str:
    """All letters that ``fold`` folds to this one, itself included; of those beyond U+FFFF only its two cases."""
    return _spellings().get(letter, letter + letter.upper() if len(letter.upper()) == 1 else letter)


def prepare() -> None:
    """Make the tables that texts and queries are read by, in some hundredths of a second, before they are needed."""
    _token()
    _lone()
    _apart()
    _spellings()


def stands_alone(token: str) -> bool:
    """Whether a token is a symbol or a character of an unspaced script: it has no word boundaries."""
    return _lone().match(token) is not None


@cache
def lone() -> str:
    """The characters that are words by themselves, as the inside of a regular expression's ``[…]``."""
    return _symbols() + UNSPACED


@cache
def _spellings() -> dict[str, str]:
    found = {letter: letter + letter.upper() for letter in map(chr, range(ord("a"), ord("z") + 1))}
    for letter in map(chr, range(0x80, 0x10000)):
        if letter.isalnum() and (folded := fold(letter)) != letter:
            found[folded] = found.get(folded, folded) + letter
    return found


@cache
def _symbols() -> str:
    # Found out once: 65,000 characters take some milliseconds.
    codes = [code for code in range(0x80, 0x10000) if unicodedata.category(chr(code)) == "So"]
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs) + _EMOJI


@cache
def _lone() -> re.Pattern[str]:
    return re.compile(f"[{lone()}]")


@cache
def _apart() -> re.Pattern[str]:
    # Whole runs: seven times as fast as one character at a time in Chinese.
    return re.compile(rf"([{lone()}]+)|[^\w\x00-\x7f{MARKS}{lone()}]+")


def _with_spaces(run: re.Match[str]) -> str:
    return f" {' '.join(run[1])} " if run[1] else " "


def _spaced_run(run: re.Match[str]) -> str:
    # Most texts hold a few accented letters and quotation marks, again and again.
    return _short(run[0]) if len(run[0]) <= _SHORT else _spaced_beyond_ascii(run[0])


@lru_cache(maxsize=4096)
def _short(run: str) -> str:
    return _spaced_beyond_ascii(run)


def _spaced_beyond_ascii(run: str) -> str:
    run = composed(run)
    if _ANY_WIDE.search(run):
        run = run.translate(_WIDE)
    return _apart().sub(_with_spaces, run)


@cache
def _token() -> re.Pattern[str]:
    return re.compile(rf"[{lone()}]|(?:[^\W_{UNSPACED}][{MARKS}]*+)++")

"""What a word is: the one place that both indexing and asking go by.

SQLite's ``unicode61`` tokenizer does the cutting and folding (letters and digits, case and Latin accents
folded). Its words are runs of letters, digits and symbols, so that an emoji can be asked for; since a run
like ``Python™`` would then be one word, every symbol gets spaces around it before a text is indexed
(``spaced``). The same is done to a query. ``fold`` says in Python what the tokenizer folds, for finding
matches in an original text.

This file knows neither databases nor files.
"""

import re
import unicodedata
from functools import cache
from itertools import groupby

TOKENIZER = "unicode61 remove_diacritics 2 categories 'L* N* So'"
"""The tokenizer as FTS5's ``tokenize`` option takes it."""

MARKS = "\u0300-\u0304\u0306-\u030c\u030f\u0311\u031b\u0323-\u0328\u032d\u032e\u0330\u0331"
"""The combining marks that the tokenizer drops from a word: the inside of a regular expression's ``[…]``."""

# Emoji are named by their range, not by category: Unicode grows faster there than Python's and SQLite's tables do.
_EMOJI = "\U0001f000-\U0001fbff"

Word = tuple[str, ...]
"""A word of a query, as typed: the tokens that must stand next to each other (``os.path`` is two)."""


def spaced(text: str) -> str:
    """``text`` as it goes to the tokenizer: every symbol stands alone."""
    return text if text.isascii() else _symbol().sub(r" \g<0> ", text)


def words(query: str) -> list[Word]:
    """The words of a query, each once, in their order; a part without a letter, digit or symbol is no word.

    A token holds nothing but letters, digits, symbols and marks: between quotes it means nothing to FTS5's syntax.
    """
    found = (tuple(_token().findall(spaced(part))) for part in query.split())
    return list(dict.fromkeys(word for word in found if word))


def fold(letter: str) -> str:
    """One character without its case and, where an ASCII letter is left, its accent, as in the tokenizer."""
    if letter.isascii():
        return letter.lower()
    folded = letter.casefold()
    if len(folded) != 1:
        folded = letter.lower()
    base = unicodedata.normalize("NFD", folded)[0]
    return base if base.isascii() else folded[0]


def spellings(letter: str) -> str:
    """All letters that ``fold`` folds to this one, itself included; of those beyond U+FFFF only its two cases."""
    return _spellings().get(letter, letter + letter.upper() if len(letter.upper()) == 1 else letter)


@cache
def _spellings() -> dict[str, str]:
    found = {letter: letter + letter.upper() for letter in map(chr, range(ord("a"), ord("z") + 1))}
    for letter in map(chr, range(0x80, 0x10000)):
        if letter.isalnum() and (folded := fold(letter)) != letter:
            found[folded] = found.get(folded, folded) + letter
    return found


@cache
def symbols() -> str:
    """All symbols: the inside of a regular expression's ``[…]``."""
    # Found out once, when the first text that needs it comes: 65,000 characters take some milliseconds.
    codes = [code for code in range(0x80, 0x10000) if unicodedata.category(chr(code)) == "So"]
    runs = [[code for _, code in run] for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0])]
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in runs) + _EMOJI


@cache
def _symbol() -> re.Pattern[str]:
    return re.compile(f"[{symbols()}]")


@cache
def _token() -> re.Pattern[str]:
    return re.compile(rf"[{symbols()}]|(?:[^\W_][{MARKS}]*+)++")

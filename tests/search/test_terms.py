"""What a word is, in Python and in SQLite."""

import sqlite3
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterhead.search.terms import TOKENIZER, fold, spaced, words

OLD_LETTERS = [
    letter
    for letter in map(chr, range(0x80, 0x30000))
    if unicodedata.ucd_3_2_0.category(letter)[0] in "LN" and unicodedata.category(letter)[0] in "LN"
]
"""Letters and digits that SQLite's tables know in every version: those of Unicode 3.2."""

NOT_FOLDED_ALIKE = {"\u01e0", "\u01e1"}
"""A with dot and macron: SQLite keeps the marks of this one letter whose base is ASCII."""


def tokens_of(text: str) -> list[str]:
    """What the index's tokenizer makes of a text."""
    connection = sqlite3.connect(":memory:")
    connection.execute(f'CREATE VIRTUAL TABLE texts USING fts5 (text, tokenize = "{TOKENIZER}")')
    connection.execute("CREATE VIRTUAL TABLE tokens USING fts5vocab (texts, instance)")
    connection.execute("INSERT INTO texts VALUES (?)", (text,))
    found = [token for (token,) in connection.execute("SELECT term FROM tokens ORDER BY offset")]
    connection.close()
    return found


def test_fold_folds_every_letter_as_the_tokenizer_does() -> None:
    letters = [letter for letter in OLD_LETTERS if letter not in NOT_FOLDED_ALIKE]
    pairs = zip(letters, tokens_of(" ".join(letters)), strict=True)
    assert [letter for letter, token in pairs if fold(letter) != token] == []


def test_fold_folds_ascii_as_the_tokenizer_does() -> None:
    letters = [letter for letter in map(chr, range(0x80)) if letter.isalnum()]
    assert [fold(letter) for letter in letters] == tokens_of(" ".join(letters))


@pytest.mark.parametrize("symbol", ["\N{RABBIT FACE}", "\N{TRADE MARK SIGN}", "\N{DEGREE SIGN}", "\N{MELTING FACE}"])
def test_a_symbol_is_a_word_of_its_own_wherever_it_stands(symbol: str) -> None:
    assert tokens_of(spaced(f"a{symbol}b {symbol}{symbol}")) == ["a", symbol, "b", symbol, symbol]


def test_an_emoji_is_found_whatever_its_skin_tone() -> None:
    assert "\N{THUMBS UP SIGN}" in tokens_of(spaced("\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}"))


def test_a_text_in_ascii_goes_to_the_tokenizer_as_it_is() -> None:
    text = "plain (c) text"
    assert spaced(text) is text


def test_words_are_what_white_space_divides() -> None:
    assert words("follow  the\trabbit\n") == [("follow",), ("the",), ("rabbit",)]


def test_a_word_with_punctuation_is_several_tokens() -> None:
    assert words("os.path is_file C++") == [("os", "path"), ("is", "file"), ("C",)]


def test_a_word_counts_once() -> None:
    assert words("to be or not to be") == [("to",), ("be",), ("or",), ("not",)]


@pytest.mark.parametrize("query", ["", "  ", '"', "-- *", "«»", "\0", "\u0301", "\u200d\ufe0f"])
def test_what_holds_no_letter_digit_or_symbol_is_no_word(query: str) -> None:
    assert words(query) == []


def test_a_combining_mark_stays_in_its_word() -> None:
    assert words("cafe\u0301s") == [("cafe\u0301s",)]


@given(st.text())
def test_no_token_of_a_query_holds_anything_of_fts5s_syntax(query: str) -> None:
    assert not set('"*^:(){}+-,. \0') & set("".join(token for word in words(query) for token in word))


@given(st.text(st.sampled_from(OLD_LETTERS + list("aZ09_.-\"' \n\u0301\N{RABBIT FACE}\N{TRADE MARK SIGN}"))))
def test_words_cuts_a_query_as_the_tokenizer_cuts_a_text(query: str) -> None:
    mine = [token for part in query.split() for word in words(part) for token in word]
    assert [tokens_of(token) for token in mine] == [[token] for token in tokens_of(spaced(query))]

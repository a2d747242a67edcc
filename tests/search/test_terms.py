"""What a word is, in Python and in SQLite."""

import re
import sqlite3
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterhead.search.terms import TOKENIZER, UNSPACED, fold, spaced, stands_alone, tokens

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
    pairs = zip(letters, tokens_of(" ".join(map(spaced, letters))), strict=True)
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


def test_a_word_with_punctuation_is_several_tokens() -> None:
    assert [tokens(part) for part in ("os.path", "is_file", "C++")] == [("os", "path"), ("is", "file"), ("C",)]


@pytest.mark.parametrize("query", ["", "  ", '"', "-- *", "«»", "\0", "\u0301", "\u200d\ufe0f"])
def test_what_holds_no_letter_digit_or_symbol_has_no_token(query: str) -> None:
    assert tokens(query) == ()


def test_a_combining_mark_stays_in_its_word() -> None:
    assert tokens("caf\u0323es") == ("caf\u0323es",)


# -- Chinese, Japanese, Korean -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["东京大学", "ひらがな", "カタカナー", "한국어", "ㄅㄆㄇ", "ｶﾀｶﾅ", "々〆", "𠀀𠀁"])
def test_each_character_of_an_unspaced_script_is_a_token(text: str) -> None:
    assert tokens_of(spaced(text)) == list(text) == list(tokens(text))
    assert all(map(stands_alone, text))


def test_no_mark_or_punctuation_is_taken_for_a_character_of_an_unspaced_script() -> None:
    taken = re.compile(f"[{UNSPACED}]")
    letters = [letter for letter in map(chr, range(0x10000)) if taken.match(letter)]
    assert {unicodedata.category(letter)[0] for letter in letters} <= {"L", "N", "C"}  # C: not assigned yet


def test_words_of_other_scripts_end_where_an_unspaced_one_begins() -> None:
    assert tokens_of(spaced("昨日Python3入門、foo")) == ["昨", "日", "python3", "入", "門", "foo"]


@pytest.mark.parametrize("text", ["한국어", "ガギグ", "が"])
def test_decomposed_characters_are_the_same_words(text: str) -> None:
    assert spaced(unicodedata.normalize("NFD", text)) == spaced(text)


def test_wide_letters_and_digits_are_those_of_ascii() -> None:
    assert tokens_of(spaced("ＡＢｃ１")) == ["abc1"]
    assert fold("Ａ") == "a"


# -- all of Unicode ------------------------------------------------------------------------------------------


def test_every_character_separates_or_belongs_alike_in_a_query_and_in_a_text() -> None:
    codes = [code for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000]
    apart = {}
    for start in range(0, len(codes), 20_000):
        part = codes[start : start + 20_000]
        indexed = tokens_of(" q ".join(spaced(f"a{chr(code)}b") for code in part))
        words: list[list[str]] = [[]]
        for token in indexed:
            if token == "q":
                words.append([])
            else:
                words[-1].append(token)
        for code, found in zip(part, words, strict=True):
            if len(found) != len(tokens(f"a{chr(code)}b")):
                apart[chr(code)] = found
    # A few dozen characters, most of New Tai Lue, have another category in SQLite's tables than in Python's.
    assert len(apart) < 50, sorted(apart)


@pytest.mark.parametrize("text", ["\uf0b7Item", "Item\U000f0001", "\ue000Item\ue001"])
def test_an_icon_of_private_use_is_no_part_of_a_word(text: str) -> None:
    assert tokens_of(spaced(text)) == ["item"]


# -- queries and texts are cut alike -------------------------------------------------------------------------


@given(st.text())
def test_no_token_of_a_query_holds_anything_of_fts5s_syntax(query: str) -> None:
    assert not set('"*^:(){}+-,. \0') & set("".join(tokens(query)))


@given(st.text(st.sampled_from(OLD_LETTERS + list("aZ09_.-\"' \n\u0301\N{RABBIT FACE}\N{TRADE MARK SIGN}"))))
def test_tokens_cuts_a_query_as_the_tokenizer_cuts_a_text(query: str) -> None:
    mine = [token for part in query.split() for token in tokens(part)]
    assert [tokens_of(token) for token in mine] == [[token] for token in tokens_of(spaced(query))]

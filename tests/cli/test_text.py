"""What is done to text on its way to a terminal."""

import json
import unicodedata
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from letterhead.cli.text import as_json, harmless, one_line
from tests.cli.application import HARM
from tests.ids import shown

TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
OBEYED: dict[str, Callable[[str], bool]] = {
    "controls": lambda character: unicodedata.category(character) == "Cc",
    "turns": lambda character: unicodedata.bidirectional(character) in TURNS,
}


@pytest.mark.parametrize("kind", OBEYED)
def test_no_character_that_a_terminal_obeys_is_left(kind: str) -> None:
    characters = list(filter(OBEYED[kind], map(chr, range(0x110000))))
    assert characters
    kept = [character for character in characters if harmless(f"a{character}b") == f"a{character}b"]
    assert kept == [character for character in "\t\n" if character in characters]


def test_a_carriage_return_is_kept_only_at_the_end_of_a_line() -> None:
    assert harmless("one\r\ntwo\rthree") == "one\r\ntwo\\rthree"


def test_text_that_is_harmless_is_not_touched() -> None:
    text = "größer, 猫 and 👩‍👩‍👧: עברית\n\ttabs"
    assert harmless(text) == text


def test_one_line_is_one_line() -> None:
    assert one_line("a\nb\tc\r\nd\u2028e", 100) == "a\\nb\\tc\\r\\nd\\u2028e"


def test_one_line_is_cut_where_it_is_too_long() -> None:
    assert one_line("abcdef", 3) == "abc…"


def test_json_keeps_its_meaning() -> None:
    value = {HARM: [HARM, 1.5, None, "größer"]}
    assert json.loads(as_json(value)) == value
    assert "größer" in as_json(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (np.array([[1.0, 2.0]]), "[[1.0,2.0]]"),
        (np.array(5), "5"),
        (np.array([1j]), '["1j"]'),
        ({"a": float("nan")}, '{"a":null}'),
        ({None: {True: [{None: b"a"}]}}, '{"None":{"True":[{"None":"YQ=="}]}}'),
        ([msgspec.msgpack.Ext(3, b"a")], '[{"code":3,"data":"YQ=="}]'),
    ],
    ids=shown,
)
def test_what_json_cannot_say_is_shown_as_nearly_as_it_can(value: object, shown: str) -> None:
    assert as_json(value, 0) == shown

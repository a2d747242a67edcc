"""The pieces of texts that answers show."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterhead.limits import Limits
from letterhead.search.snippets import WIDTH, Snippet, lines, snippet
from letterhead.search.syntax import Term, parse
from letterhead.search.titles import one_line

UNBOUNDED = Limits(search_query_bytes=1 << 20, search_terms=1 << 20)


def terms(query: str) -> list[Term]:
    return parse(query, UNBOUNDED).wanted


def show(text: str, query: str, width: int = WIDTH) -> str:
    return snippet(text, terms(query), width).text


LOREM = " ".join(f"word{number}" for number in range(1_000))


# -- what is a match -----------------------------------------------------------------------------------------


def test_matches_stand_between_marks() -> None:
    assert show("Follow the white rabbit. 🐰", "rabbit the") == "Follow «the» white «rabbit». 🐰"


def test_case_is_folded() -> None:
    assert show("RABBIT Rabbit rabbit", "rAbBiT") == "«RABBIT» «Rabbit» «rabbit»"


def test_accents_are_folded_on_both_sides() -> None:
    assert show("Café CAFÉ cafe cafe\u0301", "cáfe") == "«Café» «CAFÉ» «cafe» «cafe\u0301»"


def test_a_query_with_a_combining_mark_matches() -> None:
    assert show("café", "cafe\u0301") == "«café»"


def test_case_is_folded_beyond_latin() -> None:
    assert show("ΣΊΣΥΦΟΣ σίσυφος Ёлка ЁЛКА", "σίσυφοσ ёлка") == "«ΣΊΣΥΦΟΣ» «σίσυφος» «Ёлка» «ЁЛКА»"


def test_a_letter_whose_lower_case_is_longer_moves_no_mark() -> None:
    assert show("İİİ İstanbul Füße", "istanbul füße") == "İİİ «İstanbul» «Füße»"


def test_parts_of_words_do_not_match() -> None:
    assert show("cats scat cat concat cat2 cafe\u0301cat cat_", "cat") == (
        "cats scat «cat» concat cat2 cafe\u0301cat «cat»_"
    )


def test_a_word_with_punctuation_matches_whatever_stands_between_its_parts() -> None:
    assert show("os.path os path ospath path os is os-path", "os.path") == (
        "«os.path» «os path» ospath path os is «os-path»"
    )


def test_symbols_match_next_to_anything() -> None:
    assert show("rabbit🐰🐰 Python™", "🐰 python™") == "rabbit«🐰»«🐰» «Python™»"


def test_matches_that_overlap_become_one() -> None:
    assert show("os.path.join", "os.path path.join") == "«os.path.join»"


def test_a_query_is_no_regular_expression() -> None:
    assert show("a.b axb (a|b) [ab]", "a.b [ab]") == "«a.b» axb («a|b») [«ab»]"


# -- which piece ---------------------------------------------------------------------------------------------


def test_without_a_match_the_beginning_is_shown() -> None:
    found = show(LOREM, "rabbit")
    assert found.startswith("word0 word1 ")
    assert found.endswith("…")


def test_a_short_text_is_shown_whole() -> None:
    assert show("  one\n two ", "rabbit") == "one two"


def test_an_empty_text_shows_nothing() -> None:
    assert show("", "rabbit") == ""


def test_a_match_far_into_the_text_is_shown_in_the_middle() -> None:
    found = show(LOREM, "word500")
    assert found.index("«word500»") == pytest.approx(WIDTH / 2, abs=15)
    assert found.startswith("…word")
    assert found.endswith("…")


def test_near_an_end_the_other_side_gets_the_room() -> None:
    assert len(show(LOREM, "word1")) == pytest.approx(WIDTH, abs=15)
    assert len(show(LOREM, "word998")) == pytest.approx(WIDTH, abs=15)


def test_the_place_with_the_most_different_words_is_shown() -> None:
    text = f"cat cat cat cat {LOREM} the cat met a dog {LOREM} dog"
    assert "the «cat» met a «dog»" in show(text, "cat dog")


def test_of_equal_places_the_first_is_shown() -> None:
    text = f"first cat {LOREM} second cat"
    assert show(text, "cat").startswith("first «cat» word0")


def test_white_space_and_control_characters_are_folded() -> None:
    assert show("def  f():\r\n\t\treturn\x1b[31m rabbit\x0c\u2028end", "rabbit") == "def f(): return [31m «rabbit» end"


def test_indented_lines_leave_room_for_words() -> None:
    text = "\n".join(" " * 12 + f"line {number}" for number in range(100))
    assert len(show(text, "50")) > WIDTH * 0.7


def test_cuts_stand_between_words() -> None:
    complete = set(LOREM.split())
    shown = show(LOREM, "word500").strip("…").replace("«", "").replace("»", "").split()
    assert set(shown) <= complete


def test_a_text_without_spaces_is_cut_where_it_comes() -> None:
    text = "漢" * 1_000 + "🐰" + "字" * 1_000
    found = show(text, "🐰")
    assert found.startswith("…漢漢")
    assert found.endswith("字字…")
    assert len(found) == pytest.approx(WIDTH, abs=5)


def test_a_word_whose_parts_are_symbols_takes_no_longer() -> None:
    assert show("🐰" * 20_000, "🐰" * 12 + "🥕").startswith("🐰🐰")


def test_a_match_across_two_pieces_is_found() -> None:
    for position in range((32 << 10) - 12, 32 << 10):
        assert "«white-rabbit»" in show("." * position + " white-rabbit " + "." * 1_000, "white.rabbit")


def test_a_text_is_looked_through_as_far_as_it_may_be() -> None:
    text = "start " + "." * 1_000 + " rabbit"
    assert snippet(text, terms("rabbit"), reach=len(text)).text.endswith("«rabbit»")
    assert snippet(text, terms("rabbit"), reach=len(text) - 1).text.startswith("start")


def test_a_huge_text_is_bounded() -> None:
    text = "a" * 200_000 + " rabbit " + "b " * 1_000_000
    assert len(show(text, "rabbit")) <= WIDTH + 4


texts = st.text(st.sampled_from("aAbcéÉİßΣ\u03c3ς漢🐰™_.-\n \t\u0301\x00"), max_size=300)


@given(texts, texts.filter(lambda query: len(query) < 30), st.integers(0, 40))
def test_every_snippet_is_one_short_line_cut_from_its_text(text: str, query: str, width: int) -> None:
    found = show(text, f'"{query}"', width)
    assert found == one_line(found)
    assert found.removeprefix("…").removesuffix("…").replace("«", "").replace("»", "") in one_line(text)
    assert len(re.sub("«[^»]*»", "", found)) <= width + 2


@given(texts)
def test_a_text_is_found_by_each_of_its_own_words(text: str) -> None:
    for part in text.replace('"', " ").split():
        for term in terms(f'"{part}"'):
            assert "«" in snippet(text, [term], 40).text


# -- scripts without spaces ----------------------------------------------------------------------------------


def test_a_word_of_an_unspaced_script_matches_inside_of_text() -> None:
    assert show("昨日は東京タワーへ行った", "東京 タワー") == "昨日は«東京»«タワー»へ行った"


def test_a_latin_word_matches_between_characters_of_an_unspaced_script() -> None:
    assert show("昨日Python入門を買った", "python") == "昨日«Python»入門を買った"


def test_a_korean_word_matches_with_what_is_attached_to_it() -> None:
    assert show("한국어 문장은 띄어쓰기를 합니다", "문장") == "한국어 «문장»은 띄어쓰기를 합니다"


def test_wide_letters_match_those_of_ascii() -> None:
    assert show("ＡＢＣ and abc", "abc ＡＢＣ") == "«ＡＢＣ» and «abc»"


# -- prefixes ------------------------------------------------------------------------------------------------


def test_a_prefix_matches_whole_words_that_begin_so() -> None:
    assert show("rab Rabbits scrab rabbité", "rab*") == "«rab» «Rabbits» scrab «rabbité»"
    assert show("rab Rabbits scrab", "rab*") == "«rab» «Rabbits» scrab"


def test_a_prefix_may_end_a_word_of_several_parts() -> None:
    assert show("os.pathlib os.pat", "os.pat*") == "«os.pathlib» «os.pat»"


# -- lines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("query", "line"), [("one", 1), ("two", 2), ("four", 4), ("nowhere", 0)])
def test_a_snippet_tells_the_line_of_its_first_match(query: str, line: int) -> None:
    assert snippet("one\ntwo\n\nfour four", terms(query)).line == line


def test_a_snippet_from_the_middle_tells_its_own_line() -> None:
    text = "cat\n" * 3 + "x " * 400 + "\nthe cat met a dog"
    assert snippet(text, terms("cat dog")).line == 5


def test_the_lines_of_all_matches_come_once_and_in_order() -> None:
    assert lines("dog cat\ncat\n\ncat cat\ndog", terms("cat dog"), 100, lambda: None) == [1, 2, 4, 5]


def test_the_lines_that_are_told_are_bounded() -> None:
    assert lines("cat\n" * 50, terms("cat"), 10, lambda: None) == list(range(1, 11))


def test_many_matches_in_a_line_leave_out_no_later_line() -> None:
    text = "rabbit " * 2_000 + "\nhare\nrabbit"
    assert lines(text, terms("rabbit hare"), 1_000, lambda: None) == [1, 2, 3]


@pytest.mark.parametrize("text", ["a " * 200_000, "é a " * 100_000, "東" * 200_000])
def test_while_a_snippet_is_looked_for_the_time_is_looked_at_often(text: str) -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1

    snippet(text, terms('"' + "a " * 30 + 'b"'), check=look)
    assert looks >= len(text) // 5_000


def test_a_snippet_and_its_line_are_one_value() -> None:
    assert snippet("cat", terms("cat")) == Snippet("«cat»", 1)

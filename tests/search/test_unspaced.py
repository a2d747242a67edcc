"""Chinese, Japanese and Korean, found inside of text that has no spaces."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from letterhead.search.index import Index
from letterhead.search.query import Searcher
from letterhead.search.update import Update

MakeSearcher = Callable[..., Searcher]
TEXTS = {
    "中文": "全文检索系统可以在没有空格的文本中查找词语。",
    "日本語": "昨日は東京タワーへ行きました。データベースの検索です。",
    "한국어": "한국어 문서에서도 검색이 됩니다.",
    "mixed": "Python入門とSQLite3の使い方",
}


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("检索", "中文"),
        ("没有空格", "中文"),
        ("词", "中文"),
        ("東京", "日本語"),
        ("タワー", "日本語"),
        ("データベース", "日本語"),
        ("東京 検索", "日本語"),
        ('"東京タワー"', "日本語"),
        ("문서", "한국어"),
        ("검색", "한국어"),
        ("python", "mixed"),
        ("sqlite3", "mixed"),
        ("Python入門", "mixed"),
        ("入門", "mixed"),
        ("ＰＹＴＨＯＮ", "mixed"),
    ],
)
def test_a_word_of_any_length_is_found_wherever_it_stands(searcher_over: MakeSearcher, query: str, title: str) -> None:
    (hit,) = searcher_over(TEXTS).search(query).hits
    assert hit.title == title
    assert "«" in hit.snippet


@pytest.mark.parametrize("query", ["索检", "京東", "タワ 全文", '"東京 へ"', "서문"])
def test_characters_in_another_order_are_another_word(searcher_over: MakeSearcher, query: str) -> None:
    assert searcher_over(TEXTS).search(query).hits == []


@pytest.mark.parametrize("text", ["한국어 문서", "ガギグゲゴ"])
def test_what_is_written_in_pieces_is_found_and_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "text.txt").write_text("x " + unicodedata.normalize("NFD", text), encoding="utf-8")
    with Index(tmp_path / "index") as index:
        Update(index, [tmp_path / "folder"]).all()
    with Searcher(tmp_path / "index") as searcher:
        for form in ("NFC", "NFD"):
            (hit,) = searcher.search(unicodedata.normalize(form, text[:3])).hits
            assert hit.snippet.startswith(f"x «{text[:3]}»")
            assert hit.line == 1


def test_a_title_without_spaces_weighs_more(searcher_over: MakeSearcher) -> None:
    texts = {"a": "東京 " * 3 + "他の文" * 20, "東京案内": "他の文" * 20, "b": "x", "c": "y", "d": "z"}
    assert searcher_over(texts).search("東京").hits[0].title == "東京案内"

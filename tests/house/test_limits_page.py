"""docs/limits.md says what `Limits` says."""

from scripts import limits_page


def test_the_page_is_what_the_docstrings_make() -> None:
    assert limits_page.PAGE.read_text(encoding="utf-8") == limits_page.page(), "run: python scripts/limits_page.py"

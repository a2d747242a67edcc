"""The code in docs/ runs, as that of the README does."""

from pathlib import Path

import pytest

from tests.house import readme

DOCS = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page: Path) -> None:
    readme.run(page)

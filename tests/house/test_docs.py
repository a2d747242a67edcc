"""The code in docs/ and of the classic examples runs, as that of the README does."""

import shutil
from pathlib import Path

import pytest

from tests.house import readme

ROOT = Path(__file__).parents[2]
NEEDED = {"balancing.md": "haproxy"}
"""What a page runs beside Letterhead, which not every machine has."""
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "examples/classic/README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_a_page_runs(page: Path) -> None:
    program = NEEDED.get(page.name)
    if program is not None and shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    readme.run(page)

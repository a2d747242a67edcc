"""A searcher over a few documents, as a fixture."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from letterhead.limits import Limits
from letterhead.search.index import build
from letterhead.search.items import Document
from letterhead.search.query import Searcher

MakeSearcher = Callable[..., Searcher]


@pytest.fixture
def searcher_over(tmp_path: Path) -> Iterator[MakeSearcher]:
    """``searcher_over({"title": "text"}, limits)``: a searcher over these documents, closed at the end."""
    with ExitStack() as stack:

        def make(texts: dict[str, str], limits: Limits | None = None, **options: object) -> Searcher:
            path = tmp_path / "index"
            build(path, [Document(title, f"folder/{title}", text) for title, text in texts.items()])
            return stack.enter_context(Searcher(path, limits, **options))  # type: ignore[arg-type]

        yield make

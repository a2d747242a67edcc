"""Types, and words for what was left out."""

import pytest

from letterhead.search.items import Reason, type_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.py", "py"),
        ("README.MD", "md"),
        ("archive.tar.gz", "gz"),
        ("ls.1", "1"),
        ("README", ""),
        (".profile", ""),
        ("ends with.", ""),
        ("Makefile", "makefile"),
        ("Dockerfile", "dockerfile"),
        ("Makefile.in", "in"),
        ("a.not an ending", ""),
        ("a." + "x" * 17, ""),
        ("", ""),
    ],
)
def test_the_type_is_the_last_ending(name: str, expected: str) -> None:
    assert type_of(name) == expected


def test_reasons_read_well_in_a_sentence() -> None:
    counts = {Reason.BINARY: 3, Reason.SYMLINK: 1, Reason.TOO_LARGE: 2}
    said = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    assert said == "3 binary, 1 symbolic link, 2 too large (over 4 MiB)"

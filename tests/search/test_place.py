"""Where indexes lie."""

import stat
import sys
from pathlib import Path

import pytest

from letterhead.errors import Unavailable, UsageError
from letterhead.search.place import cache_folder, place_of

pytestmark = pytest.mark.usefixtures("cache")


def folder(place: Path) -> Path:
    place.mkdir()
    return place


def test_a_set_of_folders_has_one_place_in_any_order_however_it_is_written(tmp_path: Path) -> None:
    one, two = folder(tmp_path / "one"), folder(tmp_path / "two")
    place = place_of([one, two])
    assert place == place_of([two, one, one]) == place_of([str(one) + "/", tmp_path / "one" / ".." / "two"])
    assert len({place, place_of([one]), place_of([two])}) == 3


def test_it_lies_in_the_cache_folder_and_shows_whose_it_is(tmp_path: Path, cache: Path) -> None:
    place = place_of([folder(tmp_path / "my notes: 2024")])
    assert place.parent == cache / "letterhead" / "search"
    assert place.name.startswith("my-notes-2024-")
    assert place.suffix == ".index"


def test_only_its_user_may_look_into_its_folder(tmp_path: Path) -> None:
    place = place_of([folder(tmp_path / "notes")])
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["...", "\N{RABBIT}", "a" * 200])
def test_any_folder_has_a_place(tmp_path: Path, name: str) -> None:
    place_of([folder(tmp_path / name)]).touch()


def test_a_relative_cache_folder_counts_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    below = "Library/Caches" if sys.platform == "darwin" else ".cache"
    assert cache_folder() == tmp_path / below / "letterhead"


def test_a_cache_folder_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(Unavailable, match=r"cannot be made \(Not a directory\): name a file with --index"):
        place_of([folder(tmp_path / "notes")])


def test_folders_that_are_not_there_have_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        place_of([tmp_path / "nowhere"])

"""The place of the index of a set of folders: in the user's cache folder, whose contents may be deleted at any time."""

import hashlib
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from letterhead.errors import Unavailable
from letterhead.search.documents import roots_of


def place_of(folders: Iterable[str | os.PathLike[str]]) -> Path:
    """The file for the index of ``folders``, which is the same in whatever order they are given. Its folder is made.

    Raises:
        UsageError: a folder does not exist, or none is named. Unavailable: the cache folder cannot be made.
    """
    roots = list(roots_of(folders))
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(roots[0]).name).strip(".-")[:40] or "index"
    same = hashlib.sha256(b"\0".join(map(os.fsencode, roots))).hexdigest()[:16]
    place = cache_folder() / "search" / f"{name}-{same}.index"
    try:
        # For the user alone, as what lies there comes from files that may be.
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(
            f"the cache folder {place.parent} cannot be made ({error.strerror}): name a file with --index"
        ) from None
    return place


def cache_folder() -> Path:
    """This user's cache folder for Letterhead.

    ``XDG_CACHE_HOME`` if it is an absolute path, else ``~/.cache`` (XDG Base Directory Specification 0.8), else, on
    macOS, ``~/Library/Caches`` (Apple, File System Programming Guide).
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    if Path(named).is_absolute():
        return Path(named, "letterhead")
    try:
        home = Path.home()
    except RuntimeError:
        raise Unavailable("this user has no home folder for a cache: name a file with --index") from None
    return home.joinpath(*(("Library", "Caches") if sys.platform == "darwin" else (".cache",)), "letterhead")

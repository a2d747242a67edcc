"""``identity``: tells whether the file or folder at a path is still the same one, or was replaced by another."""

import os


def identity(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Device and inode number of the file or folder at a path; None where there is none, or none can be seen."""
    try:
        status = os.stat(path)  # noqa: PTH116  # once a query
    except OSError:
        return None
    return status.st_dev, status.st_ino

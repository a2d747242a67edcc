"""Which file or folder stands at a path: another may have taken its place, while what is open is still the old one."""

import os


def identity(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Device and inode number of what is there; None where nothing is, or it cannot be known."""
    try:
        status = os.stat(path)  # noqa: PTH116  # once a query
    except OSError:
        return None
    return status.st_dev, status.st_ino

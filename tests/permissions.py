"""What tests of permissions need where the superuser runs them."""

import ctypes
import os


def obey_permissions() -> None:
    """The superuser, too, from its next program on: without the two capabilities that override permissions."""
    if os.geteuid() == 0:
        drop_from_bounding_set, override, read_search = 24, 1, 2
        prctl = ctypes.CDLL(None).prctl
        prctl(drop_from_bounding_set, override, 0, 0, 0)
        prctl(drop_from_bounding_set, read_search, 0, 0, 0)

"""Names of test cases that are the same in every process: those that run the suite together compare them."""

import re

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def shown(value: object) -> str:
    """A value as Python shows it, without where it lies in memory."""
    return _ADDRESS.sub("", repr(value))

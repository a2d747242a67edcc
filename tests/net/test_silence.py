"""A peer that is gone without a word is noticed as the limits say; with the defaults: tests/long/test_silence.py."""

import pytest

from tests.long.cutting import KINDS, SITUATIONS, measure
from tests.long.network import allowed

SECONDS = 15.0
"""The limits say three: between that and the defaults, on a slow machine too."""


@pytest.mark.skipif(not allowed(), reason="network namespaces need root, and Debian's iproute2")
def test_the_limits_say_how_soon_a_peer_that_is_gone_is_noticed() -> None:
    found = measure("short")
    assert set(found) >= {(side, k, s) for side in ("client", "server") for k in KINDS for s in SITUATIONS}
    assert max(found.values()) < SECONDS

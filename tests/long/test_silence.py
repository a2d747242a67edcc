"""How long until either side notices that the other is gone without a word, measured in a network that is cut."""

import pytest

from tests.long.cutting import KINDS, SITUATIONS, Measured, measure
from tests.long.network import allowed

IDLE_SECONDS = 42.0  # a client asks after 15 s, waits 25 s, and looks once more; the rest is the measuring's
PENDING_SECONDS = 30.0

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not allowed(), reason="network namespaces need root, and Debian's iproute2"),
    pytest.mark.xdist_group("silence"),
]


@pytest.fixture(scope="module")
def measured() -> Measured:
    """Each takes half a minute: one cut is for all."""
    return measure("default")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_peer_that_is_gone_without_a_word_is_noticed(
    measured: Measured, side: str, kind: str, situation: str
) -> None:
    pending = (side, situation) in {("client", "sending"), ("server", "reading")}
    assert measured[side, kind, situation] <= (PENDING_SECONDS if pending else IDLE_SECONDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("situation", ["waiting", "sending", "reading"])
def test_an_open_call_fails_when_the_peer_is_gone_without_a_word(measured: Measured, kind: str, situation: str) -> None:
    assert measured["call", kind, situation] <= (PENDING_SECONDS if situation == "sending" else IDLE_SECONDS)

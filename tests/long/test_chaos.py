"""The scenes of `chaos`, each for as long as it takes to mean something; the tables are printed."""

import pytest

from tests.long import chaos
from tests.long.network import allowed

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def test_a_hundred_restarts_under_load() -> None:
    assert chaos.main(["restarts", "--keeps-going", "--times", "100"]) == 0


def test_a_line_that_resets() -> None:
    assert chaos.main(["resets", "--keeps-going", "--seconds", "120"]) == 0


def test_a_server_that_stands_still_for_less_than_a_call_may_take() -> None:
    assert chaos.main(["stopped", "--keeps-going", "--seconds", "30", "--timeout", "60"]) == 0


def test_a_server_that_stands_still_for_longer_than_a_call_may_take() -> None:
    assert chaos.main(["stopped", "--seconds", "15", "--timeout", "5"]) == 0


def test_a_server_that_says_nothing() -> None:
    assert chaos.main(["mute", "--seconds", "5"]) == 0


@pytest.mark.skipif(not allowed(), reason="network namespaces need root, and Debian's iproute2")
@pytest.mark.parametrize("seconds", [5, 45])
def test_a_network_that_is_cut_and_healed(seconds: int) -> None:
    assert chaos.main(["partition", "--keeps-going", "--seconds", str(seconds), "--timeout", "60"]) == 0

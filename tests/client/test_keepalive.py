"""Signs of life: when the server is asked, and when it is given up. Times are in seconds."""

import pytest

from letterhead.client.keepalive import NEVER, Liveness, Sign


def watched(since: float = 0.0) -> Liveness:
    liveness = Liveness(after=20.0, wait=10.0)
    liveness.expect(since)
    return liveness


def test_where_nothing_is_expected_nothing_is_due() -> None:
    assert Liveness(20.0, 10.0).due == NEVER


def test_quiet_is_counted_from_when_something_was_expected() -> None:
    assert watched(100.0).look(119.0, heard=5.0, expecting=True) is Sign.NOTHING
    assert watched(100.0).look(120.0, heard=5.0, expecting=True) is Sign.ASK


def test_any_byte_begins_the_quiet_anew() -> None:
    liveness = watched()
    assert liveness.look(20.0, heard=15.0, expecting=True) is Sign.NOTHING
    assert liveness.due == 35.0


def test_a_server_that_says_nothing_after_the_ping_is_given_up() -> None:
    liveness = watched()
    assert liveness.look(20.0, heard=0.0, expecting=True) is Sign.ASK
    assert liveness.due == 30.0
    assert liveness.look(30.0, heard=0.0, expecting=True) is Sign.NOTHING  # a last look: bytes may wait to be read
    assert liveness.look(liveness.due, heard=0.0, expecting=True) is Sign.GONE


@pytest.mark.parametrize("heard", [20.0, 25.0, 30.1])
def test_a_byte_after_the_ping_saves_it(heard: float) -> None:
    liveness = watched()
    liveness.look(20.0, heard=0.0, expecting=True)
    liveness.look(30.0, heard=0.0, expecting=True)
    assert liveness.look(31.0, heard=heard, expecting=True) is Sign.NOTHING
    assert liveness.due == heard + 20.0


def test_who_stood_still_itself_looks_once_more_before_it_gives_up() -> None:
    liveness = watched()
    liveness.look(20.0, heard=0.0, expecting=True)
    assert liveness.look(3_600.0, heard=0.0, expecting=True) is Sign.NOTHING
    assert 3_600.0 < liveness.due < 3_601.0


def test_when_nothing_is_expected_any_more_nobody_asks() -> None:
    liveness = watched()
    assert liveness.look(20.0, heard=0.0, expecting=False) is Sign.NOTHING
    assert liveness.due == NEVER


def test_it_can_begin_again() -> None:
    liveness = watched()
    liveness.look(20.0, heard=0.0, expecting=True)
    liveness.expect(50.0)
    assert liveness.look(69.0, heard=0.0, expecting=True) is Sign.NOTHING
    assert liveness.look(70.0, heard=0.0, expecting=True) is Sign.ASK

"""Signs of life: when the server is asked, and when it is given up. Times are in seconds."""

import pytest

from letterhead.client.keepalive import NEVER, Keepalive, Sign


def watched(since: float = 0.0) -> Keepalive:
    keepalive = Keepalive(after=20.0, wait=10.0)
    keepalive.expect(since)
    return keepalive


def test_where_nothing_is_expected_nothing_is_due() -> None:
    assert Keepalive(20.0, 10.0).due == NEVER


def test_quiet_is_counted_from_when_something_was_expected() -> None:
    assert watched(100.0).look(119.0, heard=5.0, expecting=True) is Sign.NOTHING
    assert watched(100.0).look(120.0, heard=5.0, expecting=True) is Sign.ASK


def test_any_byte_begins_the_quiet_anew() -> None:
    keepalive = watched()
    assert keepalive.look(20.0, heard=15.0, expecting=True) is Sign.NOTHING
    assert keepalive.due == 35.0


def test_a_server_that_says_nothing_after_the_ping_is_given_up() -> None:
    keepalive = watched()
    assert keepalive.look(20.0, heard=0.0, expecting=True) is Sign.ASK
    assert keepalive.due == 30.0
    assert keepalive.look(30.0, heard=0.0, expecting=True) is Sign.NOTHING  # a last look: bytes may wait to be read
    assert keepalive.look(keepalive.due, heard=0.0, expecting=True) is Sign.GONE


@pytest.mark.parametrize("heard", [20.0, 25.0, 30.1])
def test_a_byte_after_the_ping_saves_it(heard: float) -> None:
    keepalive = watched()
    keepalive.look(20.0, heard=0.0, expecting=True)
    keepalive.look(30.0, heard=0.0, expecting=True)
    assert keepalive.look(31.0, heard=heard, expecting=True) is Sign.NOTHING
    assert keepalive.due == heard + 20.0


def test_who_stood_still_itself_looks_once_more_before_it_gives_up() -> None:
    keepalive = watched()
    keepalive.look(20.0, heard=0.0, expecting=True)
    assert keepalive.look(3_600.0, heard=0.0, expecting=True) is Sign.NOTHING
    assert 3_600.0 < keepalive.due < 3_601.0


def test_when_nothing_is_expected_any_more_nobody_asks() -> None:
    keepalive = watched()
    assert keepalive.look(20.0, heard=0.0, expecting=False) is Sign.NOTHING
    assert keepalive.due == NEVER


def test_it_can_begin_again() -> None:
    keepalive = watched()
    keepalive.look(20.0, heard=0.0, expecting=True)
    keepalive.expect(50.0)
    assert keepalive.look(69.0, heard=0.0, expecting=True) is Sign.NOTHING
    assert keepalive.look(70.0, heard=0.0, expecting=True) is Sign.ASK

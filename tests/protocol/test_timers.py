"""How long a peer may take, by a clock that the test moves."""

import math

import pytest

from letterhead.limits import Limits
from letterhead.protocol.timers import Patience, Wait

LIMITS = Limits()


def test_the_first_byte_is_waited_for_10_s() -> None:
    assert Patience(LIMITS, 100.0).ends_at() == 110.0


def test_a_header_is_waited_for_10_s_from_its_first_byte() -> None:
    patience = Patience(LIMITS, 0.0)
    patience.waits_for(Wait.HEADER, 50.0)
    patience.received(5, 58.0)
    assert patience.ends_at() == 60.0


def test_content_may_be_quiet_for_20_s() -> None:
    patience = Patience(LIMITS, 0.0)
    patience.waits_for(Wait.CONTENT, 100.0)
    assert patience.ends_at() == 120.0


@pytest.mark.smoke
def test_content_that_trickles_must_reach_1000_bytes_a_second() -> None:
    patience = Patience(LIMITS, 0.0)
    patience.waits_for(Wait.CONTENT, 100.0)
    for second in range(101, 120):
        patience.received(100, float(second))
    assert patience.ends_at() == 120.0


def test_content_that_comes_fast_enough_is_waited_for_as_long_as_it_lasts() -> None:
    patience = Patience(LIMITS, 0.0)
    patience.waits_for(Wait.CONTENT, 100.0)
    for second in range(101, 400):
        patience.received(1_001, float(second))
        assert patience.ends_at() > second


def test_content_that_stops_after_a_fast_start_is_given_20_quiet_seconds() -> None:
    patience = Patience(LIMITS, 0.0)
    patience.waits_for(Wait.CONTENT, 100.0)
    patience.received(10_000_000, 101.0)
    assert patience.ends_at() == 121.0


def test_without_a_rate_only_quiet_counts() -> None:
    patience = Patience(Limits(content_rate=0), 0.0)
    patience.waits_for(Wait.CONTENT, 100.0)
    patience.received(1, 119.0)
    assert patience.ends_at() == 139.0


def test_the_next_request_is_waited_for_300_s() -> None:
    patience = Patience(LIMITS, 0.0)
    patience.waits_for(Wait.NEXT, 100.0)
    assert patience.ends_at() == 400.0


@pytest.mark.parametrize("wait", [Wait.FIRST_BYTE, Wait.HEADER, Wait.CONTENT, Wait.NEXT], ids=lambda wait: wait.name)
def test_a_pause_is_not_the_peer_s(wait: Wait) -> None:
    patience = Patience(LIMITS, 0.0)
    patience.waits_for(wait, 100.0)
    before = patience.ends_at()
    patience.pause(101.0)
    assert patience.ends_at() == math.inf
    patience.resume(161.0)
    assert patience.ends_at() == before + 60.0


def test_pausing_twice_is_one_pause() -> None:
    patience = Patience(LIMITS, 0.0)
    patience.pause(1.0)
    patience.pause(4.0)
    patience.resume(5.0)
    patience.resume(9.0)
    assert patience.ends_at() == 14.0


def test_a_wait_that_begins_during_a_pause_is_not_lengthened_by_what_was_before() -> None:
    patience = Patience(LIMITS, 0.0)
    patience.pause(10.0)
    patience.waits_for(Wait.NEXT, 90.0)
    patience.resume(100.0)
    assert patience.ends_at() == 400.0


@pytest.mark.parametrize(
    ("wait", "told"), [(Wait.HEADER, True), (Wait.CONTENT, True), (Wait.NEXT, False), (Wait.FIRST_BYTE, False)]
)
def test_a_peer_is_told_only_where_a_frame_had_begun(wait: Wait, told: bool) -> None:
    patience = Patience(LIMITS, 0.0)
    patience.waits_for(wait, 1.0)
    complaint = patience.complaint()
    assert (complaint is not None) is told
    assert complaint is None or complaint.code == "timeout"

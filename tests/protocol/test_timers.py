"""How long a peer may take, by a clock that the test moves."""

import math
from collections.abc import Callable

import pytest

from letterhead.limits import Limits
from letterhead.protocol.timers import ReadTimer, Wait, WriteTimer

LIMITS = Limits()


def test_the_first_byte_is_waited_for_10_s() -> None:
    assert ReadTimer(LIMITS, 100.0).due == 110.0


def test_a_header_is_waited_for_10_s_from_its_first_byte() -> None:
    timer = ReadTimer(LIMITS, 0.0)
    timer.start(Wait.HEADER, 50.0)
    timer.received(5, 58.0)
    assert timer.due == 60.0


def test_content_may_be_quiet_for_20_s() -> None:
    timer = ReadTimer(LIMITS, 0.0)
    timer.start(Wait.CONTENT, 100.0)
    assert timer.due == 120.0


@pytest.mark.smoke
def test_content_that_trickles_must_reach_1000_bytes_a_second() -> None:
    timer = ReadTimer(LIMITS, 0.0)
    timer.start(Wait.CONTENT, 100.0)
    for second in range(101, 120):
        timer.received(100, float(second))
    assert timer.due == 120.0


def test_content_that_comes_fast_enough_is_waited_for_as_long_as_it_lasts() -> None:
    timer = ReadTimer(LIMITS, 0.0)
    timer.start(Wait.CONTENT, 100.0)
    for second in range(101, 400):
        timer.received(1_001, float(second))
        assert timer.due > second


def test_content_that_stops_after_a_fast_start_is_given_20_quiet_seconds() -> None:
    timer = ReadTimer(LIMITS, 0.0)
    timer.start(Wait.CONTENT, 100.0)
    timer.received(10_000_000, 101.0)
    assert timer.due == 121.0


def test_without_a_rate_only_quiet_counts() -> None:
    timer = ReadTimer(Limits(content_rate=0), 0.0)
    timer.start(Wait.CONTENT, 100.0)
    timer.received(1, 119.0)
    assert timer.due == 139.0


def test_the_next_request_is_waited_for_300_s() -> None:
    timer = ReadTimer(LIMITS, 0.0)
    timer.start(Wait.IDLE, 100.0)
    assert timer.due == 400.0


@pytest.mark.parametrize("wait", [Wait.FIRST_BYTE, Wait.HEADER, Wait.CONTENT, Wait.IDLE], ids=lambda wait: wait.name)
def test_a_pause_is_not_the_peer_s(wait: Wait) -> None:
    timer = ReadTimer(LIMITS, 0.0)
    timer.start(wait, 100.0)
    before = timer.due
    timer.pause(101.0)
    assert timer.due == math.inf
    timer.resume(161.0)
    assert timer.due == before + 60.0


def test_pausing_twice_is_one_pause() -> None:
    timer = ReadTimer(LIMITS, 0.0)
    timer.pause(1.0)
    timer.pause(4.0)
    timer.resume(5.0)
    timer.resume(9.0)
    assert timer.due == 14.0


def test_a_wait_that_begins_during_a_pause_is_not_lengthened_by_what_was_before() -> None:
    timer = ReadTimer(LIMITS, 0.0)
    timer.pause(10.0)
    timer.start(Wait.IDLE, 90.0)
    timer.resume(100.0)
    assert timer.due == 400.0


@pytest.mark.parametrize(
    ("wait", "told"), [(Wait.HEADER, True), (Wait.CONTENT, True), (Wait.IDLE, False), (Wait.FIRST_BYTE, False)]
)
def test_a_peer_is_told_only_where_a_frame_had_begun(wait: Wait, told: bool) -> None:
    timer = ReadTimer(LIMITS, 0.0)
    timer.start(wait, 1.0)
    error = timer.error()
    assert (error is not None) is told
    assert error is None or error.code == "timeout"


# What is sent


class Sending:
    """Bytes that were sent, of which a peer takes some, second by second."""

    def __init__(self, limits: Limits = LIMITS, unsent: int = 1_000_000) -> None:
        self.timer = WriteTimer(limits)
        self.now = 100.0
        self.gone = 0
        self.unsent = unsent
        assert not self.timer.check(0, unsent, self.now)

    def late_after(self, taken: Callable[[int], int], most: int) -> int | None:
        """After how many seconds the peer is late, which takes so much in each; None if it is not in so many."""
        for second in range(1, most + 1):
            self.now += 1.0
            self.gone += taken(second)
            if self.timer.check(self.gone, self.unsent, self.now):
                return second
            assert self.now < self.timer.due <= self.now + LIMITS.content_quiet_seconds
        return None


def test_a_peer_that_takes_nothing_is_late_after_10_s() -> None:
    assert Sending().late_after(lambda _: 0, 100) == 10


@pytest.mark.smoke
def test_a_peer_that_takes_a_byte_now_and_then_is_late_after_20_s() -> None:
    assert Sending().late_after(lambda second: int(second % 9 == 0), 100) == 20


def test_a_peer_that_took_much_and_then_little_is_late_too() -> None:
    late = Sending().late_after(lambda second: 10_000_000 if second <= 5 else 1, 1_000)
    assert late is not None
    assert late <= 40


def test_a_peer_that_takes_1000_bytes_a_second_is_never_late() -> None:
    assert Sending().late_after(lambda _: 1_000, 1_000) is None


def test_a_peer_that_takes_much_at_a_time_is_never_late() -> None:
    assert Sending().late_after(lambda second: 11_000 * (second % 9 == 0), 1_000) is None


def test_without_a_rate_only_standing_still_counts() -> None:
    assert Sending(Limits(content_rate=0)).late_after(lambda second: int(second % 9 == 0), 1_000) is None


def test_once_all_is_sent_nobody_is_waited_for() -> None:
    sending = Sending()
    assert not sending.timer.check(1_000_000, 0, 109.0)
    assert sending.timer.due == math.inf


def test_what_is_sent_afterwards_has_a_time_of_its_own() -> None:
    sending = Sending()
    sending.timer.check(10, 0, 119.0)
    assert not sending.timer.check(10, 50, 1_000.0)
    assert sending.timer.due == 1_010.0

"""Which address is tried when, on a clock that the tests turn."""

import socket
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterhead import ConnectionFailed, ConnectRefused, ConnectTimedOut
from letterhead.transport.address import Address, Place
from letterhead.transport.happy_eyeballs import Race, interleaved

NAME = Address("name", 80)


def v4(number: int) -> Place:
    return socket.AF_INET, (f"192.0.2.{number}", 80)


def v6(number: int) -> Place:
    return socket.AF_INET6, (f"2001:db8::{number}", 80, 0, 0)


def race(*places: Place, seconds: float = 10.0, stagger: float = 0.25) -> Race:
    return Race(places, now=100.0, seconds=seconds, stagger=stagger)


@pytest.mark.parametrize(
    ("places", "order"),
    [
        ([], []),
        ([v4(1), v4(2)], [v4(1), v4(2)]),
        ([v6(1), v6(2), v4(1), v4(2)], [v6(1), v4(1), v6(2), v4(2)]),
        ([v4(1), v6(1), v6(2), v6(3)], [v4(1), v6(1), v6(2), v6(3)]),
    ],
)
def test_families_take_turns_and_keep_the_order_within(places: list[Place], order: list[Place]) -> None:
    assert interleaved(places) == order


def test_the_next_place_begins_after_the_moment_and_not_before() -> None:
    running = race(v6(1), v4(1))
    assert running.begin(100.0) == v6(1)
    assert (running.begin(100.0), running.due) == (None, 100.25)
    assert running.begin(100.2) is None
    assert running.begin(100.25) == v4(1)
    assert running.begin(100.5) is None
    assert running.due == 110.0, "nothing is left to begin"


def test_the_next_place_begins_at_once_where_one_fails() -> None:
    running = race(v6(1), v4(1), v6(2))
    running.begin(100.0)
    running.failed(v6(1), ConnectionRefusedError(), 100.1)
    assert running.due == 100.1
    assert running.begin(100.1) == v4(1)
    assert (running.begin(100.1), running.due) == (None, 100.35)


def test_it_is_lost_when_all_have_failed() -> None:
    running = race(v6(1), v4(1))
    for place in (v6(1), v4(1)):
        assert running.begin(100.0) == place
        assert not running.lost(100.0)
        running.failed(place, ConnectionRefusedError(), 100.0)
    assert running.lost(100.0)


def test_it_is_lost_when_the_time_is_over_and_nothing_begins_then() -> None:
    running = race(v6(1), v4(1), seconds=0.1)
    running.begin(100.0)
    assert not running.lost(100.09)
    assert running.due == 100.1
    assert running.lost(100.1)
    assert race(v4(1)).begin(200.0) is None


def test_a_name_without_an_address_is_lost_at_once() -> None:
    assert race().lost(100.0)
    assert str(race().verdict(NAME, 10)) == "no connection to name:80: the name 'name' has no address"


def test_all_that_failed_is_told() -> None:
    running = race(v6(1), v4(1))
    running.begin(100.0)
    running.failed(v6(1), OSError(101, "Network is unreachable"), 100.0)
    running.begin(100.0)
    running.failed(v4(1), ConnectionRefusedError(), 100.0)
    error = running.verdict(NAME, 10)
    assert isinstance(error, ConnectRefused), "whoever refuses is there: that says most"
    assert "name:80 (2001:db8::1: Network is unreachable; 192.0.2.1: refused)" in str(error)
    assert error.address == "name:80"


def test_no_time_to_wait_for_an_answer_is_told_as_such() -> None:
    running = race(v6(1), v4(1), v6(2), seconds=0.3)
    running.begin(100.0)
    running.failed(v6(1), ConnectionRefusedError(), 100.0)
    running.begin(100.0)
    error = running.verdict(NAME, 0.3)
    assert isinstance(error, ConnectTimedOut)
    assert str(error) == (
        "name:80 did not answer within 0.3 s (2001:db8::1: refused; 192.0.2.1: no answer; 2001:db8::2: not tried)"
    )


def test_of_many_failures_a_few_are_told() -> None:
    running = race(*map(v4, range(100)))
    while (place := running.begin(100.0)) is not None:
        running.failed(place, OSError(113, "No route to host"), 100.0)
    error = running.verdict(NAME, 10)
    assert type(error) is ConnectionFailed
    assert "192.0.2.3: No route to host; and 96 more" in str(error)
    assert "192.0.2.4:" not in str(error)


@given(
    places=st.lists(st.tuples(st.sampled_from([v4, v6]), st.integers(1, 250)), max_size=8, unique=True),
    moves=st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60),
)
def test_each_place_is_begun_once_at_most_and_the_race_ends(
    places: list[tuple[object, int]], moves: list[tuple[float, bool]]
) -> None:
    all_places = [make(number) for make, number in places]  # type: ignore[operator]
    running = race(*all_places)
    now, begun, open_places = 100.0, Counter[Place](), list[Place]()
    for step, fails in moves:
        while (place := running.begin(now)) is not None:
            begun[place] += 1
            open_places.append(place)
        if running.lost(now):
            break
        assert running.due > now, "who waits for nothing would spin"
        assert open_places, "something is under way as long as it is not lost"
        if fails:
            running.failed(open_places.pop(0), ConnectionRefusedError(), now)
        else:
            now += min(step, running.due - now)
    assert all(count == 1 for count in begun.values())
    assert set(begun) <= set(all_places)
    assert running.lost(110.0)

"""What one connection, and all together, may cost a server: slots, buffered bytes, late bytes, control frames."""

import gzip

import pytest

from letterhead.errors import TooMany
from letterhead.limits import Limits
from letterhead.protocol.budget import Budget
from letterhead.protocol.server import ServerProtocol
from tests.protocol.pairs import ServerSide, control, joined, named, opening, server_side
from tests.wire.frames import Cut, each_cut, frame, framed, header_bytes

A_HEADER = 2_000
"""Bytes that a short header holds, at most."""

# Open exchanges


@pytest.mark.smoke
@each_cut
def test_more_open_exchanges_than_allowed_are_too_many_and_the_connection_kept(cut: Cut) -> None:
    side = server_side(Limits(max_open=3), cut).hears(*(opening(n, "a", n) for n in range(2, 7)))
    assert len(side.requests) == 3
    assert side.codes == [(5, "too-many"), (6, "too-many")]
    assert side.sent[0].value["error"]["limit"] == 3
    side.answers(0, 1).hears(opening(7, "b"))
    assert side.actions == ["a", "a", "a", "b"]


def test_a_request_whose_content_is_under_way_is_open() -> None:
    side = server_side(Limits(max_open=1)).hears(opening(2, "a", "x" * 100)[:-10])
    assert side.counters.open_now == 1


def test_what_is_open_is_counted_up_and_down() -> None:
    side = server_side().hears(opening(2, "a"), named(3, "b"), opening(4, "c"))
    assert side.counters.open_now == 3
    side.answers(0, 1).answers(1, 1).answers(2, 1)
    assert side.counters.open_now == 0


# Late bytes


def test_late_bytes_are_dropped_up_to_the_bound_and_then_the_connection_closed() -> None:
    late = frame({"id": 1}, bytes(9_000))
    side = server_side(Limits(late_bytes=3 * len(late)))
    for _ in range(3):
        side.hears(late)
        assert not side.ending
    side.hears(late)
    assert side.codes == [(None, "too-many")]
    assert side.ending


def test_by_default_the_bound_is_18_mebibytes() -> None:
    side = server_side()
    late = frame({"id": 1}, bytes(1 << 20))
    for _ in range(17):
        side.hears(late)
    assert not side.ending
    side.hears(late)
    assert side.ending


def test_late_bytes_announced_count_on_the_header() -> None:
    side = server_side().hears(framed(header_bytes({"id": 1, "content-length": 2**40})))
    assert side.ending


def test_items_that_come_after_their_client_s_own_cancel_count_as_late() -> None:
    side = server_side(Limits(late_bytes=30_000)).hears(named(2, "upload", more=True), frame({"id": 2, "cancel": True}))
    for _ in range(4):
        side.hears(frame({"id": 2, "more": True}, bytes(9_000)))
    assert side.codes == [(None, "too-many")]


# Control frames


def test_200_control_frames_in_10_s_are_allowed() -> None:
    side = server_side().hears(control(1, cancel=True) * 200)
    assert not side.ending
    side.hears(opening(2, "next"))
    assert side.actions == ["next"]


@each_cut
def test_more_control_frames_close_with_too_many(cut: Cut) -> None:
    side = server_side(cut=cut).hears(control(1, cancel=True) * 201, opening(2, "next"))
    assert side.codes == [(None, "too-many")]
    assert side.ending
    assert side.actions == []


def test_after_10_s_as_many_are_allowed_again() -> None:
    side = server_side()
    for _ in range(4):
        side.hears(control(1, cancel=True) * 200)
        side.now += 10.0
    assert not side.ending


def test_cancels_of_open_requests_and_credit_count_alike() -> None:
    side = server_side(Limits(control_frames=4)).hears(opening(2, "a"), opening(3, "b"))
    side.hears(control(2, cancel=True), control(3, cancel=True), control(2, credit=5), control(1, credit=5))
    assert not side.ending
    side.hears(control(3, credit=5))
    assert side.codes[-1] == (None, "too-many")


def test_opening_and_cancelling_over_and_over_is_stopped() -> None:
    side = server_side()
    for id in range(2, 400):
        if side.ending:
            break
        side.hears(opening(id, "a"), control(id, cancel=True))
        side.answers(side.requests[-1], 1)
    assert side.ending
    assert len(side.requests) <= 202


# Buffered bytes over all connections


def half_an_upload(id: int, size: int) -> tuple[bytes, bytes]:
    """An upload in two parts: all but a thousand bytes, and the rest."""
    data = frame({"id": id}, bytes(size))
    return data[:-1_000], data[-1_000:]


@each_cut
def test_content_counts_while_it_arrives_and_until_its_handler_has_ended(cut: Cut) -> None:
    side = server_side(cut=cut)
    start, rest = half_an_upload(2, 200_000)
    side.hears(start)
    assert 199_000 < side.budget.used < 199_000 + A_HEADER
    side.hears(rest)
    assert side.held == 200_000
    assert 200_000 < side.budget.used < 200_000 + A_HEADER
    side.answers(0, 1)
    assert side.budget.used == 0


def test_what_was_only_announced_does_not_count() -> None:
    side = server_side().hears(framed(header_bytes({"id": 2, "content-length": 10_000_000})))
    assert 0 < side.budget.used < A_HEADER


@pytest.mark.smoke
@each_cut
@pytest.mark.parametrize("size", [40_000, 300_000])
def test_content_that_would_pass_the_bound_is_skipped_and_the_connection_kept(cut: Cut, size: int) -> None:
    budget = Budget(size * 3 // 2 + 2 * A_HEADER)
    sides = [server_side(cut=cut, budget=budget) for _ in range(2)]
    parts = half_an_upload(2, size)
    for part in parts:  # both were let in on their headers
        for side in sides:
            side.hears(part)
    assert [len(side.requests) for side in sides] == [1, 0]
    assert sides[1].codes == [(2, "too-many")]
    assert size < budget.used < size + A_HEADER
    sides[1].hears(opening(3, "next"))
    assert sides[1].actions == ["next"]


def test_content_that_cannot_fit_is_refused_on_its_header() -> None:
    side = server_side(budget=Budget(5_000)).hears(framed(header_bytes({"id": 2, "content-length": 5_001})))
    assert side.codes == [(2, "too-many")]
    side.hears(bytes(5_001), opening(3, "next"))
    assert side.actions == ["next"]


def test_above_the_bound_no_handler_is_started_not_even_for_a_request_without_content() -> None:
    budget = Budget(10_000)
    budget.used = 9_990  # another connection's
    side = ServerSide(budget=budget)
    side.hears(frame({"id": 2, "action": "a"}))
    assert (side.codes, side.actions) == ([(2, "too-many")], [])
    budget.used = 0
    assert side.hears(frame({"id": 3, "action": "a"})).actions == ["a"]


@each_cut
def test_the_bound_is_never_passed(cut: Cut) -> None:
    budget = Budget(100_000)
    sides = [server_side(cut=cut, budget=budget) for _ in range(5)]
    data = [frame({"id": 2}, bytes(30_000 + 10_000 * n)) for n in range(5)]
    for at in range(0, 80_000, 5_000):
        for side, one in zip(sides, data, strict=True):
            side.hears(one[at : at + 5_000])
            assert budget.used <= budget.limit
    for side in sides:
        for request in side.requests:
            side.answers(request, 1)
        side.hears_end()
    assert budget.used == 0


@pytest.mark.parametrize("end", ["lost", "end", "error", "deadline", "bad content"])
def test_whatever_ends_a_request_its_bytes_are_given_back(end: str) -> None:
    side = server_side()
    kind = {"content-type": "text/json", "content-encoding": "utf-8"} if end == "bad content" else {}
    data = frame({"id": 2, **kind}, b"x" * 200_000)
    side.hears(data if end == "bad content" else data[:-5])
    if end == "lost":
        side.core.lost()
    elif end == "end":
        side.hears_end()
    elif end == "error":
        side.hears(b"xxxxx\x00\x00")
        side.answers(0, 1)
    elif end == "deadline":
        side.passes(30.0)
    assert (side.settled().budget.used, side.counters.open_now) == (0, 0)


def test_content_counts_as_what_it_was_decompressed_to_until_its_handler_has_ended() -> None:
    side = server_side(Limits(buffered_bytes=100_000)).hears(named(2, "a", "x" * 100), named(3, "b", "x" * 100))
    first, second = side.requests[-2:]
    side.core.unpacked(first, bytes(90_000))
    assert first.content == bytes(90_000)
    with pytest.raises(TooMany):
        side.core.unpacked(second, bytes(20_000))
    side.answers(first, 1)
    side.core.unpacked(second, bytes(20_000))
    side.answers(second, 1)
    assert side.budget.used == 0


def test_a_request_in_classic_form_that_decompresses_beyond_the_bound_is_too_many() -> None:
    content = gzip.compress(b'{"action": "a", "value": "' + b"x" * 20_000 + b'"}')
    request = frame({"id": 1, "content-type": "text/json", "content-encoding": "utf-8", "compression": "gzip"}, content)
    core = ServerProtocol(Limits(buffered_bytes=10_000), 0.0, readable=("gzip",))
    core.receive(request, 0.0)
    assert core.events == []
    assert b'"too-many"' in joined(core.out)

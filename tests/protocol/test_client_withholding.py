"""Cancellations at the client: no more of them than a server takes in its time, the others later."""

from letterhead.limits import Limits
from tests.protocol.pairs import Asked, ClientSide, Pair, asked, client_side, failure, reply
from tests.wire.frames import Frame

LIMITS = Limits(control_frames=20, control_seconds=10.0)
AT_ONCE = 9  # twice that are fewer than the server's 20


def open_calls(number: int, limits: Limits = LIMITS) -> tuple[ClientSide, list[Asked]]:
    side = client_side(limits)
    calls = [side.calls("wait") for _ in range(number)]
    side.sent.clear()
    return side, calls


def cancelled(frames: list[Frame]) -> list[int | None]:
    return [frame.id for frame in frames if frame.header.get("cancel")]


def give_up(side: ClientSide, calls: list[Asked]) -> None:
    for call in calls:
        side.gives_up(call)


def test_cancellations_above_the_allowance_are_withheld() -> None:
    side, calls = open_calls(30)
    give_up(side, calls)
    assert cancelled(side.sent) == [call.id for call in calls[:AT_ONCE]]
    assert side.core.withholds


def test_the_first_tick_allows_for_more_and_the_next_only_a_window_later() -> None:
    side, calls = open_calls(30)
    give_up(side, calls)
    side.core.tick(1000.0)
    assert len(cancelled(side.settled().sent)) == 2 * AT_ONCE
    assert side.core.due == 1010.0
    side.core.tick(1009.9)
    assert len(cancelled(side.settled().sent)) == 2 * AT_ONCE
    side.core.tick(1010.0)
    assert cancelled(side.settled().sent) == [call.id for call in calls[: 3 * AT_ONCE]]


def test_a_call_that_ended_meanwhile_is_not_cancelled_any_more() -> None:
    side, calls = open_calls(AT_ONCE + 2)
    give_up(side, calls)
    side.hears(reply(calls[-2].id, 0))
    side.core.tick(1000.0)
    assert cancelled(side.settled().sent)[AT_ONCE:] == [calls[-1].id]
    assert not side.core.withholds


def test_its_slot_stays_taken_while_its_cancellation_is_withheld() -> None:
    side, calls = open_calls(AT_ONCE + 1)
    give_up(side, calls)
    assert len(side.core.open) == AT_ONCE + 1
    side.hears(failure(calls[-1].id, "cancelled"))
    assert len(side.core.open) == AT_ONCE
    assert not side.core.withholds


def test_superseding_counts_and_falls_back_to_a_cancellation_that_is_withheld() -> None:
    side, calls = open_calls(AT_ONCE + 1)
    give_up(side, calls[:AT_ONCE])
    later = side.submits(asked("wait", limits=LIMITS), supersedes=calls[-1])
    assert calls[-1].abandoned
    assert "supersedes" not in side.sent[-1].header
    assert side.sent[-1].id == later.id
    side.core.tick(1000.0)
    assert cancelled(side.settled().sent)[-1] == calls[-1].id


def test_a_connection_that_has_ended_withholds_nothing() -> None:
    side, calls = open_calls(AT_ONCE + 1)
    give_up(side, calls)
    side.hears_end()
    assert not side.core.withholds


def test_a_server_with_the_same_limits_never_closes_the_connection_for_it() -> None:
    limits = Limits(control_frames=20, control_seconds=10.0, max_open=1000)
    pair = Pair(lambda _: None, limits)
    pair.calls("first")
    calls = [pair.carry().calls("wait") for _ in range(200)]
    pair.carry()
    client, server = pair.client.core, pair.server
    for call in calls:
        client.cancel(call)
    while client.withholds:
        client.tick(server.now)
        pair.carry()
        server.now = max(server.now, client.due)
    assert not server.ending
    assert len(server.stops) == 200

"""Which server a call goes to, and when one is tried again; the clock and chance are arguments."""

from typing import Any

import pytest
from letterhead.protocol.calls import Call
from letterhead.protocol.openings import action_call
from letterhead.protocol.retry import Elsewhere, Why

from letterhead.client.balancer import Member, Pool, State
from letterhead.errors import ConnectionFailed, ConnectionLost, ConnectRefused, ConnectTimedOut
from letterhead.limits import Limits
from letterhead.protocol.client import ClientProtocol
from tests.protocol.pairs import control, hello
from tests.wire.frames import json_frame

LIMITS = Limits(reconnect_seconds=1.0, reconnect_max_seconds=8.0, slow_start_seconds=10.0, eyeballs_seconds=0.25)
REFUSED = ConnectRefused("nothing listens at a:1", address="a:1")


class Joined:
    """A connection to a server that multiplexes."""

    def __init__(self, *, answered: bool = True) -> None:
        self.requester = ClientProtocol(LIMITS, "a:1")
        if answered:
            first = a_call()
            self.requester.submit(first)
            self.requester.receive(hello())
            self.requester.cancel(first)
            self.requester.open.clear()
            self.requester.events.clear()

    def has(self, calls: int) -> "Joined":
        for _ in range(calls):
            self.requester.submit(a_call())
        return self


class Chance:
    """Stands in for chance: always the same number."""

    def __init__(self, number: float) -> None:
        self.number = number

    def __call__(self) -> float:
        return self.number


def a_call(name: str = "act") -> Call:
    return action_call(name, (), {}, None, LIMITS)


def waiting(pool: Pool[Joined], now: float = 1.0) -> Call:
    call = a_call()
    pool.begins_to_wait(call, now)
    return call


def pool_of(*names: str, chance: float = 0.0, **options: Any) -> tuple[Pool[Joined], list[tuple[str, dict[str, Any]]]]:
    told: list[tuple[str, dict[str, Any]]] = []

    def tell(level: int, event: str, sentence: str, *args: Any, **fields: Any) -> None:
        assert sentence % args
        told.append((event, fields))

    pool: Pool[Joined] = Pool([(name, name) for name in names], LIMITS, Chance(chance), tell, **options)
    return pool, told


def connect(pool: Pool[Joined], member: Member[Joined], now: float = 0.0, calls: int = 0) -> Joined:
    connection = Joined()
    pool.dials(member, now)
    pool.joined(member, connection, now)
    pool.answered(member, now)
    return connection.has(calls)


# -- one server ----------------------------------------------------------------------------------------------------


def test_a_client_connects_at_its_first_call() -> None:
    pool, _ = pool_of("a:1")
    assert pool.choose(a_call(), 0.0) is None
    member = pool.next_to_dial(0.0)
    assert member is pool.members[0]


def test_one_attempt_at_a_time() -> None:
    pool, _ = pool_of("a:1")
    pool.dials(pool.members[0], 0.0)
    assert pool.next_to_dial(5.0) is None


def test_before_the_first_connection_a_call_fails_with_the_attempt() -> None:
    pool, _ = pool_of("a:1")
    (member,) = pool.members
    call = waiting(pool)
    pool.dials(member, 1.0)
    assert pool.hopeless(call) is None  # it may still come
    pool.failed(member, REFUSED, 1.0)
    assert pool.hopeless(call) is REFUSED
    assert pool.hopeless(waiting(pool)) is None  # whoever comes later tries by itself, and at once
    assert pool.next_to_dial(1.0) is member


def test_after_it_calls_wait() -> None:
    pool, _ = pool_of("a:1")
    (member,) = pool.members
    lost(pool, connect(pool, member), 1.0)
    call = waiting(pool)
    pool.dials(member, 2.0)
    pool.failed(member, REFUSED, 2.0)
    assert pool.waits
    assert pool.hopeless(call) is None


@pytest.mark.parametrize("waits", [True, False])
def test_whether_calls_wait_can_be_said(waits: bool) -> None:
    pool, _ = pool_of("a:1", waits=waits)
    (member,) = pool.members
    for _ in range(2):
        call = waiting(pool)
        pool.failed(member, REFUSED, 1.0)
        assert (pool.hopeless(call) is None) is waits
        connect(pool, member)
        member.connection = None


def lost(pool: Pool[Joined], connection: Joined, now: float, error: ConnectionFailed | None = None) -> None:
    connection.requester.lost(error or ConnectionLost("reset", address="a:1"))
    (member,) = [member for member in pool.members if member.connection is connection]
    pool.parted(member, connection, now)


@pytest.mark.parametrize(
    ("chance", "waits"), [(0.0, [0.0] * 6), (0.5, [0.5, 1, 2, 4, 4, 4]), (1.0, [1, 2, 4, 8, 8, 8])]
)
def test_waits_double_up_to_the_longest_and_chance_takes_a_part_of_each(chance: float, waits: list[float]) -> None:
    pool, told = pool_of("a:1", chance=chance, waits=True)
    (member,) = pool.members
    now = 0.0
    for wait in waits:
        pool.dials(member, now)
        pool.failed(member, REFUSED, now)
        assert pool.due(now) == now + wait
        if wait:
            assert pool.next_to_dial(now + wait * 0.99) is None
        assert pool.next_to_dial(now + wait) is member
        now += wait
    assert [fields["delay"] for _, fields in told] == waits


def test_no_calls_time_passes_without_an_attempt_in_its_second_half() -> None:
    pool, _ = pool_of("a:1", chance=1.0, waits=True)
    (member,) = pool.members
    for _ in range(5):
        pool.failed(member, REFUSED, 100.0)
        member.again_at = 100.0
    pool.failed(member, REFUSED, 100.0)
    assert pool.due(100.0) == 108.0
    pool.hurry(100.0, until=110.0)  # it comes in time
    assert pool.due(100.0) == 108.0
    pool.hurry(101.0, until=105.0)
    assert pool.due(101.0) == 103.0


def test_calls_with_little_time_make_few_attempts() -> None:
    pool, _ = pool_of("a:1", chance=1.0, waits=True)
    (member,) = pool.members
    for _ in range(5):
        pool.failed(member, REFUSED, 100.0)
        member.again_at = 100.0
    pool.failed(member, REFUSED, 100.0)
    for now in (100.0, 100.1, 100.5):
        pool.hurry(now, until=now + 0.01)
        assert pool.due(now) == 101.0  # no sooner than the first wait after the last attempt


def test_an_answer_begins_the_waits_anew() -> None:
    pool, _ = pool_of("a:1", chance=1.0, waits=True)
    (member,) = pool.members
    for _ in range(5):
        pool.failed(member, REFUSED, 0.0)
    connection = connect(pool, member, 100.0)
    assert member.error is None
    lost(pool, connection.has(1), 200.0)
    assert pool.due(200.0) == 201.0


def test_a_connection_that_says_nothing_counts_as_failed() -> None:
    """A proxy takes connections although no server stands behind it."""
    pool, told = pool_of("a:1", chance=1.0, waits=True)
    (member,) = pool.members
    for number in (1, 2, 3):
        connection = Joined(answered=False).has(1)
        pool.joined(member, connection, 10.0 * number)
        lost(pool, connection, 10.0 * number)
        assert told[-1][0] == "connect-failed"
        assert told[-1][1]["attempt"] == number


@pytest.mark.parametrize(("after", "failures"), [(0.0, 1), (10.0, 0)])
def test_a_connection_that_ends_unused_failed_only_if_it_ends_at_once(after: float, failures: int) -> None:
    """A server closes who never says anything; somebody who hangs up at once is no server."""
    pool, _ = pool_of("a:1", chance=1.0, waits=True)
    (member,) = pool.members
    connection = Joined(answered=False)
    pool.joined(member, connection, 100.0)
    lost(pool, connection, 100.0 + after)
    assert pool.counters["connect-failed"] == failures


def test_a_connection_that_idled_out_is_no_failure() -> None:
    pool, told = pool_of("a:1", chance=1.0)
    connection = connect(pool, pool.members[0])
    told.clear()
    lost(pool, connection, 50.0)
    assert told == []
    assert pool.next_to_dial(50.0) is pool.members[0]


def test_a_server_that_leaves_in_order_may_be_connected_to_at_once() -> None:
    pool, told = pool_of("a:1", chance=1.0)
    connection = connect(pool, pool.members[0])
    connection.requester.answered = True
    connection.requester.receive(control(None, closing=7))
    pool.parted(pool.members[0], connection, 5.0)
    assert told[-1][0] == "server-left"
    assert pool.counters["left"] == 1
    assert pool.next_to_dial(5.0) is pool.members[0]


def test_one_that_leaves_before_it_answered_is_set_aside() -> None:
    """Behind a proxy the same server may come again and again."""
    pool, told = pool_of("a:1", chance=1.0, waits=True)
    connection = Joined().has(1)
    pool.joined(pool.members[0], connection, 0.0)
    connection.requester.receive(control(None, closing=0))
    pool.parted(pool.members[0], connection, 5.0)
    assert told[-1][0] == "connect-failed"
    assert pool.next_to_dial(5.0) is None


def test_a_loss_is_told_with_how_many_calls_were_open() -> None:
    pool, told = pool_of("a:1")
    lost(pool, connect(pool, pool.members[0], calls=3), 9.0)
    assert told[-1] == ("connection-lost", {"server": "a:1", "open": 3, "error": "connection-lost"})
    assert pool.counters["lost"] == 1


def test_coming_back_is_told_with_how_long_it_took() -> None:
    pool, told = pool_of("a:1")
    lost(pool, connect(pool, pool.members[0], calls=1), 10.0)
    pool.failed(pool.members[0], REFUSED, 11.0)
    connect(pool, pool.members[0], 12.5)
    assert told[-1] == ("connected", {"server": "a:1", "attempts": 2, "seconds": 2.5})


# -- several -------------------------------------------------------------------------------------------------------


def test_a_call_goes_to_the_server_with_the_fewest_open_calls() -> None:
    pool, _ = pool_of("a:1", "b:1", "c:1")
    for member, calls in zip(pool.members, (3, 1, 2), strict=True):
        connect(pool, member, calls=calls)
    assert pool.choose(a_call(), 0.0) is pool.members[1]


def test_equals_take_turns() -> None:
    pool, _ = pool_of("a:1", "b:1", "c:1")
    for member in pool.members:
        connect(pool, member)
    assert {pool.choose(a_call(), 0.0) for _ in range(3)} == set(pool.members)


def test_chance_says_which_is_the_first() -> None:
    firsts = {pool_of("a:1", "b:1", chance=chance)[0].next_to_dial(0.0).name for chance in (0.1, 0.9)}  # type: ignore[union-attr]
    assert firsts == {"a:1", "b:1"}


def test_who_makes_one_call_after_the_other_needs_one_connection() -> None:
    pool, _ = pool_of("a:1", "b:1")
    connect(pool, pool.members[0])
    assert pool.next_to_dial(0.0) is None


def test_another_server_is_connected_to_when_all_connected_ones_are_at_work() -> None:
    pool, _ = pool_of("a:1", "b:1")
    connect(pool, pool.members[0], calls=1)
    assert pool.next_to_dial(0.0) is pool.members[1]


def test_while_none_is_connected_the_next_is_tried_after_a_moment_or_a_failure() -> None:
    pool, _ = pool_of("a:1", "b:1")
    a, b = pool.members
    pool.dials(a, 0.0)
    assert pool.next_to_dial(0.2) is None
    assert pool.due(0.2) == 0.25
    assert pool.next_to_dial(0.25) is b


def test_while_none_is_connected_the_next_is_tried_at_once_after_a_failure() -> None:
    pool, _ = pool_of("a:1", "b:1")
    a = pool.next_to_dial(0.0)
    assert a is not None
    pool.dials(a, 0.0)
    pool.failed(a, REFUSED, 0.1)
    assert pool.next_to_dial(0.1) not in (a, None)


def test_a_dead_server_is_set_aside_and_tried_again() -> None:
    pool, _ = pool_of("a:1", "b:1", chance=1.0, waits=True)
    a, b = pool.members
    pool.dials(a, 0.0)
    pool.failed(a, REFUSED, 0.0)
    connect(pool, b, calls=1)
    assert pool.next_to_dial(0.5) is None
    assert pool.choose(a_call(), 0.5) is b
    assert pool.next_to_dial(1.0) is a


def test_a_server_that_came_back_gets_less_than_its_share_at_first() -> None:
    pool, _ = pool_of("a:1", "b:1")
    a, b = pool.members
    connect(pool, a, calls=4)
    pool.failed(b, REFUSED, 0.0)
    back = connect(pool, b, 100.0)
    given = []
    for now in (100.0, 105.0, 110.0):
        while pool.choose(a_call(), now) is b:
            back.has(1)
        given.append(b.load)
    assert given[0] == 0
    assert given[1] in (1, 2)  # half of the time has passed: each call weighs as much as two
    assert given[2] in (4, 5)


def test_where_all_have_failed_the_error_tells_of_each() -> None:
    pool, _ = pool_of("a:1", "b:1")
    a, b = pool.members
    call = waiting(pool)
    pool.failed(a, REFUSED, 1.0)
    assert pool.hopeless(call) is None
    pool.failed(b, ConnectTimedOut("b:1 did not answer within 10 s", address="b:1"), 2.0)
    error = pool.hopeless(call)
    assert type(error) is ConnectionFailed
    assert "nothing listens at a:1" in str(error)
    assert "b:1 did not answer" in str(error)


def test_a_call_that_one_server_could_not_run_goes_to_another() -> None:
    pool, _ = pool_of("a:1", "b:1", chance=1.0)
    a, b = pool.members
    connect(pool, a)
    connect(pool, b, calls=50)
    call = a_call()
    call.repeats = 1
    pool.elsewhere(Elsewhere([call], Why.UNAVAILABLE), a, Joined().requester, 5.0)
    assert call.not_before == 5.0
    assert pool.choose(call, 5.0) is b
    b.connection = None
    assert pool.choose(call, 5.0) is a  # better than nothing


def test_where_none_can_run_it_it_waits_longer_each_time() -> None:
    pool, told = pool_of("a:1", chance=1.0)
    connect(pool, pool.members[0])
    call, waits = a_call(), []
    for call.repeats in (1, 2, 3, 4):
        pool.elsewhere(Elsewhere([call], Why.UNAVAILABLE, REFUSED), pool.members[0], Joined().requester, 5.0)
        waits.append(call.not_before - 5.0)
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert told[-1] == (
        "call-repeated",
        {"server": "a:1", "action": "act", "attempt": 5, "error": "connect-refused"},
    )


# -- what a server offers ------------------------------------------------------------------------------------------


def test_what_lasts_is_asked_once_what_it_offers() -> None:
    pool, _ = pool_of("a:1")
    (member,) = pool.members
    connect(pool, member)
    assert not pool.may_learn(member, 0.5)  # a program that calls once and ends
    assert pool.may_learn(member, 1.0)
    assert not pool.may_learn(member, 2.0)


def test_a_server_that_came_back_is_asked_at_once() -> None:
    pool, _ = pool_of("a:1")
    (member,) = pool.members
    lost(pool, connect(pool, member), 1.0)
    connect(pool, member, 2.0)
    assert pool.may_learn(member, 2.0)


def test_nothing_is_asked_where_the_client_was_told() -> None:
    pool, _ = pool_of("a:1", idempotent=["act"])
    connect(pool, pool.members[0])
    assert not pool.may_learn(pool.members[0], 100.0)
    assert pool.members[0].idempotent == {"act"}


# -- states --------------------------------------------------------------------------------------------------------


def test_states() -> None:
    pool, _ = pool_of("a:1")
    (member,) = pool.members
    states = [pool.state]
    pool.dials(member, 0.0)
    states.append(pool.state)
    connection = connect(pool, member, calls=1)
    states.append(pool.state)
    lost(pool, connection, 1.0)
    states.append(pool.state)
    pool.closed = True
    states.append(pool.state)
    assert states == [State.IDLE, State.CONNECTING, State.READY, State.RECONNECTING, State.CLOSED]


# -- who comes back, and who only seems to -------------------------------------------------------------------------


def test_one_that_leaves_after_its_hello_but_before_an_answer_is_set_aside() -> None:
    """Behind a proxy that one may come again and again."""
    pool, told = pool_of("a:1", chance=1.0, waits=True)
    connection = connect(pool, pool.members[0], calls=1)
    connection.requester.receive(control(None, closing=0))
    pool.parted(pool.members[0], connection, 5.0)
    assert told[-1][0] == "connect-failed"
    assert pool.next_to_dial(5.0) is None
    assert pool.next_to_dial(6.0) is pool.members[0]


def test_failures_of_attempts_that_had_begun_before_do_not_make_the_wait_longer() -> None:
    pool, _ = pool_of("a:1", chance=1.0, waits=True)
    (member,) = pool.members
    for now in (10.0, 10.1, 10.2, 10.9):
        pool.failed(member, REFUSED, now)
    assert (member.failures, pool.due(10.9)) == (1, 11.0)
    assert pool.counters["connect-failed"] == 4


def classic_reply(pool: Pool[Joined], member: Member[Joined], now: float) -> None:
    connection = Joined(answered=False).has(1)
    pool.joined(member, connection, now)
    connection.requester.receive(json_frame({"result": 1}))
    pool.parted(member, connection, now)


def test_a_classic_server_that_comes_back_is_set_aside_no_longer() -> None:
    pool, told = pool_of("a:1", chance=1.0)
    (member,) = pool.members
    classic_reply(pool, member, 0.0)
    for now in (10.0, 20.0, 30.0):
        pool.failed(member, REFUSED, now)
    assert pool.state is State.RECONNECTING
    classic_reply(pool, member, 40.0)
    assert (member.failures, member.error, pool.state) == (0, None, State.IDLE)
    assert told[-1] == ("connected", {"server": "a:1", "attempts": 4, "seconds": None})


def test_a_classic_server_is_tried_by_one_call_while_it_is_away() -> None:
    pool, _ = pool_of("a:1", chance=1.0)
    (member,) = pool.members
    classic_reply(pool, member, 0.0)
    pool.failed(member, REFUSED, 10.0)
    assert pool.choose(a_call(), 10.5) is None
    assert pool.choose(a_call(), 11.0) is member
    pool.dials(member, 11.0)
    assert pool.choose(a_call(), 11.0) is None
    pool.joined(member, Joined(answered=False), 11.0)
    assert pool.choose(a_call(), 11.0) is member


def test_calls_do_not_gather_behind_one_that_has_not_said_anything_yet() -> None:
    pool, _ = pool_of("a:1", "b:1")
    a, b = pool.members
    connect(pool, a, calls=5)
    silent = Joined(answered=False).has(1)
    pool.dials(b, 0.0)
    pool.joined(b, silent, 0.0)
    assert pool.choose(a_call(), 0.0) is a


def test_a_call_that_was_never_written_goes_on_waiting_as_long_as_it_has() -> None:
    pool, _ = pool_of("a:1", waits=True)
    (member,) = pool.members
    call = a_call()
    pool.begins_to_wait(call, 3.0)
    pool.failed(member, REFUSED, 4.0)
    pool.elsewhere(Elsewhere([call], Why.UNWRITTEN), member, Joined().requester, 5.0)
    assert call.since == 3.0


def test_who_does_not_wait_tries_the_next_server_after_a_moment() -> None:
    pool, _ = pool_of("a:1", "b:1", chance=0.0)
    a, b = pool.members
    b.again_at = 100.0
    pool.dials(a, 1.0)
    assert pool.due(1.0) == 1.25
    assert pool.next_to_dial(1.25) is b

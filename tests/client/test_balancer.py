"""Which server a call goes to, and when one is tried again; the clock and chance are arguments."""

from typing import Any

import pytest

from letterhead.client.balancer import Balancer
from letterhead.client.connection import CLASSIC_AT_ONCE, Connection, Endpoint
from letterhead.client.keepalive import Keepalive
from letterhead.client.state import State
from letterhead.errors import ConnectionFailed, ConnectRefused, ConnectTimedOut
from letterhead.limits import Limits
from letterhead.protocol.client import ClientProtocol
from tests.client.core.world import Chance
from tests.protocol.pairs import asked, control, hello
from tests.wire.frames import json_frame

LIMITS = Limits(reconnect_seconds=1.0, reconnect_max_seconds=8.0, slow_start_seconds=10.0, eyeballs_seconds=0.25)
REFUSED = ConnectRefused("nothing listens at a:1", address="a:1")

Server = Endpoint[str, None]
Line = Connection[str, None]
Told = list[tuple[str, dict[str, Any]]]


class Servers(Balancer[str, None]):
    """A balancer, and what it told."""

    def __init__(self, *names: str, chance: float = 0.0, **options: Any) -> None:
        self.told: Told = []
        super().__init__(names, LIMITS, Chance(chance), self.tell, **options)

    def tell(self, level: int, event: str, sentence: str, *args: Any, **fields: Any) -> None:
        assert sentence % args
        self.told.append((event, fields))


def line_to(endpoint: Server, *, answered: bool = True, calls: int = 0) -> Line:
    """A connection to a server that multiplexes, on which so many calls are open; or one that has not said anything."""
    protocol: ClientProtocol[str] = ClientProtocol(LIMITS, endpoint.name)
    if answered:
        first = asked("act")
        protocol.submit(first)
        protocol.receive(hello())
        protocol.cancel(first)
        protocol.open.clear()
    line: Line = Connection(endpoint, protocol, Keepalive(20.0, 20.0), None, single=False)
    return holding(line, calls)


def holding(line: Line, calls: int) -> Line:
    """The connection with so many calls more."""
    for _ in range(calls):
        line.protocol.submit(asked("act"))
    line.protocol.events.clear()
    return line


def connect(servers: Servers, endpoint: Server, now: float = 0.0, calls: int = 0) -> Line:
    line = line_to(endpoint)
    servers.dials(endpoint, now)
    servers.joined(endpoint, line, now)
    servers.answered(endpoint, now)
    return holding(line, calls)


def lost(servers: Servers, line: Line, now: float) -> None:
    """The server hangs up."""
    line.protocol.end_of_stream("reset the connection")
    parted(servers, line, now)


def parted(servers: Servers, line: Line, now: float) -> None:
    assert line.protocol.end is not None
    servers.ended(line, line.protocol.end, now)


# -- one server ----------------------------------------------------------------------------------------------------


def test_a_client_connects_at_its_first_call() -> None:
    servers = Servers("a:1")
    assert servers.choose(0.0) is None
    endpoint = servers.next_to_dial(0.0)
    assert endpoint is servers.endpoints[0]


def test_one_attempt_at_a_time() -> None:
    servers = Servers("a:1")
    servers.dials(servers.endpoints[0], 0.0)
    assert servers.next_to_dial(5.0) is None


def test_before_the_first_connection_a_call_fails_with_the_attempt() -> None:
    servers = Servers("a:1")
    (endpoint,) = servers.endpoints
    before = servers.failures
    servers.dials(endpoint, 1.0)
    assert servers.unreachable(before) is None  # it may still come
    servers.failed(endpoint, REFUSED, 1.0)
    error = servers.unreachable(before)
    assert (type(error), str(error)) == (ConnectRefused, "nothing listens at a:1")
    assert servers.unreachable(servers.failures) is None  # whoever comes later tries by itself, and at once
    assert servers.next_to_dial(1.0, servers.failures) is endpoint


def test_who_does_not_wait_tries_each_server_once() -> None:
    servers = Servers("a:1", "b:1", chance=1.0)
    a, b = servers.endpoints
    before = servers.failures
    servers.dials(b, 1.0)
    servers.failed(a, REFUSED, 1.0)
    assert servers.next_to_dial(1.5, before) is None
    assert servers.due(1.5, before) == 2.0
    assert servers.next_to_dial(1.5, servers.failures) is a  # a later call's
    assert servers.due(1.5, servers.failures) == 1.5


def test_after_it_calls_wait() -> None:
    servers = Servers("a:1")
    (endpoint,) = servers.endpoints
    lost(servers, connect(servers, endpoint), 1.0)
    before = servers.failures
    servers.dials(endpoint, 2.0)
    servers.failed(endpoint, REFUSED, 2.0)
    assert servers.waits
    assert servers.unreachable(before) is None


@pytest.mark.parametrize("waits", [True, False])
def test_whether_calls_wait_can_be_said(waits: bool) -> None:
    servers = Servers("a:1", waits=waits)
    (endpoint,) = servers.endpoints
    for _ in range(2):
        before = servers.failures
        servers.failed(endpoint, REFUSED, 1.0)
        assert (servers.unreachable(before) is None) is waits
        connect(servers, endpoint)
        endpoint.connection = None


@pytest.mark.parametrize(
    ("chance", "waits"), [(0.0, [0.0] * 6), (0.5, [0.5, 1, 2, 4, 4, 4]), (1.0, [1, 2, 4, 8, 8, 8])]
)
def test_waits_double_up_to_the_longest_and_chance_takes_a_part_of_each(chance: float, waits: list[float]) -> None:
    servers = Servers("a:1", chance=chance, waits=True)
    (endpoint,) = servers.endpoints
    now = 0.0
    for wait in waits:
        servers.dials(endpoint, now)
        servers.failed(endpoint, REFUSED, now)
        assert servers.due(now) == now + wait
        if wait:
            assert servers.next_to_dial(now + wait * 0.99) is None
        assert servers.next_to_dial(now + wait) is endpoint
        now += wait
    assert [fields["delay"] for _, fields in servers.told] == waits


def test_no_calls_time_passes_without_an_attempt_in_its_second_half() -> None:
    servers = Servers("a:1", chance=1.0, waits=True)
    (endpoint,) = servers.endpoints
    for _ in range(5):
        servers.failed(endpoint, REFUSED, 100.0)
        endpoint.again_at = 100.0
    servers.failed(endpoint, REFUSED, 100.0)
    assert servers.due(100.0) == 108.0
    servers.retry_by(100.0, until=110.0)  # it comes in time
    assert servers.due(100.0) == 108.0
    servers.retry_by(101.0, until=105.0)
    assert servers.due(101.0) == 103.0


def test_calls_with_little_time_make_few_attempts() -> None:
    servers = Servers("a:1", chance=1.0, waits=True)
    (endpoint,) = servers.endpoints
    for _ in range(5):
        servers.failed(endpoint, REFUSED, 100.0)
        endpoint.again_at = 100.0
    servers.failed(endpoint, REFUSED, 100.0)
    for now in (100.0, 100.1, 100.5):
        servers.retry_by(now, until=now + 0.01)
        assert servers.due(now) == 101.0  # no sooner than the first wait after the last attempt


def test_an_answer_begins_the_waits_anew() -> None:
    servers = Servers("a:1", chance=1.0, waits=True)
    (endpoint,) = servers.endpoints
    for _ in range(5):
        servers.failed(endpoint, REFUSED, 0.0)
    connection = connect(servers, endpoint, 100.0)
    assert endpoint.error is None
    lost(servers, holding(connection, 1), 200.0)
    assert servers.due(200.0) == 201.0


def test_a_connection_that_says_nothing_counts_as_failed() -> None:
    """A proxy takes connections although no server stands behind it."""
    servers = Servers("a:1", chance=1.0, waits=True)
    (endpoint,) = servers.endpoints
    for number in (1, 2, 3):
        connection = line_to(endpoint, answered=False, calls=1)
        servers.joined(endpoint, connection, 10.0 * number)
        lost(servers, connection, 10.0 * number)
        assert servers.told[-1][0] == "connect-failed"
        assert servers.told[-1][1]["attempt"] == number


@pytest.mark.parametrize(("after", "failures"), [(0.0, 1), (10.0, 0)])
def test_a_connection_that_ends_unused_failed_only_if_it_ends_at_once(after: float, failures: int) -> None:
    """A server closes who never says anything; somebody who hangs up at once is no server."""
    servers = Servers("a:1", chance=1.0, waits=True)
    (endpoint,) = servers.endpoints
    connection = line_to(endpoint, answered=False)
    servers.joined(endpoint, connection, 100.0)
    lost(servers, connection, 100.0 + after)
    assert servers.counters["connect-failed"] == failures


def test_a_connection_that_idled_out_is_no_failure() -> None:
    servers = Servers("a:1", chance=1.0)
    connection = connect(servers, servers.endpoints[0])
    servers.told.clear()
    lost(servers, connection, 50.0)
    assert servers.told == []
    assert servers.next_to_dial(50.0) is servers.endpoints[0]


def test_a_server_that_leaves_in_order_may_be_connected_to_at_once() -> None:
    servers = Servers("a:1", chance=1.0)
    connection = connect(servers, servers.endpoints[0])
    connection.protocol.answered = True
    connection.protocol.receive(control(None, closing=7))
    parted(servers, connection, 5.0)
    assert servers.told[-1][0] == "server-left"
    assert servers.counters["left"] == 1
    assert servers.next_to_dial(5.0) is servers.endpoints[0]


def test_one_that_leaves_before_it_answered_is_set_aside() -> None:
    """Behind a proxy the same server may come again and again."""
    servers = Servers("a:1", chance=1.0, waits=True)
    connection = line_to(servers.endpoints[0], calls=1)
    servers.joined(servers.endpoints[0], connection, 0.0)
    connection.protocol.receive(control(None, closing=0))
    parted(servers, connection, 5.0)
    assert servers.told[-1][0] == "connect-failed"
    assert servers.next_to_dial(5.0) is None


def test_a_loss_is_told_with_how_many_calls_were_open() -> None:
    servers = Servers("a:1")
    lost(servers, connect(servers, servers.endpoints[0], calls=3), 9.0)
    assert servers.told[-1] == ("connection-lost", {"server": "a:1", "open": 3, "error": "connection-lost"})
    assert servers.counters["lost"] == 1


def test_coming_back_is_told_with_how_long_it_took() -> None:
    servers = Servers("a:1")
    lost(servers, connect(servers, servers.endpoints[0], calls=1), 10.0)
    servers.failed(servers.endpoints[0], REFUSED, 11.0)
    connect(servers, servers.endpoints[0], 12.5)
    assert servers.told[-1] == ("connected", {"server": "a:1", "attempts": 2, "seconds": 2.5})


# -- several -------------------------------------------------------------------------------------------------------


def test_a_call_goes_to_the_server_with_the_fewest_open_calls() -> None:
    servers = Servers("a:1", "b:1", "c:1")
    for endpoint, calls in zip(servers.endpoints, (3, 1, 2), strict=True):
        connect(servers, endpoint, calls=calls)
    assert servers.choose(0.0) is servers.endpoints[1]


def test_equals_take_turns() -> None:
    servers = Servers("a:1", "b:1", "c:1")
    for endpoint in servers.endpoints:
        connect(servers, endpoint)
    assert {servers.choose(0.0) for _ in range(3)} == set(servers.endpoints)


def test_chance_says_which_is_the_first() -> None:
    firsts = [Servers("a:1", "b:1", chance=chance).next_to_dial(0.0) for chance in (0.1, 0.9)]
    assert [first and first.name for first in firsts] == ["a:1", "b:1"]


def test_who_makes_one_call_after_the_other_needs_one_connection() -> None:
    servers = Servers("a:1", "b:1")
    connect(servers, servers.endpoints[0])
    assert servers.next_to_dial(0.0) is None


def test_another_server_is_connected_to_when_all_connected_ones_are_at_work() -> None:
    servers = Servers("a:1", "b:1")
    connect(servers, servers.endpoints[0], calls=1)
    assert servers.next_to_dial(0.0) is servers.endpoints[1]


def test_while_none_is_connected_the_next_is_tried_after_a_moment_or_a_failure() -> None:
    servers = Servers("a:1", "b:1")
    a, b = servers.endpoints
    servers.dials(a, 0.0)
    assert servers.next_to_dial(0.2) is None
    assert servers.due(0.2) == 0.25
    assert servers.next_to_dial(0.25) is b


def test_while_none_is_connected_the_next_is_tried_at_once_after_a_failure() -> None:
    servers = Servers("a:1", "b:1")
    a = servers.next_to_dial(0.0)
    assert a is not None
    servers.dials(a, 0.0)
    servers.failed(a, REFUSED, 0.1)
    assert servers.next_to_dial(0.1) not in (a, None)


def test_a_dead_server_is_set_aside_and_tried_again() -> None:
    servers = Servers("a:1", "b:1", chance=1.0, waits=True)
    a, b = servers.endpoints
    servers.dials(a, 0.0)
    servers.failed(a, REFUSED, 0.0)
    connect(servers, b, calls=1)
    assert servers.next_to_dial(0.5) is None
    assert servers.choose(0.5) is b
    assert servers.next_to_dial(1.0) is a


def test_a_server_that_came_back_gets_less_than_its_share_at_first() -> None:
    servers = Servers("a:1", "b:1")
    a, b = servers.endpoints
    connect(servers, a, calls=4)
    servers.failed(b, REFUSED, 0.0)
    back = connect(servers, b, 100.0)
    given = []
    for now in (100.0, 105.0, 110.0):
        while servers.choose(now) is b:
            holding(back, 1)
        given.append(b.load)
    assert given[0] == 0
    assert given[1] in (1, 2)  # half of the time has passed: each call weighs as much as two
    assert given[2] in (4, 5)


def test_where_all_have_failed_the_error_tells_of_each() -> None:
    servers = Servers("a:1", "b:1")
    a, b = servers.endpoints
    before = servers.failures
    servers.failed(a, REFUSED, 1.0)
    assert servers.unreachable(before) is None
    servers.failed(b, ConnectTimedOut("b:1 did not answer within 10 s", address="b:1"), 2.0)
    error = servers.unreachable(before)
    assert type(error) is ConnectionFailed
    assert "nothing listens at a:1" in str(error)
    assert "b:1 did not answer" in str(error)


def test_a_call_that_one_server_could_not_run_goes_to_another() -> None:
    servers = Servers("a:1", "b:1", chance=1.0)
    a, b = servers.endpoints
    connect(servers, a)
    connect(servers, b, calls=50)
    assert servers.pause(1) == 0.0
    assert servers.choose(5.0) is a
    assert servers.choose(5.0, a) is b
    b.connection = None
    assert servers.choose(5.0, a) is a  # better than nothing


def test_where_none_can_run_it_it_waits_longer_each_time() -> None:
    servers = Servers("a:1", chance=1.0)
    assert [servers.pause(repeats) for repeats in (1, 2, 3, 4, 5)] == [1.0, 2.0, 4.0, 8.0, 8.0]
    servers.repeated(servers.endpoints[0], "act", 4, REFUSED)
    assert servers.told[-1] == (
        "call-repeated",
        {"server": "a:1", "action": "act", "attempt": 5, "error": "connect-refused"},
    )


# -- what a server offers ------------------------------------------------------------------------------------------


def test_what_lasts_is_asked_once_what_it_offers() -> None:
    servers = Servers("a:1")
    (endpoint,) = servers.endpoints
    connect(servers, endpoint)
    assert not servers.may_learn(endpoint, 0.5)  # a program that calls once and ends
    assert servers.may_learn(endpoint, 1.0)
    assert not servers.may_learn(endpoint, 2.0)


def test_a_server_that_came_back_is_asked_at_once() -> None:
    servers = Servers("a:1")
    (endpoint,) = servers.endpoints
    lost(servers, connect(servers, endpoint), 1.0)
    connect(servers, endpoint, 2.0)
    assert servers.may_learn(endpoint, 2.0)


def test_nothing_is_asked_where_the_client_was_told() -> None:
    servers = Servers("a:1", idempotent=["act"])
    connect(servers, servers.endpoints[0])
    assert not servers.may_learn(servers.endpoints[0], 100.0)
    assert servers.endpoints[0].idempotent == {"act"}


# -- states --------------------------------------------------------------------------------------------------------


def test_states() -> None:
    servers = Servers("a:1")
    (endpoint,) = servers.endpoints
    states = [servers.state]
    servers.dials(endpoint, 0.0)
    states.append(servers.state)
    connection = connect(servers, endpoint, calls=1)
    states.append(servers.state)
    lost(servers, connection, 1.0)
    states.append(servers.state)
    servers.closed = True
    states.append(servers.state)
    assert states == [State.IDLE, State.CONNECTING, State.READY, State.RECONNECTING, State.CLOSED]


# -- who comes back, and who only seems to -------------------------------------------------------------------------


def test_one_that_leaves_after_its_hello_but_before_an_answer_is_set_aside() -> None:
    """Behind a proxy that one may come again and again."""
    servers = Servers("a:1", chance=1.0, waits=True)
    connection = connect(servers, servers.endpoints[0], calls=1)
    connection.protocol.receive(control(None, closing=0))
    parted(servers, connection, 5.0)
    assert servers.told[-1][0] == "connect-failed"
    assert servers.next_to_dial(5.0) is None
    assert servers.next_to_dial(6.0) is servers.endpoints[0]


def test_failures_of_attempts_that_had_begun_before_do_not_make_the_wait_longer() -> None:
    servers = Servers("a:1", chance=1.0, waits=True)
    (endpoint,) = servers.endpoints
    for now in (10.0, 10.1, 10.2, 10.9):
        servers.failed(endpoint, REFUSED, now)
    assert (endpoint.failures, servers.due(10.9)) == (1, 11.0)
    assert servers.counters["connect-failed"] == 4


def classic_reply(servers: Servers, endpoint: Server, now: float) -> None:
    connection = line_to(endpoint, answered=False, calls=1)
    servers.joined(endpoint, connection, now)
    connection.protocol.receive(json_frame({"result": 1}))
    parted(servers, connection, now)


def test_a_classic_server_that_comes_back_is_set_aside_no_longer() -> None:
    servers = Servers("a:1", chance=1.0)
    (endpoint,) = servers.endpoints
    classic_reply(servers, endpoint, 0.0)
    for now in (10.0, 20.0, 30.0):
        servers.failed(endpoint, REFUSED, now)
    assert servers.state is State.RECONNECTING
    classic_reply(servers, endpoint, 40.0)
    assert (endpoint.failures, endpoint.error, servers.state) == (0, None, State.IDLE)
    assert servers.told[-1] == ("connected", {"server": "a:1", "attempts": 4, "seconds": None})


def test_a_classic_server_is_tried_by_one_call_while_it_is_away() -> None:
    servers = Servers("a:1", chance=1.0)
    (endpoint,) = servers.endpoints
    classic_reply(servers, endpoint, 0.0)
    servers.failed(endpoint, REFUSED, 10.0)
    assert servers.choose(10.5) is None
    assert servers.choose(11.0) is endpoint
    servers.dials(endpoint, 11.0)
    assert servers.choose(11.0) is None
    servers.joined(endpoint, line_to(endpoint, answered=False), 11.0)
    assert servers.choose(11.0) is endpoint


def test_calls_do_not_gather_behind_one_that_has_not_said_anything_yet() -> None:
    servers = Servers("a:1", "b:1")
    a, b = servers.endpoints
    connect(servers, a, calls=5)
    silent = line_to(b, answered=False, calls=1)
    servers.dials(b, 0.0)
    servers.joined(b, silent, 0.0)
    assert servers.choose(0.0) is a


def test_who_does_not_wait_tries_the_next_server_after_a_moment() -> None:
    servers = Servers("a:1", "b:1", chance=0.0)
    a, b = servers.endpoints
    b.again_at = 100.0
    servers.dials(a, 1.0)
    assert servers.due(1.0, servers.failures) == 1.25
    assert servers.next_to_dial(1.25, servers.failures) is b


# -- servers that leave --------------------------------------------------------------------------------------------


def leaving(servers: Servers, endpoint: Server, now: float) -> Line:
    """A connection whose server says that it is leaving, and on which a call goes on."""
    line = connect(servers, endpoint, now, calls=1)
    line.protocol.answered = True
    line.protocol.receive(control(None, closing=9))
    servers.leaves(line, now)
    return line


def test_one_that_leaves_while_something_is_open_is_told_so_at_once_and_once() -> None:
    servers = Servers("a:1", chance=1.0)
    line = leaving(servers, servers.endpoints[0], 5.0)
    assert servers.told[-1][0] == "server-left"
    count = len(servers.told)
    lost(servers, line, 6.0)
    assert (len(servers.told), servers.counters["left"], servers.counters["lost"]) == (count, 1, 0)


def test_one_that_leaves_again_and_again_is_connected_to_less_and_less_often() -> None:
    servers = Servers("a:1", chance=1.0)
    (endpoint,) = servers.endpoints
    now, waits = 5.0, []
    for _ in range(5):
        leaving(servers, endpoint, now)
        waits.append(max(0.0, servers.due(now) - now))
        now += waits[-1]
    assert waits == [0.0, 2.0, 4.0, 8.0, 8.0]


def test_one_whose_connections_last_may_leave_as_often_as_it_likes() -> None:
    servers = Servers("a:1", chance=1.0)
    (endpoint,) = servers.endpoints
    for number in range(5):
        line = connect(servers, endpoint, 100.0 * number, calls=1)
        line.protocol.answered = True
        line.protocol.receive(control(None, closing=9))
        servers.leaves(line, 100.0 * number + 50.0)
        assert servers.next_to_dial(100.0 * number + 50.0) is endpoint


def test_calls_with_little_time_do_not_hurry_what_has_just_been_set_aside() -> None:
    servers = Servers("a:1", chance=1.0, waits=True)
    (endpoint,) = servers.endpoints
    for _ in range(3):
        leaving(servers, endpoint, 100.0)
    assert servers.due(100.0) == 104.0
    servers.retry_by(100.0, until=100.01)
    assert servers.due(100.0) == 101.0


# -- several connections to one server -----------------------------------------------------------------------------


def test_of_two_connections_to_a_server_the_one_that_takes_calls_stays_the_shared_one() -> None:
    servers = Servers("a:1")
    (endpoint,) = servers.endpoints
    first, second = connect(servers, endpoint), line_to(endpoint)
    servers.joined(endpoint, second, 1.0)
    assert endpoint.connection is first
    first.protocol.leaving = True
    servers.joined(endpoint, second, 1.0)
    assert endpoint.connection is second


def test_a_classic_server_that_has_its_fill_gets_no_more() -> None:
    servers = Servers("a:1", "b:1")
    a, b = servers.endpoints
    a.classic = True
    a.singles = CLASSIC_AT_ONCE - 1
    assert servers.choose(1.0) is a
    a.singles += 1
    assert servers.choose(1.0) is None
    assert servers.unreachable(0) is None
    connect(servers, b, calls=100)
    assert servers.choose(1.0) is b


# -- the next client -----------------------------------------------------------------------------------------------


def test_what_is_known_of_servers_is_taken_over_their_connections_are_not() -> None:
    servers = Servers("a:1", "b:1", chance=1.0, waits=True)
    a, b = servers.endpoints
    connect(servers, a, 1.0, calls=1)
    b.classic = True
    servers.failed(b, REFUSED, 1.0)
    following = Servers("a:1", "b:1", chance=1.0, waits=True)
    following.take_over(servers)
    first, second = following.endpoints
    assert (first.connection, first.load, second.classic) == (None, 0, True)
    assert (second.failures, second.again_at, following.failures) == (1, 2.0, 1)
    assert following.due(1.5) == 1.5
    assert following.next_to_dial(1.5) is first

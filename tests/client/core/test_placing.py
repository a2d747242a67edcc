"""Where calls go: one server, several, classic ones; when another connection is made."""

import pytest

from letterhead.client.connection import CLASSIC_AT_ONCE
from letterhead.client.state import State
from letterhead.errors import ConnectionFailed, ConnectRefused, UsageError
from letterhead.message import Message
from tests.client.core.world import World, classic, leaves_open
from tests.wire.frames import Cut, each_cut


@pytest.mark.smoke
@each_cut
def test_a_call_gets_what_its_handler_gave(cut: Cut) -> None:
    world = World(cut=cut)
    calls = [world.calls("echo", n) for n in range(5)]
    assert [world.result(call) for call in calls] == list(range(5))
    assert world.ended == calls
    assert len(world.dialled) == 1


def test_nothing_is_connected_to_before_the_first_call() -> None:
    world = World()
    assert (world.dialled, world.core.events, world.core.balancer.state) == ([], [], State.IDLE)


def test_calls_that_come_while_a_connection_is_made_share_it() -> None:
    world = World()
    world.site.hangs = True
    calls = [world.calls("echo", n) for n in range(4)]
    assert len(world.pending) == 1
    world.connects()
    assert [world.result(call) for call in calls] == [0, 1, 2, 3]
    assert len(world.dialled) == 1


def test_calls_that_waited_are_sent_in_the_order_they_came() -> None:
    world = World()
    world.site.hangs = True
    for n in range(6):
        world.calls("echo", n)
    world.connects()
    values = [sent.value["value"] if n == 0 else sent.value for n, sent in enumerate(world.site.sent)]
    assert values == [0, 1, 2, 3, 4, 5]


def test_a_connection_that_is_lost_is_made_again_for_the_next_call() -> None:
    world = World()
    world.calls("echo", 1)
    world.hangs_up()
    assert len(world.dialled) == 1  # nobody needs one
    assert world.result(world.calls("echo", 2)) == 2
    assert len(world.dialled) == 2


def test_a_closed_client_takes_no_calls() -> None:
    world = World()
    world.core.close(world.now)
    with pytest.raises(UsageError, match="closed"):
        world.calls("echo", 1)
    assert world.settled().states == [State.CLOSED]


# Several


def test_a_call_goes_to_the_server_with_the_fewest_open_calls() -> None:
    world = World("a:1", "b:1")
    for site in world.sites.values():
        site.handler = leaves_open
    for _ in range(8):
        world.calls("wait")
    assert sorted(len(site.open) for site in world.sites.values()) == [4, 4]
    assert len(world.dialled) == 2


def test_who_makes_one_call_after_the_other_needs_one_connection() -> None:
    world = World("a:1", "b:1", "c:1")
    for n in range(10):
        assert world.result(world.calls("echo", n)) == n
    assert len(world.dialled) == 1


def test_a_server_that_cannot_be_reached_is_passed_over() -> None:
    world = World("a:1", "b:1", "c:1")
    for name in ("a:1", "b:1"):
        world.sites[name].up = False
    calls = [world.calls("echo", n) for n in range(3)]
    assert [world.result(call) for call in calls] == [0, 1, 2]


def test_a_server_that_does_not_answer_the_dial_is_passed_over_after_a_moment() -> None:
    world = World("a:1", "b:1", chance=lambda: 0.0)
    world.sites["a:1"].hangs = True
    call = world.calls("echo", 1)
    assert (call.done, [name for _, name in world.dialled]) == (False, ["a:1"])
    world.passes(world.settings.limits.eyeballs_seconds)
    assert world.result(call) == 1


def test_where_no_server_can_be_reached_the_error_tells_of_each() -> None:
    world = World("a:1", "b:1")
    for site in world.sites.values():
        site.up = False
    call = world.calls("echo", 1)
    with pytest.raises(ConnectRefused, match=r"none of 2 servers .*nothing listens at a:1.*nothing listens at b:1"):
        world.result(call)


def test_a_call_that_one_server_could_not_run_goes_to_another_at_once() -> None:
    from letterhead.errors import Unavailable

    world = World("a:1", "b:1")
    world.sites["a:1"].handler = lambda _: Unavailable("the database is away")
    calls = [world.calls("echo", n) for n in range(4)]
    assert [world.result(call) for call in calls] == [0, 1, 2, 3]


# Classic servers


def test_a_classic_server_gets_each_call_on_a_connection_of_its_own() -> None:
    world = World()
    world.site.script = classic
    assert [world.result(world.calls("echo", n)) for n in range(3)] == [0, 1, 2]
    assert len(world.site.pipes) == 3
    assert world.site.open_pipes == []
    assert world.core.balancer.endpoints[0].classic


def test_what_waited_for_the_first_answer_of_a_classic_server_is_answered_too() -> None:
    world = World()
    world.site.script = classic
    world.site.hangs = True
    calls = [world.calls("echo", n) for n in range(5)]
    world.site.hangs = False
    world.settled()
    assert [world.result(call) for call in calls] == [0, 1, 2, 3, 4]


def test_a_classic_server_gets_only_so_many_calls_at_once() -> None:
    world = World()
    world.site.script = classic
    world.calls("echo", 0)
    world.site.hangs = True
    calls = [world.calls("echo", n) for n in range(3 * CLASSIC_AT_ONCE)]
    assert len(world.pending) == CLASSIC_AT_ONCE
    world.site.hangs = False
    world.settled()
    assert [world.result(call) for call in calls] == list(range(3 * CLASSIC_AT_ONCE))


def test_where_a_classic_server_has_its_fill_others_get_the_calls() -> None:
    """Its share may be full while the other's is not, however many the other has."""
    world = World("a:1", "b:1", chance=lambda: 0.0)
    a, b = world.sites.values()
    a.script = classic
    world.calls("echo", 0)
    assert world.core.balancer.endpoints[0].classic
    a.hangs = True
    b.handler = leaves_open
    for _ in range(3 * CLASSIC_AT_ONCE):
        world.calls("wait")
    assert len(world.pending) == CLASSIC_AT_ONCE
    assert len(b.open) == 2 * CLASSIC_AT_ONCE


def test_a_classic_server_knows_no_streams_and_that_is_told() -> None:
    world = World()
    world.site.script = classic
    with pytest.raises(ConnectionFailed, match="it knows no streams"):
        world.result(world.streams("count"))
    with pytest.raises(ConnectionFailed, match="it knows no streams"):
        world.result(world.uploads("store"))
    with pytest.raises(ConnectionFailed, match="it takes JSON arguments only"):
        world.result(world.calls("store", b"bytes"))
    assert world.site.open_pipes == []


def test_a_classic_server_gets_a_message_as_a_classic_client_sends_it() -> None:
    world = World()
    world.site.script = classic
    world.calls("echo", 1)
    reply = world.result(world.sends(Message(b"\x01", {"content-type": "binary/x"})))
    assert reply.content == b'{"result": null}'
    assert "id" not in world.site.sent[0].header


def test_a_classic_server_that_learnt_to_multiplex_gets_calls_on_one_connection() -> None:
    world = World()
    world.site.script = classic
    world.calls("echo", 1)
    world.site.script = None
    for n in range(4):
        assert world.result(world.calls("echo", n)) == n
    assert len(world.site.pipes) == 2
    assert len(world.site.open_pipes) == 1


def test_only_one_connection_is_left_where_several_found_out_that_a_server_multiplexes() -> None:
    """Each was for one call to what was a classic server when they were asked for."""
    world = World()
    world.site.script = classic
    world.calls("echo", 0)
    world.site.hangs = True
    calls = [world.calls("echo", n) for n in range(3)]
    world.site.script = None
    dials = list(world.pending)
    assert len(dials) == 3
    for dial in dials:  # one after the other, each call answered before the next connection stands
        world.connects(dial)
    world.site.hangs = False
    world.settled()
    assert [world.result(call) for call in calls] == [0, 1, 2]
    assert len(world.site.open_pipes) == 1
    assert world.result(world.calls("echo", 3)) == 3
    assert len(world.site.pipes) == 4
    assert world.core.balancer.endpoints[0].singles == 0


def test_a_connection_beside_the_shared_one_ends_also_where_its_last_call_was_given_up() -> None:
    """Nothing ends then but what the server was asked, and nobody waits for that."""
    world = World()
    world.site.script = classic
    world.calls("echo", 0)
    world.site.hangs = True
    calls = [world.calls("wait", n) for n in range(3)]
    world.site.script = None
    world.site.handler = leaves_open
    for dial in list(world.pending):
        world.connects(dial)
    for call in calls:
        world.gives_up(call)
    assert all(call.done for call in calls)
    world.passes(1.0)
    assert len(world.site.open_pipes) == 1
    assert [*world.core.connections] == [world.core.balancer.endpoints[0].connection]


def test_a_shared_connection_that_comes_second_is_not_kept() -> None:
    """One for a single call, from when the server was classic, has found out meanwhile that it multiplexes."""
    world = World(chance=lambda: 0.0)
    world.site.script = classic
    world.calls("echo", 0)
    world.site.hangs = True
    first, second = world.calls("echo", 1), world.calls("echo", 2)
    world.site.script = None
    world.connects()
    world.hangs_up()
    third = world.calls("echo", 3)
    single, shared = world.pending
    assert (single.call, shared.call) == (second, None)
    world.connects(single)
    world.connects(shared)
    assert [world.result(call) for call in (first, second, third)] == [1, 2, 3]
    assert len(world.site.open_pipes) == 1


def test_what_a_client_asks_by_itself_is_no_reason_to_connect_to_another_server() -> None:
    world = World("a:1", "b:1")
    world.calls("first")
    world.passes(1.0)
    (connection,) = world.core.connections
    world.falls_silent(world.sites[connection.endpoint.name])
    call = world.calls("second", timeout=0.1)  # it asks what the server offers, too
    world.passes(1.0)
    assert call.done
    assert connection.endpoint.learning
    assert connection.protocol.load == 2, "neither has been answered"
    assert connection.endpoint.load == 1

"""How connections end, and clients: what each call is told, what goes elsewhere, and that nothing stays behind."""

import gc
import weakref
from collections.abc import Callable

import pytest

from letterhead.client.state import State
from letterhead.errors import (
    BadFrame,
    ConnectionFailed,
    ConnectionLost,
    ForeignProtocol,
    LetterheadError,
    NoReply,
    Rejected,
    TooLarge,
    TooMany,
    Unavailable,
    UsageError,
)
from letterhead.limits import Limits
from tests.client.core.world import NOTHING_DUE, Asked, World, classic, leaves_open
from tests.protocol.pairs import control, failure, hello, reply
from tests.wire.frames import Cut, each_cut, frame, framed, header_bytes

FIRST = hello() + reply(1, {"result": None})


def scripted(**options: int) -> World:
    """A server that says what the test says, after its first answer."""
    world = World(**options)  # type: ignore[arg-type]
    world.site.script = lambda frames: FIRST if frames[0].id == 1 else b""
    world.calls("first")
    world.ended.clear()
    return world


def failure_of(call: Asked) -> type[LetterheadError] | None:
    return None if call.error is None else type(call.error)


# What each call is told


@each_cut
@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (failure(None, "too-many", "too many control frames"), TooMany),
        (failure(None, "bad-frame", "no frame"), BadFrame),
        (b"\xff\xff", ForeignProtocol),
        (reply(99, 1), ForeignProtocol),
        (framed(b"{}"), ForeignProtocol),
    ],
)
def test_what_ends_a_connection_is_what_all_its_calls_end_with(cut: Cut, said: bytes, kind: type) -> None:
    world = scripted()
    world.cut = cut
    calls = [world.calls("echo", n) for n in range(3)]
    world.says(said)
    assert [failure_of(call) for call in calls] == [kind] * 3
    assert world.ended == calls
    assert world.core.connections == {}


def test_an_answer_that_is_too_large_to_skip_ends_its_call_so_and_the_others_as_lost() -> None:
    world = scripted()
    large, other = world.calls("large"), world.calls("other")
    world.says(framed(header_bytes({"id": 2, "content-length": 20 << 20})))
    assert (failure_of(large), failure_of(other)) == (TooLarge, ConnectionLost)


@pytest.mark.parametrize("status", ["unauthenticated", "timeout"])
def test_after_what_makes_a_server_close_further_calls_go_to_another_connection(status: str) -> None:
    world = scripted()
    refused, waiting = world.calls("a"), world.calls("b")
    world.says(failure(2, status))
    world.site.script = None
    world.passes(5.0)
    assert refused.error is not None
    assert refused.error.code == status
    assert failure_of(waiting) is ConnectionLost
    assert world.result(world.calls("echo", 1)) == 1


def test_each_call_has_an_error_of_its_own() -> None:
    world = scripted()
    calls = [world.calls("echo", n) for n in range(3)]
    world.hangs_up()
    assert len({id(call.error) for call in calls}) == 3


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (lambda _: None, NoReply),
        (lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n", ForeignProtocol),
        (lambda _: failure(None, "too-many", "too many connections", limit=3), Rejected),
        (lambda _: failure(None, "unavailable"), Rejected),
        (lambda frames: frame({"id": frames[0].id, "max-open": 0}), ForeignProtocol),
    ],
)
@pytest.mark.parametrize("argument", [1, b"bytes"])
def test_what_a_server_is_instead_is_told_to_all_who_do_not_wait(
    script: Callable[..., bytes | None], kind: type, argument: object
) -> None:
    world = World()
    world.site.script = script
    world.site.hangs = True
    calls = [world.calls("echo", argument) for _ in range(3)]
    world.site.hangs = False
    world.settled()
    assert [failure_of(call) for call in calls] == [kind] * 3
    assert world.core.connections == {}


# A server that leaves in order


def test_what_is_below_goes_on_and_what_comes_is_sent_to_another_connection() -> None:
    world = World()
    world.calls("first")
    world.site.handler = leaves_open
    below = world.calls("wait")
    world.drains()
    after = world.calls("wait")
    assert (below.done, after.done, len(world.site.open_pipes)) == (False, False, 2)
    world.answers("below")
    assert len(world.site.open_pipes) == 1
    world.answers("after")
    assert (world.result(below), world.result(after)) == ("below", "after")
    assert world.core.balancer.counters["left"] == 1


def test_a_stream_on_a_connection_that_is_left_is_read_to_its_end() -> None:
    world = scripted()
    stream = world.streams("count")
    world.says(control(None, closing=2), frame({"id": 2, "more": True}, b"one"))
    assert world.takes(stream) == [b"one"]
    world.says(frame({"id": 2, "more": True}, b"two"), frame({"id": 2, "more": False}))
    assert (world.takes(stream), stream.error) == ([b"two"], None)
    assert world.core.connections == {}


def test_a_connection_that_is_left_ends_once_nobody_waits_for_it() -> None:
    """Else a server that never answers what was given up would keep it for ever."""
    world = scripted()
    stream, call = world.streams("watch"), world.calls("wait")
    world.says(control(None, closing=3))
    world.gives_up(stream)
    assert len(world.core.connections) == 1
    world.gives_up(call)
    assert world.core.connections == {}


@pytest.mark.parametrize("raises", [False, True])
def test_a_server_that_leaves_before_it_answers_anything_is_tried_again_later(raises: bool) -> None:
    world = World(wait_for_ready=raises or None)
    world.site.script = lambda _: control(None, closing=0)
    call = world.calls("echo", 1)
    if raises:
        world.site.script = None
        world.passes(10.0)
        assert world.result(call) == 1
    else:
        assert failure_of(call) is ConnectionLost
    assert world.core.balancer.counters["connect-failed"] == 1


# The client ends


def test_closing_fails_all_that_is_open_wherever_it_stands() -> None:
    world = World("a:1", "b:1", chance=lambda: 1.0)
    a, b = world.sites.values()
    a.handler = lambda request: Unavailable("later") if request.action == "later" else None
    b.hangs = True
    placed, stream, delayed = world.calls("wait"), world.streams("watch"), world.calls("later")
    b.up = False
    world.core.close(world.now)
    world.settled()
    assert [failure_of(call) for call in (placed, stream, delayed)] == [ConnectionLost] * 3
    assert placed.error is not None
    assert placed.error.message == "the client was closed"
    assert (world.core.calls, world.core.connections, world.core.due) == ({}, {}, NOTHING_DUE)
    assert world.states[-1] == State.CLOSED


@pytest.mark.parametrize("keep_alive", [False, True])
@pytest.mark.parametrize("servers", [("a:1",), ("a:1", "b:1")])
@pytest.mark.parametrize("fails", [False, True])
def test_an_attempt_to_connect_that_ends_after_the_client_has_leaves_nothing(
    servers: tuple[str, ...], keep_alive: bool, fails: bool
) -> None:
    world = World(*servers, keep_alive=keep_alive)
    for site in world.sites.values():
        site.hangs = True
    call = world.calls("echo", 1)
    world.core.close(world.now)
    world.settled()
    assert failure_of(call) is ConnectionLost
    assert world.core.balancer.state is State.CLOSED
    if fails:
        world.fails()
    else:
        world.connects()
    assert (world.core.connections, world.core.due, len(world.dialled)) == ({}, NOTHING_DUE, 1)
    assert not any(site.open_pipes for site in world.sites.values())


def test_nor_one_for_a_call_to_a_classic_server() -> None:
    world = World()
    world.site.script = classic
    world.calls("echo", 1)
    world.site.hangs = True
    call = world.calls("echo", 2)
    world.core.close(world.now)
    world.settled()
    world.connects()
    assert failure_of(call) is ConnectionLost
    assert (world.core.connections, world.site.open_pipes) == ({}, [])
    assert world.core.balancer.endpoints[0].singles == 0


def test_closing_twice_is_closing_once() -> None:
    world = World()
    world.site.handler = leaves_open
    call = world.calls("wait")
    for _ in range(2):
        world.core.close(world.now)
        world.settled()
    assert world.ended == [call]
    assert world.states.count(State.CLOSED) == 1


def test_a_call_that_is_placed_when_its_dial_has_failed_after_its_end_reaches_nobody() -> None:
    """It was to be sent to a classic server; meanwhile another one would take it."""
    world = World("a:1", "b:1", chance=lambda: 0.0)
    a, b = world.sites.values()
    a.script = classic
    b.up = False
    world.calls("echo", 0)
    a.hangs = True
    call = world.calls("echo", 1, timeout=1.0)
    world.passes(1.0)
    b.up = True
    assert call.done
    count = len(world.dialled)
    world.fails()
    world.passes(10.0)
    assert (len(world.dialled), b.pipes) == (count, [])


# Attempts that come to nothing


def test_an_attempt_that_is_abandoned_says_nothing_about_the_server() -> None:
    world = World()
    world.site.hangs = True
    call = world.calls("echo", 1)
    dial = world.pending.pop()
    world.site.hangs = False
    world.core.dial_abandoned(dial, world.now)
    world.settled()
    assert world.result(call) == 1
    assert world.core.balancer.counters["connect-failed"] == 0


def test_so_for_a_call_to_a_classic_server() -> None:
    world = World()
    world.site.script = classic
    world.calls("echo", 0)
    world.site.hangs = True
    call = world.calls("echo", 1)
    dial = world.pending.pop()
    world.site.hangs = False
    world.core.dial_abandoned(dial, world.now)
    world.settled()
    assert world.result(call) == 1
    assert world.core.balancer.endpoints[0].singles == 0


def test_what_is_told_of_an_attempt_twice_counts_once() -> None:
    world = World()
    world.site.hangs = True
    call = world.calls("echo", 1)
    dial = world.pending[0]
    world.connects()
    world.core.connect_failed(dial, ConnectionFailed("late", address="a:1"), world.now)
    world.core.dial_abandoned(dial, world.now)
    world.settled()
    assert world.result(call) == 1
    assert world.core.balancer.counters["connect-failed"] == 0


# The core that follows


def test_the_next_core_knows_the_servers_and_has_none_of_the_calls() -> None:
    world = World("a:1", "b:1", chance=lambda: 0.0)
    world.sites["a:1"].script = classic
    world.calls("echo", 1)
    world.sites["b:1"].handler = leaves_open
    old = world.core
    world.sites["a:1"].hangs = True
    call = world.calls("wait")
    core = world.core = old.successor()
    assert (core.calls, core.connections, core.events) == ({}, {}, [])
    assert core.balancer.endpoints[0].classic
    assert core.balancer.waits
    assert core.balancer.counters is old.balancer.counters
    assert core.due == NOTHING_DUE
    assert not call.done


def test_the_next_core_of_a_closed_one_is_closed() -> None:
    world = World()
    world.core.close(world.now)
    core = world.core.successor()
    assert core.balancer.state is State.CLOSED
    world.core = core
    with pytest.raises(UsageError):
        world.calls("echo", 1)


# States


def test_states_are_told_as_they_change() -> None:
    world = World(chance=lambda: 1.0)
    assert world.core.balancer.state is State.IDLE
    world.calls("echo", 1)
    world.site.handler = leaves_open
    world.calls("wait")
    world.goes_away()
    world.calls("wait")
    world.site.up = True
    world.passes(20.0)
    world.core.close(world.now)
    world.settled()
    assert world.states == [State.CONNECTING, State.READY, State.RECONNECTING, State.READY, State.CLOSED]


def test_an_idle_client_whose_server_closed_the_connection_is_idle() -> None:
    world = World()
    world.calls("echo", 1)
    world.hangs_up()
    assert world.core.balancer.state is State.IDLE


# Nothing stays behind


def test_a_call_that_has_ended_is_held_by_nobody(request: pytest.FixtureRequest) -> None:
    """Whatever it ended with, its entry among the deadlines does not hold it; nor does it wait for the collector."""
    gc.collect()
    gc.disable()
    request.addfinalizer(gc.enable)
    world = World(chance=lambda: 0.0)
    world.site.handler = lambda request: {"fail": Unavailable("no")}.get(request.action)
    watched = []
    for action, timeout in (("wait", 1.0), ("wait", None), ("fail", None)):
        call = world.calls(action, timeout=timeout)
        if timeout is None:
            world.gives_up(call)
        watched.append(weakref.ref(call))
        del call
    world.passes(50.0)
    world.hangs_up()
    world.ended.clear()
    assert [ref() for ref in watched] == [None] * 3


def objects() -> int:
    """How many lists there are: each entry among the deadlines is one."""
    gc.collect()
    return sum(type(one) is list for one in gc.get_objects())


def test_deadlines_of_calls_that_have_ended_do_not_gather() -> None:
    world = World(limits=Limits(deadline_seconds=1_000.0))
    kept = [weakref.ref(world.calls("echo", n)) for n in range(500)]
    world.ended.clear()
    gc.collect()
    assert not any(ref() for ref in kept)
    before = objects()
    for n in range(5_000):
        world.calls("echo", n)
        world.ended.clear()
        world.site.requests.clear()
        world.site.sent.clear()
    assert objects() - before < 1_000

"""How long a call may take: whatever becomes of its connections, its time runs from the first moment on."""

import pytest

from letterhead.client.state import State
from letterhead.errors import (
    ConnectRefused,
    DeadlineExceeded,
    LetterheadError,
    NoReply,
    Unavailable,
)
from letterhead.limits import Limits
from letterhead.message import Message
from tests.client.core.world import LIMITS, Asked, World, classic, leaves_open
from tests.protocol.pairs import control, hello, reply

FOREVER = 86_400.0


def told(call: Asked) -> str:
    assert call.error is not None
    return call.error.message


def failure_of(call: Asked) -> type[LetterheadError] | None:
    return None if call.error is None else type(call.error)


# When it is over


def test_a_call_without_a_time_waits_as_long_as_servers_let_it_run() -> None:
    world = World()
    world.site.handler = leaves_open
    world.site.limits = Limits(deadline_seconds=FOREVER, deadline_max_seconds=FOREVER)
    call = world.calls("wait")
    world.passes(LIMITS.deadline_seconds - 0.001)
    assert not call.done
    world.passes(0.001)
    assert failure_of(call) is DeadlineExceeded
    assert call.error is not None
    assert call.error.seconds == LIMITS.deadline_seconds


@pytest.mark.parametrize("seconds", [0.001, 1.0, 100.0])
def test_a_time_is_over_to_the_moment(seconds: float) -> None:
    world = World()
    world.site.handler = leaves_open
    world.calls("echo")
    call = world.calls("wait", timeout=seconds)
    assert world.core.due <= world.now + seconds
    world.core.tick(world.now + seconds * 0.999)
    assert not call.done
    world.core.tick(world.now + seconds)
    assert failure_of(call) is DeadlineExceeded


def test_the_clients_own_timeout_is_that_of_calls_that_name_none() -> None:
    world = World(timeout=2.0)
    world.site.handler = leaves_open
    call, other = world.calls("wait"), world.calls("wait", timeout=5.0)
    world.passes(2.0)
    assert world.ended == [call]
    world.passes(3.0)
    assert world.ended == [call, other]


def test_after_its_end_no_answer_reaches_a_call() -> None:
    world = World()
    world.site.script = lambda frames: hello() + reply(1, {"result": None}) if frames[0].id == 1 else b""
    world.calls("first")
    call = world.calls("wait", timeout=1.0)
    world.passes(1.0)
    before = call.error
    world.says(reply(2, "too late"))
    assert (failure_of(call), call.error, world.ended.count(call)) == (DeadlineExceeded, before, 1)


# What it says


def test_while_nothing_is_connected() -> None:
    world = World(wait_for_ready=True)
    world.site.hangs = True
    call = world.calls("echo", timeout=2.0)
    world.passes(2.0)
    assert told(call) == "no connection to a:1 within 2 s"


def test_while_every_attempt_fails_it_is_the_error_of_those() -> None:
    world = World(wait_for_ready=True)
    world.site.up = False
    call = world.calls("echo", timeout=5.0)
    world.passes(5.0)
    assert failure_of(call) is ConnectRefused
    assert told(call) == "nothing listens at a:1 (tried for 5 s)"
    assert call.error is not None
    assert call.error.address == "a:1"


def test_while_the_first_frame_is_not_back() -> None:
    world = World()
    world.site.script = lambda _: b""
    call = world.calls("echo", timeout=2.0)
    world.passes(2.0)
    assert told(call) == "nothing came back from a:1 within 2 s; is a Letterhead server there?"


def test_while_it_runs() -> None:
    world = World()
    world.site.handler = leaves_open
    world.site.limits = Limits(deadline_seconds=FOREVER)
    call = world.calls("wait")
    world.passes(LIMITS.deadline_seconds)
    assert told(call) == "no answer within 30 s"


def test_while_all_slots_are_taken() -> None:
    world = World(server_limits=Limits(max_open=2, deadline_seconds=FOREVER))
    world.calls("first")
    world.site.handler = leaves_open
    for _ in range(2):
        world.streams("watch")
    call = world.calls("echo", timeout=2.0)
    world.passes(2.0)
    assert told(call) == "not sent within 2 s: 2 calls and streams are open on its connection, as many as may be"


def test_what_was_written_is_never_said_not_to_have_been() -> None:
    world = World(idempotent=["again"])
    world.site.handler = leaves_open
    call = world.calls("again", timeout=20.0)
    world.goes_away()
    world.passes(20.0)
    assert told(call).startswith("no answer within 20 s; it was sent once: ")
    assert failure_of(call) is DeadlineExceeded
    assert call.error is not None
    assert call.error.attempts == 1


# What the server is told


def deadlines(world: World) -> list[int | None]:
    return [sent.header.get("deadline") for sent in world.site.sent if sent.value]


def test_the_server_is_told_the_time_that_a_call_names() -> None:
    world = World()
    world.calls("echo", 1, timeout=1.5)
    world.calls("echo", 2, timeout=2.5)
    world.calls("echo", 3)
    assert deadlines(world) == [1_500, 2_500, None]


def test_a_call_that_waited_for_its_connection_tells_the_time_that_is_left() -> None:
    world = World(wait_for_ready=True, chance=lambda: 1.0)
    world.site.up = False
    calls = [world.calls("echo", 1, timeout=20.0), world.calls("echo", 2)]
    world.passes(0.5)
    world.site.up = True
    world.passes(10.0)
    assert [world.result(call) for call in calls] == [1, 2]
    said = [sent.header.get("deadline") for sent in world.site.sent if sent.value in (1, 2)]
    assert said[1] is None
    assert said[0] is not None
    assert 9_000 <= said[0] < 20_000


def test_its_first_request_does_so_too() -> None:
    world = World()
    world.site.hangs = True
    world.calls("echo", 1, timeout=4.0)
    world.passes(1.5)
    world.connects()
    assert deadlines(world) == [2_500]


def test_a_deadline_never_becomes_none_at_all() -> None:
    world = World()
    world.site.hangs = True
    world.calls("echo", 1, timeout=4.0)
    world.now += 3.9999  # the shell is late
    world.connects()
    assert deadlines(world) == [1]


def test_a_message_tells_its_own_deadline() -> None:
    world = World()
    world.calls("echo", 1)
    world.sends(Message(b"{}", {"action": "echo", "deadline": 77, "content-type": "text/json"}), timeout=5.0)
    assert world.site.sent[-1].header["deadline"] == 77


def test_what_a_users_field_contains_is_not_taken_for_the_deadline() -> None:
    world = World()
    world.site.hangs = True
    world.calls("echo", Message(b"1", {"x-note": {"deadline": 4_000}, "content-type": "text/json"}), timeout=4.0)
    world.passes(1.0)
    world.connects()
    (sent,) = [sent for sent in world.site.sent if "x-note" in sent.header]
    assert (sent.header["deadline"], sent.header["x-note"]) == (3_000, {"deadline": 4_000})


def test_a_server_that_knows_the_deadline_is_not_told_of_its_end() -> None:
    world = World(server_limits=Limits(deadline_max_seconds=FOREVER))
    world.site.handler = leaves_open
    world.calls("echo", timeout=1.0)
    count = len(world.site.sent)
    world.falls_silent()
    world.passes(1.0)
    assert world.site.sent[count:] == []


def test_a_server_that_does_not_is_cancelled() -> None:
    world = World()
    world.site.handler = leaves_open
    world.site.limits = Limits(deadline_seconds=FOREVER)
    world.calls("wait")
    world.passes(LIMITS.deadline_seconds)
    assert [request.action for request in world.site.stopped] == ["wait"]


# Giving up while the server is unknown


def test_a_first_request_whose_time_is_over_ends_its_connection_and_others_go_on() -> None:
    world = World()
    world.site.script = lambda _: b""
    first, other = world.calls("a", timeout=1.0), world.calls("b", timeout=10.0)
    world.site.script = None  # the next connection is to a server that answers
    world.passes(1.0)
    assert first.done
    world.passes(5.0)
    assert (other.done, other.error) == (True, None)


def test_a_late_first_request_is_not_held_against_calls_that_do_not_wait() -> None:
    """Only the first caller's own time was over."""
    world = World()
    world.site.script = lambda _: b""
    world.calls("a", timeout=1.0)
    other = world.calls("b", timeout=10.0)
    world.passes(2.0)
    assert not other.done


def test_a_call_to_a_classic_server_whose_time_is_over_ends_its_connection() -> None:
    world = World()
    world.site.script = classic
    world.calls("echo", 1)
    world.site.script = lambda _: b""
    call = world.calls("echo", 2, timeout=1.0)
    message = world.sends(Message(b"x"), timeout=1.0)
    assert len(world.site.open_pipes) == 2
    world.passes(1.0)
    assert [failure_of(call), failure_of(message)] == [DeadlineExceeded] * 2
    assert world.site.open_pipes == []
    assert world.core.balancer.endpoints[0].singles == 0


@pytest.mark.parametrize("fails", [False, True])
def test_a_call_that_ends_during_its_own_dial_is_not_placed_afterwards(fails: bool) -> None:
    """A classic server gets a connection for each call; this one's call is over before it stands."""
    world = World()
    world.site.script = classic
    world.calls("echo", 1)
    world.site.hangs = True
    call = world.calls("echo", 2, timeout=1.0)
    world.passes(1.0)
    assert call.done
    count = len(world.dialled)
    if fails:
        world.fails()
    else:
        world.connects()
    world.passes(100.0)
    assert len(world.dialled) == count
    assert world.site.open_pipes == []
    assert len([pipe for pipe in world.site.pipes if pipe.sent]) == 1
    assert world.core.balancer.endpoints[0].singles == 0
    assert world.core.balancer.state is not State.CONNECTING


# Time that began to run never starts again


def connections_lost(world: World, call: Asked, every: float, times: int) -> None:
    """Its connection is lost again and again, each after so many seconds."""
    for _ in range(times):
        world.passes(every)
        if call.done:
            return
        world.hangs_up()


@pytest.mark.parametrize("timeout", [None, 12.0])
def test_a_call_that_is_sent_again_has_no_more_time_than_it_had(timeout: float | None) -> None:
    world = World(idempotent=["again"], limits=Limits(repeats=1_000))
    world.site.handler = leaves_open
    started = world.now
    call = world.calls("again", timeout=timeout)
    connections_lost(world, call, 3.0, 100)
    assert failure_of(call) is DeadlineExceeded
    assert world.now <= started + (timeout or LIMITS.deadline_seconds) + 3.0


@pytest.mark.parametrize("either", [False, True])
def test_what_a_stream_has_waited_for_connections_counts_for_good(either: bool) -> None:
    """Each time a server is found, and does not run it; each time a while passes without one."""
    world = World(limits=Limits(reconnect_max_seconds=1.0))
    world.calls("echo", 1)
    world.hangs_up()
    world.site.script = lambda frames: hello(frames[0].id) + control(None, closing=0)
    call = world.streams("count", either=either)
    waited = 0.0
    for _ in range(100):
        if call.done:
            break
        world.site.hangs = True
        world.passes(4.0)
        waited += 4.0
        world.site.hangs = False
        world.settled()
        world.passes(2.0)  # the next attempt
    assert call.done
    assert waited <= LIMITS.deadline_seconds + 4.0


def test_also_where_each_connection_lasted() -> None:
    world = World(wait_for_ready=True, limits=Limits(reconnect_max_seconds=1.0))
    world.site.script = lambda frames: hello(1) + reply(1, {"result": None}) if frames[0].id == 1 else b""
    call = world.streams("count")
    for _ in range(40):
        if call.done:
            break
        world.passes(5.0)  # it lasts, and all that time the stream might run
        world.site.hangs = True
        world.says(control(None, closing=1))
        world.passes(4.0)  # no connection
        world.site.hangs = False
        world.settled()
        world.passes(1.0)
    assert call.done
    assert len(world.site.pipes) <= 12


def test_a_stream_that_ran_is_placed_again_within_what_it_has_left() -> None:
    world = World(idempotent=["watch"], limits=Limits(reconnect_max_seconds=1.0))
    world.site.handler = leaves_open
    call = world.streams("watch")
    assert world.site.open[0][0].server is not None
    world.site.open[0][0].server.streams(world.site.open[0][1])
    world.passes(100_000.0)
    world.goes_away()
    world.passes(LIMITS.deadline_seconds - 1.0)
    assert not call.done
    world.passes(1.0)
    assert call.done
    assert world.core.calls == {}


def test_an_unavailable_answer_does_not_give_a_call_more_time() -> None:
    world = World(limits=Limits(repeats=10_000))
    world.site.handler = lambda _: Unavailable("later")
    started = world.now
    call = world.calls("echo", timeout=5.0)
    world.passes(100.0)
    assert call.done
    assert call.error is not None
    assert max(when for when, _ in world.dialled) <= started + 5.0


def test_a_client_that_does_not_wait_hears_of_a_server_that_hangs_up() -> None:
    world = World(wait_for_ready=False)
    world.site.script = lambda _: None
    call = world.calls("echo", 1)
    assert failure_of(call) is NoReply

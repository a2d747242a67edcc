"""Whether the server is there: when it is asked, when it is given up, and what that costs."""

import pytest

from letterhead.errors import ConnectionLost, DeadlineExceeded, NoReply
from letterhead.limits import Limits
from tests.client.core.world import NOTHING_DUE, World, classic, leaves_open
from tests.protocol.pairs import control, hello, item, reply

LONG = 3_600.0
FOREVER = Limits(deadline_seconds=86_400.0, deadline_max_seconds=86_400.0)
SECONDS = Limits().ping_after_seconds + Limits().ping_wait_seconds


def pings(world: World) -> int:
    return [sent.header.get("action") for sent in world.site.sent].count("letterhead.ping")


def waiting_world(**options: object) -> World:
    """A call runs at a server that takes its time."""
    world = World(server_limits=FOREVER)
    world.calls("first")
    world.site.handler = leaves_open
    return world


def test_an_idle_connection_is_left_alone() -> None:
    world = World(server_limits=Limits(idle_seconds=LONG))
    world.calls("first")
    world.passes(LONG / 2)
    assert (pings(world), world.core.due) == (0, NOTHING_DUE)


def test_a_server_that_answers_slowly_is_asked_and_never_given_up() -> None:
    world = waiting_world()
    call = world.calls("wait", timeout=LONG)
    world.passes(LONG / 2)
    assert pings(world) == int(LONG / 2 / Limits().ping_after_seconds)
    world.answers("slow")
    assert world.result(call) == "slow"


def test_a_server_that_is_silent_is_given_up() -> None:
    world = waiting_world()
    call, stream = world.calls("wait", timeout=LONG), world.streams("watch")
    world.falls_silent()
    world.passes(SECONDS - 1.0)
    assert not call.done
    world.passes(2.0)
    for lost in (call, stream):
        with pytest.raises(ConnectionLost, match="gave no sign of life for 40 s; the connection was given up"):
            world.result(lost)
    assert world.site.open_pipes == []
    assert pings(world) == 1


def test_any_byte_is_a_sign_of_life() -> None:
    world = World()
    world.site.script = lambda frames: hello() + reply(1, {"result": None}) if frames[0].id == 1 else b""
    stream = world.streams("watch")
    for _ in range(30):
        world.says(item(2, b"x"))
        world.passes(15.0)
    assert (stream.done, pings(world)) == (False, 0)


def test_a_last_look_is_taken_before_it_is_given_up() -> None:
    """The shell may be late: what came meanwhile waits to be read."""
    world = waiting_world()
    call = world.calls("wait", timeout=LONG)
    world.falls_silent()
    world.passes(20.0)
    world.now += 1_000.0
    world.core.tick(world.now)
    assert not call.done
    world.core.received(world.site.pipe.core_end, reply(3, "here")[:10], world.now)
    world.core.tick(world.core.due)
    assert not call.done


@pytest.mark.parametrize("multiplexed", [True, False])
def test_a_slow_classic_server_is_not_given_up(multiplexed: bool) -> None:
    world = World()
    world.site.script = classic
    world.calls("echo", 1)
    world.site.script = lambda _: b""
    call = world.calls("slow", timeout=LONG)
    world.passes(LONG - 1.0)
    assert not call.done
    world.passes(1.0)
    assert isinstance(call.error, DeadlineExceeded)


def test_one_that_says_nothing_to_the_very_first_ping_is_given_up() -> None:
    """No classic server takes its time for that."""
    world = World(wait_for_ready=True)
    world.site.script = lambda _: b""
    call = world.calls("echo", 1, timeout=LONG)
    world.passes(SECONDS - 1.0)
    assert len(world.dialled) == 1
    world.site.script = None
    world.passes(10.0)
    assert world.result(call) == 1


def test_a_server_that_leaves_is_not_asked_any_more() -> None:
    world = World()
    world.site.script = lambda frames: hello() + reply(1, {"result": None}) if frames[0].id == 1 else b""
    stream = world.streams("watch")
    world.says(control(None, closing=2))
    world.passes(LONG)
    assert (stream.done, pings(world)) == (False, 0)


# Connections that are kept


def test_a_kept_connection_is_asked_while_it_idles() -> None:
    world = World(keep_alive=True, server_limits=Limits(idle_seconds=LONG))
    world.calls("first")
    world.passes(101.0)
    assert pings(world) == 5
    assert len(world.site.open_pipes) == 1


def test_a_kept_connection_on_which_nothing_comes_is_given_up() -> None:
    world = World(keep_alive=True)
    world.calls("first")
    world.falls_silent()
    world.passes(SECONDS + 1.0)
    assert world.core.connections == {}
    assert world.result(world.calls("echo", 1)) == 1


def test_of_kept_connections_one_that_was_never_used_is_asked_too() -> None:
    """It was made for a call that was given up meanwhile."""
    world = World(keep_alive=True)
    world.site.hangs = True
    call = world.calls("echo", 1)
    world.gives_up(call)
    world.connects()
    assert len(world.site.open_pipes) == 1
    assert world.result(world.calls("echo", 2)) == 2


def test_a_connection_that_nobody_waits_for_any_more_is_not_kept() -> None:
    world = World()
    world.site.hangs = True
    world.gives_up(world.calls("echo", 1))
    world.connects()
    assert world.site.open_pipes == []
    assert world.core.connections == {}


def test_where_the_pipe_breaks_its_words_are_told() -> None:
    world = waiting_world()
    call = world.calls("wait")
    world.hangs_up(how="reset the connection")
    with pytest.raises(ConnectionLost, match="the server at a:1 reset the connection"):
        world.result(call)


def test_before_a_first_answer_it_is_no_reply() -> None:
    world = World()
    world.site.script = lambda _: None
    with pytest.raises(NoReply, match="closed the connection without a reply"):
        world.result(world.calls("echo", 1))

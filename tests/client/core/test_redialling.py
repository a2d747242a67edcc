"""When a connection is tried again: every reason goes through one backoff, whatever servers do to be dialled."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from letterhead.errors import ConnectRefused
from letterhead.limits import Limits
from tests.client.core.world import Asked, World, classic, leaves_open
from tests.protocol.pairs import control, failure, hello, reply
from tests.wire.frames import Frame, json_frame

LIMITS = Limits(reconnect_seconds=0.1, reconnect_max_seconds=2.0)
SECONDS = 60.0
MOST = 150
"""Attempts in a minute, at most: one in a second on average, and some more at first."""
CALLERS = 3
HURRIED = 120
"""Attempts in ten seconds where calls have little time: one in each first wait, and some more."""
Begin = Callable[[World], Asked]


def world_of(*servers: str, seed: int = 1, **options: Any) -> World:
    return World(*servers, limits=LIMITS, chance=Random(seed).random, **options)


def keep_calling(world: World, begin: Begin, seconds: float = SECONDS) -> int:
    """Callers who begin the next call as soon as the last has ended; how many calls they made."""
    until = world.now + seconds
    calls: list[Asked] = []
    count = 0
    while world.now < until:
        calls = [call for call in calls if not call.done]
        while len(calls) < CALLERS:
            count += 1
            calls.append(begin(world))
        world.passes(0.005)
    return count


def plain(world: World) -> Asked:
    return world.calls("echo", 1)


def hurried(world: World) -> Asked:
    return world.calls("echo", 1, timeout=0.01)


def stream(world: World) -> Asked:
    return world.streams("watch")


def either(world: World) -> Asked:
    return world.streams("watch", either=True)


def answers_then_closes(frames: list[Frame]) -> bytes:
    id = frames[0].id
    return b"".join([hello(id), reply(id, {"result": 1}), control(None, closing=id)])


def closes_with_the_hello(frames: list[Frame]) -> bytes:
    return hello(frames[0].id) + control(None, closing=0)


def closes_and_keeps_the_first(frames: list[Frame]) -> bytes:
    """It runs the first request for ever, and nothing else, so the connection never ends."""
    return hello(frames[0].id) + control(None, closing=frames[0].id)


def closes_without_a_word(frames: list[Frame]) -> bytes:
    return control(None, closing=0)


def refuses(frames: list[Frame]) -> bytes:
    return failure(None, "unavailable")


def hangs_up(frames: list[Frame]) -> None:
    return None


def hangs_up_after_the_hello(frames: list[Frame]) -> bytes:
    return hello(frames[0].id) + b"no frame"


def answers_unavailable(frames: list[Frame]) -> bytes:
    id = frames[0].id
    return hello(id) + failure(id, "unavailable") + control(None, closing=id)


class Turns:
    """Now classic, now not: whatever the client takes it for, it is the other."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, frames: list[Frame]) -> bytes:
        self.count += 1
        if self.count % 2:
            return json_frame({"result": None})
        return closes_with_the_hello(frames)


SERVERS = {
    "answers, then says closing": answers_then_closes,
    "says closing with its hello": closes_with_the_hello,
    "says closing and keeps what is open": closes_and_keeps_the_first,
    "says closing before anything else": closes_without_a_word,
    "refuses the connection as unavailable": refuses,
    "hangs up": hangs_up,
    "speaks no protocol after its hello": hangs_up_after_the_hello,
    "answers unavailable, then says closing": answers_unavailable,
}


@pytest.mark.smoke
@pytest.mark.parametrize("begin", [plain, hurried, stream, either])
@pytest.mark.parametrize("server", SERVERS)
def test_no_server_makes_a_client_dial_without_end(server: str, begin: Begin) -> None:
    world = world_of(idempotent=["echo", "watch"])
    world.calls("echo", 0)  # it has answered once: calls wait from now on
    world.hangs_up()
    world.site.script = SERVERS[server]
    seconds, most = (10.0, HURRIED) if begin is hurried else (SECONDS, MOST)
    keep_calling(world, begin, seconds)
    assert len(world.dialled) <= most
    assert len(world.site.open_pipes) <= MOST / 2


@pytest.mark.parametrize("begin", [plain, stream])
@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("server", SERVERS)
def test_nor_one_that_was_never_seen_to_answer(server: str, ready: bool, begin: Begin) -> None:
    world = world_of(wait_for_ready=ready)
    world.site.script = SERVERS[server]
    calls = keep_calling(world, begin)
    # Whoever does not want to wait tries by itself, once.
    assert len(world.dialled) <= (MOST if ready else MOST + calls)


@pytest.mark.parametrize("ready", [True, None])
def test_nor_one_that_is_classic_and_is_not_in_turn(ready: bool | None) -> None:
    """A classic server gets a connection for each caller."""
    world = world_of(wait_for_ready=ready)
    world.site.script = Turns()
    keep_calling(world, plain)
    assert len(world.dialled) <= CALLERS * MOST


def test_a_stream_that_no_server_runs_comes_to_an_end() -> None:
    for script in (closes_with_the_hello, closes_without_a_word, refuses):
        world = world_of()
        world.calls("echo", 0)
        world.hangs_up()
        world.site.script = script
        call = stream(world)
        world.passes(LIMITS.deadline_seconds)
        assert call.done
        assert world.core.connections == {}


def test_where_one_refuses_and_another_hangs_none_is_dialled_without_end() -> None:
    world = world_of("a:1", "b:1")
    world.sites["a:1"].up = False
    world.sites["b:1"].hangs = True
    call = world.calls("echo", 1)
    world.passes(10.0)
    assert not call.done
    assert len(world.dialled) <= 30


def test_several_servers_that_leave_again_and_again_share_no_more_attempts() -> None:
    world = world_of("a:1", "b:1", "c:1")
    for site in world.sites.values():
        site.script = answers_then_closes
    keep_calling(world, plain)
    assert len(world.dialled) <= 3 * MOST


def test_calls_with_little_time_make_few_attempts_after_a_server_has_left() -> None:
    """They bring the next attempt forward, but not without end."""
    world = world_of()
    world.site.script = answers_then_closes
    world.calls("echo", 1)
    world.core.balancer.endpoints[0].short = 20
    keep_calling(world, hurried, 10.0)
    assert len(world.dialled) <= HURRIED


def test_what_lasted_may_be_dialled_at_once() -> None:
    """A server that is started anew now and then costs nobody time."""
    world = World(limits=LIMITS, chance=lambda: 1.0)
    for _ in range(5):
        assert world.result(world.calls("echo", 1)) == 1
        world.passes(3.0)
        world.drains()
    assert len(world.dialled) == 5


def test_one_that_answers_one_call_on_each_connection_costs_one_connection_a_call() -> None:
    world = World(limits=LIMITS, chance=lambda: 1.0)
    for n in range(5):
        assert world.result(world.calls("echo", n)) == n
        world.hangs_up()
    assert len(world.dialled) == 5


def test_a_server_that_is_away_is_tried_less_and_less_often() -> None:
    world = World(limits=LIMITS, chance=lambda: 1.0, wait_for_ready=True)
    world.site.up = False
    started = world.now
    world.calls("echo", 1)
    world.passes(10.0)
    assert [round(when - started, 3) for when, _ in world.dialled] == [0, 0.1, 0.3, 0.7, 1.5, 3.1, 5.1, 7.1, 9.1]


def test_a_new_core_knows_what_the_one_before_had_to_wait_for() -> None:
    world = World(limits=LIMITS, chance=lambda: 1.0, wait_for_ready=True)
    world.site.up = False
    world.calls("echo", 1)
    world.passes(1.6)
    count = len(world.dialled)
    world.core = world.core.successor()
    world.calls("echo", 1)
    world.passes(1.4)
    assert len(world.dialled) == count
    world.passes(0.2)
    assert len(world.dialled) == count + 1


def test_before_a_first_answer_each_call_tries_by_itself_and_at_once() -> None:
    world = World(limits=LIMITS, chance=lambda: 1.0)
    world.site.up = False
    for n in range(1, 6):
        call = world.calls("echo", 1)
        assert type(call.error) is ConnectRefused
        assert len(world.dialled) == n


def test_calls_that_come_meanwhile_share_the_attempt_and_its_failure() -> None:
    world = World(limits=LIMITS)
    world.site.hangs = True
    calls = [world.calls("echo", n) for n in range(5)]
    world.fails()
    assert [type(call.error) for call in calls] == [ConnectRefused] * 5
    assert len(world.dialled) == 1


def test_further_servers_are_connected_to_one_after_the_other() -> None:
    world = World("a:1", "b:1", "c:1", limits=LIMITS)
    for site in world.sites.values():
        site.handler = leaves_open
        site.hangs = True
    for _ in range(10):
        world.calls("wait")
    assert len(world.pending) == 1
    world.connects()
    assert len(world.pending) == 1


def test_a_classic_server_that_is_away_is_tried_by_one_call_at_a_time() -> None:
    world = World(limits=LIMITS, chance=lambda: 1.0)
    world.site.script = classic
    world.calls("echo", 1)
    world.site.up = False
    for n in range(20):
        world.calls("echo", n)
    world.passes(10.0)
    assert len(world.dialled) <= 2 + 20 + 10  # all that were placed at first, then one after the other
    world.site.up = True
    world.passes(2.0)
    assert all(call.error is None for call in world.ended)
    assert len(world.ended) == 21

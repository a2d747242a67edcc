"""What a client says for the log: which events, how much they matter, and that nothing of a peer stands in them raw."""

import re
from typing import Any

import pytest

from letterhead.errors import ConnectionFailed, Refused, Unavailable
from letterhead.limits import Limits
from tests.client.core.world import World, classic, leaves_open
from tests.protocol.pairs import control, failure, hello, reply, result
from tests.wire.frames import frame, framed

DEBUG, INFO, WARNING = 10, 20, 30
NASTY = "\n2026-01-01 ERROR forged\r\x1b[31m\x07\x00\u2028\u0085\ud7ff" + "x" * 2_000_000


def said(world: World, event: str) -> list[tuple[int, dict[str, object]]]:
    return [(logged.level, logged.fields) for logged in world.logged if logged.event == event]


# Events


def test_a_first_connection_is_told_quietly() -> None:
    world = World()
    world.calls("echo", 1)
    assert said(world, "connected") == [(DEBUG, {"server": "a:1", "attempts": 1, "seconds": None})]
    assert world.lines == ["connected to a:1"]


def test_coming_back_is_told_with_how_long_it_took() -> None:
    world = World(chance=lambda: 1.0)
    world.site.handler = leaves_open
    world.calls("wait")
    world.goes_away()
    world.calls("wait")
    world.passes(1.5)
    world.site.up = True
    world.passes(10.0)
    assert said(world, "connection-lost") == [(WARNING, {"server": "a:1", "open": 1, "error": "connection-lost"})]
    # One attempt at once would be one too many: it ended soon after it was made.
    assert said(world, "connect-failed") == [
        (WARNING, {"server": "a:1", "attempt": 1, "delay": 1.0, "error": "connect-refused"})
    ]
    assert said(world, "connected")[-1] == (INFO, {"server": "a:1", "attempts": 2, "seconds": 2.0})
    assert world.lines[-1] == "connected to a:1 again, by attempt 2"


def test_of_attempts_that_fail_only_the_first_is_worth_a_warning_and_only_where_calls_wait() -> None:
    world = World(wait_for_ready=True)
    world.site.up = False
    world.calls("echo", 1)
    world.passes(10.0)
    levels = [level for level, _ in said(world, "connect-failed")]
    assert levels == [WARNING] + [DEBUG] * (len(levels) - 1)
    assert len(levels) > 2
    assert world.lines[0] == "nothing listens at a:1; calls wait"


def test_what_a_single_caller_is_told_is_no_warning_besides() -> None:
    world = World()
    world.site.up = False
    world.calls("echo", 1)
    assert [level for level, _ in said(world, "connect-failed")] == [DEBUG]
    assert world.lines == ["nothing listens at a:1"]


def test_nor_what_another_server_makes_up_for() -> None:
    world = World("a:1", "b:1", chance=lambda: 0.0, wait_for_ready=True)
    world.sites["b:1"].up = False
    world.sites["a:1"].handler = leaves_open
    world.calls("wait")
    world.calls("wait")
    assert [level for level, _ in said(world, "connect-failed")] == [DEBUG]


@pytest.mark.parametrize("open_ones", [0, 1])
def test_a_server_that_leaves_is_told_once(open_ones: int) -> None:
    world = World()
    world.calls("echo", 1)
    world.site.handler = leaves_open
    calls = [world.calls("wait") for _ in range(open_ones)]
    world.drains()
    assert said(world, "server-left") == [(INFO, {"server": "a:1"})]
    for _ in calls:
        world.answers("done")
    assert len(said(world, "server-left")) == 1
    assert world.core.balancer.counters["left"] == 1
    assert said(world, "connection-lost") == []


def test_a_call_that_is_sent_again_is_told() -> None:
    world = World()
    world.site.handler = lambda _: Unavailable("the database is away")
    world.calls("store", 1)
    world.site.handler = lambda _: result("fine")
    world.passes(5.0)
    fields = {"server": "a:1", "action": "store", "attempt": 2, "error": "unavailable"}
    assert said(world, "call-repeated") == [(INFO, fields)]
    assert "'store' is sent again: the database is away" in world.lines


def test_an_idle_connection_that_a_server_closes_is_not_worth_a_word() -> None:
    world = World()
    world.calls("echo", 1)
    world.logged.clear()
    world.hangs_up()
    assert world.logged == []


def test_nor_the_end_of_a_connection_to_a_classic_server() -> None:
    world = World()
    world.site.script = classic
    for n in range(3):
        world.calls("echo", n)
    assert world.events == ["connected"]


# What came from a peer


def nasty_worlds() -> dict[str, World]:
    """Clients whose servers say what they should not, wherever it might be quoted."""
    worlds = {}

    def world(name: str, **options: Any) -> World:
        made = World(wait_for_ready=True, idempotent=["echo"], **options)
        worlds[name] = made
        return made

    refused = world("refuses the connection")
    refused.site.script = lambda _: failure(None, "unavailable", NASTY, why=NASTY)
    refused.calls("echo", 1)

    final = world("refuses it for good")
    final.site.script = lambda _: failure(None, "x-" + "y" * 60, NASTY)
    final.calls("echo", 1)

    foreign = world("speaks another protocol")
    foreign.site.script = lambda _: b"HTTP/1.1 400 \x1b[31m\r\nX: forged\r\n\r\n"
    foreign.calls("echo", 1)

    header = world("sends a header that is none")
    header.site.script = lambda _: framed(b'{"content-length": 0, "x\\n\\u001b[31mforged": "\x1b[0m\\r\\n"')
    header.calls("echo", 1)

    for name, fields in (("type", {"content-type": NASTY[:4_000]}), ("order", {"byteorder": NASTY[:4_000]})):
        wrong = world(f"sends a wrong {name}")
        wrong.site.script = lambda _, fields=fields: frame(fields | {"id": 1})
        wrong.calls("echo", 1)

    fails = world("fails the connection")
    fails.calls("echo", 1)
    fails.site.script = lambda frames: hello() + reply(1, {"result": None}) if frames[0].id == 1 else b""
    fails.hangs_up()
    fails.passes(10.0)
    fails.calls("first")
    fails.calls("echo", 1)
    fails.says(failure(None, "too-many", NASTY))

    unavailable = world("answers unavailable")
    unavailable.site.handler = lambda _: Refused("unavailable", NASTY, why=NASTY)
    unavailable.calls("echo", 1)

    leaves = world("leaves")
    leaves.site.script = lambda _: control(None, closing=0)
    leaves.calls("echo", 1)

    broken = world("cannot be connected to")
    broken.site.hangs = True
    broken.calls("echo", 1)
    broken.fails(error=ConnectionFailed(NASTY, address=NASTY))

    named = world("is asked for what has a strange name")
    named.site.handler = lambda _: Unavailable("no")
    named.calls("\n\x1b[31mforged" * 50, 1)
    return worlds


@pytest.mark.smoke
def test_nothing_of_a_peer_stands_in_the_log_raw_or_at_length() -> None:
    worlds = nasty_worlds()
    for name, world in worlds.items():
        world.passes(20.0)
        world.hangs_up()
        assert world.logged, name
        for logged in world.logged:
            line = logged.sentence % logged.args
            assert re.fullmatch(r"[\x20-\x7e…]{1,800}", line), (name, line[:1_000])
            for field, value in logged.fields.items():
                if isinstance(value, str):
                    assert re.fullmatch(r"[\x20-\x7e…]{1,301}", value), (name, field, value[:1_000])
                else:
                    assert value is None or isinstance(value, int | float), (name, field)


def test_a_hostile_server_fills_the_log_no_faster_than_it_is_dialled() -> None:
    world = World(limits=Limits(), wait_for_ready=True)
    world.site.script = lambda frames: hello() + b"no frame" if frames else b""
    for _ in range(60):
        world.streams("watch")
        world.passes(1.0)
    assert len(world.logged) <= 4 * len(world.dialled)
    assert len(world.dialled) <= 200

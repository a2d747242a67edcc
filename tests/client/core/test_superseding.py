"""A call that takes an earlier one's place: that one ends at once, at its server too, wherever both are."""

import pytest

from letterhead.errors import Cancelled, DeadlineExceeded, UsageError
from letterhead.limits import Limits
from tests.client.core.world import Asked, World, classic, leaves_open


def open_world(**options: object) -> World:
    world = World()
    world.calls("first")
    world.site.handler = leaves_open
    return world


def superseded(call: Asked) -> bool:
    return isinstance(call.error, Cancelled) and call.error.message == "superseded by a later call"


def told(world: World) -> list[str]:
    return [name for sent in world.site.sent for name in ("supersedes", "cancel") if name in sent.header]


@pytest.mark.smoke
def test_the_earlier_one_ends_at_once_and_its_server_is_told_in_the_header() -> None:
    world = open_world()
    earlier = world.calls("search", query="x", key="box")
    later = world.calls("search", query="xy", key="box")
    assert (superseded(earlier), later.done, told(world)) == (True, False, ["supersedes"])
    assert [request.action for request in world.site.stopped] == ["search"]
    world.answers("found")
    assert world.result(later) == "found"
    assert world.ended[1:] == [earlier, later]


def test_one_key_is_not_another() -> None:
    world = open_world()
    calls = [world.calls("search", key=key) for key in ("a", "b", None, None, ("a",))]
    assert not any(call.done for call in calls)


def test_each_takes_the_place_of_the_one_before() -> None:
    world = open_world()
    calls = [world.calls("search", key=1) for _ in range(5)]
    assert [call.done for call in calls] == [True, True, True, True, False]
    assert world.ended[1:] == calls[:4]


def test_a_call_that_has_ended_is_not_superseded() -> None:
    world = World()
    earlier = world.calls("echo", 1, key="box")
    later = world.calls("echo", 2, key="box")
    assert (world.result(earlier), world.result(later), told(world)) == (1, 2, [])


def test_a_call_that_was_given_up_keeps_its_error() -> None:
    world = open_world()
    earlier = world.calls("search", key="box", timeout=1.0)
    world.passes(1.0)
    world.calls("search", key="box")
    assert isinstance(earlier.error, DeadlineExceeded)
    assert told(world) == []


def test_before_there_is_a_connection() -> None:
    world = World()
    world.site.hangs = True
    earlier, later = world.calls("echo", 1, key="box"), world.calls("echo", 2, key="box")
    assert superseded(earlier)
    world.connects()
    assert world.result(later) == 2
    assert [request.value for request in world.site.requests] == [2]


def test_while_the_server_is_not_known_yet() -> None:
    world = World()
    world.site.script = lambda _: b""
    earlier, later = world.calls("echo", 1, key="box"), world.calls("echo", 2, key="box")
    assert (superseded(earlier), later.done, len(world.site.pipes)) == (True, False, 1)


def test_for_want_of_a_slot_it_waits_for_that_of_the_earlier_one() -> None:
    world = World(server_limits=Limits(max_open=1))
    world.calls("first")
    world.site.handler = leaves_open
    earlier, later = world.calls("search", key="box"), world.calls("search", key="box")
    assert (superseded(earlier), told(world)) == (True, ["cancel"])
    world.answers("found")
    assert world.result(later) == "found"


def test_on_different_servers_the_earlier_one_is_cancelled() -> None:
    world = World("a:1", "b:1", chance=lambda: 0.0)
    for site in world.sites.values():
        site.handler = leaves_open
    earlier = world.calls("search", key="box")
    later = world.calls("search", key="box")
    stopped = [request.action for site in world.sites.values() for request in site.stopped]
    assert (superseded(earlier), later.done, stopped) == (True, False, ["search"])
    assert sum(len(site.open) for site in world.sites.values()) == 1


def test_of_a_classic_server_the_connection_ends_with_the_call() -> None:
    world = World()
    world.site.script = classic
    world.calls("echo", 1)
    world.site.script = lambda _: b""
    earlier, later = world.calls("echo", 2, key="box"), world.calls("echo", 3, key="box")
    assert (superseded(earlier), later.done) == (True, False)
    assert len(world.site.open_pipes) == 1


def test_while_it_waits_to_be_sent_again() -> None:
    from letterhead.errors import Unavailable

    world = World(chance=lambda: 1.0)
    world.site.handler = lambda _: Unavailable("later")
    earlier, later = world.calls("search", key="box"), world.calls("search", key="box")
    assert (superseded(earlier), later.done) == (True, False)
    assert earlier.error is not None
    assert earlier.error.attempts == 1


def test_a_stream_is_superseded_like_a_call_and_what_came_is_for_nobody() -> None:
    world = open_world()
    earlier = world.streams("watch", key="box")
    later = world.streams("watch", key="box")
    assert (superseded(earlier), world.takes(earlier), later.done) == (True, [], False)


def test_a_key_that_cannot_be_hashed_is_a_mistake_and_nothing_is_asked() -> None:
    world = World()
    with pytest.raises(UsageError, match="'supersedes' takes a hashable key, not list"):
        world.calls("search", key=["box"])  # type: ignore[arg-type]  # that is the mistake
    assert (world.core.calls, world.dialled) == ({}, [])


def test_a_key_whose_call_has_ended_holds_nothing() -> None:
    import gc
    import weakref

    class Key:
        """A key that can be watched."""

    world = World()
    key = Key()
    watched = weakref.ref(key)
    world.calls("echo", 1, key=key)
    world.ended.clear()
    del key
    gc.collect()
    assert watched() is None

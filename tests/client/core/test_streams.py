"""Results that are streams, and uploads: who waits hears of it, whichever connection the call is on in the end."""

from typing import Any

import pytest

from letterhead.content.encoded import Encoded
from letterhead.errors import (
    BadHeader,
    Cancelled,
    ConnectionLost,
    DeadlineExceeded,
    LetterheadError,
    Unavailable,
    UsageError,
)
from letterhead.limits import Limits
from letterhead.protocol.flow import CREDIT
from letterhead.protocol.requests import Request
from tests.client.core.world import LIMITS, Asked, World, leaves_open
from tests.protocol.pairs import control, end, hello, item, octets, reply
from tests.wire.frames import Cut, each_cut


def open_request(world: World, number: int = 0) -> tuple[Any, Request]:
    pipe, request = world.site.open[number]
    assert pipe.server is not None
    return pipe.server, request


def serves(world: World, *contents: bytes, number: int = 0) -> None:
    """The handler of an open request sends items."""
    server, request = open_request(world, number)
    if not request.streams:
        server.streams(request)
    for content in contents:
        server.send_item(request, octets(content))
    world.pumped()


def fetched(world: World, number: int = 0) -> list[bytes]:
    """The handler of an open request takes the items that are there."""
    server, request = open_request(world, number)
    taken = [content for _, content in iter(lambda: server.take(request), None)]
    world.pumped()
    return taken


def ends(world: World, number: int = 0) -> None:
    """The handler of an open request ends its stream."""
    pipe, request = world.site.open.pop(number)
    assert pipe.server is not None
    pipe.server.finish(request, None, world.now)
    world.pumped()


def opened(**options: Any) -> World:
    world = World(**options)
    world.site.handler = leaves_open
    return world


def failure_of(call: Asked) -> type[LetterheadError]:
    assert call.error is not None
    return type(call.error)


# Results


@pytest.mark.smoke
@each_cut
def test_the_items_of_a_result_reach_its_reader(cut: Cut) -> None:
    world = opened(cut=cut)
    call = world.streams("count")
    serves(world, b"one", b"two")
    assert world.takes(call) == [b"one", b"two"]
    serves(world, b"three")
    ends(world)
    assert world.takes(call) == [b"three"]
    assert (call.done, call.error, world.ended) == (True, None, [call])


def test_a_reader_who_waited_before_there_was_a_connection_is_told_of_the_first_item() -> None:
    world = opened()
    world.site.hangs = True
    call = world.streams("count")
    assert world.takes(call) == []
    world.connects()
    serves(world, b"one")
    assert world.readable == [call]
    assert world.takes(call) == [b"one"]


def test_a_reader_is_told_of_items_that_come_from_another_server() -> None:
    """A server that leaves did not run it: its items come on another connection."""
    world = World("a:1", "b:1", chance=lambda: 0.0)
    first, second = world.sites.values()
    first.script = lambda frames: hello() + reply(1, {"result": None}) if frames[0].id == 1 else b""
    second.handler = leaves_open
    call = world.streams("count")
    assert world.takes(call) == []
    world.says(control(None, closing=1))
    (request,) = second.open
    assert request[0].server is not None
    request[0].server.streams(request[1])
    request[0].server.send_item(request[1], octets(b"one"))
    world.pumped()
    assert world.readable == [call]
    assert world.takes(call) == [b"one"]


def test_a_reader_is_told_once_for_each_time_that_it_found_nothing() -> None:
    world = opened()
    call = world.streams("count")
    assert world.takes(call) == []
    serves(world, b"one")
    serves(world, b"two")
    assert world.readable == [call]


def test_credit_goes_back_as_items_are_taken() -> None:
    world = opened()
    call = world.streams("count")
    serves(world, *[bytes(100_000)] * 6)
    assert not any("credit" in sent.header for sent in world.site.sent)
    world.takes(call)
    (given,) = [sent.header["credit"] for sent in world.site.sent if "credit" in sent.header]
    assert CREDIT / 2 < given < CREDIT


def test_whoever_leaves_a_stream_early_cancels_it_and_what_came_is_for_nobody() -> None:
    world = opened()
    call = world.streams("count")
    serves(world, b"one")
    world.gives_up(call)
    assert (world.takes(call), failure_of(call)) == ([], Cancelled)
    assert [request.action for request in world.site.stopped] == ["count"]
    assert world.ended == [call]


def test_items_before_an_error_are_handed_out_and_then_the_error_comes_again_and_again() -> None:
    world = opened()
    call = world.streams("count")
    serves(world, b"one")
    world.hangs_up()
    assert world.takes(call) == [b"one"]
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            world.result(call)


def test_items_of_a_stream_whose_time_is_over_are_for_nobody() -> None:
    world = opened()
    call = world.streams("count", timeout=2.0)
    serves(world, b"one")
    world.passes(2.0)
    assert (world.takes(call), failure_of(call)) == ([], DeadlineExceeded)


def test_one_result_where_a_stream_was_wanted_is_told_as_a_mistake() -> None:
    world = World()
    with pytest.raises(UsageError, match="use call"):
        world.result(world.streams("echo", 1))


def test_a_stream_where_one_result_was_wanted_is_told_as_a_mistake_and_stopped() -> None:
    world = opened()
    call = world.calls("count")
    serves(world, b"one")
    with pytest.raises(UsageError, match="use stream"):
        world.result(call)
    assert world.site.open == []


def test_either_is_one_result_or_the_items_of_a_stream() -> None:
    world = World()
    world.calls("echo", 0)
    one = world.streams("echo", 5, either=True)
    assert (world.takes(one), one.single, one.done) == ([b"5"], True, True)
    world.site.handler = leaves_open
    many = world.streams("count", either=True)
    serves(world, b"one", b"two")
    ends(world)
    assert (world.takes(many), many.single) == ([b"one", b"two"], False)


def test_an_item_without_credit_ends_its_stream_alone() -> None:
    world = World()
    world.site.script = lambda frames: hello() + reply(1, {"result": None}) if frames[0].id == 1 else b""
    call, other = world.streams("count"), world.calls("other")
    world.says(item(2, bytes(CREDIT)), item(2, b"more"), reply(3, "fine"))
    assert failure_of(call) is BadHeader
    assert world.result(other) == "fine"


# Uploads


@pytest.mark.smoke
@each_cut
def test_the_items_of_an_upload_reach_the_handler(cut: Cut) -> None:
    world = opened(cut=cut)
    call = world.uploads("store")
    world.puts(call, b"one", b"two")
    world.core.end_upload(call, world.now)
    world.settled()
    assert fetched(world) == [b"one", b"two"]
    world.answers("stored")
    assert world.result(call) == "stored"


def test_a_writer_who_waited_before_there_was_a_connection_is_told_when_it_may_send() -> None:
    world = opened()
    world.site.hangs = True
    call = world.uploads("store")
    assert not world.core.may_send(call)
    world.connects()
    assert world.writable == [call]
    assert world.core.may_send(call)


def test_a_writer_goes_on_when_credit_comes() -> None:
    world = opened(server_limits=Limits(initial_credit=1_000))
    call = world.uploads("store")
    world.puts(call, bytes(2_000))
    world.writable.clear()
    assert not world.core.may_send(call)
    assert len(fetched(world)) == 1
    assert world.writable == [call]
    assert world.core.may_send(call)


def test_a_writer_waits_while_the_pipe_takes_no_bytes() -> None:
    world = opened()
    call = world.uploads("store")
    world.writable.clear()
    line = world.site.pipe.core_end
    world.core.pause_writing(line)
    assert not world.core.may_send(call)
    world.core.resume_writing(line, world.now)
    world.settled()
    assert world.writable == [call]
    assert world.core.may_send(call)


def test_nothing_more_goes_of_an_upload_that_was_answered() -> None:
    world = opened()
    call = world.uploads("store")
    world.puts(call, b"one")
    world.answers("enough")
    assert not world.core.may_send(call)
    count = len(world.site.sent)
    assert world.core.send_item(call, octets(b"two"), world.now) == 0
    world.core.end_upload(call, world.now)
    world.settled()
    assert len(world.site.sent) == count


def test_what_an_upload_raised_is_what_its_caller_gets() -> None:
    world = opened()
    call = world.uploads("store")
    failure = KeyError("the caller's own")
    assert world.core.fail_upload(call, failure, world.now)
    world.settled()
    with pytest.raises(KeyError) as caught:
        world.result(call)
    assert caught.value is failure
    assert [request.action for request in world.site.stopped] == ["store"]
    assert not world.core.fail_upload(call, ValueError("too late"), world.now)


def test_an_upload_that_has_begun_is_not_sent_again_and_one_that_has_not_is() -> None:
    world = opened(idempotent=["store"], wait_for_ready=True)
    fresh, begun = world.uploads("store"), world.uploads("store")
    world.puts(begun, b"gone")
    world.hangs_up()
    assert (failure_of(begun), fresh.done) == (ConnectionLost, False)
    world.passes(10.0)
    world.puts(fresh, b"one")
    assert fetched(world) == [b"one"]


def test_an_upload_above_what_a_leaving_server_runs_fails_once_it_has_begun() -> None:
    world = World()
    world.site.script = lambda frames: hello() + reply(1, {"result": None}) if frames[0].id == 1 else b""
    call = world.uploads("store")
    world.puts(call, b"gone")
    world.says(control(None, closing=1))
    assert failure_of(call) is Unavailable


def test_an_item_whose_own_header_cannot_be_sent_ends_nothing() -> None:
    world = opened()
    call = world.uploads("store")
    wide = Encoded("application/octet-stream", "binary", b"", {"x-wide": "x" * 20_000})
    with pytest.raises(UsageError, match="limit"):
        world.core.send_item(call, wide, world.now)
    world.puts(call, b"one")
    assert fetched(world) == [b"one"]


def test_both_ways_at_once_is_a_conversation() -> None:
    world = opened()
    call = world.streams("chat", iter(()))
    for n in range(3):
        world.puts(call, b"%d" % n)
        assert fetched(world) == [b"%d" % n]
        serves(world, b"<%d>" % n)
        assert world.takes(call) == [b"<%d>" % n]
    world.core.end_upload(call, world.now)
    world.settled()
    ends(world)
    assert (call.done, call.error) == (True, None)


# Time


def test_a_stream_may_take_as_long_as_it_wants_once_a_server_has_answered() -> None:
    world = opened()
    calls = [world.streams("count"), world.streams("count", either=True), world.uploads("store")]
    for number in range(2):
        serves(world, number=number)
    world.passes(100_000.0)
    assert not any(call.done for call in calls)
    assert world.core.due == float("inf") or world.core.due > world.now


@pytest.mark.parametrize("either", [False, True])
def test_before_that_it_waits_as_long_as_a_plain_call(either: bool) -> None:
    world = World(wait_for_ready=True)
    world.site.up = False
    stream, plain = world.streams("count", either=either), world.calls("echo", 1)
    world.passes(LIMITS.deadline_seconds - 0.1)
    assert world.ended == []
    world.passes(0.2)
    assert world.ended == [stream, plain]


def test_the_end_of_an_empty_stream_is_an_answer() -> None:
    world = World(idempotent=["count"])
    world.site.script = lambda frames: hello() + reply(1, {"result": None}) if frames[0].id == 1 else end(2)
    call = world.streams("count")
    assert (call.done, call.error) == (True, None)

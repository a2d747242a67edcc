"""What a client costs whatever its servers do: no exception is kept that is raised, no wait costs more than another."""

import gc
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from letterhead.client.calls import action_call, stream_call
from letterhead.client.openings import action_opening, message_opening, pack, upload_opening
from letterhead.errors import ConnectRefused, DeadlineExceeded, LetterheadError, UsageError
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.exchange import Asks, Opening
from letterhead.wire.header import MAX_ID
from tests.client.core.world import Asked, World, classic, leaves_open
from tests.protocol.pairs import ServerSide, client_side, failure, hello, joined, opening, reply, submitted
from tests.wire.frames import frame, framed, header_bytes

HOSTILE = {
    "a header without byteorder": frame({"id": 1}, without=("byteorder",)),
    "a wrong byteorder": frame({"id": 1, "byteorder": "no"}),
    "a wrong type": frame({"id": 1, "content-type": 5}),
    "too many fields": frame({"id": 1} | {f"x{n}": n for n in range(70)}),
    "a hello that is none": frame({"id": 1, "max-open": 0}),
    "credit of the wrong type": hello() + frame({"id": 1, "credit": "much"}),
    "compression that nobody asked for": hello() + reply(1, 1, compression="zstd"),
    "an id never opened": hello() + reply(99, 1),
    "no frame": b"\xff\xff\xff",
    "a refusal": failure(None, "too-many", "no"),
    "too large": framed(header_bytes({"content-length": 20 << 20})),
}


def kept() -> tuple[int, int]:
    """How many conversations, and how many traceback objects, are held."""
    gc.collect()
    found = gc.get_objects()
    return (
        sum(isinstance(one, ClientProtocol) for one in found),
        sum(isinstance(one, types.TracebackType | types.FrameType) for one in found),
    )


@pytest.mark.smoke
@pytest.mark.parametrize("how", HOSTILE)
def test_connections_to_a_hostile_server_leave_nothing_in_memory(how: str) -> None:
    """An exception that is kept and raised again keeps the frames of all those who raised it."""
    world = World()
    world.site.script = lambda _: HOSTILE[how]

    def some(count: int) -> tuple[int, int]:
        for _ in range(count):
            with pytest.raises(LetterheadError):
                world.result(world.calls("echo", 1))
        assert world.core.connections == {}
        world.ended.clear()
        world.logged.clear()
        world.site.pipes.clear()
        return kept()

    before = some(5)
    protocols, frames = some(60)
    assert protocols <= before[0]
    assert frames <= before[1] + 3


def depth(error: BaseException) -> int:
    count, trace = 0, error.__traceback__
    while trace is not None:
        count, trace = count + 1, trace.tb_next
    return count


@pytest.mark.parametrize("how", ["refused", "late", "lost", "upload failed"])
def test_an_error_that_is_raised_again_grows_no_longer_and_keeps_nobodys_frames(how: str) -> None:
    world = World(wait_for_ready=how == "late" or None)
    world.site.up = how == "lost" or how == "upload failed"
    world.site.handler = leaves_open
    call = world.uploads("wait") if how == "upload failed" else world.calls("wait", timeout=1.0)
    if how == "upload failed":
        world.core.fail_upload(call, KeyError("their own"), world.now)
    world.passes(0.5)
    world.hangs_up()
    world.passes(0.5)
    depths = []
    for _ in range(20):
        with pytest.raises((LetterheadError, KeyError)) as caught:
            world.result(call)
        depths.append(depth(caught.value))
    assert len(set(depths)) == 1
    if how != "upload failed":  # that very exception is what its caller wants back
        assert call.error is not None
        assert call.error.__traceback__ is None


def test_the_error_of_one_call_is_no_others() -> None:
    world = World()
    world.site.up = False
    calls = [world.calls("echo", n) for n in range(2)]
    errors = []
    for call in calls:
        with pytest.raises(ConnectRefused) as caught:
            world.result(call)
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    endpoint = world.core.balancer.endpoints[0]
    assert endpoint.error is not None
    assert endpoint.error.__traceback__ is None
    assert endpoint.error not in errors


# Header fields that are added when a request is written


def widest(make: Callable[[int], Any]) -> Any:
    """The result of ``make`` with the largest number for which it does not raise."""
    low, high = 0, 20_000
    while low < high:
        middle = (low + high + 1) // 2
        try:
            make(middle)
        except LetterheadError:
            high = middle - 1
        else:
            low = middle
    return make(low)


@pytest.mark.smoke
@pytest.mark.parametrize("what", ["call", "stream", "upload", "message", "accept"])
@pytest.mark.parametrize("full", ["length", "number"])
def test_a_header_that_was_accepted_can_be_sent_with_all_that_is_added_to_it(what: str, full: str) -> None:
    """The id, the deadline, the call whose place it takes, the compression: known only when it is written."""
    limits = Limits()

    def make(size: int) -> Opening:
        if full == "length":
            header: dict[str, Any] = {"x-wide": "x" * size}
            name = "a" * max(1, size)
        else:
            header = {f"x{n}": n for n in range(min(size, 70))}
            name = "act"
        asks = Asks(("text/json",) * (size // 12 + 1 if what == "accept" and full == "length" else 1), ("gzip",), True)
        if what == "upload":
            made, _ = upload_opening(name, (iter(()),), {}, limits, asks)
        elif what == "message":
            made = message_opening(Message(b"x" * 500, header), limits)
        elif what == "accept":
            made = action_opening("act", (), {"text": "x" * 500}, limits, asks)
        else:
            made = action_opening(name, (Message(b"x" * 500, header),), {}, limits, asks)
        made.streams = what == "stream"
        return made

    opened = widest(make)
    pack(opened, ("gzip",))
    side = client_side()
    side.core._id = MAX_ID - 2
    side.core.readable = ("gzip", "zstd")
    earlier = side.calls("first")
    side.core.submit(submitted(opened, 3_000_000.0), earlier)
    written = joined(side.core.out)
    (sent,) = side.settled().sent[-1:]
    assert int.from_bytes(written[:2], "big") <= limits.header_bytes
    assert len(sent.header) <= limits.header_fields
    assert {"deadline": 2**31 - 1, "supersedes": MAX_ID - 1, "id": MAX_ID}.items() <= sent.header.items()
    # A server with the same limits takes it, and its connection goes on.
    server = ServerSide().hears(opening(1, "first"), written)
    assert (server.errors, server.ending, len(server.requests)) == ([], False, 2)


def test_one_field_more_is_refused_before_anything_is_sent() -> None:
    world = World()
    world.calls("first")
    count = len(world.site.sent)
    with pytest.raises(UsageError, match="fields"):
        world.sends(Message(b"", {f"x{n}": n for n in range(60)}))
    with pytest.raises(UsageError, match="bytes"):
        world.sends(Message(b"", {"x": "x" * 16_300}))
    assert len(world.site.sent) == count
    assert world.result(world.calls("echo", 1)) == 1


# Waiting


def function_calls(action: Callable[[], object]) -> int:
    """How many Python functions are called meanwhile, itself among them."""
    count = 0

    def count_one(frame: types.FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(count_one)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def joining(world: World, number: int, begin: Callable[[], Asked]) -> list[int]:
    """What each of so many calls costs that are submitted and wait."""
    costs = []
    for _ in range(number):
        call = begin()
        costs.append(function_calls(lambda call=call: world.core.submit(call, world.now)))  # type: ignore[misc]
        costs[-1] += function_calls(lambda: world.core.due)
    return costs


def waiting_call(world: World, *, streams: bool = False) -> Callable[[], Asked]:
    if streams:
        return lambda: stream_call(world.settings, "echo", (), {}, None, None, None)
    return lambda: action_call(world.settings, "echo", (), {"n": 1}, None, None, None, None)


@pytest.mark.smoke
@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("servers", [("a:1",), ("a:1", "b:1", "c:1")])
@pytest.mark.parametrize("how", ["away", "hanging", "silent", "full", "classic", "classic and away"])
def test_to_join_4000_that_wait_costs_no_more_than_to_join_40(
    how: str, servers: tuple[str, ...], streams: bool
) -> None:
    world = World(*servers, wait_for_ready=None if "classic" in how else True, chance=lambda: 1.0)
    for site in world.sites.values():
        site.script = classic if "classic" in how else None
    if how in ("full", "silent"):
        for _ in servers:
            world.site.limits = Limits(max_open=1)
        world.calls("first")
        for site in world.sites.values():
            site.handler = leaves_open
        if how == "silent":
            world.falls_silent()
    elif "classic" in how:
        for _ in servers:
            world.calls("first")
    for site in world.sites.values():
        site.up = how not in ("away", "classic and away")
        site.hangs = how in ("hanging", "classic")
    world.submits(waiting_call(world)())
    world.settled()
    costs = joining(world, 4_000, waiting_call(world, streams=streams))
    world.core.events.clear()
    few, many = costs[40:80], costs[-40:]
    assert max(many) <= max(few) + 2
    assert max(costs[40:]) <= 120


@pytest.mark.parametrize("how", ["away", "classic"])
def test_what_happens_to_one_connection_does_not_cost_a_look_at_all_that_wait(how: str) -> None:
    """Else 4,000 calls to a classic server cost 4,000 looks at up to 4,000 calls."""
    world = World(chance=lambda: 1.0, limits=Limits(deadline_seconds=3_600.0))
    world.site.script = classic if how == "classic" else None
    world.calls("first")
    if how == "away":
        world.goes_away()
    world.site.hangs = True

    def costs(number: int) -> int:
        for _ in range(number):
            world.core.submit(waiting_call(world)(), world.now)
        world.settled()
        if how == "classic":
            dial = world.pending.pop(0)
            return function_calls(lambda: world.core.connected(dial, world.site.pipe, world.now))
        world.passes(20.0)  # whatever attempt comes next
        dial = world.pending.pop(0)
        refused = ConnectRefused("nothing listens", address="a:1")
        return function_calls(lambda: world.core.connect_failed(dial, refused, world.now))

    few = costs(50)
    many = costs(4_000)
    assert many <= few + 50


def test_what_waits_ends_in_time_all_the_same() -> None:
    world = World(wait_for_ready=True, chance=lambda: 1.0)
    world.site.up = False
    calls = [world.calls("echo", n, timeout=1.0 + n / 100) for n in range(200)]
    world.passes(3.0)
    assert all(isinstance(call.error, ConnectRefused | DeadlineExceeded) for call in calls)
    assert world.ended == calls


def test_no_calls_time_passes_without_an_attempt_in_its_second_half() -> None:
    """Also not one's that waits behind many others, after an attempt that has failed meanwhile."""
    world = World(
        wait_for_ready=True, chance=lambda: 1.0, limits=Limits(reconnect_seconds=1.0, reconnect_max_seconds=60)
    )
    world.site.up = False
    for n in range(20):
        world.calls("echo", n)
    world.passes(16.0)
    call = world.calls("echo", 1, timeout=8.0)
    world.passes(4.0)
    world.site.up = True
    world.passes(3.9)
    assert world.result(call) == 1

"""Frames that are built: each is whole when it is checked, so no receiver refuses what a sender let pass."""

from collections.abc import Callable
from typing import Any

import pytest

from letterhead.content.encoded import Encoded
from letterhead.errors import UsageError
from letterhead.limits import Limits
from letterhead.message import Buffer
from letterhead.protocol import frames
from letterhead.wire.header import Headers
from tests.protocol.pairs import joined, named, server_side

MOST = Limits().header_fields
TIMING = {"queued": 1, "ran": 2}
Build = Callable[[Encoded], object]
Tell = Callable[[int], dict[str, Any]]


def many(count: int) -> dict[str, Any]:
    return {f"x-{number}": number for number in range(count)}


def octets(fields: dict[str, Any] | None) -> Encoded:
    return Encoded("a/b", "binary", b"x", fields)


def sent(*pieces: Buffer) -> bytes:
    """The header of a frame."""
    data = joined(pieces)
    return data[2 : 2 + int.from_bytes(data[:2], "big")]


BUILDS: dict[str, Callable[[Encoded], bytes]] = {
    "a result": lambda reply: sent(*frames.result(reply, 2**53 - 1, False, 1000)),
    "a result with its timing": lambda reply: sent(*frames.result(reply, 2**53 - 1, False, 1000, TIMING)),
    "an item": lambda reply: sent(*frames.item(reply, 2**53 - 1)),
}


@pytest.mark.parametrize("build", BUILDS.values(), ids=list(BUILDS))
def test_a_frame_has_as_many_fields_as_its_receiver_takes_and_no_more(build: Callable[[Encoded], bytes]) -> None:
    most = next(count for count in range(MOST, 0, -1) if _builds(build, many(count)))
    header = Headers(Limits()).decode(build(octets(many(most))))
    assert header.shape.fault is None
    assert len(header.fields) == MOST
    with pytest.raises(UsageError, match="65 fields; the limit is 64"):
        build(octets(many(most + 1)))


@pytest.mark.parametrize("build", BUILDS.values(), ids=list(BUILDS))
def test_a_frame_s_header_is_as_long_as_its_receiver_takes_and_no_longer(build: Callable[[Encoded], bytes]) -> None:
    fits = next(size for size in range(16_383, 0, -1) if _builds(build, {"x": "y" * size}))
    header = build(octets({"x": "y" * fits}))
    assert 16_383 - 20 < len(header) <= 16_383
    assert Headers(Limits()).decode(header).shape.fault is None


def _builds(build: Build, fields: dict[str, Any]) -> bool:
    try:
        build(octets(fields))
    except UsageError:
        return False
    return True


@pytest.mark.parametrize("tell", [many, lambda count: {"x": "y" * (count * 240)}], ids=["fields", "bytes"])
def test_what_passes_the_check_can_be_sent_with_all_that_a_connection_adds(tell: Tell) -> None:
    passed = 0
    for count in range(MOST + 6):
        reply = octets(tell(count))
        try:
            frames.check(reply, Limits())
        except UsageError:
            continue
        passed += 1
        packed = octets({**tell(count), "compression": "gzip"})
        for id in (1, 2**53 - 1):
            headers = [sent(*frames.result(packed, id, False, 1000, TIMING)), sent(*frames.item(packed, id))]
            assert [Headers(Limits()).decode(header).shape.fault for header in headers] == [None, None]
    assert passed > MOST - 10


@pytest.mark.smoke
def test_a_result_whose_header_would_be_refused_with_its_timing_fails_alone() -> None:
    side = server_side().hears(named(2, "a", timing=True), named(3, "b"))
    side.answers(0, octets(many(59))).answers(1, "other")
    assert side.codes == [(2, "internal"), (3, None)]
    assert max(len(reply.header) for reply in side.replies) <= MOST

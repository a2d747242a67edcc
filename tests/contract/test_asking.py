"""What a caller asks of the answer: its content type, its compression, how long it took."""

from typing import Any

import pytest

from letterhead import BadContent, Refused, Timing, TooLarge, UsageError
from letterhead.limits import Limits
from tests.contract.scene import Scene, claim

MSGPACK = "application/msgpack"
BOTH = ("zstd", "gzip")
TEXT = "the same words again, and " * 2_000
MIB = 1024 * 1024


# Content types


@claim()
async def test_results_come_in_the_type_that_is_accepted(scene: Scene) -> None:
    for caller, options in (
        (scene.another(accept=[MSGPACK]), {}),
        (scene.another(accept=["text/json"]), {"accept": [MSGPACK, "text/json"]}),
        (scene.another(), {"accept": (MSGPACK,)}),
    ):
        for _ in range(2):  # the first in classic form
            assert await caller.call("echo", [1, None, "x"], **options) == [1, None, "x"]
        headers: dict[str, Any] = await caller.call("headers", **options)
        assert headers["accept"][0] == MSGPACK
        assert await (await caller.stream("items", values=[1, "two"], **options)).rest() == [1, "two"]


@claim()
async def test_what_fits_no_accepted_type_comes_in_its_own(scene: Scene) -> None:
    caller = scene.another(accept=[MSGPACK, "text/plain"])
    assert await caller.call("zeros", 3) == bytes(3)


@claim()
async def test_an_accept_that_is_no_list_of_types_is_refused(scene: Scene) -> None:
    for accept in (MSGPACK, ["msgpack"], [1], {MSGPACK}):
        with pytest.raises(UsageError, match="content types"):
            await scene.caller.call("echo", 1, accept=accept)
        with pytest.raises(UsageError, match="content types"):
            scene.another(accept=accept)


# Times


@claim()
async def test_a_call_is_told_how_long_it_waited_and_ran(scene: Scene) -> None:
    for action in ("echo", "echo-thread", "echo-inline"):
        timing = Timing()
        await scene.caller.call(action, 1, timing=timing)
        assert timing.queued is not None
        assert timing.ran is not None
        assert 0 <= timing.queued < 10
        assert 0 <= timing.ran < 10


@claim()
async def test_so_are_a_stream_once_it_has_ended_and_a_call_that_failed(scene: Scene) -> None:
    timing = Timing()
    reading = await scene.caller.stream("count", to=3, timing=timing)
    assert await reading.some(3) == [0, 1, 2]
    assert timing.ran is None
    await reading.rest()
    assert timing.ran is not None
    failed = Timing()
    with pytest.raises(Refused):
        await scene.caller.call("order", number=1, timing=failed)
    assert failed.ran is not None


@claim()
async def test_a_timing_that_is_none_is_refused(scene: Scene) -> None:
    with pytest.raises(UsageError, match=r"letterhead\.Timing"):
        await scene.caller.call("echo", 1, timing={})


# Compression


@claim(compression=BOTH)
async def test_both_sides_compress_what_both_read(scene: Scene) -> None:
    for names in (BOTH, ("gzip",), ("zstd",)):
        caller = scene.another(compression=names)
        assert await caller.call("echo", 1) == 1
        counters = scene.server.shared.counters
        received, sent = counters.bytes_received, counters.bytes_sent
        assert await caller.call("echo", TEXT) == TEXT
        assert counters.bytes_received - received < len(TEXT) / 10
        assert counters.bytes_sent - sent < len(TEXT) / 10


@claim(compression=BOTH)
async def test_items_are_compressed_either_way(scene: Scene) -> None:
    caller = scene.another(compression=BOTH)
    counters = scene.server.shared.counters
    assert await caller.call("collect", iter([TEXT, 1, TEXT])) == [TEXT, 1, TEXT]
    assert await (await caller.stream("items", values=[TEXT, 1, TEXT])).rest() == [TEXT, 1, TEXT]
    assert counters.bytes_received < len(TEXT)
    assert counters.bytes_sent < len(TEXT)


@claim(compression=BOTH)
async def test_large_content_is_compressed_too(scene: Scene) -> None:
    caller = scene.another(compression=BOTH)
    assert await caller.call("echo", 1) == 1
    data = bytes(3 * MIB)
    assert await caller.call("echo", data) == data
    assert await caller.call("sizes", (data for _ in range(3))) == [len(data)] * 3
    assert scene.server.shared.counters.bytes_received < MIB


@claim()
async def test_a_server_that_reads_no_compression_gets_none(scene: Scene) -> None:
    caller = scene.another(compression=BOTH)
    for _ in range(2):
        assert await caller.call("echo", TEXT) == TEXT
    assert await caller.call("collect", iter([TEXT])) == [TEXT]


@claim(compression=BOTH)
async def test_a_result_that_grows_beyond_the_limit_fails_its_own_call(scene: Scene) -> None:
    caller = scene.another(compression=BOTH, limits=Limits(content_bytes=MIB))
    assert await caller.call("echo", 1) == 1
    with pytest.raises(TooLarge) as caught:
        await caller.call("zeros", 2 * MIB)
    assert caught.value.limit == MIB
    with pytest.raises(TooLarge):
        await (await caller.stream("blocks", number=1, size=2 * MIB)).rest()
    assert await caller.call("echo", 2) == 2


@claim()
async def test_a_compression_that_nobody_knows_is_refused(scene: Scene) -> None:
    with pytest.raises(UsageError, match="no compression 'lz4'"):
        scene.another(compression=["lz4"])


@claim()
async def test_a_wrong_type_in_what_is_returned_is_bad_content_in_every_type(scene: Scene) -> None:
    for options in ({}, {"accept": [MSGPACK]}):
        with pytest.raises(BadContent, match="does not fit 'returns'"):
            await scene.caller.call("echo", "text", returns=int, **options)

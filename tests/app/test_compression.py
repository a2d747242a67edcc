"""Compression at the server: what it lists, what it compresses for whom, and what it makes of compressed content."""

import asyncio
import gzip
import json
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import zstandard

from letterhead import App, Limits, Message, Refused, UsageError
from tests.app.wire import end, item, opening, wire
from tests.leaks import run, until
from tests.wire.frames import Frame, frame, json_frame

TEXT = "the same words again and again; " * 100
BOTH = {"accept-compression": ["gzip", "zstd"]}


def made(**options: Any) -> App:
    app = App(compression=("zstd", "gzip"), **options)

    @app.action
    async def text(times: int = 1) -> str:
        return TEXT * times

    @app.action
    def thread_text() -> str:
        return TEXT

    @app.action
    async def small() -> str:
        return "small"

    @app.action
    async def noise(size: int = 10_000) -> bytes:
        return random.Random(1).randbytes(size)

    @app.action
    async def as_it_is() -> Message:
        return Message(b"ab" * 5000, {"content-type": "image/x"})

    @app.action
    async def refuse() -> None:
        raise Refused("sold-out", TEXT)

    @app.action(name="async-texts")
    async def async_texts() -> AsyncIterator[str]:
        for size in (1, 100):
            yield TEXT[:100] * size

    @app.action(name="thread-texts")
    def thread_texts() -> Iterator[str]:
        for size in (1, 100):
            yield TEXT[:100] * size

    @app.action(name="inline-texts", run="inline")
    def inline_texts() -> Iterator[str]:
        for size in (1, 100):
            yield TEXT[:100] * size

    @app.action(name="async-length")
    async def async_length(value: str) -> int:
        return len(value)

    @app.action(name="thread-length")
    def thread_length(value: str) -> int:
        return len(value)

    @app.action(name="inline-length", run="inline")
    def inline_length(value: str) -> int:
        return len(value)

    @app.action(name="async-lengths")
    async def async_lengths(values: AsyncIterator[str]) -> list[int]:
        return [len(value) async for value in values]

    @app.action(name="thread-lengths")
    def thread_lengths(values: Iterator[str]) -> list[int]:
        return [len(value) for value in values]

    @app.binary
    def size_of(message: Message) -> int:
        return len(message.content)

    return app


def opened(got: Frame) -> Any:
    """The value of a compressed frame."""
    content = unpacked(got)
    return json.loads(content) if got.header["content-type"] == "text/json" else content


def unpacked(got: Frame) -> bytes:
    match got.header.get("compression"):
        case "gzip":
            return gzip.decompress(got.content)
        case "zstd":
            return zstandard.ZstdDecompressor().decompress(got.content, max_output_size=1 << 27)
    return got.content


def packed(value: Any, name: str, fields: dict[str, Any]) -> bytes:
    """A frame of compressed JSON."""
    data = json.dumps(value).encode()
    content = gzip.compress(data) if name == "gzip" else zstandard.ZstdCompressor().compress(data)
    return frame({"content-type": "text/json", "content-encoding": "utf-8", "compression": name, **fields}, content)


def test_the_hello_lists_what_the_application_allows() -> None:
    async def main() -> None:
        for app, listed in ((App(), None), (made(), ["zstd", "gzip"]), (App(compression=["gzip"]), ["gzip"])):
            async with wire(app) as client:
                client.hello = True
                client.send(opening(1, "letterhead.ping"))
                assert (await client.frame()).header.get("accept-compression") == listed

    run(main())


@pytest.mark.parametrize("names", ["gzip", ["brotli"], [1], [b"gzip"]])
def test_what_is_no_compression_is_refused(names: Any) -> None:
    with pytest.raises(UsageError, match="compression"):
        App(compression=names)


@pytest.mark.parametrize(
    ("reads", "used"),
    [
        ([], None),
        (["gzip"], "gzip"),
        (["zstd"], "zstd"),
        (["gzip", "zstd"], "zstd"),
        (["brotli"], None),
        (["brotli", "gzip"], "gzip"),
    ],
)
@pytest.mark.parametrize("action", ["text", "thread_text"])
def test_a_result_is_compressed_as_both_sides_agree_in_the_applications_order(
    action: str, reads: list[str], used: str | None
) -> None:
    async def main() -> None:
        async with wire(made()) as client:
            client.send(opening(1, action, fields={"accept-compression": reads}))
            got = await client.frame()
            assert got.header.get("compression") == used
            assert opened(got) == TEXT
            assert used is None or len(got.content) < len(TEXT) / 4

    run(main())


def test_an_application_that_allows_none_compresses_nothing() -> None:
    app = App()

    @app.action
    async def text() -> str:
        return TEXT

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "text", fields=BOTH))
            got = await client.frame()
            assert "compression" not in got.header
            assert got.value == TEXT

    run(main())


def test_what_would_not_get_smaller_and_errors_and_wrapped_replies_are_not_compressed() -> None:
    async def main() -> None:
        async with wire(made()) as client:
            client.send(
                opening(1, "small", fields=BOTH),
                opening(2, "noise", fields=BOTH),
                opening(3, "refuse", fields=BOTH),
                json_frame({"action": "text", "value": None}, {"id": 4, **BOTH}),
            )
            got = [await client.frame() for _ in range(4)]
            assert ["compression" in each.header for each in got] == [False] * 4
            assert got[3].value == {"result": TEXT}
            assert got[2].status == "sold-out"

    run(main())


def test_a_message_keeps_its_type_and_is_compressed() -> None:
    async def main() -> None:
        async with wire(made()) as client:
            client.send(opening(1, "as_it_is", fields=BOTH))
            got = await client.frame()
            assert (got.header["content-type"], got.header["compression"]) == ("image/x", "zstd")
            assert unpacked(got) == b"ab" * 5000

    run(main())


def test_a_large_result_does_not_hold_up_the_event_loop() -> None:
    """Gzip takes 0.2 s for it, in a thread, which lets the loop turn."""
    app = made()
    content = b" ".join(random.Random(0).choices([random.Random(n).randbytes(40) for n in range(1000)], k=300_000))
    turns = 0

    @app.action
    async def large() -> bytes:
        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning.append(asyncio.create_task(turn()))
        return content

    turning: list[asyncio.Task[None]] = []

    async def main() -> None:
        async with wire(app) as client:
            client.send(opening(1, "large", fields={"accept-compression": ["gzip"]}))
            await until(lambda: client.server.shared.counters.served)
            turning[0].cancel()
            assert turns > 20
            got = await client.frame()
            assert got.header["compression"] == "gzip"
            assert unpacked(got) == content

    run(main())


@pytest.mark.parametrize("kind", ["async", "thread", "inline"])
def test_items_are_compressed_one_by_one(kind: str) -> None:
    async def main() -> None:
        async with wire(made()) as client:
            client.send(opening(1, f"{kind}-texts", fields=BOTH))
            small, large, last = [await client.frame() for _ in range(3)]
            assert "compression" not in small.header
            assert large.header["compression"] == "zstd"
            assert [opened(small), opened(large)] == [TEXT[:100], TEXT[:100] * 100]
            assert last.header["more"] is False
            assert "compression" not in last.header

    run(main())


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("kind", ["async", "thread", "inline"])
def test_compressed_arguments_are_read(kind: str, name: str) -> None:
    async def main() -> None:
        async with wire(made()) as client:
            client.send(packed({"value": TEXT}, name, {"id": 1, "action": f"{kind}-length"}))
            assert (await client.frame()).value == len(TEXT)
            client.send(packed({"action": f"{kind}-length", "value": TEXT}, name, {"id": 2}))
            assert (await client.frame()).value == {"result": len(TEXT)}
            client.send(packed({"value": 7}, name, {"id": 3, "action": "letterhead.ping"}))
            assert (await client.frame()).value == 7

    run(main())


def test_a_binary_request_may_be_compressed() -> None:
    async def main() -> None:
        async with wire(made()) as client:
            client.send(frame({"id": 1, "content-type": "image/x", "compression": "gzip"}, gzip.compress(bytes(5000))))
            assert (await client.frame()).value == {"result": 5000}

    run(main())


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("kind", ["async", "thread"])
def test_compressed_items_are_read(kind: str, name: str) -> None:
    async def main() -> None:
        async with wire(made()) as client:
            fields = {"id": 1, "more": True}
            client.send(opening(1, f"{kind}-lengths", more=True), packed(TEXT, name, fields), item(1, "short"))
            client.send(packed("", name, fields), end(1))
            assert (await client.answer(1))[1].value == [len(TEXT), 5, 0]

    run(main())


@pytest.mark.parametrize("kind", ["async", "thread"])
@pytest.mark.parametrize("streams", [True, False], ids=["item", "arguments"])
def test_what_grows_beyond_the_limit_or_is_not_so_compressed_is_refused(kind: str, streams: bool) -> None:
    limits = Limits(content_bytes=100_000, json_bytes=50_000)

    async def main() -> None:
        async with wire(made(limits=limits)) as client:
            wrong = [
                ("too-large", gzip.compress(b'"' + b"x" * 50_000 + b'"')),
                ("too-large", gzip.compress(bytes(10_000_000))),
                ("bad-content", b"no gzip"),
                ("bad-content", gzip.compress(b'"cut off"')[:-3]),
            ]
            for id, (code, content) in enumerate(wrong, 1):
                own: dict[str, Any] = {"id": id, "content-type": "text/json", "content-encoding": "utf-8"}
                own["compression"] = "gzip"
                if streams:
                    client.send(opening(id, f"{kind}-lengths", more=True), frame({**own, "more": True}, content))
                else:
                    client.send(frame({**own, "action": f"{kind}-length"}, content))
                got = await client.frame()
                assert (got.id, got.status) == (id, code)
            await until(lambda: client.server.shared.counters.open_now == 0)
            await until(lambda: client.server.shared.budget.used == 0)
            client.send(opening(9, f"{kind}-length", value="abc"))
            assert (await client.frame()).value == 3

    run(main())


@pytest.mark.parametrize("action", ["async-length", "thread-length", "inline-length"])
def test_large_content_is_decompressed_while_others_are_answered(action: str) -> None:
    async def main() -> None:
        async with wire(made()) as client:
            bomb = packed({"value": TEXT * 1_000}, "gzip", {"id": 1, "action": action})
            client.send(bomb, opening(2, "letterhead.ping", value="pong"))
            answers = [await client.frame() for _ in range(2)]
            assert [(got.id, got.value) for got in answers] == [(2, "pong"), (1, len(TEXT) * 1_000)]

    run(main())


def test_a_large_item_is_decompressed_while_others_are_answered() -> None:
    async def main() -> None:
        async with wire(made()) as client:
            bomb = packed(TEXT * 1_000, "gzip", {"id": 1, "more": True})
            client.send(
                opening(1, "async-lengths", more=True), bomb, end(1), opening(2, "letterhead.ping", value="pong")
            )
            answers = [got for got in [await client.frame(), await client.frame()] if "credit" not in got.header]
            assert [(got.id, got.value) for got in answers] == [(2, "pong"), (1, [len(TEXT) * 1_000])]

    run(main())


def test_handlers_that_wait_hold_no_more_decompressed_content_than_the_server_may() -> None:
    app = App(compression=["gzip"], limits=Limits(buffered_bytes=1_000_000))
    go_on = asyncio.Event()

    @app.action
    async def wait(value: str) -> int:
        await go_on.wait()
        return len(value)

    async def main() -> None:
        async with wire(app) as client:
            for id in range(1, 6):
                client.send(packed({"value": "x" * 300_000}, "gzip", {"id": id, "action": "wait"}))
            refused = [await client.frame() for _ in range(2)]
            assert [(got.id, got.status) for got in refused] == [(4, "too-many"), (5, "too-many")]
            go_on.set()
            assert sorted([(await client.frame()).value for _ in range(3)]) == [300_000] * 3
            client.send(packed({"value": "x" * 900_000}, "gzip", {"id": 6, "action": "wait"}))
            assert (await client.frame()).value == 900_000

    run(main())

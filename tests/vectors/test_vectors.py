"""The vectors, played against the reader, the content types, and the server's side of a connection.

What lives here: the runner for all four files. Conversations run on the cores without sockets, with the package's own
runner of handlers behind them, as README.md's "classic.json and multiplexed.json" says.
The rules: every case is played whole, byte by byte and as event loops read; large ones not byte by byte.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from itertools import groupby
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.app.runner import Runner
from letterhead.content.encoded import Encoded
from letterhead.content.registry import decode
from letterhead.errors import BadContent, BadFrame, BadHeader, Internal, Refused, TooLarge
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol.counters import Counters
from letterhead.protocol.events import Ended, Readable, Stop, Writable
from letterhead.protocol.flow import Item
from letterhead.protocol.requests import Request
from letterhead.protocol.server import ServerProtocol
from letterhead.server.app import App
from letterhead.wire.reader import Reader
from tests.vectors.binary_reading import untagged
from tests.vectors.matching import differences, hello_differences, same
from tests.vectors.notation import CONVERSATION_FILES, Case, bytes_of, read_cases, sent_bytes
from tests.wire.frames import BYTES, READS, WHOLE, Cut, Frame, frames_of, json_frame

SAMPLES = {
    "morpheus": "Follow the white rabbit. 🐰",
    "ring": "In the caves beneath the Misty Mountains. 💍",
    "🐶": "🐾 Playing ball! 🏐",
}
LAST_ID = 2**53 - 1


def played(cases: list[Case], file: str = "") -> Any:
    """Each case in each cut, large ones not byte by byte."""
    return [
        pytest.param(file, case, cut, id=f"{case['name']}-{cut.name}")
        for case in cases
        for cut in (WHOLE, BYTES, READS)
        if not (case.get("large") and cut is BYTES)
    ]


# frames.json


def events(data: bytes, cut: Cut) -> list[dict[str, Any]]:
    """What the reader makes of bytes, in the words of the file."""
    reader = Reader()
    found: list[dict[str, Any]] = []

    def pull() -> None:
        while not found or found[-1].get("connection") != "closed":
            try:
                got = reader.next_frame()
            except BadFrame as error:
                found.append({"error": error.code, "connection": "closed"})
            except (BadHeader, TooLarge) as error:
                # With the default limits too-large always costs too much to skip (section 5).
                found.append({"error": error.code, "connection": "closed" if error.code == "too-large" else "kept"})
            else:
                if got is None:
                    return
                found.append({"header": got.header, "content": bytes(got.content)})

    def receive(piece: bytes) -> None:
        reader.feed(piece)
        pull()

    def filled(count: int) -> None:
        reader.filled(count)
        pull()

    cut.deliver(data, receive, reader.buffer, filled)
    return found


@pytest.mark.parametrize(("file", "case", "cut"), played(read_cases("frames.json")))
def test_frames(file: str, case: Case, cut: Cut) -> None:
    found = events(bytes_of(case["bytes"]), cut)
    assert len(found) == len(case["events"])
    for got, wanted in zip(found, case["events"], strict=True):
        if "error" in wanted:
            assert got == wanted
        else:
            assert same(got["header"], wanted["header"])
            assert got["content"] == bytes_of(wanted["content"])


# contents.json


def without_types(value: Any) -> Any:
    """An extension of msgpack as its code and bytes."""
    return (value.code, bytes(value.data)) if isinstance(value, msgspec.msgpack.Ext) else value


@pytest.mark.parametrize("case", read_cases("contents.json"), ids=lambda case: case["name"])
def test_contents(case: Case) -> None:
    content = bytes_of(case["content"])
    for encoding in (case["content-encoding"], *case.get("also-in", ())):
        order = case.get("byteorder", "little")
        header = {"content-type": case["content-type"], "content-encoding": encoding, "byteorder": order}
        message = Message(content, {**header, **case.get("fields", {})})
        if "error" in case:
            with pytest.raises(BadContent) as caught:
                decode(message)
            assert caught.value.code == case["error"]
        elif "value" in case:
            assert same(decode(message), case["value"])
        elif "tagged" in case:
            assert repr(without_types(decode(message))) == repr(untagged(case["tagged"], bytes_of))
        elif "items" in case:
            array = decode(message)
            assert (array.dtype, list(array.shape)) == (case["fields"]["dtype"], case["fields"]["shape"])
            items = [[item.real, item.imag] if isinstance(item, complex) else item for item in array.ravel().tolist()]
            assert same(items, case["items"])
        else:
            assert decode(message) == content


# classic.json and multiplexed.json


def sample_application() -> App:
    """The application that README.md describes."""
    app = App("vectors")

    def best(value: object) -> list[str]:
        words = str(value).lower().split()
        return [text for text in SAMPLES.values() if words and all(word in text.lower() for word in words)]

    @app.action
    async def search(query: str, limit: int = 10, offset: int = 0) -> dict[str, Any]:
        found = best(query)
        hits = [{"text": text} for text in found[offset : offset + limit]]
        return {"query": query, "total": len(found), "took_ms": 0.0, "hits": hits}

    @app.classic("search")
    async def search_classic(value: Any) -> str:
        if isinstance(value, str) and value in SAMPLES:
            return SAMPLES[value]
        return "\n".join(best(value)) or f"No match for '{value}'."

    async def first_ten(message: Message) -> Message:
        said = b"First 10 bytes of request: " + bytes(message.content[:10])
        return Message(said, {"content-type": "binary/custom-server-binary-type"})

    app.binary(first_ten)
    add_streams(app)
    return app


def add_streams(app: App) -> None:
    """The actions of README.md that stream, or never answer by themselves."""

    @app.action
    async def count(to: int) -> AsyncIterator[int]:
        for n in range(to):
            yield n

    @app.action
    async def zeros(times: int, size: int) -> AsyncIterator[bytes]:
        for _ in range(times):
            yield bytes(size)

    @app.action
    async def broken(after: int) -> AsyncIterator[int]:
        for n in range(after):
            yield n
        raise Internal("it broke")

    @app.action
    async def total(numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    @app.action
    async def size(parts: AsyncIterator[bytes]) -> list[int]:
        return [len(part) async for part in parts]

    @app.action
    async def first(numbers: AsyncIterator[int]) -> int | None:
        return await anext(numbers, None)

    @app.action
    async def double(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
        async for number in numbers:
            yield 2 * number

    @app.action
    async def hold(numbers: AsyncIterator[int]) -> None:
        await asyncio.Event().wait()

    @app.action
    async def wait() -> None:
        await asyncio.Event().wait()


class Conversation:
    """One connection of a server without sockets.

    Attributes:
        frames: what the server sent and nobody took yet.
    """

    caller = "a client"

    def __init__(self, cut: Cut) -> None:
        counters = Counters()
        app = sample_application()
        self.cut = cut
        self.frames: list[Frame] = []
        self.core = ServerProtocol(Limits(), time.monotonic(), counters=counters)
        self.runner = Runner(app, counters)
        self._running: set[Request] = set()

    def sends(self, data: bytes) -> None:
        """Bytes from the client."""

        def receive(piece: bytes) -> None:
            self.core.receive(piece, time.monotonic())
            self._take_events()

        def filled(count: int) -> None:
            self.core.filled(count, time.monotonic())
            self._take_events()

        self.cut.deliver(data, receive, self.core.buffer, filled)

    def drains(self) -> None:
        """The server is told to end."""
        self.core.drain(time.monotonic())
        self._take_events()

    def ends(self) -> None:
        """The client shuts its sending side."""
        self.core.end_of_stream(time.monotonic())
        self._take_events()

    async def rest(self, count: int) -> None:
        """Take what was sent, until there are so many frames or no handler runs."""
        while True:
            self.frames += frames_of(b"".join(bytes(piece) for piece in self.core.out))
            self.core.out.clear()
            self.core.sent(time.monotonic())
            self.core.start_more()
            self._take_events()
            if not self._running or len(self.frames) >= count:
                return
            await asyncio.sleep(0)

    def _take_events(self) -> None:
        while self.core.events:
            taken, self.core.events = self.core.events, []
            for event in taken:
                if isinstance(event, Request):
                    self._start(event)
                elif isinstance(event, Stop):
                    self.runner.stop(event.request)
                elif isinstance(event, Readable):
                    self.runner.readable(event.exchange)
                elif isinstance(event, Writable):
                    self.runner.writable(event.exchange)
                else:
                    assert isinstance(event, Ended)

    def _start(self, request: Request) -> None:
        self._running.add(request)
        self.runner.start(request, self)

    def streams(self, request: Request) -> None:
        """What a ``Client`` of the runner is told, as the following are."""
        self.core.streams(request)

    def unpacked(self, request: Request, content: bytes) -> None:
        self.core.unpacked(request, content)

    def send_item(self, request: Request, item: Encoded) -> int:
        return self.core.send_item(request, item) if self.core.may_send(request) else 0

    def take(self, request: Request) -> Item | None:
        return self.core.take(request)

    def fail(self, request: Request, why: Refused) -> None:
        self.core.fail_exchange(request, why)

    def answer(self, request: Request, outcome: Encoded | Refused | None) -> None:
        """From the runner."""
        self.core.answer(request, outcome, time.monotonic())

    def finish(self, request: Request, outcome: Encoded | Refused | None) -> None:
        self.core.finish(request, outcome, time.monotonic())
        self._take_events()
        self._running.remove(request)


def wrong(step: Case, frame: Frame, multiplexed: bool) -> list[str]:
    """What is wrong with a frame, held against a step of the server."""
    if "hello" in step:
        return hello_differences(step["hello"], frame.header, frame.content)
    choices = [
        differences(wanted, frame.header, frame.content, multiplexed=multiplexed)
        for wanted in step.get("one-of", [step.get("frame")])
    ]
    return min(choices, key=len)


def hold_against(steps: list[Case], frames: list[Frame], multiplexed: bool) -> None:
    """Each frame is one that a step expects, each step has its frame, and their order is a possible one."""
    left = list(steps)
    for at, frame in enumerate(frames):
        # On a classic connection replies come in order; on a multiplexed one those of one exchange do.
        candidates = firsts(left) if multiplexed else left[:1]
        fitting = [step for step in candidates if not wrong(step, frame, multiplexed)]
        assert fitting, [wrong(step, frame, multiplexed) for step in candidates] or f"unexpected: {frame}"
        left.remove(fitting[0])
        assert "hello" not in fitting[0] or at == 0
        assert {"id", "closing"} & set(frame.header) or not multiplexed or at == len(frames) - 1
    assert [step for step in left if not step.get("may")] == []


def firsts(steps: list[Case]) -> list[Case]:
    """The steps whose frame may come next: the first of each exchange, and what may be left out before it."""
    found: list[Case] = []
    waited_for: set[Any] = set()
    for step in steps:
        id = step["hello"] if "hello" in step else step.get("frame", {}).get("header", {}).get("id")
        if id is None or id not in waited_for:
            found.append(step)
        if not step.get("may"):
            waited_for.add(id)
    return found


async def play(case: Case, cut: Cut, multiplexed: bool) -> None:
    """Play one conversation to its end."""
    talk = Conversation(cut)
    try:
        for side, steps in in_turns(case["steps"]):
            if side == "client":
                for step in steps:
                    talk.ends() if "ends" in step else talk.sends(sent_bytes(step))
            elif side == "drains":
                talk.drains()
            else:
                await talk.rest(len(steps))
                frames, talk.frames = talk.frames, []
                hold_against(steps, frames, multiplexed)
        await talk.rest(1)
        assert talk.frames == []
        assert talk.core.ending is (case["afterwards"] == "closed")
        if case["afterwards"] == "kept":
            own = {"id": LAST_ID} if multiplexed else {}
            talk.sends(json_frame({"action": "letterhead.ping", "value": "still here"}, own))
            await talk.rest(1)
            (answer,) = talk.frames
            assert (answer.id, answer.value) == (own.get("id"), {"result": "still here"})
    finally:
        await talk.runner.close()


def in_turns(steps: list[Case]) -> Iterator[tuple[str, list[Case]]]:
    """Steps of one side that follow each other, together; that the server drains stands by itself."""
    for side, group in groupby(steps, key=lambda step: "drains" if "drains" in step else str(step["from"])):
        yield side, list(group)


CLASSIC, MULTIPLEXED = (played(read_cases(file), file) for file in CONVERSATION_FILES)


@pytest.mark.parametrize(("file", "case", "cut"), CLASSIC)
def test_classic_conversations(file: str, case: Case, cut: Cut) -> None:
    asyncio.run(play(case, cut, multiplexed=False))


@pytest.mark.parametrize(("file", "case", "cut"), MULTIPLEXED)
def test_multiplexed_conversations(file: str, case: Case, cut: Cut) -> None:
    asyncio.run(play(case, cut, multiplexed=True))


# What the files leave out: action and value may be any JSON

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["query", "limit", "x"]), inner),
    max_leaves=4,
)
names = st.sampled_from(["search", "letterhead.ping", "letterhead.describe", "letterhead.health", "dance"])


async def answers(requests: list[bytes]) -> list[Any]:
    """The error codes of what a server answers to these, None for a result."""
    talk = Conversation(WHOLE)
    try:
        talk.sends(b"".join(requests))
        await talk.rest(10 * len(requests))
        return [frame.code for frame in talk.frames if "max-open" not in frame.header]
    finally:
        await talk.runner.close()


@settings(deadline=None)
@given(st.lists(st.tuples(names | json_values, json_values), min_size=1, max_size=5), st.booleans())
def test_no_request_that_is_json_makes_a_server_fail(asked: list[tuple[Any, Any]], multiplexed: bool) -> None:
    requests = [
        json_frame({"action": action, "value": value}, {"id": n} if multiplexed else {})
        for n, (action, value) in enumerate(asked, 1)
    ]
    found = asyncio.run(answers(requests))
    assert len(found) == len(asked)
    assert set(found) <= {None, "unknown-action", "invalid-argument"}

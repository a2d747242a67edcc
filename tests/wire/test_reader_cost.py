"""The reader's cost is linear in the bytes received, however they are cut. Work is counted, not timed."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from letterhead.limits import Limits
from letterhead.wire import reader as reader_module
from letterhead.wire.reader import Reader
from tests.wire.frames import BYTES, DIRECT_BYTES, ODD, READS, WHOLE, Cut, frame

HEADER_LIMIT = Limits().header_bytes


class Tally:
    """Bytes that were copied."""

    def __init__(self) -> None:
        self.bytes = 0


def counting_bytearray(tally: Tally) -> type[bytearray]:
    """A bytearray that counts what goes into it and what is cut out of it."""

    class Counting(bytearray):
        def __init__(self, start: Any = b"") -> None:
            tally.bytes += len(start)
            super().__init__(start)

        def __iadd__(self, more: Any) -> "Counting":  # type: ignore[misc]
            tally.bytes += len(more)
            super().__iadd__(more)
            return self

        def __getitem__(self, key: Any) -> Any:
            got = super().__getitem__(key)
            if isinstance(key, slice):
                tally.bytes += len(got)
            return got

    return Counting


def counting_bytes(tally: Tally, data: bytes) -> bytes:
    """The same bytes, which count what is cut out of them or joined to them, and so do the pieces."""

    class Counting(bytes):
        def __getitem__(self, key: Any) -> Any:
            got = super().__getitem__(key)
            if not isinstance(got, bytes):
                return got
            tally.bytes += len(got)
            return Counting(got)

        def __add__(self, more: Any) -> "Counting":
            tally.bytes += len(self) + len(more)
            return Counting(super().__add__(more))

    return Counting(data)


def read_all(data: bytes, cut: Cut) -> int:
    """Read everything; how many frames there were."""
    reader = Reader()
    count = 0

    def pull() -> None:
        nonlocal count
        while reader.next_frame() is not None:
            count += 1

    def receive(piece: bytes) -> None:
        reader.feed(piece)
        pull()

    def filled(n: int) -> None:
        reader.filled(n)
        pull()

    cut.deliver(data, receive, reader.buffer, filled)
    return count


def calls_made(act: Callable[[], Any]) -> int:
    """Calls of Python and built-in functions while ``act`` runs."""
    count = 0

    def note(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
    return count


LONG_HEADER = frame({"x": "y" * (HEADER_LIMIT - 200)})
STREAMS: dict[str, Callable[[int], bytes]] = {
    "small frames": lambda n: frame({}, b"abc") * (n * 20),
    "one content": lambda n: frame({}, bytes(15_000 * n)),
    "large content": lambda n: frame({}, bytes(66_000 * n)),
    "long headers": lambda n: LONG_HEADER * n,
    "skipped content": lambda n: frame({"byteorder": "no"}, bytes(15_000 * n)),
}


def skipping(data: bytes, cut: Cut) -> None:
    """Read everything, past what is refused."""
    reader = Reader()

    def receive(piece: bytes) -> None:
        reader.feed(piece)
        if reader.read_header() is not None:
            reader.skip_content()

    cut.deliver(data, receive, lambda: None, lambda _: None)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("cut", [BYTES, ODD, DIRECT_BYTES], ids=lambda cut: cut.name)
def test_twice_the_bytes_take_twice_the_steps(stream: str, cut: Cut) -> None:
    read = skipping if stream == "skipped content" else read_all
    steps = [calls_made(lambda n=n: read(STREAMS[stream](n), cut)) for n in (1, 2, 4)]  # type: ignore[misc]
    assert steps[1] <= 2.1 * steps[0]
    assert steps[2] <= 2.1 * steps[1]


@pytest.mark.smoke
@pytest.mark.parametrize("stream", ["small frames", "one content", "long headers", "large content"])
@pytest.mark.parametrize("cut", [BYTES, ODD, READS, WHOLE], ids=lambda cut: cut.name)
def test_each_byte_is_copied_a_few_times_at_most(monkeypatch: pytest.MonkeyPatch, stream: str, cut: Cut) -> None:
    tally = Tally()
    monkeypatch.setattr(reader_module, "bytearray", counting_bytearray(tally), raising=False)
    data = counting_bytes(tally, STREAMS[stream](3))
    assert read_all(data, cut) > 0
    assert tally.bytes <= 5 * len(data)


def test_many_frames_in_one_read_are_not_moved_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally()
    monkeypatch.setattr(reader_module, "bytearray", counting_bytearray(tally), raising=False)
    one = frame({}, b"abc")
    data = counting_bytes(tally, one * 5_000 + one[:40])
    assert read_all(data, WHOLE) == 5_000
    assert tally.bytes <= 2 * len(data)  # the test's own cut, and each frame once


def test_a_frame_that_is_not_whole_is_not_read_again_and_again() -> None:
    data = LONG_HEADER[:-1]
    reader = Reader()
    for at in range(len(data)):
        reader.feed(data[at : at + 1])
    steps = {calls_made(reader.next_frame) for _ in range(3)}
    assert max(steps) < 30

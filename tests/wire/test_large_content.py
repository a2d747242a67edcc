"""Large content: received once, into its own buffer, and never copied."""

import tracemalloc

import pytest

from letterhead.errors import TooLarge
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.wire.reader import LARGE, Reader
from tests.wire.frames import Cut, each_large_cut, frame, framed, header_bytes

SIZE = 3 * LARGE + 12_345
CONTENT = bytes(range(256)) * (SIZE // 256 + 1)


def pull(reader: Reader, cut: Cut, data: bytes) -> list[Message]:
    """The frames that bytes are, pulled after each piece."""
    found = []

    def after() -> None:
        while (got := reader.next_frame()) is not None:
            found.append(got)

    def receive(piece: bytes) -> None:
        reader.feed(piece)
        after()

    def filled(count: int) -> None:
        reader.filled(count)
        after()

    cut.deliver(data, receive, reader.buffer, filled)
    return found


@each_large_cut
@pytest.mark.parametrize("size", [LARGE - 1, LARGE, LARGE + 1, SIZE])
def test_large_content_arrives_as_it_was_sent(cut: Cut, size: int) -> None:
    content = CONTENT[:size]
    data = frame({}, content) + frame({}, b"small") + frame({}, content)
    assert [bytes(got.content) for got in pull(Reader(), cut, data)] == [content, b"small", content]


def test_content_below_the_threshold_has_no_buffer() -> None:
    reader = Reader()
    reader.feed(framed(header_bytes(length=LARGE - 1)))
    assert reader.next_frame() is None
    assert reader.buffer() is None


def test_large_content_has_a_buffer_for_all_but_its_last_byte() -> None:
    reader = Reader()
    reader.feed(framed(header_bytes(length=SIZE), b"begun"))
    assert reader.next_frame() is None
    view = reader.buffer()
    assert view is not None
    assert len(view) == SIZE - len(b"begun") - 1


def test_the_buffer_gets_shorter_as_it_is_filled() -> None:
    reader = Reader()
    reader.feed(framed(header_bytes(length=SIZE)))
    assert reader.next_frame() is None
    for left in (SIZE - 1, SIZE - 1_001):
        view = reader.buffer()
        assert view is not None
        assert len(view) == left
        reader.filled(1_000)


def test_the_last_byte_comes_through_feed() -> None:
    reader = Reader()
    reader.feed(framed(header_bytes(length=LARGE)))
    assert reader.next_frame() is None
    reader.filled(LARGE - 1)
    assert reader.buffer() is None
    assert reader.next_frame() is None
    reader.feed(b"!" + frame({}, b"next"))
    got = [reader.next_frame(), reader.next_frame()]
    assert [bytes(one.content[-5:]) for one in got if one is not None] == [b"\0\0\0\0!", b"next"]


def test_feeding_and_filling_may_alternate() -> None:
    reader = Reader()
    content = CONTENT[:SIZE]
    reader.feed(framed(header_bytes(length=SIZE), content[:10]))
    assert reader.next_frame() is None
    at = 10
    while (view := reader.buffer()) is not None:
        part = min(len(view), 30_000)
        view[:part] = content[at : at + part]
        reader.filled(part)
        at += part
        reader.feed(content[at : at + 777])
        at += len(content[at : at + 777])
    reader.feed(content[at:])
    got = reader.next_frame()
    assert got is not None
    assert got.content == content


def grown(act: object, size: int) -> float:
    """Memory at its peak while ``act`` runs, in multiples of ``size``."""
    assert callable(act)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        act()
        return (tracemalloc.get_traced_memory()[1] - before) / size
    finally:
        tracemalloc.stop()


@pytest.mark.smoke
@pytest.mark.parametrize("direct", [True, False], ids=["own buffer", "feed"])
def test_large_content_is_held_once(direct: bool) -> None:
    size = 8 << 20
    reader = Reader()
    start = framed(header_bytes(length=size))
    piece = bytes(LARGE)
    got = []

    def receive() -> None:
        reader.feed(start)
        assert reader.next_frame() is None
        left = size
        while left:
            # Event loops hold the view while they report what they put there.
            view = reader.buffer() if direct else None
            if view is None:
                count = min(left, LARGE)
                reader.feed(piece[:count])
            else:
                count = min(len(view), LARGE)
                view[:count] = piece[:count]
                reader.filled(count)
            left -= count
            one = reader.next_frame()
            if one is not None:
                got.append(one)

    assert grown(receive, size) < 1.1
    assert len(got[0].content) == size


def test_the_content_handed_out_is_bytes() -> None:
    reader = Reader()
    reader.feed(frame({}, CONTENT[:SIZE])[:-1])
    assert reader.next_frame() is None
    reader.feed(CONTENT[SIZE - 1 : SIZE])
    got = reader.next_frame()
    assert got is not None
    assert type(got.content) is bytes


def test_content_above_the_limit_gets_no_buffer() -> None:
    reader = Reader(Limits(content_bytes=LARGE))
    reader.feed(framed(header_bytes(length=LARGE + 1)))
    with pytest.raises(TooLarge):
        reader.next_frame()
    assert reader.buffer() is None


def test_large_content_may_be_dropped_midway() -> None:
    reader = Reader()
    reader.feed(framed(header_bytes(length=SIZE), b"some"))
    assert reader.next_frame() is None
    view = reader.buffer()
    assert view is not None
    reader.filled(1_000)
    reader.skip_content()
    assert reader.buffer() is None
    reader.feed(bytes(SIZE - 1_004) + frame({}, b"next"))
    got = reader.next_frame()
    assert got is not None
    assert got.content == b"next"


@each_large_cut
def test_what_arrived_of_the_content_is_known(cut: Cut) -> None:
    reader = Reader()
    seen = []

    def note() -> None:
        assert reader.next_frame() is None
        seen.append(reader.arrived)

    def receive(piece: bytes) -> None:
        reader.feed(piece)
        note()

    def filled(count: int) -> None:
        reader.filled(count)
        note()

    cut.deliver(frame({}, CONTENT[:SIZE])[:-7], receive, reader.buffer, filled)
    assert seen[-1] == SIZE - 7
    assert seen == sorted(seen)

"""What peers sent wrong is remembered for the next who does so; they themselves are not."""

import gc
import weakref
from collections.abc import Callable

import pytest

from letterhead.errors import BadFrame, BadHeader, LetterheadError, TooLarge
from letterhead.limits import Limits
from letterhead.protocol.server import ServerProtocol
from letterhead.wire.header import Headers
from letterhead.wire.reader import Reader
from tests.protocol.pairs import ServerSide, control, item, named, opening
from tests.wire.frames import frame, framed, header_bytes

BAD: dict[str, list[bytes]] = {
    "a bad header": [frame({"byteorder": "middle", "id": 2})],
    "too large": [framed(header_bytes({"content-length": 2**40, "id": 2}))],
    "a bad field": [frame({"id": 2, "action": "a", "deadline": "soon"})],
    "a bad control frame": [control(2, credit=1, cancel=True)],
    "a bad field of an item": [named(2, "a", more=True), item(2, b"x", compression=5)],
    "no frame": [b"\x00\x05hello"],
    "a bad first frame": [],
}


@pytest.mark.parametrize("frames", BAD.values(), ids=list(BAD))
def test_500_connections_with_the_same_fault_leave_nothing_behind(frames: list[bytes]) -> None:
    headers = Headers(Limits())
    gone: list[weakref.ref[ServerProtocol]] = []
    for _ in range(500):
        side = ServerSide(headers=headers)
        side.hears(opening(1, "a") if frames else frame({"credit": 1, "more": True}), *frames)
        assert side.replies
        side.core.lost()
        gone.append(weakref.ref(side.core))
        del side
    gc.collect()
    assert sum(protocol() is not None for protocol in gone) == 0


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (frame({"byteorder": "middle"}), BadHeader),
        (framed(header_bytes({"content-length": 2**40})), TooLarge),
        (framed(b"hello"), BadFrame),
    ],
)
def test_500_readers_that_met_the_same_fault_are_forgotten(data: bytes, error: type[LetterheadError]) -> None:
    headers = Headers(Limits())
    gc.collect()
    before = _readers()
    for _ in range(500):
        reader = Reader(headers=headers)
        reader.feed(data)
        with pytest.raises(error):
            reader.next_frame()
        del reader
    gc.collect()
    assert _readers() == before


def _readers() -> int:
    return sum(isinstance(one, Reader) for one in gc.get_objects())


@pytest.mark.parametrize(
    "reading",
    [lambda reader: reader.next_frame(), lambda reader: reader.read_header()],
    ids=["frames", "headers"],
)
def test_a_reader_that_has_failed_raises_a_fresh_error_each_time(reading: Callable[[Reader], object]) -> None:
    reader = Reader()
    reader.feed(framed(b"hello"))
    errors: list[BadFrame] = []
    for _ in range(3):
        with pytest.raises(BadFrame) as caught:
            reading(reader)
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 3
    assert len({(error.message, error.received) for error in errors}) == 1

"""The reader: bytes in, frames out, refused before they are buffered."""

import pytest

from letterhead.errors import BadFrame, BadHeader, LetterheadError, TooLarge
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.wire.reader import Reader
from tests.wire.frames import Cut, each_cut, frame, framed, header_bytes, json_frame

SMALL = Limits(content_bytes=2_000, json_bytes=1_000)


def read(data: bytes, cut: Cut, limits: Limits | None = None) -> list[Message | LetterheadError]:
    """All that comes of bytes; after bad-frame nothing more."""
    reader = Reader(limits)
    found: list[Message | LetterheadError] = []

    def pull() -> None:
        while True:
            try:
                got = reader.next_frame()
            except BadFrame as error:
                if not found or not isinstance(found[-1], BadFrame):
                    found.append(error)
                return
            except (BadHeader, TooLarge) as error:
                found.append(error)
                continue
            if got is None:
                return
            found.append(got)

    def receive(piece: bytes) -> None:
        reader.feed(piece)
        pull()

    def filled(count: int) -> None:
        reader.filled(count)
        pull()

    cut.deliver(data, receive, reader.buffer, filled)
    return found


def contents(found: list[Message | LetterheadError]) -> list[bytes | str]:
    return [bytes(one.content) if isinstance(one, Message) else one.code for one in found]


@pytest.mark.smoke
@each_cut
def test_frames_back_to_back_come_out_in_order(cut: Cut) -> None:
    sent = [b"", b"abc", b"\x00" * 300, b"{}"]
    assert contents(read(b"".join(frame({"x": n}, body) for n, body in enumerate(sent)), cut)) == list(sent)


@each_cut
def test_a_frame_has_all_its_fields(cut: Cut) -> None:
    (got,) = read(frame({"x-own": [1, {"a": None}], "id": 7}, b"ab"), cut)
    assert isinstance(got, Message)
    assert got.header == {
        "byteorder": "little",
        "content-type": "application/octet-stream",
        "content-encoding": "binary",
        "content-length": 2,
        "x-own": [1, {"a": None}],
        "id": 7,
    }


@each_cut
def test_content_is_not_looked_into(cut: Cut) -> None:
    inner = frame({}, b"inner")
    assert contents(read(frame({}, inner) + frame({}, b"next"), cut)) == [inner, b"next"]


@each_cut
def test_a_frame_with_a_bad_header_is_read_past(cut: Cut) -> None:
    bad = frame({"byteorder": "middle"}, frame({}, b"hidden"))
    assert contents(read(bad + frame({}, b"next"), cut)) == ["bad-header", b"next"]


@each_cut
def test_content_above_the_limit_is_read_past(cut: Cut) -> None:
    assert contents(read(frame({}, bytes(2_001)) + frame({}, b"next"), cut, SMALL)) == ["too-large", b"next"]


@each_cut
def test_json_has_a_limit_of_its_own(cut: Cut) -> None:
    data = json_frame("x" * 1_000) + frame({}, bytes(1_001)) + json_frame("x" * 998)
    assert contents(read(data, cut, SMALL)) == ["too-large", bytes(1_001), b'"' + b"x" * 998 + b'"']


@each_cut
def test_nothing_is_read_behind_a_bad_frame(cut: Cut) -> None:
    data = frame({}, b"first") + framed(b"{nothing}") + frame({}, b"next")
    assert contents(read(data, cut)) == [b"first", "bad-frame"]


@pytest.mark.parametrize("size", [0, 1, 16_384, 0x4745, 0xFFFF])
def test_a_header_length_out_of_range_is_refused_on_the_two_length_bytes(size: int) -> None:
    reader = Reader()
    reader.feed(size.to_bytes(2, "big")[:1])
    assert reader.next_frame() is None
    reader.feed(size.to_bytes(2, "big")[1:])
    with pytest.raises(BadFrame, match=str(size)):
        reader.next_frame()


def test_a_lower_header_limit_is_kept() -> None:
    reader = Reader(Limits(header_bytes=200))
    reader.feed(b"\x00\xc9")
    with pytest.raises(BadFrame) as caught:
        reader.next_frame()
    assert caught.value.limit == 200


@pytest.mark.parametrize("third", [b" ", b"[", b"\x00", b"\xef", b"\x01", b"\n"])
def test_a_header_that_does_not_begin_with_a_brace_is_refused_on_the_third_byte(third: bytes) -> None:
    reader = Reader()
    reader.feed(b"\x00\x80")
    assert reader.next_frame() is None
    reader.feed(third)
    with pytest.raises(BadFrame):
        reader.next_frame()


@pytest.mark.parametrize("length", [16 * 2**20 + 1, 2**31, 2**64, 10**30])
def test_large_content_is_refused_on_the_header_before_any_of_it(length: int) -> None:
    reader = Reader()
    reader.feed(framed(header_bytes({"content-length": length})))
    with pytest.raises(TooLarge) as caught:
        reader.next_frame()
    assert (caught.value.size, caught.value.limit) == (length, 16 * 2**20)


def test_large_json_is_refused_on_the_header() -> None:
    reader = Reader()
    reader.feed(framed(header_bytes({"content-type": "Text/JSON; x=1", "content-length": 4 * 2**20 + 1})))
    with pytest.raises(TooLarge, match="JSON"):
        reader.next_frame()


def test_what_is_skipped_is_not_kept() -> None:
    reader = Reader()
    reader.feed(framed(header_bytes({"content-length": 2**40})))
    with pytest.raises(TooLarge):
        reader.next_frame()
    for _ in range(50):
        reader.feed(bytes(100_000))
        assert reader.next_frame() is None
    assert reader.first_bytes(1) == b""
    assert reader.skipping


def test_a_bad_frame_is_final() -> None:
    reader = Reader()
    reader.feed(b"GET / HTTP/1.1\r\n\r\n")
    for _ in range(3):
        with pytest.raises(BadFrame):
            reader.next_frame()
        reader.feed(frame())


def test_what_comes_behind_a_bad_frame_is_not_kept() -> None:
    reader = Reader()
    reader.feed(b"\xff\xff")
    with pytest.raises(BadFrame):
        reader.next_frame()
    for _ in range(50):
        reader.feed(bytes(100_000))
    assert reader.first_bytes(10**9) == b"\xff\xff"


def test_a_bad_frame_names_the_protocol_that_was_met() -> None:
    reader = Reader()
    reader.feed(b"GET / HTTP/1.1\r\n")
    with pytest.raises(BadFrame, match="an HTTP request") as caught:
        reader.next_frame()
    assert caught.value.protocol == "an HTTP request"
    assert caught.value.received.startswith("GET /")


def test_what_a_bad_frame_shows_is_escaped() -> None:
    reader = Reader()
    reader.feed(b"\x00\x10\x1b[31m\n")
    with pytest.raises(BadFrame) as caught:
        reader.next_frame()
    assert caught.value.received.isprintable()


def test_each_refusal_is_an_exception_of_its_own() -> None:
    reader = Reader()
    refused = []
    for _ in range(2):
        reader.feed(frame({"byteorder": "no"}))
        with pytest.raises(BadHeader) as caught:
            reader.next_frame()
        refused.append(caught.value)
    assert refused[0] is not refused[1]


def test_a_whole_frame_is_followed_by_nothing() -> None:
    reader = Reader()
    reader.feed(frame({}, b"x"))
    assert reader.next_frame() is not None
    assert not reader.midway
    assert reader.next_frame() is None


@pytest.mark.parametrize("cut_at", [1, 2, 3, 50, -1])
def test_a_begun_frame_is_midway(cut_at: int) -> None:
    reader = Reader()
    reader.feed(frame({}, b"xyz")[:cut_at])
    assert reader.next_frame() is None
    assert reader.midway


def test_feeding_nothing_changes_nothing() -> None:
    reader = Reader()
    reader.feed(b"")
    assert not reader.midway
    reader.feed(frame({}, b"x")[:20])
    reader.feed(b"")
    reader.feed(frame({}, b"x")[20:])
    assert reader.next_frame() == Message(b"x", {**_bare(), "content-length": 1})


def _bare() -> dict[str, str]:
    return {"byteorder": "little", "content-type": "application/octet-stream", "content-encoding": "binary"}


def test_a_conversation_may_skip_content_that_it_does_not_want() -> None:
    reader = Reader()
    reader.feed(frame({}, b"unwanted")[:-3])
    assert reader.read_header() is not None
    reader.skip_content()
    assert reader.skipping
    reader.feed(frame({}, b"unwanted")[-3:] + frame({}, b"next"))
    got = reader.next_frame()
    assert got is not None
    assert got.content == b"next"


def test_the_next_header_is_not_read_before_the_content() -> None:
    reader = Reader()
    reader.feed(frame({}, b"one") + frame({}, b"two"))
    assert reader.read_header() is not None
    assert reader.read_header() is None
    assert reader.read_content() == b"one"
    assert reader.read_header() is not None


def test_there_is_no_content_without_a_header() -> None:
    reader = Reader()
    assert reader.read_content() is None
    reader.skip_content()
    reader.feed(frame({}, b"x"))
    got = reader.next_frame()
    assert got is not None
    assert got.content == b"x"


def test_changing_a_frame_s_fields_changes_no_later_frame() -> None:
    reader = Reader()
    data = frame({"x-list": [1], "x-object": {"a": 1}})
    reader.feed(data + data)
    first = reader.next_frame()
    assert first is not None
    first.header["x-list"].append(2)
    first.header["x-object"]["a"] = 2
    first.header["x-more"] = True
    second = reader.next_frame()
    assert second is not None
    assert (second.header["x-list"], second.header["x-object"]) == ([1], {"a": 1})
    assert "x-more" not in second.header

"""A client whose server breaks the protocol: it says so, closes, and never takes one thing for another."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.errors import BadContent, ConnectionLost, ForeignProtocol, LetterheadError, TooLarge
from letterhead.limits import Limits
from tests.protocol.pairs import HELLO, ClientSide, client_side, control, failure, hello, named, opening, reply
from tests.wire.frames import BYTES, ODD, WHOLE, Cut, each_cut, frame, framed, header_bytes, json_frame

SMALL = Limits(content_bytes=200_000, json_bytes=1_000, skip_bytes=300_000)


BREACHES = {
    "an id never opened": reply(99, 1),
    "an error for an id never opened": failure(99, "internal"),
    "id 0": reply(0, 1),
    "an id that is no number": reply("2", 1),  # type: ignore[arg-type]
    "a hello for an id never opened": hello(99),
    "a hello without id": frame({"max-open": 5}),
    "a hello with max-open 0": frame({"id": 1, "max-open": 0}),
    "a hello with content": frame({"id": 1, "max-open": 5}, b"x"),
    "a hello that is also closing": frame({"id": 1, "max-open": 5, "closing": 2}),
    "a hello with status": frame({"id": 1, "max-open": 5, "status": "ok"}),
    "closing with an id": frame({"id": 2, "closing": 5}),
    "closing with content": frame({"closing": 5}, b"x"),
    "closing of the wrong type": frame({"closing": "now"}),
    "a status of the wrong type": reply(2, 1, status=5),
    "more of the wrong type": reply(2, 1, more="yes"),
    "compression that was not asked for": reply(2, 1, compression="zstd"),
    "no byteorder": frame({"id": 2}, without=("byteorder",)),
    "65 fields": frame({"id": 2} | {f"x{n}": n for n in range(60)}),
    "no frame": b"\xff\xff\xff\xff",
    "a header that is no JSON": framed(b"{nothing}"),
    "no content-length": frame({"id": 2}, without=("content-length",)),
    "an HTTP answer": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.smoke
@pytest.mark.parametrize("breach", BREACHES)
@pytest.mark.parametrize("cut", [WHOLE, BYTES], ids=lambda cut: cut.name)
def test_a_breach_fails_what_is_open_and_closes(breach: str, cut: Cut) -> None:
    side = client_side(cut=cut)
    call = side.calls("a", 1)
    side.hears(BREACHES[breach], reply(2, "too late"))
    assert isinstance(call.error, ForeignProtocol)
    assert side.core.ended


def test_what_a_client_would_send_is_read_as_a_reply() -> None:
    # Fields from the side that does not send them are ignored, so these frames hold nothing but content.
    side = client_side()
    calls = [side.calls("a", n) for n in range(3)]
    side.hears(opening(2, "a", 1), named(3, "a", 1), control(4, cancel=True))
    assert [call.result() for call in calls] == [{"action": "a", "value": 1}, 1, b""]


@each_cut
def test_a_second_reply_to_a_call_is_dropped(cut: Cut) -> None:
    side = client_side(cut=cut)
    first, second = side.calls("a", 1), side.calls("b", 1)
    side.hears(reply(2, "one"), reply(2, "two"), failure(2, "internal"), reply(3, "fine"))
    assert (first.result(), second.result()) == ("one", "fine")
    assert side.ended == [first, second]


@each_cut
def test_a_late_hello_is_not_a_reply(cut: Cut) -> None:
    side = client_side(cut=cut)
    call = side.calls("a", 1)
    side.hears(HELLO, reply(2, "fine"))
    assert call.result() == "fine"


@each_cut
def test_a_reply_that_is_too_large_fails_its_call_and_is_read_past(cut: Cut) -> None:
    side = client_side(SMALL, cut)
    first, second = side.calls("a", 1), side.calls("b", 1)
    side.hears(json_frame("x" * 1_000, {"id": 2}), reply(3, "fine"))
    assert isinstance(first.error, TooLarge)
    assert second.result() == "fine"
    assert not side.core.ended


def test_the_slot_of_a_reply_that_was_too_large_is_free() -> None:
    side = client_side(SMALL, max_open=1)
    side.calls("a", 1)
    waiting = side.calls("b", 1)
    side.hears(json_frame("x" * 1_000, {"id": 2}))
    assert waiting.id == 3


def test_a_reply_that_costs_too_much_to_skip_ends_the_connection() -> None:
    side = client_side(SMALL)
    first, second = side.calls("a", 1), side.calls("b", 1)
    side.hears(framed(header_bytes({"id": 2, "content-length": 300_000})))
    assert isinstance(first.error, TooLarge)
    assert isinstance(second.error, ConnectionLost)
    assert side.core.ended


def test_a_connection_error_that_is_too_large_fails_all() -> None:
    side = client_side(SMALL)
    calls = [side.calls("a", n) for n in range(2)]
    side.hears(json_frame("x" * 1_000, {"status": "internal"}))
    assert [type(call.error) for call in calls] == [TooLarge, TooLarge]
    assert side.core.ended


def test_too_large_for_an_id_never_opened_is_a_breach() -> None:
    side = client_side(SMALL)
    call = side.calls("a", 1)
    side.hears(json_frame("x" * 1_000, {"id": 99}))
    assert isinstance(call.error, ForeignProtocol)


@each_cut
def test_too_large_for_a_call_that_has_ended_is_read_past(cut: Cut) -> None:
    side = client_side(SMALL, cut)
    side.calls("a", 1)
    call = side.calls("b", 1)
    side.hears(reply(2, 1), json_frame("x" * 1_000, {"id": 2}), reply(3, "fine"))
    assert call.result() == "fine"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'"\\ud800"'])
def test_a_reply_that_is_not_what_it_says_is_that_call_s_alone(content: bytes) -> None:
    side = client_side()
    first, second = side.calls("a", 1), side.calls("b", 1)
    side.hears(frame({"id": 2, "content-type": "text/json", "content-encoding": "utf-8"}, content), reply(3, 1))
    with pytest.raises(BadContent):
        first.result()
    assert second.result() == 1


def test_what_a_server_sent_is_quoted_escaped() -> None:
    side = ClientSide()
    call = side.calls("a", 1)
    side.hears(b"\xff\xff\x1b[31m\n")
    assert call.error is not None
    assert call.error.message.isprintable()


replies_ = st.sampled_from(
    [HELLO, reply(1, {"result": 1}), reply(2, 2), failure(2, "internal"), failure(None, "too-many"), reply(3, 3),
     frame({"closing": 9}), reply(2, 0, more=True), frame({"id": 2, "more": False}), *BREACHES.values()]
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(
    st.lists(replies_ | st.binary(max_size=12), max_size=6),
    st.booleans(),
    st.integers(0, 3),
    st.sampled_from([WHOLE, BYTES, ODD]),
)
def test_whatever_a_server_sends_every_call_ends_once_or_is_handed_back(
    data: list[bytes], raw: bool, count: int, cut: Cut
) -> None:
    side = ClientSide(cut=cut)
    calls = [side.calls("a", b"bytes" if raw and n == 0 else n) for n in range(count)]
    for piece in data:
        side.hears(piece)
    side.hears_end()
    assert not side.core.load
    for call in calls:
        assert side.ended.count(call) + side.handed_back.count(call) >= 1
        assert call.done or call in side.handed_back
        if call.error is not None:
            assert isinstance(call.error, LetterheadError)

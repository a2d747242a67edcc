"""Items as applications see them, and what an opening asks of the answer."""

from typing import Any

import pytest

from letterhead.client.calls import Call
from letterhead.client.items import Values, encode_item
from letterhead.client.openings import action_opening, pack
from letterhead.content.compression import compress
from letterhead.errors import BadContent, TooLarge, UsageError
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol.exchange import Asks
from tests.protocol.pairs import ClientSide, client_side, hello, item, reply, streamed, submitted
from tests.wire.frames import frame, json_frame

LIMITS = Limits(content_bytes=2000, json_bytes=1500)


def values(*frames: bytes, returns: Any = None, compressions: tuple[str, ...] = ()) -> list[Any]:
    """The values of items that came on exchange 2."""
    side = ClientSide(LIMITS, compressions=compressions)
    exchange = side.submits(streamed("items"))
    side.hears(hello(), reply(1, {"result": None})).hears(*frames)
    call: Call[None, None] = Call(exchange.opening, 1.0, None)
    call.exchange = exchange  # type: ignore[assignment]  # whose it is does not matter here
    read = Values(call, returns, LIMITS)
    found = []
    while (taken := side.core.take(exchange)) is not None:
        found.append(read.value(taken))
    assert exchange.error is None, exchange.error
    return found


def json_item(value: Any, **fields: Any) -> bytes:
    return json_frame(value, {"id": 2, "more": True, **fields})


def test_each_item_is_read_by_its_own_header() -> None:
    text = {"id": 2, "more": True, "content-type": "text/plain", "content-encoding": "utf-16-le"}
    assert values(json_item(1), json_item({"a": 1}), item(2, b"\x01"), frame(text, b"a\x00"), json_item(None)) == [
        1, {"a": 1}, b"\x01", "a", None
    ]  # fmt: skip


def test_json_in_another_encoding_is_read_as_that() -> None:
    other = {"id": 2, "more": True, "content-type": "text/json", "content-encoding": "utf-16-le"}
    assert values(json_item("ä"), frame(other, '"ä"'.encode("utf-16-le")), json_item("ö")) == ["ä", "ä", "ö"]


def test_an_item_that_is_not_what_it_says_is_bad_content() -> None:
    plain = {"id": 2, "more": True, "content-type": "text/json", "content-encoding": "utf-8"}
    for content in (b"", b"{", b"\xff", b"[" * 100 + b"]" * 100, b"NaN"):
        with pytest.raises(BadContent):
            values(json_item(1), frame(plain, content))


def test_items_become_the_wanted_type_or_do_not_fit() -> None:
    assert values(json_item(1), json_item(2), returns=float) == [1.0, 2.0]
    with pytest.raises(BadContent, match="does not fit 'returns'"):
        values(json_item(1), json_item("two"), returns=int)
    with pytest.raises(BadContent, match="does not fit 'returns'"):
        values(item(2, b"\x01"), returns=int)


def test_an_item_is_decompressed_up_to_the_limit() -> None:
    fields = {"id": 2, "more": True, "compression": "gzip", "content-type": "text/json", "content-encoding": "utf-8"}
    fits, grows = b'"%b"' % (b"x" * 1000), b'"%b"' % (b"x" * 1600)
    packed = [frame(fields, compress(content, "gzip")) for content in (fits, grows)]
    assert values(packed[0], json_item(1), packed[0], compressions=("gzip",)) == ["x" * 1000, 1, "x" * 1000]
    with pytest.raises(TooLarge):
        values(packed[1], compressions=("gzip",))
    with pytest.raises(BadContent):
        values(frame(fields, b"no gzip"), compressions=("gzip",))


# What goes


def test_an_item_that_cannot_be_said_is_told_so() -> None:
    with pytest.raises(UsageError, match="an item of the upload cannot be sent"):
        encode_item(object(), LIMITS)
    with pytest.raises(TooLarge):
        encode_item("x" * 1500, LIMITS)
    with pytest.raises(TooLarge):
        encode_item(bytes(2001), LIMITS)


@pytest.mark.parametrize("name", ["action", "more", "id", "credit", "status", "deadline", "supersedes", "compression"])
def test_a_message_among_items_has_no_fields_of_the_conversation(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}'"):
        encode_item(Message(b"", {name: 1}), LIMITS)


def test_a_message_among_items_keeps_its_type_and_fields() -> None:
    encoded = encode_item(Message(b"x", {"content-type": "image/png", "x-own": 1}), LIMITS)
    assert (encoded.content_type, encoded.content, encoded.fields) == ("image/png", b"x", {"x-own": 1})


# What is asked of the answer


def test_what_is_asked_of_the_answer_stands_in_the_opening() -> None:
    asks = Asks(("application/msgpack", "text/json"), ("gzip",), timing=True)
    side = client_side()
    for opening in (
        action_opening("echo", (), {"value": 1}, LIMITS, asks),
        action_opening("echo", (Message(b"x"),), {}, LIMITS, asks),
        action_opening("echo", (b"x",), {}, LIMITS, asks),
    ):
        side.submits(submitted(opening))
        header = side.sent[-1].header
        assert header["accept"] == ["application/msgpack", "text/json"]
        assert header["accept-compression"] == ["gzip"]
        assert header["timing"] is True


def test_it_stands_in_a_first_request_too() -> None:
    side = ClientSide()
    side.submits(submitted(action_opening("echo", (), {"value": 1}, LIMITS, Asks(("application/msgpack",)))))
    assert "action" not in side.sent[0].header
    assert side.sent[0].header["accept"] == ["application/msgpack"]


def test_content_is_packed_only_where_that_makes_it_smaller() -> None:
    opening = action_opening("echo", ("x" * 1200,), {}, LIMITS)
    pack(opening, ())
    assert opening.packed is None
    pack(opening, ("gzip",))
    assert opening.packed is not None
    assert len(opening.packed.content) < 100
    short = action_opening("echo", ("x",), {}, LIMITS)
    pack(short, ("gzip",))
    assert short.packed is None

"""A client that uploads a stream: what goes out, what may not, and what ends it early."""

import pytest

from letterhead.errors import BadHeader, ConnectionLost, ForeignProtocol, Refused, UsageError
from tests.protocol.pairs import Asked, ClientSide, client_side, control, end, failure, hello, item, octets, reply
from tests.wire.frames import WHOLE, Cut, each_cut, frame, json_frame

BIG = 2**31 - 1


def uploading(cut: Cut = WHOLE) -> tuple[ClientSide, Asked]:
    """A client's side on which an upload has begun."""
    side = client_side(cut=cut)
    return side, side.uploads("store")


def left(call: Asked) -> int:
    assert call.outgoing is not None
    return call.outgoing.credit


# What goes out


@pytest.mark.smoke
@pytest.mark.parametrize("contents", [[], [b""], [b"null"], [b"a", b"", b"b" * 70_000]])
def test_an_upload_is_an_opening_items_and_an_end(contents: list[bytes]) -> None:
    side, call = uploading()
    side.sends(call, *contents)
    side.core.end_upload(call)
    opening, *items, last = side.settled().sent
    assert (opening.id, opening.header["action"], opening.header["more"], opening.value) == (2, "store", True, {})
    assert [(sent.id, sent.header["more"], sent.content) for sent in items] == [(2, True, c) for c in contents]
    assert (last.id, last.header["more"], last.content) == (2, False, b"")
    assert (last.header["content-type"], last.header["content-encoding"]) == ("application/octet-stream", "binary")
    assert all("action" not in sent.header for sent in side.sent[1:])


def test_before_an_upload_to_an_unknown_server_a_ping_is_sent() -> None:
    side = ClientSide()
    call = side.uploads("store")
    assert not side.core.may_send(call)
    side.hears(hello(), reply(1, {"result": None}))
    assert [sent.value.get("action") for sent in side.sent] == ["letterhead.ping", None]
    assert side.core.may_send(call)


@each_cut
def test_the_answer_to_an_upload_is_a_result(cut: Cut) -> None:
    side, call = uploading(cut)
    side.sends(call, b"a")
    side.core.end_upload(call)
    side.hears(reply(2, "stored"))
    assert call.result() == "stored"
    assert not side.core.load


@each_cut
def test_both_ways_at_once_is_a_conversation(cut: Cut) -> None:
    side = client_side(cut=cut)
    call = side.uploads("chat", down=True)
    for n in range(3):
        side.sends(call, b"%d" % n).hears(item(2, b"<%d>" % n))
        assert side.takes(call) == [b"<%d>" % n]
    side.core.end_upload(call)
    side.hears(end(2))
    assert (call.done, call.error) == (True, None)


def test_the_end_is_sent_once() -> None:
    side, call = uploading()
    side.core.end_upload(call)
    side.core.end_upload(call)
    assert [sent.header.get("more") for sent in side.settled().sent] == [True, False]


# Credit


def test_an_upload_begins_with_the_credit_of_the_hello() -> None:
    side = ClientSide()
    call = side.uploads("store")
    side.hears(frame({"id": 1, "max-open": 5, "credit": 777}), reply(1, {"result": None}))
    assert left(call) == 777


def test_without_credit_in_the_hello_it_begins_with_a_mebibyte() -> None:
    side = ClientSide()
    call = side.uploads("store")
    side.hears(frame({"id": 1, "max-open": 5}), reply(1, {"result": None}))
    assert left(call) == 1 << 20


@pytest.mark.parametrize("content", [b"", b"x", bytes(10_000)])
def test_an_item_costs_its_whole_frame(content: bytes) -> None:
    side, call = uploading()
    before = left(call)
    side.core.send_item(call, octets(content))
    assert before - left(call) == sum(len(piece) for piece in side.core.out)


@each_cut
def test_credit_above_the_largest_sum_fails_its_call_alone(cut: Cut) -> None:
    side, call = uploading(cut)
    other = side.calls("b", 1)
    side.hears(control(2, credit=BIG), reply(3, "fine"))
    assert isinstance(call.error, BadHeader)
    assert [sent.id for sent in side.sent if "cancel" in sent.header] == [2]
    assert (other.result(), side.core.ended) == ("fine", False)


def test_the_largest_sum_is_taken() -> None:
    side, call = uploading()
    side.hears(control(2, credit=BIG - left(call)))
    assert (left(call), call.done) == (BIG, False)


@pytest.mark.parametrize("state", ["no upload", "ended", "given up"])
def test_credit_for_what_takes_none_is_ignored(state: str) -> None:
    side = client_side()
    call = side.calls("a", 1) if state == "no upload" else side.uploads("store")
    if state == "ended":
        side.hears(reply(2, "done"))
    elif state == "given up":
        side.gives_up(call)
    side.hears(control(2, credit=BIG), control(2, credit=BIG))
    assert not side.core.ended
    assert call.error is None


# What ends it early


@each_cut
@pytest.mark.parametrize("answer", [reply(2, "enough"), failure(2, "invalid-argument")], ids=["result", "error"])
def test_an_early_answer_stops_the_upload(cut: Cut, answer: bytes) -> None:
    side, call = uploading(cut)
    side.sends(call, b"a").hears(answer)
    count = len(side.sent)
    assert not side.core.may_send(call)
    side.sends(call, b"b")
    side.core.end_upload(call)
    assert len(side.settled().sent) == count


def test_an_upload_that_is_given_up_sends_cancel_and_nothing_more() -> None:
    side, call = uploading()
    side.sends(call, b"a")
    side.gives_up(call)
    assert not side.core.may_send(call)
    side.core.end_upload(call)
    assert ["cancel" in sent.header for sent in side.settled().sent] == [False, False, True]
    side.hears(failure(2, "cancelled"))
    assert not side.core.load


def test_an_upload_that_was_not_written_is_given_up_without_a_word() -> None:
    side = client_side(max_open=1)
    side.calls("a", 1)
    call = side.uploads("store")
    side.gives_up(call).hears(reply(2, 0))
    assert len(side.sent) == 1
    assert not side.core.may_send(call)


def test_a_lost_connection_fails_an_upload() -> None:
    side, call = uploading()
    side.sends(call, b"a").hears_end()
    assert isinstance(call.error, ConnectionLost)
    assert not side.core.may_send(call)
    side.sends(call, b"b")
    assert not side.core.out


def test_an_upload_whose_answer_is_a_stream_was_meant_for_stream() -> None:
    side, call = uploading()
    side.hears(item(2, b"0"))
    with pytest.raises(UsageError, match="use stream"):
        call.result()


def test_a_classic_server_gets_no_upload() -> None:
    side = ClientSide()
    call = side.uploads("store")
    side.hears(json_frame({"result": None}))
    assert side.handed_back == [call]
    known = ClientSide(known_classic=True)
    refused = known.uploads("store")
    assert refused.error is not None
    assert "streams" in refused.error.message


def test_an_upload_counts_as_streaming() -> None:
    side, _ = uploading()
    assert side.core.streaming
    side.hears(reply(2, "done"))
    assert not side.core.streaming


def test_a_server_that_answers_in_parts_of_an_upload_breaks_the_protocol() -> None:
    side, call = uploading()
    side.hears(frame({"id": 2, "more": "yes"}))
    assert isinstance(call.error, ForeignProtocol)


def test_a_refusal_of_an_item_reaches_the_caller() -> None:
    side, call = uploading()
    side.sends(call, b"a").hears(failure(2, "bad-content", "no such thing"))
    with pytest.raises(Refused, match="no such thing"):
        call.result()

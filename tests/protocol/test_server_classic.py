"""Classic connections at a server: one request at a time, in order, nothing said but replies."""

import pytest

from letterhead.content.encoded import Encoded
from letterhead.errors import Internal
from tests.protocol.pairs import ServerSide, opening
from tests.wire.frames import Cut, each_cut, frame, json_frame


def classic(cut: Cut) -> ServerSide:
    """A classic connection on which one request was answered."""
    side = ServerSide(cut=cut).hears(opening(None, "first")).answers(0, "done")
    side.sent.clear()
    side.requests.clear()
    return side


@pytest.mark.smoke
@each_cut
def test_pipelined_requests_are_answered_one_by_one_in_order(cut: Cut) -> None:
    side = ServerSide(cut=cut).hears(*(opening(None, "a", n) for n in range(4)))
    for n in range(4):
        assert len(side.requests) == n + 1
        side.answers(n, n * 10)
    assert [sent.value["result"] for sent in side.sent] == [0, 10, 20, 30]


@each_cut
def test_the_next_request_is_not_read_before_the_reply_is_written(cut: Cut) -> None:
    side = ServerSide(cut=cut).hears(opening(None, "a"), frame({"byteorder": "no"}), b"\x00\x00")
    assert side.sent == []
    side.answers(0, 1)
    assert [sent.code for sent in side.sent] == [None, "bad-header", "bad-frame"]
    assert side.ending


def test_a_server_reads_on_only_until_something_waits() -> None:
    side = ServerSide()
    assert side.core.reads
    side.hears(opening(None, "a"))
    assert side.core.reads
    side.hears(opening(None, "b")[:10])
    assert not side.core.reads
    side.answers(0, 1)
    assert side.core.reads


@each_cut
def test_requests_received_whole_before_the_half_close_are_answered(cut: Cut) -> None:
    side = ServerSide(cut=cut).hears(opening(None, "a"), opening(None, "b"), opening(None, "c")[:-1]).hears_end()
    assert not side.ending
    assert side.stops == []
    side.answers(0, 1)
    assert not side.ending
    side.answers(1, 2)
    assert [sent.value for sent in side.sent] == [{"result": 1}, {"result": 2}]
    assert side.ending
    assert side.actions == ["a", "b"]


@each_cut
def test_the_connection_is_kept_for_the_next_request(cut: Cut) -> None:
    side = classic(cut).hears(opening(None, "a")).answers(0, 1).hears(opening(None, "b")).answers(1, 2)
    assert [sent.value["result"] for sent in side.sent] == [1, 2]
    assert not side.ending


@each_cut
def test_a_binary_request_is_answered_with_bytes(cut: Cut) -> None:
    side = classic(cut).hears(frame({"content-type": "binary/x"}, b"0123456789abc"))
    assert side.requests[0].binary
    side.answers(0, Encoded("binary/custom-server-binary-type", "binary", b"First 10 bytes of request: 0123456789"))
    (sent,) = side.sent
    assert sent.header["content-type"] == "binary/custom-server-binary-type"
    assert sent.content == b"First 10 bytes of request: 0123456789"


def test_an_action_in_the_header_is_ignored_there() -> None:
    side = ServerSide().hears(json_frame({"action": "inside", "value": 5}, {"action": "outside"}))
    assert (side.actions, side.requests[0].value) == (["inside"], 5)


@pytest.mark.parametrize("id", [5, 0, "x", None, False])
def test_an_id_on_a_later_classic_request_is_ignored(id: object) -> None:
    side = ServerSide().hears(opening(None, "a")).answers(0, 1)
    side.hears(json_frame({"action": "b"}, {"id": id})).answers(1, 2)
    assert side.sent[1].value == {"result": 2}
    assert {"id", "status", "max-open"}.isdisjoint(side.sent[1].header)


def test_an_error_has_both_forms_and_no_status() -> None:
    side = ServerSide().hears(opening(None, "a")).answers(0, Internal("the handler failed"))
    (sent,) = side.sent
    assert "status" not in sent.header
    assert sent.value == {
        "result": "Error: the handler failed",
        "error": {"code": "internal", "message": "the handler failed"},
    }


@pytest.mark.parametrize("value", [None, "", 0, False, [], {}, "x"])
def test_empty_and_falsy_requests_are_handed_on(value: object) -> None:
    side = ServerSide().hears(opening(None, "search", value))
    assert (side.actions, side.requests[0].value) == (["search"], value)


def test_content_that_is_no_object_has_neither_action_nor_value() -> None:
    contents: list[object] = [[], 5, "x", None]
    for content in contents:
        side = ServerSide().hears(json_frame(content))
        assert (side.requests[0].action, side.requests[0].value) == (None, None)


def test_timing_may_be_asked_for_there_too() -> None:
    side = ServerSide().hears(opening(None, "a", timing=True)).answers(0, 1)
    assert set(side.sent[0].header["timing"]) == {"queued", "ran"}


@each_cut
def test_large_pipelined_requests_arrive_whole(cut: Cut) -> None:
    contents = [bytes([n]) * 70_000 for n in range(3)]
    side = ServerSide(cut=cut).hears(*(frame({"content-type": "a/b"}, content) for content in contents))
    for n in range(3):
        side.answers(n, n)
    assert [request.content for request in side.requests] == contents
    assert side.budget.used == 0


# Ends without a frame


def test_an_idle_connection_is_closed_without_a_frame() -> None:
    side = ServerSide().hears(opening(None, "a")).answers(0, 1)
    side.passes(299.0)
    assert not side.ending
    side.passes(2.0)
    assert side.ending
    assert len(side.sent) == 1


def test_the_time_that_a_request_ran_is_not_idle_time() -> None:
    side = ServerSide().hears(opening(None, "a", deadline=300_000)).passes(290.0).answers(0, 1).passes(290.0)
    assert not side.ending


def test_a_request_out_of_time_does_not_idle_its_connection_out() -> None:
    side = ServerSide().hears(opening(None, "a", deadline=300_000)).passes(300.0)
    assert side.sent[0].code == "deadline-exceeded"
    assert not side.ending


def test_a_connection_that_never_says_anything_is_closed_without_a_frame() -> None:
    side = ServerSide().passes(9.9)
    assert not side.ending
    side.passes(0.2)
    assert side.ending
    assert side.sent == []


def test_a_drained_connection_is_closed_without_a_frame() -> None:
    side = ServerSide().hears(opening(None, "a"))
    side.core.drain(side.now)
    assert not side.settled().ending
    side.answers(0, 1)
    assert side.ending
    assert [sent.value for sent in side.sent] == [{"result": 1}]

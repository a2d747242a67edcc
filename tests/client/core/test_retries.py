"""Which calls are sent again after a loss or a refusal, how often, and what their error says in the end."""

from typing import Any

import pytest

from letterhead.errors import (
    Cancelled,
    ConnectionLost,
    ForeignProtocol,
    Internal,
    LetterheadError,
    NoReply,
    Refused,
    Rejected,
    Unavailable,
)
from letterhead.limits import Limits
from letterhead.protocol.requests import Request
from tests.client.core.world import LIMITS, Asked, World, leaves_open
from tests.protocol.pairs import control, failure, hello, item, reply, result
from tests.wire.frames import Frame, frame

FEW = Limits(repeats=2, reconnect_seconds=1.0, reconnect_max_seconds=8.0)


def again(**options: Any) -> World:
    """A client that may send ``again`` twice, on a connection whose server does not answer."""
    world = World(idempotent=["again"], **options)
    world.calls("first")
    world.site.handler = leaves_open
    return world


def failure_of(call: Asked) -> type[LetterheadError] | None:
    return None if call.error is None else type(call.error)


def actions(world: World) -> list[object]:
    return [request.action for request in world.site.requests]


# A loss


@pytest.mark.smoke
def test_a_lost_call_is_sent_again_where_it_may_run_twice() -> None:
    world = again()
    once, twice = world.calls("once", 1), world.calls("again", 1)
    world.hangs_up()
    world.passes(5.0)
    assert failure_of(once) is ConnectionLost
    assert not twice.done
    world.answers("fine")
    assert world.result(twice) == "fine"
    assert actions(world) == ["first", "once", "again", "again"]


def test_each_call_ends_once() -> None:
    world = again()
    lost, answered, other = world.calls("again", 1), world.calls("again", 2), world.calls("once")
    world.answers("fine", 1)
    world.hangs_up()
    world.passes(5.0)
    world.answers("later")
    assert world.ended[1:] == [answered, other, lost]
    assert actions(world).count("again") == 3


def test_what_a_leaving_server_cut_off_is_sent_again_where_it_may_run_twice() -> None:
    world = again(server_limits=Limits(drain_seconds=1.0, drain_cancel_seconds=1.0))
    twice, once = world.calls("again", 1), world.calls("once", 2)
    world.drains()
    server = world.site.pipe.server
    assert server is not None
    world.site.open.clear()
    server.cut_off()
    world.pumped()
    assert failure_of(once) is Cancelled
    world.passes(5.0)
    world.answers("fine")
    assert world.result(twice) == "fine"


def test_what_another_server_cancels_is_cancelled() -> None:
    world = again()
    twice = world.calls("again", 1)
    world.answers(Cancelled("no"))
    assert failure_of(twice) is Cancelled
    assert actions(world) == ["first", "again"]


def test_only_so_many_times_and_the_error_says_how_often() -> None:
    world = again(limits=FEW)
    call = world.calls("again", 1)
    for _ in range(3):
        assert not call.done
        world.hangs_up()
        world.passes(5.0)
    assert failure_of(call) is ConnectionLost
    assert call.error is not None
    assert call.error.attempts == 3
    assert actions(world).count("again") == 3


@pytest.mark.parametrize("name", ["once", "again"])
def test_a_first_request_without_a_reply_is_judged_alike(name: str) -> None:
    world = World(idempotent=["again"])
    world.calls("first")
    world.hangs_up()
    world.site.script = lambda _: None
    call = world.calls(name, 1)
    world.site.script = None
    world.passes(5.0)
    if name == "again":
        assert world.result(call) == 1
    else:
        assert failure_of(call) is NoReply


@pytest.mark.parametrize(
    ("said", "kind"), [(b"HTTP/1.1 400 Bad Request\r\n", ForeignProtocol), (failure(None, "too-many"), Rejected)]
)
def test_who_is_no_letterhead_server_or_refuses_is_not_asked_again(said: bytes, kind: type[LetterheadError]) -> None:
    world = World(idempotent=["again"])
    world.site.script = lambda _: said
    call = world.calls("again", 1)
    assert failure_of(call) is kind
    world.passes(100.0)
    assert len(world.dialled) == 1


def test_a_connection_refused_as_unavailable_has_run_nothing() -> None:
    world = World()
    world.calls("first")
    world.hangs_up()
    world.site.script = lambda _: failure(None, "unavailable")
    call = world.calls("once", 1)
    world.site.script = None
    world.passes(20.0)
    assert world.result(call) == 1


def test_a_call_that_waits_for_a_refused_ping_goes_elsewhere_with_it() -> None:
    world = World("a:1", "b:1", chance=lambda: 0.0)
    world.site.script = lambda _: failure(None, "unavailable")
    call = world.calls("store", b"bytes")
    assert world.result(call) == b"bytes"


def test_a_stream_of_which_an_item_came_is_not_sent_again() -> None:
    world = again()
    fresh, begun = world.streams("again"), world.streams("again")
    pipe, request = world.site.open[1]
    assert pipe.server is not None
    world.says(item(request.id or 0, b"one"))
    world.hangs_up()
    assert (failure_of(begun), fresh.done) == (ConnectionLost, False)


def test_an_upload_that_has_ended_without_items_is_not_sent_again() -> None:
    world = again()
    call = world.uploads("again")
    world.core.end_upload(call, world.now)
    world.settled()
    world.hangs_up()
    assert failure_of(call) is ConnectionLost


def test_a_call_that_was_given_up_is_not_sent_again() -> None:
    world = again()
    call = world.calls("again", 1)
    world.gives_up(call)
    world.hangs_up()
    world.passes(50.0)
    assert actions(world).count("again") == 1


def test_the_connections_own_questions_are_not_sent_again() -> None:
    """A ping, and the question what the server offers: a lost connection takes them along."""
    world = World(limits=Limits(ping_after_seconds=5.0, ping_wait_seconds=100.0))
    world.calls("first")
    world.passes(2.0)
    world.site.script = lambda _: b""
    world.falls_silent()
    world.calls("echo", 1)
    world.passes(6.0)
    asked = [sent.header.get("action") for sent in world.site.sent]
    assert asked[-2:] == ["letterhead.describe", "letterhead.ping"]
    world.core.closed(world.site.pipe.core_end, "reset the connection", world.now)
    world.settled()
    world.passes(100.0)
    assert len(world.dialled) == 1


# A refusal


@pytest.mark.smoke
def test_unavailable_was_not_run_and_is_sent_again_whatever_it_is() -> None:
    world = World()
    world.site.handler = lambda _: Unavailable("the database is away")
    call = world.calls("once", 1)
    assert not call.done
    world.site.handler = lambda _: result("fine")
    world.passes(5.0)
    assert world.result(call) == "fine"
    assert world.core.balancer.counters["repeated"] == 1


def test_unavailable_is_an_answer_once_it_was_sent_often_enough() -> None:
    world = World(limits=FEW)
    world.site.handler = lambda _: Unavailable("the database is away", table="orders")
    call = world.calls("once", 1)
    world.passes(25.0)
    assert failure_of(call) is Unavailable
    assert call.error is not None
    assert (call.error.attempts, call.error.table) == (3, "orders")
    assert len(world.site.requests) == 3


def asked_when(world: World) -> list[float]:
    """Let all servers answer ``unavailable``; the seconds after which each request came."""
    started, when = world.now, []

    def handler(_: Request) -> Refused:
        when.append(world.now - started)
        return Unavailable("later")

    for site in world.sites.values():
        site.handler = handler
    return when


def test_where_the_only_server_cannot_run_it_a_call_waits_longer_each_time() -> None:
    world = World(chance=lambda: 1.0)
    when = asked_when(world)
    world.calls("once", 1)
    world.passes(30.0)
    assert when == [0.0, 1.0, 3.0, 7.0, 15.0, 23.0]


def test_with_others_to_ask_it_does_not_wait_at_first() -> None:
    world = World("a:1", "b:1", "c:1", chance=lambda: 1.0)
    when = asked_when(world)
    world.calls("once", 1)
    world.passes(30.0)
    assert when == [0.0, 0.0, 0.0, 1.0, 3.0, 7.0]


@pytest.mark.parametrize("code", ["too-many", "internal", "not-found", "cancelled", "deadline-exceeded"])
def test_any_other_refusal_is_an_answer(code: str) -> None:
    world = again()
    call = world.calls("again", 1)
    world.answers(Refused(code, "no"))
    assert call.error is not None
    assert call.error.code == code
    world.passes(50.0)
    assert len(world.site.requests) == 2


def test_unavailable_after_an_item_is_how_the_stream_ends() -> None:
    world = World()
    world.site.script = lambda frames: hello() + reply(1, {"result": None}) if frames[0].id == 1 else b""
    stream = world.streams("count")
    world.says(item(2, b"one"), failure(2, "unavailable"))
    assert failure_of(stream) is Unavailable
    assert world.takes(stream) == [b"one"]


def test_a_slot_is_free_while_its_call_waits_to_be_sent_again() -> None:
    world = World(server_limits=Limits(max_open=1))
    world.site.handler = lambda request: Unavailable("later") if request.action == "once" else result("fine")
    world.calls("once", 1)
    assert world.result(world.calls("other", 2)) == "fine"


def test_a_call_that_waits_to_be_sent_again_can_be_given_up() -> None:
    world = World(chance=lambda: 1.0)
    world.site.handler = lambda _: Unavailable("later")
    call = world.calls("once", 1)
    world.gives_up(call)
    world.passes(50.0)
    assert (world.ended, len(world.site.requests)) == ([call], 1)
    assert world.core.calls == {}


def test_its_time_may_be_over_before_it_is_sent_again() -> None:
    world = World(chance=lambda: 1.0)
    world.site.handler = lambda _: Unavailable("the database is away")
    call = world.calls("once", 1, timeout=0.5)
    world.passes(0.5)
    assert call.error is not None
    assert "it was sent once: the database is away" in call.error.message
    assert call.error.attempts == 1


# What is learnt


@pytest.mark.smoke
def test_what_a_server_says_of_its_actions_counts_from_then_on() -> None:
    world = World()
    world.site.idempotent = ["again"]
    world.calls("first")
    world.passes(1.0)
    world.site.handler = leaves_open
    once, twice = world.calls("once"), world.calls("again")
    assert world.site.described == 1
    world.hangs_up()
    world.passes(5.0)
    assert (failure_of(once), twice.done) == (ConnectionLost, False)
    assert actions(world)[-1] == "again"


def test_a_program_that_calls_once_and_ends_does_not_ask() -> None:
    world = World()
    world.calls("first")
    world.calls("second")
    assert world.site.described == 0


def test_it_is_asked_once_on_each_connection() -> None:
    world = World()
    for _ in range(3):
        for _ in range(4):
            world.calls("echo", 1)
            world.passes(1.0)
        world.hangs_up()
    assert world.site.described == 3


def test_nothing_is_asked_where_the_client_was_told() -> None:
    world = World(idempotent=[])
    world.site.idempotent = ["again"]
    world.calls("first")
    world.passes(5.0)
    world.calls("second")
    assert world.site.described == 0


def test_nothing_is_asked_where_there_is_no_slot_for_it() -> None:
    world = World(server_limits=Limits(max_open=1))
    world.calls("first")
    world.passes(5.0)
    world.site.handler = leaves_open
    world.calls("wait")
    assert world.site.described == 0
    world.answers()
    world.calls("wait")
    assert world.site.described == 0


@pytest.mark.parametrize(
    "told", [b"", b"null", b"[]", b'{"actions": []}', b'{"actions": {"a": 1, "again": {"idempotent": 1}}}', b"\xff"]
)
def test_whatever_else_it_says_nothing_is_taken_for_repeatable(told: bytes) -> None:
    def script(frames: list[Frame]) -> bytes:
        said = b""
        for sent in frames:
            if sent.id == 1:
                said += hello() + reply(1, {"result": None})
            elif sent.header.get("action") == "letterhead.describe":
                said += frame_of(sent.id, told)
            elif sent.header["action"] != "again":
                said += reply(sent.id, 1)
        return said

    world = World()
    world.site.script = script
    world.calls("first")
    world.passes(2.0)
    world.calls("second")
    call = world.calls("again")
    world.hangs_up()
    assert failure_of(call) is ConnectionLost


def frame_of(id: int, content: bytes) -> bytes:
    return frame({"id": id, "content-type": "text/json", "content-encoding": "utf-8"}, content)


def test_a_refusal_of_that_question_means_nothing() -> None:
    def script(frames: list[Frame]) -> bytes:
        said = b""
        for sent in frames:
            if sent.id == 1:
                said += hello() + reply(1, {"result": None})
            elif sent.header.get("action") == "letterhead.describe":
                said += failure(sent.id, "unavailable")
            else:
                said += reply(sent.id, 1)
        return said

    world = World()
    world.site.script = script
    world.calls("first")
    world.passes(2.0)
    assert world.result(world.calls("second")) == 1
    assert world.result(world.calls("third")) == 1
    assert [sent.header.get("action") for sent in world.site.sent].count("letterhead.describe") == 1


def test_an_internal_error_is_the_servers_and_no_reason_to_ask_again() -> None:
    world = again()
    call = world.calls("again")
    world.answers(Internal("the handler failed"))
    assert failure_of(call) is Internal


# What a leaving server did not run


def test_what_a_leaving_server_did_not_run_goes_elsewhere_whatever_it_is() -> None:
    world = World("a:1", "b:1", chance=lambda: 0.0)
    world.site.script = lambda frames: hello() + reply(1, {"result": None}) if frames[0].id == 1 else b""
    world.calls("first")
    call = world.calls("once", 1)
    world.says(control(None, closing=1))
    assert world.result(call) == 1
    assert world.core.balancer.counters["moved"] == 1
    assert call.repeats == 0


def test_what_was_refused_as_unavailable_while_it_left_goes_elsewhere() -> None:
    world = World("a:1", "b:1", chance=lambda: 0.0)
    world.site.script = lambda frames: hello() + reply(1, {"result": None}) if frames[0].id == 1 else b""
    world.calls("first")
    call, other = world.calls("once", 1), world.calls("once", 2)
    assert other.connection is not None
    world.says(control(None, closing=2), failure(2, "unavailable"))
    assert world.result(call) == 1


def test_what_waited_for_a_slot_goes_elsewhere_when_a_server_leaves() -> None:
    world = World(server_limits=Limits(max_open=1), limits=LIMITS)
    world.calls("first")
    world.site.handler = leaves_open
    below, waiting = world.calls("wait"), world.calls("wait")
    world.drains()
    world.passes(10.0)
    assert len(world.site.pipes) == 2
    world.answers("below")
    world.answers("moved")
    assert (world.result(below), world.result(waiting)) == ("below", "moved")

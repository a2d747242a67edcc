"""Both cores joined in memory: what a caller gets is what the handler gave, however the bytes are cut."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.client.openings import message_opening
from letterhead.content.encoded import Encoded
from letterhead.errors import Cancelled, DeadlineExceeded, Refused, TooLarge
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol.requests import Request
from tests.protocol.pairs import LIMITS, Asked, Pair, echo, result, submitted
from tests.wire.frames import CUTS, Cut, each_cut, each_large_cut

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=8,
)
arguments = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5), values, max_size=3
)


def leave_open(_request: Request) -> None:
    return None


@pytest.mark.smoke
@each_cut
def test_a_call_gets_what_its_handler_gave(cut: Cut) -> None:
    pair = Pair(echo, cut=cut)
    calls = [pair.calls("echo", n) for n in range(10)]
    pair.carry()
    assert [call.result() for call in calls] == list(range(10))
    assert pair.client.ended == calls


@each_cut
def test_named_arguments_arrive_by_name_in_both_forms(cut: Cut) -> None:
    pair = Pair(echo, cut=cut)
    first, second = (pair.calls("greet", name="Ada", times=2) for _ in range(2))
    pair.carry()
    assert first.result() == second.result() == {"name": "Ada", "times": 2}
    assert [request.named for request in pair.server.requests] == [False, True]


@each_cut
def test_bytes_arrive_as_bytes(cut: Cut) -> None:
    pair = Pair(echo, cut=cut)
    call = pair.calls("echo", b"\x00\xff")
    pair.carry()
    assert call.result() == b"\x00\xff"
    assert [request.action for request in pair.server.requests] == ["letterhead.ping", "echo"]


@each_cut
def test_a_message_is_answered_with_a_message(cut: Cut) -> None:
    def handler(request: Request) -> Encoded:
        if not request.binary:
            return result(None)
        assert request.message.header["x-unit"] == "mV"
        return Encoded("binary/y", "binary", request.content[::-1], {"x-own": 5})

    pair = Pair(handler, cut=cut)
    call = submitted(message_opening(Message(b"abc", {"content-type": "binary/x", "x-unit": "mV"}), LIMITS))
    pair.client.core.submit(call)
    pair.carry()
    got = call.result()
    assert (got.type, got.content, got.header["x-own"]) == ("binary/y", b"cba", 5)


@each_cut
def test_a_refusal_arrives_with_its_facts(cut: Cut) -> None:
    pair = Pair(lambda request: Refused("not-found", "no such order", order=17), cut=cut)
    calls = [pair.calls("find", 17) for _ in range(2)]
    pair.carry()
    for call in calls:
        with pytest.raises(Refused, match="no such order") as caught:
            call.result()
        assert (caught.value.code, caught.value.facts) == ("not-found", {"order": 17})


@each_cut
def test_more_calls_than_slots_are_all_answered(cut: Cut) -> None:
    pair = Pair(echo, Limits(max_open=3), cut)
    calls = [pair.calls("echo", n) for n in range(20)]
    pair.carry()
    assert [call.result() for call in calls] == list(range(20))
    assert pair.server.counters.failed == {}


@each_cut
def test_answers_may_come_in_any_order(cut: Cut) -> None:
    pair = Pair(leave_open, cut=cut)
    calls = [pair.calls("a", n) for n in range(5)]
    pair.carry()
    for request in reversed(pair.open):
        pair.server.core.finish(request, echo(request), pair.server.now)
    pair.carry()
    assert pair.client.ended == calls[::-1]
    assert [call.result() for call in calls] == list(range(5))


@each_large_cut
def test_large_content_goes_both_ways(cut: Cut) -> None:
    contents = [bytes([n]) * (200_000 + n) for n in range(3)]
    pair = Pair(echo, cut=cut)
    calls = [pair.calls("echo", content) for content in contents]
    pair.carry()
    assert [call.result() for call in calls] == contents
    assert pair.server.budget.used == 0


def test_arguments_as_large_as_allowed_are_accepted_by_a_server_with_the_same_limits() -> None:
    limits = Limits(content_bytes=2_000, json_bytes=1_000)
    pair = Pair(echo, limits)
    calls = [pair.calls("echo", "x" * size) for size in (998, 970, 960, 998)]
    pair.carry()
    assert [len(call.body) for call in calls] == [1_000, 972, 962, 1_000]


def test_a_wrapped_result_above_the_limit_is_told_so_and_never_sent_wrong() -> None:
    limits = Limits(content_bytes=2_000, json_bytes=1_000)
    pair = Pair(lambda request: result("x" * 998), limits)
    first, second = pair.calls("a", 1), pair.calls("a", 1)
    pair.carry()
    assert isinstance(first.error, TooLarge)
    assert second.result() == "x" * 998


@each_cut
def test_a_server_with_lower_limits_refuses_and_goes_on(cut: Cut) -> None:
    pair = Pair(echo, Limits(content_bytes=2_000, json_bytes=1_000), cut)
    pair.client.limits = LIMITS
    first = pair.calls("echo", 1)
    pair.carry()
    second, third = pair.calls("echo", "x" * 1_500), pair.calls("echo", 3)
    pair.carry()
    assert isinstance(second.error, TooLarge)
    assert (first.result(), third.result()) == (1, 3)


# Cancelling


@each_cut
def test_a_cancel_reaches_the_handler_and_its_answer_frees_the_slot(cut: Cut) -> None:
    pair = Pair(leave_open, Limits(max_open=1), cut)
    warm_up = pair.calls("a", 0)
    pair.carry()
    pair.server.core.finish(pair.open.pop(), result(0), pair.server.now)
    pair.carry()
    given_up, waiting = pair.calls("a", 1), pair.calls("a", 2)
    pair.carry()
    pair.client.core.cancel(given_up)
    pair.carry()
    assert pair.server.stops == pair.open
    pair.server.core.finish(pair.open.pop(), result("too late"), pair.server.now)
    pair.carry()
    pair.server.core.finish(pair.open.pop(), result("fine"), pair.server.now)
    pair.carry()
    assert (warm_up.result(), waiting.result()) == (0, "fine")
    assert not given_up.done


@each_cut
def test_a_cancel_and_a_result_that_cross_end_the_exchange_once(cut: Cut) -> None:
    pair = Pair(leave_open, cut=cut)
    pair.calls("a", 0)
    pair.carry()
    call, other = pair.calls("a", 1), pair.calls("a", 2)
    pair.carry()
    pair.server.core.finish(pair.open[1], result("crossed"), pair.server.now)
    pair.client.core.cancel(call)
    pair.carry()
    pair.server.core.finish(pair.open[2], result("fine"), pair.server.now)
    pair.carry()
    assert (call.done, other.result()) == (False, "fine")
    assert pair.client.ended == [other]
    assert pair.client.core.load == 1


@each_cut
def test_a_deadline_reaches_the_caller(cut: Cut) -> None:
    pair = Pair(leave_open, cut=cut)
    call = pair.calls("a", 1)
    pair.carry()
    pair.server.core.tick(pair.server.now + 30.0)
    pair.carry()
    with pytest.raises(DeadlineExceeded) as caught:
        call.result()
    assert caught.value.seconds == 30.0


@each_cut
def test_the_end_of_the_client_s_side_ends_the_server_s(cut: Cut) -> None:
    pair = Pair(leave_open, cut=cut)
    call = pair.calls("a", 1)
    pair.carry()
    pair.server.core.end_of_stream(pair.server.now)
    pair.server.core.finish(pair.open.pop(), result("unwanted"), pair.server.now)
    pair.carry()
    assert isinstance(call.error, Cancelled)
    assert pair.server.ending


@each_cut
def test_a_server_that_fails_the_connection_fails_every_call(cut: Cut) -> None:
    pair = Pair(leave_open, cut=cut)
    calls = [pair.calls("a", n) for n in range(3)]
    pair.carry()
    pair.server.core.receive(b"\x00\x00", pair.server.now)
    pair.carry()
    assert [call.error.code for call in calls if call.error] == ["bad-frame"] * 3
    assert pair.client.core.ended


# Any arguments, any order


@settings(deadline=None)
@given(st.lists(values | st.binary(max_size=50) | arguments, max_size=6), st.sampled_from(CUTS), st.integers(1, 4))
def test_any_arguments_come_back(sent: list[Any], cut: Cut, slots: int) -> None:
    pair = Pair(echo, Limits(max_open=slots), cut)
    calls = [pair.calls("echo", **one) if isinstance(one, dict) else pair.calls("echo", one) for one in sent]
    pair.carry()
    for call, one in zip(calls, sent, strict=True):
        # No arguments and an empty object are one thing; in classic form that is null.
        assert call.result() == one or (one == {} and call.result() is None)


steps = st.lists(
    st.tuples(st.sampled_from(["call", "call", "cancel", "finish", "finish", "turn", "tick"]), st.integers(0, 9)),
    max_size=40,
)


@pytest.mark.smoke
@settings(deadline=None, max_examples=200)
@given(steps, st.sampled_from(CUTS), st.integers(1, 3))
def test_whatever_the_order_every_exchange_ends_once_on_both_sides(
    steps: list[tuple[str, int]], cut: Cut, slots: int
) -> None:
    pair = Pair(leave_open, Limits(max_open=slots), cut)
    pair.calls("first")
    pair.carry()
    pair.server.core.finish(pair.open.pop(), result(None), pair.server.now)
    pair.carry()
    calls: list[Asked] = []
    given_up: list[Asked] = []
    for step, number in steps:
        if step == "call":
            calls.append(pair.calls("a", number))
        elif step == "cancel" and calls:
            given_up.append(calls[number % len(calls)])
            if not given_up[-1].done:
                pair.client.core.cancel(given_up[-1])
        elif step == "finish" and pair.open:
            request = pair.open.pop(number % len(pair.open))
            pair.server.core.finish(request, echo(request), pair.server.now)
        elif step == "tick":
            pair.server.now += number
            pair.server.core.tick(pair.server.now)
        else:
            pair.carry()
    pair.carry()
    while pair.open:
        request = pair.open.pop()
        pair.server.core.finish(request, echo(request), pair.server.now)
        pair.carry()
    assert not pair.client.core.load
    assert (pair.server.counters.open_now, pair.server.budget.used) == (0, 0)
    # A handler that runs on after its deadline keeps its slot, which the client takes for free: too-many.
    assert pair.server.counters.failed.keys() <= {"cancelled", "deadline-exceeded", "too-many"}
    for call in calls:
        assert pair.client.ended.count(call) == (0 if call.abandoned else 1)
        assert call.done is not call.abandoned
        assert not call.abandoned or call in given_up

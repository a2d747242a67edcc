"""Both sides under any frames of streams, sound or not: documented outcomes alone, and memory within its bounds."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.errors import BadContent, LetterheadError, Refused
from letterhead.limits import Limits
from letterhead.protocol.flow import CREDIT
from tests.protocol.pairs import ClientSide, ServerSide, client_side, hello, named, octets, opening, reply
from tests.wire.frames import DIRECT_ODD, ODD, READS, WHOLE, Cut, frame, json_frame

LIMITS = Limits(
    content_bytes=80_000, json_bytes=2_000, skip_bytes=90_000, late_bytes=400_000, max_open=4, initial_credit=100_000,
    control_frames=12,
)  # fmt: skip
LARGEST = 2 + LIMITS.header_bytes + LIMITS.content_bytes
CODES = {
    "bad-frame", "bad-header", "too-large", "bad-content", "too-many", "cancelled", "deadline-exceeded", "not-found",
}  # fmt: skip

ids = st.integers(1, 6)
fields = st.fixed_dictionaries(
    {},
    optional={
        "more": st.sampled_from([True, True, True, False, None, 1, "x"]),
        "action": st.sampled_from(["a", "", 5, None, False]),
        "credit": st.sampled_from([1, 5_000, 2**31 - 1, 2**31, 0, -1, 1.5, "5", None, False]),
        "cancel": st.sampled_from([True, False, 1, None]),
        "supersedes": st.sampled_from([1, 2, 3, 2**53 - 1, 0, -1, "1", None, False]),
        "closing": st.sampled_from([0, 3, "x", False]),
        "max-open": st.sampled_from([1, 2, 0, None, False]),
        "deadline": st.sampled_from([1, 10_000, 0, "x"]),
        "timing": st.sampled_from([True, {"queued": 1}, None]),
        "status": st.sampled_from(["ok", "internal", "x", 5, None]),
        "compression": st.sampled_from(["zstd", "", 5, False]),
        "accept-compression": st.sampled_from([["zstd"], ["x", 5], "zstd"]),
        "authorization": st.sampled_from(["Bearer t", 5, False]),
        "content-type": st.sampled_from(["application/octet-stream", "text/json", "binary/x", "none"]),
        "x-own": st.sampled_from([1, [1], {"a": {}}]),
    },
)
contents = st.sampled_from([b"", b"", b"1", b"{", bytes(200), bytes(1_500), bytes(70_000), bytes(80_001)])
any_frame = st.builds(lambda id, own, content: frame({"id": id, **own}, content), ids, fields, contents)
sound_up = st.one_of(
    st.builds(lambda id: named(id, "a"), ids),
    st.builds(lambda id: named(id, "a", more=True), ids),
    st.builds(lambda id: opening(id, "a", more=True), ids),
    st.builds(lambda id, earlier: named(id, "a", supersedes=earlier), ids, ids),
)
sound_both = st.one_of(
    st.builds(lambda id, content: frame({"id": id, "more": True}, content), ids, contents),
    st.builds(lambda id: frame({"id": id, "more": False}), ids),
    st.builds(lambda id, credit: frame({"id": id, "credit": credit}), ids, st.sampled_from([1, 50_000, 2**31 - 1])),
    st.builds(lambda id: json_frame(1, {"id": id, "more": True}), ids),
)
sound_down = st.one_of(
    st.builds(lambda id: reply(id, 1), ids),
    st.builds(lambda id: json_frame({}, {"id": id, "status": "internal"}), ids),
)
cuts = st.sampled_from([WHOLE, ODD, READS, DIRECT_ODD])
moves = st.sampled_from(["take", "stream", "item", "end", "result", "refuse", "fail", "wait", "full", "empty"])
handled = st.tuples(moves, st.integers(0, 3))


def handle(side: ServerSide, done: set[int], move: str, which: int) -> None:
    """A move of a handler or the clock."""
    if move == "wait":
        side.passes(2.0)
        return
    if move in ("full", "empty"):
        side.core.paused = move == "full"
        if not side.core.paused:
            side.core.resume_writing(side.now)
        side.settled()
        return
    left = [n for n in range(len(side.requests)) if n not in done]
    if not left:
        return
    number = left[which % len(left)]
    request = side.requests[number]
    if move == "take":
        side.takes(number)
    elif move == "fail":
        side.core.fail_exchange(request, BadContent("wrong"))
    elif move == "stream" and not request.streams:
        try:
            side.core.streams(request)
        except Refused as refused:  # so the shell ends it
            done.add(number)
            side.answers(number, refused)
    elif move == "item" and side.core.may_send(request):
        side.core.send_item(request, octets(bytes(60_000)))
    elif move in ("end", "result", "refuse"):
        done.add(number)
        outcomes = {"end": None, "result": octets(b"r"), "refuse": Refused("not-found", "no")}
        side.core.finish(request, outcomes[move], side.now)
    side.settled()


def check_server(side: ServerSide, done: set[int]) -> None:
    held = 0
    for number, request in enumerate(side.requests):
        if request.incoming is not None:
            assert request.incoming.held <= LIMITS.initial_credit + LARGEST
            held += request.incoming.held
        held += request.held if number not in done else 0
    assert 0 <= side.budget.used - held <= LARGEST  # what is under way
    assert side.counters.open_now <= LIMITS.max_open
    last = [sent for sent in side.replies if sent.id is not None and not sent.header.get("more")]
    ended = [sent.id for sent in last if "credit" not in sent.header]
    assert len(ended) == len(set(ended))
    assert {sent.status for sent in last} <= CODES | {None}


@pytest.mark.smoke
@settings(deadline=None, max_examples=150)
@given(
    st.lists(any_frame | sound_up | sound_both | st.tuples(moves, st.integers(0, 3)), max_size=30), cuts, st.booleans()
)
def test_whatever_a_client_sends_the_server_stays_within_its_bounds(parts: list[Any], cut: Cut, ends: bool) -> None:
    side = ServerSide(LIMITS, cut)
    done: set[int] = set()
    for part in parts:
        if isinstance(part, bytes):
            side.hears(part)
        else:
            handle(side, done, *part)
        check_server(side, done)
    if ends:
        side.hears_end()
    else:
        side.core.lost()
    side.settled()
    for number in range(len(side.requests)):
        if number not in done:
            side.answers(number, "late")
    assert (side.budget.used, side.counters.open_now, side.ending) == (0, 0, True)
    assert all(error.code in CODES for error in side.errors)


def shown(side: ServerSide) -> Any:
    """What became of it all."""
    held = [len(request.incoming.items) for request in side.requests if request.incoming is not None]
    sent = [({**sent.header, "timing": "timing" in sent.header}, sent.content) for sent in side.sent]
    stopped = [side.requests.index(request) for request in side.stops]
    return [request.id for request in side.requests], held, stopped, sent, side.ending, side.budget.used


@settings(deadline=None, max_examples=100)
@given(st.lists(any_frame | sound_up | sound_both, max_size=20), cuts, cuts)
def test_the_outcome_is_the_same_however_bytes_are_cut(parts: list[bytes], one: Cut, other: Cut) -> None:
    first, second = (ServerSide(LIMITS, cut).hears(*parts) for cut in (one, other))
    assert shown(first) == shown(second)


def started(cut: Cut) -> ClientSide:
    """A client with a call, a stream, an upload and a conversation open (ids 2 to 5)."""
    side = client_side(LIMITS, cut, max_open=4)
    side.calls("a", 1)
    side.streams("a")
    side.uploads("a")
    side.uploads("a", down=True)
    return side


@pytest.mark.smoke
@settings(deadline=None, max_examples=150)
@given(st.lists(any_frame | sound_both | sound_down | st.just(hello()) | ids, max_size=30), cuts)
def test_whatever_a_server_sends_the_client_stays_within_its_bounds(parts: list[Any], cut: Cut) -> None:
    side = started(cut)
    calls = [*side.core.open.values()]
    side.calls("a", 1)  # waits for a slot
    for part in parts:
        if isinstance(part, bytes):
            side.hears(part)
        else:
            call = calls[part % len(calls)]
            side.takes(call)
            if side.core.may_send(call):
                side.sends(call, b"item")
        for call in calls:
            assert call.incoming is None or call.incoming.held <= CREDIT + LARGEST
    side.hears_end()
    assert not side.core.load
    assert all(call.done and side.ended.count(call) == 1 for call in calls)
    assert all(call.error is None or isinstance(call.error, LetterheadError) for call in calls)


@settings(deadline=None, max_examples=100)
@given(st.lists(any_frame | sound_both | sound_down, max_size=20), cuts, cuts)
def test_what_a_client_makes_of_it_is_the_same_however_bytes_are_cut(parts: list[bytes], one: Cut, other: Cut) -> None:
    outcomes = []
    for cut in (one, other):
        side = started(cut)
        calls = [*side.core.open.values()]
        side.hears(*parts)
        ends = [(call.done, call.error and str(call.error), call.body, side.takes(call)) for call in calls]
        # What a client said behind its own end is not sent, which depends on how much it reads at once.
        sent = [] if side.core.ended else [(sent.header, sent.content) for sent in side.sent]
        outcomes.append((ends, side.core.ended, sent))
    assert outcomes[0] == outcomes[1]

"""Answers that are not taken: they count as memory that is held, and while there are too many no handler begins."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from letterhead.content.encoded import Encoded
from letterhead.limits import Limits
from letterhead.protocol.budget import Budget
from letterhead.protocol.events import Stop
from letterhead.protocol.requests import Request
from letterhead.protocol.server import ServerProtocol
from letterhead.wire.header import Headers
from tests.protocol.pairs import ServerSide, control, item, joined, named, octets, opening, server_side
from tests.wire.frames import frame, frames_of

MIB = 1 << 20
HIGH = Limits().write_high
ALL = Limits().max_open


class Unread:
    """A server whose peer takes nothing: its pipe holds all that is sent.

    Attributes:
        requests: those that were handed out; ``stopped``: for which nobody waits.
    """

    def __init__(self, limits: Limits | None = None, budget: Budget | None = None) -> None:
        self.limits = limits or Limits()
        self.budget = budget or Budget(self.limits.buffered_bytes)
        self.core = ServerProtocol(self.limits, 0.0, budget=self.budget)
        self.requests: list[Request] = []
        self.stopped: list[Request] = []
        self.pipe = b""
        self.hears(opening(1, "first"))
        self.core.finish(self.requests.pop(), octets(b""), 0.0)
        self.reads()

    def hears(self, *data: bytes) -> "Unread":
        self.core.receive(b"".join(data), 0.0)
        return self.settle()

    def settle(self) -> "Unread":
        """Hand out what there is, and put what is to be sent into the pipe."""
        while self.core.events:
            event = self.core.events.pop(0)
            if isinstance(event, Request):
                self.requests.append(event)
            elif isinstance(event, Stop):
                self.stopped.append(event.request)
        if self.core.out:
            self.pipe += joined(self.core.out)
            self.core.out.clear()
            self.core.sent(0.0, len(self.pipe))
        self.core.paused = len(self.pipe) > self.limits.write_high
        return self

    def starts_all(self, answer: Encoded | None = None) -> "Unread":
        """Time passes, in which more handlers begin, as long as they may; each gives this answer at once."""
        done = 0
        while done < len(self.requests) or self.core.starts_more:
            while answer is not None and done < len(self.requests):
                self.core.finish(self.requests[done], answer, 0.0)
                done += 1
            done = len(self.requests)
            self.settle()
            self.core.start_more()
            self.settle()
        return self

    def reads(self) -> bytes:
        """The peer takes all that is there."""
        self.settle()
        taken, self.pipe = self.pipe, b""
        self.core.paused = False
        self.core.sent(0.0, 0)
        self.core.resume_writing(0.0)
        self.settle()
        return taken


def calls(count: int, first: int = 2) -> bytes:
    return b"".join(named(id, "a") for id in range(first, first + count))


# When handlers begin


@pytest.mark.smoke
def test_while_answers_wait_to_be_taken_no_handler_begins() -> None:
    side = Unread().hears(calls(ALL)).starts_all(octets(bytes(MIB)))
    assert 0 < len(side.requests) <= 16
    assert side.budget.used < 17 * MIB


def test_once_they_are_taken_the_others_begin_and_all_are_answered() -> None:
    answer = octets(bytes(MIB))
    side = Unread().hears(calls(ALL)).starts_all(answer)
    taken = bytearray()
    while more := side.reads():
        taken += more
        for request in side.requests:
            side.core.finish(request, answer, 0.0)
    assert sorted(sent.id for sent in frames_of(bytes(taken))) == list(range(2, ALL + 2))
    assert side.budget.used == 0


def test_of_many_requests_that_come_at_once_a_few_are_handed_out_at_a_time() -> None:
    side = Unread().hears(calls(100))
    counts = [len(side.requests)]
    while side.core.starts_more:
        side.core.start_more()
        counts.append(len(side.settle().requests))
    assert counts == [16, 32, 48, 64, 80, 96, 100]
    assert [request.id for request in side.requests] == list(range(2, 102))


def test_those_that_come_one_after_the_other_begin_at_once() -> None:
    side = Unread()
    for id in range(2, 102):
        side.hears(named(id, "a"))
    assert len(side.requests) == 100


def test_who_takes_small_answers_waits_for_nothing() -> None:
    side = Unread().hears(calls(ALL)).starts_all()
    assert len(side.requests) == ALL


# What becomes of those that have not begun


ENDS: dict[str, Callable[[Unread], object]] = {
    "cancel": lambda side: side.hears(*(control(id, cancel=True) for id in range(2, 102))),
    "deadline": lambda side: side.core.tick(1_000.0),
    "half-closed": lambda side: side.core.end_of_stream(0.0),
    "lost": lambda side: side.core.lost(),
    "cut off": lambda side: side.core.cut_off(),
    "superseded": lambda side: side.hears(*(named(200 + id, "b", supersedes=id) for id in range(2, 102))),
    "what is no frame": lambda side: side.hears(b"GET / HTTP/1.1\r\n"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_request_that_ends_before_its_handler_began_never_begins(end: str) -> None:
    side = Unread().hears(calls(100))
    begun = list(side.requests)
    ENDS[end](side)
    side.settle()
    assert set(side.stopped) <= set(begun)
    for request in begun:
        side.core.finish(request, octets(b"late"), 0.0)
    side.starts_all(octets(b"")).reads()
    assert [request.action for request in side.requests[len(begun) :]] == ["b"] * (len(side.requests) - len(begun))
    side.core.lost()
    assert (side.budget.used, side.core.counters.open_now) == (0, 0)


@pytest.mark.parametrize("end", ["cancel", "deadline", "cut off", "half-closed"])
def test_each_of_them_is_told_why_once(end: str) -> None:
    side = Unread().hears(calls(100))
    ENDS[end](side)
    for request in list(side.requests):
        side.core.finish(request, octets(b"late"), 0.0)
    codes = [(sent.id, sent.code) for sent in frames_of(side.reads()) if sent.id is not None]
    code = "deadline-exceeded" if end == "deadline" else "cancelled"
    assert sorted(codes) == [(id, code) for id in range(2, 102)]


def test_a_server_that_leaves_answers_them_all_the_same() -> None:
    side = Unread().hears(calls(100))
    side.core.drain(0.0)
    taken = side.starts_all(octets(b"x")).reads()
    assert sorted(sent.id for sent in frames_of(taken) if sent.id) == list(range(2, 102))
    assert side.core.ending


# What counts


def test_an_answer_counts_until_it_is_taken() -> None:
    side = Unread().hears(calls(1))
    side.core.finish(side.requests[0], octets(bytes(MIB)), 0.0)
    assert MIB < side.budget.used < MIB + 1_000
    side.settle()
    assert MIB < side.budget.used < MIB + 1_000
    side.core.sent(0.0, 5_000)
    assert side.budget.used == 5_000
    side.reads()
    assert side.budget.used == 0


def test_items_and_errors_count_too() -> None:
    side = Unread().hears(calls(1))
    side.core.streams(side.requests[0])
    before = side.budget.used
    cost = side.core.send_item(side.requests[0], octets(bytes(70_000)))
    assert side.budget.used == before + cost


def test_an_answer_that_would_pass_the_bound_is_too_many_and_small_ones_still_go() -> None:
    side = Unread(budget=Budget(3 * MIB)).hears(calls(10))
    for request in side.requests:
        side.core.finish(request, octets(bytes(MIB) if request.id and request.id < 11 else b"x"), 0.0)
    sent = frames_of(side.reads())
    assert [each.status for each in sent] == [None] * 2 + ["too-many"] * 7 + [None]
    assert side.budget.used == 0


def test_the_answers_of_a_lost_connection_are_given_back() -> None:
    side = Unread().hears(calls(3)).starts_all(octets(bytes(MIB)))
    assert side.budget.used > 3 * MIB
    side.core.lost()
    assert side.budget.used == 0


# Headers

LARGE: dict[str, Any] = {"x": [[]] * 5_000}


def test_headers_of_open_requests_are_held_as_what_was_sent() -> None:
    data = [frame({"id": id, "action": "a", "n": id, **LARGE}) for id in range(2, 129)]
    side = ServerSide(headers=Headers(Limits())).hears(opening(1, "a")).answers(0, 1)
    side.requests.clear()
    gc.collect()
    tracemalloc.start()
    try:
        for one in data:
            side.core.receive(one, side.now)
        side.core.events.clear()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    sent = sum(map(len, data))
    assert sent > 1_900_000
    assert held < 1.5 * sent
    assert held < 1.2 * side.budget.used


def test_headers_of_items_are_held_as_what_was_sent() -> None:
    data = [frame({"id": 2, "more": True, "n": n, **LARGE}) for n in range(60)]
    side = server_side().hears(named(2, "a", more=True))
    side.hears(*data)
    side.takes(0)
    gc.collect()
    before = side.held
    tracemalloc.start()
    try:
        for _ in range(30):
            side.core.receive(data.pop(), side.now)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.2 * (side.held - before)


def test_headers_count_where_they_are_kept() -> None:
    side = server_side(budget=Budget(100_000))
    large = {"n": "y" * 16_000}
    side.hears(*(frame({"id": id, "action": "a", **large}) for id in range(2, 12)))
    assert 1 < len(side.requests) < 7
    assert [code for _, code in side.codes] == ["too-many"] * (10 - len(side.requests))
    assert side.budget.used <= side.budget.limit


def test_what_a_header_asks_for_counts_too() -> None:
    side = server_side()
    accept = [f"{n:x}" for n in range(2_500)]
    side.hears(frame({"id": 2, "action": "a", "accept": accept}))
    assert side.requests[0].meaning.accept == tuple(accept)
    assert side.budget.used > 2_500 * 50


def test_an_item_s_header_goes_with_it() -> None:
    side = server_side().hears(named(2, "a", more=True))
    before = side.held
    side.hears(item(2, b"x", n="y" * 10_000))
    assert side.held > before + 10_000
    side.takes(0)
    assert side.held == before

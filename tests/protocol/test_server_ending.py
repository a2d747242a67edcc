"""A connection that ends, in whatever state it is and in whatever way: nothing raises, and nothing stays held."""

from collections.abc import Callable
from itertools import product

import pytest

from letterhead.errors import TooMany
from tests.protocol.pairs import ServerSide, item, named, opening, server_side

State = Callable[[], ServerSide]
End = Callable[[ServerSide], object]


def silent() -> ServerSide:
    return ServerSide()


def idle() -> ServerSide:
    return server_side()


def half_a_header() -> ServerSide:
    return server_side().hears(opening(2, "a")[:20])


def half_a_request() -> ServerSide:
    return server_side().hears(opening(2, "a", "x" * 100)[:-10])


def classic_with_half_of_the_next() -> ServerSide:
    return ServerSide().hears(opening(None, "a"), opening(None, "b", "x" * 100)[:-10])


def running() -> ServerSide:
    return server_side().hears(opening(2, "a"))


def streaming() -> ServerSide:
    return server_side().hears(named(2, "a")).streams(0, b"one")


def half_an_item() -> ServerSide:
    return server_side().hears(named(2, "store", more=True), item(2, bytes(100))[:-10])


def half_an_item_of_a_handler_that_has_returned() -> ServerSide:
    return half_an_item().answers(0, "enough")


def half_an_item_of_a_cancelled_handler() -> ServerSide:
    return half_an_item().hears_end()


def half_an_item_of_an_exchange_that_failed() -> ServerSide:
    side = half_an_item()
    side.core.fail_exchange(side.requests[0], TooMany("no"))
    return side


STATES: list[State] = [
    silent, idle, half_a_header, half_a_request, classic_with_half_of_the_next, running, streaming, half_an_item,
    half_an_item_of_a_handler_that_has_returned, half_an_item_of_a_cancelled_handler,
    half_an_item_of_an_exchange_that_failed,
]  # fmt: skip
ENDS: dict[str, End] = {
    "drain": lambda side: side.core.drain(side.now),
    "cut off": lambda side: side.core.cut_off(),
    "lost": lambda side: side.core.lost(),
    "end of stream": lambda side: side.core.end_of_stream(side.now),
    "error": lambda side: side.core.fail(TooMany("no")),
    "time": lambda side: side.passes(10_000.0),
    "what is no frame": lambda side: side.hears(b"x" * 100, b"GET / HTTP/1.1\r\n"),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("first", "then"), list(product(ENDS, ENDS)))
def test_any_two_ends_of_a_connection_leave_nothing_held(state: State, first: str, then: str) -> None:
    side = state()
    ENDS[first](side)
    ENDS[then](side)
    side.core.lost()
    for request in side.settled().requests:
        side.answers(request, "late")
    assert (side.budget.used, side.counters.open_now) == (0, 0)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("end", ENDS)
def test_each_exchange_has_one_last_frame_at_most(state: State, end: str) -> None:
    side = state()
    ENDS[end](side)
    side.core.cut_off()
    side.settled()
    last = [sent.id for sent in side.replies if sent.id is not None and sent.header.get("more") is not True]
    assert len(last) == len(set(last))


@pytest.mark.smoke
def test_a_server_that_has_no_more_time_ends_an_upload_whose_handler_has_returned() -> None:
    side = half_an_item_of_a_handler_that_has_returned()
    side.core.cut_off()
    side.settled()
    assert side.ending
    assert [(sent.id, sent.value) for sent in side.replies] == [(2, "enough")]
    assert side.stops == []


def test_a_request_that_is_finished_twice_frees_one_slot() -> None:
    side = running().answers(0, 1)
    open_before = side.counters.open_now
    side.answers(0, 2)
    assert (side.counters.open_now, len(side.replies)) == (open_before, 1)

"""What a bad network does, decided without a network: bytes in, bytes out, by a clock that the test moves."""

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterhead.testing.faults import HELD_BYTES, HELD_PIECES, NEVER, Counts, Faults, Line, Mark, Passage

NOW = 100.0


def line_of(**faults: Any) -> Line:
    return Line(Faults(**faults), Random(7), Counts())


def taken(passage: Passage, now: float = NOW) -> list[bytes | Mark]:
    """All that passes at this moment."""
    found = []
    while (what := passage.take(now)) is not None:
        found.append(what)
        if what is Mark.CUT:
            break
    return found


def schedule(passage: Passage) -> list[tuple[float, bytes | Mark]]:
    """All that passes, each with its moment after ``NOW``, to the millisecond."""
    found: list[tuple[float, bytes | Mark]] = []
    while (due := passage.due) != NEVER:
        what = passage.take(due)
        if what is None:
            break
        found.append((round(due - NOW, 3), what))
        if what is Mark.CUT:
            break
    return found


TABLE: list[tuple[dict[str, Any], list[bytes | Mark], list[tuple[float, bytes | Mark]]]] = [
    # faults, what is put at once (and the end), what passes and when
    ({}, [b"abc", Mark.END], [(0, b"abc"), (0, Mark.END)]),
    ({"delay": 0.5}, [b"abc", b"d", Mark.END], [(0.5, b"abc"), (0.5, b"d"), (0.5, Mark.END)]),
    ({"single_bytes": True}, [b"abc", Mark.END], [(0, b"a"), (0, b"b"), (0, b"c"), (0, Mark.END)]),
    ({"bandwidth": 200}, [b"abcde", Mark.END], [(0.01, b"ab"), (0.02, b"cd"), (0.025, b"e"), (0.025, Mark.END)]),
    ({"bandwidth": 10, "delay": 1}, [b"ab"], [(1.1, b"a"), (1.2, b"b")]),
    ({"stall_after": 2}, [b"abc", Mark.END], [(0, b"ab")]),
    ({"stall_after": 3}, [b"abc", Mark.END], [(0, b"abc")]),
    ({"stall_after": 4}, [b"abc", Mark.END], [(0, b"abc"), (0, Mark.END)]),
    ({"stall_after": 0}, [Mark.END], []),
    ({"reset_after": 2}, [b"abc"], [(0, b"ab"), (0, Mark.CUT)]),
    ({"reset_after": 3}, [b"abc"], [(0, b"abc")]),
    ({"reset_after": 3}, [b"abc", Mark.END], [(0, b"abc"), (0, Mark.CUT)]),
    ({"reset_after": 0, "delay": 2}, [b"abc"], [(2, Mark.CUT)]),
    ({"reset_chance": 1.0}, [b"abc"], [(0, Mark.CUT)]),
    ({"half_open_after": 1}, [b"abc", Mark.END], [(0, b"a")]),
    ({"reset_after": 2, "stall_after": 1}, [b"abc"], [(0, b"a")]),
    ({"reset_after": 1, "stall_after": 1}, [b"abc"], [(0, b"a"), (0, Mark.CUT)]),
    ({"direction": "to-client", "reset_after": 0}, [b"abc"], [(0, b"abc")]),
    ({"direction": "to-server", "stall_after": 1}, [b"abc"], [(0, b"a")]),
    ({}, [b"abc", Mark.RESET], [(0, b"abc"), (0, Mark.RESET)]),
]


@pytest.mark.parametrize(("faults", "put", "passes"), TABLE, ids=lambda value: str(value)[:60])
def test_what_passes_to_the_server_and_when(
    faults: dict[str, Any], put: list[bytes | Mark], passes: list[tuple[float, bytes | Mark]]
) -> None:
    passage = line_of(**faults).to_server
    for what in put:
        if isinstance(what, bytes):
            passage.put(what, NOW)
        elif what is Mark.END:
            passage.end(NOW)
        else:
            passage.break_off(NOW)
    assert schedule(passage) == passes


@pytest.mark.smoke
def test_nothing_passes_before_it_is_due() -> None:
    passage = line_of(delay=0.5).to_client
    passage.put(b"abc", NOW)
    assert taken(passage, NOW + 0.499) == []
    assert taken(passage, NOW + 0.5) == [b"abc"]
    assert passage.due == NEVER


def test_jitter_never_changes_the_order_and_stays_within_its_bounds() -> None:
    passage = line_of(delay=1.0, jitter=0.5).to_client
    for number in range(100):
        passage.put(bytes([number]), NOW)
    passed = schedule(passage)
    assert [what for _, what in passed] == [bytes([number]) for number in range(100)]
    moments = {when for when, _ in passed}
    assert len(moments) > 10
    assert all(1.0 <= when <= 1.5 for when in moments)


def test_a_line_that_was_quiet_has_no_bandwidth_saved_up() -> None:
    passage = line_of(bandwidth=100).to_server
    passage.put(b"a", NOW)
    assert taken(passage, NOW + 50) == [b"a"]
    passage.put(b"b", NOW + 60)
    assert passage.due == pytest.approx(NOW + 60.01)


def passed_before_a_reset(seed: int) -> int:
    passage = Line(Faults(reset_chance=0.1), Random(seed), Counts()).to_server
    for _ in range(1_000):
        passage.put(b"x", NOW)
    assert taken(passage)[-1] is Mark.CUT
    return passage.passed


def test_chance_is_taken_from_the_generator_alone() -> None:
    assert [passed_before_a_reset(seed) for seed in range(20)] == [passed_before_a_reset(seed) for seed in range(20)]
    assert len({passed_before_a_reset(seed) for seed in range(20)}) > 5


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=50), max_size=20),
    gaps=st.lists(st.floats(0, 1), min_size=20, max_size=20),
    delay=st.floats(0, 1),
    jitter=st.floats(0, 1),
    bandwidth=st.none() | st.floats(1, 1e6),
    single_bytes=st.booleans(),
)
def test_whatever_is_slow_loses_nothing_and_keeps_the_order(
    pieces: list[bytes],
    gaps: list[float],
    delay: float,
    jitter: float,
    bandwidth: float | None,
    single_bytes: bool,
) -> None:
    passage = line_of(delay=delay, jitter=jitter, bandwidth=bandwidth, single_bytes=single_bytes).to_client
    now = NOW
    for piece, gap in zip(pieces, gaps, strict=False):
        passage.put(piece, now)
        now += gap
    passage.end(now)
    came: list[bytes | Mark] = []
    moment = NOW
    while passage.due != NEVER:
        moment = max(moment, passage.due)
        came += taken(passage, moment)
    assert came.pop() is Mark.END
    assert b"".join(what for what in came if isinstance(what, bytes)) == b"".join(pieces)
    if bandwidth is not None:
        assert moment - NOW >= len(b"".join(pieces)) / bandwidth * 0.999


def test_a_passage_that_holds_as_much_as_it_may_is_not_read() -> None:
    passage = line_of(stall_after=0).to_server
    passage.put(bytes(HELD_BYTES - 1), NOW)
    assert passage.reads
    passage.put(b"x", NOW)
    assert not passage.reads


def test_so_is_one_of_many_small_pieces() -> None:
    passage = line_of(delay=1).to_server
    for _ in range(HELD_PIECES):
        passage.put(b"x", NOW)
    assert not passage.reads
    taken(passage, NOW + 1)
    assert passage.reads


def test_half_open_swallows_both_directions_for_good_and_reads_on() -> None:
    line = line_of(half_open_after=1, direction="to-server")
    line.to_client.put(bytes(HELD_BYTES), NOW)
    line.to_server.put(b"abc", NOW)
    assert taken(line.to_server) == [b"a"]
    assert line.vanished
    line.change(Faults())
    line.to_server.put(b"def", NOW)
    line.to_server.end(NOW)
    assert taken(line.to_server) == taken(line.to_client) == []
    assert line.to_client.reads
    assert (line.counts.half_open, line.counts.swallowed) == (1, 2 + 3 + HELD_BYTES)


def test_what_is_held_goes_by_the_faults_that_are_set_later() -> None:
    line = line_of(stall_after=0)
    line.to_server.put(b"abc", NOW)
    assert line.to_server.due == NEVER
    line.change(Faults(delay=3))
    assert schedule(line.to_server) == [(3, b"abc")]


def test_bytes_are_counted_from_when_the_faults_were_set() -> None:
    line = line_of()
    line.to_server.put(b"abcdef", NOW)
    taken(line.to_server)
    line.change(Faults(stall_after=2))
    line.to_server.put(b"ghi", NOW)
    assert taken(line.to_server) == [b"gh"]


def test_a_parted_line_lets_nothing_pass_and_loses_nothing() -> None:
    line = line_of()
    line.parted = True
    line.to_server.put(b"abc", NOW)
    line.to_server.end(NOW)
    assert (taken(line.to_server), line.to_server.due) == ([], NEVER)
    line.parted = False
    assert taken(line.to_server) == [b"abc", Mark.END]


def test_a_passage_to_nobody_forgets_what_it_holds_and_what_comes() -> None:
    passage = line_of(delay=1).to_server
    passage.put(b"abc", NOW)
    passage.drop()
    passage.put(b"def", NOW)
    assert passage.reads
    assert passage.due == NEVER


def test_what_passed_and_what_was_done_is_counted() -> None:
    line = line_of(stall_after=2)
    line.to_server.put(b"abc", NOW)
    line.to_client.put(b"d", NOW)
    taken(line.to_server)
    taken(line.to_server)
    taken(line.to_client)
    assert line.counts == Counts(to_server=2, to_client=1, stalled=1)
    line.change(Faults(reset_after=0))
    assert taken(line.to_server) == [Mark.CUT]
    assert line.counts == Counts(to_server=2, to_client=1, stalled=1, reset=1)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"delay": -1}, "delay cannot be -1: it takes 0 or more"),
        ({"jitter": float("nan")}, "jitter cannot be nan: it takes 0 or more"),
        ({"stall_after": -1}, "stall_after cannot be -1: it takes 0 or more"),
        ({"bandwidth": 0}, "bandwidth cannot be 0: it takes bytes a second, more than 0"),
        ({"reset_chance": 1.5}, "reset_chance cannot be 1.5: a probability is from 0 to 1"),
        ({"direction": "up"}, "direction is 'both', 'to-server' or 'to-client', not 'up'"),
    ],
)
def test_a_fault_that_cannot_be_is_told(fault: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as raised:
        Faults(**fault)
    assert str(raised.value) == sentence


def test_faults_say_in_words_what_they_do() -> None:
    assert str(Faults()) == "no faults"
    assert str(Faults(delay=0.05, seed=3)) == "delay=0.05, seed=3"

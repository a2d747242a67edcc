"""One connection in whatever order things may happen: a stateful model of both cores.

What lives here: the moves of callers, handlers, pipes and the clock, as rules. Hypothesis draws them, and shortens a
run that failed. What each side must see stands in ``reference.py`` and ``checked.py``.

Both cores keep the protocol, so neither may ever find a breach: a connection ends only where a rule ends it. Shells
learn by events alone when they may send and what came, so whoever waits although it need not is a failure, too.

``test_model.py`` runs it for a few seconds; ``make model`` runs it long: ``python -m tests.protocol.model --help``.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from letterhead.client.openings import action_opening
from letterhead.errors import BadContent
from letterhead.limits import Limits
from letterhead.protocol.exchange import Asks
from tests.playing import play
from tests.protocol.checked import Checked
from tests.protocol.pairs import streamed, submitted
from tests.protocol.reference import Story
from tests.protocol.sides import LARGEST

EVERYTHING = 10**9
WAITING = 8
"""Callers that wait at once: more would mostly stand in line."""

numbers = st.integers(0, 1_000)
sizes = st.sampled_from((0, 1, 100, 5_000, 15_000, 70_000, 300_000, LARGEST))
counts = st.integers(1, 8)
seconds = st.sampled_from([None, None, None, None, 1.0, 60.0])
seldom = st.integers(0, 4).map(lambda n: n == 0)
lengths = st.integers(1, 300) | st.sampled_from([5_000, 100_000, EVERYTHING])

Fits = Callable[[Story], bool]


def some(fits: Fits) -> Callable[[Any], Any]:
    """The rule applies where an exchange fits."""
    return precondition(lambda self: any(fits(story) for story in self.sides.stories))


def waiting(story: Story) -> bool:
    return story.waits


def uploading(story: Story) -> bool:
    return story.up and not story.up_ended and not story.handed_back


def written(story: Story) -> bool:
    return uploading(story) and story.waits and story.call.id > 0


def reading(story: Story) -> bool:
    return story.down and (story.waits or len(story.got_down) < len(story.sent_down))


def running(story: Story) -> bool:
    return story.runs


def fed(story: Story) -> bool:
    return story.runs and story.up


def streaming(story: Story) -> bool:
    return story.runs and story.down


class Connection(RuleBasedStateMachine):
    """The rules."""

    moves: ClassVar[Counter[str]] = Counter()
    """How often each was made, over all runs."""

    @initialize(max_open=st.integers(1, 4), scarce=seldom, cancels=st.sampled_from([3, 5, 200]))
    def begins(self, max_open: int, scarce: bool, cancels: int) -> None:
        self.moves["runs"] += 1
        self.sides = Checked(max_open, cancels, scarce=scarce)

    @invariant()
    def holds(self) -> None:
        self.sides.check()

    def teardown(self) -> None:
        if hasattr(self, "sides"):
            self.sides.wind_up()

    def _one(self, which: int, fits: Fits) -> Story:
        """One of the exchanges that fit, drawn by a number."""
        fitting = [story for story in self.sides.stories if fits(story)]
        return fitting[which % len(fitting)]

    # -- callers ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.sides.client.takes_calls and sum(map(waiting, self.sides.stories)) < WAITING)
    @rule(down=st.booleans(), up=st.booleans(), waits=seconds, timed=st.booleans(), place=st.none() | numbers)
    def asks(self, down: bool, up: bool, waits: float | None, timed: bool, place: int | None) -> None:
        """A call, perhaps in an earlier one's place."""
        self.moves["a caller asks"] += 1
        sides = self.sides
        asks = Asks(timing=timed)
        if down or up:
            deadline = None if waits is None else int(waits * 1_000)
            call = streamed("act", down=down, up=up, deadline=deadline, asks=asks)
        else:
            call = submitted(action_opening("act", (), {}, Limits(), asks), waits)
        earlier = None if place is None or not sides.stories else sides.stories[place % len(sides.stories)]
        sides.submit(Story(len(sides.stories), call, down=down, up=up, asked_at=sides.now, seconds=waits), earlier)

    @some(waiting)
    @rule(which=numbers, so=seldom, first=seldom)
    def gives_up(self, which: int, so: bool, first: bool) -> None:
        """A caller does not wait any longer. Before the server is known, that may mean giving up the connection."""
        if so and (first or self.sides.known):
            self.moves["a caller gives up"] += 1
            story = self._one(which, waiting)
            self.sides.give_up(story)
            story.ended_by.add("cancelled")

    @some(uploading)
    @rule(which=numbers, size=sizes, most=counts, anyone=seldom)
    def sends_up(self, which: int, size: int, most: int, anyone: bool) -> None:
        """A caller sends items, as long as it may; now and then one that may not for sure."""
        open_ones = not anyone and any(map(written, self.sides.stories))
        story = self._one(which, written if open_ones else uploading)
        while most and self.sides.send_up(story, size):
            self.moves["an item goes up"] += 1
            most -= 1
        self.moves["no item may go up"] += most > 0

    @some(written)
    @rule(which=numbers)
    def ends_up(self, which: int) -> None:
        """A caller has no more items."""
        self.moves["an upload is ended"] += 1
        self.sides.end_up(self._one(which, written))

    @some(reading)
    @rule(which=numbers, most=counts)
    def takes_down(self, which: int, most: int) -> None:
        """A caller takes items, as long as there are some."""
        story = self._one(which, reading)
        while most and self.sides.take_down(story):
            self.moves["a caller takes an item"] += 1
            most -= 1
        self.moves["a caller finds no item"] += most > 0

    # -- handlers --------------------------------------------------------------------------------------------------

    @some(fed)
    @rule(which=numbers, most=counts)
    def takes_up(self, which: int, most: int) -> None:
        """A handler takes items, as long as there are some."""
        story = self._one(which, fed)
        while most and self.sides.take_up(story):
            self.moves["a handler takes an item"] += 1
            most -= 1
        self.moves["a handler finds no item"] += most > 0

    @some(streaming)
    @rule(which=numbers, size=sizes, most=counts)
    def sends_down(self, which: int, size: int, most: int) -> None:
        """A handler sends items, as long as it may."""
        story = self._one(which, streaming)
        while most and self.sides.send_down(story, size):
            self.moves["an item goes down"] += 1
            most -= 1
        self.moves["no item may go down"] += most > 0

    @some(running)
    @rule(which=numbers, so=st.booleans(), refuses=seldom)
    def answers(self, which: int, so: bool, refuses: bool) -> None:
        """A handler ends."""
        if so:
            self.moves["a handler ends"] += 1
            self.sides.finish(self._one(which, running), refuses=refuses)

    @some(fed)
    @rule(which=numbers, so=seldom)
    def finds_an_item_wrong(self, which: int, so: bool) -> None:
        """Whoever runs a request finds that it cannot be; its handler runs on for a while."""
        if so:
            self.moves["an item is wrong"] += 1
            story = self._one(which, fed)
            story.ended_by.add("bad-content")
            self.sides.server.fail_exchange(story.handled, BadContent("no such thing"))

    # -- pipes -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.sides.wire.up.empty)
    @rule(count=lengths, direct=st.booleans())
    def delivers_up(self, count: int, direct: bool) -> None:
        """Bytes arrive at the server."""
        self.moves["bytes arrive at the server"] += 1
        self.sides.deliver_up(count, direct=direct)

    @precondition(lambda self: not self.sides.wire.down.empty)
    @rule(count=lengths, direct=st.booleans())
    def delivers_down(self, count: int, direct: bool) -> None:
        """Bytes arrive at the client."""
        self.moves["bytes arrive at the client"] += 1
        self.sides.deliver_down(count, direct=direct)

    @precondition(lambda self: not self.sides.wire.quiet)
    @rule(taken=st.booleans())
    def delivers_all(self, taken: bool) -> None:
        """All that is under way arrives, with what that brings about, and perhaps is taken."""
        self.moves["everything arrives"] += 1
        sides = self.sides
        while not sides.wire.quiet:
            sides.deliver_up(EVERYTHING)
            sides.deliver_down(EVERYTHING)
            sides.carry()
            for story in sides.stories if taken else ():
                while fed(story) and sides.take_up(story):
                    self.moves["a handler takes an item"] += 1
                while reading(story) and sides.take_down(story):
                    self.moves["a caller takes an item"] += 1

    @some(uploading)
    @rule(full=seldom)
    def fills_up(self, full: bool) -> None:
        """The client's pipe takes no bytes for a while, or takes them again."""
        self.moves["the client's pipe fills or empties"] += 1
        if full:
            self.sides.client.paused = True
        else:
            self.sides.client.resume_writing()

    @some(streaming)
    @rule(full=seldom)
    def fills_down(self, full: bool) -> None:
        """The server's pipe takes no bytes for a while, or takes them again."""
        self.moves["the server's pipe fills or empties"] += 1
        self.sides.server.paused = full
        if not full:
            self.sides.server.resume_writing(self.sides.now)

    # -- time and ends ---------------------------------------------------------------------------------------------

    @precondition(lambda self: self.sides.stories)
    @rule(passed=st.sampled_from([0.01, 0.1, 1.0, 40.0]), strikes=st.booleans())
    def time_passes(self, passed: float, strikes: bool) -> None:
        """The server may be woken without a reason, too."""
        self.moves["time passes"] += 1
        self.sides.pass_time(passed, strikes=strikes)

    @precondition(lambda self: not self.sides.lost and len(self.sides.stories) > 4)
    @rule(how=st.sampled_from(["reset", "client closes", "server ends", "drain"]), so=seldom)
    def ends(self, how: str, so: bool) -> None:
        """The connection ends: at both sides at once, at one side first, or in order."""
        if so:
            self.moves[how] += 1
            sides = self.sides
            {"reset": sides.reset, "client closes": sides.client_closes, "server ends": sides.server_ends,
             "drain": sides.drain}[how]()  # fmt: skip


if __name__ == "__main__":
    play(Connection, "tests.protocol.model", Connection.moves, steps=100)

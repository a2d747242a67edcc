"""What must hold on a connection at any time, and when all is over.

What lives here: ``Checked``, which holds what both sides show against the reference after each move.
"""

from letterhead.errors import ConnectionFailed
from letterhead.protocol.flow import CREDIT
from tests.protocol.pairs import joined
from tests.protocol.reference import Story
from tests.protocol.sides import FAR, LARGEST, UPLOAD_CREDIT, Sides

_MOST = LARGEST + 200
"""Bytes of the largest item's frame, and some."""


class Checked(Sides):
    """A connection that is held against the reference."""

    # -- what must hold at any time --------------------------------------------------------------------------------

    def check(self) -> None:
        """Let the shells do their part, and hold all that is seen against the reference."""
        self.carry()
        self._passes_ends_on()
        self.carry()
        for story in self.stories:
            story.check()
            self._check_ends(story)
            self._check_memory(story)
            self._check_credit(story)
        self._check_waits()
        self._check_stops()
        running = [story.handled for story in self.stories if story.runs]
        self._ran_on = self._ran_on or any(request.ended for request in running)
        assert self._counters.open_now <= self.server.limits.max_open
        ready = list(self.server._ready)  # they wait until their peer takes its answers
        assert self._counters.open_now - len(running) - len(ready) in (0, 1)  # of one the content may be under way
        held = sum(r.held + (0 if r.incoming is None else r.incoming.held) for r in [*running, *ready])
        assert 0 <= self._budget.used - held <= _MOST  # and so may one item be
        if self.now < self.server.due:
            assert all(request.ended or request.deadline > self.now for request in running)

    def _check_ends(self, story: Story) -> None:
        call = story.call
        last = self.wire.last.get(call.id)
        if last is not None and call.id:
            status = last.status
            if status is not None:
                assert status in {story.said} | story.ended_by | self._anyone_s_ends(), status
            else:
                assert story.said == (None if story.down else story.number)
                assert (last.header.get("more") is False) is story.down
                assert ("timing" in last.header) is call.opening.asks.timing
        if not call.done:
            return
        if call.error is None:
            assert last is not None
            assert last.status is None
            if story.down and not story.arriving_down.items:
                assert story.got_down == story.sent_down
            if not story.down:
                assert call.result() == story.number
        elif isinstance(call.error, ConnectionFailed):
            assert self.client.ended
        else:
            heard = last.status if last is not None and call.id in self.wire.heard else None
            expected = story.ended_by | {heard}
            if call.begun and call.id > self.wire.closing:  # a leaving server does not run it, and part of it is gone
                expected |= {"unavailable"}
            assert call.error.code in expected

    def _anyone_s_ends(self) -> set[str]:
        """Codes with which the server may refuse any exchange, as things stand."""
        found = set()
        if self.draining:
            found.add("unavailable")
        if self._ran_on or self._scarce:
            found.add("too-many")
        return found

    def _check_memory(self, story: Story) -> None:
        """No more is held than the credit and one item."""
        if story.down:
            assert story.arriving_down.held <= CREDIT + _MOST
        if story.up and story.request is not None:
            assert story.arriving_up.held <= UPLOAD_CREDIT + _MOST

    def _check_credit(self, story: Story) -> None:
        """Both senders count as the reference does."""
        call = story.call
        if call.outgoing is not None and call.id and story.waits and not self.lost:
            assert call.outgoing.credit == self.wire.left(call.id, up=True)
        if story.runs and story.down and not story.handled.ended and not self.wire.down.closed:
            assert story.handled.outgoing is not None
            assert story.handled.outgoing.credit == self.wire.left(call.id, up=False)

    def _check_stops(self) -> None:
        """The server knows what nobody waits for, and whoever runs it knows; nobody is hurried."""
        if self.known and not self.client.withholds:
            for id, call in self.client.open.items():
                assert not (call.done or call.abandoned) or id in self.wire.unwanted or call.deadline is not None
        for story in self.stories:
            if story.runs and not story.handled.ended:
                assert story.call.id not in self.wire.stopped or story.handled.stopped is not None
                assert story.handled.deadline >= story.asked_at + story.allowed

    def _check_waits(self) -> None:
        """Nobody waits for what is there."""
        for story in self._waits_down:
            assert not story.waits or not story.arriving_down.items
        for story in self._wants_up:
            outgoing = story.call.outgoing
            assert not story.waits or self.client.paused or (outgoing is not None and outgoing.credit <= 0)
        for story in self._waits_up:
            incoming = story.arriving_up
            assert story.handled.ended or not (incoming.items or incoming.whole)
        for story in self._wants_down:
            outgoing = story.handled.outgoing
            assert story.handled.ended or self.server.paused or (outgoing is not None and outgoing.credit <= 0)

    # -- the end of a run ------------------------------------------------------------------------------------------

    def wind_up(self) -> None:
        """Everything that is open comes to its end, and nothing is left behind."""
        self.server.paused = False
        self.server.resume_writing(self.now)
        self.client.resume_writing()
        moved = True
        while moved:
            self.check()
            moved = not (self.wire.up.empty and self.wire.down.empty)
            self.deliver_up(10**9)
            self.deliver_down(10**9)
            self.carry()
            for story in self.stories:
                if story.up and story.call.id and not story.up_ended and story.waits:
                    self.end_up(story)
                while story.down and self.take_down(story):
                    moved = True
                if story.runs:
                    moved = True
                    while story.up and self.take_up(story):
                        pass
                    self.finish(story)
        self.check()
        assert (self._counters.open_now, self._budget.used) == (0, 0)
        assert not self.client.load
        for story in self.stories:
            assert story.call.done or story.handed_back or story.gave_up
        count = len(self.wire.last)
        self.server.tick(self.now + 2 * FAR)
        assert self.server.ending
        self.wire.from_server(joined(self.server.out))  # at most that it is closing
        assert len(self.wire.last) == count

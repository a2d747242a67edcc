"""Both cores behind shells, joined by the reference's wire.

What lives here: ``Sides``, which does for the protocols of a client and a server what their shells do (hand out events,
send what they said, pass ends on), and carries out the moves of callers and handlers. What happens, and when, is
``model.py``'s; what must hold is in ``checked.py``.
"""

from collections.abc import Callable
from typing import Any

from letterhead.errors import ConnectionLost, Refused
from letterhead.limits import Limits
from letterhead.protocol.budget import Budget
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.counters import Counters
from letterhead.protocol.events import (
    ClientEvent,
    Closed,
    Ended,
    Multiplexed,
    Readable,
    Returned,
    ReturnReason,
    ServerEvent,
    Stop,
    Writable,
)
from letterhead.protocol.exchange import Exchange
from letterhead.protocol.flow import CREDIT
from letterhead.protocol.requests import Request
from letterhead.protocol.server import ServerProtocol
from letterhead.protocol.states import Phase
from tests.protocol.pairs import joined, octets, result
from tests.protocol.reference import Story, Wire

FAR = 1e9
UPLOAD_CREDIT = 20_000
LARGEST = 700_000
"""Bytes of an item's content, at most."""
_PLENTY = 256 << 20


class Sides:
    """One connection, with the time as a number.

    Args:
        max_open: the server's slots.
        cancels: control frames in 10 s that both sides know to be the most.
        scarce: the server holds so little content that an upload may not fit.

    Attributes:
        client, server: the cores; ``wire`` joins them.
        stories: all exchanges so far.
        lost: the connection is gone; ``draining``: the server was asked to end.
    """

    def __init__(self, max_open: int, cancels: int, *, scarce: bool) -> None:
        self.now = 1_000.0
        self.stories: list[Story] = []
        self.lost = False
        self.draining = False
        self._scarce = scarce
        self._few = cancels < 20
        self._ran_on = False  # a handler ran on behind its exchange's end: the client takes its slot for free
        self._waits_up: set[Story] = set()  # whose handler found no item
        self._waits_down: set[Story] = set()  # whose caller found no item
        self._wants_up: set[Story] = set()  # whose caller may not send
        self._wants_down: set[Story] = set()  # whose handler may not send
        limits = Limits(
            max_open=max_open, initial_credit=UPLOAD_CREDIT, buffered_bytes=60_000 if scarce else _PLENTY,
            control_frames=cancels, first_byte_seconds=FAR, header_seconds=FAR, content_quiet_seconds=FAR,
            content_rate=0, idle_seconds=FAR,
        )  # fmt: skip
        self._budget = Budget(limits.buffered_bytes)
        self._counters = Counters()
        self.server = ServerProtocol(limits, self.now, budget=self._budget, counters=self._counters)
        self.client: ClientProtocol[str] = ClientProtocol(Limits(control_frames=cancels), "server:1")
        self.wire = Wire(max_open, UPLOAD_CREDIT)

    @property
    def known(self) -> bool:
        """Whether the client knows that the server multiplexes."""
        return self.client.phase is Phase.MULTIPLEXED

    # -- what both shells do after each move -----------------------------------------------------------------------

    def carry(self) -> None:
        """Hand out events, put into the pipes what is to be sent, pass on ends."""
        while self.client.events or self.server.events:
            events, self.client.events = self.client.events, []
            for event in events:
                self._client_hears(event)
            happened, self.server.events = self.server.events, []
            for one in happened:
                self._server_hears(one)
            self.server.start_more()
        if self.client.withholds:
            self.client.tick(self.now)
        sent = joined(self.client.out)
        self.client.out.clear()
        if not self.wire.up.closed:
            self.wire.from_client(sent)
        sent = joined(self.server.out)
        self.server.out.clear()
        if not self.wire.down.closed:
            self.wire.from_server(sent)
        if sent:
            self.server.sent(self.now)
        if self.client.ended:
            self.wire.up.closed = True
        if self.server.ending:
            self.wire.down.closed = True

    def _passes_ends_on(self) -> None:
        """What is closed and empty has an end, which the other side hears of."""
        if self.wire.up.closed and self.wire.up.empty and not self.server.ending:
            self._anything_may_be("cancelled")
            self.server.end_of_stream(self.now)
        if self.wire.down.closed and self.wire.down.empty and not self.client.ended:
            self.client.end_of_stream()

    def _client_hears(self, event: ClientEvent[str]) -> None:
        if isinstance(event, Returned):
            assert event.reason is not ReturnReason.CLASSIC
            for exchange in event.exchanges:
                self._story(exchange).handed_back = True
        elif isinstance(event, Closed):
            assert self.client.end is event.end
            for exchange in event.exchanges:
                exchange.fail(event.end.error)
                self._story(exchange).told += 1
        elif isinstance(event, Multiplexed):
            assert self.known or self.client.ended
        elif isinstance(event, Readable):
            story = self._story(event.exchange)
            self._waits_down.remove(story)
            assert story.arriving_down.items
        elif isinstance(event, Writable):
            story = self._story(event.exchange)
            self._wants_up.remove(story)
            assert self.client.may_send(event.exchange) or event.exchange.done
        else:
            assert isinstance(event, Exchange)
            assert event.done
            if event.owner is not None:  # what the connection asks by itself has no story
                self._story(event).told += 1

    def _server_hears(self, event: ServerEvent) -> None:
        assert not isinstance(event, Ended), event.error
        if isinstance(event, Request):
            self._handed_out(event)
        elif isinstance(event, Stop):
            assert event.request.stopped is not None
        elif isinstance(event, Readable):
            (story,) = [story for story in self.stories if story.request is event.exchange]
            self._waits_up.remove(story)
            assert story.arriving_up.items or story.arriving_up.whole or event.exchange.ended
        else:
            (story,) = [story for story in self.stories if story.request is event.exchange]
            self._wants_down.remove(story)
            assert self.server.may_send(event.exchange) or event.exchange.ended

    def _handed_out(self, request: Request) -> None:
        if request.action == "letterhead.ping":
            self.server.finish(request, result(None), self.now)
            return
        (story,) = [story for story in self.stories if story.call.id == request.id]
        assert story.request is None
        story.request = request
        if story.down:
            self.server.streams(request)

    def deliver_up(self, count: int, *, direct: bool = False) -> None:
        """So many bytes arrive at the server; ``direct``: into large content's own buffer, where there is one."""
        piece = self.wire.to_server(count)
        server, now = self.server, self.now
        _deliver(piece, direct, lambda data: server.receive(data, now), server.buffer, lambda n: server.filled(n, now))

    def deliver_down(self, count: int, *, direct: bool = False) -> None:
        """So many bytes arrive at the client."""
        client = self.client
        _deliver(self.wire.to_client(count), direct, client.receive, client.buffer, client.filled)

    # -- what callers and handlers do -----------------------------------------------------------------------------

    def submit(self, story: Story, earlier: Story | None = None) -> None:
        """A caller asks, perhaps in the place of another; whoever has items waits until it may send from then on."""
        self.stories.append(story)
        if story.up:
            self._wants_up.add(story)
        if earlier is not None and earlier.waits:
            earlier.gave_up = True
            earlier.ended_by.add("cancelled")
            self.client.submit(story.call, earlier.call)
        else:
            self.client.submit(story.call)

    def send_up(self, story: Story, size: int) -> bool:
        """A caller sends an item, if it may."""
        if not self.client.may_send(story.call):
            if story.waits:
                self._wants_up.add(story)
            return False
        assert story.waits
        content = story.content(story.sent_up, size)
        story.sent_up.append(content)
        self.client.send_item(story.call, octets(content))
        return True

    def end_up(self, story: Story) -> None:
        """A caller has no more items."""
        self.client.end_upload(story.call)
        story.up_ended = True
        self._wants_up.discard(story)

    def send_down(self, story: Story, size: int) -> bool:
        """A handler sends an item, if it may."""
        request = story.handled
        if not self.server.may_send(request):
            if not request.ended:
                self._wants_down.add(story)
            return False
        content = story.content(story.sent_down, size)
        story.sent_down.append(content)
        self.server.send_item(request, octets(content))
        return True

    def take_down(self, story: Story) -> bool:
        """A caller takes an item, if there is one."""
        taken = self.client.take(story.call)
        if taken is None:
            if story.waits:
                self._waits_down.add(story)
            return False
        story.got_down.append(taken[1])
        self.wire.took(story.call.id, taken[0].frame_size, up=False)
        self.carry()
        if not (story.call.done or self.wire.up.closed):
            assert self.wire.owed(story.call.id, up=False) < CREDIT / 2
        return True

    def take_up(self, story: Story) -> bool:
        """A handler takes an item, if there is one."""
        request, incoming = story.handled, story.arriving_up
        taken = self.server.take(request)
        if taken is None:
            if incoming.whole and not request.ended:
                assert story.got_up == story.sent_up
                assert story.up_ended
            elif not request.ended:
                self._waits_up.add(story)
            return False
        story.got_up.append(taken[1])
        self.wire.took(story.call.id, taken[0].frame_size, up=True)
        self.carry()
        if not (request.ended or incoming.whole or self.wire.down.closed):
            assert self.wire.owed(story.call.id, up=True) < UPLOAD_CREDIT / 2
        return True

    def finish(self, story: Story, *, refuses: bool = False) -> None:
        """A handler ends, with what it was asked for or with a refusal."""
        request, id = story.handled, story.call.id
        goes_on = not request.ended and request.stopped is None
        ended = request.ended
        if refuses:
            self.server.finish(request, Refused("not-found", "no"), self.now)
            said: Any = "not-found"
        elif story.down:
            self.server.finish(request, None, self.now)
            said = None
        else:
            self.server.finish(request, result(story.number), self.now)
            said = story.number
        story.finished = True
        if goes_on:
            story.said = said
        self.carry()
        assert ended or self.lost or self.wire.down.closed or id in self.wire.last

    def drain(self) -> None:
        """The server is asked to end."""
        self.draining = True
        self.server.drain(self.now)

    def client_closes(self) -> None:
        """The client ends the connection; what is under way still arrives."""
        self.client.close(ConnectionLost("closed here", address="server:1"))
        self._anything_may_be("cancelled")

    def server_ends(self) -> None:
        """The server's pipe ends without a word."""
        self.carry()
        self.wire.down.closed = True
        self._anything_may_be("cancelled")

    def reset(self) -> None:
        """The connection is gone at both sides, with what was under way."""
        self.lost = True
        for pipe in (self.wire.up, self.wire.down):
            pipe.closed = True
            pipe.drop()
        self.server.lost()
        self.client.close(ConnectionLost("reset", address="server:1"))

    def _anything_may_be(self, code: str) -> None:
        for story in self.stories:
            story.ended_by.add(code)

    # -- time ------------------------------------------------------------------------------------------------------

    def pass_time(self, passed: float, *, strikes: bool) -> None:
        """The server is woken if it is due, or if the clock ``strikes``; callers whose time is over give up.

        A client counts its cancellations as it sends them, a server as they arrive. So where few are allowed they
        must not be under way for so long that those of several windows arrive in one.
        """
        if self._few:
            self.deliver_up(10**9)
            self.carry()
        self.now += passed
        if strikes or self.now >= self.server.due:
            for story in self.stories:
                if self.now >= story.asked_at + story.allowed:
                    story.ended_by.add("deadline-exceeded")
            self.server.tick(self.now)
        for story in self.stories:
            if story.seconds is not None and self.now >= story.asked_at + story.seconds and story.waits and self.known:
                if story.call.waited:  # its deadline ends later at the server, which is told
                    story.ended_by.add("cancelled")
                self.give_up(story, late=True)

    def give_up(self, story: Story, *, late: bool = False) -> None:
        """A caller does not wait any longer."""
        story.gave_up = True
        self.client.cancel(story.call, late=late)

    def _story(self, call: Exchange[str]) -> Story:
        (story,) = [story for story in self.stories if story.call is call]
        return story


def _deliver(
    data: bytes,
    direct: bool,
    receive: Callable[[bytes], None],
    buffer: Callable[[], memoryview | None],
    filled: Callable[[int], None],
) -> None:
    """As a pipe reads: into the buffer for large content, where there is one."""
    while data:
        own = buffer() if direct else None
        if own is None:
            receive(data)
            return
        piece = data[: len(own)]
        own[: len(piece)] = piece
        filled(len(piece))
        data = data[len(piece) :]

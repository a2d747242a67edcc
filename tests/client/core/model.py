"""A client in whatever order things may happen: a stateful model of ``ClientCore`` among servers that come and go.

What lives here: the moves of callers, servers, networks and the clock, as rules, and what must hold after each.
Hypothesis draws the moves, and shortens a run that failed. What a shell does is in ``world.py``.

``test_model.py`` runs it for a few seconds; ``make model`` runs it long: ``python -m tests.client.core.model --help``.
"""

import gc
import json
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from letterhead.client.calls import action_call, message_call, stream_call
from letterhead.client.connection import CLASSIC_AT_ONCE
from letterhead.content.encoded import Encoded
from letterhead.errors import LetterheadError, Refused, Unavailable
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol import states
from letterhead.protocol.requests import Request
from tests.client.core.world import NOTHING_DUE, Asked, Line, Site, World
from tests.playing import play
from tests.protocol.pairs import argument, control, failure, hello, octets, reply, result
from tests.wire.frames import CUTS, Cut, Frame, json_frame

LIMITS = Limits(
    reconnect_seconds=0.1, reconnect_max_seconds=2.0, repeats=3, slow_start_seconds=5.0, ping_after_seconds=4.0,
    ping_wait_seconds=3.0,
)  # fmt: skip
NAMES = ("a:1", "b:1", "c:1")
OPEN = 12
"""Calls that are open at once, at most: more would mostly stand in line."""
ATTEMPTS = 1 / LIMITS.reconnect_seconds + 1
"""Attempts to connect to one server in a second, at most, while nothing but time passes."""

numbers = st.integers(0, 1_000)
seldom = st.integers(0, 4).map(lambda n: n == 0)
times = st.sampled_from([None, None, None, 0.01, 1.0, 10.0, 100.0])
keys = st.sampled_from([None, None, None, "box", "list"])
KINDS = ("plain", "plain", "plain", "stream", "either", "upload", "conversation", "bytes", "message")


class Story:
    """What becomes of one call.

    Attributes:
        number: it among all.
        call: it, as long as it has not ended.
        watched: it, without holding it.
        action: ``once`` or ``again``, which may run twice.
        down, up: its result is a stream; its arguments are.
        asked_at, seconds: when it was submitted, and how long its caller waits; infinity where that is not said.
        waited: seconds that it was without a server that answers.
        ignored: seconds that it was without a connection although a server took calls.
        begun: the exchange in which a part of a stream has passed.
        runs: how often a server began to run it, and did not say that it did not.
        told: how often its caller heard of the end.
    """

    def __init__(self, number: int, call: Asked, action: str, now: float, *, down: bool, up: bool) -> None:
        self.number = number
        self.call: Asked | None = call
        self.watched = weakref.ref(call)
        self.action = action
        self.down = down
        self.up = up
        self.asked_at = now
        self.seconds = call.seconds
        self.waited = 0.0
        self.ignored = 0.0
        self.begun: Any = None
        self.runs = 0
        self.told = 0

    @property
    def asked(self) -> Asked:
        assert self.call is not None
        return self.call


class Play(World):
    """The world, with what each of its calls must see.

    Args:
        servers: how many there are.
        slots: exchanges that each takes at once.
        cancels: control frames that they take in a while.
        draw: for what the core takes for chance.
        options: as for ``World``.
    """

    def __init__(self, servers: int, slots: int, cancels: int, draw: int, **options: Any) -> None:
        limits = Limits(max_open=slots, control_frames=cancels)
        random = Random(draw)
        super().__init__(
            *NAMES[:servers],
            limits=replace(LIMITS, control_frames=cancels),
            server_limits=limits,
            chance=random.random,
            **options,
        )
        self.stories: list[Story] = []
        self.readers: set[Story] = set()  # who found no item
        self.writers: set[Story] = set()  # who may not send
        self.handled: dict[Request, Story] = {}
        self._temper = random.random  # of the handlers: some answer at once, of streams with an item first
        for site in self.sites.values():
            site.handler = self.runs
            site.idempotent = ["again"]

    @property
    def open_stories(self) -> list[Story]:
        return [story for story in self.stories if story.call is not None and not story.call.done]

    # -- servers ---------------------------------------------------------------------------------------------------

    def runs(self, request: Request) -> Encoded | Refused | None:
        """The handler of all servers: a rule ends it."""
        said = argument(request)
        if said is None and not request.binary:  # a message, as a classic client sends it
            said = json.loads(request.content)
        story = self.story_of(said)
        if story is not None:
            self.handled[request] = story
            story.runs += 1
            at_once = self._temper() < 0.3
            if story.down:
                server = self.asked
                assert server is not None
                server.streams(request)
                if at_once:
                    server.send_item(request, octets(b"at once"))
            elif at_once and not story.up:
                return result(story.number)
        return None if story is not None else result(None)

    def overloaded(self, request: Request) -> Encoded | Refused | None:
        """The handler that runs nothing."""
        return Unavailable("later")

    def story_of(self, said: Any) -> Story | None:
        """The call that a request is for, by the number in it."""
        if isinstance(said, bytes):
            return self.stories[int(said)]
        return self.stories[said["number"]] if isinstance(said, dict) and "number" in said else None

    def ran(self, frames: list[Frame]) -> None:
        """A scripted server may have run these."""
        for frame in frames:
            value = frame.value if frame.content[:1] == b"{" else None
            said = value.get("value", value) if isinstance(value, dict) else frame.content
            story = self.story_of(said) if said and "cancel" not in frame.header else None
            if story is not None and "credit" not in frame.header:
                story.runs += 1

    def classic(self, frames: list[Frame]) -> bytes:
        """A classic server: one answer, whatever it was asked."""
        self.ran(frames)
        said = frames[0].value if frames[0].content[:1] == b"{" else {}
        value = said.get("value") if isinstance(said, dict) else None
        return json_frame({"result": value.get("number") if isinstance(value, dict) else None})

    def mute(self, frames: list[Frame]) -> bytes:
        self.ran(frames)
        return b""

    def hanging_up(self, frames: list[Frame]) -> None:
        self.ran(frames)

    def refusing(self, frames: list[Frame]) -> bytes:
        return failure(None, "unavailable")

    def turning_away(self, frames: list[Frame]) -> bytes:
        return failure(None, "too-many")

    def foreign(self, frames: list[Frame]) -> bytes:
        return b"HTTP/1.1 400 Bad Request\r\n\r\n"

    def leaving_at_once(self, frames: list[Frame]) -> bytes:
        return hello(frames[0].id) + control(None, closing=0) if frames[0].id else b""

    def answering_once(self, frames: list[Frame]) -> bytes:
        id = frames[0].id
        if not id:
            return self.classic(frames)
        self.ran(frames[:1])
        said = frames[0].value
        value = said.get("value") if id == 1 else None
        number = value.get("number") if isinstance(value, dict) else None
        return hello(id) + reply(id, {"result": number}) + control(None, closing=id)

    def keeping_one(self, frames: list[Frame]) -> bytes:
        self.ran(frames[:1])
        return hello(frames[0].id) + control(None, closing=frames[0].id) if frames[0].id else b""

    def breaking(self, frames: list[Frame]) -> bytes:
        self.ran(frames)
        return hello(frames[0].id or 1) + b"no frame"

    # -- callers ---------------------------------------------------------------------------------------------------

    def begin(self, kind: str, action: str, timeout: float | None, key: str | None) -> None:
        number = len(self.stories)
        args = {"number": number}
        down, up = kind in ("stream", "either", "conversation"), kind in ("upload", "conversation")
        sent: dict[str, Any] = {**args, "items": iter(())} if up else args
        call: Asked
        if down:
            call = stream_call(self.settings, action, (), sent, timeout, None, None, either=kind == "either")
        elif kind == "message":
            content = b'{"number":%d}' % number
            header = {"action": action, "content-type": "text/json", "content-encoding": "utf-8"}
            call = message_call(self.settings, Message(content, header), timeout)
        elif kind == "bytes":
            call = action_call(self.settings, action, (b"%d" % number,), {}, timeout, None, None, None)
        else:
            call = action_call(self.settings, action, (), sent, timeout, None, None, None)
        if kind == "message":
            action = "once"  # it is not known which action it calls
        story = Story(number, call, action, self.now, down=down, up=up)
        self.stories.append(story)
        self.submits(call, key)
        if down and not call.done:
            self.tries_to_take(story)
        if up and not call.done:
            self.tries_to_send(story, b"first")

    def tries_to_take(self, story: Story) -> None:
        call = story.asked
        while True:
            item = call.take()
            if item is None:
                if not call.done:
                    self.readers.add(story)
                break
            self.core.give_back(call, self.now)
        self.settled()

    def tries_to_send(self, story: Story, content: bytes) -> None:
        if self.core.may_send(story.asked):
            self.core.send_item(story.asked, octets(content), self.now)
            self.settled()
        elif not story.asked.done:
            self.writers.add(story)

    # -- what must hold --------------------------------------------------------------------------------------------

    def passes(self, seconds: float) -> "World":
        """Time passes, in steps; how long who waits for what is counted between them."""
        until = self.now + seconds
        strikes = 0
        while (due := min(self.core.due, self._server_due())) <= until:
            strikes = strikes + 1 if due <= self.now else 0
            assert strikes < 50 + 2 * len(self.open_stories), "woken again and again at one moment"
            self._wait_until(max(self.now, due))
            self._tick()
            self.check()
        self._wait_until(until)
        return self.settled()

    def _wait_until(self, when: float) -> None:
        taken = any(e.takes_calls(self.now) and not e.full for e in self.core.balancer.endpoints)
        dialled = [dial.call for dial in self.pending]
        for story in self.open_stories:
            line = story.asked.connection
            if line is None or line.protocol.phase is not states.Phase.MULTIPLEXED:
                story.waited += when - self.now
            ignored = line is None and taken and story.asked not in dialled
            story.ignored = story.ignored + when - self.now if ignored else 0.0
        self.now = when

    def check(self) -> None:
        core = self.core
        for call in self.ended:
            (story,) = [story for story in self.stories if story.call is call]
            story.told += 1
            self._check_end(story)
        for story in self.stories:
            self._check_call(story)
        for call in self.ended:
            (story,) = [story for story in self.stories if story.call is call]
            story.call = None  # so that it is seen whether somebody else holds it
            self.readers.discard(story)
            self.writers.discard(story)
        self.ended.clear()
        waiting = [story.asked for story in self.open_stories]
        assert set(core.calls) == set(waiting)
        by_key = [call.key for call in waiting if call.key is not None]
        assert len(set(by_key)) == len(by_key), "one call a key"
        self._go_on()
        for story in self.readers:
            incoming = story.asked.incoming
            assert incoming is None or not incoming.items, "a reader waits for what is there"
        for story in self.writers:
            exchange, line = story.asked.exchange, story.asked.connection
            outgoing = None if exchange is None or not exchange.id else exchange.outgoing
            may = outgoing is not None and outgoing.credit > 0 and not outgoing.ended
            assert not may or (line is not None and line.protocol.paused), "a writer waits although it may"
        self._check_connections()

    def _go_on(self) -> None:
        """Whoever was told goes on: readers take what is there and wait again, some writers send an item."""
        while self.readable or self.writable:
            readable, self.readable = self.readable, []
            writable, self.writable = self.writable, []
            for call in readable:
                story = self._story(call)
                self.readers.discard(story)
                if not call.done and self._temper() < 0.8:
                    self.tries_to_take(story)
            for call in writable:
                story = self._story(call)
                self.writers.discard(story)
                if not call.done and self._temper() < 0.5:
                    self.tries_to_send(story, bytes(1_000))

    def _story(self, call: Asked) -> Story:
        return next(story for story in self.stories if story.watched() is call)

    def _check_call(self, story: Story) -> None:
        if story.action == "once":
            assert story.runs <= 1, "run twice"
        assert story.runs <= LIMITS.repeats + 1
        if story.call is None:
            assert story.told == 1
            return
        call = story.call
        assert (story.told == 1) is call.done
        if not call.done:
            assert self.now < story.asked_at + story.seconds + 1e-6, "its time is over"
            assert story.waited < LIMITS.deadline_seconds + 1e-6 or story.seconds < NOTHING_DUE, "it waits for ever"
            line, exchange = call.connection, call.exchange
            if line is None or line.protocol.phase is not states.Phase.MULTIPLEXED:
                assert (
                    call.ends <= self.now + LIMITS.deadline_seconds - story.waited + 1e-6 or story.seconds < NOTHING_DUE
                )
            assert story.ignored <= LIMITS.reconnect_max_seconds + 1e-6, "it waits although a server takes calls"
            assert call.repeats <= LIMITS.repeats
            assert story.begun in (None, exchange), "sent again although a part of it has passed"
            story.begun = exchange if exchange is not None and exchange.begun else None

    def _check_end(self, story: Story) -> None:
        call = story.asked
        if call.error is None:
            assert story.runs >= 1
            value = None if story.down else call.result(None, LIMITS)
            assert story.down or story.up or value in (story.number, None) or isinstance(value, Message)
        else:
            assert isinstance(call.error, LetterheadError)
            assert str(call.error)
            assert self.now <= story.asked_at + story.seconds + 1e-6

    def _check_connections(self) -> None:
        core = self.core
        lines = {pipe.core_end for site in self.sites.values() for pipe in site.open_pipes if not pipe.closed}
        cut = {pipe.core_end for site in self.sites.values() for pipe in site.pipes if pipe.hung_up and pipe.cut}
        assert set(core.connections) <= lines | cut
        assert {line for line in lines if line.protocol.end is None} <= set(core.connections)
        for line in core.connections:
            self._check_line(line)
        for endpoint in core.balancer.endpoints:
            assert endpoint.connection is None or endpoint.connection in core.connections
            assert 0 <= endpoint.singles <= CLASSIC_AT_ONCE
            pending = sum(dial.endpoint is endpoint and dial.call is None for dial in self.pending)
            assert pending <= 1, "one attempt at a time"

    def _check_line(self, line: Line) -> None:
        """Somebody needs it, the server knows what nobody waits for, and it is not waited for without end."""
        core, protocol = self.core, line.protocol
        assert line.endpoint.connection is line or line.single or protocol.load, "a connection that nobody needs"
        assert not line.left or protocol.wanted, "a connection that is left, and nobody waits for"
        assert not protocol.withholds or core.due <= max(protocol.due, self.now)
        if protocol.phase is states.Phase.MULTIPLEXED:
            for exchange in protocol.open.values():
                nobody = exchange.owner is None and exchange.opening.name in ("once", "again")
                assert not nobody or exchange.abandoned or exchange.done, "the server is not told that nobody waits"
            assert protocol.leaving or not protocol.load or line.keepalive.due < NOTHING_DUE, "silence is not noticed"

    def wind_up(self) -> None:
        """Everybody gives up, every server is there and idle: nothing is left behind."""
        for site in self.sites.values():
            site.up, site.hangs, site.script = True, False, None
        self.settled()
        self.check()
        for story in self.open_stories:
            self.core.cancel(story.asked, self.now)
        self.settled()
        self.check()
        self.passes(10.0)
        for site in self.sites.values():
            for pipe in [*site.open_pipes, *(pipe for pipe in site.pipes if pipe.hung_up and not pipe.closed)]:
                self.core.closed(pipe.core_end, "closed the connection", self.now)
        self.settled()
        self.check()
        self.passes(100.0)
        core = self.core
        assert (core.calls, core.connections, core.due) == ({}, {}, NOTHING_DUE)
        assert self.pending == []
        for endpoint in core.balancer.endpoints:
            assert (endpoint.connection, endpoint.singles, endpoint.dialling, endpoint.load) == (None, 0, None, 0)
        for site in self.sites.values():
            site.pipes.clear()
        assert all(story.call is None for story in self.stories)
        held = [story.number for story in self.stories if story.watched() is not None]
        assert held == [], "a call that has ended is held by somebody, or waits for the collector"


MODES: dict[str, Callable[[Play], Any] | None] = {
    "there": None,
    "is overloaded": None,
    "classic": lambda play: play.classic,
    "mute": lambda play: play.mute,
    "hangs up": lambda play: play.hanging_up,
    "refuses": lambda play: play.refusing,
    "turns away": lambda play: play.turning_away,
    "is no server": lambda play: play.foreign,
    "leaves at once": lambda play: play.leaving_at_once,
    "answers once": lambda play: play.answering_once,
    "leaves and keeps one": lambda play: play.keeping_one,
    "breaks the protocol": lambda play: play.breaking,
}


class Life(RuleBasedStateMachine):
    """The rules."""

    moves: ClassVar[Counter[str]] = Counter()
    """How often each was made, over all runs."""

    @initialize(
        servers=st.integers(1, 3),
        slots=st.sampled_from([1, 2, 3, 128]),
        cancels=st.sampled_from([5, 200]),
        draw=st.integers(0, 1_000),
        ready=st.sampled_from([None, None, True, False]),
        told=st.booleans(),
        kept=seldom,
        hangs=st.booleans(),
        cut=st.sampled_from(CUTS),
    )
    def begins(
        self,
        servers: int,
        slots: int,
        cancels: int,
        draw: int,
        ready: bool | None,
        told: bool,
        kept: bool,
        hangs: bool,
        cut: Cut,
    ) -> None:
        self.moves["runs"] += 1
        idempotent = ["again"] if told else None
        self.play = Play(
            servers, slots, cancels, draw, cut=cut, wait_for_ready=ready, idempotent=idempotent, keep_alive=kept
        )
        self.play.site.hangs = hangs
        self._dialled = 0
        self._passed = 0.0

    @invariant()
    def holds(self) -> None:
        play = self.play
        play.check()
        made = len(play.dialled) - self._dialled
        self._dialled = len(play.dialled)
        passed, self._passed = self._passed, 0.0
        calls = len(play.stories[-OPEN - 1 :])
        assert made <= len(play.sites) * (ATTEMPTS * passed + 4) + (LIMITS.repeats + 2) * calls, "dialled without end"

    def teardown(self) -> None:
        if hasattr(self, "play"):
            self.play.wind_up()

    def _site(self, which: int) -> Site:
        sites = list(self.play.sites.values())
        return sites[which % len(sites)]

    def _open_story(self, which: int, fits: Callable[[Story], bool] = lambda _: True) -> Story | None:
        fitting = [story for story in self.play.open_stories if fits(story)]
        return fitting[which % len(fitting)] if fitting else None

    # -- callers ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.play.open_stories) < OPEN)
    @rule(
        kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3),
        action=st.sampled_from(["once", "again"]),
        timeout=times,
        key=keys,
    )
    def asks(self, kinds: list[str], action: str, timeout: float | None, key: str | None) -> None:
        """Some calls, perhaps each in an earlier one's place."""
        for kind in kinds:
            self.moves["a caller asks"] += 1
            self.play.begin(kind, action, timeout, key)

    @precondition(lambda self: self.play.open_stories)
    @rule(which=numbers, so=seldom)
    def gives_up(self, which: int, so: bool) -> None:
        """A caller does not wait any longer."""
        story = self._open_story(which)
        if so and story is not None:
            self.moves["a caller gives up"] += 1
            self.play.gives_up(story.asked)

    @precondition(lambda self: any(story.down for story in self.play.open_stories))
    @rule(which=numbers)
    def takes(self, which: int) -> None:
        """A reader takes what is there."""
        story = self._open_story(which, lambda story: story.down)
        if story is not None:
            self.moves["a reader takes"] += 1
            self.play.tries_to_take(story)

    @precondition(lambda self: any(story.up for story in self.play.open_stories))
    @rule(which=numbers, ends=seldom, fails=seldom)
    def sends(self, which: int, ends: bool, fails: bool) -> None:
        """A writer sends an item, ends, or fails."""
        story = self._open_story(which, lambda story: story.up)
        if story is None:
            return
        self.moves["a writer sends"] += 1
        if ends and fails:
            self.play.core.fail_upload(story.asked, KeyError("its own"), self.play.now)
        elif ends:
            self.play.core.end_upload(story.asked, self.play.now)
        else:
            self.play.tries_to_send(story, bytes(1_000))
        self.play.settled()

    # -- servers ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: any(site.open for site in self.play.sites.values()))
    @rule(
        which=numbers,
        how=st.sampled_from(["value", "value", "value", "item", "not-found", "unavailable"]),
        most=st.integers(1, 4),
    )
    def answers(self, which: int, how: str, most: int) -> None:
        """Handlers end, or send an item of their streams."""
        while most and any(site.open for site in self.play.sites.values()):
            most -= 1
            self._answer(which, how)

    def _answer(self, which: int, how: str) -> None:
        play = self.play
        found = [(site, entry) for site in play.sites.values() for entry in site.open]
        site, entry = found[which % len(found)]
        pipe, request = entry
        assert pipe.server is not None
        story = play.handled[request]
        self.moves[f"a handler answers: {how}"] += 1
        if how == "item":
            if story.down and pipe.server.may_send(request):
                pipe.server.send_item(request, octets(b"item"))
        else:
            site.open.remove(entry)
            outcome: Any = None if story.down else result(story.number)
            if how == "unavailable":
                outcome = Unavailable("later")
                # Unless part of it has passed, or it has ended otherwise, it is as if it had not been run.
                if not request.ended and request.stopped is None:
                    story.runs -= 1
            elif how == "not-found":
                outcome = Refused("not-found", "no")
            pipe.server.finish(request, outcome, play.now)
        play.pumped()

    @rule(which=numbers, mode=st.sampled_from([*MODES, "there", "there"]), so=seldom, everywhere=seldom)
    def changes(self, which: int, mode: str, so: bool, everywhere: bool) -> None:
        """Whoever connects from now on finds another server."""
        if so:
            self.moves[f"a server {mode}"] += 1
            for site in self.play.sites.values() if everywhere else [self._site(which)]:
                for pipe in list(site.open_pipes):  # the program before has ended
                    self.play.hang_up(pipe)
                script = MODES[mode]
                site.script = None if script is None else script(self.play)
                site.handler = self.play.overloaded if mode == "is overloaded" else self.play.runs
            self.play.settled()

    @rule(which=numbers, how=st.sampled_from(["is up", "is up", "is away", "hangs", "hangs"]), so=seldom)
    def can_be_reached(self, which: int, how: str, so: bool) -> None:
        """Attempts to connect to a server succeed from now on, or fail, or neither for a while."""
        if so:
            self.moves[f"an address {how}"] += 1
            site = self._site(which)
            site.up, site.hangs = how != "is away", how == "hangs"
            self.play.settled()

    @precondition(lambda self: self.play.pending)
    @rule(which=numbers, connects=st.booleans(), abandoned=seldom)
    def attempt_ends(self, which: int, connects: bool, abandoned: bool) -> None:
        """An attempt to connect ends that hung."""
        self.moves["an attempt ends that hung"] += 1
        play = self.play
        dial = play.pending[which % len(play.pending)]
        if abandoned:
            play.pending.remove(dial)
            play.core.dial_abandoned(dial, play.now)
            play.settled()
        elif connects:
            play.connects(dial)
        else:
            play.fails(dial)

    @rule(which=numbers, how=st.sampled_from(["hangs up", "drains", "falls silent", "goes away"]), so=seldom)
    def connections_end(self, which: int, how: str, so: bool) -> None:
        """What becomes of the connections to a server."""
        if so:
            self.moves[f"a server {how}"] += 1
            play, site = self.play, self._site(which)
            {"hangs up": play.hangs_up, "drains": play.drains, "falls silent": play.falls_silent,
             "goes away": play.goes_away}[how](site)  # fmt: skip

    # -- time and ends ---------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.001, 0.1, 1.0, 5.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        """Nothing but time passes."""
        self.moves["time passes"] += 1
        self._passed = seconds
        self.play.passes(seconds)

    @rule(seconds=st.sampled_from([0.001, 1.0, 60.0]), so=seldom)
    def strikes_late(self, seconds: float, so: bool) -> None:
        """The process stood still."""
        if so:
            self.moves["the process stands still"] += 1
            self._passed = seconds
            play = self.play
            for story in play.open_stories:
                story.waited -= seconds  # nobody could end it meanwhile
                story.asked_at += seconds
            play._wait_until(play.now + seconds)
            play._tick()
            for story in play.open_stories:
                story.waited += seconds
                story.asked_at -= seconds

    @precondition(lambda self: len(self.play.stories) > 3)
    @rule(how=st.sampled_from(["close", "follow"]), so=seldom, really=seldom)
    def begins_anew(self, how: str, so: bool, really: bool) -> None:
        """The client is closed, or another core follows: a new one goes on with the servers."""
        if so and really:
            self.moves[how] += 1
            play = self.play
            old = play.core
            if how == "close":
                old.close(play.now)
                play.settled()
                assert (old.calls, old.connections, old.due) == ({}, {}, NOTHING_DUE)
            else:
                for story in play.open_stories:
                    play.gives_up(story.asked)
                for line in list(old.connections):
                    old.closed(line, "was left behind", play.now)
                play.settled()
            for dial in list(play.pending):
                play.pending.remove(dial)
                old.dial_abandoned(dial, play.now)
            play.settled()
            play.check()
            old.gone = None
            play.core = old.successor()
            play.core.balancer.closed = False
            del old
            gc.collect()  # a core, and what is left in it, may wait for the collector


if __name__ == "__main__":
    play(Life, "tests.client.core.model", Life.moves, steps=80)

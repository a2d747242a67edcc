"""A client's core and the servers that it knows, in memory, on a clock that tests move by hand.

What lives here: ``World``, which does what the shell of a client does (it connects, carries bytes, wakes whoever waits)
and keeps what the core said; and ``Site``, one of its servers: a real ``ServerProtocol`` for each connection, or a
script. What this file must not know: how the core decides.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from letterhead.client.calls import Call, action_call, message_call, stream_call
from letterhead.client.connection import Connection
from letterhead.client.core import ClientCore, Close, Dial, Logged, Readable, Send, StateChanged, Writable
from letterhead.client.settings import Settings, settings_of
from letterhead.content.encoded import Encoded
from letterhead.errors import ConnectionFailed, ConnectRefused, Refused
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol.events import Ended, Stop
from letterhead.protocol.requests import Request
from letterhead.protocol.server import ServerProtocol
from tests.protocol.pairs import echo, joined, octets, result
from tests.wire.frames import WHOLE, Cut, Frame, frames_of, json_frame

Asked = Call[None, "Pipe"]
Line = Connection[Asked, "Pipe"]
Handler = Callable[[Request], Encoded | Refused | None]
Script = Callable[[list[Frame]], bytes | None]
"""What a scripted server says to the frames that came at once; None: it hangs up."""

LIMITS = Limits(reconnect_seconds=1.0, reconnect_max_seconds=8.0)
NOTHING_DUE = math.inf
_STEPS = 10_000


def settings(*servers: str, limits: Limits = LIMITS, **options: Any) -> Settings:
    """A client's settings; ``options`` as its constructor takes them."""
    usual: dict[str, Any] = {
        "timeout": None, "accept": (), "compression": (), "wait_for_ready": None, "idempotent": None,
        "keep_alive": False, "on_state": None,
    }  # fmt: skip
    return settings_of(servers or ("a:1",), limits=limits, **{**usual, **options})


class Chance:
    """Stands in for chance: always the same number, until a test changes it."""

    def __init__(self, number: float = 0.5) -> None:
        self.number = number

    def __call__(self) -> float:
        return self.number


class Pipe:
    """One connection between the core and a server.

    Attributes:
        line: the core's end.
        server: the other one's protocol; None where that is a script.
        site: whose it is.
        cut: nothing arrives any more, either way.
        hung_up: the server has closed its end, and the core has heard of it.
        closed: the core has closed its end.
        sent: frames that the core sent here.
    """

    def __init__(self, site: "Site", now: float) -> None:
        self.site = site
        self.line: Line | None = None
        self.server = None if site.script is not None else ServerProtocol(site.limits, now)
        self.cut = False
        self.hung_up = False
        self.closed = False
        self.sent: list[Frame] = []

    @property
    def core_end(self) -> Line:
        assert self.line is not None
        return self.line


class Site:
    """One server.

    Attributes:
        name: its address.
        up: connections to it can be made; ``hangs``: an attempt neither succeeds nor fails.
        handler: what it answers; None leaves a request open. Pings and ``letterhead.describe`` it answers by itself.
        idempotent: the actions of which it says that they may run twice.
        script: what it says instead of all that, to whoever connects.
        pipes: its connections so far.
        requests: those that it was asked to run; ``open`` are those that are not answered.
        described: how often it was asked what it offers.
    """

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.up = True
        self.hangs = False
        self.handler: Handler = echo
        self.idempotent: Sequence[str] = ()
        self.script: Script | None = None
        self.pipes: list[Pipe] = []
        self._standing: list[Pipe] = []
        self.requests: list[Request] = []
        self.open: list[tuple[Pipe, Request]] = []
        self.stopped: list[Request] = []
        self.described = 0

    def accepts(self, pipe: Pipe) -> None:
        """A connection is made."""
        self.pipes.append(pipe)
        self._standing.append(pipe)

    @property
    def pipe(self) -> Pipe:
        """Its last connection."""
        return self.pipes[-1]

    @property
    def open_pipes(self) -> list[Pipe]:
        """Connections that neither side has closed."""
        if any(pipe.closed or pipe.hung_up for pipe in self._standing):
            self._standing = [pipe for pipe in self._standing if not (pipe.closed or pipe.hung_up)]
        return self._standing

    @property
    def sent(self) -> list[Frame]:
        """What the core sent on its last connection."""
        return self.pipe.sent

    def outcome(self, request: Request) -> Encoded | Refused | None:
        """What becomes of a request."""
        if request.action == "letterhead.ping":
            return result(None)
        if request.action == "letterhead.describe":
            self.described += 1
            return result({"actions": {name: {"idempotent": True} for name in self.idempotent}})
        self.requests.append(request)
        return self.handler(request)


def leaves_open(request: Request) -> None:
    """The handler that never ends."""


def classic(frames: list[Frame]) -> bytes:
    """The script of a classic server, which gives back the value that it got."""
    (frame,) = frames
    value = frame.value.get("value") if frame.header["content-type"] == "text/json" else None
    return json_frame({"result": value})


class World:
    """A client's core, and the servers.

    Args:
        servers: their addresses.
        limits: the client's.
        server_limits: theirs.
        chance: what the core takes for chance.
        cut: how bytes arrive, on either side.
        options: the client's settings.

    Attributes:
        now: the time.
        sites: the servers, by address.
        dialled: when each connection was asked for, and of whom.
        pending: attempts to connect that have neither succeeded nor failed.
        ended: calls that have ended, in order.
        logged: what was said for the log; ``states``: each new state.
        readable, writable: calls whose reader or writer was told to go on.
    """

    def __init__(
        self,
        *servers: str,
        limits: Limits = LIMITS,
        server_limits: Limits | None = None,
        chance: Callable[[], float] | None = None,
        cut: Cut = WHOLE,
        **options: Any,
    ) -> None:
        self.now = 1_000.0
        self.settings = settings(*servers, limits=limits, **options)
        self.core: ClientCore[None, Pipe] = ClientCore(self.settings, chance or Chance())
        self.cut = cut
        self.sites = {name: Site(name, server_limits or Limits()) for name in self.settings.servers}
        self.dialled: list[tuple[float, str]] = []
        self.pending: list[Dial[None, Pipe]] = []
        self.ended: list[Asked] = []
        self.logged: list[Logged] = []
        self.states: list[str] = []
        self.readable: list[Asked] = []
        self.writable: list[Asked] = []
        self._to_send: dict[Pipe, None] = {}

    @property
    def site(self) -> Site:
        """The only server, or the first one."""
        return next(iter(self.sites.values()))

    @property
    def events(self) -> list[str]:
        """The names of what was said for the log."""
        return [logged.event for logged in self.logged]

    @property
    def lines(self) -> list[str]:
        """What was said for the log, as a person reads it."""
        return [logged.sentence % logged.args for logged in self.logged]

    # -- callers ---------------------------------------------------------------------------------------------------

    def calls(self, action: str, *arg: Any, timeout: float | None = None, key: Hashable = None, **args: Any) -> Asked:
        """A caller calls an action. What is a stream among the arguments is an upload."""
        return self.submits(action_call(self.settings, action, arg, args, timeout, None, None, None), key)

    def streams(
        self, action: str, *arg: Any, timeout: float | None = None, key: Hashable = None, either: bool = False
    ) -> Asked:
        """A caller calls an action whose result is a stream."""
        return self.submits(stream_call(self.settings, action, arg, {}, timeout, None, None, either=either), key)

    def uploads(self, action: str, *, timeout: float | None = None) -> Asked:
        """A caller calls an action with a stream."""
        return self.calls(action, iter(()), timeout=timeout)

    def sends(self, message: Message, *, timeout: float | None = None) -> Asked:
        """A caller sends a message of its own."""
        return self.submits(message_call(self.settings, message, timeout))

    def submits(self, call: Asked, key: Hashable = None) -> Asked:
        self.core.submit(call, self.now, key)
        self.settled()
        return call

    def gives_up(self, call: Asked) -> "World":
        self.core.cancel(call, self.now)
        return self.settled()

    def result(self, call: Asked) -> Any:
        """What a caller gets; raises what it is told."""
        return call.result(None, self.settings.limits)

    def takes(self, call: Asked) -> list[bytes]:
        """A reader takes the items that are there; their contents."""
        taken = []
        while (item := call.take()) is not None:
            taken.append(item[1])
            self.core.give_back(call, self.now)
        self.settled()
        return taken

    def puts(self, call: Asked, *contents: bytes) -> "World":
        """A writer sends items, each where it may."""
        for content in contents:
            assert self.core.may_send(call)
            self.core.send_item(call, octets(content), self.now)
        return self.settled()

    # -- servers ---------------------------------------------------------------------------------------------------

    def answers(self, outcome: Any = None, number: int = 0) -> "World":
        """The handler of one of the open requests (of the first server that has one) ends."""
        site = next(site for site in self.sites.values() if site.open)
        pipe, request = site.open.pop(number)
        assert pipe.server is not None
        pipe.server.finish(request, outcome if isinstance(outcome, (Encoded, Refused)) else result(outcome), self.now)
        self._pump(pipe)
        return self.settled()

    def pumped(self) -> "World":
        """Carry what handlers have said meanwhile."""
        for pipe in list(self._standing()):
            if pipe.server is not None:
                self._pump(pipe)
        return self.settled()

    def says(self, *data: bytes, site: Site | None = None) -> "World":
        """A scripted server says something by itself, on its last connection."""
        self._to_core((site or self.site).pipe, b"".join(data))
        return self.settled()

    def hangs_up(self, site: Site | None = None, how: str = "closed the connection") -> "World":
        """A server closes its connections without a word."""
        for pipe in list((site or self.site).open_pipes):
            self.hang_up(pipe, how)
        return self.settled()

    def goes_away(self, site: Site | None = None) -> "World":
        """A server's program ends at once; nothing listens there any more."""
        (site or self.site).up = False
        return self.hangs_up(site, "reset the connection")

    def drains(self, site: Site | None = None) -> "World":
        """A server is asked to stop, and leaves in order."""
        for pipe in list((site or self.site).open_pipes):
            if pipe.server is not None:
                pipe.server.drain(self.now)
                self._pump(pipe)
        return self.settled()

    def falls_silent(self, site: Site | None = None) -> "World":
        """Nothing arrives any more on the connections of a server, and nobody is told."""
        for pipe in list((site or self.site).open_pipes):
            pipe.cut = True
        return self

    # -- attempts to connect ---------------------------------------------------------------------------------------

    def connects(self, dial: Dial[None, Pipe] | None = None) -> Line:
        """An attempt succeeds, of those that hang."""
        line = self._connect(self._taken(dial))
        self.settled()
        return line

    def fails(self, dial: Dial[None, Pipe] | None = None, error: ConnectionFailed | None = None) -> "World":
        """An attempt fails, of those that hang."""
        self._fail(self._taken(dial), error)
        return self.settled()

    def _taken(self, dial: Dial[None, Pipe] | None) -> Dial[None, Pipe]:
        chosen = dial or self.pending[0]
        self.pending.remove(chosen)
        return chosen

    def _connect(self, dial: Dial[None, Pipe]) -> Line:
        site = self.sites[dial.endpoint.name]
        pipe = Pipe(site, self.now)
        site.accepts(pipe)
        pipe.line = self.core.connected(dial, pipe, self.now)
        return pipe.line

    def _fail(self, dial: Dial[None, Pipe], error: ConnectionFailed | None = None) -> None:
        name = dial.endpoint.name
        refused = ConnectRefused(f"nothing listens at {name}", address=name)
        self.core.connect_failed(dial, error or refused, self.now)

    # -- time ------------------------------------------------------------------------------------------------------

    def passes(self, seconds: float) -> "World":
        """Time passes; the core and the servers are woken whenever they want to be, and not before."""
        until = self.now + seconds
        while (due := min(self.core.due, self._server_due())) <= until:
            self.now = max(self.now, due)
            self._tick()
        self.now = until
        return self.settled()

    def _server_due(self) -> float:
        pipes = [pipe for site in self.sites.values() for pipe in site.open_pipes]
        return min((pipe.server.due for pipe in pipes if pipe.server is not None), default=NOTHING_DUE)

    def _tick(self) -> None:
        """The clock strikes. Whoever is woken has something to do then, and is not due again at once."""
        core = self.core
        if core.due <= self.now:
            core.tick(self.now)
            assert core.events or core.due > self.now, "woken for nothing, and due again at once"
        for site in self.sites.values():
            for pipe in list(site.open_pipes):
                if pipe.server is not None and pipe.server.due <= self.now:
                    pipe.server.tick(self.now)
                    self._pump(pipe)
        self.settled()

    # -- what a shell does -----------------------------------------------------------------------------------------

    def settled(self) -> "World":
        """Do what the core asks for, and carry bytes, until nothing moves any more."""
        for _ in range(_STEPS):
            if not (self.core.events or self._to_send or self._ready_dials()):
                assert not any(pipe.server is not None and pipe.server.events for pipe in self._standing())
                return self
            self._handle()
            self._carry()
            for dial in self._ready_dials():
                self.pending.remove(dial)
                if self.sites[dial.endpoint.name].up:
                    self._connect(dial)
                else:
                    self._fail(dial)
        raise AssertionError("the core is never quiet")

    def _standing(self) -> Iterable[Pipe]:
        return (pipe for site in self.sites.values() for pipe in site.open_pipes)

    def _ready_dials(self) -> list[Dial[None, Pipe]]:
        return [dial for dial in self.pending if not self.sites[dial.endpoint.name].hangs]

    def _handle(self) -> None:
        events, self.core.events = self.core.events, []
        for event in events:
            if isinstance(event, Call):
                assert event.done
                assert event not in self.core.calls
                assert event not in self.ended, "a call ends once"
                self.ended.append(event)
            elif isinstance(event, Dial):
                assert event.call is None or not event.call.done, "a connection for a call that has ended"
                self.dialled.append((self.now, event.endpoint.name))
                self.pending.append(event)
            elif isinstance(event, Send):
                self._to_send[event.connection.pipe] = None
            elif isinstance(event, Close):
                assert event.connection not in self.core.connections
                assert not event.connection.pipe.closed, "a connection is closed once"
                event.connection.pipe.closed = True
                self._client_closed(event.connection.pipe)
            elif isinstance(event, StateChanged):
                self.states.append(event.state)
            elif isinstance(event, Logged):
                self.logged.append(event)
            elif isinstance(event, Readable):
                self.readable.append(event.call)
            else:
                assert isinstance(event, Writable)
                self.writable.append(event.call)

    def _client_closed(self, pipe: Pipe) -> None:
        """A server notices that the client closed."""
        if pipe.server is not None and not pipe.cut:
            pipe.server.lost()
            self._take_events(pipe)

    def _carry(self) -> None:
        pipes, self._to_send = self._to_send, {}
        for pipe in pipes:
            protocol = pipe.core_end.protocol
            data = joined(protocol.out)
            protocol.out.clear()
            if not data:
                continue
            frames = frames_of(data)
            pipe.sent += frames
            if pipe.cut or pipe.closed or pipe.hung_up:
                continue
            if pipe.server is not None:
                self._to_server(pipe.server, data)
                self._pump(pipe)
            elif pipe.site.script is not None:
                said = pipe.site.script(frames)
                if said is None:
                    self.hang_up(pipe)
                else:
                    self._to_core(pipe, said)

    def _to_server(self, server: ServerProtocol, data: bytes) -> None:
        now = self.now
        self.cut.deliver(data, lambda piece: server.receive(piece, now), server.buffer, lambda n: server.filled(n, now))

    def _pump(self, pipe: Pipe) -> None:
        """Run what a server was asked, and carry what it says to the core."""
        server = pipe.server
        assert server is not None
        while server.events or server.out or server.starts_more:
            server.start_more()
            self._take_events(pipe)
            data = joined(server.out)
            server.out.clear()
            server.sent(self.now)
            self._to_core(pipe, data)
        if server.ending and not pipe.hung_up:
            self.hang_up(pipe)

    def _take_events(self, pipe: Pipe) -> None:
        server = pipe.server
        assert server is not None
        events, server.events = server.events, []
        for event in events:
            if isinstance(event, Request):
                outcome = pipe.site.outcome(event)
                if outcome is None:
                    pipe.site.open.append((pipe, event))
                else:
                    server.finish(event, outcome, self.now)
            elif isinstance(event, Stop):
                self._stop(pipe, event.request)
            else:
                assert not isinstance(event, Ended), event.error

    def _stop(self, pipe: Pipe, request: Request) -> None:
        """Nobody waits for it: its handler ends."""
        pipe.site.stopped.append(request)
        found = (pipe, request)
        if found in pipe.site.open and pipe.server is not None:
            pipe.site.open.remove(found)
            pipe.server.finish(request, request.stopped, self.now)

    def _to_core(self, pipe: Pipe, data: bytes) -> None:
        if pipe.cut or pipe.closed or pipe.hung_up:
            return
        core, line, now = self.core, pipe.core_end, self.now
        self.cut.deliver(
            data,
            lambda piece: core.received(line, piece, now),
            line.protocol.buffer,
            lambda count: core.filled(line, count, now),
        )

    def hang_up(self, pipe: Pipe, how: str = "closed the connection") -> None:
        """A server closes one of its connections; that is carried on, but not what follows."""
        pipe.hung_up = True
        if pipe.server is not None:
            pipe.server.lost()
            self._take_events(pipe)
        if not (pipe.cut or pipe.closed):
            self.core.closed(pipe.core_end, how, self.now)

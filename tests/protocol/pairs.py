"""Cores in memory: a server's side, a client's side, and both joined, with a clock that tests move by hand.

What lives here: the shells that the tests put around ``ServerProtocol`` and ``ClientProtocol``; they only carry
bytes and events.
"""

from collections.abc import Callable, Sequence
from typing import Any

from letterhead.content.encoded import Encoded
from letterhead.content.json import decode_json
from letterhead.errors import Refused
from letterhead.limits import Limits
from letterhead.message import Buffer
from letterhead.protocol.budget import Budget
from letterhead.protocol.calls import NOTHING, Asks, Call
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.counters import Counters
from letterhead.protocol.events import Ended, Readable, Stop, Writable
from letterhead.protocol.flow import CREDIT, Incoming, Item, Outgoing
from letterhead.protocol.openings import action_call
from letterhead.protocol.requests import Request
from letterhead.protocol.retry import Elsewhere
from letterhead.protocol.server import ServerProtocol
from letterhead.wire import strict_json
from letterhead.wire.header import Headers
from letterhead.wire.writer import head_prefix
from tests.wire.frames import WHOLE, Cut, Frame, frame, frames_of, json_frame

LIMITS = Limits()
HELLO = frame({"id": 1, "max-open": 128, "credit": 1 << 20})

Handler = Callable[[Request], Encoded | Refused | None]


def hello(id: int = 1, max_open: int = 128) -> bytes:
    """A server's first frame."""
    return frame({"id": id, "max-open": max_open, "credit": 1 << 20})


def opening(id: int | None, action: str, value: Any = None, **fields: Any) -> bytes:
    """A request in classic form; None for a classic connection. Underlines in the names of fields stand for hyphens."""
    own = {} if id is None else {"id": id}
    return json_frame({"action": action, "value": value}, own | _spelled(fields))


def named(id: int, action: str, value: Any = None, **fields: Any) -> bytes:
    """A request with ``action`` in its header."""
    return json_frame({} if value is None else value, {"id": id, "action": action} | _spelled(fields))


def control(id: int | None, **fields: Any) -> bytes:
    """A control frame."""
    return frame(({} if id is None else {"id": id}) | _spelled(fields))


def reply(id: int, value: Any, **fields: Any) -> bytes:
    """A server's result."""
    return json_frame(value, {"id": id} | _spelled(fields))


def item(id: int, content: bytes = b"", **fields: Any) -> bytes:
    """An item of a stream, either way."""
    return frame({"id": id, "more": True} | _spelled(fields), content)


def end(id: int, **fields: Any) -> bytes:
    """The end of a stream, either way."""
    return frame({"id": id, "more": False} | _spelled(fields))


def octets(content: bytes) -> Encoded:
    """Bytes as a result or an item."""
    return Encoded("application/octet-stream", "binary", content)


def streaming_call(
    action: str, *, down: bool = True, up: bool = False, deadline: int | None = None, asks: Asks = NOTHING
) -> Call:
    """A call whose result is a stream (``down``), that sends one (``up``), or both."""
    fields: dict[str, Any] = {"action": action}
    if up:
        fields["more"] = True
    if deadline is not None:
        fields["deadline"] = deadline
    if asks.timing:
        fields["timing"] = True
    call = Call(head_prefix("text/json", "utf-8", fields), b"{}", None, deadline, asks)
    call.streams = down
    call.incoming = Incoming(CREDIT) if down else None
    call.outgoing = Outgoing(0) if up else None
    return call


def failure(id: int | None, code: str, message: str = "no", **facts: Any) -> bytes:
    """A server's error."""
    own = {} if id is None else {"id": id}
    return json_frame({"error": {"code": code, "message": message, **facts}}, {"status": code} | own)


def _spelled(fields: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-"): value for name, value in fields.items()}


def result(value: Any) -> Encoded:
    """A handler's JSON result."""
    return Encoded("text/json", "utf-8", strict_json.encode(value))


def joined(pieces: Sequence[Buffer]) -> bytes:
    return b"".join(bytes(piece) for piece in pieces)


class Served:
    """A server's side of one connection, and what it handed out.

    Attributes:
        now: the time, in seconds; it moves when a test says so.
        requests, stops, errors: the events so far, by kind; what is stopped stands as its request.
        moved: what somebody waited for on a stream.
        sent: the frames sent so far.
    """

    def __init__(
        self, limits: Limits = LIMITS, cut: Cut = WHOLE, budget: Budget | None = None, headers: Headers | None = None
    ) -> None:
        self.now = 1000.0
        self.cut = cut
        self.counters = Counters()
        self.budget = budget or Budget(limits.buffered_bytes)
        self.core = ServerProtocol(limits, self.now, headers, self.budget, self.counters)
        self.requests: list[Request] = []
        self.stops: list[Request] = []
        self.errors: list[Refused] = []
        self.moved: list[Readable[Request] | Writable[Request]] = []
        self.sent: list[Frame] = []

    def hears(self, *data: bytes) -> "Served":
        """Bytes arrive from the client, cut as this side reads."""
        core = self.core
        self.cut.deliver(
            b"".join(data),
            lambda piece: core.receive(piece, self.now),
            core.buffer,
            lambda count: core.filled(count, self.now),
        )
        return self.settled()

    def hears_end(self) -> "Served":
        """The client shuts its sending side."""
        self.core.end_of_stream(self.now)
        return self.settled()

    def passes(self, seconds: float) -> "Served":
        """Time passes, and the clock strikes."""
        self.now += seconds
        self.core.tick(self.now)
        return self.settled()

    def answers(self, request: Request | int, outcome: Encoded | Refused | Any) -> "Served":
        """A handler ends with a JSON value, a reply or a refusal. Requests may be named by their place."""
        found = self.requests[request] if isinstance(request, int) else request
        said = outcome if isinstance(outcome, (Encoded, Refused)) else result(outcome)
        self.core.finish(found, said, self.now)
        return self.settled()

    def streams(self, request: Request | int, *contents: bytes) -> "Served":
        """A handler's result is a stream, and these are items of it, sent whether or not there is credit."""
        found = self.requests[request] if isinstance(request, int) else request
        self.core.streams(found)
        for content in contents:
            self.core.send_item(found, octets(content))
        return self.settled()

    def takes(self, request: Request | int) -> list[bytes]:
        """A handler takes all items that are there; their contents."""
        found = self.requests[request] if isinstance(request, int) else request
        taken = list(iter(lambda: self.core.take(found), None))
        self.settled()
        return [content for _, content in taken]

    def settled(self) -> "Served":
        """Take what the core has to hand out, and send what it said."""
        while self.core.starts_more:
            self.core.start_more()
        self._take_events()
        while self.core.out:
            self.sent += frames_of(joined(self.core.out))
            self.core.out.clear()
            self.core.sent(self.now)
            self._take_events()
        return self

    def _take_events(self) -> None:
        events, self.core.events = self.core.events, []
        for event in events:
            if isinstance(event, Request):
                self.requests.append(event)
            elif isinstance(event, Stop):
                self.stops.append(event.request)
            elif isinstance(event, Ended):
                self.errors.append(event.error)
            else:
                self.moved.append(event)

    @property
    def ending(self) -> bool:
        return self.core.ending

    @property
    def held(self) -> int:
        """Bytes of content and items that count in the budget, without the headers of the requests."""
        return self.budget.used - sum(request.kept for request in self.requests)

    @property
    def replies(self) -> list[Frame]:
        """What was sent but the hello."""
        return [sent for sent in self.sent if "max-open" not in sent.header]

    @property
    def codes(self) -> list[tuple[Any, Any]]:
        """Id and error code of each reply; None for what is missing."""
        return [(sent.id, sent.code) for sent in self.replies]

    @property
    def actions(self) -> list[Any]:
        """The actions that were handed out to run."""
        return [request.action for request in self.requests]


def served(limits: Limits = LIMITS, cut: Cut = WHOLE, budget: Budget | None = None) -> Served:
    """A multiplexed connection on which one request was answered; its frames are forgotten."""
    side = Served(limits, cut, budget).hears(opening(1, "first")).answers(0, "done")
    side.requests.clear()
    side.sent.clear()
    return side


class Asking:
    """A client's side of one connection, and what it handed out.

    Attributes:
        sent: frames sent so far; `ended`: calls that ended, in order; `back`: what must go elsewhere;
            ``moved``: what somebody waited for on a stream.
    """

    def __init__(self, limits: Limits = LIMITS, cut: Cut = WHOLE, known_classic: bool = False) -> None:
        self.limits = limits
        self.cut = cut
        self.core = ClientProtocol(limits, "server:1", Headers(limits), known_classic=known_classic)
        self.sent: list[Frame] = []
        self.ended: list[Call] = []
        self.back: list[Elsewhere] = []
        self.moved: list[Readable[Call] | Writable[Call]] = []

    def calls(self, action: str, *arg: Any, timeout: float | None = None, **args: Any) -> Call:
        """Submit a call of an action."""
        call = action_call(action, arg, args, timeout, self.limits)
        return self.submits(call)

    def submits(self, call: Call, supersedes: Call | None = None) -> Call:
        call.supersedes = supersedes
        self.core.submit(call)
        self.settled()
        return call

    def streams(self, action: str, *, deadline: int | None = None) -> Call:
        """Submit a call whose result is a stream."""
        return self.submits(streaming_call(action, deadline=deadline))

    def uploads(self, action: str, *, down: bool = False) -> Call:
        """Submit a call that sends items; ``down``: its result is a stream, too."""
        return self.submits(streaming_call(action, down=down, up=True))

    def sends(self, call: Call, *contents: bytes) -> "Asking":
        """These are items of its upload, sent whether or not there is credit."""
        for content in contents:
            self.core.send_item(call, octets(content))
        return self.settled()

    def takes(self, call: Call) -> list[bytes]:
        """A caller takes all items that are there; their contents."""
        taken: list[Item] = list(iter(lambda: self.core.take(call), None))
        self.settled()
        return [content for _, content in taken]

    def hears(self, *data: bytes) -> "Asking":
        core = self.core
        self.cut.deliver(b"".join(data), core.receive, core.buffer, core.filled)
        return self.settled()

    def hears_end(self) -> "Asking":
        self.core.end_of_stream()
        return self.settled()

    def gives_up(self, call: Call) -> "Asking":
        self.core.cancel(call)
        return self.settled()

    def settled(self) -> "Asking":
        events, self.core.events = self.core.events, []
        for event in events:
            if isinstance(event, Call):
                self.ended.append(event)
            elif isinstance(event, Elsewhere):
                self.back.append(event)
            else:
                self.moved.append(event)
        self.sent += frames_of(joined(self.core.out))
        self.core.out.clear()
        return self

    @property
    def handed_back(self) -> list[Call]:
        return [call for back in self.back for call in back.calls]


def asking(limits: Limits = LIMITS, cut: Cut = WHOLE, max_open: int = 128) -> Asking:
    """A connection whose server is known to multiplex; its frames so far are forgotten."""
    side = Asking(limits, cut)
    side.calls("first")
    side.hears(hello(1, max_open), reply(1, {"result": None}))
    side.sent.clear()
    side.ended.clear()
    return side


class Pair:
    """A client's side and a server's, joined by two pipes that cut what they carry.

    Args:
        handler: answers a request, or leaves it open (None).
    """

    def __init__(self, handler: Handler, limits: Limits = LIMITS, cut: Cut = WHOLE) -> None:
        self.handler = handler
        self.client = Asking(limits, cut)
        self.server = Served(limits, cut)
        self.open: list[Request] = []
        self._seen = 0

    def calls(self, action: str, *arg: Any, **args: Any) -> Call:
        """Submit a call; nothing is carried yet."""
        call = action_call(action, arg, args, None, self.client.limits)
        self.client.core.submit(call)
        return call

    def turn(self) -> "Pair":
        """Carry bytes and run handlers until nothing moves any more."""
        client, server = self.client, self.server
        while client.core.out or server.core.out or self._seen < len(server.requests):
            self._carry_to_server()
            while self._seen < len(server.requests):
                request = server.requests[self._seen]
                self._seen += 1
                outcome = self.handler(request)
                if outcome is None:
                    self.open.append(request)
                else:
                    server.core.finish(request, outcome, server.now)
            self._carry_to_client()
        return self

    def _carry_to_server(self) -> None:
        data = joined(self.client.core.out)
        self.client.core.out.clear()
        core, now = self.server.core, self.server.now
        self.client.cut.deliver(
            data, lambda piece: core.receive(piece, now), core.buffer, lambda n: core.filled(n, now)
        )
        self._take_events()

    def _carry_to_client(self) -> None:
        data = joined(self.server.core.out)
        self.server.core.out.clear()
        self.server.core.sent(self.server.now)
        self.server.core.start_more()
        self._take_events()
        core = self.client.core
        self.client.cut.deliver(data, core.receive, core.buffer, core.filled)
        events, core.events = core.events, []
        self.client.ended += [event for event in events if isinstance(event, Call)]
        self.client.back += [event for event in events if isinstance(event, Elsewhere)]

    def _take_events(self) -> None:
        events, self.server.core.events = self.server.core.events, []
        self.server.requests += [event for event in events if isinstance(event, Request)]
        self.server.stops += [event.request for event in events if isinstance(event, Stop)]
        self.server.errors += [event.error for event in events if isinstance(event, Ended)]


def argument(request: Request) -> Any:
    """What a request brings along: its classic value, or its content read by its type."""
    if not request.named:
        return request.content if request.binary else request.value
    shape = request.header.shape
    return (
        decode_json(request.content, shape.encoding, shape.byteorder, 64) if "json" in shape.type else request.content
    )


def echo(request: Request) -> Encoded:
    """The handler that gives back what it got."""
    got = argument(request)
    return Encoded("application/octet-stream", "binary", got) if isinstance(got, bytes) else result(got)

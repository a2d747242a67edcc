"""Cores in memory: a server's side, a client's side, and both joined, with a clock that tests move by hand.

What lives here: the shells that the tests put around ``ServerProtocol`` and ``ClientProtocol``; they only carry
bytes and events.
"""

from collections.abc import Callable, Sequence
from typing import Any

from letterhead.client.openings import action_opening, milliseconds
from letterhead.content.encoded import Encoded
from letterhead.content.json import decode_json
from letterhead.errors import Refused
from letterhead.limits import Limits
from letterhead.message import Buffer
from letterhead.protocol.budget import Budget
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.counters import Counters
from letterhead.protocol.events import (
    Closed,
    ConnectionEnd,
    Ended,
    Multiplexed,
    Readable,
    Returned,
    Stop,
    Writable,
)
from letterhead.protocol.exchange import NOTHING, Asks, Exchange, Opening
from letterhead.protocol.flow import Item
from letterhead.protocol.requests import Request
from letterhead.protocol.server import ServerProtocol
from letterhead.wire import strict_json
from letterhead.wire.header import Headers
from letterhead.wire.writer import head_prefix
from tests.wire.frames import WHOLE, Cut, Frame, frame, frames_of, json_frame

LIMITS = Limits()
HELLO = frame({"id": 1, "max-open": 128, "credit": 1 << 20})

Handler = Callable[[Request], Encoded | Refused | None]
Asked = Exchange[str]
"""An exchange for which somebody waits; it is of no account who."""


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


def asked(action: str, *arg: Any, timeout: float | None = None, limits: Limits = LIMITS, **args: Any) -> Asked:
    """An exchange that calls an action."""
    return submitted(action_opening(action, arg, args, limits), timeout)


def submitted(opening: Opening, timeout: float | None = None) -> Asked:
    """An exchange with this opening."""
    return Exchange(opening, "somebody", milliseconds(timeout))


def streamed(
    action: str, *, down: bool = True, up: bool = False, deadline: int | None = None, asks: Asks = NOTHING
) -> Asked:
    """An exchange whose result is a stream (``down``), that sends one (``up``), or both."""
    fields: dict[str, Any] = {"action": action}
    if up:
        fields["more"] = True
    if asks.timing:
        fields["timing"] = True
    opening = Opening(head_prefix("text/json", "utf-8", fields), b"{}", None, asks, action)
    opening.streams = down
    opening.uploads = up
    return Exchange(opening, "somebody", deadline)


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


class ServerSide:
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

    def hears(self, *data: bytes) -> "ServerSide":
        """Bytes arrive from the client, cut as this side reads."""
        core = self.core
        self.cut.deliver(
            b"".join(data),
            lambda piece: core.receive(piece, self.now),
            core.buffer,
            lambda count: core.filled(count, self.now),
        )
        return self.settled()

    def hears_end(self) -> "ServerSide":
        """The client shuts its sending side."""
        self.core.end_of_stream(self.now)
        return self.settled()

    def passes(self, seconds: float) -> "ServerSide":
        """Time passes, and the clock strikes."""
        self.now += seconds
        self.core.tick(self.now)
        return self.settled()

    def answers(self, request: Request | int, outcome: Encoded | Refused | Any) -> "ServerSide":
        """A handler ends with a JSON value, a reply or a refusal. Requests may be named by their place."""
        found = self.requests[request] if isinstance(request, int) else request
        said = outcome if isinstance(outcome, (Encoded, Refused)) else result(outcome)
        self.core.finish(found, said, self.now)
        return self.settled()

    def streams(self, request: Request | int, *contents: bytes) -> "ServerSide":
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

    def settled(self) -> "ServerSide":
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


def server_side(limits: Limits = LIMITS, cut: Cut = WHOLE, budget: Budget | None = None) -> ServerSide:
    """A multiplexed connection on which one request was answered; its frames are forgotten."""
    side = ServerSide(limits, cut, budget).hears(opening(1, "first")).answers(0, "done")
    side.requests.clear()
    side.sent.clear()
    return side


class ClientSide:
    """A client's side of one connection, and what it handed out.

    Attributes:
        sent: frames sent so far.
        ended: exchanges that ended, in order; those that the connection's end has cut off are failed with its error.
        back: what must go elsewhere.
        moved: what somebody waited for on a stream.
        end: how the connection ended, as the ``Closed`` event said.
    """

    def __init__(
        self,
        limits: Limits = LIMITS,
        cut: Cut = WHOLE,
        known_classic: bool = False,
        compressions: tuple[str, ...] = (),
        *,
        cautious: bool = False,
    ) -> None:
        self.limits = limits
        self.cut = cut
        self.core: ClientProtocol[str] = ClientProtocol(
            limits,
            "server:1",
            Headers(limits),
            known_classic=known_classic,
            compressions=compressions,
            cautious=cautious,
        )
        self.sent: list[Frame] = []
        self.ended: list[Asked] = []
        self.back: list[Returned[str]] = []
        self.moved: list[Readable[Asked] | Writable[Asked]] = []
        self.end: ConnectionEnd | None = None

    def calls(self, action: str, *arg: Any, timeout: float | None = None, **args: Any) -> Asked:
        """Submit a call of an action."""
        return self.submits(asked(action, *arg, timeout=timeout, limits=self.limits, **args))

    def submits(self, exchange: Asked, supersedes: Asked | None = None) -> Asked:
        self.core.submit(exchange, supersedes)
        self.settled()
        return exchange

    def streams(self, action: str, *, deadline: int | None = None) -> Asked:
        """Submit a call whose result is a stream."""
        return self.submits(streamed(action, deadline=deadline))

    def uploads(self, action: str, *, down: bool = False) -> Asked:
        """Submit a call that sends items; ``down``: its result is a stream, too."""
        return self.submits(streamed(action, down=down, up=True))

    def sends(self, exchange: Asked, *contents: bytes) -> "ClientSide":
        """These are items of its upload, sent whether or not there is credit."""
        for content in contents:
            self.core.send_item(exchange, octets(content))
        return self.settled()

    def takes(self, exchange: Asked) -> list[bytes]:
        """A caller takes all items that are there; their contents."""
        taken: list[Item] = list(iter(lambda: self.core.take(exchange), None))
        self.settled()
        return [content for _, content in taken]

    def hears(self, *data: bytes) -> "ClientSide":
        core = self.core
        self.cut.deliver(b"".join(data), core.receive, core.buffer, core.filled)
        return self.settled()

    def hears_end(self) -> "ClientSide":
        self.core.end_of_stream()
        return self.settled()

    def gives_up(self, exchange: Asked, *, late: bool = False) -> "ClientSide":
        self.core.cancel(exchange, late=late)
        return self.settled()

    def settled(self) -> "ClientSide":
        """Take what the core has to hand out."""
        self.take_events()
        self.sent += frames_of(joined(self.core.out))
        self.core.out.clear()
        return self

    def take_events(self) -> None:
        events, self.core.events = self.core.events, []
        for event in events:
            if isinstance(event, Exchange):
                assert event.done
                self.ended.append(event)
            elif isinstance(event, Closed):
                assert self.end is None
                self.end = event.end
                for exchange in event.exchanges:
                    assert not exchange.done
                    exchange.fail(event.end.error)
                    self.ended.append(exchange)
            elif isinstance(event, Returned):
                self.back.append(event)
            elif not isinstance(event, Multiplexed):
                self.moved.append(event)

    @property
    def handed_back(self) -> list[Asked]:
        return [exchange for back in self.back for exchange in back.exchanges]


def client_side(limits: Limits = LIMITS, cut: Cut = WHOLE, max_open: int = 128) -> ClientSide:
    """A connection whose server is known to multiplex; its frames so far are forgotten."""
    side = ClientSide(limits, cut)
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
        self.client = ClientSide(limits, cut)
        self.server = ServerSide(limits, cut)
        self.open: list[Request] = []
        self._seen = 0

    def calls(self, action: str, *arg: Any, **args: Any) -> Asked:
        """Submit a call; nothing is carried yet."""
        exchange = asked(action, *arg, limits=self.client.limits, **args)
        self.client.core.submit(exchange)
        return exchange

    def carry(self) -> "Pair":
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
        self.client.take_events()

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

"""What a connection must look like from outside: the reference of ``model.py``, in plain lists and numbers.

What lives here: ``Story``, what became of one exchange on either side, and ``Wire``, the two pipes between the sides,
which reads the frames that it carries and holds each against the protocol.
What this file must not know: how the package keeps its accounts. It learns from frames alone.
"""

import json
from collections import deque
from typing import Any, NamedTuple

from letterhead.protocol.exchange import Exchange
from letterhead.protocol.flow import Incoming
from letterhead.protocol.requests import Request
from tests.wire.frames import Frame

MIB = 1 << 20


class Story:
    """One exchange.

    Attributes:
        number: it among all calls made on this connection.
        call: the client's; ``request``: the server's, once it was handed out.
        down, up: its result is a stream; its arguments are followed by one.
        asked_at, seconds: when it was submitted, and how long its caller waits; None for ever.
        sent_up, got_up, sent_down, got_down: contents of items, as they were sent and as they were taken.
        up_ended: the client sent the end of its items.
        said: what its handler ended it with, unless it had ended before: a value, a code, or None for a stream's end.
        ended_by: every reason for which it may have ended but ``said``, as codes.
        finished: its handler has ended.
        told: how often its caller heard of the end.
        handed_back: it was not written here, and is to go elsewhere.
        gave_up: its caller waits no longer.
    """

    def __init__(
        self, number: int, call: Exchange[str], *, down: bool, up: bool, asked_at: float, seconds: float | None
    ) -> None:
        self.number = number
        self.call = call
        self.down = down
        self.up = up
        self.asked_at = asked_at
        self.seconds = seconds
        self.request: Request | None = None
        self.sent_up: list[bytes] = []
        self.got_up: list[bytes] = []
        self.sent_down: list[bytes] = []
        self.got_down: list[bytes] = []
        self.up_ended = False
        self.said: Any = ()
        self.ended_by: set[str] = set()
        self.finished = False
        self.told = 0
        self.handed_back = False
        self.gave_up = False

    @property
    def waits(self) -> bool:
        """Its caller waits for its end, on this connection."""
        return not (self.call.done or self.handed_back or self.gave_up)

    @property
    def runs(self) -> bool:
        """Its handler runs."""
        return self.request is not None and not self.finished

    @property
    def handled(self) -> Request:
        """The request, where it was handed out."""
        assert self.request is not None
        return self.request

    @property
    def arriving_up(self) -> Incoming:
        """The items of its upload, at the server."""
        assert self.handled.incoming is not None
        return self.handled.incoming

    @property
    def arriving_down(self) -> Incoming:
        """The items of its result, at the client."""
        assert self.call.incoming is not None
        return self.call.incoming

    @property
    def allowed(self) -> float:
        """How long the server may take at least, in seconds. That a result is a stream is known with the handler."""
        if self.seconds is None:
            return float("inf") if self.up or (self.down and self.request is not None) else 30.0
        return self.seconds

    def content(self, sent: list[bytes], size: int) -> bytes:
        """The content of the next item, which is no other's."""
        return (b"%d/%d/" % (self.number, len(sent))).ljust(size, b".")

    def check(self) -> None:
        """Items come in order, none lost or doubled; the caller hears of one end, and of nothing behind it."""
        assert self.got_up == self.sent_up[: len(self.got_up)]
        assert self.got_down == self.sent_down[: len(self.got_down)]
        call = self.call
        assert self.told == (1 if call.done else 0)
        assert self.told + self.handed_back + self.gave_up <= 1
        assert not self.gave_up or call.abandoned


class _Sized(NamedTuple):
    """A frame and its size in bytes."""

    frame: Frame
    size: int


class _Pipe:
    """One direction: bytes, and the frames that end within them."""

    def __init__(self) -> None:
        self.closed = False
        self._bytes = bytearray()
        self._frames: deque[tuple[int, _Sized]] = deque()  # each with the place of its end
        self._put = 0
        self._taken = 0

    @property
    def empty(self) -> bool:
        return not self._bytes

    def put(self, data: bytes) -> list[_Sized]:
        """Bytes are sent, which are whole frames."""
        found = []
        at = 0
        while at < len(data):
            size = 2 + int.from_bytes(data[at : at + 2], "big")
            header = json.loads(data[at + 2 : at + size])
            end = at + size + header["content-length"]
            assert len(data) >= end, "the last frame is not whole"
            one = _Sized(Frame(header, data[at + size : end]), end - at)
            found.append(one)
            self._frames.append((self._put + end, one))
            at = end
        self._bytes += data
        self._put += at
        return found

    def take(self, count: int) -> tuple[bytes, list[_Sized]]:
        """Up to so many bytes arrive; the frames that are whole with them."""
        piece = bytes(self._bytes[:count])
        del self._bytes[:count]
        self._taken += len(piece)
        whole = []
        while self._frames and self._frames[0][0] <= self._taken:
            whole.append(self._frames.popleft()[1])
        return piece, whole

    def drop(self) -> None:
        """What is under way is lost."""
        self._bytes.clear()
        self._frames.clear()


class Wire:
    """Both directions, and what either side may send.

    Args:
        max_open, credit: what the hello must say.

    Attributes:
        up, down: the pipes, from the client and to it.
        last: the last frame of each exchange, by id, as it was sent; ``heard`` are ids whose last frame has arrived.
        closing: what the server said, before that infinity: it runs no request with an id above.
        unwanted: ids that the client cancelled or superseded; ``stopped`` are those of which the server has heard.
    """

    def __init__(self, max_open: int, credit: int) -> None:
        self.up = _Pipe()
        self.down = _Pipe()
        self.last: dict[int, Frame] = {}
        self.heard: set[int] = set()
        self._max_open = max_open
        self._credit = credit
        self._greeted = False
        self._opened: list[int] = []
        self._own: set[int] = set()  # asked for what every server answers by itself
        self._quiet_up: set[int] = set()  # no part of these uploads may come any more
        self._credit_up: dict[int, int] = {}
        self._credit_down: dict[int, int] = {}
        self._taken: dict[int, int] = {}  # bytes of items that arrived, less the credit given for them
        self.closing = float("inf")
        self.unwanted: set[int] = set()
        self.stopped: set[int] = set()

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way."""
        return self.up.empty and self.down.empty

    def from_client(self, data: bytes) -> None:
        """The client sends these frames."""
        for (header, content), size in self.up.put(data):
            id = header["id"]
            assert id not in self.heard or "credit" not in header, "credit for what has ended"
            if "cancel" in header:
                assert id in self._opened
                assert id not in self.unwanted, "cancelled twice"
                self.unwanted.add(id)
                self._quiet_up.add(id)
            elif "credit" in header:
                self._give(self._taken, id, header["credit"], False)
            elif id not in self._opened:
                self._opens(id, header, content)
            else:
                assert id not in self._quiet_up, "a part of an upload that has ended"
                assert id not in self.heard, "a part for an exchange that has ended"
                self._spend(self._credit_up, id, size) if header["more"] else self._quiet_up.add(id)

    def _opens(self, id: int, header: dict[str, Any], content: bytes) -> None:
        assert id > max(self._opened, default=0)
        assert ("action" in header) or b'"action"' in content
        assert self._greeted or not self._opened, "nothing follows the first request until the server is known"
        self._opened.append(id)
        if b"letterhead.ping" in content:
            self._own.add(id)
        assert len(self._opened) - len(self.heard) <= self._max_open, "more open than the server has slots"
        if "supersedes" in header:
            assert header["supersedes"] in self._opened[:-1]
            self._quiet_up.add(header["supersedes"])
            assert header["supersedes"] not in self.unwanted, "superseded what was cancelled"
            self.unwanted.add(header["supersedes"])
        if header.get("more"):
            self._credit_up[id] = self._credit
        else:
            self._quiet_up.add(id)

    def from_server(self, data: bytes) -> None:
        """The server sends these frames."""
        for (header, content), size in self.down.put(data):
            if "closing" in header:
                self._closes(header, content)
                continue
            id = header["id"]
            assert id in self._opened
            refused = "status" in header or "max-open" in header
            assert id <= self.closing or refused or id in self._own, "ran all the same"
            assert id not in self.last, "something behind an exchange's last frame"
            if "max-open" in header:
                assert (header["max-open"], header["credit"], content) == (self._max_open, self._credit, b"")
                assert not self._credit_down, "the hello comes first"
                self._credit_down[0] = 0
            elif "credit" in header:
                self._give(self._taken, id, header["credit"], True)
            elif header.get("more") and "status" not in header:
                self._credit_down.setdefault(id, MIB)
                self._spend(self._credit_down, id, size)
            else:
                assert header.get("more") is not False or content == b""
                self.last[id] = Frame(header, content)

    def _closes(self, header: dict[str, Any], content: bytes) -> None:
        assert self.closing == float("inf"), "told twice"
        assert content == b""
        assert "id" not in header
        self.closing = header["closing"]
        assert self.closing in (0, *self._opened)
        assert self.closing >= max(self.last, default=0), "what it answered before is not above"

    @staticmethod
    def _spend(account: dict[int, int], id: int, size: int) -> None:
        assert account[id] > 0, "an item without credit"
        account[id] -= size

    def _give(self, taken: dict[int, int], id: int, credit: int, up: bool) -> None:
        key = id if up else -id
        taken[key] = taken.get(key, 0) - credit
        assert taken[key] >= 0, "credit for what was not taken"

    def took(self, id: int, size: int, *, up: bool) -> None:
        """An application took an item of this size."""
        key = id if up else -id
        self._taken[key] = self._taken.get(key, 0) + size

    def left(self, id: int, *, up: bool) -> int:
        """The credit of a stream's sender."""
        return self._credit_up[id] if up else self._credit_down.get(id, MIB)

    def owed(self, id: int, *, up: bool) -> int:
        """Bytes of items that were taken, less the credit given for them."""
        return self._taken.get(id if up else -id, 0)

    def to_server(self, count: int) -> bytes:
        """Up to so many bytes arrive at the server."""
        piece, whole = self.up.take(count)
        for (header, _), _ in whole:
            if "credit" in header:
                id = header["id"]
                self._credit_down[id] = self._credit_down.get(id, MIB) + header["credit"]
            elif "cancel" in header:
                self.stopped.add(header["id"])
            elif "supersedes" in header:
                self.stopped.add(header["supersedes"])
        return piece

    def to_client(self, count: int) -> bytes:
        """Up to so many bytes arrive at the client."""
        piece, whole = self.down.take(count)
        for (header, _), _ in whole:
            id = header.get("id", 0)
            if "max-open" in header:
                self._greeted = True
            elif "credit" in header:
                self._credit_up[id] += header["credit"]
            elif self.last.get(id) is not None and not (header.get("more") and "status" not in header):
                self.heard.add(id)
        return piece

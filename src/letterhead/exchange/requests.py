"""What a responder hands out: requests, and what becomes of them."""

from typing import Any

import msgspec

from letterhead.content.json import decode_json
from letterhead.errors import DeadlineExceeded, Refused
from letterhead.exchange.fields import HOP, Meaning
from letterhead.message import Message
from letterhead.wire.header import JSON_TYPES, Header


class Request:
    """One exchange as the server sees it.

    Attributes:
        id: its id; None on a classic connection.
        header: the opening's header.
        action: what to do: a name; in classic form whatever stood there; None for a binary request.
        named: the action stands in the header and the content is the arguments.
        binary: neither: the content goes to the application's binary handler.
        content: the content's bytes.
        value: in classic form, the decoded ``value``; else None.
        deadline: when the answer must be handed over, by the connection's clock.
        stopped: why nobody waits any longer, or None.
        held: bytes of it that count in the budget.
        ended: its last frame was written, or can never be.
        job: the own of whoever runs it.
        started: when its handler began, by the connection's clock; filled in where ``timing`` was asked for.
    """

    __slots__ = (
        "action", "binary", "content", "deadline", "ended", "header", "held", "id", "job", "meaning", "named",
        "received", "started", "stopped", "timed", "value",
    )  # fmt: skip

    def __init__(self, id: int | None, header: Header, meaning: Meaning, received: float, deadline: float) -> None:
        self.id = id
        self.header = header
        self.meaning = meaning
        self.timed = meaning.timing
        self.received = received
        self.deadline = deadline
        self.action: Any = meaning.action
        self.named = meaning.action is not None
        self.binary = False
        self.content = b""
        self.value: Any = None
        self.held = 0
        self.started = received
        self.stopped: Refused | None = None
        self.ended = False
        self.job: Any = None

    @property
    def message(self) -> Message:
        """The request as an application sees it: without what belongs to this hop or is the other side's to say."""
        fields = self.header.fields
        return Message(self.content, {n: v for n, v in fields.items() if n not in HOP and n != "status"})

    def read_classic_form(self, max_depth: int) -> None:
        """Find action and value in the content, where it is JSON; else the request is a binary one.

        Raises:
            BadContent: it is not the JSON that its header says.
        """
        shape = self.header.shape
        if shape.type not in JSON_TYPES:
            self.binary = True
            return
        value = decode_json(self.content, shape.encoding, shape.byteorder, max_depth)
        if isinstance(value, dict):
            self.action = value.get("action")
            self.value = value.get("value")

    @staticmethod
    def classic_value(content: bytes) -> bytes:
        """The arguments in classic form, as JSON: ``content`` is JSON in UTF-8 that ``read_classic_form`` has read."""
        try:
            value = bytes(_classic_form.decode(content).value)
        except msgspec.ValidationError:  # no object
            return b"{}"
        return b"{}" if value == b"null" else value

    def out_of_time(self) -> DeadlineExceeded:
        """The refusal once its deadline has passed."""
        seconds = round(self.deadline - self.received, 3)
        return DeadlineExceeded(f"no answer within {seconds:g} s", seconds=seconds)

    def timing(self, now: float) -> dict[str, int]:
        """How long it waited and ran, in microseconds."""
        queued, ran = self.started - self.received, now - self.started
        return {"queued": max(0, int(queued * 1e6)), "ran": max(0, int(ran * 1e6))}

    @property
    def streams(self) -> bool:
        """Whether the client announced items that follow."""
        return self.meaning.more is True


class _ClassicForm(msgspec.Struct):
    """Content in classic form. The value stays bytes, so that it is read as other arguments are."""

    value: msgspec.Raw = msgspec.Raw(b"null")


_classic_form = msgspec.json.Decoder(_ClassicForm)


class Stop:
    """Nobody waits for this request any longer; ``request.stopped`` says why."""

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request = request


class Ended:
    """The peer broke the protocol or a limit; the connection is ``ending``. ``error`` is for the log."""

    __slots__ = ("error",)

    def __init__(self, error: Refused) -> None:
        self.error = error


Event = Request | Stop | Ended

"""One exchange as the server sees it, and one item of an upload that is under way.

What lives here: what is known of a request, and what its content says. How its frames come and go is ``server.py``'s.
"""

import sys
from typing import Any

import msgspec

from letterhead.content.compression import decompress
from letterhead.content.json import as_utf8, check_json
from letterhead.errors import DeadlineExceeded, Refused
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol.fields import NOT_FROM_CLIENTS, Meaning
from letterhead.protocol.flow import Incoming, Outgoing
from letterhead.wire import strict_json
from letterhead.wire.header import JSON_TYPES, Header, content_limit


class Request:
    """One exchange as the server sees it.

    Attributes:
        id: its id; None on a classic connection.
        header: the opening's header.
        action: what to do: a name; in classic form whatever stood there; None for a binary request.
        named: the action stands in the header and the content is the arguments.
        binary: neither: the content goes to the application's binary handler.
        content: the content's bytes; as they stood on the wire while there is a ``compression``.
        compression: what they are compressed with.
        deadline: when the last frame must be handed over, by the connection's clock; infinity where nothing ends it.
        stopped: why nobody waits any longer, or None.
        held: bytes of its content that count in the budget.
        kept: bytes that its header holds, which count there, too.
        heard: when its client sent the last frame of it, by the connection's clock.
        incoming: the items that the client sends, where it announced some.
        streams: its result is a stream, as far as is known.
        outgoing: the credit for the items of the result; None before it is known to be a stream or credit comes.
        ended: its last frame was written, or can never be.
        finished: its handler has ended, or never will begin.
        job: the own of whoever runs it.
        started: when its handler began, by the connection's clock; filled in where ``timing`` was asked for.
    """

    __slots__ = (
        "action", "binary", "compression", "content", "deadline", "ended", "finished", "header", "heard", "held", "id",
        "incoming", "job", "kept", "meaning", "named", "outgoing", "received", "started", "stopped", "streams", "timed",
    )  # fmt: skip

    def __init__(self, id: int | None, header: Header, meaning: Meaning, received: float, deadline: float) -> None:
        self.id = id
        self.header = header
        self.meaning = meaning
        self.timed = meaning.timing
        self.received = self.heard = received
        self.deadline = deadline
        self.action: Any = meaning.action
        self.named = meaning.action is not None
        self.binary = False
        self.content = b""
        self.compression = meaning.compression
        self.held = 0
        self.kept = header.held + meaning.held
        self.incoming: Incoming | None = None
        self.streams = False
        self.outgoing: Outgoing | None = None
        self.started = received
        self.stopped: Refused | None = None
        self.ended = False
        self.finished = False
        self.job: Any = None

    @property
    def message(self) -> Message:
        """The request as an application sees it: without what belongs to this hop or is the other side's to say."""
        fields = self.header.fields
        return Message(self.content, {n: v for n, v in fields.items() if n not in NOT_FROM_CLIENTS})

    def read_classic_form(self, limits: Limits) -> None:
        """Find action and value in the content, where it is JSON, and undo its compression; else it is a binary one.

        Raises:
            BadContent: it is not the JSON that its header says, or not so compressed.
            TooLarge: more would come out than content may have.
        """
        shape = self.header.shape
        if shape.type not in JSON_TYPES:
            self.binary = True
            return
        if self.compression is not None:
            self.content = decompress(self.content, self.compression, content_limit(shape.type, limits))
            self.compression = None
        data = as_utf8(self.content, shape.encoding, shape.byteorder)
        check_json(data, limits.content_depth)
        try:
            action = _classic_form.decode(data).action
        except msgspec.ValidationError:  # no object
            return
        self.action = strict_json.decode(bytes(action), limits.content_depth)

    def classic_value(self) -> bytes:
        """The ``value`` of classic form, as JSON in UTF-8; ``null`` where there is none."""
        shape = self.header.shape
        try:
            return bytes(_classic_form.decode(as_utf8(self.content, shape.encoding, shape.byteorder)).value)
        except msgspec.ValidationError:  # no object
            return b"null"

    @property
    def value(self) -> Any:
        """In classic form, its ``value``, decoded anew each time; else None."""
        if self.named or self.binary:
            return None
        return strict_json.decode(self.classic_value(), sys.maxsize)  # its depth was looked at with the whole

    def out_of_time(self) -> DeadlineExceeded:
        """The refusal once its deadline has passed."""
        seconds = round(self.deadline - self.received, 3)
        return DeadlineExceeded(f"no answer within {seconds:g} s", seconds=seconds)

    def timing(self, now: float) -> dict[str, int]:
        """How long it waited and ran, in microseconds."""
        queued, ran = self.started - self.received, now - self.started
        return {"queued": max(0, int(queued * 1e6)), "ran": max(0, int(ran * 1e6))}


class Part:
    """An item of an upload whose content is under way."""

    __slots__ = ("header", "held", "incoming", "request")

    def __init__(self, request: Request, incoming: Incoming, header: Header) -> None:
        self.request = request
        self.incoming = incoming
        self.header = header
        self.held = 0  # bytes of it that count in the budget


class _ClassicForm(msgspec.Struct):
    """Content in classic form. The value stays bytes, so that it is decoded once, as other arguments are."""

    action: msgspec.Raw = msgspec.Raw(b"null")
    value: msgspec.Raw = msgspec.Raw(b"null")


_classic_form = msgspec.json.Decoder(_ClassicForm)

"""What the header fields of protocol section 4 mean, checked once per header shape.

``from_client`` and ``from_server`` turn a header's shape into what the state table works with: which kind of frame it
is, and the fields with sound types. A field from the side that does not send it is ignored and not given to the
application; ``false`` equals absent save in ``more``; ``null`` is of the wrong type.
"""

from enum import Enum, auto
from typing import Any

from letterhead.errors import BadHeader, Fault
from letterhead.wire.header import MAX_ID, Shape

BIG = 2**31 - 1
OCTETS = "application/octet-stream"
HOP = frozenset(
    {
        "id",
        "credit",
        "cancel",
        "closing",
        "max-open",
        "supersedes",
        "authorization",
        "compression",
        "accept-compression",
    }
)
"""Fields that belong to one hop and are never handed to an application."""
FROM_CLIENT = frozenset({"action", "deadline", "accept"})
"""Fields that only clients send: a server's are not handed to the application."""


class Kind(Enum):
    """Kinds of frames, by what their header carries."""

    NAMED = auto()  # with `action`
    PLAIN = auto()  # without
    CANCEL = auto()
    CREDIT = auto()
    HELLO = auto()
    CLOSING = auto()
    REPLY = auto()

    # Members are single: identity is hash enough, and costs no call of Enum's own, for every frame.
    __hash__ = object.__hash__


CONTROL = frozenset({Kind.CANCEL, Kind.CREDIT, Kind.HELLO, Kind.CLOSING})


class Meaning:
    """One header shape, understood.

    Attributes:
        kind: which kind of frame; without meaning where there is a ``fault``.
        fault: what is wrong with the frame, or None.
        fatal: whether that fault also ends the connection (a control frame mixed with anything else).
        authorized: it brings the connection's token, which only the first request may.
    """

    __slots__ = (
        "accept", "accept_compression", "action", "authorized", "closing", "compression", "credit", "deadline",
        "fatal", "fault", "kind", "max_open", "more", "status", "supersedes", "timing",
    )  # fmt: skip

    def __init__(self) -> None:
        self.kind: Kind = Kind.PLAIN
        self.fault: Fault[BadHeader] | None = None
        self.fatal = False
        self.action: str | None = None
        self.authorized = False
        self.deadline: float | None = None
        self.timing = False
        self.more: bool | None = None
        self.status: str | None = None
        self.credit = 0
        self.closing = 0
        self.max_open = 0
        self.supersedes = 0
        self.accept: tuple[str, ...] = ()
        self.compression: str | None = None
        self.accept_compression: tuple[str, ...] = ()


class _FieldError(Exception):
    """A field has the wrong type or value."""


def _present(fields: dict[str, Any], name: str) -> bool:
    return name in fields and fields[name] is not False


def _number(fields: dict[str, Any], name: str, low: int, high: int) -> int:
    value = fields[name]
    if type(value) is not int or not low <= value <= high:
        raise _FieldError(f"'{name}' is an integer from {low} to {high}", name)
    return value


def _true(fields: dict[str, Any], name: str) -> bool:
    if fields[name] is not True:
        raise _FieldError(f"'{name}' is true, false or absent", name)
    return True


def _string(fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise _FieldError(f"'{name}' is a string", name)
    return value


def _strings(fields: dict[str, Any], name: str) -> tuple[str, ...]:
    value = fields[name]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _FieldError(f"'{name}' is a list of strings", name)
    return tuple(value)


def _more(fields: dict[str, Any]) -> bool | None:
    value = fields.get("more")
    if "more" in fields and not isinstance(value, bool):
        raise _FieldError("'more' is true or false", "more")
    return value


def _is_control(shape: Shape, names: tuple[str, ...]) -> bool:
    """Whether the frame carries one of the control fields ``names``; refuses it where it is not one alone."""
    carried = [name for name in names if _present(shape.fields, name)]
    if not carried:
        return False
    if carried[0] == "max-open" and "credit" in carried:  # the hello says how much credit uploads begin with
        carried.remove("credit")
    pure = (
        len(carried) == 1
        and shape.length == 0
        and shape.type == OCTETS
        and shape.encoding == "binary"
        and not any(_present(shape.fields, name) for name in ("action", "status"))
        and "more" not in shape.fields
    )
    if not pure:
        raise _FieldError(f"a control frame carries '{carried[0]}' alone and no content", carried[0])
    return True


def from_client(shape: Shape) -> Meaning:
    """What a frame from a client means on a multiplexed connection; remembered with the shape."""
    meaning = shape.meaning = Meaning()
    fields = shape.fields
    meaning.authorized = _present(fields, "authorization")
    try:
        meaning.fatal = True  # whatever is wrong with a control frame closes
        if _is_control(shape, ("cancel", "credit")):
            if "cancel" in fields and fields["cancel"] is not False:
                _true(fields, "cancel")
                meaning.kind = Kind.CANCEL
            else:
                meaning.credit = _number(fields, "credit", 1, BIG)
                meaning.kind = Kind.CREDIT
            return meaning
        meaning.fatal = False
        if _present(fields, "action"):
            meaning.action = _string(fields, "action")
            meaning.kind = Kind.NAMED
        meaning.more = _more(fields)
        if _present(fields, "deadline"):
            meaning.deadline = _number(fields, "deadline", 1, BIG) / 1000
        if _present(fields, "timing"):
            meaning.timing = _true(fields, "timing")
        if _present(fields, "supersedes"):
            meaning.supersedes = _number(fields, "supersedes", 1, MAX_ID)
        if _present(fields, "accept"):
            meaning.accept = _strings(fields, "accept")
        if _present(fields, "accept-compression"):
            meaning.accept_compression = _strings(fields, "accept-compression")
        for name in ("authorization", "traceparent", "tracestate"):
            if _present(fields, name):
                _string(fields, name)
        if _present(fields, "compression"):
            meaning.compression = _string(fields, "compression")
    except _FieldError as wrong:
        meaning.fault = Fault(BadHeader, wrong.args[0], field=wrong.args[1])
    return meaning


def unlisted() -> BadHeader:
    """What is wrong with a frame whose compression its receiver did not list."""
    return BadHeader("'compression' names one that was not listed as readable here", field="compression")


def from_classic_client(shape: Shape) -> Meaning:
    """What a frame from a client means on a classic connection.

    Four fields are refused there; of the others those of a wrong type are ignored. ``action`` stands in the content.
    """
    meaning = Meaning()
    for name in ("more", "credit", "cancel", "supersedes"):
        if name in shape.fields and (name == "more" or shape.fields[name] is not False):
            meaning.fault = Fault(BadHeader, f"'{name}' needs a request with 'id'", field=name)
            break
    deadline = shape.fields.get("deadline")
    if type(deadline) is int and 1 <= deadline <= BIG:
        meaning.deadline = deadline / 1000
    meaning.timing = shape.fields.get("timing") is True
    return meaning


def from_server(shape: Shape) -> Meaning:
    """What a frame from a server means; remembered with the shape."""
    meaning = shape.meaning = Meaning()
    fields = shape.fields
    meaning.kind = Kind.REPLY
    try:
        if _is_control(shape, ("max-open", "closing", "credit")):
            if _present(fields, "max-open"):
                meaning.max_open = _number(fields, "max-open", 1, BIG)
                if _present(fields, "credit"):
                    meaning.credit = _number(fields, "credit", 1, BIG)
                if _present(fields, "accept-compression"):
                    meaning.accept_compression = _strings(fields, "accept-compression")
                meaning.kind = Kind.HELLO
            elif _present(fields, "credit"):
                meaning.credit = _number(fields, "credit", 1, BIG)
                meaning.kind = Kind.CREDIT
            else:
                meaning.closing = _number(fields, "closing", 0, MAX_ID)
                meaning.kind = Kind.CLOSING
            return meaning
        if _present(fields, "status"):
            status = _string(fields, "status")
            meaning.status = None if status == "ok" else status
        meaning.more = _more(fields)
        if _present(fields, "compression"):
            meaning.compression = _string(fields, "compression")
    except _FieldError as wrong:
        meaning.fault = Fault(BadHeader, wrong.args[0], field=wrong.args[1])
        meaning.fatal = True
    return meaning

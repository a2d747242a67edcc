"""The header fields of protocol section 4: one table that writer, checks, contexts and hops all go by.

What lives here: ``FIELDS``, one row for each field (which side may send it, how it is read, whether it belongs to one
hop, whether applications see it); the sets of names that follow from it; and ``from_client`` and ``from_server``, which
turn a header into what the table of moves works with: which kind of frame it is, and its fields with sound types.

A field from the side that does not send it is ignored and not given to the application; ``false`` equals absent save in
``more``; ``null`` is of the wrong type. Which frame may come when is not known here (``states.py``), nor are the fields
that every frame has (``wire/header.py``).
"""

import sys
from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import Any, NamedTuple

from letterhead.errors import BadHeader, Fault
from letterhead.wire.header import FRAMING, MAX_ID, Shape

BIG = 2**31 - 1
OCTETS = "application/octet-stream"


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


class _FieldError(Exception):
    """A field has the wrong type or value."""


# -- how fields are read -------------------------------------------------------------------------------------------

Parser = Callable[[str, Any], Any]
"""Takes a field's name and value, and gives what it means; raises ``_FieldError`` where it means nothing."""


def _anything(name: str, value: Any) -> Any:
    return value


def _integer(low: int, high: int) -> Parser:
    def parse(name: str, value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _FieldError(f"'{name}' is an integer from {low} to {high}", name)
        return value

    return parse


def _true(name: str, value: Any) -> bool:
    if value is not True:
        raise _FieldError(f"'{name}' is true, false or absent", name)
    return True


def _bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _FieldError(f"'{name}' is true or false", name)
    return value


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _FieldError(f"'{name}' is a string", name)
    return value


def _strings(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _FieldError(f"'{name}' is a list of strings", name)
    return tuple(value)


def _seconds(name: str, value: Any) -> float:
    milliseconds: int = _integer(1, BIG)(name, value)
    return milliseconds / 1000


def _status(name: str, value: Any) -> str | None:
    status = _string(name, value)
    return None if status == "ok" else status


# -- the table -----------------------------------------------------------------------------------------------------


class Field(NamedTuple):
    """One header field.

    Attributes:
        name: as it stands in the header.
        from_client: how it is read in a client's frame; None where clients do not send it.
        from_server: the same of a server's frame.
        hop: it belongs to one hop: an intermediary makes its own.
        visible: applications see it, and may send it.
        needs_id: it is refused on a classic connection.
        control: the kind of control frame that carries it.
        attribute: the attribute of ``Meaning`` that holds what it means; None where it is only checked.
    """

    name: str
    from_client: Parser | None = None
    from_server: Parser | None = None
    hop: bool = False
    visible: bool = True
    needs_id: bool = False
    control: Kind | None = None
    attribute: str | None = None


def _hop(name: str, **columns: Any) -> Field:
    return Field(name, hop=True, visible=False, **columns)


_COUNT = _integer(1, BIG)
# The order is that in which a header's faults are found.
FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        _hop("id"),  # read with the frame
        _hop("cancel", from_client=_true, needs_id=True, control=Kind.CANCEL),
        _hop("max-open", from_server=_COUNT, control=Kind.HELLO, attribute="max_open"),
        _hop("closing", from_server=_integer(0, MAX_ID), control=Kind.CLOSING, attribute="closing"),
        _hop("credit", from_client=_COUNT, from_server=_COUNT, needs_id=True, control=Kind.CREDIT, attribute="credit"),
        Field("action", from_client=_string, attribute="action"),
        Field("status", from_server=_status, visible=False, attribute="status"),
        Field("more", from_client=_bool, from_server=_bool, visible=False, needs_id=True, attribute="more"),
        Field("deadline", from_client=_seconds, attribute="deadline"),
        Field("timing", from_client=_true, from_server=_anything, attribute="timing"),
        _hop("supersedes", from_client=_integer(1, MAX_ID), needs_id=True, attribute="supersedes"),
        Field("accept", from_client=_strings, attribute="accept"),
        _hop("accept-compression", from_client=_strings, from_server=_strings, attribute="accept_compression"),
        _hop("authorization", from_client=_string),
        Field("traceparent", from_client=_string, from_server=_anything),
        Field("tracestate", from_client=_string, from_server=_anything),
        _hop("compression", from_client=_string, from_server=_string, attribute="compression"),
    )
}
"""All fields that the protocol knows beside those of every frame."""


def _names(fields: Iterable[Field]) -> frozenset[str]:
    return frozenset(field.name for field in fields)


HOP = _names(field for field in FIELDS.values() if field.hop)
"""Fields that belong to one hop and are never handed to an application."""
HIDDEN = _names(field for field in FIELDS.values() if not field.visible)
"""Fields that the connection sets and reads by itself: applications neither see them nor may send them."""
FROM_CLIENT = _names(field for field in FIELDS.values() if field.visible and field.from_server is None)
"""Fields of applications that only clients send: a server's are not handed to the application."""
NOT_FROM_CLIENTS = HIDDEN | _names(field for field in FIELDS.values() if field.from_client is None)
"""What a handler does not see of a client's header."""
NOT_FROM_SERVERS = HIDDEN | FROM_CLIENT
"""What a caller does not see of a server's header, and may not send in the header of an item."""
NOT_IN_REPLIES = HIDDEN | {"timing"}
"""What a handler may not set in the header of its answer: the server says it."""
NOT_IN_CONTEXTS = NOT_FROM_CLIENTS | FRAMING
"""What ``letterhead.current().headers`` leaves out."""


# -- what a header means -------------------------------------------------------------------------------------------


class Meaning:
    """One header, understood.

    Attributes:
        kind: which kind of frame; without meaning where there is a ``fault``.
        fault: what is wrong with the frame, or None.
        fatal: whether that fault also ends the connection (a control frame mixed with anything else).
        authorized: it brings the connection's token, which only the first request may.
        held: bytes of memory that all this takes, beside a fixed few.
    """

    __slots__ = (
        "accept", "accept_compression", "action", "authorized", "closing", "compression", "credit", "deadline",
        "fatal", "fault", "held", "kind", "max_open", "more", "status", "supersedes", "timing",
    )  # fmt: skip

    def __init__(self) -> None:
        self.kind: Kind = Kind.PLAIN
        self.fault: Fault[BadHeader] | None = None
        self.fatal = False
        self.held = 0
        self.action: str | None = None
        self.authorized = False
        self.deadline: float | None = None
        self.timing: Any = False
        self.more: bool | None = None
        self.status: str | None = None
        self.credit = 0
        self.closing = 0
        self.max_open = 0
        self.supersedes = 0
        self.accept: tuple[str, ...] = ()
        self.compression: str | None = None
        self.accept_compression: tuple[str, ...] = ()

    def read(self, header: dict[str, Any], rows: Iterable[tuple[Field, Parser]]) -> None:
        """Take the fields of a header that stand in these rows of the table.

        Raises:
            _FieldError: one is of the wrong type or value.
        """
        for field, parse in rows:
            name = field.name
            if name in header and (header[name] is not False or name == "more"):
                value = parse(name, header[name])
                if field.attribute is not None:
                    setattr(self, field.attribute, value)
                    self.held += _held(value)


def _held(value: Any) -> int:
    return sys.getsizeof(value) + (sum(map(sys.getsizeof, value)) if isinstance(value, tuple) else 0)


def _parser(field: Field, from_client: bool) -> Parser | None:
    return field.from_client if from_client else field.from_server


def _rows(from_client: bool, names: Iterable[str]) -> tuple[tuple[Field, Parser], ...]:
    """The rows of these fields that a side sends, each with how it is read."""
    found = ((FIELDS[name], _parser(FIELDS[name], from_client)) for name in names)
    return tuple((field, parse) for field, parse in found if parse is not None)


class _Side:
    """What the frames of one side may carry."""

    def __init__(self, from_client: bool) -> None:
        sent = [field for field, _ in _rows(from_client, FIELDS)]
        self.control = tuple(field for field in sent if field.control is not None)
        """The fields that make a control frame."""
        self.rows = _rows(from_client, (field.name for field in sent if field.control is None))
        """What other frames carry."""
        self.carried = {
            field.control: _rows(from_client, (field.name, *_BESIDE.get(field.name, ()))) for field in self.control
        }
        """What each control frame carries."""


_BESIDE = {"max-open": ("credit", "accept-compression")}
"""What the hello says beside: how much credit uploads begin with, and what the server reads."""
_CLIENT, _SERVER = _Side(from_client=True), _Side(from_client=False)


def _control_kind(shape: Shape, side: _Side) -> Kind | None:
    """The kind of a control frame; None for other frames.

    Raises:
        _FieldError: it carries a control field, and something else.
    """
    fields = shape.fields
    carried = [field for field in side.control if fields.get(field.name, False) is not False]
    if not carried:
        return None
    first = carried[0]
    pure = (
        all(field.name in _BESIDE.get(first.name, ()) for field in carried[1:])
        and shape.length == 0
        and shape.type == OCTETS
        and shape.encoding == "binary"
        and not any(fields.get(name, False) is not False for name in ("action", "status"))
        and "more" not in fields
    )
    if not pure:
        raise _FieldError(f"a control frame carries '{first.name}' alone and no content", first.name)
    return first.control


def _meaning(shape: Shape, side: _Side, meaning: Meaning, plain: Kind) -> Meaning:
    """Read a frame from one side; ``meaning.fatal`` says of a fault whether a control frame has it."""
    fields = shape.fields
    meaning.fatal = True
    kind = _control_kind(shape, side)
    if kind is not None:
        meaning.read(fields, side.carried[kind])
        meaning.kind = kind
        return meaning
    meaning.fatal = False
    meaning.kind = plain
    meaning.read(fields, side.rows)
    return meaning


def from_client(shape: Shape) -> Meaning:
    """What a frame from a client means on a multiplexed connection; remembered with the shape."""
    meaning = shape.meaning = Meaning()
    meaning.authorized = shape.fields.get("authorization", False) is not False
    try:
        _meaning(shape, _CLIENT, meaning, Kind.PLAIN)
        if meaning.action is not None:
            meaning.kind = Kind.NAMED
    except _FieldError as wrong:
        meaning.fault = Fault(BadHeader, wrong.args[0], field=wrong.args[1])
    return meaning


def from_server(shape: Shape) -> Meaning:
    """What a frame from a server means; remembered with the shape. Whatever is wrong with one is fatal."""
    meaning = shape.meaning = Meaning()
    try:
        _meaning(shape, _SERVER, meaning, Kind.REPLY)
    except _FieldError as wrong:
        meaning.fault = Fault(BadHeader, wrong.args[0], field=wrong.args[1])
        meaning.fatal = True
    return meaning


def from_classic_client(shape: Shape) -> Meaning:
    """What a frame from a client means on a classic connection.

    Some fields are refused there; of the others those of a wrong type are ignored. ``action`` stands in the content.
    """
    meaning, fields = Meaning(), shape.fields
    for field in FIELDS.values():
        if field.needs_id and field.name in fields and (field.name == "more" or fields[field.name] is not False):
            meaning.fault = Fault(BadHeader, f"'{field.name}' needs a request with 'id'", field=field.name)
            break
    for row in _CLASSIC:
        try:
            meaning.read(fields, (row,))
        except _FieldError:
            continue
    return meaning


_CLASSIC = _rows(from_client=True, names=("deadline", "timing"))


def unlisted() -> BadHeader:
    """What is wrong with a frame whose compression its receiver did not list."""
    return BadHeader("'compression' names one that was not listed as readable here", field="compression")

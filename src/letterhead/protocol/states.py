"""The legal moves of a conversation, as tables (protocol section 4, "Ids and frames").

A frame is judged by where its ``id`` stands and by what kind of frame it is. A pair that is missing here is a breach of
the protocol: ``bad-header``, and the connection closes.

What a move does is not known here: each side has a method for each of its moves (``client.py``, ``server.py``).
"""

from enum import Enum, auto

from letterhead.errors import BadHeader
from letterhead.protocol.fields import Kind


class Phase(Enum):
    """How far a conversation has come, at either side: what is known about the peer."""

    FRESH = auto()  # a client has sent nothing; at a server no header has come
    PROBING = auto()  # a client's first request is out, nothing else may follow
    MULTIPLEXED = auto()  # frames carry ids
    CLASSIC = auto()  # they do not: one request at a time
    ENDED = auto()


class IdState(Enum):
    """Where an ``id`` stands on a connection."""

    NEW = auto()  # above every id before
    UPLOADING = auto()  # open, and its upload goes on
    OPEN = auto()  # open, its request whole
    PAST = auto()  # not open, not above the highest
    NONE = auto()  # the frame has no id

    __hash__ = object.__hash__  # as for Kind


class Move(Enum):
    """What to do with a frame."""

    OPEN = auto()
    PART = auto()  # an item of an upload, or its end
    CANCEL = auto()
    CREDIT = auto()
    REPLY = auto()  # an item of a result, or the exchange's last frame
    HELLO = auto()
    CLOSING = auto()
    FAIL = auto()  # a connection error: fails everything that is open
    DROP = auto()  # late: read past, counted
    IGNORE = auto()


AT_SERVER: dict[tuple[IdState, Kind], Move] = {
    (IdState.NEW, Kind.NAMED): Move.OPEN,
    (IdState.NEW, Kind.PLAIN): Move.OPEN,
    (IdState.UPLOADING, Kind.PLAIN): Move.PART,
    (IdState.UPLOADING, Kind.CANCEL): Move.CANCEL,
    (IdState.UPLOADING, Kind.CREDIT): Move.CREDIT,
    (IdState.OPEN, Kind.CANCEL): Move.CANCEL,
    (IdState.OPEN, Kind.CREDIT): Move.CREDIT,
    (IdState.PAST, Kind.NAMED): Move.DROP,
    (IdState.PAST, Kind.PLAIN): Move.DROP,
    (IdState.PAST, Kind.CANCEL): Move.IGNORE,
    (IdState.PAST, Kind.CREDIT): Move.IGNORE,
}
"""A server's moves on a multiplexed connection."""

AT_CLIENT: dict[tuple[IdState, Kind], Move] = {
    (IdState.OPEN, Kind.HELLO): Move.HELLO,
    (IdState.PAST, Kind.HELLO): Move.HELLO,
    (IdState.OPEN, Kind.REPLY): Move.REPLY,
    (IdState.PAST, Kind.REPLY): Move.DROP,
    (IdState.OPEN, Kind.CREDIT): Move.CREDIT,
    (IdState.PAST, Kind.CREDIT): Move.IGNORE,
    (IdState.NONE, Kind.REPLY): Move.FAIL,
    (IdState.NONE, Kind.CLOSING): Move.CLOSING,
}
"""A client's moves once the server is known to multiplex."""


def move(table: dict[tuple[IdState, Kind], Move], state: IdState, kind: Kind) -> Move:
    """The move for a frame.

    Raises:
        BadHeader: there is none; the connection closes.
    """
    found = table.get((state, kind))
    if found is None:
        raise BadHeader(f"no {kind.name.lower()} frame may come for an id that is {state.name.lower()}", field="id")
    return found

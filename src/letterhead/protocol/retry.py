"""When a call goes elsewhere, and which calls may be sent again (protocol section 4, "Ends").

A call whose bytes were never written is simply placed again. One that was written is sent again by itself only where
that is safe:

* the server said that it did not run it: its ``id`` is above ``closing``, or the answer was ``unavailable``;
* or its connection was lost, or a server that leaves cut it off, and running it twice does the same as running it once:
  the client was told so, or the server said it of that action in ``letterhead.describe``.

Never twice: a stream that has begun. Items that came were given out, items that went are gone from their iterable. And
never without end: a request that brings down each server that it reaches must not go round for ever, so that
``Limits.repeats`` bounds repetitions of what may have run.
"""

from collections.abc import Collection, Iterable
from enum import Enum, auto
from typing import Any

from letterhead.content.json import decode_json
from letterhead.errors import BadContent, ConnectionFailed, ConnectionLost, ForeignProtocol, NoReply, Refused, Rejected
from letterhead.protocol.calls import Call


class Why(Enum):
    """Why a call goes elsewhere."""

    UNWRITTEN = auto()  # its connection ended before it was written
    CLASSIC = auto()  # the server turned out to be classic: one call a connection
    LEAVING = auto()  # the server goes away and will not run it
    UNAVAILABLE = auto()  # the server answered that it cannot run it
    LOST = auto()  # its connection was lost; it may have run, and may run again


class Elsewhere:
    """An event: these calls are not answered on this connection, and are to be placed again.

    Attributes:
        calls: they, ready to be submitted to another connection.
        why: the reason.
        error: what they would end with if they could not be placed; None where they were never written.
    """

    __slots__ = ("calls", "error", "why")

    def __init__(self, calls: list[Call], why: Why, error: Refused | ConnectionFailed | None = None) -> None:
        self.calls = calls
        self.why = why
        self.error = error


def has_begun(call: Call) -> bool:
    """Whether part of a stream has passed, either way."""
    incoming, outgoing = call.incoming, call.outgoing
    return (incoming is not None and incoming.begun) or (outgoing is not None and outgoing.begun)


def may_go_elsewhere(call: Call) -> bool:
    """Whether anybody waits for a call that was written, and nothing of it has been given out or taken."""
    return not (call.quiet or call.done or has_begun(call))


def may_repeat_lost(call: Call, error: Exception, idempotent: Collection[str], most: int) -> bool:
    """Whether a call that was written on a connection that is lost may be sent again.

    Args:
        call: it.
        error: how the connection ended.
        idempotent: names of actions that may run twice.
        most: repetitions of one call.
    """
    if not may_go_elsewhere(call) or call.repeats >= most:
        return False
    if isinstance(error, Rejected):  # the whole connection was refused, on the first header
        return error.facts.get("status") == "unavailable"
    return type(error) in (ConnectionLost, NoReply) and call.name in idempotent


def may_repeat_cut_off(call: Call, idempotent: Collection[str], most: int) -> bool:
    """The same for a call that a server which leaves could not let end, and cancelled."""
    return may_go_elsewhere(call) and call.repeats < most and call.name in idempotent


def is_final(error: ConnectionFailed) -> bool:
    """Whether it says what the server is, or wants, and not only that it is away."""
    if isinstance(error, Rejected):
        return error.facts.get("status") != "unavailable"
    return isinstance(error, ForeignProtocol)


def idempotent_in(described: bytes, depth: int) -> frozenset[str]:
    """The actions that may run twice, out of the answer to ``letterhead.describe``; none where it is something else."""
    try:
        told: Any = decode_json(described, "utf-8", "little", depth)
    except BadContent:
        return frozenset()
    actions = told.get("actions") if isinstance(told, dict) else None
    if not isinstance(actions, dict):
        return frozenset()
    return frozenset(_declared(actions.items()))


def _declared(actions: Iterable[tuple[str, Any]]) -> Iterable[str]:
    return (name for name, told in actions if isinstance(told, dict) and told.get("idempotent") is True)

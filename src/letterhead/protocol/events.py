"""What may happen on a connection, as either side's protocol tells whoever holds it.

What lives here: the events. A protocol appends them to its ``events``; whoever holds it takes them after each call, in
order. All of them are to be known: one that is not is an error of the program (``typing.assert_never``).

What is to be done about an event is not known here.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

from letterhead.errors import ConnectionFailed, Refused
from letterhead.protocol.exchange import Exchange
from letterhead.protocol.requests import Request

E = TypeVar("E")  # an exchange
O = TypeVar("O")  # noqa: E741  # the owner of a client's exchange


class Readable(Generic[E]):
    """What somebody waited for on ``exchange`` is there: an item, or the end of them."""

    __slots__ = ("exchange",)

    def __init__(self, exchange: E) -> None:
        self.exchange = exchange


class Writable(Generic[E]):
    """Somebody waited to send an item on ``exchange``, and may."""

    __slots__ = ("exchange",)

    def __init__(self, exchange: E) -> None:
        self.exchange = exchange


class Stop:
    """Nobody waits for ``request`` any longer; ``request.stopped`` says why."""

    __slots__ = ("request",)

    def __init__(self, request: Request) -> None:
        self.request = request


class Ended:
    """The client broke the protocol or a limit; the connection is ``ending``. ``error`` is for the log."""

    __slots__ = ("error",)

    def __init__(self, error: Refused) -> None:
        self.error = error


ServerEvent = Request | Stop | Ended | Readable[Request] | Writable[Request]
"""What may happen at a server; a ``Request`` stands for its own beginning."""


class EndReason(Enum):
    """Why a connection has ended."""

    CLOSED = auto()  # the server, or what lies between, closed or broke it
    BREACH = auto()  # what the server sent is no frame, or against the protocol; or it refused the connection
    LEFT = auto()  # the server said that it is leaving, and nothing is open any more
    ANSWERED = auto()  # it was classic, and its one request is answered
    ABANDONED = auto()  # the caller of its first request waits no longer, and nothing may follow that
    LATE = auto()  # the same because that caller's time was over
    HERE = auto()  # this side closed it


@dataclass(frozen=True, slots=True)
class ConnectionEnd:
    """How a connection ended.

    Attributes:
        reason: why.
        error: what its open exchanges end with; where nothing is wrong, what a further one would.
        asked: something was sent.
        answered: the server answered something.
        leaving: the server had said that it is leaving.
        open: how many exchanges were open.
    """

    reason: EndReason
    error: ConnectionFailed
    asked: bool
    answered: bool
    leaving: bool
    open: int


class ReturnReason(Enum):
    """Why an exchange cannot run on its connection."""

    ENDED = auto()  # the connection ended before it was written
    CLASSIC = auto()  # the server turned out to be classic: one request a connection
    LEAVING = auto()  # the server is leaving, and will not run it


class Returned(Generic[O]):
    """These exchanges were not run on this connection, and never will be.

    Attributes:
        exchanges: those that were handed back, in the order of their submission.
        reason: why.
    """

    __slots__ = ("exchanges", "reason")

    def __init__(self, exchanges: list[Exchange[O]], reason: ReturnReason) -> None:
        self.exchanges = exchanges
        self.reason = reason


class Closed(Generic[O]):
    """The connection has ended. It is the last event but for ``Returned``.

    Attributes:
        end: how.
        exchanges: those that were written and not answered, and for which somebody waits.
    """

    __slots__ = ("end", "exchanges")

    def __init__(self, end: ConnectionEnd, exchanges: list[Exchange[O]]) -> None:
        self.end = end
        self.exchanges = exchanges


class Multiplexed:
    """The server multiplexes, and may be given any exchange."""

    __slots__ = ()


ClientEvent = Exchange[O] | Returned[O] | Closed[O] | Multiplexed | Readable[Exchange[O]] | Writable[Exchange[O]]
"""What may happen at a client; an ``Exchange`` stands for its own end."""

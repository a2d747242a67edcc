"""What may happen on a connection, as either side's protocol tells whoever holds it.

What lives here: the events. A protocol appends them to its ``events``; whoever holds it takes them after each call, in
order. All of them are to be known: one that is not is an error of the program (``typing.assert_never``).

What is to be done about an event is not known here.
"""

from typing import Generic, TypeVar

from letterhead.errors import Refused
from letterhead.protocol.requests import Request

E = TypeVar("E")


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

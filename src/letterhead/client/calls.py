"""``Call``: one call of a client, from its arguments to its result, over as many connections as it takes.

A call has an ``opening``, what is asked, which never changes, and one ``exchange`` at a time, its state on a
connection. It knows how long it may take, how often it was sent, and how it ended. Who waits for it is a field that its
client sets.

How long a call may take: a plain one has the time of its own, else its client's, else what a server grants. One with a
stream, either way, may take as long as it wants unless it names a time: only so long as no server has answered it waits
as a plain one does. Whatever a handler calls gets no more time than that handler has left.

Which server gets a call is not known here, nor who carries its bytes.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from copy import copy
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from letterhead.app.context import time_left
from letterhead.client.connection import Connection, Endpoint
from letterhead.client.openings import Streamed, action_opening, message_opening, milliseconds, upload_opening
from letterhead.client.settings import Settings, content_types
from letterhead.client.sources import Source
from letterhead.client.timing import Timing
from letterhead.errors import Cancelled, DeadlineExceeded, LetterheadError, UsageError
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol.exchange import Asks, Exchange, Opening, reader_of
from letterhead.protocol.fields import BIG
from letterhead.protocol.flow import Incoming, Item

W = TypeVar("W")  # what its caller waits with: a lock, or a future
P = TypeVar("P")  # what carries the bytes of a connection

_LONGEST_SECONDS = BIG / 1000
"""No wait is longer: 24 days, which is what a deadline on the wire can say."""


class Call(Generic[W, P]):
    """One call.

    Attributes:
        opening: what is asked.
        source: what the items of its upload are taken from, or None.
        seconds: how long its caller waits; infinity where a stream may take as long as it wants.
        deadline: milliseconds that the server is given, or None.
        inherited: its time is that of the request whose handler makes it: passing it is no failure of that handler.
        key: what a later call names to take its place, or None.
        timing: is told how long the server took, or None.
        exchange: where it stands; None while it has no connection.
        connection: the connection of that exchange.
        done: it has ended: ``result`` says how.
        error: why there is no result.
        waiter: what wakes its caller, or whoever reads its items. ``sender``: what wakes its upload.
    """

    # Defaults stand on the class: most calls change few of them, and a call is made for every request.
    source: Source | None = None
    inherited = False
    key: Hashable = None
    timing: Timing | None = None
    done = False
    error: LetterheadError | None = None
    waiter: W | None = None
    sender: W | None = None
    failure: tuple[BaseException, TracebackType | None] | None = None
    """What its upload raised, and where: its caller gets that very exception."""

    # The core's own.
    exchange: "Exchange[Call[W, P]] | None" = None
    connection: "Connection[Call[W, P], P] | None" = None
    ends = math.inf  # when its time is over
    timer: "list[Any] | None" = None  # its entry among the deadlines
    repeats = 0  # how often it was sent again although it had been written
    refused: LetterheadError | None = None  # the last reason for that
    waits = False  # it has no connection
    failures_before = 0  # how many failures to make a connection had come before it began to wait
    avoid: "Endpoint[Call[W, P], P] | None" = None  # the server that could not run it
    waiting_seconds = 0.0  # seconds that a call without a time of its own may still wait for a connection

    def __init__(self, opening: Opening, seconds: float, deadline: int | None) -> None:
        self.opening = opening
        self.seconds = seconds
        self.deadline = deadline

    @property
    def name(self) -> str | None:
        """The action's name, where it is an action that is called."""
        return self.opening.name

    @property
    def incoming(self) -> Incoming | None:
        """Items that came and were not taken yet."""
        return None if self.exchange is None else self.exchange.incoming

    @property
    def single(self) -> bool:
        """Whether one result came where either was taken."""
        return self.exchange is not None and self.exchange.single

    @property
    def upload_begun(self) -> bool:
        """Whether an item of its upload was sent: from then on the call stays on its connection."""
        exchange = self.exchange
        return exchange is not None and exchange.outgoing is not None and exchange.outgoing.begun

    def take(self) -> Item | None:
        """The next item that came; None where none is there. Credit for it is given back by the core."""
        incoming = self.incoming
        return None if incoming is None else incoming.take()

    def fail(self, error: LetterheadError) -> None:
        """End the call with a copy of this error: a raised exception belongs to one raise.

        Items that came before an error are still handed out; but where the time for all of it is over, it is over.
        """
        self.done = True
        self.error = error = copy(error)
        if self.repeats:
            written = self.exchange is not None and self.exchange.id > 0
            error.facts = {**error.facts, "attempts": self.repeats + written}
        if self.incoming is not None and isinstance(error, DeadlineExceeded):
            self.incoming.drop()

    def fail_upload(self, failure: BaseException) -> None:
        """End the call with what its upload raised: whoever waits for the call raises it, too."""
        self.done = True
        self.error = Cancelled("its upload failed")
        self.failure = failure, failure.__traceback__

    def fail_reading(self, error: LetterheadError) -> None:
        """An item of its result cannot be read: whatever else came of it, this is how it ended."""
        self.done = True
        self.error = error

    def tell_timing(self) -> None:
        """Tell ``timing`` what the server said, and how often the call was sent."""
        if self.timing is not None:
            said = None if self.exchange is None else self.exchange.timing
            self.timing.told(said, self.repeats + 1)

    def raise_error(self) -> NoReturn:
        """Raise what it ended with; only where there is no result. It may be raised again and again.

        A fresh exception each time: one that is kept, and raised, keeps the frames of all who raised it.
        """
        if self.failure is not None:  # that very exception is what its caller wants back; its traceback stays as it was
            failure, trace = self.failure
            raise failure.with_traceback(trace)
        error = UsageError("the call has not ended") if self.error is None else copy(self.error)
        error.relayed = not (self.inherited and error.code == "deadline-exceeded")
        raise error

    def result(self, returns: Any, limits: Limits) -> Any:
        """What its caller gets: the value, as the type ``returns`` if given; a ``Message`` for ``send``.

        Raises:
            LetterheadError: the error that the call ended with; or what its upload raised.
            BadContent: the reply is not what its header says, or does not fit ``returns``.
        """
        exchange = self.exchange
        if self.error is not None or not self.done or exchange is None:
            self.raise_error()
        return exchange.result(returns, limits)


def action_call(
    settings: Settings,
    action: str,
    arg: tuple[Any, ...],
    args: Mapping[str, Any],
    timeout: float | None,
    returns: Any,
    accept: Sequence[str] | None,
    timing: Timing | None,
) -> "Call[Any, Any]":
    """The call that ``call`` of a client makes.

    Raises:
        UsageError: its arguments cannot be sent, or ``returns`` is no type that content could become.
        TooLarge: its arguments are above the limits.
    """
    if returns is not None:
        reader_of(returns)  # a type that cannot be should be told before anything is sent
    asks = settings.asks if accept is None and timing is None else _asks(settings, accept, timing)
    wanted = settings.timeout if timeout is None else timeout
    try:
        opening = action_opening(action, arg, args, settings.limits, asks)
    except Streamed:
        opening, source = upload_opening(action, arg, args, settings.limits, asks)
        call = _timed(opening, timeout, math.inf)
        call.source = source
    else:
        call = _timed(opening, wanted, settings.limits.deadline_seconds)
    call.timing = timing
    return call


def stream_call(
    settings: Settings,
    action: str,
    arg: tuple[Any, ...],
    args: Mapping[str, Any],
    timeout: float | None,
    accept: Sequence[str] | None,
    timing: Timing | None,
    *,
    either: bool = False,
) -> "Call[Any, Any]":
    """The call that ``stream`` of a client makes.

    Args:
        either: it takes one result, too, as the only item.

    Raises:
        UsageError: its arguments cannot be sent.
        TooLarge: its arguments are above the limits.
    """
    asks = settings.asks if accept is None and timing is None else _asks(settings, accept, timing)
    source: Source | None = None
    try:
        opening = action_opening(action, arg, args, settings.limits, asks)
    except Streamed:
        opening, source = upload_opening(action, arg, args, settings.limits, asks)
    opening.streams = True
    opening.either = either
    if not either:
        opening.action = None  # a classic server has no streams, and another is asked what it is by a ping
    call = _timed(opening, timeout, math.inf)
    call.source = source
    call.timing = timing
    return call


def message_call(settings: Settings, message: Message, timeout: float | None) -> "Call[Any, Any]":
    """The call that ``send`` of a client makes.

    Raises:
        UsageError: the message's header cannot be sent, or names a field that is the connection's own.
        TooLarge: its content is above the limits.
    """
    opening = message_opening(message, settings.limits)
    wanted = settings.timeout if timeout is None else timeout
    call = _timed(opening, wanted, settings.limits.deadline_seconds)
    if "deadline" in message.header:
        call.deadline = None  # it says its own
    return call


def _asks(settings: Settings, accept: Sequence[str] | None, timing: Timing | None) -> Asks:
    if timing is not None and not isinstance(timing, Timing):
        raise UsageError(f"'timing' takes a letterhead.Timing, not {type(timing).__name__}")
    asks = settings.asks if accept is None else settings.asks._replace(accept=content_types(accept))
    return asks._replace(timing=timing is not None)


def _timed(opening: Opening, wanted: float | None, unnamed: float) -> "Call[Any, Any]":
    """A call that its caller waits ``wanted`` seconds for, or as long as the handler has left that makes it.

    Args:
        opening: what is asked.
        wanted: seconds, or None where neither the call nor the client names any.
        unnamed: seconds that the caller waits then. Nothing is sent along, so that the server's own deadline holds.
    """
    seconds = time_left(wanted)
    if seconds is None:
        return Call(opening, unnamed, None)
    call = Call[Any, Any](opening, min(seconds, _LONGEST_SECONDS), milliseconds(seconds))
    call.inherited = seconds != wanted
    return call


def left_early() -> Cancelled:
    """What a stream ends with that its reader left before its end."""
    return Cancelled("the stream was closed before its end")

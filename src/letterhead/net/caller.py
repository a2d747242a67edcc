"""What both clients know before they choose a connection: address, limits, and how a call is prepared.

Here is also decided how long a call may take. A plain one has the time of its own, else its client's, else what a
server grants. One with a stream, either way, may take as long as it wants unless it names a time: only so long as no
server has answered at all it waits as a plain one does. Whatever a handler calls gets no more time than it has left.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from letterhead.app.context import time_left
from letterhead.content.compression import readable
from letterhead.errors import Cancelled, ConnectionLost, DeadlineExceeded, UsageError
from letterhead.exchange.asking import Phase
from letterhead.exchange.calls import NOTHING, Asks, Call, reader_of
from letterhead.exchange.fields import BIG
from letterhead.exchange.openings import Streamed, action_call, message_call, upload_call
from letterhead.exchange.requester import Requester
from letterhead.exchange.timing import Timing
from letterhead.limits import Limits
from letterhead.message import Message, media_type
from letterhead.net import address as addresses
from letterhead.wire.header import TYPE, Headers

_LONGEST_SECONDS = BIG / 1000
"""No wait is longer: 24 days, which is what a deadline on the wire can say."""


class Caller:
    """Base of ``Client`` and ``AsyncClient``."""

    def __init__(
        self,
        address: str,
        timeout: float | None,
        limits: Limits | None,
        accept: Sequence[str],
        compression: Sequence[str],
    ) -> None:
        self._address = addresses.parse(address)
        self._timeout = timeout
        self._limits = limits or Limits()
        self._headers = Headers(self._limits)
        self._compression = readable(compression)
        self._asks = Asks(_types(accept), self._compression) if accept or compression else NOTHING
        self._by_key: dict[Hashable, Call] = {}  # open calls whose place a later one may take

    def _action_call(
        self,
        action: str,
        arg: tuple[Any, ...],
        args: Mapping[str, Any],
        timeout: float | None,
        returns: Any,
        accept: Sequence[str] | None,
        timing: Timing | None,
    ) -> Call:
        if returns is not None:
            reader_of(returns)  # a type that cannot be should be told before anything is sent
        asks = self._asks if accept is None and timing is None else self._asks_for(accept, timing)
        wanted = self._timeout if timeout is None else timeout
        seconds = time_left(wanted)
        try:
            call = action_call(action, arg, args, seconds, self._limits, asks)
        except Streamed:
            seconds = time_left(timeout)
            call = upload_call(action, arg, args, seconds, self._limits, asks)
            return self._unhurried(call, seconds, timeout)
        return self._timed(call, seconds, wanted)

    def _stream_call(
        self,
        action: str,
        arg: tuple[Any, ...],
        args: Mapping[str, Any],
        timeout: float | None,
        accept: Sequence[str] | None,
        timing: Timing | None,
    ) -> Call:
        asks = self._asks if accept is None and timing is None else self._asks_for(accept, timing)
        seconds = time_left(timeout)
        try:
            call = action_call(action, arg, args, seconds, self._limits, asks)
        except Streamed:
            call = upload_call(action, arg, args, seconds, self._limits, asks)
        return self._unhurried(call, seconds, timeout)

    def _message_call(self, message: Message, timeout: float | None) -> Call:
        timeout = self._timeout if timeout is None else timeout
        seconds = time_left(timeout)
        return self._timed(message_call(message, seconds, self._limits), seconds, timeout)

    def _asks_for(self, accept: Sequence[str] | None, timing: Timing | None) -> Asks:
        if timing is not None and not isinstance(timing, Timing):
            raise UsageError(f"'timing' takes a letterhead.Timing, not {type(timing).__name__}")
        asks = self._asks if accept is None else self._asks._replace(accept=_types(accept))
        return asks._replace(timing=timing is not None)

    def _timed(self, call: Call, seconds: float | None, wanted: float | None) -> Call:
        if seconds is None:
            # Nothing is sent along then, so that the server's own deadline holds; but a server may fall silent.
            call.seconds = self._limits.deadline_seconds
        else:
            call.seconds = min(seconds, _LONGEST_SECONDS)
            call.inherited = seconds != wanted
        return call

    def _unhurried(self, call: Call, seconds: float | None, wanted: float | None) -> Call:
        """The same for a call with a stream."""
        if seconds is None:
            call.seconds = math.inf
            return call
        return self._timed(call, seconds, wanted)

    def _may_wait_on(self, call: Call) -> bool:
        """Whether it has no limit any more: it named none, and the server has answered something."""
        return call.seconds == math.inf and call.home is not None and call.home.requester.phase is Phase.MULTIPLEXED

    def _out_of_time(self, call: Call) -> DeadlineExceeded:
        """What a call ends with whose time is over."""
        seconds = self._limits.deadline_seconds if call.seconds == math.inf else call.seconds
        if call.home is None:
            sentence = f"no connection to {self._address} within {seconds:g} s"
        elif call.home.requester.phase is Phase.PROBING:
            sentence = f"nothing came back from {self._address} within {seconds:g} s; is a Letterhead server there?"
        elif not call.id:
            most = len(call.home.requester.open)
            sentence = (
                f"not sent within {seconds:g} s: {most} calls and streams are open on its connection, as many as may be"
            )
        else:
            sentence = f"no answer within {seconds:g} s"
        return DeadlineExceeded(sentence, seconds=seconds)

    def _in_common(self, requester: Requester | None) -> tuple[str, ...]:
        """The compressions that this client wants and a server is known to read, best first."""
        if not self._compression or requester is None:
            return ()
        return tuple(name for name in self._compression if name in requester.readable)

    def _take_place(self, call: Call, key: Hashable) -> None:
        """The call is the one with this key from now on; it supersedes the one before, if that is open."""
        try:
            earlier = self._by_key.get(key)
        except TypeError:
            raise UsageError(f"'supersedes' takes a hashable key, not {type(key).__name__}") from None
        self._by_key[key] = call
        call.key = key
        if earlier is not None and not earlier.done:
            call.supersedes = earlier

    def _leave_place(self, call: Call) -> None:
        """It has ended: nothing can supersede it."""
        if call.key is not None and self._by_key.get(call.key) is call:
            del self._by_key[call.key]

    def _requester(self, known_classic: bool) -> Requester:
        return Requester(
            self._limits, str(self._address), self._headers, known_classic=known_classic, compressions=self._compression
        )

    def _gone(self) -> ConnectionLost:
        return ConnectionLost("the client was closed", address=str(self._address))


def left_early() -> Cancelled:
    """What a stream ends with that its reader left before its end."""
    return Cancelled("the stream was closed before its end")


def _types(accept: Sequence[str]) -> tuple[str, ...]:
    if isinstance(accept, (list, tuple)) and all(isinstance(t, str) and TYPE.match(media_type(t)) for t in accept):
        return tuple(accept)
    raise UsageError(f"'accept' takes a list of content types such as 'application/msgpack', not {accept!r}")

"""What both clients know before they choose a connection: address, limits, and how a call is prepared.

Here is also decided how long a call may take. A plain one has the time of its own, else its client's, else what a
server grants. One with a stream, either way, may take as long as it wants unless it names a time: only so long as no
server has answered at all it waits as a plain one does. Whatever a handler calls gets no more time than it has left.
"""

import math
import os
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from letterhead.app.context import time_left
from letterhead.client.balancer import Member, Pool, State, Tell
from letterhead.content.compression import readable
from letterhead.errors import Cancelled, ConnectionFailed, ConnectionLost, DeadlineExceeded, UsageError
from letterhead.limits import Limits
from letterhead.message import Message, media_type
from letterhead.protocol.calls import NOTHING, Asks, Call, reader_of
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.fields import BIG
from letterhead.protocol.openings import Streamed, action_call, message_call, upload_call
from letterhead.protocol.states import Phase
from letterhead.protocol.timing import Timing
from letterhead.transport import address as addresses
from letterhead.transport.address import Address
from letterhead.wire.header import TYPE, Headers

_LONGEST_SECONDS = BIG / 1000
"""No wait is longer: 24 days, which is what a deadline on the wire can say."""


class Options(NamedTuple):
    """How a client keeps going.

    Attributes:
        wait_for_ready: whether calls wait for a connection; None: once there has been one.
        idempotent: names of actions that may be sent again after a loss; None: what servers say of theirs.
        keep_alive: whether an idle connection is kept, and looked after.
        on_state: called with each new state.
    """

    wait_for_ready: bool | None
    idempotent: Sequence[str] | None
    keep_alive: bool
    on_state: Callable[[State], object] | None


class Caller:
    """Base of ``Client`` and ``AsyncClient``."""

    def __init__(
        self,
        address: str | Sequence[str],
        timeout: float | None,
        limits: Limits | None,
        accept: Sequence[str],
        compression: Sequence[str],
        options: Options,
    ) -> None:
        self._addresses = _parsed(address)
        self._address = " or ".join(map(str, self._addresses))
        self._timeout = timeout
        self._limits = limits or Limits()
        _check(options)
        self._options = options
        self._headers = Headers(self._limits)
        self._compression = readable(compression)
        self._asks = Asks(_types(accept), self._compression) if accept or compression else NOTHING
        self._by_key: dict[Hashable, Call] = {}  # open calls whose place a later one may take

    @property
    @abstractmethod
    def _servers(self) -> Pool[Any]:
        """The servers, as its connections know them."""

    @property
    def state(self) -> State:
        """What its connections are in: ``"idle"``, ``"connecting"``, ``"ready"``, ``"reconnecting"``, ``"closed"``.

        Connections are made when a call needs one: an idle client whose server went away hears of it, and stays so.
        """
        return self._servers.state

    @property
    def counters(self) -> dict[str, int]:
        """What happened how often.

        ``connected``, ``connect-failed``; ``lost``: connections that ended while calls were open, ``left``: that a
        server ended in order; ``moved``: calls that a leaving server did not run and another got, ``repeated``: calls
        that were sent again, after ``unavailable`` or a loss.
        """
        return dict(self._servers.counters)

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

    def _out_of_time(self, call: Call) -> DeadlineExceeded | ConnectionFailed:
        """What a call ends with whose time is over."""
        seconds = self._limits.deadline_seconds if call.seconds == math.inf else call.seconds
        if call.repeats and (call.home is None or not call.id):
            # It was written, and what a server had begun of it is not known: no error may say that it never ran.
            last = "" if call.refused is None else f": {call.refused.message}"
            times = "once" if call.repeats == 1 else f"{call.repeats} times"
            sentence = f"no answer within {seconds:g} s; it was sent {times}{last}"
        elif call.home is None:
            why = self._servers.error or call.refused
            if isinstance(why, ConnectionFailed):
                return type(why)(f"{why.message} (tried for {seconds:g} s)", **why.facts)
            told = "" if why is None else f": {why.message}"
            sentence = f"no connection to {self._address} within {seconds:g} s{told}"
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

    def _in_common(self, requester: ClientProtocol | None) -> tuple[str, ...]:
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

    def _pool(self, tell: Tell) -> Pool[Any]:
        options = self._options
        servers = [(str(address), address) for address in self._addresses]
        return Pool(servers, self._limits, _random, tell, options.wait_for_ready, options.idempotent)

    def _requester(self, member: Member[Any]) -> ClientProtocol:
        return ClientProtocol(
            self._limits,
            member.name,
            self._headers,
            known_classic=member.classic,
            compressions=self._compression,
            idempotent=member.idempotent,
            cautious=not member.classic and (member.failures > 0 or self._options.wait_for_ready is True),
        )

    def _gone(self) -> ConnectionLost:
        return ConnectionLost("the client was closed", address=self._address)


def _parsed(address: str | Sequence[str]) -> list[Address]:
    written = [address] if isinstance(address, str) else address
    if not isinstance(written, (list, tuple)) or not written:
        raise UsageError(f"a client takes an address such as '127.0.0.1:65432', or a list of them, not {address!r}")
    return list(dict.fromkeys(map(addresses.parse, written)))


def _check(options: Options) -> None:
    names = options.idempotent
    if isinstance(names, str) or (names is not None and not all(isinstance(name, str) for name in names)):
        raise UsageError(f"'idempotent' takes a list of names of actions, not {names!r}")
    if options.wait_for_ready not in (None, True, False):
        raise UsageError(f"'wait_for_ready' is True, False or None, not {options.wait_for_ready!r}")
    if not isinstance(options.keep_alive, bool):
        raise UsageError(f"'keep_alive' is True or False, not {options.keep_alive!r}; Limits says how often it looks")
    if options.on_state is not None and not _is_plain(options.on_state):
        raise UsageError(f"'on_state' takes a plain function of one argument, not {options.on_state!r}")


def _is_plain(function: object) -> bool:
    import inspect

    return callable(function) and not inspect.iscoroutinefunction(function)


def _random() -> float:
    """A number from 0 to 1. The module ``random`` would take milliseconds to import, and the same seed after a fork."""
    return int.from_bytes(os.urandom(6), "big") / 2**48


def left_early() -> Cancelled:
    """What a stream ends with that its reader left before its end."""
    return Cancelled("the stream was closed before its end")


def _types(accept: Sequence[str]) -> tuple[str, ...]:
    if isinstance(accept, (list, tuple)) and all(isinstance(t, str) and TYPE.match(media_type(t)) for t in accept):
        return tuple(accept)
    raise UsageError(f"'accept' takes a list of content types such as 'application/msgpack', not {accept!r}")

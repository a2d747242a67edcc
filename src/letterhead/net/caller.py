"""What both clients know before they choose a connection: address, limits, and how a call is prepared."""

from collections.abc import Mapping
from typing import Any

from letterhead.app.context import time_left
from letterhead.errors import ConnectionLost, DeadlineExceeded
from letterhead.exchange.asking import Phase
from letterhead.exchange.calls import Call, action_call, message_call, reader_of
from letterhead.exchange.fields import BIG
from letterhead.exchange.requester import Requester
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.net import address as addresses
from letterhead.wire.header import Headers

_LONGEST_SECONDS = BIG / 1000
"""No wait is longer: 24 days, which is what a deadline on the wire can say."""


class Caller:
    """Base of ``Client`` and ``AsyncClient``."""

    def __init__(self, address: str, timeout: float | None, limits: Limits | None) -> None:
        self._address = addresses.parse(address)
        self._timeout = timeout
        self._limits = limits or Limits()
        self._headers = Headers(self._limits)

    def _action_call(
        self, action: str, arg: tuple[Any, ...], args: Mapping[str, Any], timeout: float | None, returns: Any
    ) -> Call:
        if returns is not None:
            reader_of(returns)  # a type that cannot be should be told before anything is sent
        timeout = self._timeout if timeout is None else timeout
        seconds = time_left(timeout)
        call = action_call(action, arg, args, seconds, self._limits)
        return self._timed(call, seconds, timeout)

    def _message_call(self, message: Message, timeout: float | None) -> Call:
        timeout = self._timeout if timeout is None else timeout
        seconds = time_left(timeout)
        return self._timed(message_call(message, seconds, self._limits), seconds, timeout)

    def _timed(self, call: Call, seconds: float | None, wanted: float | None) -> Call:
        if seconds is None:
            # Nothing is sent along then, so that the server's own deadline holds; but a server may fall silent.
            call.seconds = self._limits.deadline_seconds
        else:
            call.seconds = min(seconds, _LONGEST_SECONDS)
            call.inherited = seconds != wanted
        return call

    def _requester(self, *, known_classic: bool) -> Requester:
        return Requester(self._limits, str(self._address), self._headers, known_classic=known_classic)

    def _gone(self) -> ConnectionLost:
        return ConnectionLost("the client was closed", address=str(self._address))


def out_of_time(call: Call, address: str) -> DeadlineExceeded:
    """What a call ends with whose time is over."""
    seconds = call.seconds
    if call.home is None:
        sentence = f"no connection to {address} within {seconds:g} s"
    elif call.home.requester.phase is Phase.PROBING:
        sentence = f"nothing came back from {address} within {seconds:g} s; is a Letterhead server there?"
    else:
        sentence = f"no answer within {seconds:g} s"
    return DeadlineExceeded(sentence, seconds=seconds)

"""Names looked up within a time.

The system's resolver cannot be interrupted, and takes half a minute where no name server answers. So a name is looked
up in a daemon thread of its own: whoever waits may give up, and the thread ends when the resolver does. Event loops
look names up here, too: their own threads would hold up the end of the program for as long. Every connection asks
anew, since what a name stands for changes; to remember answers is the resolver's business.

An address in numbers needs no resolver, and no thread.
"""

import contextlib
import socket
import threading
from collections.abc import Callable

from letterhead.errors import ConnectionFailed, ConnectTimedOut, escaped
from letterhead.net import address as addresses
from letterhead.net.address import Address, Place

_THREAD = "letterhead-lookup"
_MOST = 64
"""Look-ups at once in this process: where the resolver hangs, clients that keep trying would pile up threads."""


def is_literal(host: str) -> bool:
    """Whether a host is an IP address in numbers."""
    for family in (socket.AF_INET6, socket.AF_INET) if ":" in host else (socket.AF_INET,):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host.partition("%")[0])
            return True
    return False


class Lookup:
    """One name being looked up.

    Args:
        address: whose name.
        tell: called in the thread that looked it up, once there is an answer.

    Raises:
        ConnectionFailed: too many are under way.
    """

    def __init__(self, address: Address, tell: Callable[[], None]) -> None:
        under_way = sum(thread.name == _THREAD for thread in threading.enumerate())
        if under_way >= _MOST:
            raise ConnectionFailed(
                f"the name '{escaped(address.host)}' was not looked up: {under_way} others still are, "
                "so the resolver of this machine does not answer",
                address=str(address),
            )
        self._address = address
        self._tell = tell
        self._places: list[Place] | None = None
        self._failure: Exception | None = None
        threading.Thread(target=self._run, name=_THREAD, daemon=True).start()

    def places(self) -> list[Place]:
        """The answer, once there is one.

        Raises:
            OSError: the name cannot be resolved (``socket.gaierror``).
        """
        if self._places is None:
            raise self._failure or OSError("the name is still being looked up")
        return self._places

    def _run(self) -> None:
        try:
            self._places = addresses.resolve(self._address, passive=False)
        except Exception as error:  # it belongs to whoever waits
            self._failure = error
        self._tell()


def look_up(address: Address, seconds: float) -> list[Place]:
    """The places that an address stands for, in the system's order; blocks for at most ``seconds``.

    Raises:
        ConnectTimedOut: the resolver did not answer in time.
        ConnectionFailed: too many look-ups are under way.
        OSError: the name cannot be resolved (``socket.gaierror``).
    """
    if is_literal(address.host):
        return addresses.resolve(address, passive=False)
    told = threading.Event()
    lookup = Lookup(address, told.set)
    if not told.wait(seconds):
        raise overdue(address, seconds)
    return lookup.places()


def overdue(address: Address, seconds: float) -> ConnectTimedOut:
    """The resolver did not answer in time."""
    return ConnectTimedOut(
        f"the name '{escaped(address.host)}' was not resolved within {seconds:g} s; "
        "does this machine reach its name server?",
        address=str(address),
    )

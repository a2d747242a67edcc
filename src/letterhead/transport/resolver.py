"""Names looked up within a time.

The system's resolver cannot be interrupted, and takes half a minute where no name server answers. So names are looked
up in daemon threads: whoever waits may give up, and the thread ends when the resolver does. Event loops look names up
here, too: their own threads would hold up the end of the program for as long. Every connection asks anew, since what a
name stands for changes; to remember answers is the resolver's business.

There are as many threads as names being looked up, to a bound; beyond it a name waits its turn, for as long as whoever
asked does. An address in numbers needs no resolver, and no thread.

What the addresses are for is not known here.
"""

import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Callable

from letterhead.errors import ConnectTimedOut, escaped
from letterhead.transport.address import Address, Place
from letterhead.transport.sigint import wait_by
from letterhead.transport.stop import Stop

_MOST = 64
"""Threads at once: where the resolver hangs, clients that keep trying would pile them up."""


def is_literal(host: str) -> bool:
    """Whether a host is an IP address in numbers."""
    for family in (socket.AF_INET6, socket.AF_INET) if ":" in host else (socket.AF_INET,):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host.partition("%")[0])
            return True
    return False


def resolve(address: Address, passive: bool) -> list[Place]:
    """The socket addresses of a name, in the system's order; blocks for as long as the system's resolver does.

    Args:
        address: whose host.
        passive: they are to listen at: ``""`` is every interface then, else this machine.

    Raises:
        OSError: the name cannot be resolved (``socket.gaierror``).
    """
    host: str | bytes | None = address.host or (None if passive else "localhost")
    if isinstance(host, str) and host.isascii():
        host = host.encode()  # else Python loads its tables of international names first
    flags = socket.AI_PASSIVE if passive else 0
    found: list[Place] = []
    try:
        places = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=flags)
    except ValueError:  # a label of 64 characters
        raise socket.gaierror(socket.EAI_NONAME, "no host can have such a name") from None
    for family, _, _, _, where in places:
        if family in (socket.AF_INET, socket.AF_INET6) and (family, where) not in found:
            found.append((family, where))
    return found


class Lookup:
    """One name being looked up.

    Args:
        address: whose name.
        tell: called once there is an answer, in another thread.
    """

    def __init__(self, address: Address, tell: Callable[[], None]) -> None:
        self._address = address
        self._tell = tell
        self._places: list[Place] | None = None
        self._failure: Exception | None = None
        _threads.begin(self)

    def places(self) -> list[Place]:
        """The answer, once there is one.

        Raises:
            OSError: the name cannot be resolved (``socket.gaierror``).
        """
        if self._places is None:
            raise self._failure or OSError("the name is still being looked up")
        return self._places

    def give_up(self) -> None:
        """Nobody waits for the answer any longer; nothing happens where it is there."""
        _threads.forget(self)

    def run(self) -> None:
        """Ask the resolver, for however long that takes."""
        try:
            self._places = resolve(self._address, passive=False)
        except Exception as error:  # it belongs to whoever waits
            self._failure = error
        self._tell()


class _Threads:
    """The threads of this process that look names up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at_work = 0
        self._waiting: deque[Lookup] = deque()

    def begin(self, lookup: Lookup) -> None:
        """Look it up, now or when a thread is free."""
        with self._lock:
            if self._at_work >= _MOST:
                self._waiting.append(lookup)
                return
            self._at_work += 1
        try:
            threading.Thread(target=self._work, args=(lookup,), name="letterhead-lookup", daemon=True).start()
        except BaseException:
            with self._lock:
                self._at_work -= 1
            raise

    def forget(self, lookup: Lookup) -> None:
        """Drop a look-up that nobody needs any more, if it has not begun."""
        with self._lock, contextlib.suppress(ValueError):  # it was begun already
            self._waiting.remove(lookup)

    def _work(self, lookup: Lookup | None) -> None:
        while lookup is not None:
            lookup.run()
            with self._lock:
                lookup = self._waiting.popleft() if self._waiting else None
                if lookup is None:
                    self._at_work -= 1


_threads = _Threads()


def _forget_the_parents() -> None:
    global _threads
    _threads = _Threads()


os.register_at_fork(after_in_child=_forget_the_parents)


def look_up(address: Address, seconds: float, stop: Stop | None = None) -> list[Place]:
    """The places that an address stands for, in the system's order; blocks for at most ``seconds``, or until ``stop``.

    Raises:
        ConnectTimedOut: the resolver did not answer in time.
        OSError: the name cannot be resolved (``socket.gaierror``), or it was stopped before there was an answer.
    """
    if is_literal(address.host):
        return resolve(address, passive=False)
    told = threading.Event()
    lookup = Lookup(address, told.set)
    try:
        with (stop or Stop()).waking(told.set):
            if not wait_by(told.wait, seconds):
                raise overdue(address, seconds)
    finally:
        lookup.give_up()
    return lookup.places()


def overdue(address: Address, seconds: float) -> ConnectTimedOut:
    """The resolver did not answer in time."""
    return ConnectTimedOut(
        f"the name '{escaped(address.host)}' was not resolved within {seconds:g} s; "
        "does this machine reach its name server?",
        address=str(address),
    )

"""Connecting, blocking: by any transport, and the TCP sockets that are raced for.

``happy_eyeballs`` decides which of a name's addresses is tried when. Here are the sockets that are tried, for threads
and for event loops alike (``Attempts``), and the loop over them for threads.

A socket that is not given out is closed before anything is returned or raised, also where the wait is interrupted.

What is sent on a connection is not known here.
"""

import contextlib
import errno
import math
import os
import select
import socket
import time

from letterhead.errors import ConnectionFailed
from letterhead.limits import Limits
from letterhead.transport import address as addresses
from letterhead.transport import resolver as names
from letterhead.transport.address import Address, Place
from letterhead.transport.happy_eyeballs import Race
from letterhead.transport.sigint import at_most
from letterhead.transport.sockets import refuse_itself
from letterhead.transport.stop import Stop
from letterhead.transport.wire import Wire, is_interruption

_UNDER_WAY = (errno.EINPROGRESS, errno.EINTR)


class Attempts:
    """The sockets of one race, each connecting without anybody waiting in it."""

    def __init__(self, race: Race) -> None:
        self._winner: socket.socket | None = None
        self._race = race
        self._under_way: dict[int, tuple[socket.socket, Place]] = {}

    @property
    def under_way(self) -> list[int]:
        """The descriptors of those that have not ended."""
        return list(self._under_way)

    def begin(self, now: float) -> list[int]:
        """Begin what is due: the descriptors that are to be watched until they can be written to."""
        begun: list[int] = []
        while self._winner is None and (place := self._race.begin(now)) is not None:
            sock: socket.socket | None = None
            try:
                sock = socket.socket(place[0], socket.SOCK_STREAM)
                sock.setblocking(False)
                code = sock.connect_ex(place[1])
                if code in _UNDER_WAY:
                    self._under_way[sock.fileno()] = sock, place
                    begun.append(sock.fileno())
                else:
                    self._settle(sock, place, code, now)
            except OSError as error:  # no descriptor is free, or the system lacks the family
                if sock is not None:
                    sock.close()
                if is_interruption(error):
                    raise
                self._race.failed(place, error, now)
        return begun

    def ended(self, number: int, now: float) -> None:
        """A descriptor can be written to: it is connected, or it failed."""
        sock, place = self._under_way.pop(number)
        self._settle(sock, place, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), now)

    def taken(self) -> socket.socket | None:
        """The connected socket, once there is one: from then on it is the caller's."""
        winner, self._winner = self._winner, None
        return winner

    def close(self) -> None:
        """Close all but the one that was taken."""
        for sock, _ in self._under_way.values():
            sock.close()
        self._under_way.clear()
        if self._winner is not None:
            self._winner.close()

    def _settle(self, sock: socket.socket, place: Place, code: int, now: float) -> None:
        try:
            if code:
                raise OSError(code, os.strerror(code))
            refuse_itself(sock)
        except OSError as error:
            sock.close()
            if is_interruption(error):
                raise
            self._race.failed(place, error, now)
            return
        if self._winner is None:
            self._winner = sock
        else:
            sock.close()  # another was connected in the same moment


def connect(address: Address, timeout: float | None, limits: Limits, stop: Stop | None = None) -> Wire:
    """A connection to an address of any transport, made within ``timeout`` and ``limits.connect_seconds``.

    Args:
        address: where to.
        timeout: seconds, at most; None for no bound but the limit.
        limits: how long it may take, and what else a transport goes by.
        stop: what another thread ends it by.

    Raises:
        ConnectionFailed: a subclass says why there is none; it was stopped.
    """
    seconds = limits.connect_seconds if timeout is None else min(timeout, limits.connect_seconds)
    began = time.monotonic()
    try:
        return address.transport.connect(address, seconds, limits, stop or Stop())
    except OSError as error:
        if is_interruption(error) and time.monotonic() < began + seconds:  # a timeout before its time is none of ours
            raise
        raise addresses.connect_failed(address, error, seconds) from None


def tcp_socket(address: Address, seconds: float, limits: Limits, stop: Stop) -> socket.socket:
    """A TCP socket connected within ``seconds`` to one of the addresses of a host.

    Args:
        address: host and port.
        seconds: how long it may take.
        limits: when a further address of a name is tried.
        stop: what another thread ends it by.

    Raises:
        OSError: there is none; ConnectionFailed where several addresses were tried, or it was stopped.
    """
    began = time.monotonic()
    places = names.look_up(address, seconds, stop)
    race = Race(places, now=began, seconds=seconds, stagger=limits.eyeballs_seconds)
    woken, waker = socket.socketpair()
    with woken, waker, stop.waking(lambda: _wake(waker)):
        return _won(race, address, seconds, woken.fileno())


def _wake(waker: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed already: a signal handler has interrupted who waited
        waker.send(b"x")


def _won(race: Race, address: Address, seconds: float, woken: int) -> socket.socket:
    """The winner of a race; ``woken`` can be read from when nobody wants one any more."""
    attempts = Attempts(race)
    poller = select.poll()
    poller.register(woken, select.POLLIN)
    now = time.monotonic()
    try:
        while True:
            for number in attempts.begin(now):
                poller.register(number, select.POLLOUT)
            winner = attempts.taken()
            if winner is not None:
                return winner
            if race.lost(now):
                raise race.verdict(address, seconds)
            for number, _ in poller.poll(max(0, math.ceil(at_most(race.due - time.monotonic()) * 1000))):
                if number == woken:
                    raise ConnectionFailed(f"connecting to {address} was given up", address=str(address))
                poller.unregister(number)
                attempts.ended(number, now)
            now = time.monotonic()
    finally:
        attempts.close()

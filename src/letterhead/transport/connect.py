"""Connected sockets, blocking: the shell of ``eyeballs`` for threads, and the sockets that both shells race.

A socket that is not given out is closed before anything is returned or raised, also where the wait is interrupted.
"""

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
from letterhead.transport.stop import Stop

QUEUE_PAUSE = 0.01
"""Seconds between two tries where a Unix listener's queue is full. No event tells that it has room again, and a socket
that blocks takes a signal meanwhile for a connection: Python asks it for an error, and it has none."""
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
            if sock.getsockname() == sock.getpeername():
                raise ConnectionRefusedError(*addresses.TO_ITSELF)
        except OSError as error:
            sock.close()
            self._race.failed(place, error, now)
            return
        if self._winner is None:
            self._winner = sock
        else:
            sock.close()  # another was connected in the same moment


def connected(address: Address, seconds: float, limits: Limits, stop: Stop | None = None) -> socket.socket:
    """A socket connected to ``address`` within ``seconds``.

    Args:
        address: where to.
        seconds: how long it may take.
        limits: when a further address of a name is tried.
        stop: what another thread ends it by.

    Raises:
        ConnectionFailed: a subclass says why there is none; it was stopped.
    """
    stop = stop or Stop()
    try:
        if address.path is not None:
            return _connected_unix(address.path, seconds, stop)
        began = time.monotonic()
        places = names.look_up(address, seconds, stop)
    except OSError as error:
        raise addresses.connect_failed(address, error, seconds) from None
    race = Race(places, now=began, seconds=seconds, stagger=limits.eyeballs_seconds)
    woken, waker = socket.socketpair()
    with woken, waker, stop.waking(lambda: waker.send(b"x")):
        return _won(race, address, seconds, woken.fileno())


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
            for number, _ in poller.poll(max(0, math.ceil((race.due - time.monotonic()) * 1000))):
                if number == woken:
                    raise ConnectionFailed(f"connecting to {address} was given up", address=str(address))
                poller.unregister(number)
                attempts.ended(number, now)
            now = time.monotonic()
    finally:
        attempts.close()


def _connected_unix(path: str, seconds: float, stop: Stop) -> socket.socket:
    until = time.monotonic() + seconds
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
                return sock
            except BlockingIOError:
                if stop.stopped or time.monotonic() >= until:
                    raise TimeoutError from None
                time.sleep(min(QUEUE_PAUSE, seconds))
    except BaseException:
        sock.close()
        raise

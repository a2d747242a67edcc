"""The connections of a ``Client``, and on which of them a call goes.

All calls share one connection; a classic server gets one for each call. A thread that needs a connection makes it, and
others that need one meanwhile wait for that. What was not written when a connection ended is placed again by the thread
that waits for it.

All methods are called with the client's lock held; it is free while a connection is made.
"""

import threading
import time
from collections.abc import Callable

from letterhead.errors import ConnectionFailed, ConnectionLost, ConnectTimedOut, LetterheadError, UsageError
from letterhead.exchange.asking import Elsewhere, Phase
from letterhead.exchange.calls import Call, superseded
from letterhead.exchange.requester import Requester
from letterhead.limits import Limits
from letterhead.net import address as addresses
from letterhead.net.address import Address
from letterhead.net.link import Link
from letterhead.net.waiters import tell
from letterhead.net.wire import Wire, connect

Connector = Callable[[float | None], Wire]
_CLOSE_TO = 0.01
"""Seconds: a connection that timed out this close to the end of a call's time did so because of that call."""


class Links:
    """Places calls.

    Args:
        lock: the client's.
        address: the server's.
        limits: how long connecting may take.
        make: makes a conversation; told whether the server was classic when last seen.
        connector: how to connect, if not by the address.

    Attributes:
        gone: why no call is placed any more, once ``close`` was called.
    """

    def __init__(
        self,
        lock: threading.Lock,
        address: Address,
        limits: Limits,
        make: Callable[[bool], Requester],
        connector: Connector | None,
    ) -> None:
        self.gone: ConnectionLost | None = None
        self._lock = lock
        self._address = address
        self._limits = limits
        self._make = make
        self._connector = connector or (lambda seconds: connect(address, seconds, limits))
        self._dialled = threading.Condition(lock)
        self._dialling: list[Call] | None = None  # calls that wait for the connection being made
        self._current: Link | None = None
        self._all: set[Link] = set()
        self._classic = False  # the server was classic when last seen

    @property
    def requester(self) -> Requester | None:
        """The conversation on the connection that all calls share, if there is one; also without the lock."""
        link = self._current
        return None if link is None else link.requester

    def place(self, call: Call, until: float | None) -> None:
        """Find or make a connection for a call; one that waited in vain is placed again."""
        if self.gone is not None:
            raise UsageError("this client is closed")
        link = self._current
        shared = link is not None and not self._classic and link.takes_calls()
        earlier = call.supersedes
        if earlier is not None and not (shared and earlier.home is link) and not earlier.done:
            call.supersedes = None  # no connection will carry both
            self._displace(earlier)
        if link is not None and shared:
            link.submit(call)
        elif self._classic:
            self._dial([call], until)
        elif self._dialling is None:
            calls = [call]
            try:
                self._dialling = calls
                self._dial(calls, until)
            finally:
                if self._dialling is calls:  # interrupted before it had begun
                    self._dialling = None
                    self._dialled.notify_all()
        else:
            self._dialling.append(call)
            self._dialled.wait(None if until is None else max(0.0, until - time.monotonic()))
            if self._dialling is not None and call in self._dialling:
                self._dialling.remove(call)

    def withdraw(self, call: Call, *, late: bool) -> None:
        """The caller does not wait any longer; ``late`` says that its time is over.

        It has been told why: giving up may end the whole connection.
        """
        link: Link | None = call.home
        if link is not None:
            link.withdraw(call, late=late)

    def close(self, gone: ConnectionLost) -> list[threading.Thread]:
        """Close all; what is open fails with ``gone``. The threads that were at work there, and will end."""
        self.gone = gone
        links = list(self._all)
        threads = [thread for link in links for thread in (link.helper, link.writer) if thread is not None]
        for link in links:
            link.end(gone)
        return threads

    def forget(self) -> None:
        """In the child of a fork: what the parent has open stays the parent's."""
        for link in self._all:
            link.forget()

    def _displace(self, earlier: Call) -> None:
        if earlier.incoming is not None:
            earlier.incoming.drop()
        end(earlier, superseded())
        self.withdraw(earlier, late=False)

    def _dial(self, calls: list[Call], until: float | None) -> None:
        """Make a connection; where there is none, the calls that wait for it fail."""
        wire: Wire | None = None
        failure: ConnectionFailed | None = None
        self._lock.release()
        try:
            wire = self._connector(None if until is None else max(0.001, until - time.monotonic()))
        except Exception as error:  # also what a connector of the user's own raises
            failure = addresses.connect_failed(self._address, error, self._limits.connect_seconds)
        finally:
            self._lock.acquire()
            if calls is self._dialling:
                self._dialling = None
                self._dialled.notify_all()
        if wire is None:
            if isinstance(failure, ConnectTimedOut) and until is not None and time.monotonic() > until - _CLOSE_TO:
                return  # it was our own time that was over: the others, who may have more, try by themselves
            for call in calls:
                if failure is not None:
                    end(call, failure)
            return
        if self.gone is not None:
            wire.close()
            for call in calls:
                end(call, self.gone)
            return
        link = Link(self._lock, wire, self._make(self._classic), self)
        self._all.add(link)
        if not self._classic:
            self._current = link
        if not calls[0].done:
            link.submit(calls[0])

    # -- what links report -----------------------------------------------------------------------------------------

    def handed_back(self, back: Elsewhere) -> None:
        """Calls that were not written on a connection that has ended; each thread places its own again."""
        self._classic = self._classic or back.classic
        now = time.monotonic()
        for call in back.calls:
            call.since = now
            if self.gone is not None:
                end(call, self.gone)

    def multiplexes(self, link: Link) -> None:
        """A server was found to multiplex: its connection is for all calls."""
        self._classic = False
        if self._current is None:
            self._current = link

    def parted(self, link: Link) -> None:
        """A connection has ended."""
        if self._current is link:
            self._current = None
        if link.requester.phase is Phase.CLASSIC:
            self._classic = True

    def closed(self, link: Link) -> None:
        """Its wire is closed."""
        self._all.discard(link)

    def keeps(self, link: Link) -> bool:
        """Whether an idle connection is kept for further calls."""
        return link is self._current


def end(call: Call, error: LetterheadError) -> None:
    """It ends with this error, unless it has ended: wake whoever waits for it."""
    if not call.done:
        call.fail(error)
        tell(call)

"""The connections of a ``Client``, and on which of them a call goes.

Which server gets a call, and when one is tried again, is decided in ``pool.py``; here stands who connects and who waits
for it. All calls to a server share one connection; a classic server gets one for each call.

Where there is one server a thread that needs the connection makes it, and others that need it meanwhile wait for that.
Where there are several, threads of their own make them, so that no call waits for a server that does not answer while
another does. A call that has no connection is placed again by the thread that waits for it, as often as something has
changed.

All methods are called with the client's lock held; it is free while they wait.
"""

import threading
import time
from collections.abc import Callable

from letterhead.client.balancer import Member, Pool, State
from letterhead.client.blocking.connection import Link
from letterhead.client.blocking.waiters import ClientLock, once, taken, tell, wait_on
from letterhead.errors import ConnectionFailed, ConnectionLost, ConnectTimedOut, LetterheadError, UsageError
from letterhead.limits import Limits
from letterhead.protocol.calls import Call, superseded
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.retry import Elsewhere
from letterhead.transport import address as addresses
from letterhead.transport.address import Address
from letterhead.transport.connect import connect
from letterhead.transport.stop import Stop
from letterhead.transport.wire import Wire

Connector = Callable[[str, float | None], Wire]
_CLOSE_TO = 0.01
"""Seconds: a connection that timed out this close to the end of a call's time did so because of that call."""
Server = Member[Link]


class Links:
    """Places calls.

    Args:
        lock: the client's.
        pool: the servers.
        limits: how long connecting may take.
        make: makes a conversation with a server.
        connector: how to connect, if not by the address.
        stands: hears of the state after each change.
        keep_alive: whether an idle connection is kept, and looked after.

    Attributes:
        gone: why no call is placed any more, once ``close`` was called.
    """

    def __init__(
        self,
        lock: ClientLock,
        pool: Pool[Link],
        limits: Limits,
        make: Callable[[Server], ClientProtocol],
        connector: Connector | None,
        stands: Callable[[State], None],
        *,
        keep_alive: bool,
    ) -> None:
        self.gone: ConnectionLost | None = None
        self.pool = pool
        self._lock = lock
        self._limits = limits
        self._make = make
        self._connector = connector
        self._stands = stands
        self._keep_alive = keep_alive
        self._changed: dict[threading.Lock, None] = {}  # what those sleep on who wait for a change
        self._stop = Stop()
        self._dialling: set[threading.Thread] = set()
        self._members: dict[Link, Server] = {}
        self._singles: set[Link] = set()  # connections for one call to a classic server, while that is open

    @property
    def requester(self) -> ClientProtocol | None:
        """The conversation on the connection that all calls share, if there is one; also without the lock."""
        members = self.pool.members
        link = members[0].connection if len(members) == 1 else None
        return None if link is None else link.requester

    def place(self, call: Call, until: float | None) -> None:
        """Find or make a connection for a call, or wait until something has changed, or its time is over."""
        if self.gone is not None:
            if call.since < 0:
                raise UsageError("this client is closed")
            end(call, self.gone)  # it waited when that happened
            return
        now = time.monotonic()
        if call.not_before > now:
            self._wait(call.not_before, until)
            return
        pool = self.pool
        member = self._choose(call, now)
        link = None if member is None or member.classic else member.connection
        earlier = call.supersedes
        if earlier is not None and (link is None or earlier.home is not link) and not earlier.done:
            call.supersedes = None  # no connection will carry both
            self._displace(earlier)
        if member is not None and link is not None:
            if call.since >= 0:
                call.shorten(now)
            if len(pool.members) > 1:
                self._dial_another(now)
            link.submit(call)
            if pool.may_learn(member, now):
                link.requester.learn()
                link.moved()
        elif member is not None:
            self._dial_classic(member, call, until)
        else:
            self._wait_for_one(call, now, until)

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
        self.pool.closed = True
        links = list(self._members)
        threads = [thread for link in links for thread in (link.helper, link.writer) if thread is not None]
        self._stop.stop()
        if self._connector is None:  # one of the user's own may take its time
            threads += self._dialling
        for link in links:
            link.end(gone)
        self._something_changed()
        return threads

    def forget(self) -> None:
        """In the child of a fork: what the parent has open stays the parent's."""
        for link in self._members:
            link.forget()

    def _choose(self, call: Call, now: float) -> Server | None:
        """A server that takes the call. A connection that idled is looked at first: it may be closed by now."""
        while True:
            member = self.pool.choose(call, now)
            if member is None or member.classic or member.connection is None or member.connection.takes_calls():
                return member

    def _displace(self, earlier: Call) -> None:
        if earlier.incoming is not None:
            earlier.incoming.drop()
        end(earlier, superseded())
        self.withdraw(earlier, late=False)

    # -- waiting for a connection ----------------------------------------------------------------------------------

    def _wait(self, moment: float, until: float | None) -> None:
        """Wait until something has changed, or the moment has come."""
        moment = moment if until is None else min(moment, until)
        waiter = taken()
        self._changed[waiter] = None
        try:
            wait_on(self._lock, waiter, None if moment == float("inf") else moment)
        finally:
            self._changed.pop(waiter, None)

    def _something_changed(self) -> None:
        changed, self._changed = self._changed, {}
        for waiter in changed:
            waiter.release()
        self._stands(self.pool.state)

    def _wait_for_one(self, call: Call, now: float, until: float | None) -> None:
        """Nobody takes the call at the moment."""
        pool = self.pool
        self._begins_to_wait(call, now)
        why = pool.hopeless(call)
        if why is not None:
            end(call, why)
            return
        member = pool.next_to_dial(now)
        if member is None:
            if until is not None:
                pool.hurry(now, until)
            self._wait(pool.due(now), until)
        elif member.classic:
            self._dial_classic(member, call, until)
        elif len(pool.members) == 1:
            self._dial(member, until)
        else:
            self._dial_apart(member)

    def _begins_to_wait(self, call: Call, now: float) -> None:
        if call.since < 0:
            self.pool.begins_to_wait(call, now)

    def _dial_another(self, now: float) -> None:
        """Connect to a further server, if those that are connected have enough to do."""
        member = self.pool.next_to_dial(now)
        if member is not None:
            self._dial_apart(member)

    def _dial_apart(self, member: Server) -> None:
        self.pool.dials(member, time.monotonic())
        thread = threading.Thread(target=self._dial_alone, args=(member,), name="letterhead-connect", daemon=True)
        try:
            thread.start()
            self._dialling.add(thread)
        except RuntimeError:  # the system has no more threads
            self.pool.gave_up(member)
            raise

    def _dial_alone(self, member: Server) -> None:
        with self._lock:
            try:
                self._dial(member, None)
            finally:
                self._dialling.discard(threading.current_thread())

    # -- making connections ----------------------------------------------------------------------------------------

    def _dial(self, member: Server, until: float | None) -> None:
        """Make the connection to a server that its calls share."""
        pool = self.pool
        pool.dials(member, time.monotonic())
        self._stands(pool.state)
        try:
            self._connected(member, until)
        finally:
            if member.dialling is not None:  # interrupted, or the call's own time was over
                pool.gave_up(member)
            self._something_changed()

    def _dial_classic(self, member: Server, call: Call, until: float | None) -> None:
        """Make a connection for one call to a classic server; while it is set aside, by one call at a time."""
        now = time.monotonic()
        self._begins_to_wait(call, now)
        member.own += 1
        if member.failures:
            self.pool.dials(member, now)
        link: Link | None = None
        try:
            link = self._connected(member, until)
        finally:
            if link is None:
                member.own -= 1
            else:
                self._singles.add(link)
            if member.dialling is not None:
                self.pool.gave_up(member)
            if member.failures or link is None:
                self._something_changed()
        if link is None:
            if not self.pool.waits and member.error is not None and call.home is None:
                end(call, member.error)
        elif not call.done:
            call.shorten(time.monotonic())
            link.submit(call)
        else:
            link.hand_over()

    def _connected(self, member: Server, until: float | None) -> Link | None:
        """A connection to a server, or None where there is none: then the pool knows why."""
        wire: Wire | None = None
        failure: ConnectionFailed | None = None
        where: Address = member.where
        ours = once()
        try:
            self._lock.release()
            seconds = None if until is None else max(0.001, until - time.monotonic())
            if self._connector is None:
                wire = connect(where, seconds, self._limits, self._stop)
            else:
                wire = self._connector(str(where), seconds)
                if wire is None:
                    raise ConnectionFailed(f"the connector made no connection to {where}", address=str(where))
        except Exception as error:  # also what a connector of the user's own raises
            failure = addresses.connect_failed(where, error, self._limits.connect_seconds)
        finally:
            self._lock._acquire_restore(ours)
        now = time.monotonic()
        if self.gone is not None:
            if wire is not None:
                wire.close()
            return None
        if wire is None or failure is not None:
            own_time = isinstance(failure, ConnectTimedOut) and until is not None and now > until - _CLOSE_TO
            if failure is not None and not own_time:  # else the others, who may have more time, try by themselves
                self.pool.failed(member, failure, now)
            return None
        link = Link(self._lock, wire, self._make(member), self, keep_alive=self._keep_alive)
        self._members[link] = member
        self.pool.joined(member, link, now)
        return link

    # -- what links report -----------------------------------------------------------------------------------------

    def handed_back(self, back: Elsewhere, link: Link) -> None:
        """Calls that were not answered on this connection; each thread places its own again."""
        if link.requester.ended:
            self.parted(link)
        self.pool.elsewhere(back, self._members[link], link.requester, time.monotonic())
        for call in back.calls:
            if self.gone is not None:
                end(call, self.gone)
        self._something_changed()

    def multiplexes(self, link: Link) -> None:
        """A server was found to multiplex: its connection is for all calls."""
        member = self._members[link]
        member.classic = False
        self._is_no_single(link)
        if member.connection is None:
            member.connection = link
        self.pool.answered(member, time.monotonic())
        self._something_changed()

    def parted(self, link: Link) -> None:
        """A connection has ended."""
        if not link.parted:
            link.parted = True
            self._is_no_single(link)
            self.pool.parted(self._members[link], link, time.monotonic())
            self._something_changed()

    def _is_no_single(self, link: Link) -> None:
        if link in self._singles:
            self._singles.discard(link)
            self._members[link].own -= 1

    def closed(self, link: Link) -> None:
        """Its wire is closed."""
        self._members.pop(link, None)

    def keeps(self, link: Link) -> bool:
        """Whether an idle connection is kept for further calls."""
        member = self._members.get(link)
        return member is not None and member.connection is link


def end(call: Call, error: LetterheadError) -> None:
    """It ends with this error, unless it has ended: wake whoever waits for it."""
    if not call.done:
        call.fail(error)
        tell(call)

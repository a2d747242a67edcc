"""The connections of an ``AsyncClient``, and on which of them a call goes.

Which server gets a call, and when one is tried again, is decided in ``pool.py``; here stand the connections, and the
calls that wait for one. All calls to a server share one connection; a classic server gets one for each call, a bounded
number at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from letterhead import clock
from letterhead.client.aio.connection import ClientConnection, tell
from letterhead.client.balancer import NEVER, Member, Pool, State
from letterhead.errors import ConnectionFailed, ConnectionLost, LetterheadError
from letterhead.limits import Limits
from letterhead.protocol.calls import Call, superseded
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.retry import Elsewhere
from letterhead.transport import address as addresses
from letterhead.transport import connect_async as async_dial
from letterhead.transport.stream import WriteBatch

Connector = Callable[[str, Callable[[], asyncio.BufferedProtocol]], Awaitable[object]]
CLASSIC_AT_ONCE = 16
"""Connections at once to a classic server, which answers one request on each."""
Server = Member[ClientConnection]


class Connections:
    """Places calls.

    Args:
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
        pool: Pool[ClientConnection],
        limits: Limits,
        make: Callable[[Server], ClientProtocol],
        connector: Connector | None,
        stands: Callable[[State], None],
        *,
        keep_alive: bool,
    ) -> None:
        self.gone: ConnectionLost | None = None
        self.pool = pool
        self._limits = limits
        self._make = make
        self._connector = connector
        self._stands = stands
        self._keep_alive = keep_alive
        self._batch = WriteBatch()
        self._members: dict[ClientConnection, Server] = {}
        self._dialling: set[asyncio.Task[None]] = set()
        self._waiting: dict[Call, None] = {}  # calls without a connection
        self._timer: asyncio.TimerHandle | None = None
        self._reviewing = False

    def __bool__(self) -> bool:
        """Whether there are any, or will be."""
        return bool(self._members or self._dialling or self._waiting)

    @property
    def requester(self) -> ClientProtocol | None:
        """The conversation on the connection that all calls share, if there is one."""
        members = self.pool.members
        connection = members[0].connection if len(members) == 1 else None
        return None if connection is None else connection.requester

    def place(self, call: Call) -> None:
        """Find a connection for a call, or make one, for which it waits."""
        now = clock.monotonic()
        self._place(call, None if call.not_before > now else self.pool.choose(call, now), now)

    def _place(self, call: Call, member: Server | None, now: float) -> None:
        """Give it to the server that was chosen; where there is none, or a classic one, it waits for a connection."""
        pool = self.pool
        connection = None if member is None or member.classic else member.connection
        earlier = call.supersedes
        if earlier is not None and (connection is None or earlier.home is not connection) and not earlier.done:
            call.supersedes = None  # no connection will carry both
            self._displace(earlier)
        if member is not None and connection is not None:
            if call.since >= 0:
                call.shorten(now)
            if len(pool.members) > 1:
                self._dial_another(now)
            connection.submit(call)
            if pool.may_learn(member, now):
                connection.learn()
            return
        if call.since < 0:
            pool.begins_to_wait(call, now)
        self._waiting[call] = None
        self._review_soon()

    def withdraw(self, call: Call, *, late: bool) -> None:
        """The caller does not wait any longer. It has been told why: giving up may end the whole connection."""
        if call.home is not None:
            call.home.cancel(call, late=late)
        else:
            self._waiting.pop(call, None)

    async def close(self, gone: ConnectionLost) -> None:
        """Close all; what is open or waits fails with ``gone``."""
        self.gone = gone
        self.pool.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for call in self._no_longer_waiting():
            end(call, gone)
        for connection in list(self._members):
            connection.close(gone)
        for task in list(self._dialling):
            task.cancel()
        if self._dialling:
            await asyncio.wait(self._dialling)
        for connection in list(self._members):  # some were made meanwhile
            connection.close(gone)
        if self._members:
            await asyncio.wait([connection.closed for connection in self._members], timeout=1.0)
        self._stands(self.pool.state)

    def _displace(self, earlier: Call) -> None:
        if earlier.incoming is not None:
            earlier.incoming.drop()
        end(earlier, superseded())
        self.withdraw(earlier, late=False)

    # -- waiting for a connection ----------------------------------------------------------------------------------

    def _no_longer_waiting(self) -> list[Call]:
        waiting, self._waiting = list(self._waiting), {}
        return waiting

    def _review_soon(self) -> None:
        """Something has changed: look at once what becomes of the calls that wait, but not from within that change."""
        if not self._reviewing:
            self._reviewing = True
            asyncio.get_running_loop().call_soon(self._review)

    def _review(self) -> None:
        """Place the calls that wait, or see to it that a connection is made."""
        self._reviewing = False
        pool = self.pool
        now = clock.monotonic()
        soonest = NEVER
        for call in self._no_longer_waiting():
            if call.done or self.gone is not None:
                continue
            if call.not_before > now:
                soonest = min(soonest, call.not_before)
                self._waiting[call] = None
                continue
            member = pool.choose(call, now)
            if member is None:
                why = pool.hopeless(call)
                if why is None:
                    self._waiting[call] = None
                    pool.hurry(now, call.ends or call.since + self._limits.deadline_seconds)
                else:
                    end(call, why)
            elif not member.classic:
                self._place(call, member, now)
            elif member.own < CLASSIC_AT_ONCE:
                self._dial_classic(member, call)
            else:
                self._waiting[call] = None
        if any(call.not_before <= now for call in self._waiting):
            self._dial_another(now)
            soonest = min(soonest, pool.due(now))
        self._wake_at(soonest)

    def _wake_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due != NEVER and self._waiting:
            delay = max(0.0, due - clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._review)

    def _dial_another(self, now: float) -> None:
        """Connect to a server, if that is called for."""
        member = self.pool.next_to_dial(now)
        if member is None:
            return
        if member.classic:  # which would take a call, were it not set aside; now it is not
            member.again_at = now
            self._review_soon()
            return
        self.pool.dials(member, now)
        self._stands(self.pool.state)
        self._dial(self._dial_shared(member)).add_done_callback(partial(self._dialled, member))

    # -- making connections ----------------------------------------------------------------------------------------

    def _dial(self, dialling: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(dialling)
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)
        return task

    async def _dial_shared(self, member: Server) -> None:
        """Make the connection to a server that its calls share."""
        connection = await self._connected(member)
        if connection is None:
            return
        if connection.requester.ended:  # before anything was sent
            why = connection.requester.why or ConnectionLost("the connection ended at once", address=member.name)
            self.pool.failed(member, why, clock.monotonic())
        elif not self._waiting and len(self.pool.members) == 1 and not self._keep_alive:
            self.pool.gave_up(member)
            connection.close(ConnectionLost("nobody waited for the connection any longer"))
        else:
            self.pool.joined(member, connection, clock.monotonic())

    def _dialled(self, member: Server, task: asyncio.Task[None]) -> None:
        if member.dialling is not None:  # cancelled, perhaps before it had begun
            self.pool.gave_up(member)
        if self.gone is None:
            self._stands(self.pool.state)
            self._review_soon()

    def _dial_classic(self, member: Server, call: Call) -> None:
        member.own += 1
        if member.failures:
            self.pool.dials(member, clock.monotonic())
        self._dial(self._dial_one(member, call)).add_done_callback(partial(self._dialled_one, member, call))

    async def _dial_one(self, member: Server, call: Call) -> None:
        """A connection for one call to a classic server."""
        connection = await self._connected(member)
        if connection is None:
            if not self.pool.waits and member.error is not None:
                end(call, member.error)
            elif not call.done:
                self._waiting[call] = None
            return
        why = connection.requester.why
        if call.done or (call.waiter is not None and call.waiter.done()):
            connection.close(ConnectionLost("nobody waited for the connection any longer"))
        elif why is not None:
            end(call, why)
        else:
            now = clock.monotonic()
            self.pool.joined(member, connection, now)
            call.shorten(now)
            connection.submit(call)
            if self._waiting:
                self._review_soon()
            await asyncio.wait([connection.closed])

    def _dialled_one(self, member: Server, call: Call, task: asyncio.Task[None]) -> None:
        member.own -= 1
        if member.classic and member.dialling is not None:  # cancelled, or nobody waited any longer
            self.pool.gave_up(member)
        if self.gone is not None:  # by ``close``, perhaps before it had begun
            end(call, self.gone)
        else:
            self._review_soon()

    async def _connected(self, member: Server) -> ClientConnection | None:
        """A connection to a server, or None where there is none: then the pool knows why."""
        made: list[ClientConnection] = []

        def factory() -> ClientConnection:
            made.append(ClientConnection(self, self._make(member), self._batch, keep_alive=self._keep_alive))
            self._members[made[-1]] = member
            return made[-1]

        seconds = self._limits.connect_seconds
        try:
            if self._connector is None:
                await async_dial.connect(member.where, factory, self._limits)
            else:
                async with asyncio.timeout(seconds):
                    await self._connector(str(member.where), factory)
            if not made:
                raise ConnectionFailed(f"the connector made no connection to {member.name}", address=member.name)
        except Exception as error:  # also what a connector of the user's own raises: those who wait must hear of it
            self.pool.failed(member, addresses.connect_failed(member.where, error, seconds), clock.monotonic())
            return None
        finally:
            for connection in made:
                if not connection.is_open:
                    self._members.pop(connection, None)
        return made[-1]

    # -- what connections report -----------------------------------------------------------------------------------

    def learnt(self, connection: ClientConnection) -> None:
        """A server was found to multiplex: its connection is for all calls."""
        member = self._members[connection]
        member.classic = False
        if member.connection is None:
            member.connection = connection
        self.pool.answered(member, clock.monotonic())
        self._stands(self.pool.state)
        if self._waiting:
            self._review_soon()

    def handed_back(self, back: Elsewhere, connection: ClientConnection) -> None:
        """Calls that were not answered on this connection."""
        self._parted(connection)
        self.pool.elsewhere(back, self._members[connection], connection.requester, clock.monotonic())
        for call in back.calls:
            if self.gone is not None:
                end(call, self.gone)
            else:
                self._waiting[call] = None
        self._review_soon()

    def left(self, connection: ClientConnection) -> None:
        """A connection is gone."""
        if connection in self._members:
            self._parted(connection)
            del self._members[connection]
        if self._waiting:
            self._review_soon()

    def _parted(self, connection: ClientConnection) -> None:
        if connection.requester.ended and not connection.parted:
            connection.parted = True
            self.pool.parted(self._members[connection], connection, clock.monotonic())
            self._stands(self.pool.state)


def end(call: Call, error: LetterheadError) -> None:
    """It ends with this error, unless it has ended: wake whoever waits for it."""
    if not call.done:
        call.fail(error)
        tell(call)

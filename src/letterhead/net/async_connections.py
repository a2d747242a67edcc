"""The connections of an ``AsyncClient``, and on which of them a call goes.

A call is placed on the current connection, or waits for one that is being made. What was not written when a connection
ended is placed again, on a new one; what was written fails, since it may have run. A classic server gets a connection
for each call, a bounded number at a time.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from letterhead.errors import ConnectionFailed, ConnectionLost, LetterheadError
from letterhead.exchange.asking import Elsewhere, Phase
from letterhead.exchange.calls import Call, superseded
from letterhead.exchange.requester import Requester
from letterhead.limits import Limits
from letterhead.net import address as addresses
from letterhead.net import async_dial
from letterhead.net.address import Address
from letterhead.net.client_connection import ClientConnection, tell
from letterhead.net.connection import Turn

Connector = Callable[[Callable[[], asyncio.BufferedProtocol]], Awaitable[object]]
CLASSIC_AT_ONCE = 16
"""Connections at once to a classic server, which answers one request on each."""


class Connections:
    """Places calls.

    Args:
        address: the server's.
        limits: how long connecting may take.
        make: makes a conversation; told whether the server was classic when last seen.
        connector: how to connect, if not by the address.

    Attributes:
        current: the connection that all calls share, if there is one; it may have ended.
        classic: the server was classic when last seen.
        gone: why no call is placed any more, once ``close`` was called.
    """

    def __init__(
        self,
        address: Address,
        limits: Limits,
        make: Callable[[bool], Requester],
        connector: Connector | None,
    ) -> None:
        self.current: ClientConnection | None = None
        self.classic = False
        self.gone: ConnectionLost | None = None
        self._address = address
        self._limits = limits
        self._make = make
        self._connector = connector
        self._turn = Turn()
        self._all: set[ClientConnection] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self._sharing: asyncio.Task[None] | None = None  # makes the connection that all calls share
        self._waiting: list[Call] = []  # for that connection
        self._for_classic: deque[Call] = deque()

    def __bool__(self) -> bool:
        """Whether there are any, or will be."""
        return bool(self._all or self._dialling)

    @property
    def requester(self) -> Requester | None:
        """The conversation on the connection that all calls share, if there is one."""
        return None if self.current is None else self.current.requester

    def place(self, call: Call) -> None:
        """Find or make a connection for a call."""
        current = self.current
        shared = current is not None and current.requester.takes_calls and not self.classic
        earlier = call.supersedes
        if earlier is not None and not (shared and earlier.home is current) and not earlier.done:
            call.supersedes = None  # no connection will carry both
            self._displace(earlier)
        if current is not None and shared:
            current.submit(call)
        elif self.classic:
            self._for_classic.append(call)
            self._dial_classic()
        else:
            self._waiting.append(call)
            if self._sharing is None or self._sharing.done():
                self._sharing = self._dial(self._dial_shared())

    def withdraw(self, call: Call, *, late: bool) -> None:
        """The caller does not wait any longer. It has been told why: giving up may end the whole connection."""
        if call.home is not None:
            call.home.cancel(call, late=late)
        elif call in self._waiting:
            self._waiting.remove(call)
        elif call in self._for_classic:
            self._for_classic.remove(call)

    async def close(self, gone: ConnectionLost) -> None:
        """Close all; what is open or waits fails with ``gone``."""
        self.gone = gone
        for call in [*self._waiting, *self._for_classic]:
            end(call, gone)
        self._waiting.clear()
        self._for_classic.clear()
        for task in list(self._dialling):
            task.cancel()
        for connection in list(self._all):
            connection.close(gone)
        if self._dialling:
            await asyncio.wait(self._dialling)
        if self._all:
            await asyncio.wait([connection.closed for connection in self._all], timeout=1.0)

    def _displace(self, earlier: Call) -> None:
        if earlier.incoming is not None:
            earlier.incoming.drop()
        end(earlier, superseded())
        self.withdraw(earlier, late=False)

    # -- making connections ----------------------------------------------------------------------------------------

    def _dial(self, dialling: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(dialling)
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)
        return task

    async def _dial_shared(self) -> None:
        """Make the connection that all waiting calls share."""
        try:
            connection = await self._connected(known_classic=False)
        except ConnectionFailed as error:
            for call in self._no_longer_waiting():
                end(call, error)
            return
        waiting = self._no_longer_waiting()
        why = connection.requester.why
        if why is not None:  # it ended before anything was sent: to try again could go on without end
            for call in waiting:
                end(call, why)
        elif not waiting:
            connection.close(ConnectionLost("nobody waited for the connection any longer"))
        else:
            self.current = connection
            for call in waiting:
                self.place(call)

    def _no_longer_waiting(self) -> list[Call]:
        """What comes from now on waits for another connection."""
        waiting, self._waiting, self._sharing = self._waiting, [], None
        return waiting

    def _dial_classic(self) -> None:
        while self._for_classic and len(self._all) + len(self._dialling) < CLASSIC_AT_ONCE:
            call = self._for_classic.popleft()
            self._dial(self._dial_one(call)).add_done_callback(partial(self._dialled_one, call))

    def _dialled_one(self, call: Call, task: asyncio.Task[None]) -> None:
        if task.cancelled() and self.gone is not None:  # by ``close``, perhaps before it had begun
            end(call, self.gone)

    async def _dial_one(self, call: Call) -> None:
        """A connection for one call to a classic server."""
        try:
            connection = await self._connected(known_classic=True)
        except ConnectionFailed as error:
            end(call, error)
            asyncio.get_running_loop().call_soon(self._dial_classic)  # for the next one, once this task has ended
            return
        why = connection.requester.why
        if call.done or (call.waiter is not None and call.waiter.done()):
            connection.close(ConnectionLost("nobody waited for the connection any longer"))
        elif why is not None:
            end(call, why)
        else:
            connection.submit(call)

    async def _connected(self, *, known_classic: bool) -> ClientConnection:
        made: list[ClientConnection] = []

        def factory() -> ClientConnection:
            made.append(ClientConnection(self, self._make(known_classic), self._turn))
            return made[-1]

        seconds = self._limits.connect_seconds
        try:
            if self._connector is None:
                await async_dial.connect(self._address, factory, self._limits)
            else:
                async with asyncio.timeout(seconds):
                    await self._connector(factory)
        except Exception as error:  # also what a connector of the user's own raises: those who wait must hear of it
            raise addresses.connect_failed(self._address, error, seconds) from None
        return made[-1]

    # -- what connections report -----------------------------------------------------------------------------------

    def joined(self, connection: ClientConnection) -> None:
        """A connection was made."""
        self._all.add(connection)

    def learnt(self, connection: ClientConnection) -> None:
        """A server was found to multiplex: its connection is for all calls."""
        if self.classic:
            self.classic = False
            for_classic, self._for_classic = self._for_classic, deque()
            if self.current is None:
                self.current = connection
            for call in for_classic:
                self.place(call)

    def handed_back(self, back: Elsewhere, connection: ClientConnection) -> None:
        """Calls that were not written on a connection that has ended."""
        if self.current is connection:
            self.current = None
        self.classic = self.classic or back.classic
        for call in back.calls:
            call.home = None
            if self.gone is not None:
                end(call, self.gone)
            else:
                self.place(call)

    def left(self, connection: ClientConnection) -> None:
        """A connection is gone."""
        self._all.discard(connection)
        if self.current is connection:
            self.current = None
        if connection.requester.phase is Phase.CLASSIC:
            self.classic = True
        self._dial_classic()


def end(call: Call, error: LetterheadError) -> None:
    """It ends with this error, unless it has ended: wake whoever waits for it."""
    if not call.done:
        call.fail(error)
        tell(call)

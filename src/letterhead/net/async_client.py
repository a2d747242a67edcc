"""``AsyncClient``: many calls at once over one connection, for asyncio and uvloop.

A call is placed on the current connection, or waits for one that is being made. What was not written when a connection
ended is placed again, on a new one; what was written fails, since it may have run. A classic server gets a connection
for each call, a bounded number at a time.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from letterhead.errors import ConnectionFailed, ConnectionLost, LetterheadError, UsageError
from letterhead.exchange.asking import Elsewhere, Phase
from letterhead.exchange.calls import Call
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.net import address as addresses
from letterhead.net.caller import Caller, out_of_time
from letterhead.net.client_connection import ClientConnection
from letterhead.net.connection import Turn
from letterhead.net.expiry import Expiry

T = TypeVar("T")
Connector = Callable[[Callable[[], asyncio.BufferedProtocol]], Awaitable[object]]
CLASSIC_AT_ONCE = 16
"""Connections at once to a classic server, which answers one request on each."""


class AsyncClient(Caller):
    """Calls actions of a Letterhead server, or of a classic one. Connects at the first call.

    One client serves any number of tasks of one event loop.

    Args:
        address: ``HOST:PORT``, ``[::1]:PORT`` or ``unix:PATH``.
        timeout: seconds for each call that names none, sent along as its deadline. None: the server's own deadline
            holds, and this side waits ``Limits.deadline_seconds`` (30 s).
        limits: bounds on what the server may send, and on what is sent.
        connector: instead of an address's own way to connect: ``await connector(protocol_factory)``.

    Raises:
        UsageError: the address is not written as one.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float | None = None,
        limits: Limits | None = None,
        connector: Connector | None = None,
    ) -> None:
        super().__init__(address, timeout, limits)
        self._connector = connector or self._connect
        self._turn = Turn()
        self._expiry = Expiry(self._limits.deadline_seconds, self._expire)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._current: ClientConnection | None = None
        self._connections: set[ClientConnection] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self._waiting: list[Call] = []  # for the connection that is being made
        self._classic = False  # the server was classic when last seen
        self._for_classic: deque[Call] = deque()
        self._closed = False

    # -- what users call -------------------------------------------------------------------------------------------

    @overload
    async def call(
        self, action: str, /, *arg: Any, timeout: float | None = None, returns: type[T], **args: Any
    ) -> T: ...
    @overload
    async def call(self, action: str, /, *arg: Any, timeout: float | None = None, **args: Any) -> Any: ...
    async def call(
        self, action: str, /, *arg: Any, timeout: float | None = None, returns: Any = None, **args: Any
    ) -> Any:
        """Call an action and return its result.

        Args:
            action: its name.
            arg: one unnamed argument: JSON that is no object, or bytes.
            timeout: seconds until ``DeadlineExceeded``; the server gets the same deadline.
            returns: the type that the result is converted to and checked by, such as a dataclass or ``list[int]``.
            args: named arguments.

        Raises:
            Refused: the server refused the request; a subclass says why (``InvalidArgument``, ``UnknownAction``, …).
            DeadlineExceeded: no answer in time.
            ConnectionFailed: no connection, or it ended during the call; a subclass says how.
            BadContent: the result does not fit ``returns``.
            UsageError: arguments that cannot be sent, or the client is closed.
        """
        call = self._action_call(action, arg, args, timeout, returns)
        await self._perform(call)
        return call.result(returns, self._limits)

    async def send(self, message: Message, *, timeout: float | None = None) -> Message:
        """Send a message with a header and content of your own, and return the reply as it is.

        With an ``action`` field in its header it calls that action; without, it is a request in classic form.

        Raises:
            As ``call``.
        """
        call = self._message_call(message, timeout)
        await self._perform(call)
        reply: Message = call.result(None, self._limits)
        return reply

    async def close(self) -> None:
        """Close the connection. Calls that are open fail with ``ConnectionLost``."""
        self._closed = True
        self._expiry.close()
        gone = self._gone()
        for call in [*self._waiting, *self._for_classic]:
            self._end(call, gone)
        self._waiting.clear()
        self._for_classic.clear()
        for task in list(self._dialling):
            task.cancel()
        for connection in list(self._connections):
            connection.close(gone)
        if self._dialling:
            await asyncio.wait(self._dialling)
        if self._connections:
            await asyncio.wait([connection.closed for connection in self._connections], timeout=1.0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- one call --------------------------------------------------------------------------------------------------

    async def _perform(self, call: Call) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._enter(loop)
        if self._closed:
            raise UsageError("this client is closed")
        waiter = call.waiter = loop.create_future()
        current = self._current
        if current is not None and current.requester.takes_calls and not self._classic:
            current.submit(call)
        else:
            self._place(call)
        timer = None
        if call.deadline is None:
            self._expiry.watch(call, loop)
        else:
            timer = loop.call_later(call.seconds, self._expire, call)
        try:
            await waiter
        except asyncio.CancelledError:
            self._withdraw(call, late=False)
            raise
        finally:
            if timer is None:
                self._expiry.forget(call)
            else:
                timer.cancel()

    def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._connections or self._dialling:
            raise UsageError("this client is in use on another event loop: make one for each loop")
        self._loop = loop
        self._expiry.close()  # its timer was the other loop's

    def _expire(self, call: Call) -> None:
        if not call.done:
            error = out_of_time(call, str(self._address))
            self._withdraw(call, late=True)
            self._end(call, error)

    def _withdraw(self, call: Call, *, late: bool) -> None:
        """The caller does not wait any longer."""
        if call.home is not None:
            call.home.cancel(call, late=late)
        elif call in self._waiting:
            self._waiting.remove(call)
        elif call in self._for_classic:
            self._for_classic.remove(call)

    def _end(self, call: Call, error: LetterheadError) -> None:
        call.fail(error)
        self.ended(call)

    def ended(self, call: Call) -> None:
        """A call has its reply or its error: wake the caller."""
        waiter = call.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- connections -----------------------------------------------------------------------------------------------

    def _place(self, call: Call) -> None:
        """Find or make a connection for a call."""
        current = self._current
        if self._classic:
            self._for_classic.append(call)
            self._dial_classic()
        elif current is not None and current.requester.takes_calls:
            current.submit(call)
        else:
            self._waiting.append(call)
            if len(self._waiting) == 1:
                self._dial(self._dial_shared())

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
            waiting, self._waiting = self._waiting, []
            for call in waiting:
                self._end(call, error)
            return
        waiting, self._waiting = self._waiting, []
        why = connection.requester.why
        if why is not None:  # it ended before anything was sent: to try again could go on without end
            for call in waiting:
                self._end(call, why)
        elif not waiting:
            connection.close(ConnectionLost("nobody waited for the connection any longer"))
        else:
            self._current = connection
            for call in waiting:
                self._place(call)

    def _dial_classic(self) -> None:
        while self._for_classic and len(self._connections) + len(self._dialling) < CLASSIC_AT_ONCE:
            call = self._for_classic.popleft()
            self._dial(self._dial_one(call)).add_done_callback(partial(self._dialled_one, call))

    def _dialled_one(self, call: Call, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # by ``close``, perhaps before it had begun
            self._end(call, self._gone())

    async def _dial_one(self, call: Call) -> None:
        """A connection for one call to a classic server."""
        try:
            connection = await self._connected(known_classic=True)
        except ConnectionFailed as error:
            self._end(call, error)
            asyncio.get_running_loop().call_soon(self._dial_classic)  # for the next one, once this task has ended
            return
        why = connection.requester.why
        if call.done or call.waiter.done():
            connection.close(ConnectionLost("nobody waited for the connection any longer"))
        elif why is not None:
            self._end(call, why)
        else:
            connection.submit(call)

    async def _connected(self, *, known_classic: bool) -> ClientConnection:
        made: list[ClientConnection] = []

        def factory() -> ClientConnection:
            made.append(ClientConnection(self, self._requester(known_classic=known_classic), self._turn))
            return made[-1]

        seconds = self._limits.connect_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._connector(factory)
        except Exception as error:  # also what a connector of the user's own raises: those who wait must hear of it
            raise addresses.connect_failed(self._address, error, seconds) from None
        return made[-1]

    async def _connect(self, factory: Callable[[], asyncio.BufferedProtocol]) -> object:
        loop = asyncio.get_running_loop()
        address = self._address
        if address.path is not None:
            return await loop.create_unix_connection(factory, address.path)
        try:
            transport, protocol = await loop.create_connection(factory, address.host or "localhost", address.port)
        except ValueError:
            raise addresses.no_such_name() from None
        if transport.get_extra_info("sockname") == transport.get_extra_info("peername"):
            transport.abort()
            raise ConnectionRefusedError(*addresses.TO_ITSELF)
        return protocol

    # -- what connections report -----------------------------------------------------------------------------------

    def joined(self, connection: ClientConnection) -> None:
        """A connection was made."""
        self._connections.add(connection)

    def learnt(self, connection: ClientConnection) -> None:
        """A server was found to multiplex: its connection is for all calls."""
        if self._classic:
            self._classic = False
            for_classic, self._for_classic = self._for_classic, deque()
            if self._current is None:
                self._current = connection
            for call in for_classic:
                self._place(call)

    def handed_back(self, back: Elsewhere, connection: ClientConnection) -> None:
        """Calls that were not written on a connection that has ended."""
        if self._current is connection:
            self._current = None
        self._classic = self._classic or back.classic
        for call in back.calls:
            call.home = None
            if self._closed:
                self._end(call, self._gone())
            else:
                self._place(call)

    def left(self, connection: ClientConnection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        if self._current is connection:
            self._current = None
        if connection.requester.phase is Phase.CLASSIC:
            self._classic = True
        self._dial_classic()

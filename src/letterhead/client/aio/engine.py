"""``Engine``: carries out what the core of an async client asks for, on an event loop.

Everything about calls and connections is decided in the core (``client/core.py``); here its events become transports,
futures and one timer.

What serves all calls (connections, timers, callbacks) runs in an empty context: nothing of the handler or task whose
call happened to bring it about is found there.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import assert_never

from letterhead import clock
from letterhead.client import log
from letterhead.client.aio.connection import AioCall, AioCore, AioDial, ClientConnection
from letterhead.client.aio.streams import IN_THREAD, Upload, wake
from letterhead.client.balancer import NEVER
from letterhead.client.calls import Call
from letterhead.client.core import ClientCore, Close, Dial, Logged, Readable, Send, StateChanged, Writable
from letterhead.client.openings import pack
from letterhead.client.settings import Settings
from letterhead.client.state import State
from letterhead.errors import ConnectionFailed, UsageError
from letterhead.transport import address as addresses
from letterhead.transport import connect_async
from letterhead.transport.address import Address
from letterhead.transport.stream import WriteBatch

Connector = Callable[[str, Callable[[], asyncio.BufferedProtocol]], Awaitable[object]]


class Engine:
    """The connections of one client.

    Args:
        settings: what the client was told.
        servers: their addresses.
        connector: how to connect, if not by the address.

    Attributes:
        core: decides.
        settings: what the client was told.
    """

    def __init__(self, settings: Settings, servers: dict[str, Address], connector: Connector | None) -> None:
        self.settings = settings
        self.core: AioCore = ClientCore(settings, clock.chance)
        self._servers = servers
        self._connector = connector
        self._loop: asyncio.AbstractEventLoop | None = None
        self._batch = WriteBatch()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = NEVER
        self._pipes: set[ClientConnection] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self._uploads: dict[AioCall, Upload] = {}

    # -- calls -----------------------------------------------------------------------------------------------------

    def open(self, call: AioCall, key: Hashable) -> tuple[Upload | None, asyncio.AbstractEventLoop]:
        """Submit a call whose result is a stream, as ``perform`` does; its upload, if it has one, and its loop."""
        loop = self._here()
        if self.settings.compression and len(call.opening.content) < IN_THREAD:  # larger ones would hold up the loop
            pack(call.opening, self.core.compressions())
        self.core.submit(call, clock.monotonic(), key)
        upload = self._upload(call)
        self.handle()
        return upload, loop

    async def perform(self, call: AioCall, key: Hashable) -> None:
        """Submit a call and wait until it has ended.

        Raises:
            UsageError: the client is closed, the key cannot be hashed, or it is in use on another loop.
        """
        if self.settings.compression and (names := self.core.compressions()):
            if len(call.opening.content) >= IN_THREAD:
                await asyncio.to_thread(pack, call.opening, names)
            else:
                pack(call.opening, names)
        loop = self._here()
        waiter = call.waiter = loop.create_future()
        self.core.submit(call, clock.monotonic(), key)
        upload = None if call.source is None else self._upload(call)
        try:
            self.handle()
            await waiter
        except BaseException as error:  # the task was cancelled, or its coroutine closed: nobody waits for the answer
            self.leave(call)
            if isinstance(error, GeneratorExit):  # which allows no further await
                upload = None
            raise
        finally:
            call.waiter = None
            if upload is not None:
                await upload.ended()

    def _here(self) -> asyncio.AbstractEventLoop:
        """The running event loop, if this client may be used on it."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError("an AsyncClient is used by coroutines, on a running event loop") from None
        if loop is not self._loop:
            self._forget_closed_loop()
            if self.core.calls or self._pipes or self._dialling:
                raise UsageError("this client is in use on another event loop: make one for each loop")
            self._loop = loop
            self._batch = WriteBatch()
            self._timer, self._timer_due = None, NEVER  # it was the other loop's
        return loop

    def _forget_closed_loop(self) -> None:
        """Let go of what was open on a loop that is closed: nothing of it can move any more."""
        if self._loop is not None and self._loop.is_closed():
            self.core = self.core.successor()
            self._loop, self._timer, self._timer_due = None, None, NEVER
            for pipe in self._pipes:
                pipe.hang_up()
            self._pipes.clear()
            self._dialling.clear()
            self._uploads.clear()

    def _upload(self, call: AioCall) -> Upload | None:
        if call.source is None or call.done:
            return None
        upload = self._uploads[call] = Upload(self, call, self.settings.limits)
        upload.task.add_done_callback(lambda _: self._uploads.pop(call, None))
        return upload

    async def close(self) -> None:
        """End everything, and wait for what belongs to it."""
        self._forget_closed_loop()
        self.core.close(clock.monotonic())
        self.handle()
        for task in list(self._dialling):
            task.cancel()
        if self._dialling:
            await asyncio.wait(self._dialling)
        if self._pipes:
            await asyncio.wait([pipe.closed for pipe in self._pipes], timeout=1.0)
        for upload in list(self._uploads.values()):
            await upload.ended()
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_due = None, NEVER

    def leave(self, call: AioCall) -> None:
        """Nobody wants the answer to a call, or the rest of a stream, any longer."""
        self.core.cancel(call, clock.monotonic())
        self.handle()

    # -- what the core asks for ------------------------------------------------------------------------------------

    def handle(self) -> None:
        """Do what the core's events ask for."""
        core = self.core
        while core.events:
            events, core.events = core.events, []
            for event in events:
                if isinstance(event, Send):
                    event.connection.pipe.send_soon()
                elif isinstance(event, Call):
                    self._ended(event)
                elif isinstance(event, Readable):
                    wake(event.call.waiter)
                elif isinstance(event, Writable):
                    wake(event.call.sender)
                elif isinstance(event, Dial):
                    self._dial(event)
                elif isinstance(event, Close):
                    event.connection.pipe.abort()
                elif isinstance(event, StateChanged):
                    self._tell(event.state)
                elif isinstance(event, Logged):
                    log.write(event)
                else:
                    assert_never(event)
        due = core.due
        if due < self._timer_due:
            self._wake_at(due)

    def _ended(self, call: AioCall) -> None:
        if not call.opening.streams:  # else it is told with the end of the items
            call.tell_timing()
        wake(call.waiter)
        if call.source is not None:
            wake(call.sender)
            upload = self._uploads.get(call)
            if upload is not None:
                upload.stop()

    def _tell(self, state: State) -> None:
        callback = self.settings.on_state
        if callback is not None:
            asyncio.get_running_loop().call_soon(_call_back, callback, state, context=contextvars.Context())

    def _wake_at(self, due: float) -> None:
        """Call ``tick`` then. The timer is only replaced by an earlier one: it looks by itself what is due."""
        if self._timer is not None:
            self._timer.cancel()
        delay = clock.seconds_until(due)
        self._timer = asyncio.get_running_loop().call_later(delay, self._tick, context=contextvars.Context())
        self._timer_due = due

    def _tick(self) -> None:
        self._timer, self._timer_due = None, NEVER
        self.core.tick(clock.monotonic())
        self.handle()

    # -- connecting ------------------------------------------------------------------------------------------------

    def _dial(self, dial: AioDial) -> None:
        loop = asyncio.get_running_loop()
        # Not by the argument ``context``, which a task factory of the user's own may not know.
        task = contextvars.Context().run(loop.create_task, self._connect(dial))
        self._dialling.add(task)
        task.add_done_callback(partial(self._dialled, dial))

    async def _connect(self, dial: AioDial) -> None:
        made: list[ClientConnection] = []
        limits = self.settings.limits
        server = dial.endpoint.name
        where = self._servers[server]

        def factory() -> ClientConnection:
            pipe = ClientConnection(self, dial, limits, self._batch)
            made.append(pipe)
            self._pipes.add(pipe)
            pipe.closed.add_done_callback(lambda _: self._pipes.discard(pipe))
            return pipe

        failure: ConnectionFailed
        try:
            if self._connector is None:
                await connect_async.connect(where, factory, limits)
            else:
                async with asyncio.timeout(limits.connect_seconds):
                    await self._connector(server, factory)
            failure = ConnectionFailed(f"the connector made no connection to {where}", address=str(where))
        except Exception as error:  # also what a connector of the user's own raises: those who wait must hear of it
            failure = addresses.connect_failed(where, error, limits.connect_seconds)
        finally:
            for pipe in made:
                if pipe.connection is None:  # it never came to be
                    pipe.abort()
        self.core.connect_failed(dial, failure, clock.monotonic())  # nothing happens where it was connected
        self.handle()

    def _dialled(self, dial: AioDial, task: asyncio.Task[None]) -> None:
        self._dialling.discard(task)
        self.core.dial_abandoned(dial, clock.monotonic())  # where it was cancelled, perhaps before it had begun
        self.handle()


def _call_back(callback: Callable[[State], object], state: State) -> None:
    """Call ``on_state``."""
    try:
        callback(state)
    except Exception as error:
        log.write_failure("on-state-failed", "on_state failed", error)

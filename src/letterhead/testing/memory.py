"""Pipes in memory: a client joined to a running server without any socket.

``AsyncClient`` on the server's own event loop::

    async with Server(app, ()) as server:  # no address: only pipes like this one lead to it
        async with AsyncClient(ADDRESS, connector=connector(server)) as client: ...

``Client`` in another thread than the server's loop::

    with Client(ADDRESS, connector=wires(server, loop)) as client: ...

A pipe behaves as a Unix stream socket does. Each direction holds a bounded number of bytes; what does not fit stays
with the writer, whose transport then calls ``pause_writing``. Whoever closes with bytes unread resets the pipe, an end
of the stream lets what was sent before be read, and writing to a closed end is a broken pipe. A transport delivers one
bounded piece for each loop iteration.

Nothing here knows frames: what is tested is the real client, the real server, and all of the code between.
"""

import asyncio
import contextlib
import contextvars
import errno
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from letterhead.errors import Unavailable, UsageError
from letterhead.message import Buffer
from letterhead.server.server import Server
from letterhead.testing.flow import CAPACITY, Flow
from letterhead.transport.wire import Received

ADDRESS = "memory:0"
"""What such a client may be given as its address; it appears in messages only."""
PIECE = 64 * 1024
"""Bytes delivered at once, at most."""
_CALLER = "memory"

Accept = Callable[[Server, Flow, Flow], Awaitable[None]]
"""``await accept(server, inward, outward)``: what becomes of the far end of a pipe that a client opens.

It runs on the server's loop, and raises OSError where there is to be no connection.
"""


async def accept(server: Server, inward: Flow, outward: Flow) -> None:
    """Attach the far end to the server.

    Raises:
        ConnectionRefusedError: the server does not run, or ends.
    """
    transport = MemoryTransport(asyncio.get_running_loop(), inward, outward)
    try:
        server.attach(transport, _CALLER)
    except (UsageError, Unavailable):
        raise _refused() from None
    transport.start()


def connector(
    server: Server, accept: Accept = accept
) -> Callable[[str, Callable[[], asyncio.BufferedProtocol]], Awaitable[object]]:
    """The ``connector=`` of an ``AsyncClient`` that lives on the event loop of ``server``.

    Connecting raises ConnectionRefusedError while the server does not run, or ends.
    """

    async def connect(address: str, factory: Callable[[], asyncio.BufferedProtocol]) -> object:
        loop = asyncio.get_running_loop()
        to_server, to_client = pipe()
        await accept(server, to_server, to_client)
        protocol = factory()
        mine = MemoryTransport(loop, to_client, to_server)
        mine.set_protocol(protocol)
        protocol.connection_made(mine)
        mine.start()
        return mine, protocol

    return connect


def wires(
    server: Server, loop: asyncio.AbstractEventLoop, accept: Accept = accept
) -> Callable[[str, float | None], "MemoryWire"]:
    """The ``connector=`` of a ``Client``; ``loop`` is the event loop of ``server``, running in another thread.

    Connecting raises ConnectionRefusedError while the server does not run, or ends.
    """

    def connect(address: str, timeout: float | None) -> MemoryWire:
        to_server, to_client = pipe()

        async def accepted_there() -> None:
            await accept(server, to_server, to_client)

        accepting = accepted_there()
        try:
            accepted = asyncio.run_coroutine_threadsafe(accepting, loop)
        except RuntimeError:  # the loop is closed
            accepting.close()
            raise _refused() from None
        longest = server.app.limits.connect_seconds
        try:
            accepted.result(longest if timeout is None else min(timeout, longest))
        except BaseException:
            accepted.cancel()
            _part(to_client, to_server)
            raise
        return MemoryWire(to_client, to_server)

    return connect


def _refused() -> ConnectionRefusedError:
    return ConnectionRefusedError(errno.ECONNREFUSED, "the server does not run")


def pipe() -> tuple[Flow, Flow]:
    """The two directions of a new pipe."""
    changed = threading.Condition()
    return Flow(changed), Flow(changed)


def _part(inward: Flow, outward: Flow) -> None:
    """One end closes both directions."""
    if inward.cut():
        outward.reset()
    outward.end()


class MemoryTransport(asyncio.Transport):
    """One end of a pipe, on an event loop. The other end may be in another thread.

    It calls its protocol in an empty context, and reads once it has one and was started.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, inward: Flow, outward: Flow) -> None:
        super().__init__({"peername": _CALLER})
        self._loop = loop
        self._protocol: asyncio.BufferedProtocol = asyncio.BufferedProtocol()
        self._started = False
        self._in = inward
        self._out = outward
        self._context = contextvars.Context()
        self._unsent = bytearray()
        self._high, self._low = CAPACITY, CAPACITY // 4
        self._full = False  # the protocol was told to pause writing
        self._paused = False
        self._queued = False  # a read is queued on the loop
        self._peer_ended = False
        self._eof = False
        self._closing = False
        self._ended = False
        self._thread = threading.get_ident()
        inward.to_reader = lambda: self._soon(self._on_readable)
        outward.to_writer = lambda: self._soon(self._on_writable)

    def _soon(self, callback: Callable[..., object], *args: Any) -> None:
        if threading.get_ident() == self._thread:
            self._loop.call_soon(callback, *args, context=self._context)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
            self._loop.call_soon_threadsafe(callback, *args, context=self._context)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.BufferedProtocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def start(self) -> None:
        """Begin to read, for a protocol that was told of its connection."""
        self._started = True
        self._on_readable()

    # -- reading ---------------------------------------------------------------------------------------------------

    def is_reading(self) -> bool:
        return self._started and not self._paused and not self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._on_readable()

    def _on_readable(self) -> None:
        if self.is_reading() and not self._queued and not self._peer_ended:
            self._queued = True
            self._soon(self._read)

    def _read(self) -> None:
        """Deliver one piece."""
        self._queued = False
        if not self.is_reading():
            return
        protocol = self._protocol
        try:
            count = self._in.take(memoryview(protocol.get_buffer(-1))[:PIECE])
            if count:
                protocol.buffer_updated(count)
                self._on_readable()
            elif count == 0:
                self._peer_ended = True
                if not protocol.eof_received():
                    self.close()
        except OSError as error:
            self._end(error)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # as the loops' own transports do
            self._loop.call_exception_handler({"message": "a protocol failed", "exception": error, "transport": self})
            self._end(ConnectionAbortedError(errno.ECONNABORTED, f"a protocol failed: {error!r}"))

    # -- writing ---------------------------------------------------------------------------------------------------

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = CAPACITY if high is None else high
        self._low = self._high // 4 if low is None else low
        self._tell_fullness()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._eof:
            raise RuntimeError("Cannot call write() after write_eof()")
        if not self._closing:
            self._unsent += data
            self._on_writable()

    def writelines(self, list_of_data: Sequence[Any]) -> None:  # type: ignore[override]  # as the loops' transports do
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._eof and not self._closing:
            self._eof = True
            self._on_writable()

    def _on_writable(self) -> None:
        if self._ended:
            return
        unsent = self._unsent
        try:
            while unsent and (went := self._out.put(unsent)):
                del unsent[:went]
        except OSError as error:
            self._end(error)
            return
        if not unsent and self._closing:
            self._end(None)
            return
        if not unsent and self._eof:
            self._out.end()
        self._tell_fullness()

    def _tell_fullness(self) -> None:
        size = len(self._unsent)
        if not self._full and size > self._high:
            self._full = True
            self._protocol.pause_writing()
        elif self._full and size <= self._low:
            self._full = False
            self._protocol.resume_writing()

    # -- ends ------------------------------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._on_writable()

    def abort(self) -> None:
        self._unsent.clear()
        self._end(None)

    def reset(self) -> None:
        """Abort, and let whoever reads the other end see a reset, whatever was sent before."""
        self._out.reset()
        self.abort()

    def _end(self, error: Exception | None) -> None:
        if not self._ended:
            self._ended = self._closing = True
            self._unsent.clear()
            self._soon(self._lost, error)

    def _lost(self, error: Exception | None) -> None:
        _part(self._in, self._out)
        self._protocol.connection_lost(error)


class MemoryWire:
    """One end of a pipe for the blocking client; the other is on the server's event loop in another thread."""

    def __init__(self, inward: Flow, outward: Flow) -> None:
        self._changed = inward.changed
        self._in = inward
        self._out = outward

    def send(self, pieces: Sequence[Buffer]) -> int:
        total = 0
        for piece in pieces:
            went = self._out.put(piece)
            total += went
            if went < len(piece):
                break
        return total

    def receive(self, inbox: "deque[Received]", view: memoryview | None, timeout: float | None) -> bool:
        with self._changed:
            self._changed.wait_for(self._in.readable, timeout)
            came = self._in.take_bytes(PIECE) if view is None else self._in.take(view)
            if came is not None:
                inbox.append(came)
            return came is not None

    def wait(self, *, write: bool, read: bool, timeout: float | None) -> bool:
        def ready() -> bool:
            return (read and self._in.readable()) or (write and self._out.writable())

        with self._changed:
            return self._changed.wait_for(ready, timeout)

    def shutdown(self) -> None:
        _part(self._in, self._out)
        self._in.end()  # whoever waits here reads the end of the stream

    def close(self) -> None:
        self.shutdown()

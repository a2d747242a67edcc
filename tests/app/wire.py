"""A client of raw frames, through memory or over TCP: what the server says is seen as it stands on the wire.

What this file must not know: how the package's clients stream.
"""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from letterhead import App
from letterhead.server.server import Server
from letterhead.testing import memory
from tests.leaks import PATIENCE
from tests.wire.frames import Frame, frame, json_frame

PIPES = ("memory", "tcp")
MORE: dict[str, Any] = {"more": True}
END: dict[str, Any] = {"more": False}


class Wire(asyncio.BufferedProtocol):
    """A connection of raw frames.

    Attributes:
        server: the other end.
        forgets: what comes is dropped unseen.
        hello: the hello is a frame like others.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.forgets = False
        self.hello = False
        self.transport: Any = None
        self._scratch = bytearray(65_536)
        self._bytes = bytearray()
        self._ended = False
        self._moved = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        if not self.forgets:
            self._bytes += self._scratch[:nbytes]
        self._moved.set()

    def eof_received(self) -> bool:
        self._ended = True
        self._moved.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._moved.set()

    # -- out -------------------------------------------------------------------------------------------------------

    def send(self, *frames: bytes) -> None:
        """Write frames in one piece."""
        self.transport.write(b"".join(frames))

    def stop_reading(self) -> None:
        self.transport.pause_reading()

    def read_again(self) -> None:
        self.transport.resume_reading()

    # -- in --------------------------------------------------------------------------------------------------------

    async def frame(self) -> Frame:
        """The next frame, past the hello; an AssertionError where the connection ends before it."""
        async with asyncio.timeout(PATIENCE):
            while True:
                got = self._cut()
                if got is not None and (self.hello or "max-open" not in got.header):
                    return got
                if got is None:
                    assert not self._ended, "the server closed the connection"
                    self._moved.clear()
                    await self._moved.wait()

    async def answer(self, id: int) -> tuple[list[Any], Frame]:
        """The items of an exchange, as values, and its last frame. Others' frames must not come between."""
        return (await self.answers(id))[id]

    async def answers(self, *ids: int) -> dict[int, tuple[list[Any], Frame]]:
        """The same of several exchanges, whose frames may come in any order."""
        items: dict[int, list[Any]] = {id: [] for id in ids}
        last: dict[int, Frame] = {}
        while len(last) < len(ids):
            got = await self.frame()
            assert got.id in items, got
            assert got.id not in last, got
            if got.header.get("more") is True:
                items[got.id].append(value_of(got))
            elif "credit" not in got.header:
                last[got.id] = got
        return {id: (items[id], last[id]) for id in ids}

    async def ended(self) -> None:
        """Wait until the server's side has ended."""
        async with asyncio.timeout(PATIENCE):
            while not self._ended:
                self._moved.clear()
                await self._moved.wait()

    def _cut(self) -> Frame | None:
        data = self._bytes
        if len(data) < 2:
            return None
        (size,) = struct.unpack(">H", data[:2])
        if len(data) < 2 + size:
            return None
        header = json.loads(bytes(data[2 : 2 + size]))
        end = 2 + size + header["content-length"]
        if len(data) < end:
            return None
        content = bytes(data[2 + size : end])
        del data[:end]
        return Frame(header, content)


def value_of(got: Frame) -> Any:
    """An item's value: JSON, or bytes."""
    return got.value if got.header["content-type"] == "text/json" else got.content


def item(id: int, value: Any, **fields: Any) -> bytes:
    """An item of an upload: JSON, or bytes."""
    own = {"id": id, **MORE, **fields}
    return frame(own, value) if isinstance(value, bytes) else json_frame(value, own)


def end(id: int) -> bytes:
    """The end of an upload."""
    return frame({"id": id, **END})


def opening(id: int, action: str, /, *, more: bool = False, fields: dict[str, Any] | None = None, **args: Any) -> bytes:
    """A request by name, with named arguments."""
    return json_frame(args, {"id": id, "action": action, **(MORE if more else {}), **(fields or {})})


def upload(id: int, action: str, /, *items: Any, **args: Any) -> bytes:
    """A whole upload."""
    return b"".join([opening(id, action, more=True, **args), *(item(id, each) for each in items), end(id)])


Connect = Callable[[Server], Awaitable[Wire]]


async def wire_to(server: Server, pipe: str = "memory") -> Wire:
    """A connection to a server that runs on this loop."""
    if pipe == "memory":
        there = Wire(server)
        await memory.connector(server)(memory.ADDRESS, lambda: there)
        return there
    host, _, port = server.addresses[0].rpartition(":")
    _, made = await asyncio.get_running_loop().create_connection(lambda: Wire(server), host, int(port))
    return made


@contextlib.asynccontextmanager
async def wire(app: App, pipe: str = "memory") -> AsyncIterator[Wire]:
    """A server of an application, and a connection to it, while the block runs."""
    async with Server(app, ("127.0.0.1:0",) if pipe == "tcp" else ()) as server:
        connection = await wire_to(server, pipe)
        try:
            yield connection
        finally:
            connection.transport.close()


each_pipe = pytest.mark.parametrize("pipe", PIPES)

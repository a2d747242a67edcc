"""A TCP proxy that resets connections: with a probability for each read, after a random part of what was read."""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_RESET = struct.pack("ii", 1, 0)
_CHUNK = 4096


class Resetting:
    """The proxy.

    Attributes:
        address: where it listens.
        reads: how often it read.
        resets: how many connections it reset.
    """

    def __init__(self, target: tuple[str, int], share: float, seed: int) -> None:
        self.address = ""
        self.reads = 0
        self.resets = 0
        self._target = target
        self._share = share
        self._random = random.Random(seed)

    async def serve(self, started: threading.Event, ending: asyncio.Event) -> None:
        """Pass on until told to end."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        started.set()
        await ending.wait()
        server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        both = (writer, far_writer)
        with contextlib.suppress(OSError):
            await asyncio.gather(self._one_way(reader, far_writer, both), self._one_way(far_reader, writer, both))
        for end in both:
            end.close()

    async def _one_way(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, both: tuple[asyncio.StreamWriter, ...]
    ) -> None:
        while chunk := await reader.read(_CHUNK):
            self.reads += 1
            if self._random.random() < self._share:
                self.resets += 1
                writer.write(chunk[: self._random.randrange(len(chunk) + 1)])
                for end in both:
                    _reset(end)
                raise ConnectionResetError
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # it is gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


@contextmanager
def resetting(address: str, share: float, seed: int) -> Iterator[Resetting]:
    """The proxy before a server, in a thread of its own, while the block runs."""
    host, _, port = address.rpartition(":")
    proxy = Resetting((host, int(port)), share, seed)
    started = threading.Event()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        ending = asyncio.Event()
        stop.append((asyncio.get_running_loop(), ending))
        await proxy.serve(started, ending)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    started.wait()
    try:
        yield proxy
    finally:
        loop, ending = stop[0]
        loop.call_soon_threadsafe(ending.set)
        thread.join()

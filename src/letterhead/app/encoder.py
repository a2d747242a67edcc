"""What handlers give, as their clients get it: in a type that a client accepts, checked, compressed. And the way back.

* A result is compressed with the first compression that the application allows and the client reads, and only if that
  makes it smaller. Errors never are, nor what is wrapped for classic form.
* Large content is compressed in a thread: of 16 MiB gzip would hold the event loop for 0.2 s. What may become large is
  decompressed there: 16 KiB of gzip can be 16 MiB, which take 20 ms.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from letterhead import clock
from letterhead.app.app import Application, encode_result
from letterhead.app.threads import Threads
from letterhead.content.compression import SMALLEST, decompress, smaller
from letterhead.content.encoded import Encoded
from letterhead.protocol.requests import Request

T = TypeVar("T")

LARGE = 256 * 1024
MAY_BE_LARGE = 4 * 1024
"""Compressed content from this size on may be it: gzip makes 4 MiB of so much, in 5 ms."""
_THREADS = 2


class Encoder:
    """Encodes for all clients of one server, and decompresses what comes from them."""

    def __init__(self, app: Application) -> None:
        self._limits = app.limits
        self._compression = app.compression
        self._threads = Threads(_THREADS)

    def close(self) -> None:
        """End the threads."""
        self._threads.close()

    def compressions(self, request: Request) -> tuple[str, ...]:
        """What its results may be compressed with, the best first."""
        read = request.meaning.accept_compression
        return tuple(name for name in self._compression if name in read) if read else ()

    def of_items(self, request: Request) -> Callable[[Any], Encoded]:
        """What makes items for a request, not compressed yet; it raises as ``encode_result`` does."""
        return partial(encode_result, limits=self._limits, accept=request.meaning.accept)

    def packer(self, request: Request) -> Callable[[Encoded], Awaitable[Encoded]] | None:
        """What makes those smaller; None where the client reads no compression."""
        names = self.compressions(request)
        return (lambda encoded: self.smaller(encoded, names)) if names else None

    def of_smaller_items(self, request: Request) -> Callable[[Any], Encoded]:
        """The same, and compressed: for threads, which have the time."""
        encode, names = self.of_items(request), self.compressions(request)
        return (lambda value: smaller(encode(value), names)) if names else encode

    async def result(self, request: Request, value: Any) -> Encoded:
        """A whole result.

        Raises:
            TypeError: it cannot be sent.
        """
        encoded = encode_result(value, self._limits, request.meaning.accept)
        names = self.compressions(request) if request.named else ()
        return await self.smaller(encoded, names) if names else encoded

    async def smaller(self, encoded: Encoded, names: tuple[str, ...]) -> Encoded:
        """A value compressed, if that makes it smaller."""
        size = len(encoded.content)
        if size < SMALLEST:
            return encoded
        if size < LARGE:
            return smaller(encoded, names)
        return await self._in_thread(smaller, encoded, names)

    async def decompressed(self, content: bytes, name: str, limit: int) -> bytes:
        """Content of a client's, as it was before it was compressed; raises as ``decompress`` does."""
        if len(content) < MAY_BE_LARGE:
            return decompress(content, name, limit)
        return await self._in_thread(decompress, content, name, limit)

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        future: asyncio.Future[T] = asyncio.wrap_future(self._threads.submit(function, *args))
        clock.working(future)
        return await future

"""``Encoder``: results in a type that the client accepts, checked and compressed; content decompressed and decoded.

What could hold the event loop too long is done in a thread.

* A result is compressed with the first compression that the application allows and the client reads, and only if that
  makes it smaller. Errors never are, nor what is wrapped for classic form.
* Large content is compressed in a thread: of 16 MiB gzip would hold the event loop for 0.2 s. What may become large is
  decompressed there: 16 KiB of gzip can be 16 MiB, which take 20 ms.
* Large JSON, msgpack and text is decoded there, too: 64 KiB can become 30,000 lists, which take some milliseconds.

What a result means is not known here, nor when the answer is sent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from letterhead import clock
from letterhead.app.context import Context
from letterhead.app.results import encode_result
from letterhead.app.service import Service
from letterhead.app.threads import Threads
from letterhead.content.compression import SMALLEST, decompress, smaller
from letterhead.content.encoded import Encoded
from letterhead.protocol.requests import Request
from letterhead.wire.header import JSON_TYPES, MSGPACK, Shape, content_limit

T = TypeVar("T")

LARGE = 256 * 1024
LARGE_TO_DECODE = 64 * 1024
MAY_BE_LARGE = 4 * 1024
"""Compressed content from this size on may be it: gzip makes 4 MiB of so much, in 5 ms."""
_THREADS = 2


class Encoder:
    """Encodes and compresses for all clients of one server; decompresses and decodes what comes from them."""

    def __init__(self, service: Service) -> None:
        self._limits = service.limits
        self._compression = service.compression
        self._threads = Threads(_THREADS)

    def close(self) -> None:
        """End the threads."""
        self._threads.close()

    # -- what goes out ---------------------------------------------------------------------------------------------

    def compressions(self, request: Request) -> tuple[str, ...]:
        """What its results may be compressed with, the best first."""
        read = request.meaning.accept_compression
        return tuple(name for name in self._compression if name in read) if read else ()

    def of_items(self, request: Request) -> Callable[[Any], Encoded]:
        """What makes items for a request, not compressed yet; it raises as ``encode_result`` does."""
        return partial(encode_result, limits=self._limits, accept=request.meaning.accept)

    def packer(self, call: Context) -> Callable[[Encoded], Awaitable[Encoded]] | None:
        """What makes those smaller; None where the client reads no compression."""
        names = self.compressions(call.request)
        return (lambda encoded: self._smaller(call, encoded, names)) if names else None

    def of_smaller_items(self, request: Request) -> Callable[[Any], Encoded]:
        """What makes items for a request, compressed: for threads, which have the time."""
        encode, names = self.of_items(request), self.compressions(request)
        return (lambda value: smaller(encode(value), names)) if names else encode

    async def result(self, call: Context, value: Any) -> Encoded:
        """A whole result; raises as ``encode_result`` does."""
        request = call.request
        encoded = encode_result(value, self._limits, request.meaning.accept)
        names = self.compressions(request) if request.named else ()
        return await self._smaller(call, encoded, names) if names else encoded

    async def _smaller(self, call: Context, encoded: Encoded, names: tuple[str, ...]) -> Encoded:
        size = len(encoded.content)
        if size < SMALLEST:
            return encoded
        if size < LARGE:
            return smaller(encoded, names)
        return await self.in_thread(call, smaller, encoded, names)

    # -- what comes in ---------------------------------------------------------------------------------------------

    async def unpack(self, call: Context) -> None:
        """Undo the compression of a request's content, if there is one; then it counts as what it is.

        Raises:
            BadContent, TooLarge: it is not so compressed, or becomes more than content may have.
            TooMany: the server cannot hold so much.
        """
        request = call.request
        name, content = request.compression, request.content
        if name is None:
            return
        limit = content_limit(request.header.shape.type, self._limits)
        if len(content) < MAY_BE_LARGE:
            content = decompress(content, name, limit)
        else:
            content = await self.in_thread(call, decompress, content, name, limit)
        call.client.unpacked(request, content)

    async def in_thread(self, call: Context, function: Callable[..., T], /, *args: Any) -> T:
        """What a function of this package gives that would hold the event loop too long."""
        future: asyncio.Future[T] = asyncio.wrap_future(self._threads.submit(call.client, function, *args))
        clock.working(future)
        return await future


def takes_long(shape: Shape, size: int) -> bool:
    """Whether content could take so long to decode that the event loop should not wait for it."""
    return size >= LARGE_TO_DECODE and (shape.type in JSON_TYPES or shape.type == MSGPACK or shape.type[:5] == "text/")

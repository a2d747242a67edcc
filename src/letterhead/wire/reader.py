"""Bytes in, frames out.

The contract, for those who want whole frames::

    reader.feed(data)             # whatever arrived: one byte, or a thousand frames
    reader.next_frame()           # a Message; None for "more bytes"; or raises Refused (BadFrame, BadHeader, TooLarge)

After ``BadHeader`` or ``TooLarge`` the reader goes on behind the refused frame, whose content it drops as it arrives.
``BadFrame`` is final: framing is lost and every further call raises it again.

A conversation decides between header and content (refuse before buffering) and calls the two halves itself:
``read_header``, then ``read_content`` or ``skip_content``.

Large content is received once into its own buffer: ``buffer()`` is where the next bytes of it belong, ``filled(n)``
says how many were put there. A pipe that does not use them may feed everything. The last byte always comes through
``feed``: an event loop holds the view while it reports what it put there, and a buffer that somebody holds could be
handed over only as a copy.

The cost is linear in the bytes received, however they are cut: bytes of an unfinished frame are gathered in one
bytearray whose front is cut off as frames complete, and nothing is scanned twice.

What a frame means is not known here.
"""

import io

from letterhead.errors import BadFrame, Fault, escaped
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.wire.foreign import protocol_named
from letterhead.wire.header import Header, Headers

LARGE = 64 * 1024
"""Content from this size on gets its own buffer, if it is not there already when its header is read."""


class Reader:
    """Cuts a stream of bytes into frames.

    Attributes:
        header: the header read whose content is not complete yet, or None.
    """

    __slots__ = ("_data", "_failed", "_filled", "_headers", "_large", "_pos", "_skip", "_view", "header")

    def __init__(self, limits: Limits | None = None, headers: Headers | None = None) -> None:
        self._headers = headers or Headers(limits or Limits())
        self._data: bytes | bytearray = b""
        self._pos = 0
        self._skip = 0
        self._large: io.BytesIO | None = None
        self._view: memoryview | None = None
        self._filled = 0
        self._failed: Fault[BadFrame] | None = None
        self.header: Header | None = None

    @property
    def midway(self) -> bool:
        """Whether a frame has begun and is not complete (also one whose content is being dropped)."""
        return self.header is not None or self._skip > 0 or self._pos < len(self._data)

    @property
    def skipping(self) -> bool:
        """Whether content is being dropped that has not arrived yet."""
        return self._skip > 0

    @property
    def arrived(self) -> int:
        """Bytes that are here of the content under way."""
        if self.header is None:
            return 0
        return len(self._data) - self._pos if self._view is None else self._filled

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrived. ``data`` is kept, not copied: it must not change."""
        if self._skip:
            dropped = min(self._skip, len(data))
            self._skip -= dropped
            data = data[dropped:]
        elif self._view is not None:
            part = data[: len(self._view) - self._filled]
            self._view[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            data = data[len(part) :]
        if not data or self._failed is not None:
            return
        if self._pos >= len(self._data):
            self._data = data
        else:
            rest = self._data
            if isinstance(rest, bytearray):
                del rest[: self._pos]
            else:
                rest = bytearray(memoryview(rest)[self._pos :])
            rest += data
            self._data = rest
        self._pos = 0

    def read_header(self) -> Header | None:
        """The next frame's header, or None if it is not there yet (or the last content is not complete).

        Raises:
            BadFrame: the bytes are no frame.
        """
        if self._failed is not None:
            raise self._failed.error()
        if self.header is not None or self._skip:
            return None
        data, pos = self._data, self._pos
        there = len(data) - pos
        if there < 2:
            if not there and pos:  # an idle connection keeps nothing of what it received
                self._data = b""
                self._pos = 0
            return None
        size = (data[pos] << 8) | data[pos + 1]
        if size < 2 or size > self._headers.limits.header_bytes or (there > 2 and data[pos + 2] != 123):
            raise self._fail(self._not_a_frame(size))
        end = pos + 2 + size
        if end > len(data):
            return None
        try:
            self.header = header = self._headers.decode(bytes(data[pos + 2 : end]))
        except BadFrame as error:
            raise self._fail(error) from None
        self._pos = end
        return header

    def read_content(self) -> bytes | None:
        """The content of the header read last, or None if it is not complete yet."""
        header = self.header
        if header is None:
            return None
        length = header.shape.length
        if self._view is not None:
            if self._filled < length:
                return None
            return self._own_buffer()
        pos = self._pos
        end = pos + length
        if end <= len(self._data):
            content = bytes(self._data[pos:end])
            self._pos = end
            self.header = None
            return content
        if length >= LARGE:
            self._begin_large(length)
        return None

    def skip_content(self) -> None:
        """Drop the content of the header read last, what is here and what still comes."""
        header = self.header
        if header is None:
            return
        if self._view is not None:
            left = header.shape.length - self._filled
            self._own_buffer()
        else:
            left = header.shape.length
        here = min(left, len(self._data) - self._pos)
        self._pos += here
        self._skip = left - here
        self.header = None

    def next_frame(self) -> Message | None:
        """The next whole frame, or None for "more bytes".

        Raises:
            BadFrame: the bytes are no frame; final.
            BadHeader, TooLarge: this frame is refused; the reader goes on behind it.
        """
        header = self.header or self.read_header()
        if header is None:
            return None
        fault = header.shape.fault
        if fault is not None:
            self.skip_content()
            raise fault.error()
        content = self.read_content()
        return None if content is None else Message(content, header.fields)

    def buffer(self) -> memoryview | None:
        """Where the next bytes of large content belong, or None where ``feed`` takes them."""
        return None if self._view is None or self._filled >= len(self._view) - 1 else self._view[self._filled : -1]

    def filled(self, count: int) -> None:
        """So many bytes were put into ``buffer()``."""
        self._filled += count

    def first_bytes(self, limit: int = 64) -> bytes:
        """What stands unread at the front; for messages about what is no frame."""
        return bytes(self._data[self._pos : self._pos + limit])

    def close(self) -> None:
        """Nothing more will be read: let go of content that is under way.

        Left to the collector, its parts would go in any order, and a buffer before the views of it is an error.
        """
        self._view = self._large = self.header = None
        self._data = b""
        self._pos = 0

    def _begin_large(self, length: int) -> None:
        # BytesIO hands its bytes object over without a copy where nothing else holds it: the content is written once.
        self._large = io.BytesIO(bytes(length))
        self._view = view = self._large.getbuffer()
        here = len(self._data) - self._pos
        view[:here] = memoryview(self._data)[self._pos :]
        self._filled = here
        self._data = b""
        self._pos = 0

    def _own_buffer(self) -> bytes:
        large, view = self._large, self._view
        self._large = self._view = self.header = None
        if view is not None:
            view.release()
        return b"" if large is None else large.getvalue()

    def _not_a_frame(self, size: int) -> BadFrame:
        start = self.first_bytes()
        name = protocol_named(start)
        if name is not None:
            return BadFrame(f"this is {name}, not a Letterhead frame", received=escaped(start), protocol=name)
        limit = self._headers.limits.header_bytes
        if 2 <= size <= limit:
            return BadFrame("a header begins with '{'", received=escaped(start))
        return BadFrame(f"header length {size} is not from 2 to {limit}", received=escaped(start), limit=limit)

    def _fail(self, error: BadFrame) -> BadFrame:
        self._failed = Fault.of(error)
        return error

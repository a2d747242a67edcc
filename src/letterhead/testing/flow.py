"""One direction of a pipe in memory: a bounded queue of bytes that may stand between two threads.

What the bytes mean is not known here.
"""

import errno
import threading
from collections.abc import Callable

from letterhead.message import Buffer

CAPACITY = 64 * 1024
"""Bytes that one direction holds, as a socket's buffers do."""


def _nobody() -> None:
    """The default callback: those who wait on the condition need not be told."""


class Flow:
    """One direction of a pipe: a bounded queue of bytes. Any method may be called from any thread.

    Attributes:
        to_reader: called when there is more to read.
        to_writer: called when more fits, after a write that did not fit.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self.changed = changed
        self.to_reader: Callable[[], object] = _nobody
        self.to_writer: Callable[[], object] = _nobody
        self._data = bytearray()
        self._ended = False  # the writer sends no more
        self._cut = False  # the reader is gone
        self._reset = False  # the writer went with bytes of ours unread
        self._short = False  # a write did not fit

    def readable(self) -> bool:
        """Whether ``take`` has something to say."""
        return bool(self._data) or self._ended or self._reset

    def writable(self) -> bool:
        """Whether ``put`` would take bytes, or say that nobody reads them."""
        return self._cut or self._ended or len(self._data) < CAPACITY

    def put(self, data: Buffer) -> int:
        """Write what fits; how much it was."""
        with self.changed, memoryview(data) as view:
            if self._cut or self._ended:
                raise BrokenPipeError(errno.EPIPE, "the other end is closed")
            fits = min(len(view), CAPACITY - len(self._data))
            self._data += view[:fits]
            self._short = fits < len(view)
            self.changed.notify_all()
        if fits:
            self.to_reader()
        return fits

    def take(self, view: memoryview) -> int | None:
        """Read into ``view``; how much it was, 0 at the end of the stream, None if nothing is there yet."""
        data = self.take_bytes(len(view))
        if data is None:
            return None
        view[: len(data)] = data
        return len(data)

    def take_bytes(self, most: int) -> bytes | None:
        """Read at most so many bytes; none at the end of the stream, None if nothing is there yet."""
        with self.changed:
            if self._reset:
                raise ConnectionResetError(errno.ECONNRESET, "the other end closed without reading")
            if not self._data:
                return b"" if self._ended else None
            with memoryview(self._data)[:most] as view:
                data = bytes(view)
            del self._data[: len(data)]
            short, self._short = self._short, False
            self.changed.notify_all()
        if short:
            self.to_writer()
        return data

    def end(self) -> None:
        """The writer sends no more."""
        with self.changed:
            self._ended = True
            self.changed.notify_all()
        self.to_reader()

    def cut(self) -> bool:
        """The reader is gone; whether it left bytes unread."""
        with self.changed:
            self._cut = True
            unread = bool(self._data)
            self._data.clear()
            self.changed.notify_all()
        self.to_writer()
        return unread

    def reset(self) -> None:
        """The writer went with bytes of ours unread."""
        with self.changed:
            self._reset = True
            self.changed.notify_all()
        self.to_reader()

"""``Outbox``: what a wire did not take at once, and since when it takes nothing.

Nothing here waits, and nothing knows who else uses the wire.

What the bytes mean is not known here, nor what is done with a wire that takes nothing.
"""

from collections import deque
from itertools import islice

from letterhead import clock
from letterhead.message import Buffer
from letterhead.transport.wire import PIECES, Wire


class Outbox:
    """Bytes on their way to a wire. It is true while some are unsent.

    Args:
        wire: where they go.
        seconds: unsent bytes without progress for so long have stalled.
    """

    __slots__ = ("_pieces", "_seconds", "_since", "_wire")

    def __init__(self, wire: Wire, seconds: float) -> None:
        self._wire = wire
        self._seconds = seconds
        self._pieces: deque[Buffer] = deque()
        self._since = 0.0  # when unsent bytes last went, or came to be

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def send(self, pieces: list[Buffer]) -> None:
        """Send what goes without waiting, and keep the rest; the list is emptied.

        Raises:
            OSError: the wire broke.
        """
        unsent = self._pieces
        if not unsent and len(pieces) == 1:
            piece = pieces.pop()
            went = self._wire.send((piece,))
            if went < len(piece):
                unsent.append(memoryview(piece)[went:])
                self._since = clock.monotonic()
            return
        if not unsent:
            self._since = clock.monotonic()
        unsent.extend(pieces)
        pieces.clear()
        while unsent and self._send_some():
            pass

    def until_stalled(self, timeout: float | None = None) -> float:
        """Seconds until unsent bytes have waited too long, or ``timeout`` if that is sooner."""
        left = clock.seconds_until(self._since + self._seconds)
        return left if timeout is None else min(left, timeout)

    def _send_some(self) -> bool:
        """Send once; whether all that was given to the wire went."""
        unsent = self._pieces
        pieces = list(islice(unsent, PIECES))
        went = self._wire.send(pieces)
        if went:
            self._since = clock.monotonic()
        for piece in pieces:
            if went < len(piece):
                unsent[0] = memoryview(piece)[went:]
                return False
            went -= len(piece)
            unsent.popleft()
        return True

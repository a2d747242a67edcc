"""One direction of a stream within an exchange: its window, and the items between the wire and the application.

What lives here: ``Incoming``, the receiver's end, and ``Outgoing``, the sender's; both sides have one of each kind for
every exchange that streams. Both are plain accounts: who sends the frames, and what becomes of a breach, is decided by
whoever holds the conversation.

The rules (protocol section 4): an item costs its whole frame. It may be sent while the window is open (the credit is
above 0), which it may then overdraw. What the application takes is given back once it comes to half of what there was
at first. Memory is counted apart (``held``): a header may take more of it than it has bytes.
"""

from collections import deque

from letterhead.errors import BadHeader
from letterhead.limits import MIB
from letterhead.protocol.fields import BIG
from letterhead.wire.header import Header

CREDIT = MIB
"""Bytes of items that may be sent at first; of uploads the hello says how many."""

Item = tuple[Header, bytes]
"""An item as it came: its own header, and its content as it stood on the wire."""


def held_by(item: Item) -> int:
    """Bytes of memory that an item holds."""
    return item[0].held + len(item[1])


class Incoming:
    """Items that came and were not taken yet.

    One thread may put while another takes: what is counted by either is its own.

    Attributes:
        items: what came and was not taken, the oldest first.
        whole: no more will come: the sender said so.
        wanted: somebody found nothing and waits.
    """

    __slots__ = ("_freed", "_given", "_half", "_stored", "_taken", "_window", "items", "wanted", "whole")

    def __init__(self, credit: int) -> None:
        self.items: deque[Item] = deque()
        self.whole = False
        self.wanted = False
        self._window = credit
        self._half = (credit + 1) // 2
        # Totals of bytes held. The one who puts writes the first, the one who takes the second.
        self._stored = 0
        self._freed = 0
        self._taken = 0  # bytes of frames
        self._given = 0  # as credit, of those

    @property
    def held(self) -> int:
        """Bytes of memory that the items take."""
        return self._stored - self._freed

    @property
    def begun(self) -> bool:
        """Whether an item came."""
        return bool(self._stored or self._freed)

    @property
    def window(self) -> int:
        """Bytes that the sender may still send without more credit."""
        return max(0, self._window)

    def announce(self, header: Header) -> None:
        """An item's header came.

        Raises:
            BadHeader: it was sent without credit.
        """
        if self._window <= 0:
            raise BadHeader("an item was sent without credit", field="more")
        self._window -= header.frame_size
        header.compact()

    def put(self, item: Item) -> bool:
        """An item is whole; whether somebody waits for it."""
        self.items.append(item)
        self._stored += held_by(item)
        wanted, self.wanted = self.wanted, False
        return wanted

    def end(self) -> bool:
        """No more will come; whether somebody waits."""
        self.whole = True
        wanted, self.wanted = self.wanted, False
        return wanted

    def take(self) -> Item | None:
        """The next item; None, and ``wanted``, where none is there."""
        try:
            item = self.items.popleft()
        except IndexError:
            self.wanted = True
            return None
        self._taken += item[0].frame_size
        self._freed += held_by(item)
        return item

    @property
    def due(self) -> bool:
        """Whether so much was taken that credit is to be given back."""
        return self._taken - self._given >= self._half

    def owed(self) -> int:
        """The credit to give back now, 0 for none; what it says counts as given."""
        if not self.due or self.whole:
            return 0
        given = min(self._taken - self._given, BIG)
        self._given += given
        self._window += given
        return given

    def drop(self) -> int:
        """Forget the items, which nobody will take; how many bytes they held."""
        held = self.held
        self.items.clear()
        self._stored -= held
        return held


class Outgoing:
    """The sender's end: what may be sent.

    Attributes:
        credit: bytes that the receiver still takes; an item may be sent while it is above 0.
        begun: an item was sent, or the end.
        ended: the end was sent.
    """

    __slots__ = ("begun", "credit", "ended")

    def __init__(self, credit: int) -> None:
        self.credit = credit
        self.begun = False
        self.ended = False

    def add(self, credit: int) -> None:
        """The receiver gave credit.

        Raises:
            BadHeader: more than a receiver may give.
        """
        if self.credit + credit > BIG:
            raise BadHeader(f"credit of more than {BIG} bytes", field="credit")
        self.credit += credit

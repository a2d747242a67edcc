"""What a bad network does to bytes: ``Faults`` says it, ``Line`` decides it for one connection.

No socket, no event loop and no clock stand here: the time is an argument, seconds that never go back, and so is the
random generator. Whoever moves the bytes ``put``s what one side sent, and ``take``s what the other side gets, when that
is ``due``. It reads a side only while the side's passage ``reads``, so that what a slow network holds is bounded.

The rules:

* Nothing changes the order of bytes. A delay of one piece holds up those behind it.
* The end of the stream stands in line behind the bytes before it. So does a reset that one side's system sent.
* Faults that begin after so many bytes count those that were handed on in that direction since the faults were set.
  Whatever comes next meets the fault, be it a byte or the end of the stream.
* What is held when the faults change goes by the new ones.
* A connection that is reset or half open stays so: its bytes are lost.
"""

import enum
import math
from collections import deque
from dataclasses import dataclass, fields
from random import Random
from typing import Literal

NEVER = math.inf
HELD_BYTES = 256 * 1024
"""Bytes that a passage holds before its sender is no longer read; one read comes on top of that."""
HELD_PIECES = 1_024
"""Pieces likewise: a piece of one byte costs as much as some hundred bytes."""
_SMOOTH_SECONDS = 0.01
"""A bounded bandwidth hands on as much at once as passes in this time."""

Direction = Literal["both", "to-server", "to-client"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What a network does to each connection. Without an argument it does nothing.

    Raises:
        ValueError: one is out of its range; the sentence names it.
    """

    delay: float = 0.0
    """Seconds that every byte takes."""
    jitter: float = 0.0
    """Up to so many seconds more, chosen anew for each piece that is read."""
    bandwidth: float | None = None
    """Bytes a second."""
    single_bytes: bool = False
    """Each byte is written by itself. A peer that reads at once gets it so in memory; TCP may join what it carries."""
    stall_after: int | None = None
    """After so many bytes nothing passes any more: the sender's buffers fill, and nobody is told."""
    reset_after: int | None = None
    """After so many bytes both sides get a reset."""
    reset_chance: float = 0.0
    """The probability, from 0 to 1, that a piece becomes a reset of both sides."""
    half_open_after: int | None = None
    """After so many bytes all that either side sends is swallowed, its end too: each waits for a peer that is gone."""
    direction: Direction = "both"
    """The direction in which this holds."""
    seed: int = 0
    """What chance begins with. The n-th connection of a network has the same luck each time."""

    def __post_init__(self) -> None:
        for name in ("delay", "jitter", "stall_after", "reset_after", "half_open_after"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name} cannot be {value!r}: it takes 0 or more")
        if self.bandwidth is not None and not 0 < self.bandwidth < math.inf:
            raise ValueError(f"bandwidth cannot be {self.bandwidth!r}: it takes bytes a second, more than 0")
        if not 0 <= self.reset_chance <= 1:
            raise ValueError(f"reset_chance cannot be {self.reset_chance!r}: a probability is from 0 to 1")
        if self.direction not in ("both", "to-server", "to-client"):
            raise ValueError(f"direction is 'both', 'to-server' or 'to-client', not {self.direction!r}")

    def __str__(self) -> str:
        said = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default]
        return ", ".join(said) or "no faults"


NONE = Faults()


@dataclass(slots=True)
class Counts:
    """What a network has seen and done so far. Bytes count when they are handed on."""

    connections: int = 0
    """Connections that clients made."""
    open_now: int = 0
    """The connections that are open."""
    unreachable: int = 0
    """The connections whose target could not be reached: they were reset."""
    to_server: int = 0
    """Bytes that were handed on."""
    to_client: int = 0
    """Bytes that were handed on."""
    swallowed: int = 0
    """Bytes that half-open connections took and did not hand on."""
    stalled: int = 0
    """Connections in which something was stalled."""
    reset: int = 0
    """Connections that the network reset."""
    half_open: int = 0
    """Connections that it left half open."""


class Mark(enum.Enum):
    """What may stand in line beside bytes."""

    END = enum.auto()
    """The end of the stream: hand it on."""
    RESET = enum.auto()
    """The sender's connection broke: reset the other one."""
    CUT = enum.auto()
    """The network resets the connection: reset both sides."""


class _Fate(enum.Enum):
    PASS = enum.auto()
    STALL = enum.auto()
    CUT = enum.auto()
    VANISH = enum.auto()


class Line:
    """One connection through a network.

    Args:
        faults: what happens to it.
        random: what chance is taken from.
        counts: where to count what is done.

    Attributes:
        to_server, to_client: its two directions.
        vanished: it is half open.
        parted: nothing passes, whatever the faults are, until this is False again.
    """

    def __init__(self, faults: Faults, random: Random, counts: Counts) -> None:
        self.counts = counts
        self.vanished = False
        self.parted = False
        self.stalled = False
        self.to_server = Passage(self, "to-server", random)
        self.to_client = Passage(self, "to-client", random)
        self.change(faults)

    def change(self, faults: Faults) -> None:
        """Let these faults happen from now on; bytes are counted from 0 again."""
        for passage in (self.to_server, self.to_client):
            passage.change(faults if faults.direction in ("both", passage.name) else NONE)

    def vanish(self) -> None:
        """Swallow all, from now on and for good."""
        self.vanished = True
        self.counts.half_open += 1
        self.to_server.drop()
        self.to_client.drop()


class Passage:
    """One direction of a connection.

    Attributes:
        name: the direction.
        passed: bytes handed on.
        faults: what happens in it.
    """

    def __init__(self, line: Line, name: Direction, random: Random) -> None:
        self.name = name
        self.passed = 0
        self.faults = NONE
        self._line = line
        self._random = random
        self._pieces: deque[_Piece] = deque()
        self._held = 0
        self._counted_from = 0  # what had passed when the faults were set
        self._free = -math.inf  # when the line had sent what passed last
        self._dropping = False

    def change(self, faults: Faults) -> None:
        """Let these faults happen from now on; bytes are counted from 0 again."""
        self.faults = faults
        self._counted_from = self.passed

    @property
    def reads(self) -> bool:
        """Whether its sender is to be read."""
        return self._dropping or (self._held < HELD_BYTES and len(self._pieces) < HELD_PIECES)

    @property
    def due(self) -> float:
        """When ``take`` has something to do; ``NEVER`` as long as nothing is put or changed."""
        if not self._pieces or self._line.parted:
            return NEVER
        piece = self._pieces[0]
        fate = self._fate(piece)
        if fate is _Fate.STALL:
            return NEVER
        faults = self.faults
        sent = self._sent(piece, self._size(piece) if fate is _Fate.PASS else 0)
        return sent + faults.delay + faults.jitter * piece.luck_of_time

    def put(self, data: bytes, now: float) -> None:
        """The sender's side has sent these bytes."""
        luck_of_time, luck = self._random.random(), self._random.random()
        if self._dropping:
            self._swallow(len(data))
            return
        self._pieces.append(_Piece(data, now, luck_of_time, luck))
        self._held += len(data)

    def end(self, now: float) -> None:
        """The sender's side has ended its stream."""
        self._mark(Mark.END, now)

    def break_off(self, now: float) -> None:
        """The sender's side is gone, without an end."""
        self._mark(Mark.RESET, now)

    def drop(self) -> None:
        """There is nobody to hand anything on to: forget what is held, and what comes."""
        self._dropping = True
        self._swallow(self._held)
        self._pieces.clear()
        self._held = 0

    def take(self, now: float) -> bytes | Mark | None:
        """What the other side gets now, None if nothing before ``due``. Ask again until there is nothing."""
        if now < self.due:
            self._notice_stall()
            return None
        piece = self._pieces[0]
        fate = self._fate(piece)
        if fate is _Fate.CUT:
            self._line.counts.reset += 1
            return Mark.CUT
        if fate is _Fate.VANISH:
            self._line.vanish()
            return None
        if isinstance(piece.what, Mark):
            self._pieces.popleft()
            return piece.what
        size = self._size(piece)
        self._free = self._sent(piece, size)
        self._held -= size
        self.passed += size
        if self.name == "to-server":
            self._line.counts.to_server += size
        else:
            self._line.counts.to_client += size
        data = piece.what[piece.gone : piece.gone + size]
        piece.gone += size
        if piece.gone == len(piece.what):
            self._pieces.popleft()
        return data

    def _mark(self, mark: Mark, now: float) -> None:
        luck_of_time = self._random.random()
        if not self._dropping:
            self._pieces.append(_Piece(mark, now, luck_of_time, 1.0))

    def _fate(self, piece: "_Piece") -> _Fate:
        faults, count = self.faults, self.passed - self._counted_from
        if piece.luck < faults.reset_chance or _reached(count, faults.reset_after):
            return _Fate.CUT
        if _reached(count, faults.half_open_after):
            return _Fate.VANISH
        return _Fate.STALL if _reached(count, faults.stall_after) else _Fate.PASS

    def _size(self, piece: "_Piece") -> int:
        """How much of it passes at once."""
        if isinstance(piece.what, Mark):
            return 0
        faults, count = self.faults, self.passed - self._counted_from
        size = 1 if faults.single_bytes else len(piece.what) - piece.gone
        if faults.bandwidth is not None:
            size = min(size, max(1, int(faults.bandwidth * _SMOOTH_SECONDS)))
        for bound in (faults.reset_after, faults.half_open_after, faults.stall_after):
            if bound is not None:
                size = min(size, bound - count)
        return size

    def _sent(self, piece: "_Piece", size: int) -> float:
        """When the line has sent so much of it; the delay comes on top."""
        began = max(self._free, piece.arrived)
        return began if self.faults.bandwidth is None else began + size / self.faults.bandwidth

    def _notice_stall(self) -> None:
        if self._pieces and not self._line.stalled and self.due == NEVER:
            self._line.stalled = True
            self._line.counts.stalled += 1

    def _swallow(self, count: int) -> None:
        if self._line.vanished:
            self._line.counts.swallowed += count


class _Piece:
    """Bytes that came at once, ``gone`` of which have been handed on; or a mark."""

    __slots__ = ("arrived", "gone", "luck", "luck_of_time", "what")

    def __init__(self, what: bytes | Mark, arrived: float, luck_of_time: float, luck: float) -> None:
        self.what = what
        self.gone = 0
        self.arrived = arrived
        self.luck_of_time = luck_of_time
        self.luck = luck


def _reached(count: int, bound: int | None) -> bool:
    return bound is not None and count >= bound

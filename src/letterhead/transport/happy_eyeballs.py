"""Which of a name's addresses is tried when: happy eyeballs (RFC 8305, sections 4 and 5).

The families take turns, the system's first choice first. While one address is being tried the next one begins after a
moment, or as soon as any has failed; those begun before go on. The first that connects wins. A name whose preferred
address does not answer so costs that moment, and not the whole time that a connection may take.

No socket and no clock stand here: what a place is, only the shells know, and the time is an argument, seconds on any
clock that does not go back.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

from letterhead.errors import ConnectionFailed, escaped
from letterhead.transport import address as addresses
from letterhead.transport.address import Address, Place

_NAMED = 4
"""So many addresses are named in an error; a name may have hundreds."""


class Race:
    """One connection being made.

    Args:
        places: where, in the system's order.
        now: when it begins.
        seconds: how long it may take.
        stagger: how long one place is tried before the next one begins beside it, in seconds.
    """

    def __init__(self, places: Sequence[Place], *, now: float, seconds: float, stagger: float) -> None:
        self._left = deque(interleaved(places))
        self._under_way: list[Place] = []
        self._failures: list[tuple[Place, OSError]] = []
        self._stagger = stagger
        self._next = now
        self._until = now + seconds

    def begin(self, now: float) -> Place | None:
        """The place to try from now on, besides those under way; None where none is due. Ask until it is None."""
        if not self._left or now < self._next or now >= self._until:
            return None
        self._next = now + self._stagger
        self._under_way.append(self._left.popleft())
        return self._under_way[-1]

    def failed(self, place: Place, error: OSError, now: float) -> None:
        """There is no connection to a place that was begun: the next one is due."""
        self._under_way.remove(place)
        self._failures.append((place, error))
        self._next = now

    @property
    def due(self) -> float:
        """When to look again, if nothing happens before."""
        return min(self._next, self._until) if self._left else self._until

    def lost(self, now: float) -> bool:
        """Whether no place is left that could connect, or the time is over."""
        return now >= self._until or not (self._left or self._under_way)

    def verdict(self, address: Address, seconds: float) -> ConnectionFailed:
        """Why it was lost, for whoever wanted to connect to ``address`` within ``seconds``."""
        errors = [error for _, error in self._failures]
        if self._under_way or self._left:
            telling: OSError = TimeoutError()
        elif not errors:
            telling = OSError(f"the name '{escaped(address.host)}' has no address")
        else:
            # A machine that refuses is there: that says more than one that cannot be reached.
            telling = next((error for error in errors if isinstance(error, ConnectionRefusedError)), errors[0])
        return addresses.connect_failed(address, telling, seconds, self._told())

    def _told(self) -> str:
        """What became of each place; nothing where there is only one."""
        ends = [f"{place[1][0]}: {_end(error)}" for place, error in self._failures]
        ends += [f"{place[1][0]}: no answer" for place in self._under_way]
        ends += [f"{place[1][0]}: not tried" for place in self._left]
        if len(ends) < 2:
            return ""
        more = len(ends) - _NAMED
        return "; ".join(ends[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _end(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "no answer" if isinstance(error, TimeoutError) else addresses.reason(error)


def interleaved(places: Iterable[Place]) -> list[Place]:
    """The places with their families taking turns; within a family, and among first ones, the order stays."""
    families: dict[int, list[Place]] = {}
    for place in places:
        families.setdefault(place[0], []).append(place)
    return [place for place in chain.from_iterable(zip_longest(*families.values())) if place is not None]

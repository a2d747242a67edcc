"""Who waits, and who has waited long enough, where all may wait equally long: the first to begin is the first to end.

No clock stands here: the time is an argument, seconds on any clock that does not go back.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

NEVER = float("inf")
K = TypeVar("K", bound=Hashable)


class Waiting(Generic[K]):
    """Those who wait, in the order in which they began.

    Attributes:
        seconds: how long each may. It can be changed at any time, and then holds for all.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._since: OrderedDict[K, float] = OrderedDict()

    def __contains__(self, who: K) -> bool:
        return who in self._since

    def begin(self, who: K, now: float) -> None:
        """``who`` waits from ``now`` on, also if it waited already."""
        self._since[who] = now
        self._since.move_to_end(who)

    def forget(self, who: K) -> None:
        """``who`` waits no more; nothing happens if it did not."""
        self._since.pop(who, None)

    @property
    def due(self) -> float:
        """When the next one has waited long enough; ``NEVER`` where nobody waits."""
        for since in self._since.values():
            return since + self.seconds
        return NEVER

    def over(self, now: float) -> Iterator[K]:
        """Yield those who have waited long enough; each is forgotten before it is given out."""
        while self.due <= now:
            who, _ = self._since.popitem(last=False)
            yield who

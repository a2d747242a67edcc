"""``FairQueue``: the work that waits for a thread or a worker process, shared fairly between its owners.

Work waits with its owner, which is the connection that it came from. Next is the work of the owner with the least work
under way: a connection with many calls that wait, or that take long, stands behind those with few. Of one owner's work
the oldest comes first. An owner can be paused: none of its work begins until it is resumed.

Each step takes the same time however much waits, so that one owner's work does not cost the others theirs.

Callers hold a lock. What the work is, and who does it, is not known here.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

W = TypeVar("W")


class FairQueue(Generic[W]):
    """Work that waits, and how much of each owner's is under way.

    Args:
        share: how much of one owner's work may be under way at once; default: any number.
    """

    def __init__(self, share: int | None = None) -> None:
        self._share = share
        self._owners: dict[object, _Owner[W]] = {}  # those with work that waits or is under way
        self._lines: dict[
            int, OrderedDict[_Owner[W], None]
        ] = {}  # by how much is under way: those whose work may be next
        self._paused: set[object] = set()

    def __iter__(self) -> Iterator[W]:
        """All work that waits."""
        for owner in self._owners.values():
            yield from owner.waiting

    def put(self, key: object, work: W) -> None:
        """Work of an owner is to be done."""
        owner = self._owners.get(key)
        if owner is None:
            owner = self._owners[key] = _Owner(key)
        owner.waiting[work] = None
        if len(owner.waiting) == 1:
            self._join(owner)

    def remove(self, key: object, work: W) -> None:
        """Work is not to be done any longer, if it still waits."""
        owner = self._owners.get(key)
        if owner is not None and work in owner.waiting:
            del owner.waiting[work]
            if not owner.waiting:
                self._leave(owner)
                self._forget_idle(owner)

    def take(self) -> W | None:
        """The work that is next, which is under way from now on; None where none may begin."""
        if not self._lines:
            return None
        least = min(self._lines)
        owner = next(iter(self._lines[least]))
        self._leave(owner)
        work, _ = owner.waiting.popitem(last=False)
        owner.under_way += 1
        if owner.waiting:
            self._join(owner)
        return work

    def ended(self, key: object) -> None:
        """Work of an owner that was taken is no longer under way."""
        owner = self._owners[key]
        if owner.waiting:
            self._leave(owner)
        owner.under_way -= 1
        if owner.waiting:
            self._join(owner)
        self._forget_idle(owner)

    def pause(self, key: object) -> None:
        """Nothing of an owner's begins until it is resumed, which has to be done, also where it goes away."""
        owner = self._owners.get(key)
        if owner is not None and owner.waiting:
            self._leave(owner)
        self._paused.add(key)

    def resume(self, key: object) -> None:
        """The work of an owner that was paused may begin again."""
        if key in self._paused:
            self._paused.remove(key)
            owner = self._owners.get(key)
            if owner is not None and owner.waiting:
                self._join(owner)

    def may_begin(self, key: object) -> int:
        """How much of an owner's waiting work may begin, were there places enough."""
        owner = self._owners.get(key)
        return 0 if owner is None else self._may_begin(owner)

    def waits_for_own(self, key: object) -> bool:
        """Whether work of an owner waits for other work of its own to end."""
        owner = self._owners.get(key)
        return owner is not None and key not in self._paused and len(owner.waiting) > self._may_begin(owner)

    def more_than(self, places: int) -> bool:
        """Whether more work may begin than there are places."""
        for line in self._lines.values():
            for owner in line:
                places -= self._may_begin(owner)
                if places < 0:
                    return True
        return False

    def _may_begin(self, owner: "_Owner[W]") -> int:
        if owner.key in self._paused:
            return 0
        waiting = len(owner.waiting)
        return waiting if self._share is None else max(0, min(waiting, self._share - owner.under_way))

    def _join(self, owner: "_Owner[W]") -> None:
        if self._may_begin(owner):
            self._lines.setdefault(owner.under_way, OrderedDict())[owner] = None

    def _leave(self, owner: "_Owner[W]") -> None:
        line = self._lines.get(owner.under_way)
        if line is not None and owner in line:
            del line[owner]
            if not line:
                del self._lines[owner.under_way]

    def _forget_idle(self, owner: "_Owner[W]") -> None:
        if not owner.under_way and not owner.waiting:
            del self._owners[owner.key]


class _Owner(Generic[W]):
    """Whose work it is: how much is under way, and what waits, oldest first."""

    __slots__ = ("key", "under_way", "waiting")

    def __init__(self, key: object) -> None:
        self.key = key
        self.under_way = 0
        self.waiting: OrderedDict[W, None] = OrderedDict()

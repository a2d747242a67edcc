"""For tests of programs that use Letterhead: an application and its client in memory, bad networks, a clock that
stands still. ``docs/testing.md`` shows all of it.

``from letterhead import testing`` gives these names; each comes from a module of this folder when it is first used. No
module has a name that stands here: an imported module is an attribute of this package, too.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from letterhead.testing.connection import Connected as Connected
    from letterhead.testing.connection import connected as connected
    from letterhead.testing.fake_clock import FixedClock as FixedClock
    from letterhead.testing.fake_clock import fixed_clock as fixed_clock
    from letterhead.testing.faults import Counts as Counts
    from letterhead.testing.faults import Faults as Faults
    from letterhead.testing.forwarding import Proxy as Proxy
    from letterhead.testing.forwarding import proxy as proxy

_HOMES = {
    "Connected": "letterhead.testing.connection",
    "Counts": "letterhead.testing.faults",
    "Faults": "letterhead.testing.faults",
    "FixedClock": "letterhead.testing.fake_clock",
    "Proxy": "letterhead.testing.forwarding",
    "connected": "letterhead.testing.connection",
    "fixed_clock": "letterhead.testing.fake_clock",
    "proxy": "letterhead.testing.forwarding",
}
__all__ = sorted(_HOMES)  # the names that stand for type checkers above; a test compares the two

if not TYPE_CHECKING:  # else a type checker would take any name, misspelt ones too

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]

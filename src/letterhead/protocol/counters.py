"""What a server has done, in numbers; ``letterhead.health`` shows them.

When a number changes is not known here.
"""

from typing import Any


class Counters:
    """Running totals of one server. All are counts but the two that end in ``_now``, which go up and down."""

    __slots__ = (
        "accepted", "bytes_received", "bytes_sent", "connections_now", "failed", "idled", "items_received",
        "items_sent", "lost", "misbehaved", "open_now", "refused_draining", "served", "stalled", "turned_away",
    )  # fmt: skip

    def __init__(self) -> None:
        self.accepted = 0
        self.turned_away = 0
        self.idled = 0
        self.lost = 0
        self.stalled = 0
        self.misbehaved = 0
        self.connections_now = 0
        self.open_now = 0
        self.served = 0
        self.failed: dict[str, int] = {}
        self.refused_draining = 0
        self.items_received = 0
        self.items_sent = 0
        self.bytes_received = 0
        self.bytes_sent = 0

    def failure(self, code: str) -> None:
        """One request or connection ended with this code. Codes are a bounded set: unknown ones share a row."""
        if code not in self.failed and len(self.failed) >= 64:
            code = "other"
        self.failed[code] = self.failed.get(code, 0) + 1

    def as_dict(self) -> dict[str, Any]:
        """The numbers by their names in ``letterhead.health``."""
        return {
            "connections": {
                "now": self.connections_now,
                "accepted": self.accepted,
                "turned-away": self.turned_away,
                "idled": self.idled,
                "lost": self.lost,
                "stalled": self.stalled,
                "misbehaved": self.misbehaved,
            },
            "requests": {
                "open": self.open_now,
                "served": self.served,
                "failed": dict(self.failed),
                "refused-draining": self.refused_draining,
                "items": {"received": self.items_received, "sent": self.items_sent},
            },
            "bytes": {"received": self.bytes_received, "sent": self.bytes_sent},
        }

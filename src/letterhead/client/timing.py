"""``Timing``: how long a call waited and ran at the server, as its last frame tells (protocol section 4).

When a call ends is not known here.
"""

from typing import Any

_MICROSECONDS = 1e6


class Timing:
    """How long the server took for a call, once that has ended::

        timing = letterhead.Timing()
        client.call("search", query="ring", timing=timing)
        print(timing.queued, timing.ran)

    Attributes:
        queued: seconds from the receipt of the request until its handler began; None where the server did not say.
        ran: seconds from then until the answer was handed to the connection; None likewise.
        attempts: how often the call was sent: 1, or more where the client repeated it.
    """

    __slots__ = ("attempts", "queued", "ran")

    def __init__(self) -> None:
        self.queued: float | None = None
        self.ran: float | None = None
        self.attempts = 1

    def told(self, said: Any, attempts: int = 1) -> None:
        """Take what a last frame said; whatever it is, times come out or None."""
        self.attempts = attempts
        fields = said if isinstance(said, dict) else {}
        self.queued = _seconds(fields.get("queued"))
        self.ran = _seconds(fields.get("ran"))

    def __repr__(self) -> str:
        return f"Timing(queued={self.queued}, ran={self.ran}, attempts={self.attempts})"


def _seconds(micros: Any) -> float | None:
    return micros / _MICROSECONDS if type(micros) is int and 0 <= micros < 2**63 else None

"""``State``: what a client's connections are in.

When the state changes is the balancer's to say.
"""

from enum import StrEnum


class State(StrEnum):
    """What a client's connections are in (``client.state``)."""

    IDLE = "idle"  # no connection, and nobody needs one
    CONNECTING = "connecting"
    READY = "ready"
    RECONNECTING = "reconnecting"  # the connection was lost, or none could be made: it is tried again
    CLOSED = "closed"

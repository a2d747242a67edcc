"""``State``: the state of a client's connections.

When the state changes is the balancer's to say.
"""

from enum import StrEnum


class State(StrEnum):
    """The state of a client's connections (``client.state``)."""

    IDLE = "idle"  # no connection, and nobody needs one
    CONNECTING = "connecting"
    READY = "ready"
    RECONNECTING = "reconnecting"  # the connection was lost, or none could be made: it is tried again
    CLOSED = "closed"

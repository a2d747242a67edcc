"""What a client's core knows of one server (``Endpoint``) and of one connection to it (``Connection``).

What lives here: facts about servers and connections. What is decided by them is the core's and the balancer's.
"""

import math
from typing import Generic, TypeVar

from letterhead.client.keepalive import Keepalive
from letterhead.errors import ConnectionFailed
from letterhead.protocol.client import ClientProtocol

CLASSIC_AT_ONCE = 16
"""Connections at once to a classic server, which answers one request on each."""

C = TypeVar("C")  # a call
P = TypeVar("P")  # what carries the bytes


class Endpoint(Generic[C, P]):
    """One server of a client.

    Attributes:
        name: its address as it was written.
        connection: the one that calls share; None where there is none.
        classic: it was classic when last seen.
        singles: calls to a classic server that are under way, or being connected for, each on a connection of its own.
        dialling: since when it is being connected to, or None.
        error: why it was set aside last, until it answers.
        idempotent: names of actions that may be sent again to it after a loss.
    """

    def __init__(self, name: str, idempotent: set[str]) -> None:
        self.name = name
        self.connection: Connection[C, P] | None = None
        self.classic = False
        self.singles = 0
        self.dialling: float | None = None
        self.error: ConnectionFailed | None = None
        self.idempotent = idempotent
        # The balancer's own.
        self.failures = 0  # one after the other, and short connections among them
        self.failure = 0  # the number, among all of the client's, of its last one
        self.tried_at = -math.inf
        self.again_at = -math.inf
        self.joined_at = 0.0
        self.lost_at = -math.inf
        self.back_at = -math.inf
        self.answered = False  # its present connection has said something
        self.short = 0  # connections that ended soon after they were made, one after the other
        self.connections = 0
        self.learnt = False
        self.learning = False  # it was asked what it offers, and has not answered

    def take_over(self, other: "Endpoint[C, P]") -> None:
        """Know of the same server what another one knew, but for its connections."""
        self.classic = other.classic
        self.connections = other.connections
        self.idempotent = other.idempotent
        self.error = other.error
        self.failures, self.failure, self.short = other.failures, other.failure, other.short
        self.tried_at, self.again_at = other.tried_at, other.again_at
        self.lost_at, self.back_at = other.lost_at, other.back_at

    def takes_calls(self, now: float) -> bool:
        """Whether a call may be given to it now."""
        if self.classic:
            return now >= self.again_at and self.dialling is None
        return self.connection is not None and self.connection.protocol.takes_calls

    @property
    def full(self) -> bool:
        """Whether it is classic and has as many calls as it gets at once."""
        return self.classic and self.singles >= CLASSIC_AT_ONCE

    @property
    def load(self) -> int:
        """Calls that it has to answer; not what the client asks by itself."""
        return self.singles if self.connection is None else self.connection.protocol.load - self.learning


class Connection(Generic[C, P]):
    """One connection.

    Attributes:
        endpoint: the server.
        protocol: the conversation on it.
        keepalive: when the server is asked whether it is there, and given up.
        single: it is for one call to a classic server, and counts in ``endpoint.singles``.
        left: its server said that it is leaving, and it goes on for the sake of what is open.
        heard: when bytes came last.
        pipe: the client's own: what carries the bytes.
    """

    __slots__ = ("endpoint", "heard", "keepalive", "left", "pipe", "protocol", "single")

    def __init__(
        self, endpoint: Endpoint[C, P], protocol: ClientProtocol[C], keepalive: Keepalive, pipe: P, *, single: bool
    ) -> None:
        self.endpoint = endpoint
        self.protocol = protocol
        self.keepalive = keepalive
        self.single = single
        self.left = False
        self.heard = 0.0
        self.pipe = pipe

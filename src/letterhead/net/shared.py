"""What all connections of one server share."""

import asyncio
import logging
from typing import Protocol

from letterhead import clock
from letterhead.app.app import Application
from letterhead.app.runner import Runner
from letterhead.errors import Refused
from letterhead.exchange.budget import Budget
from letterhead.exchange.counters import Counters
from letterhead.net.connection import Turn
from letterhead.wire.header import Headers

log = logging.getLogger("letterhead.server")


class Connection(Protocol):
    """What the server needs of one of its connections."""

    def drain(self) -> None:
        """Answer what was accepted, then close."""

    def abort(self) -> None:
        """Close at once; what is not sent is lost."""


class PeerLog:
    """Log lines about misbehaving peers: so many a second, then a count."""

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._second = 0
        self._said = 0
        self._unsaid = 0

    def misbehaved(self, caller: str, error: Refused) -> None:
        """One bad connection: one line, never a traceback. The message quotes the peer only shortened and escaped."""
        second = int(clock.monotonic())
        if second != self._second:
            if self._unsaid:
                log.warning("%d more connections misbehaved", self._unsaid)
            self._second, self._said, self._unsaid = second, 0, 0
        if self._said < self._lines:
            self._said += 1
            log.warning("closed the connection of %s: %s: %s", caller, error.code, error.message)
        else:
            self._unsaid += 1


class Shared:
    """One server's runner, counters, bounds, and its connections."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.counters = Counters()
        self.budget = Budget(app.limits.buffered_bytes)
        self.headers = Headers(app.limits)
        self.turn = Turn()
        self.log = PeerLog(app.limits.log_lines)
        self.runner = Runner(app, self.counters)
        self.arriving: set[Connection] = set()  # accepted, but not yet among the connections
        self.connections: set[Connection] = set()
        self.turned_away: set[Connection] = set()  # those of them that are only told why
        self.empty: asyncio.Future[None] | None = None

    def joined(self, connection: Connection, turned_away: bool = False) -> None:
        """A connection was made."""
        self.arriving.discard(connection)
        self.connections.add(connection)
        if turned_away:
            self.turned_away.add(connection)
        self.counters.connections_now = len(self.connections)

    def left(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        self.turned_away.discard(connection)
        self.counters.connections_now = len(self.connections)
        if not self.connections and self.empty is not None and not self.empty.done():
            self.empty.set_result(None)

"""What all connections of one server share.

What lives here: the counters, bounds, runner and write batch of a server, and the sets of its connections. What is said
on a connection is not known here.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from letterhead import clock
from letterhead.app.runner import Runner
from letterhead.app.service import Service
from letterhead.log import say
from letterhead.protocol.budget import Budget
from letterhead.protocol.counters import Counters
from letterhead.protocol.timers import NEVER
from letterhead.transport.stream import WriteBatch
from letterhead.wire.header import Headers

log = logging.getLogger("letterhead.server")


class Connection(Protocol):
    """What the server needs of one of its connections."""

    def drain(self) -> None:
        """Answer what was accepted, then close."""

    def cut_off(self) -> None:
        """Answer what is open with ``cancelled``, then close."""

    def abort(self) -> None:
        """Close at once; what is not sent is lost."""


class PeerLog:
    """Events for which peers are to blame: so many lines a second, then a count.

    What is said of one is one line, never a traceback, and quotes the peer only shortened and escaped.
    """

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._second = 0
        self._said = 0
        self._unsaid = 0

    def say(self, level: int, event: str, sentence: str, *args: Any, **fields: Any) -> None:
        """As ``letterhead.log.say`` does, unless there were too many."""
        second = int(clock.monotonic())
        if second != self._second:
            if self._unsaid:
                say(
                    log, logging.WARNING, "peers-unsaid", "%d more lines about peers were left out", self._unsaid,
                    count=self._unsaid,
                )  # fmt: skip
            self._second, self._said, self._unsaid = second, 0, 0
        if self._said < self._lines:
            self._said += 1
            say(log, level, event, sentence, *args, **fields)
        else:
            self._unsaid += 1


class Shared:
    """One server's runner, counters, bounds, and its connections."""

    def __init__(self, app: Service) -> None:
        self.app = app
        self.counters = Counters()
        self.budget = Budget(app.limits.buffered_bytes)
        self.headers = Headers(app.limits)
        self.batch = WriteBatch()
        self.log = PeerLog(app.limits.log_lines)
        self.runner = Runner(app, self.counters)
        self.arriving: set[Connection] = set()  # accepted, but not yet among the connections
        self.connections: set[Connection] = set()
        self.turned_away: set[Connection] = set()  # those of both that are only told why
        self.awaited: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    @property
    def kept(self) -> int:
        """How many have a place: connections, and those that are being made, without who is turned away."""
        return len(self.connections) + len(self.arriving) - len(self.turned_away)

    def arrives(self, connection: Connection, *, turned_away: bool) -> None:
        """A peer is there, and its connection is being made."""
        self.arriving.add(connection)
        if turned_away:
            self.turned_away.add(connection)

    def joined(self, connection: Connection) -> None:
        """A connection was made."""
        self.arriving.discard(connection)
        self.connections.add(connection)
        self.counters.connections_now = len(self.connections)

    def never_joined(self, connection: Connection) -> None:
        """A connection is not made any more; nothing happens where it was."""
        if connection in self.arriving:
            self.arriving.discard(connection)
            self.turned_away.discard(connection)
            self.look()

    def left(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        self.turned_away.discard(connection)
        self.counters.connections_now = len(self.connections)
        self.look()

    # -- ends ------------------------------------------------------------------------------------------------------

    def is_done(self) -> bool:
        """Whether nobody is connected or about to be, and no handler runs."""
        return not (self.connections or self.arriving or self.counters.open_now)

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until this holds, for so long at most; whether it does.

        It is looked at whenever a connection or a request has ended, and in ``look``.
        """
        if condition() or seconds <= 0:
            return condition()
        waiter = asyncio.get_running_loop().create_future()
        awaited = (condition, waiter)
        self.awaited.append(awaited)
        try:
            await asyncio.wait([waiter], timeout=None if seconds == NEVER else seconds)
        finally:
            self.awaited.remove(awaited)
        return condition()

    def look(self) -> None:
        """Something has ended: tell whoever waits for that."""
        for condition, waiter in self.awaited:
            if not waiter.done() and condition():
                waiter.set_result(None)

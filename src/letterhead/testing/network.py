"""A network that tests can spoil: what connections in memory and the proxy have in common.

``Network`` has the handles (``faults``, ``partition``, ``refuse``, ``reset_all``, ``heal``) and the counts. Its relays
live on one event loop; a handle that is used elsewhere is carried there, and has taken effect when it returns. How a
client gets in, and where the other side is, is known to the subclasses alone.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future
from random import Random

from letterhead.log import say
from letterhead.testing.faults import NONE, Counts, Faults, Line
from letterhead.testing.relay import Relay

log = logging.getLogger("letterhead.testing")

_END_SECONDS = 5.0


class Network:
    """Base of what leads connections through faults.

    Attributes:
        counts: what it has seen and done so far.
    """

    def __init__(self, faults: Faults | None) -> None:
        self.counts = Counts()
        self._faults = faults or NONE
        self._loop: asyncio.AbstractEventLoop | None = None
        self._relays: set[Relay] = set()
        self._parted = False
        self._refusing = False
        self._joined = asyncio.Event()  # what waits while it is parted
        self._joined.set()

    # -- handles ---------------------------------------------------------------------------------------------------

    @property
    def faults(self) -> Faults:
        """What happens to connections. Set it, and it holds for those that are open, too; it counts bytes from then."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        def change() -> None:
            self._faults = faults
            for relay in self._relays:
                relay.line.change(faults)
                relay.moved()

        self._carry_out(change)

    def partition(self) -> None:
        """Let nothing pass until ``heal``, on open connections and on new ones. Nobody is told, and nothing is lost."""
        self._carry_out(lambda: self._part(True))

    def refuse(self) -> None:
        """Refuse new connections until ``heal``, as a machine does on which nothing listens. Open ones go on."""
        self._carry_out(lambda: self._refuse(True))

    def reset_all(self) -> None:
        """Reset every open connection, on both sides."""

        def reset() -> None:
            for relay in list(self._relays):
                self.counts.reset += 1
                relay.told("reset")
                relay.cut()

        self._carry_out(reset)

    def heal(self) -> None:
        """No more faults, no partition, nobody refused. What was held goes on; what was lost stays lost."""

        def heal() -> None:
            self._refuse(False)
            self._faults = NONE
            for relay in self._relays:
                relay.line.change(NONE)
            self._part(False)

        self._carry_out(heal)

    # -- for subclasses --------------------------------------------------------------------------------------------

    def _refuse(self, refusing: bool) -> None:
        self._refusing = refusing

    def _new_relay(self, reset: Callable[[asyncio.Transport], None], where: str) -> Relay:
        """A relay for a connection that a client has made; ``where`` says from where to where."""
        self.counts.connections += 1
        number = self.counts.connections
        line = Line(self._faults, Random(f"{self._faults.seed}/{number}"), self.counts)
        line.parted = self._parted

        def told(what: str) -> None:
            passed = f"after {line.to_server.passed} bytes to the server and {line.to_client.passed} to the client"
            say(log, logging.INFO, "network-fault", "connection %d: %s %s", number, what, passed, connection=number)

        def ended(_: asyncio.Future[None]) -> None:
            self._relays.discard(relay)
            self.counts.open_now = len(self._relays)
            say(
                log,
                logging.INFO,
                "network-closed",
                "connection %d: closed, %d bytes to the server, %d to the client",
                number,
                line.to_server.passed,
                line.to_client.passed,
                connection=number,
            )

        relay = Relay(line, reset, told)
        relay.ended.add_done_callback(ended)
        self._relays.add(relay)
        self.counts.open_now = len(self._relays)
        say(log, logging.INFO, "network-connected", "connection %d: %s", number, where, connection=number)
        return relay

    async def _end(self) -> None:
        """Reset what is open, and wait until it is gone."""
        self._parted = self._refusing = False
        self._joined.set()
        for relay in list(self._relays):
            relay.cut()
        open_ones = [relay.ended for relay in self._relays if not relay.ended.done()]
        if open_ones:
            await asyncio.wait(open_ones, timeout=_END_SECONDS)
        self._loop = None

    # -- inside ----------------------------------------------------------------------------------------------------

    def _part(self, parted: bool) -> None:
        self._parted = parted
        if parted:
            self._joined.clear()
        else:
            self._joined.set()
        for relay in list(self._relays):
            relay.line.parted = parted
            relay.moved()

    def _carry_out(self, work: Callable[[], None]) -> None:
        """Do it on the loop of the connections, and wait for that."""
        loop = self._loop
        running = None
        with contextlib.suppress(RuntimeError):
            running = asyncio.get_running_loop()
        if loop is None or loop is running:
            work()
            return
        done: Future[None] = Future()

        def there() -> None:
            try:
                work()
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        loop.call_soon_threadsafe(there)
        done.result()

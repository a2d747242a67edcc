"""A network to which tests give faults: what connections in memory and the proxy have in common.

``Network`` has the relays, which live on one event loop, and the counts. ``Handles`` is the base of what users hold
(``Connected``, ``Proxy``); a handle that is used elsewhere than on that loop is carried there, and has taken effect
when it returns. How a client gets in, and where the other side is, is not known here.
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
    """Leads connections through faults. Its methods are called on its loop.

    Args:
        faults: what happens to the bytes at first.
        on_refuse: called when new connections are refused from now on, and when they no longer are.

    Attributes:
        counts: what it has seen and done so far.
        faults: what happens to the bytes.
        loop: where its connections live; None while there can be none.
        refusing: new connections are refused.
        joined: is set, but for the time of a partition, in which new connections wait for it.
    """

    def __init__(self, faults: Faults | None, on_refuse: Callable[[bool], None] | None = None) -> None:
        self.counts = Counts()
        self.faults = faults or NONE
        self.loop: asyncio.AbstractEventLoop | None = None
        self.refusing = False
        self.joined = asyncio.Event()
        self.joined.set()
        self._on_refuse = on_refuse
        self._relays: set[Relay] = set()

    def change(self, faults: Faults) -> None:
        """Let these faults happen from now on, to open connections, too."""
        self.faults = faults
        for relay in list(self._relays):
            relay.line.change(faults)
            relay.moved()

    def part(self, parted: bool) -> None:
        """Let nothing pass, or everything again."""
        if parted:
            self.joined.clear()
        else:
            self.joined.set()
        for relay in list(self._relays):
            relay.line.parted = parted
            relay.moved()

    def refuse(self, refusing: bool) -> None:
        """Refuse new connections, or let them in again."""
        self.refusing = refusing
        if self._on_refuse is not None:
            self._on_refuse(refusing)

    def reset_all(self) -> None:
        """Reset every open connection."""
        for relay in list(self._relays):
            self.counts.reset += 1
            relay.told("reset")
            relay.cut()

    def heal(self) -> None:
        """No more faults, no partition, nobody refused."""
        self.refuse(False)
        self.faults = NONE
        for relay in self._relays:
            relay.line.change(NONE)
        self.part(False)

    def new_relay(self, reset: Callable[[asyncio.Transport], None], where: str) -> Relay:
        """A relay for a connection that a client has made; ``where`` says from where to where."""
        self.counts.connections += 1
        number = self.counts.connections
        line = Line(self.faults, Random(f"{self.faults.seed}/{number}"), self.counts)
        line.parted = not self.joined.is_set()

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

    async def end(self) -> None:
        """Reset what is open, and wait until it is gone."""
        self.refusing = False
        self.joined.set()
        for relay in list(self._relays):
            relay.cut()
        open_ones = [relay.ended for relay in self._relays if not relay.ended.done()]
        if open_ones:
            await asyncio.wait(open_ones, timeout=_END_SECONDS)
        self.loop = None

    def carry_out(self, work: Callable[[], None]) -> None:
        """Do something on the loop of the connections, and wait for that: this may be called anywhere."""
        loop = self.loop
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


class Handles:
    """The handles of a network, for whoever tests with it.

    Args:
        network: the network.
    """

    def __init__(self, network: Network) -> None:
        self._handled = network

    @property
    def counts(self) -> Counts:
        """What the network has seen and done so far."""
        return self._handled.counts

    @property
    def faults(self) -> Faults:
        """What happens to connections. Set it, and it holds for those that are open, too; it counts bytes from then."""
        return self._handled.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._handled.carry_out(lambda: self._handled.change(faults))

    def partition(self) -> None:
        """Let nothing pass until ``heal``, on open connections and on new ones. Nobody is told, and nothing is lost."""
        self._handled.carry_out(lambda: self._handled.part(True))

    def refuse(self) -> None:
        """Refuse new connections until ``heal``, as a machine does on which nothing listens. Open ones go on."""
        self._handled.carry_out(lambda: self._handled.refuse(True))

    def reset_all(self) -> None:
        """Reset every open connection, on both sides."""
        self._handled.carry_out(self._handled.reset_all)

    def heal(self) -> None:
        """No more faults, no partition, nobody refused. What was held goes on; what was lost stays lost."""
        self._handled.carry_out(self._handled.heal)

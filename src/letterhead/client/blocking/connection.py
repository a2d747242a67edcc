"""One connection of the blocking client, shared by threads.

There is no thread behind a plain call: of the threads that wait for a reply here one leads, that is, reads for all;
when its own reply has come it hands the lead to another. A helper thread reads while nobody waits but something is open
(a call whose caller gave up), so that the server is never held up, and as long as a stream is open: whoever reads that
takes its items when it likes, and others should not wait for it.

Sending does not wait while the lock is held. What does not go at once is sent by whoever waits next, who reads at the
same time if nobody else does: two sides that both have much to send do not block each other. Where nobody waits for it
a writer thread sends the rest. Uploads hold still as long as anything is unsent.

All methods are called with the client's lock held; it is free while they wait.
"""

import threading
import time
from typing import Protocol

from letterhead.client.blocking.carrier import Carrier
from letterhead.client.blocking.waiters import ClientLock, taken, tell, wait_on, wake, wake_sender
from letterhead.client.keepalive import NEVER
from letterhead.errors import ConnectionFailed, ConnectionLost, LetterheadError
from letterhead.protocol.calls import Call
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.events import Readable
from letterhead.protocol.retry import Elsewhere
from letterhead.protocol.states import Phase
from letterhead.transport.wire import Wire

_STALE_SECONDS = 0.01


class Owner(Protocol):
    """What a link tells its client."""

    def handed_back(self, back: Elsewhere, link: "Link") -> None:
        """Calls that were not answered here; their threads are woken and place them again."""

    def multiplexes(self, link: "Link") -> None:
        """The server was found to multiplex."""

    def parted(self, link: "Link") -> None:
        """The connection has ended: take no more calls there."""

    def closed(self, link: "Link") -> None:
        """Nobody waits there any more and its wire is closed."""

    def keeps(self, link: "Link") -> bool:
        """Whether an idle link is to be kept for further calls."""


class Link(Carrier):
    """A wire, the conversation on it, and who waits there.

    Attributes:
        helper: the thread that reads while no caller does, or None.
        writer: the thread that sends what nobody waits for, or None.
        parted: the owner knows that it has ended.
    """

    __slots__ = (
        "_followers", "_keep_alive", "_known", "_led", "_owner", "_pause", "helper", "parted", "writer",
    )  # fmt: skip

    def __init__(
        self, lock: ClientLock, wire: Wire, requester: ClientProtocol, owner: Owner, *, keep_alive: bool
    ) -> None:
        super().__init__(lock, wire, requester)
        self.helper: threading.Thread | None = None
        self.writer: threading.Thread | None = None
        self.parted = False
        self._owner = owner
        self._followers: dict[Call, None] = {}
        self._pause: threading.Lock | None = None  # what the writer sleeps on until more may be cancelled
        self._led = False
        self._known = False  # the owner knows that this server multiplexes
        self._keep_alive = keep_alive

    # -- for the client --------------------------------------------------------------------------------------------

    def takes_calls(self) -> bool:
        """Whether calls may be submitted. A connection that idled is looked at first: the server may have closed it."""
        requester = self.requester
        if not self._led and not requester.open and time.monotonic() - self._heard > _STALE_SECONDS:
            self._led = True
            try:
                if requester.takes_calls and self._wire.wait(write=False, read=True, timeout=0.0):
                    self._read(0.0)
            except OSError as error:
                self._broke(error)
            finally:
                self._led = False
                self._stop_leading()
        return requester.takes_calls

    def submit(self, call: Call) -> None:
        """Send a call, or keep it until it may be sent."""
        call.home = self
        if not self.requester.open:
            self._liveness.expect(time.monotonic())
        try:
            self.requester.submit(call)
            self._send()
            if self.requester.events:
                self._settle()
            if self.requester.streaming:
                self.hand_over()
        except LetterheadError:
            raise
        except BaseException:
            self._broken_off()
            raise

    def wait(self, call: Call, until: float | None) -> None:
        """Wait until the call is done, its time is over, or it has no connection any more."""
        if self._led:
            self._follow(call, until)
            if call.done and self._unsent:
                self._write_on()
            return
        self._led = True
        try:
            while call.header is None and call.error is None and call.home is self:
                now = time.monotonic()
                if until is not None and now >= until:
                    return
                self._read(self._liveness.due - now if until is None else min(until, self._liveness.due) - now)
        finally:
            self._led = False  # here: Ctrl-C may come before the first step of what is called
            self._stop_leading()

    def wait_as(self, waiter: threading.Lock, until: float | None) -> None:
        """Wait until the owner of a stream is told something, or its time is over; send what is unsent meanwhile.

        Args:
            waiter: a lock that is taken; who waits has entered it at its call, as ``waiter`` or ``sender``.
        """
        if self._unsent:
            self._push(until)
        else:
            wait_on(self._lock, waiter, until)

    def send_for(self, call: Call) -> None:
        """Send what its upload has added, and wait until all of that went or the call has ended."""
        self._send()
        while self._unsent and not call.done:
            self._push(None)
        if self._unsent:
            self._write_on()

    def withdraw(self, call: Call, *, late: bool) -> None:
        """The caller does not wait any longer: the server should know."""
        if not self.requester.ended:
            self.requester.cancel(call, late=late)
            self.moved()
            self.hand_over()

    def moved(self) -> None:
        """The conversation was told something by whoever reads or writes a stream."""
        self._settle()
        if self._unsent:
            self._write_on()

    def end(self, error: ConnectionFailed) -> None:
        """Close: what is open fails with ``error``."""
        self.requester.lost(error)
        self._settle()

    def forget(self) -> None:
        """Let go of the wire without a word to the server: it is another process's."""
        requester = self.requester
        lost = ConnectionLost("this process was forked; the connection is its parent's", address=requester.address)
        requester.lost(lost)
        for event in requester.events:
            if isinstance(event, Elsewhere):
                for call in event.calls:
                    call.fail(lost)
        self._wire.close()

    # -- who reads -------------------------------------------------------------------------------------------------

    def _follow(self, call: Call, until: float | None) -> None:
        """Wait until the leader has our reply or hands us the lead; send what is unsent meanwhile."""
        if self._unsent:
            self._push(until)
            return
        waiter = call.waiter = taken()
        self._followers[call] = None
        try:
            wait_on(self._lock, waiter, until)
        finally:
            self._followers.pop(call, None)
            call.waiter = None
            if not self._led and call.done:
                self.hand_over()  # we were offered the lead but need it no longer

    def _stop_leading(self) -> None:
        """The lead is free: hand it over, if anybody needs it."""
        requester = self.requester
        if self._followers or requester.open or requester.ended or self._unsent or not self._known or self._keep_alive:
            self.hand_over()

    def hand_over(self) -> None:
        """The lead may be free: wake somebody who takes it, or have the helper read while something is open."""
        if self._led or self._retired:
            return
        if self.requester.ended:
            self._retire()
            return
        if not self.requester.streaming:
            for call in self._followers:
                if call.waiter is not None:
                    wake(call)
                    return
            if self._followers:
                return  # one is awake already and comes for the lead
        if self.requester.busy or self._unsent or self._is_kept():
            if self.helper is None:
                self.helper = threading.Thread(target=self._help, name="letterhead-reader", daemon=True)
                self.helper.start()
        elif not self._owner.keeps(self):
            self.end(ConnectionLost("the connection was not needed any longer", address=self.requester.address))

    def _is_kept(self) -> bool:
        """Whether it is to be kept alive though nothing is open."""
        return self._keep_alive and self._known and self._owner.keeps(self)

    def _help(self) -> None:
        """Read and write while a stream is open, or anything is and no caller does."""
        requester = self.requester
        with self._lock:
            try:
                while not requester.ended and (
                    requester.streaming or ((requester.busy or self._unsent or self._is_kept()) and not self._followers)
                ):
                    if not self._led:
                        self._led = True
                        try:
                            if self._liveness.due == NEVER:
                                self._liveness.expect(time.monotonic())
                            self._read(self._liveness.due - time.monotonic())
                        finally:
                            self._led = False
                    elif self._unsent:
                        self._push(None)
                    else:
                        break  # a caller leads, and will hand over
            finally:
                self.helper = None
                self.hand_over()

    def _write_on(self) -> None:
        """Somebody leaves with bytes unsent: see that they go, though who leads may sleep until bytes come."""
        needed = self.requester.withholds or (self._led and not self._pushing)
        if needed and self.writer is None and not self._retired:
            self.writer = threading.Thread(target=self._write, name="letterhead-writer", daemon=True)
            self.writer.start()

    def _write(self) -> None:
        requester = self.requester
        with self._lock:
            try:
                while (self._unsent or requester.withholds) and not requester.ended:
                    if self._unsent:
                        self._push(None)
                        continue
                    self._pause = taken()
                    wait_on(self._lock, self._pause, requester.due)
                    self._pause = None
                    self._settle()
            finally:
                self.writer = None

    # -- events ----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """The conversation moved: wake whoever has a reply, send what it said, part with it if it has ended."""
        requester = self.requester
        self._tell()
        if requester.ended:
            self._retire()
            return
        if requester.withholds:
            requester.tick(time.monotonic())
            if requester.withholds:
                self._write_on()
        if not self._known and requester.phase is Phase.MULTIPLEXED:
            self._known = True
            self._owner.multiplexes(self)
        if requester.out or self._unsent:
            self._send()

    def _tell(self) -> None:
        """Wake those whom the events concern."""
        requester = self.requester
        while requester.events:
            events, requester.events = requester.events, []
            for event in events:
                if isinstance(event, Call):
                    tell(event)
                elif isinstance(event, Elsewhere):
                    self._owner.handed_back(event, self)
                    for call in event.calls:
                        call.home = None
                        wake(call)
                        wake_sender(call)
                elif isinstance(event, Readable):
                    wake(event.exchange)
                else:
                    wake_sender(event.exchange)

    def _retire(self) -> None:
        """Part with a connection that has ended; whoever waits on it wakes up and is the last to let go."""
        if self._pause is not None:
            pause, self._pause = self._pause, None
            pause.release()
        self._owner.parted(self)
        if self._led or self._pushing:
            self._wire.shutdown()  # to close it under them would not wake them
        elif not self._retired:
            self._retired = True
            self._wire.close()
            self._owner.closed(self)

"""One connection of the blocking client, shared by threads.

There is no thread behind a plain call: of the threads that wait for a reply here one leads, that is, reads for all;
when its own reply has come it hands the lead to another. Only while nobody waits but something is open (a call whose
caller gave up) a helper thread reads, so that the server is never held up.

Sending does not wait while the lock is held. What does not go at once is sent by whoever waits next, who reads at the
same time if nobody else does: two sides that both have much to send do not block each other.

All methods are called with the client's lock held; it is free while they wait.
"""

import threading
import time
from collections import deque
from itertools import islice
from typing import Protocol

from letterhead.errors import ConnectionFailed, ConnectionLost
from letterhead.exchange.asking import Elsewhere, Phase
from letterhead.exchange.calls import Call
from letterhead.exchange.requester import Requester
from letterhead.exchange.streams import Items, Room
from letterhead.message import Buffer
from letterhead.net import address as addresses
from letterhead.net.wire import PIECES, Wire

_SCRATCH = 64 * 1024
_STALE_SECONDS = 0.01


class Owner(Protocol):
    """What a link tells its client."""

    def handed_back(self, back: Elsewhere) -> None:
        """Calls that were not written here; their threads are woken and place them again."""

    def multiplexes(self, link: "Link") -> None:
        """The server was found to multiplex."""

    def parted(self, link: "Link") -> None:
        """The connection has ended: take no more calls there."""

    def closed(self, link: "Link") -> None:
        """Nobody waits there any more and its wire is closed."""

    def keeps(self, link: "Link") -> bool:
        """Whether an idle link is to be kept for further calls."""


class Link:
    """A wire, the conversation on it, and who waits there.

    Attributes:
        requester: the conversation.
        helper: the thread that reads while no caller does, or None.
    """

    __slots__ = (
        "_followers", "_heard", "_known", "_led", "_lock", "_owner", "_pushing", "_retired", "_scratch", "_sent_at",
        "_unsent", "_wire", "helper", "requester",
    )  # fmt: skip

    def __init__(self, lock: threading.Lock, wire: Wire, requester: Requester, owner: Owner) -> None:
        self.requester = requester
        self.helper: threading.Thread | None = None
        self._lock = lock
        self._wire = wire
        self._owner = owner
        self._scratch = memoryview(bytearray(_SCRATCH))
        self._unsent: deque[Buffer] = deque()
        self._followers: dict[Call, None] = {}
        self._led = False
        self._pushing = 0  # who waits until bytes can be sent, without reading
        self._known = False  # the owner knows that this server multiplexes
        self._retired = False
        self._heard = 0.0  # when bytes came last
        self._sent_at = 0.0  # when unsent bytes last went, or came to be

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
                self._stop_leading()
        return requester.takes_calls

    def submit(self, call: Call) -> None:
        """Send a call, or keep it until it may be sent."""
        call.home = self
        self.requester.submit(call)
        self._send()
        if self.requester.events:
            self._settle()

    def wait(self, call: Call, until: float | None) -> None:
        """Wait until the call is done, its time is over, or it has no connection any more."""
        if self._led:
            self._follow(call, until)
            return
        self._led = True
        try:
            while call.header is None and call.error is None and call.home is self:
                timeout = None
                if until is not None:
                    timeout = until - time.monotonic()
                    if timeout <= 0:
                        return
                self._read(timeout)
        finally:
            self._stop_leading()

    def withdraw(self, call: Call, *, late: bool) -> None:
        """The caller does not wait any longer: the server should know."""
        if not self.requester.ended:
            self.requester.cancel(call, late=late)
            self._settle()
            self.hand_over()

    def end(self, error: ConnectionFailed) -> None:
        """Close: what is open fails with ``error``."""
        self.requester.lost(error)
        self._settle()

    def forget(self) -> None:
        """Let go of the wire without a word to the server: it is another process's."""
        self._wire.close()

    def _broke(self, error: OSError) -> None:
        self.requester.end_of_stream(addresses.how_it_broke(error))
        self._settle()

    # -- who reads -------------------------------------------------------------------------------------------------

    def _follow(self, call: Call, until: float | None) -> None:
        """Wait until the leader has our reply or hands us the lead; send what is unsent meanwhile."""
        if self._unsent:
            self._push(until)
            return
        waiter = call.waiter = threading.Lock()
        waiter.acquire()
        self._followers[call] = None
        self._lock.release()
        try:
            waiter.acquire(timeout=-1 if until is None else max(0.0, until - time.monotonic()))
        finally:
            self._lock.acquire()
            self._followers.pop(call, None)
            call.waiter = None
            if not self._led and call.done:
                self.hand_over()  # we were offered the lead but need it no longer

    def _stop_leading(self) -> None:
        self._led = False
        if self._followers or self.requester.open or self.requester.ended or self._unsent or not self._known:
            self.hand_over()

    def hand_over(self) -> None:
        """The lead may be free: wake somebody who takes it, or have the helper read while something is open."""
        if self._led or self._retired:
            return
        if self.requester.ended:
            self._retire()
            return
        for call in self._followers:
            if call.waiter is not None:
                _wake(call)
                return
        if self._followers:
            return  # one is awake already and comes for the lead
        if self.requester.busy or self._unsent:
            if self.helper is None:
                self.helper = threading.Thread(target=self._help, name="letterhead-reader", daemon=True)
                self.helper.start()
        elif not self._owner.keeps(self):
            self.end(ConnectionLost("the connection was not needed any longer", address=self.requester.address))

    def _help(self) -> None:
        """Read and write while something is open and no caller does."""
        with self._lock:
            try:
                while not self.requester.ended and (self.requester.busy or self._unsent) and not self._followers:
                    if not self._led:
                        self._led = True
                        try:
                            self._read(None)
                        finally:
                            self._led = False
                    elif self._unsent:
                        self._push(None)
                    else:
                        break  # a caller leads, and will hand over
            finally:
                self.helper = None
                self.hand_over()

    # -- bytes -----------------------------------------------------------------------------------------------------

    def _read(self, timeout: float | None) -> None:
        """Wait for bytes and take them; also send what is unsent. Only for who leads, or where nobody can."""
        requester, wire = self.requester, self._wire
        own = requester.buffer()
        view = self._scratch if own is None else own
        count: int | None = None
        failure: OSError | None = None
        interrupted = False
        pushing = bool(self._unsent)
        self._lock.release()
        try:
            if not pushing:
                count = wire.receive_into(view, timeout)
            else:
                wire.wait(write=True, read=True, timeout=self._until_stalled(timeout))
                if wire.wait(write=False, read=True, timeout=0.0):
                    count = wire.receive_into(view, 0.0)
        except OSError as error:
            failure = error
        except BaseException:
            # Ctrl-C, or an exception thrown into this thread: whether bytes were received is not known any more, and
            # they may have been other callers'. Better that those hear of it than that they wait in vain.
            interrupted = True
            raise
        finally:
            self._lock.acquire()
            if interrupted:
                self.end(ConnectionLost("reading was interrupted in another thread", address=requester.address))
        if count:
            self._heard = time.monotonic()
            if requester.ended:
                return
            if own is None:
                requester.receive(bytes(view[:count]))
            else:
                requester.filled(count)
        elif failure is not None:
            requester.end_of_stream(addresses.how_it_broke(failure))
        elif count == 0:
            requester.end_of_stream()
        self._settle()

    def _push(self, until: float | None) -> None:
        """Wait until bytes can be sent, and send; somebody else reads."""
        self._pushing += 1
        self._lock.release()
        try:
            # Bytes to read wake us, too: who led may have left, and a server whose replies nobody reads stops reading.
            seconds = None if until is None else max(0.0, until - time.monotonic())
            self._wire.wait(write=True, read=True, timeout=self._until_stalled(seconds))
        except OSError:
            return  # whoever reads learns how it ended
        finally:
            self._lock.acquire()
            self._pushing -= 1
            if self.requester.ended:
                self._retire()
        self._send()

    def _send(self) -> None:
        """Send what goes without waiting."""
        requester, unsent = self.requester, self._unsent
        if self._retired:
            return
        try:
            if not unsent and len(requester.out) == 1:
                piece = requester.out.pop()
                went = self._wire.send((piece,))
                if went < len(piece):
                    unsent.append(memoryview(piece)[went:])
                    self._sent_at = time.monotonic()
                return
            if not unsent:
                self._sent_at = time.monotonic()
            unsent.extend(requester.out)
            requester.out.clear()
            while unsent and self._send_some():
                pass
        except OSError as error:
            self._broke(error)
            return
        if unsent and self._until_stalled(None) <= 0:
            seconds = requester.limits.write_seconds
            requester.end_of_stream(f"took nothing of what was sent for {seconds:g} s; the connection was closed")
            self._settle()

    def _until_stalled(self, timeout: float | None) -> float:
        """Seconds until unsent bytes have waited too long, or ``timeout`` if that is sooner."""
        left = max(0.0, self._sent_at + self.requester.limits.write_seconds - time.monotonic())
        return left if timeout is None else min(left, timeout)

    def _send_some(self) -> bool:
        """Send once; whether all that was given to the wire went."""
        unsent = self._unsent
        pieces = list(islice(unsent, PIECES))
        went = self._wire.send(pieces)
        if went:
            self._sent_at = time.monotonic()
        for piece in pieces:
            if went < len(piece):
                unsent[0] = memoryview(piece)[went:]
                return False
            went -= len(piece)
            unsent.popleft()
        return True

    # -- events ----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """The conversation moved: wake whoever has a reply, send what it said, part with it if it has ended."""
        requester = self.requester
        while requester.events:
            events, requester.events = requester.events, []
            for event in events:
                if isinstance(event, Elsewhere):
                    self._owner.handed_back(event)
                    for call in event.calls:
                        call.home = None
                        _wake(call)
                elif isinstance(event, Items | Room):
                    _wake(event.exchange)
                else:
                    _wake(event)
        if requester.ended:
            self._retire()
            return
        if not self._known and requester.phase is Phase.MULTIPLEXED:
            self._known = True
            self._owner.multiplexes(self)
        if requester.out or self._unsent:
            self._send()

    def _retire(self) -> None:
        """Part with a connection that has ended; whoever waits on it wakes up and is the last to let go."""
        self._owner.parted(self)
        if self._led or self._pushing:
            self._wire.shutdown()  # to close it under them would not wake them
        elif not self._retired:
            self._retired = True
            self._wire.close()
            self._owner.closed(self)


def _wake(call: Call) -> None:
    waiter = call.waiter
    if waiter is not None:
        call.waiter = None
        waiter.release()

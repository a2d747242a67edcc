"""The bytes of one connection of the blocking client: receiving them, sending them, and noticing that none come.

Who does that, and when, is decided in ``link.py``, which is told here what became of it.

All methods are called with the client's lock held; it is free while they wait.
"""

import time
from abc import abstractmethod

from letterhead.client.blocking.outbox import Outbox
from letterhead.client.blocking.waiters import ClientLock, once
from letterhead.client.keepalive import NEVER, Liveness, Sign
from letterhead.errors import ConnectionFailed, ConnectionLost
from letterhead.protocol.client import ClientProtocol
from letterhead.protocol.states import Phase
from letterhead.transport import address as addresses
from letterhead.transport.wire import Wire

_SCRATCH = 64 * 1024


class Carrier:
    """A wire, and the conversation on it.

    Attributes:
        requester: the conversation.
    """

    __slots__ = (
        "_heard", "_liveness", "_lock", "_pushing", "_retired", "_scratch", "_unsent", "_wire", "requester",
    )  # fmt: skip

    def __init__(self, lock: ClientLock, wire: Wire, requester: ClientProtocol) -> None:
        self.requester = requester
        self._lock = lock
        self._wire = wire
        self._scratch = memoryview(bytearray(_SCRATCH))
        self._unsent = Outbox(wire, requester.limits.write_seconds)
        self._pushing = 0  # how many wait until bytes can be sent
        self._retired = False  # the wire is closed
        self._heard = 0.0  # when bytes came last
        self._liveness = Liveness(requester.limits.ping_after_seconds, requester.limits.ping_wait_seconds)

    @abstractmethod
    def end(self, error: ConnectionFailed) -> None:
        """Close: what is open fails with ``error``."""

    @abstractmethod
    def _settle(self) -> None:
        """The conversation moved."""

    @abstractmethod
    def _tell(self) -> None:
        """Wake those whom the events concern."""

    @abstractmethod
    def _retire(self) -> None:
        """Part with a connection that has ended."""

    @abstractmethod
    def _is_kept(self) -> bool:
        """Whether it is to be kept alive though nothing is open."""

    def _read(self, timeout: float) -> None:
        """Wait for bytes and take them; also send what is unsent. Only for who leads, or where nobody can.

        Args:
            timeout: seconds, at most; what is none is taken for none at all.
        """
        requester, wire = self.requester, self._wire
        seconds = None if timeout == NEVER else max(0.0, timeout)
        own = requester.buffer()
        view = self._scratch if own is None else own
        count: int | None = None
        failure: OSError | None = None
        interrupted = False
        pushing = bool(self._unsent)
        self._pushing += pushing
        ours = once()
        try:
            self._lock.release()
            if not pushing:
                count = wire.receive_into(view, seconds)
            else:
                wire.wait(write=True, read=True, timeout=self._unsent.until_stalled(seconds))
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
            self._lock._acquire_restore(ours)
            self._pushing -= pushing
            if interrupted:
                self._broken_off()
        if count:
            self._heard = time.monotonic()
            if requester.ended:
                return
            try:
                if own is None:
                    requester.receive(bytes(view[:count]))
                else:
                    requester.filled(count)
            except BaseException:
                self._broken_off()
                raise
        elif failure is not None:
            requester.end_of_stream(addresses.how_it_broke(failure))
        elif count == 0:
            requester.end_of_stream()
        elif self._liveness.due <= time.monotonic():
            self._look()
        self._settle()

    def _broken_off(self) -> None:
        """A thread was interrupted in the midst of reading or sending: nobody knows how far that came."""
        address = self.requester.address
        self.end(ConnectionLost("reading or sending was interrupted in another thread", address=address))

    def _look(self) -> None:
        """Nothing came for long: is the server there?"""
        requester, liveness = self.requester, self._liveness
        now = time.monotonic()
        if requester.phase is Phase.PROBING or requester.leaving:
            # Nothing may be asked: a classic server may take its time, and one that leaves takes no more requests.
            liveness.expect(now)
            return
        sign = liveness.look(now, self._heard, requester.busy or self._is_kept())
        if sign is Sign.ASK:
            requester.ping()
        elif sign is Sign.GONE:
            requester.end_of_stream(f"gave no sign of life for {liveness.patience:g} s; the connection was given up")

    def _push(self, until: float | None) -> None:
        """Wait until bytes can be sent, and send; somebody else reads."""
        self._pushing += 1
        ours = once()
        try:
            self._lock.release()
            # Bytes to read wake us, too: who led may have left, and a server whose replies nobody reads stops reading.
            seconds = None if until is None else max(0.0, until - time.monotonic())
            self._wire.wait(write=True, read=True, timeout=self._unsent.until_stalled(seconds))
        except OSError:
            return  # whoever reads learns how it ended
        finally:
            self._lock._acquire_restore(ours)
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
            unsent.send(requester.out)
        except OSError as error:
            self._broke(error)
            return
        if not unsent:
            if requester.congested:
                requester.relieved()
                self._tell()
            return
        requester.congested = True
        if unsent.until_stalled(None) <= 0:
            seconds = requester.limits.write_seconds
            requester.end_of_stream(f"took nothing of what was sent for {seconds:g} s; the connection was closed")
            self._settle()

    def _broke(self, error: OSError) -> None:
        self.requester.end_of_stream(addresses.how_it_broke(error))
        self._settle()

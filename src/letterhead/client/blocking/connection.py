"""One connection of the blocking client: a wire, the bytes that came on it, and those that did not go yet.

Nothing is decided here, and nothing waits for the client's lock. One thread receives at a time, another may wait until
bytes can be sent; the last of them that leaves a closed connection frees the wire.

What was received is never lost: it goes into ``inbox`` within the one C call that receives it, so that no exception
which a signal handler raises can come between. Whoever gets the client's lock next tells it to the core.
"""

import threading
from collections import deque

from letterhead.client.calls import Call
from letterhead.client.connection import Connection
from letterhead.client.core import ClientCore, Dial, Event
from letterhead.transport.outbox import Outbox
from letterhead.transport.wire import Received, Wire, is_interruption

BlockingCall = Call[threading.Lock, "ClientConnection"]
BlockingConnection = Connection[BlockingCall, "ClientConnection"]
BlockingCore = ClientCore[threading.Lock, "ClientConnection"]
BlockingDial = Dial[threading.Lock, "ClientConnection"]
BlockingEvent = Event[threading.Lock, "ClientConnection"]


class ClientConnection:
    """The client's end of one connection.

    Args:
        wire: what carries the bytes.
        write_seconds: unsent bytes without progress for so long have stalled.

    Attributes:
        connection: what the core knows of it; set once it does.
        inbox: what came and the core was not told: bytes, numbers of bytes that are in the protocol's own buffer, or
            the error that ended the wire. No bytes, and the number 0, are the end of the stream.
        outbox: what the wire did not take yet.
        reader: who receives: a call, whose own thread it is, or a thread that receives for all; None where nobody does.
        thread: the thread that receives for all, perhaps parked; None where there is none.
        parked: what that thread sleeps on while nothing is open; None where it is awake.
        writer: the thread that waits until bytes can be sent; None where there is none.
        paused: uploads were told to wait.
        closed: nothing is sent any more, and what comes is for nobody.
    """

    __slots__ = (
        "_freed", "closed", "connection", "inbox", "outbox", "parked", "paused", "reader", "thread", "wire", "writer",
    )  # fmt: skip

    connection: BlockingConnection

    def __init__(self, wire: Wire, write_seconds: float) -> None:
        self.wire = wire
        self.inbox: deque[Received] = deque()
        self.outbox = Outbox(wire, write_seconds)
        self.reader: BlockingCall | threading.Thread | None = None
        self.thread: threading.Thread | None = None
        self.parked: threading.Lock | None = None
        self.writer: threading.Thread | None = None
        self.paused = False
        self.closed = False
        self._freed = False

    def receive(self, timeout: float | None) -> None:
        """Wait for bytes, the end of the stream or an error, unless one is in the inbox already, and put it there.

        Args:
            timeout: seconds, at most; None: as long as it takes; 0: not at all.
        """
        try:
            if not self.inbox:  # only once that was told is it known where more is to go
                self.wire.receive(self.inbox, self.connection.protocol.buffer(), timeout)
        except Exception as error:
            self._broke(error)

    def wait(self, *, read: bool, timeout: float | None) -> None:
        """Wait until bytes can be sent, or also received; not longer than unsent bytes may wait."""
        try:
            self.wire.wait(write=True, read=read, timeout=self.outbox.until_stalled(timeout))
        except Exception as error:
            self._broke(error)

    def _broke(self, error: Exception) -> None:
        if is_interruption(error):
            raise error
        self.inbox.append(error)

    def unpark(self) -> None:
        """Wake the thread that receives for all, if it sleeps."""
        parked, self.parked = self.parked, None
        if parked is not None:
            parked.release()

    def close(self) -> None:
        """With the client's lock held: the conversation is over; whoever waits on the wire wakes up."""
        self.closed = True
        self.unpark()
        if not self.free():
            self.wire.shutdown()  # to close it under them would not wake them

    def free(self) -> bool:
        """With the client's lock held: free the wire if the connection is closed and nobody waits on it; whether."""
        if not self.closed or self.reader is not None or self.writer is not None:
            return False
        if not self._freed:
            self._freed = True
            self.wire.close()
        return True

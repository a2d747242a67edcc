"""A byte echo: what comes in on a connection goes back on it, in order, until the peer ends its sending side.

One thread, one selector, any number of connections, none of which may harm another:

* Nothing blocks. A send that takes a part leaves the rest with its connection, to go on when the peer has read some.
* What a slow reader has not taken costs a bounded amount: above ``Limits.write_high`` unsent bytes it is not read until
  less than ``write_low`` are left. One read comes on top of that, at most.
* Timers bound each wait: ``write_seconds`` while the peer takes none of the unsent bytes, ``idle_seconds`` without any.
* An error of one connection ends that one. Where descriptors run out accepting rests; who is in is served.
* The end of a peer's stream is the end of its bytes, not of ours: all that came before is echoed, then it is closed.

``stop`` (from a signal handler or another thread) ends it in order: nobody new, nothing more is read, what was read is
sent to those who take it.

Frames and requests are not known here.
"""

import contextlib
import logging
import selectors
import socket
import struct
import time
from types import TracebackType
from typing import Self

from letterhead.errors import UsageError
from letterhead.limits import Limits
from letterhead.transport import address as addresses
from letterhead.transport import sockets
from letterhead.transport.listen import OUT_OF_RESOURCES, REST_SECONDS, Listeners, most_connections
from letterhead.waiting import NEVER, Waiting

log = logging.getLogger("letterhead.echo")

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
SCRATCH = 64 * 1024
"""Bytes of one read."""
_ACCEPTED_AT_ONCE = 128
_LEAVE_SECONDS = 1.0
"""Once the server was told to stop: how long a peer may take none of its bytes, then how long to end its own side."""
_TRIES = 4
"""How often within ``write_seconds`` it is tried to send to a peer whose socket is not said to be writable."""
_SAY_AGAIN_SECONDS = 10.0
_RESET = struct.pack("ii", 1, 0)


class _Connection:
    """One peer: its socket, the bytes that it has not taken yet, and what went through.

    Attributes:
        events: what the selector looks for.
        ended: the end of the peer's stream has been read.
        shut: the end of ours has been sent; what still comes is dropped.
        tries: how often in a row it was tried in vain to send to it though it was not said to be writable.
        paused: it is not read, because it does not read itself.
    """

    __slots__ = ("ended", "events", "paused", "peer", "received", "sent", "shut", "sock", "tries", "unsent")

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self.sock = sock
        self.peer = peer
        self.unsent = bytearray()
        self.received = 0
        self.sent = 0
        self.events = READ
        self.ended = False
        self.shut = False
        self.tries = 0
        self.paused = False


class EchoServer:
    """A server that listens from the moment it is made, and echoes while ``run`` runs::

        with EchoServer("127.0.0.1:0") as server:
            print(server.addresses)
            server.run()            # until somebody calls server.stop()

    Args:
        where: one or several of ``HOST:PORT``, ``[::1]:PORT``, ``:PORT`` (every interface), ``unix:PATH``; default
            ``127.0.0.1:65432``. Port 0 takes a free one.
        limits: the bounds named above, and ``connections``, ``backlog``, ``drain_seconds`` and keepalive.

    Attributes:
        addresses: where it listens, as a client would write it.
        connections_now: open connections.
        accepted: connections so far.
        turned_away: those of them that were closed at once, because there were as many as may be.
        received, sent: bytes so far.

    Raises:
        ListenFailed: an address cannot be listened at; the sentence says what to do.
        UsageError: an address is not written as one.

    Each connection's coming and going is logged by the logger ``letterhead.echo`` with level INFO, what an operator
    should see to as WARNING or ERROR.
    """

    def __init__(self, *where: str, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        places = [addresses.parse_socket(text) for text in where or ("127.0.0.1:65432",)]
        self.accepted = self.turned_away = self.received = self.sent = 0
        self._most = most_connections(self.limits)
        self._connections: set[_Connection] = set()
        self._write_seconds = self.limits.write_seconds
        self._stalled: Waiting[_Connection] = Waiting(self._write_seconds / _TRIES)
        self._idle: Waiting[_Connection] = Waiting(self.limits.idle_seconds)
        self._scratch = memoryview(bytearray(SCRATCH))
        self._stopping = False
        self._leave_by = NEVER
        self._rest_until = NEVER
        self._say_again = 0.0
        self._closed = False
        self._listeners = Listeners(log, "whoever reaches it can keep it busy")
        self.addresses = self._listeners.addresses
        self._selector = selectors.DefaultSelector()
        self._alarm, self._bell = socket.socketpair()
        try:
            self._alarm.setblocking(False)
            self._bell.setblocking(False)
            self._selector.register(self._alarm, READ)
            self._listeners.open(places, self.limits)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connections_now(self) -> int:
        return len(self._connections)

    def run(self) -> None:
        """Echo until ``stop`` is called. When it returns, everything is closed.

        Raises:
            UsageError: it was closed, or has run before.
        """
        if self._closed:
            raise UsageError("this echo server is closed: make another one")
        try:
            self._accept_again()
            while not self._stopping or self._connections:
                if self._stopping and self._leave_by == NEVER:
                    self._leave(time.monotonic())
                    continue
                for key, events in self._selector.select(self._select_timeout()):
                    if isinstance(key.data, _Connection):
                        self._serve(key.data, events)
                    elif key.fileobj is self._alarm:
                        self._alarm.recv(SCRATCH)
                    else:
                        self._accept(key.data)
                self._on_time(time.monotonic())
        finally:
            self.close()

    def stop(self) -> None:
        """Make ``run`` end in order; safe in signal handlers and from other threads, any number of times.

        What has been read is still echoed to those who take it. Who takes nothing for a second is cut off, who does
        not end its side a second after the last byte is closed, and so is everybody after ``Limits.drain_seconds``.
        """
        self._stopping = True
        try:
            self._bell.send(b"\0")
        except OSError:
            return  # it rings already, or there is nobody left to wake

    def close(self) -> None:
        """Close everything at once. Not while ``run`` runs in another thread: that is what ``stop`` is for."""
        if self._closed:
            return
        self._closed = True
        for connection in list(self._connections):
            self._cut_off(connection, "closed with the server")
        self._listeners.close()
        self._selector.close()
        self._alarm.close()
        self._bell.close()

    # -- accepting -------------------------------------------------------------------------------------------------

    def _accept_again(self) -> None:
        self._rest_until = NEVER
        for listener in self._listeners.sockets:
            self._selector.register(listener, READ, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            if self._rest_until != NEVER:
                return  # another listener has just found out that there is nothing to accept with
            try:
                sock, name = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in OUT_OF_RESOURCES:
                    log.error("a connection could not be accepted: %s", error.strerror)
                    return
                self._rest(f"{error.strerror}; raise the limit on open files")
                return
            self.accepted += 1
            if len(self._connections) >= self._most:
                self.turned_away += 1
                sock.close()
                self._say(f"{self._most} are open, as many as may be; further ones are closed at once")
                continue
            self._welcome(sock, addresses.of_peer(name))

    def _welcome(self, sock: socket.socket, peer: str) -> None:
        try:
            sock.setblocking(False)
            sockets.tune(sock, self.limits)
            connection = _Connection(sock, peer)
            self._selector.register(sock, READ, connection)
        except OSError as error:  # it went away before it could be looked at, or the selector has no room
            log.info("%s could not be let in: %s", peer, error.strerror)
            sock.close()
            return
        self._connections.add(connection)
        self._idle.begin(connection, time.monotonic())
        log.info("%s connected", peer)

    def _rest(self, why: str) -> None:
        """Stop accepting for a moment: the listeners stay readable, and would be tried without end."""
        for listener in self._listeners.sockets:
            self._selector.unregister(listener)
        self._rest_until = time.monotonic() + REST_SECONDS
        self._say(why)

    def _say(self, why: str) -> None:
        """Why nobody else gets in; now and then, not for everybody who wanted to."""
        now = time.monotonic()
        if now >= self._say_again:
            self._say_again = now + _SAY_AGAIN_SECONDS
            log.warning("no more connections for the moment: %s", why)

    # -- one connection --------------------------------------------------------------------------------------------

    def _serve(self, connection: _Connection, events: int) -> None:
        """Do what its socket is ready for."""
        progress = False
        try:
            if events & WRITE:
                progress = self._send_rest(connection)
            if events & READ:
                progress = self._receive(connection) or progress
        except OSError as error:
            self._end(connection, addresses.how_it_broke(error))
            return
        self._go_on(connection, progress)

    def _send_rest(self, connection: _Connection) -> bool:
        """Send of what is unsent what goes; whether any did."""
        count = self._send(connection, connection.unsent)
        del connection.unsent[:count]
        return count > 0

    def _receive(self, connection: _Connection) -> bool:
        """Take what has come, and send at once what goes of it; whether any did."""
        try:
            count = connection.sock.recv_into(self._scratch)
        except BlockingIOError:
            return False
        connection.ended = count == 0
        if connection.shut:
            return False
        connection.received += count
        self.received += count
        gone = 0
        if not connection.unsent:
            gone = self._send(connection, self._scratch[:count])
        connection.unsent += self._scratch[gone:count]
        return gone > 0

    def _send(self, connection: _Connection, data: bytearray | memoryview) -> int:
        if not data:
            return 0
        try:
            count = connection.sock.send(data)
        except BlockingIOError:
            return 0
        connection.sent += count
        self.sent += count
        return count

    def _go_on(self, connection: _Connection, progress: bool) -> None:
        """Wait for what it needs next, or close it when that is nothing."""
        unsent = len(connection.unsent)
        if not unsent and connection.ended:
            self._end(connection, "closed")
            return
        now = time.monotonic()
        if not unsent:
            self._stalled.forget(connection)
            if connection not in self._idle or not self._stopping:
                self._idle.begin(connection, now)
            if self._stopping and not connection.shut and not self._shut(connection):
                return
        elif progress or connection not in self._stalled:  # to send more is no progress for somebody who does not read
            connection.tries = 0
            self._idle.forget(connection)
            self._stalled.begin(connection, now)
        connection.paused = unsent > (self.limits.write_low if connection.paused else self.limits.write_high)
        reads = connection.shut or not (connection.ended or connection.paused or self._stopping)
        events = (READ if reads else 0) | (WRITE if unsent else 0)
        if events != connection.events:
            connection.events = events
            self._selector.modify(connection.sock, events, connection)

    def _shut(self, connection: _Connection) -> bool:
        """Tell the peer that nothing more will come; whether it is still there.

        To close at once would lose what is on its way: a system that gets bytes for a closed socket resets it.
        """
        connection.shut = True
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._end(connection, addresses.how_it_broke(error))
            return False
        return True

    def _cut_off(self, connection: _Connection, why: str) -> None:
        """Close it without a wait of the kernel's for a peer that takes nothing."""
        if connection.unsent:
            with contextlib.suppress(OSError):  # some systems refuse it for a peer that is gone already
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._end(connection, why)

    def _end(self, connection: _Connection, why: str) -> None:
        self._selector.unregister(connection.sock)
        connection.sock.close()
        self._connections.discard(connection)
        self._stalled.forget(connection)
        self._idle.forget(connection)
        log.info("%s %s: %d bytes received, %d sent back", connection.peer, why, connection.received, connection.sent)

    # -- time, and the end -----------------------------------------------------------------------------------------

    def _select_timeout(self) -> float | None:
        """Seconds until ``_on_time`` has something to do, or None for never."""
        due = min(self._stalled.due, self._idle.due, self._rest_until, self._leave_by)
        return None if due == NEVER else max(0.0, due - time.monotonic())

    def _on_time(self, now: float) -> None:
        if now >= self._rest_until:
            self._accept_again()
        for connection in self._stalled.over(now):
            self._try_to_send(connection, now)
        for connection in self._idle.over(now):
            why = "since the server stops" if self._stopping else f"quiet for {self._idle.seconds:g} s"
            self._end(connection, f"closed, {why}")
        if now >= self._leave_by:
            for connection in list(self._connections):
                self._cut_off(connection, "cut off, since the server stops")

    def _try_to_send(self, connection: _Connection, now: float) -> None:
        """A socket counts as writable only with a good part of its buffer free: a slow reader may have taken some."""
        try:
            progress = self._send_rest(connection)
        except OSError as error:
            self._end(connection, addresses.how_it_broke(error))
            return
        if progress:
            self._go_on(connection, progress)
            return
        connection.tries += 1
        if connection.tries < _TRIES:
            self._stalled.begin(connection, now)
        else:
            self._cut_off(connection, f"cut off, having taken nothing for {self._write_seconds:g} s")

    def _leave(self, now: float) -> None:
        """Listen no more, read no more; who has got everything is told that this was all."""
        self._leave_by = now + self.limits.drain_seconds
        if self._rest_until == NEVER:
            for listener in self._listeners.sockets:
                self._selector.unregister(listener)
        self._rest_until = NEVER
        self._listeners.close()
        # Who has been quiet for so long already is not waited for.
        self._idle.seconds = min(self._idle.seconds, _LEAVE_SECONDS)
        self._write_seconds = min(self._write_seconds, _LEAVE_SECONDS)
        self._stalled.seconds = self._write_seconds / _TRIES
        for connection in list(self._connections):
            self._go_on(connection, progress=False)

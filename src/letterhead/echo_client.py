"""The other side of a byte echo: the same bytes over any number of connections at once, compared as they come back.

One thread, one selector, nothing blocks: sending and receiving take turns on each connection, so that neither side can
wait for the other for ever, however much is sent. Memory does not grow with what is sent: the messages are held once
for all connections, and what comes back is compared and dropped, but for its beginning.

The server is a stranger. It may send other bytes, more, fewer, none, too early, or go away: each is a ``problem`` of
that connection, told in a sentence, and no concern of the others.
"""

import errno
import os
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from letterhead.errors import UsageError
from letterhead.limits import Limits
from letterhead.transport import address as addresses
from letterhead.transport import resolver, sockets
from letterhead.transport.address import Address
from letterhead.transport.listen import descriptor_limit
from letterhead.waiting import NEVER, Waiting

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
SCRATCH = 64 * 1024
"""Bytes of one read."""
KEPT = 256
"""Bytes that are kept of what came back."""
_SHOWN = 24
_SPARE_DESCRIPTORS = 32
_UNDER_WAY = (0, errno.EINPROGRESS)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one connection.

    Attributes:
        number: which, from 1.
        sent, received: bytes.
        seconds: from the beginning of connecting to the last byte, or to the problem.
        beginning: what came back first, at most ``KEPT`` bytes.
        problem: why what went out did not come back, in a sentence; None where it did.
    """

    number: int
    sent: int
    received: int
    seconds: float
    beginning: bytes
    problem: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all connections, in the order of their numbers; ``seconds`` is the time that they took together."""

    address: str
    seconds: float
    results: list[Result]

    @property
    def failed(self) -> list[Result]:
        """The connections that had a problem."""
        return [result for result in self.results if result.problem is not None]

    @property
    def received(self) -> int:
        """Bytes that came back in all."""
        return sum(result.received for result in self.results)


def exchange(
    address: str,
    messages: Sequence[bytes],
    *,
    repeat: int = 1,
    connections: int = 1,
    timeout: float = 10.0,
    limits: Limits | None = None,
) -> Report:
    """Send ``messages``, ``repeat`` times, to an echo server over each of so many connections at once.

    Args:
        address: ``HOST:PORT``, ``[::1]:PORT``, ``:PORT`` or ``unix:PATH``.
        timeout: seconds that a connection may take to be made, or pass without a byte that goes or comes.
        limits: keepalive.

    Raises:
        ConnectionFailed: the name has no address.
        UsageError: an argument cannot be right, or the process may not open so many connections.
    """
    place = addresses.parse_socket(address)
    for name, value in (("repeat", repeat), ("connections", connections)):
        if value < 1:
            raise UsageError(f"{name} takes 1 or more, not {value}")
    if not timeout > 0:
        raise UsageError(f"timeout takes seconds above 0, not {timeout}")
    most = descriptor_limit() - _SPARE_DESCRIPTORS
    if connections > most:
        raise UsageError(f"{connections} connections are more than this process may open: {most}; see `ulimit -n`")
    payload = _Payload(messages, repeat)
    with _Exchange(place, payload, timeout, limits or Limits()) as running:
        return running.run(connections)


class _Payload:
    """The messages, one after the other and all of it again as often as wanted: a stream that is held only once.

    Short ones stand in ``_turn`` several times, since a send of twelve bytes costs as much as one of 64 KiB.
    """

    def __init__(self, messages: Sequence[bytes], repeat: int) -> None:
        once = b"".join(messages)
        self.total = len(once) * repeat
        turns = min(repeat, -(-SCRATCH // len(once))) if once else 1
        self._turn = once * turns
        self._view = memoryview(self._turn)

    def at(self, position: int) -> memoryview:
        """The bytes from there to the end of a turn, where another begins."""
        start = position % len(self._turn)
        return self._view[start : start + self.total - position]

    def difference(self, position: int, came: memoryview) -> tuple[int, bytes] | None:
        """Where bytes that came for those at ``position`` differ first, and what should stand there; else None."""
        done = 0
        while done < len(came):
            expected = self.at(position + done)[: len(came) - done]
            part = came[done : done + len(expected)]
            if bytes(part) != bytes(expected):  # as bytes: compared a machine word at a time
                at = next(n for n, (wanted, got) in enumerate(zip(expected, part, strict=True)) if wanted != got)
                return position + done + at, bytes(expected[at : at + _SHOWN])
            done += len(expected)
        return None


class _Conversation:
    """One connection: which of the name's addresses it tries, and how far it has come."""

    __slots__ = ("began", "beginning", "connected", "number", "received", "sent", "sock", "tried")

    def __init__(self, number: int, began: float) -> None:
        self.number = number
        self.began = began
        self.tried = 0
        self.sock: socket.socket | None = None
        self.connected = False
        self.sent = 0
        self.received = 0
        self.beginning = b""


class _Exchange:
    """All connections, while they run."""

    def __init__(self, address: Address, payload: _Payload, timeout: float, limits: Limits) -> None:
        self._address = address
        self._payload = payload
        self._limits = limits
        self._places = _places(address, timeout)
        self._scratch = memoryview(bytearray(SCRATCH))
        self._selector = selectors.DefaultSelector()
        self._waiting: Waiting[_Conversation] = Waiting(timeout)
        self._results: list[Result] = []

    def __enter__(self) -> "_Exchange":
        return self

    def __exit__(self, *_: object) -> None:
        for key in list(self._selector.get_map().values()):
            key.data.sock.close()
        self._selector.close()

    def run(self, connections: int) -> Report:
        began = time.monotonic()
        for number in range(1, connections + 1):
            self._connect(_Conversation(number, time.monotonic()))
        while self._selector.get_map():
            due = self._waiting.due
            for key, events in self._selector.select(None if due == NEVER else max(0.0, due - time.monotonic())):
                self._serve(key.data, events)
            for conversation in self._waiting.over(time.monotonic()):
                self._fail_waiting(conversation)
        self._results.sort(key=lambda result: result.number)
        return Report(str(self._address), time.monotonic() - began, self._results)

    # -- connecting ------------------------------------------------------------------------------------------------

    def _connect(self, conversation: _Conversation, failure: OSError | None = None) -> None:
        """Try the next of the name's addresses; ``failure`` is what the one before came to."""
        while conversation.tried < len(self._places):
            family, where = self._places[conversation.tried]
            conversation.tried += 1
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                failure = error
                continue
            sock.setblocking(False)
            code = sock.connect_ex(where)
            if code in _UNDER_WAY:
                conversation.sock = sock
                self._selector.register(sock, WRITE, conversation)
                self._waiting.begin(conversation, time.monotonic())
                return
            sock.close()
            failure = OSError(code, os.strerror(code))
        failure = failure or OSError(errno.EADDRNOTAVAIL, "the name has no address")
        self._finish(conversation, str(addresses.connect_failed(self._address, failure, self._waiting.seconds)))

    def _connected(self, conversation: _Conversation, sock: socket.socket) -> bool:
        """Look at what connecting came to; where it failed the next address is tried."""
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        failure = OSError(code, os.strerror(code)) if code else None
        if failure is None:
            try:
                if sock.family != socket.AF_UNIX:
                    sockets.refuse_itself(sock)
                sockets.tune(sock, self._limits)
            except OSError as error:
                failure = error
        if failure is None:
            conversation.connected = True
            self._waiting.begin(conversation, time.monotonic())
            return True
        self._hang_up(conversation)
        self._connect(conversation, failure)
        return False

    # -- sending and receiving -------------------------------------------------------------------------------------

    def _serve(self, conversation: _Conversation, events: int) -> None:
        sock = conversation.sock
        if sock is None or not (conversation.connected or self._connected(conversation, sock)):
            return
        problem = None
        try:
            if events & READ:
                problem = self._receive(conversation, sock)
            if events & WRITE and problem is None:
                self._send(conversation, sock)
        except OSError as error:
            problem = f"the server {addresses.how_it_broke(error)} after {self._progress(conversation)}"
        if problem is not None or conversation.received == self._payload.total:
            self._finish(conversation, problem)

    def _send(self, conversation: _Conversation, sock: socket.socket) -> None:
        if conversation.sent < self._payload.total:
            try:
                conversation.sent += sock.send(self._payload.at(conversation.sent))
            except BlockingIOError:
                return
            self._waiting.begin(conversation, time.monotonic())
        self._selector.modify(sock, READ if conversation.sent == self._payload.total else READ | WRITE, conversation)

    def _receive(self, conversation: _Conversation, sock: socket.socket) -> str | None:
        """Take what has come; what is wrong with it, or None."""
        try:
            count = sock.recv_into(self._scratch)
        except BlockingIOError:
            return None
        if not count:
            return f"the server ended the connection after {self._progress(conversation)}"
        self._waiting.begin(conversation, time.monotonic())
        came = self._scratch[:count]
        if len(conversation.beginning) < KEPT:
            conversation.beginning += bytes(came[: KEPT - len(conversation.beginning)])
        position = conversation.received
        conversation.received += count
        early = conversation.received - conversation.sent
        difference = self._payload.difference(position, came[: count - early] if early > 0 else came)
        if difference is not None:
            at, expected = difference
            got = bytes(came[at - position : at - position + _SHOWN])
            return f"what came back differs at byte {at:,}: {got!r} instead of {expected!r}"
        if early > 0:
            return f"{early:,} bytes came back that had not gone out: {bytes(came[-early:][:_SHOWN])!r}"
        return None

    # -- ends ------------------------------------------------------------------------------------------------------

    def _progress(self, conversation: _Conversation) -> str:
        return f"{conversation.received:,} of {self._payload.total:,} bytes"

    def _fail_waiting(self, conversation: _Conversation) -> None:
        if conversation.connected:
            self._finish(
                conversation,
                f"nothing went or came for {self._waiting.seconds:g} s, after {self._progress(conversation)}",
            )
            return
        self._hang_up(conversation)
        self._connect(conversation, TimeoutError())

    def _hang_up(self, conversation: _Conversation) -> None:
        self._waiting.forget(conversation)
        if conversation.sock is not None:
            self._selector.unregister(conversation.sock)
            conversation.sock.close()
            conversation.sock = None

    def _finish(self, conversation: _Conversation, problem: str | None) -> None:
        self._hang_up(conversation)
        self._results.append(
            Result(
                conversation.number,
                conversation.sent,
                conversation.received,
                time.monotonic() - conversation.began,
                conversation.beginning,
                problem,
            )
        )


def _places(address: Address, timeout: float) -> list[tuple[socket.AddressFamily, tuple[object, ...] | str]]:
    """Where to connect to, in the order in which it is tried."""
    if address.scheme == "unix":
        return [(socket.AF_UNIX, address.path)]
    try:
        return list(resolver.resolve(address, passive=False))
    except OSError as error:
        raise addresses.connect_failed(address, error, timeout) from None

"""``proxy``: a listening socket that leads to another address through a bad network.

It knows bytes, and what sockets do: a half-close passes through, a slow side slows the other, what one side's system
resets is reset at the other, and a reset is a real one (``SO_LINGER`` of 0). Frames it must not know, so it stands
between any two programs.

Unix sockets know no reset: their peers see the end of the stream, or a broken pipe. A system takes connections at a
listening socket by itself, so a client connects even while the network is parted; only then nothing passes.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from letterhead.errors import UsageError
from letterhead.limits import Limits
from letterhead.log import say
from letterhead.testing.background import entered
from letterhead.testing.faults import Faults
from letterhead.testing.network import Handles, Network, log
from letterhead.testing.relay import Relay
from letterhead.transport import address as addresses
from letterhead.transport import connect_async, sockets
from letterhead.transport.listen import OUT_OF_RESOURCES, REST_SECONDS

_NO_LINGERING = struct.pack("ii", 1, 0)
_ACCEPTED_AT_ONCE = 128


def proxy(target: str, faults: Faults | None = None, *, listen: str = "127.0.0.1:0") -> "Proxy":
    """Listen somewhere, and lead whoever connects to ``target`` through a bad network::

        async with testing.proxy("127.0.0.1:65432", testing.Faults(delay=0.05)) as proxy:
            async with letterhead.AsyncClient(proxy.address) as client: ...
        with testing.proxy("unix:/run/search.sock") as proxy:
            with letterhead.Client(proxy.address) as client: ...
                proxy.reset_all()

    ``async with`` runs it on the loop that runs, ``with`` in a thread of its own. At the end of the block all
    connections are reset.

    Args:
        target: ``HOST:PORT``, ``[::1]:PORT`` or ``unix:PATH``. It is connected to for each connection; one for which
            that fails is reset.
        faults: what happens to the bytes.
        listen: where to listen; port 0 takes a free one.

    Raises:
        ListenFailed: ``listen`` cannot be listened at, where the block begins.
        UsageError: an address is not written as one.
    """
    return Proxy(target, faults, listen)


class Proxy(Handles):
    """What ``proxy`` gives: ``async with`` or ``with`` it, and use its address and its handles meanwhile."""

    def __init__(self, target: str, faults: Faults | None, listen: str) -> None:
        self._network = Network(faults, self._refuse)
        super().__init__(self._network)
        self._target = addresses.parse_socket(target)
        self._where = addresses.parse_socket(listen)
        self._limits = Limits()
        self._sockets: list[socket.socket] = []
        self._listens = False
        self._rest: asyncio.TimerHandle | None = None
        self._carrying: set[asyncio.Task[None]] = set()
        self._stack: ExitStack | None = None

    @property
    def address(self) -> str:
        """The address at which the proxy listens, as a client would write it.

        Raises:
            UsageError: the proxy does not run.
        """
        return self.addresses[0]

    @property
    def addresses(self) -> list[str]:
        """The addresses of the proxy, where ``listen`` is a name with several.

        Raises:
            UsageError: the proxy does not run.
        """
        if not self._sockets:
            raise UsageError("this proxy does not run: enter it, with 'with' or 'async with'")
        return [str(sockets.of_socket(sock)) for sock in self._sockets]

    # -- the beginning and the end ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._begin()
        self._sockets = self._where.transport.listen(self._where, self._limits).sockets
        for sock in self._sockets:
            if addresses.is_beyond_loopback(place := sockets.of_socket(sock)):
                log.warning("%s can be reached from other machines, and leads them to %s", place, self._target)
        self._network.loop = asyncio.get_running_loop()
        self._listens = True
        self._refuse(self._network.refusing)
        self._accept_again()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._accept_no_more()
        for task in list(self._carrying):
            task.cancel()
        if self._carrying:
            await asyncio.wait(self._carrying)
        await self._network.end()
        for sock in self._sockets:
            _close(sock)
        self._sockets.clear()

    def __enter__(self) -> Self:
        self._begin()
        with ExitStack() as stack:
            stack.enter_context(entered(self, "letterhead-proxy"))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.__exit__(kind, error, trace)

    def _begin(self) -> None:
        if self._sockets:
            raise UsageError("this proxy runs already: make another one")

    # -- accepting -------------------------------------------------------------------------------------------------

    def _refuse(self, refusing: bool) -> None:
        """Listen no more, or again. Meanwhile sockets that do not listen keep the addresses from others."""
        if not self._sockets or refusing is not self._listens:
            return
        if refusing:
            for listener in self._sockets:
                self._accept(listener)  # what the system had accepted for us
            self._accept_no_more()
            self._listens = False
            self._sockets = [_kept_but_deaf(sock) for sock in self._sockets]
        else:
            for sock in self._sockets:
                sock.listen(self._limits.backlog)
            self._listens = True
            self._accept_again()

    def _accept_again(self) -> None:
        self._rest = None
        loop = self._network.loop
        if self._network.refusing or loop is None:
            return
        for listener in self._sockets:
            loop.add_reader(listener.fileno(), self._accept, listener)

    def _accept_no_more(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        loop = self._network.loop
        if loop is not None:
            for listener in self._sockets:
                loop.remove_reader(listener.fileno())

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, name = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                say(log, logging.WARNING, "network-accept-failed", "no connection accepted: %s", error.strerror)
                if error.errno in OUT_OF_RESOURCES and self._rest is None:
                    self._accept_no_more()
                    self._rest = loop.call_later(REST_SECONDS, self._accept_again)
                return
            sock.setblocking(False)
            relay = self._network.new_relay(_reset, f"from {addresses.of_peer(name)} to {self._target}")
            task = loop.create_task(self._carry(sock, relay))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    async def _carry(self, sock: socket.socket, relay: Relay) -> None:
        """Put a relay between an accepted socket and the target."""
        try:
            await self._network.joined.wait()
            await connect_async.connect(self._target, lambda: relay.server, self._limits)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: relay.client, sock)
        except OSError as error:
            self._network.counts.unreachable += 1
            why = addresses.connect_failed(self._target, error, self._limits.connect_seconds)
            say(log, logging.WARNING, "network-unreachable", "a client was reset: %s", why.message)
            self._abandon(sock, relay)
        except BaseException:
            self._abandon(sock, relay)
            raise

    def _abandon(self, sock: socket.socket, relay: Relay) -> None:
        _reset_socket(sock)
        sock.close()
        relay.give_up()


def _kept_but_deaf(listener: socket.socket) -> socket.socket:
    """Close a listening socket, and keep its address bound: who connects there is refused."""
    place, name = sockets.of_socket(listener), listener.getsockname()
    _close(listener)
    sock = socket.socket(listener.family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if place.scheme != "unix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(name)
    except BaseException:
        sock.close()
        raise
    return sock


def _close(sock: socket.socket) -> None:
    """Close a socket that was bound, and remove its file."""
    place = sockets.of_socket(sock)
    sock.close()
    if place.scheme == "unix":
        with contextlib.suppress(FileNotFoundError):
            Path(place.path).unlink()


def _reset(transport: asyncio.Transport) -> None:
    _reset_socket(transport.get_extra_info("socket"))
    transport.abort()


def _reset_socket(sock: socket.socket) -> None:
    """Closing it resets it."""
    with contextlib.suppress(OSError):  # it is closed already, or its peer has reset it
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)

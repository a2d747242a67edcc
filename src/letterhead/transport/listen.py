"""The listening sockets of a server, and how many connections its process has room for.

Whatever accepts (an event loop, a selector) takes the sockets from here and gives back nothing: what was opened at an
address, a socket file too, is cleared away by ``close``.

What is said on a connection is not known here.
"""

import errno
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from letterhead.errors import ListenFailed, escaped
from letterhead.limits import Limits
from letterhead.log import say
from letterhead.transport import address as addresses
from letterhead.transport.address import Address, Listener
from letterhead.transport.resolver import resolve

OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""What ``accept`` fails with where descriptors or memory ran out: it would fail again at once, so it has to rest."""
REST_SECONDS = 0.2
"""How long accepting rests then; what waits stays in the kernel's queue."""
_SPARE_DESCRIPTORS = 256
_FEWEST = 16


class Listeners:
    """Listening sockets at any number of addresses.

    Args:
        log: where to say what an operator should know of them.
        risk: what others can do who reach one, for the warning about an address that is not only this machine's.

    Attributes:
        listeners: what the transports listen with, one for each address that was asked for.
        addresses: where they listen, as a client would write it (the real port where 0 was asked for).
    """

    def __init__(self, log: logging.Logger, risk: str) -> None:
        self.listeners: list[Listener] = []
        self.addresses: list[str] = []
        self._log = log
        self._risk = risk

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets of all of them, non-blocking."""
        return [sock for listener in self.listeners for sock in listener.sockets]

    def open(self, where: Sequence[Address], limits: Limits) -> None:
        """Listen at all of them, or at none.

        Raises:
            ListenFailed: an address cannot be listened at; the sentence says what to do.
        """
        self.addresses.clear()
        try:
            for place in where:
                self._open(place, limits)
        except BaseException:
            self.close()
            raise

    def _open(self, place: Address, limits: Limits) -> None:
        listener = place.transport.listen(place, limits)
        self.listeners.append(listener)
        told = [str(address) for address in listener.addresses]
        self.addresses += told
        if place.host and len(told) > 1:
            say(
                self._log, logging.INFO, "several-addresses", "%s has several addresses: listening at %s",
                place.host, " and ".join(told), host=place.host, addresses=told,
            )  # fmt: skip
        for address in listener.addresses:
            if addresses.is_beyond_loopback(address):
                say(
                    self._log, logging.WARNING, "open-to-others",
                    "%s can be reached from other machines: %s; use 127.0.0.1 to keep it to this one",
                    address, self._risk, address=str(address),
                )  # fmt: skip

    def close(self) -> None:
        """Close them, and remove the files of those that have one. ``addresses`` stays."""
        listeners, self.listeners = self.listeners, []
        failures: list[tuple[str, str]] = []
        for listener in listeners:
            try:
                listener.close()
            except Exception as error:  # such as rights that were dropped after the start
                failures.append((listener.addresses[0].path, addresses.reason(error)))
        for path, why in failures:
            say(
                self._log, logging.WARNING, "socket-file-stays", "the socket file %s stays: %s",
                path, why, path=path, reason=why,
            )  # fmt: skip


# -- TCP ---------------------------------------------------------------------------------------------------------------


def tcp_sockets(address: Address, limits: Limits) -> list[socket.socket]:
    """Listening TCP sockets, non-blocking: one for each address that the host has, all on one port.

    Raises:
        ListenFailed: with a sentence that says what to do.
    """
    try:
        places = resolve(address, passive=True)
    except OSError as error:
        raise ListenFailed(
            f"cannot listen at {address}: the name '{escaped(address.host)}' cannot be resolved ({error.strerror}); "
            "use an address of this machine, such as 127.0.0.1",
            address=str(address),
        ) from None
    sockets: list[socket.socket] = []
    port = address.port or 0
    try:
        for family, where in places:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            if os.name == "posix":
                # On POSIX this only skips TIME_WAIT; elsewhere it would let two servers share a port.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind((where[0], port, *where[2:]))
                sock.listen(limits.backlog)
            except OSError as error:
                if len(places) > 1 and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    sockets.remove(sock)  # a name's IPv6 address on a machine without IPv6
                    sock.close()
                    continue
                raise listen_failed(address, error) from None
            sock.setblocking(False)
            port = sock.getsockname()[1]
        if not sockets:
            raise ListenFailed(f"cannot listen at {address}: this machine has no such address", address=str(address))
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def listen_failed(address: Address, error: OSError) -> ListenFailed:
    """Why a TCP address cannot be listened at, and what to do."""
    if error.errno == errno.EADDRINUSE:
        holder = _who_listens(address)
        by = f" by {holder}" if holder else ""
        what = f"{address} is in use{by}; stop that program or choose another port (0 takes a free one)"
    elif error.errno == errno.EACCES:
        what = f"port {address.port} needs special rights; choose a port from 1024"
    elif error.errno == errno.EADDRNOTAVAIL:
        what = f"this machine has no address '{escaped(address.host)}'; use 127.0.0.1, or :{address.port} for all"
    else:
        what = f"{error.strerror or error}"
    return ListenFailed(f"cannot listen at {address}: {what}", address=str(address))


def _who_listens(address: Address) -> str | None:
    """The program that listens on a port, such as ``python (process 4711)``; None where it cannot be told."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == address.port:
                inodes.add(f"socket:[{columns[9]}]")
    if not inodes:
        return None
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(descriptor.readlink()) in inodes:
                process = descriptor.parts[2]
                name = Path(f"/proc/{process}/comm").read_text().strip()
                return f"{escaped(name)} (process {process})"
        except OSError:
            continue  # it ended meanwhile, or is somebody else's
    return None


# -- how many ----------------------------------------------------------------------------------------------------------


def most_connections(limits: Limits) -> int:
    """How many connections a server may have: by its limits, and by the process's limit on open files."""
    return min(limits.connections, max(_FEWEST, descriptor_limit() - _SPARE_DESCRIPTORS))


def descriptor_limit() -> int:
    """How many files, sockets included, this process may have open."""
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit
        return 2**31
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else soft

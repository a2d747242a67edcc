"""Addresses as users write them, the transport of each scheme, and how a failure to reach one is told.

``HOST:PORT``, ``[::1]:PORT`` and ``:PORT`` (every interface; for a client, this machine) are TCP, ``unix:PATH`` is a
Unix socket, and all others are written ``SCHEME://…``; so may TCP be, as ``tcp://``.

A scheme is one module in the folder ``schemes``, named as the scheme is, with a ``TRANSPORT``. It is imported when an
address names it: a command that calls once should start at once. For the same reason such a module imports at its top
only what a blocking client needs; ``asyncio`` and what only those who listen need is imported in its functions.

How a scheme connects or listens is not known here.
"""

import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from letterhead.errors import ConnectionFailed, ConnectRefused, ConnectTimedOut, UsageError, escaped
from letterhead.limits import Limits

if TYPE_CHECKING:
    import asyncio

    from letterhead.transport.stop import Stop
    from letterhead.transport.wire import Wire

P = TypeVar("P", bound="asyncio.BaseProtocol")

Place = tuple[socket.AddressFamily, tuple[Any, ...]]
"""Where a socket connects to or listens: its family, and its address as ``socket`` writes it."""
_NO_PORT = "a port is a number from 0 to 65535"
_SCHEME = re.compile(r"[a-z][a-z0-9]*\Z")
_SOCKETS = ("tcp", "unix")


@dataclass(frozen=True, slots=True)
class Address:
    """One address.

    Attributes:
        host: a name or an IP address, without brackets; ``""`` for every interface.
        port: the port; None where the scheme has none.
        path: of the socket file, or whatever else the scheme has behind host and port.
        scheme: the transport's name: ``tcp``, ``unix``, or what stands before ``://``.
    """

    host: str = ""
    port: int | None = None
    path: str = ""
    scheme: str = "tcp"

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = "" if self.port is None else f"{host}:{self.port}"
        return place if self.scheme == "tcp" else f"{self.scheme}://{place}{self.path}"

    @property
    def transport(self) -> "Transport":
        """How bytes get there.

        Raises:
            UsageError: there is no such scheme.
        """
        return _transport(self.scheme)


class Listener(Protocol):
    """The listening sockets at one address. They are given out non-blocking, to whoever accepts.

    Attributes:
        sockets: the listening sockets.
        addresses: where each of them listens, as a client would write it: with the real port where 0 was asked for.
    """

    sockets: list[socket.socket]
    addresses: list[Address]

    async def adopt(self, sock: socket.socket, protocol: "asyncio.BaseProtocol") -> None:
        """Connect ``protocol`` to an accepted socket: what comes through this transport is given to it.

        Raises:
            OSError: the peer is gone, or is none of this transport; ``connection_made`` was not called.
        """

    def close(self) -> None:
        """Close the sockets, and remove what stands for them, such as a file.

        Raises:
            OSError: the sockets are closed, but what stands for them could not be removed.
        """


class ConnectAsync(Protocol):
    """The type of ``Transport.connect_async``."""

    def __call__(
        self, address: Address, factory: Callable[[], P], seconds: float, limits: Limits
    ) -> Awaitable[tuple["asyncio.Transport", P]]: ...


@dataclass(frozen=True, slots=True)
class Transport:
    """How the addresses of one scheme are read, connected to and listened at.

    Attributes:
        parse: makes an ``Address`` of what stands behind the scheme. Raises UsageError, with a sentence that says what
            such an address looks like.
        connect: ``connect(address, seconds, limits, stop)`` connects within so many seconds, blocking, and no longer
            than until ``stop`` is stopped by another thread. Raises OSError.
        connect_async: ``await connect_async(address, factory, seconds, limits)`` connects within so many seconds on the
            running event loop, and makes the protocol with ``factory``. Raises OSError.
        listen: ``listen(address, limits)`` listens. Raises ListenFailed.
    """

    parse: Callable[[str], Address]
    connect: "Callable[[Address, float, Limits, Stop], Wire]"
    connect_async: ConnectAsync
    listen: Callable[[Address, Limits], Listener]


def _transport(scheme: str) -> Transport:
    """The transport of a scheme.

    Raises:
        UsageError: there is no such scheme.
    """
    name = f"letterhead.transport.schemes.{scheme}"
    try:
        if not _SCHEME.match(scheme):
            raise ModuleNotFoundError(name=name)
        transport: Transport = import_module(name).TRANSPORT
    except ModuleNotFoundError as error:
        if error.name != name:
            raise  # what a scheme needs is not installed
        raise UsageError(f"{escaped(scheme)}:// is not supported here: write HOST:PORT or unix:PATH") from None
    return transport


# -- reading what users write ----------------------------------------------------------------------------------------


def parse(text: str) -> Address:
    """The address that a user wrote.

    Raises:
        UsageError: it is none; the sentence says what one looks like.
    """
    if not isinstance(text, str):
        raise UsageError(f"an address is a str such as '127.0.0.1:65432', not {text!r}")
    if text.startswith("unix:"):
        scheme, rest = "unix", text.removeprefix("unix:")
    elif "://" in text:
        scheme, _, rest = text.partition("://")
    else:
        scheme, rest = "tcp", text
    return _transport(scheme).parse(rest)


def parse_all(written: str | Sequence[str]) -> dict[str, Address]:
    """The addresses that a user of a client wrote, each once, by their names; their schemes may differ.

    Raises:
        UsageError: there is none, or one of them is none; the sentence says what one looks like.
    """
    if isinstance(written, str):
        written = [written]
    if not isinstance(written, (list, tuple)) or not written:
        raise UsageError(f"a client takes an address such as '127.0.0.1:65432', or a list of them, not {written!r}")
    return {str(address): address for address in map(parse, written)}


def parse_socket(text: str) -> Address:
    """The address of a plain socket, TCP or Unix, for programs that send and receive by themselves.

    Raises:
        UsageError: it is none, or one of another transport; the sentence says what one looks like.
    """
    address = parse(text)
    if address.scheme not in _SOCKETS:
        raise UsageError(f"this takes plain sockets, HOST:PORT or unix:PATH, not '{escaped(text)}'")
    return address


def host_and_port(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``[::1]:PORT`` or ``:PORT``, for the schemes that have them.

    Raises:
        UsageError: it is not written so.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed):
        raise UsageError(f"an address is HOST:PORT, [::1]:PORT, :PORT or unix:PATH, not '{escaped(text)}'")
    number = _port(port)
    if number is None:
        raise UsageError(f"{_NO_PORT}, not '{escaped(port)}' (in '{escaped(text)}')")
    return host[1:-1] if bracketed else host, number


def of_parts(host: str, port: str) -> Address:
    """The TCP address whose host and port a user wrote apart.

    Args:
        host: a name or an IP address, IPv6 with or without brackets; ``""`` for every interface.
        port: a number.

    Raises:
        UsageError: they are none; the sentence says why.
    """
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare and not _is_ipv6(bare):
        raise UsageError(f"a host is a name or an IP address, not '{escaped(host)}'; a port is written apart from it")
    number = _port(port)
    if number is None:
        raise UsageError(f"{_NO_PORT}, not '{escaped(port)}'")
    return Address(bare, number)


def _port(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else -1
    return number if 0 <= number <= 65535 else None


def _is_ipv6(host: str) -> bool:
    import ipaddress

    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


# -- telling -----------------------------------------------------------------------------------------------------------


def of_peer(name: object) -> str:
    """A peer's address, given what ``accept`` calls it, for logs and ``letterhead.current().caller``."""
    if isinstance(name, tuple) and len(name) >= 2:
        return str(Address(str(name[0]), int(name[1])))
    return "unix"


def is_beyond_loopback(address: Address) -> bool:
    """Whether other machines reach a listener at this address, whose host is an IP address."""
    import ipaddress

    return address.port is not None and not ipaddress.ip_address(address.host.partition("%")[0]).is_loopback


def connect_failed(address: Address, error: BaseException, seconds: float, told: str = "") -> ConnectionFailed:
    """Why a connection could not be made, as the exception that a caller gets.

    Args:
        address: the server's.
        error: what happened.
        seconds: how long connecting was allowed to take.
        told: what became of each address, where the name has several.
    """
    where = str(address)
    if isinstance(error, ConnectionFailed):
        return error
    each = f" ({told})" if told else ""
    if isinstance(error, ConnectionRefusedError):
        return ConnectRefused(
            f"nothing listens at {where}{each}; is the server running, and is this its address?", address=where
        )
    if isinstance(error, TimeoutError):
        return ConnectTimedOut(f"{where} did not answer within {seconds:g} s{each}", address=where)
    if isinstance(error, socket.gaierror):
        return ConnectionFailed(
            f"the name '{escaped(address.host)}' cannot be resolved: {error.strerror}", address=where
        )
    return ConnectionFailed(f"no connection to {where}: {told or reason(error)}", address=where)


def how_it_broke(error: Exception) -> str:
    """What a server did whose connection broke with this error, in words."""
    if isinstance(error, ConnectionResetError):
        return "reset the connection"
    return f"cannot be reached any more ({reason(error)})"


def reason(error: BaseException) -> str:
    """An error in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

"""Addresses as users write them, and what the operating system makes of them.

``HOST:PORT``, ``[::1]:PORT``, ``:PORT`` (every interface; for a client, this machine), ``unix:PATH``.

What only those who listen need is imported where they do: a command that calls once should start at once.
"""

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from letterhead.errors import (
    ConnectionFailed,
    ConnectRefused,
    ConnectTimedOut,
    ListenFailed,
    UsageError,
    escaped,
)
from letterhead.limits import Limits

if TYPE_CHECKING:
    from pathlib import Path

Place = tuple[socket.AddressFamily, tuple[Any, ...]]
"""Where a socket connects to or listens: its family, and its address as ``socket`` writes it."""
TO_ITSELF = (errno.ECONNREFUSED, "the kernel chose the very port to send from: nobody listens there")
_NO_PORT = "a port is a number from 0 to 65535"


@dataclass(frozen=True, slots=True)
class Address:
    """One address: ``host`` and ``port``, or ``path`` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str) -> Address:
    """The address that a user wrote.

    Raises:
        UsageError: it is none; the sentence says what one looks like.
    """
    if not isinstance(text, str):
        raise UsageError(f"an address is a str such as '127.0.0.1:65432', not {text!r}")
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise UsageError("a Unix socket's address is unix:PATH")
        if "\0" in path or len(os.fsencode(path)) > 107:
            raise UsageError(f"the path of a Unix socket has at most 107 bytes: {escaped(path)}")
        return Address(path=path)
    if "://" in text:
        scheme = text.partition("://")[0]
        raise UsageError(f"{escaped(scheme)}:// is not supported here: write HOST:PORT or unix:PATH")
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed):
        raise UsageError(f"an address is HOST:PORT, [::1]:PORT, :PORT or unix:PATH, not '{escaped(text)}'")
    number = _port(port)
    if number is None:
        raise UsageError(f"{_NO_PORT}, not '{escaped(port)}' (in '{escaped(text)}')")
    return Address(host[1:-1] if bracketed else host, number)


def parse_all(written: str | Sequence[str]) -> dict[str, Address]:
    """The addresses that a user of a client wrote, each once, by their names.

    Raises:
        UsageError: there is none, or one of them is none; the sentence says what one looks like.
    """
    if isinstance(written, str):
        written = [written]
    if not isinstance(written, (list, tuple)) or not written:
        raise UsageError(f"a client takes an address such as '127.0.0.1:65432', or a list of them, not {written!r}")
    return {str(address): address for address in map(parse, written)}


def of_parts(host: str, port: str) -> Address:
    """The address whose host and port a user wrote apart; IPv6 with or without brackets, ``""`` for every interface.

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


def of_socket(sock: socket.socket) -> Address:
    """Where a socket is bound."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return Address(path=os.fsdecode(name))
    return Address(name[0], name[1])


def of_peer(name: object) -> str:
    """A peer's address as it stands in logs and ``letterhead.current().caller``."""
    if isinstance(name, tuple) and len(name) >= 2:
        return str(Address(str(name[0]), int(name[1])))
    return "unix"


def is_beyond_loopback(address: Address) -> bool:
    """Whether others than this machine reach a listener here."""
    import ipaddress

    return address.path is None and not ipaddress.ip_address(address.host.partition("%")[0]).is_loopback


def tune(sock: socket.socket, limits: Limits) -> None:
    """No delay for small frames; dead peers are noticed even while nothing is sent."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", limits.keepalive_idle_seconds),
        ("TCP_KEEPINTVL", limits.keepalive_interval_seconds),
        ("TCP_KEEPCNT", limits.keepalive_probes),
        ("TCP_USER_TIMEOUT", int(limits.user_timeout_seconds * 1000)),
    ):
        option = getattr(socket, name, None)  # not every system has every one
        if option is not None and value:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def no_such_name() -> socket.gaierror:
    """What a name means that cannot even be looked up: a label of 64 characters is a ValueError to Python."""
    return socket.gaierror(socket.EAI_NONAME, "no host can have such a name")


def resolve(address: Address, passive: bool) -> list[Place]:
    """The socket addresses of a name, in the system's order.

    Raises:
        OSError: the name cannot be resolved (``socket.gaierror``).
    """
    host: str | bytes | None = address.host or (None if passive else "localhost")
    if isinstance(host, str) and host.isascii():
        host = host.encode()  # else Python loads its tables of international names first
    flags = socket.AI_PASSIVE if passive else 0
    found: list[Place] = []
    try:
        places = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=flags)
    except ValueError:
        raise no_such_name() from None
    for family, _, _, _, where in places:
        if family in (socket.AF_INET, socket.AF_INET6) and (family, where) not in found:
            found.append((family, where))
    return found


# -- listening -------------------------------------------------------------------------------------------------------


def listen(address: Address, limits: Limits) -> list[socket.socket]:
    """Listening sockets for an address: one for each address that its name has, all on one port.

    Raises:
        ListenFailed: with a sentence that says what to do.
    """
    if address.path is not None:
        return [_listen_unix(address, limits)]
    try:
        places = resolve(address, passive=True)
    except OSError as error:
        raise ListenFailed(
            f"cannot listen at {address}: the name '{escaped(address.host)}' cannot be resolved ({error.strerror}); "
            "use an address of this machine, such as 127.0.0.1",
            address=str(address),
        ) from None
    sockets: list[socket.socket] = []
    port = address.port
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
                raise _listen_failed(address, error) from None
            sock.setblocking(False)
            port = sock.getsockname()[1]
        if not sockets:
            raise ListenFailed(f"cannot listen at {address}: this machine has no such address", address=str(address))
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _listen_failed(address: Address, error: OSError) -> ListenFailed:
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


def _listen_unix(address: Address, limits: Limits) -> socket.socket:
    from pathlib import Path

    path = Path(address.path or "")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear_stale(path, address)
        sock.bind(str(path))
        sock.listen(limits.backlog)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if isinstance(error, ListenFailed):
            raise
        reason = error.strerror or str(error)
        if isinstance(error, FileNotFoundError):
            reason = f"there is no folder '{escaped(str(path.parent))}'"
        raise ListenFailed(f"cannot listen at {address}: {reason}", address=str(address)) from None
    return sock


def _clear_stale(path: "Path", address: Address) -> None:
    """Remove the socket file of a server that is gone; refuse what is anything else."""
    import stat

    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenFailed(f"cannot listen at {address}: a file of that name exists", address=str(address))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass  # busy or not ours to open: either way somebody has it
    raise ListenFailed(
        f"cannot listen at {address}: another program listens there; stop it or choose another path",
        address=str(address),
    )


def _who_listens(address: Address) -> str | None:
    """The program that listens on a port, such as ``python (process 4711)``; None where it cannot be told."""
    from pathlib import Path

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


# -- connecting ------------------------------------------------------------------------------------------------------


def connect_failed(address: Address, error: Exception, seconds: float, told: str = "") -> ConnectionFailed:
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
    if isinstance(error, ConnectionRefusedError) or (address.path and isinstance(error, FileNotFoundError)):
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


def reason(error: Exception) -> str:
    """An error in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

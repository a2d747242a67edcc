"""What all transports over TCP and Unix sockets share: the options of a socket, where it is bound, and listening.

What is said on a connection is not known here.
"""

import errno
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from letterhead.limits import Limits
from letterhead.transport.address import Address

if TYPE_CHECKING:
    import asyncio


def tune(sock: socket.socket, limits: Limits) -> None:
    """Set a connected socket's options: small frames go at once, and a dead peer is noticed while nothing is sent.

    Raises:
        OSError: the connection is gone.
    """
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


def refuse_itself(sock: socket.socket) -> None:
    """Refuse a TCP socket that the kernel connected to itself, since it chose the very port to send from.

    Raises:
        ConnectionRefusedError: so it is: nobody listens at that port.
        OSError: the connection is gone.
    """
    if sock.getsockname() == sock.getpeername():
        raise ConnectionRefusedError(
            errno.ECONNREFUSED, "the kernel chose the very port to send from: nobody listens there"
        )


def of_socket(sock: socket.socket) -> Address:
    """Where a socket is bound."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return Address(path=os.fsdecode(name), scheme="unix")
    return Address(name[0], name[1])


class SocketListener:
    """Listening sockets whose bytes are the stream's own; a subclass puts something in between, or clears away more.

    Args:
        sockets: the listening sockets, non-blocking.
        addresses: where each of them listens.
        limits: keepalive of what is accepted.
    """

    def __init__(self, sockets: Sequence[socket.socket], addresses: Sequence[Address], limits: Limits) -> None:
        self.sockets = list(sockets)
        self.addresses = list(addresses)
        self.limits = limits

    async def adopt(self, sock: socket.socket, protocol: "asyncio.BaseProtocol") -> None:
        """Connect ``protocol`` to an accepted socket.

        Raises:
            OSError: the peer is gone.
        """
        import asyncio

        sock.setblocking(False)
        tune(sock, self.limits)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, sock)

    def close(self) -> None:
        """Close the sockets."""
        for sock in self.sockets:
            sock.close()

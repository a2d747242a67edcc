"""``HOST:PORT``: TCP, to whichever of the host's addresses answers first.

What is said on a connection is not known here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from letterhead.limits import Limits
from letterhead.transport.address import Address, Listener, P, Transport, host_and_port
from letterhead.transport.connect import tcp_socket
from letterhead.transport.sockets import SocketListener, of_socket, tune
from letterhead.transport.stop import Stop
from letterhead.transport.wire import SocketWire

if TYPE_CHECKING:
    import asyncio


def _parse(text: str) -> Address:
    return Address(*host_and_port(text))


def _connect(address: Address, seconds: float, limits: Limits, stop: Stop) -> SocketWire:
    sock = tcp_socket(address, seconds, limits, stop)
    try:
        tune(sock, limits)
        return SocketWire(sock)
    except BaseException:
        sock.close()
        raise


async def _connect_async(
    address: Address, factory: Callable[[], P], seconds: float, limits: Limits
) -> tuple["asyncio.Transport", P]:
    import asyncio

    from letterhead.transport.connect_async import tcp_socket

    sock = await tcp_socket(address, seconds, limits)
    try:
        tune(sock, limits)
        return await asyncio.get_running_loop().create_connection(factory, sock=sock)
    except BaseException:
        sock.close()
        raise


def _listen(address: Address, limits: Limits) -> Listener:
    from letterhead.transport.listen import tcp_sockets

    sockets = tcp_sockets(address, limits)
    return SocketListener(sockets, [of_socket(sock) for sock in sockets], limits)


TRANSPORT = Transport(_parse, _connect, _connect_async, _listen)

"""``greeting://HOST:PORT``: a scheme of the tests' own, whole in this file. TCP, after a word of the client's.

It is what a new transport has to bring: how its addresses are written, how each side connects, and a listener whose
sockets have something to settle before the bytes of the conversation come.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace

from letterhead.limits import Limits
from letterhead.transport import connect, connect_async
from letterhead.transport.address import Address, Listener, P, Transport, host_and_port
from letterhead.transport.listen import tcp_sockets
from letterhead.transport.sockets import SocketListener, of_socket, tune
from letterhead.transport.stop import Stop
from letterhead.transport.wire import SocketWire

GREETING = b"good morning\n"


def _parse(text: str) -> Address:
    return Address(*host_and_port(text), scheme="greeting")


def _connect(address: Address, seconds: float, limits: Limits, stop: Stop) -> SocketWire:
    sock = connect.tcp_socket(address, seconds, limits, stop)
    try:
        sock.settimeout(seconds)
        sock.sendall(GREETING)
        return SocketWire(sock)
    except BaseException:
        sock.close()
        raise


async def _connect_async(
    address: Address, factory: Callable[[], P], seconds: float, limits: Limits
) -> tuple[asyncio.Transport, P]:
    loop = asyncio.get_running_loop()
    sock = await connect_async.tcp_socket(address, seconds, limits)
    try:
        await loop.sock_sendall(sock, GREETING)
        return await loop.create_connection(factory, sock=sock)
    except BaseException:
        sock.close()
        raise


class _GreetingListener(SocketListener):
    async def adopt(self, sock: socket.socket, protocol: asyncio.BaseProtocol) -> None:
        sock.setblocking(False)
        tune(sock, self.limits)
        loop = asyncio.get_running_loop()
        heard = b""
        while len(heard) < len(GREETING):
            came = await loop.sock_recv(sock, len(GREETING) - len(heard))
            heard += came
            if not came or not GREETING.startswith(heard):
                raise ConnectionAbortedError("it does not greet")
        await loop.connect_accepted_socket(lambda: protocol, sock)


def _listen(address: Address, limits: Limits) -> Listener:
    sockets = tcp_sockets(address, limits)
    return _GreetingListener(sockets, [replace(of_socket(sock), scheme="greeting") for sock in sockets], limits)


TRANSPORT = Transport(_parse, _connect, _connect_async, _listen)

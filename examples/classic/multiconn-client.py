"""Several connections at once in one thread: each sends its messages and closes when as many bytes have come back."""

import argparse
import os
import selectors
import socket
import sys

MESSAGES = [b"Message 1 from client.", b"Message 2 from client."]

selector = selectors.DefaultSelector()


class Connection:
    def __init__(self, number: int, sock: socket.socket) -> None:
        self.number = number
        self.sock = sock
        self.messages = list(MESSAGES)
        self.unsent = b""
        self.missing = sum(map(len, MESSAGES))


def talk(host: str, port: int, count: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    for number in range(1, count + 1):
        print(f"Starting connection {number} to {address}")
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        # Connecting has only begun: a socket that is connected, or never will be, becomes writable.
        sock.connect_ex(address)
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE, Connection(number, sock))
    while selector.get_map():
        for key, events in selector.select():
            take_turn(key.data, events)


def take_turn(connection: Connection, events: int) -> None:
    """Receive what has come, or send what goes; close the connection when everything has come back."""
    if error := connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, os.strerror(error))
    if events & selectors.EVENT_READ:
        data = connection.sock.recv(4096)
        if not data:
            raise ConnectionError(f"the server ended connection {connection.number} early")
        print(f"Received {data!r} from connection {connection.number}")
        connection.missing -= len(data)
        if connection.missing <= 0:
            print(f"Closing connection {connection.number}")
            selector.unregister(connection.sock)
            connection.sock.close()
            return
    if events & selectors.EVENT_WRITE:
        if not connection.unsent and connection.messages:
            connection.unsent = connection.messages.pop(0)
            print(f"Sending {connection.unsent!r} to connection {connection.number}")
        sent = connection.sock.send(connection.unsent)  # as much as goes, which need not be all
        connection.unsent = connection.unsent[sent:]
        if not connection.unsent and not connection.messages:
            # A socket is writable nearly always: to go on asking would keep the processor busy for nothing.
            selector.modify(connection.sock, selectors.EVENT_READ, connection)


def port(text: str) -> int:
    """A port from the command line. The system would take 70000 for 4464."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage="%(prog)s HOST PORT NUM_CONNECTIONS")
    parser.add_argument("host", metavar="HOST")
    parser.add_argument("port", metavar="PORT", type=port)
    parser.add_argument("count", metavar="NUM_CONNECTIONS", type=int)
    arguments = parser.parse_args()
    try:
        talk(arguments.host, arguments.port, arguments.count)
    except OSError as error:
        sys.exit(f"{arguments.host}:{arguments.port}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

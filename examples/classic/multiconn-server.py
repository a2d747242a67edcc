"""An echo server for any number of connections in one thread: a selector says whose turn it is.

No socket may block, since all would wait for it. Each connection is in one of two states: everything that came has gone
back, and more is read; or something has not, and nothing more is read until it has. So a client that does not read
costs one read's worth of memory, and nobody else's time.
"""

import argparse
import selectors
import socket
import sys
import time

selector = selectors.DefaultSelector()


class Connection:
    def __init__(self, sock: socket.socket, address: object) -> None:
        self.sock = sock
        self.address = address
        self.unsent = b""


def serve(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)
        print(f"Listening on {listener.getsockname()}")
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    accept(listener)
                else:
                    take_turn(key.data)


def accept(listener: socket.socket) -> None:
    try:
        sock, address = listener.accept()
    except OSError as error:  # it is gone again, or there are too many
        print(f"Accepted nobody: {error}")
        time.sleep(0.1)
        return
    print(f"Accepted connection from {address}")
    sock.setblocking(False)
    selector.register(sock, selectors.EVENT_READ, Connection(sock, address))


def take_turn(connection: Connection) -> None:
    """Send where something is unsent, else read."""
    try:
        if connection.unsent:
            print(f"Echoing {connection.unsent!r} to {connection.address}")
            sent = connection.sock.send(connection.unsent)  # as much as goes, which need not be all
            connection.unsent = connection.unsent[sent:]
        else:
            connection.unsent = connection.sock.recv(4096)
            if not connection.unsent:  # the end of the stream
                close(connection)
                return
    except BlockingIOError:  # after all it was nobody's turn
        return
    except OSError as error:  # a client that broke off is nobody else's problem
        print(f"Lost connection to {connection.address}: {error}")
        close(connection)
        return
    event = selectors.EVENT_WRITE if connection.unsent else selectors.EVENT_READ
    selector.modify(connection.sock, event, connection)


def close(connection: Connection) -> None:
    print(f"Closing connection to {connection.address}")
    selector.unregister(connection.sock)
    connection.sock.close()


def port(text: str) -> int:
    """A port from the command line. The system would take 70000 for 4464."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage="%(prog)s HOST PORT")
    parser.add_argument("host", metavar="HOST")
    parser.add_argument("port", metavar="PORT", type=port)
    arguments = parser.parse_args()
    try:
        serve(arguments.host, arguments.port)
    except OSError as error:
        sys.exit(f"{arguments.host}:{arguments.port}: {error}")
    except KeyboardInterrupt:
        print("Stopped")

"""A client of one connection: says hello and shows what comes back."""

import argparse
import socket
import sys

MESSAGE = b"Hello, world"


def greet(host: str, port: int) -> None:
    with socket.create_connection((host, port)) as connection:
        connection.sendall(MESSAGE)
        received = b""
        # A message that was sent at once may come back in pieces.
        while len(received) < len(MESSAGE):
            data = connection.recv(1024)
            if not data:
                raise ConnectionError(f"the server ended the connection after {received!r}")
            received += data
    print(f"Received {received!r}")


def port(text: str) -> int:
    """A port from the command line. The system would take 70000 for 4464."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage="%(prog)s [HOST [PORT]]")
    parser.add_argument("host", nargs="?", default="127.0.0.1")
    parser.add_argument("port", nargs="?", default=65432, type=port)
    arguments = parser.parse_args()
    try:
        greet(arguments.host, arguments.port)
    except OSError as error:
        sys.exit(f"{arguments.host}:{arguments.port}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

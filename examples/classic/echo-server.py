"""A server for one connection: what comes in goes back, until the client has no more."""

import argparse
import socket
import sys


def serve(host: str, port: int) -> None:
    with socket.create_server((host, port)) as listener:
        print(f"Listening on {listener.getsockname()}")
        connection, address = listener.accept()
        with connection:
            print(f"Connected by {address}")
            # recv gives what has come, up to 1,024 bytes; none at all is the end of the stream.
            while data := connection.recv(1024):
                connection.sendall(data)


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
        serve(arguments.host, arguments.port)
    except OSError as error:
        sys.exit(f"{arguments.host}:{arguments.port}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

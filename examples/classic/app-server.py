"""A server with requests and answers instead of bytes: the wire core of Letterhead on a selector.

The core does no input or output. `Reader` takes bytes as they come and gives whole frames, `encode_frame` makes a frame
into bytes; when to receive and when to send is up to the loop here, which is that of multiconn-server.py.
"""

import argparse
import selectors
import socket
import sys
import time

from letterhead import Limits, decode, encode
from letterhead.errors import BadFrame, Refused, UnknownAction
from letterhead.message import Message
from letterhead.search.documents import SAMPLES
from letterhead.wire.reader import Reader
from letterhead.wire.writer import encode_frame

TEXTS = {sample.title: sample.text for sample in SAMPLES}

selector = selectors.DefaultSelector()


class Connection:
    def __init__(self, sock: socket.socket, address: object) -> None:
        self.sock = sock
        self.address = address
        self.reader = Reader(Limits(content_bytes=1 << 20))  # more is refused before it is read
        self.unsent = b""
        self.over = False  # what still comes is dropped


def answer(request: Message) -> bytes:
    """The reply to a request, as a frame."""
    if request.type not in ("text/json", "application/json"):
        header = {"content-type": "binary/custom-server-binary-type", "content-encoding": "binary"}
        return encode_frame(header, b"First 10 bytes of request: " + bytes(request.content[:10]))
    content = decode(request)
    action, value = (content.get("action"), content.get("value")) if isinstance(content, dict) else (None, None)
    if action != "search":
        raise UnknownAction(f"invalid action '{action}'.")
    return result(TEXTS.get(str(value), f"No match for '{value}'."))


def result(text: str, **more: object) -> bytes:
    reply = encode({"result": text, **more})
    return encode_frame(reply.header, reply.content)


def next_answer(connection: Connection) -> bytes:
    """The reply to the next request that has come whole; b"" where none has."""
    try:
        request = connection.reader.next_frame()
        if request is None:
            return b""
        print(f"Answering {bytes(request.content[:100])!r} of {connection.address}")
        return answer(request)
    except Refused as error:  # whatever is wrong with what came: the client is told, and the server goes on
        print(f"Refusing {connection.address}: {error!a}")  # in ASCII: it may quote what no terminal here can show
        connection.over = isinstance(error, BadFrame)  # where its next request would begin nobody knows
        return result(f"Error: {error.message}", error={"code": error.code, "message": error.message})


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
    """Send where a reply is unsent, else read; answer one request after the other."""
    try:
        if connection.unsent:
            sent = connection.sock.send(connection.unsent)
            connection.unsent = connection.unsent[sent:]
            if connection.over and not connection.unsent:
                # To close at once could lose the reply: the client gets the end of our stream, we wait for that of its.
                connection.sock.shutdown(socket.SHUT_WR)
        else:
            data = connection.sock.recv(65536)
            if not data:  # the end of the stream
                close(connection)
                return
            if not connection.over:
                connection.reader.feed(data)
        if not connection.unsent and not connection.over:
            connection.unsent = next_answer(connection)
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

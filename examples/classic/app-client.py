"""One request to an application server, and its answer: the wire core of Letterhead on a selector."""

import argparse
import selectors
import socket
import sys

from letterhead import decode, encode
from letterhead.errors import Refused
from letterhead.message import Message
from letterhead.wire.reader import Reader
from letterhead.wire.writer import encode_frame


def request(action: str, value: str) -> bytes:
    """The request as a frame: a search as JSON, anything else as bytes."""
    if action == "search":
        message = encode({"action": action, "value": value})
    else:
        header = {"content-type": "binary/custom-client-binary-type", "content-encoding": "binary"}
        message = Message((action + value).encode("utf-8", "surrogateescape"), header)
    return encode_frame(message.header, message.content)


def ask(host: str, port: int, frame: bytes) -> Message:
    """Send a frame, and wait for one."""
    reader = Reader()
    with selectors.DefaultSelector() as selector, socket.create_connection((host, port)) as sock:
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        print(f"Sending {frame!r} to {sock.getpeername()}")
        while True:
            ((_, events),) = selector.select()
            if events & selectors.EVENT_READ:
                data = sock.recv(65536)
                if not data:
                    raise ConnectionError("the server ended the connection without an answer")
                reader.feed(data)
                reply = reader.next_frame()
                if reply is not None:
                    return reply
            if events & selectors.EVENT_WRITE:
                sent = sock.send(frame)  # as much as goes, which need not be all
                frame = frame[sent:]
                if not frame:
                    selector.modify(sock, selectors.EVENT_READ)


def show(reply: Message) -> None:
    """Print what came. As Python writes it: a terminal might obey the rest."""
    content = decode(reply)
    if isinstance(content, dict) and "result" in content:
        print(f"Got result: {content['result']!r}")
    else:
        print(f"Got {reply.header['content-type']!r}: {content!r}")


def port(text: str) -> int:
    """A port from the command line. The system would take 70000 for 4464."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError
    return number


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage="%(prog)s HOST PORT ACTION VALUE")
    parser.add_argument("host", metavar="HOST")
    parser.add_argument("port", metavar="PORT", type=port)
    parser.add_argument("action", metavar="ACTION")
    parser.add_argument("value", metavar="VALUE")
    arguments = parser.parse_args()
    try:
        show(ask(arguments.host, arguments.port, request(arguments.action, arguments.value)))
    except (OSError, Refused, UnicodeError) as error:  # no sound answer; a host or an answer that cannot be written
        sys.exit(f"{arguments.host}:{arguments.port}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)

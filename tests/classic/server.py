"""A classic server: one request a connection, as in the original application protocol.

What lives here: the server half of protocol sections 1 and 2 as the paragraph "What classic peers do"
describes it, with the standard library alone: one thread, one selector.
The rules: a connection gets one reply and is closed; every header field beyond the four required ones, `id`
too, is ignored; `text/json` alone is JSON; what cannot be answered is closed without a reply; `{}`, `null`
and an empty frame that is not JSON are never answered. A real classic server burns a processor on those;
this one merely holds the connection until its peer closes it.
What this file must not know: Letterhead, and the client beside it (a mistake that both share hides itself).

Run it: python server.py [HOST [PORT]]
"""

import argparse
import enum
import json
import selectors
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

Address = tuple[str, int]

SAMPLES = {
    "morpheus": "Follow the white rabbit. 🐰",
    "ring": "In the caves beneath the Misty Mountains. 💍",
    "🐶": "🐾 Playing ball! 🏐",
}
REQUIRED_FIELDS = ("byteorder", "content-length", "content-type", "content-encoding")
CHUNK = 1 << 16


class Silence(enum.Enum):
    """What a classic server does instead of replying."""

    HOLD = enum.auto()
    CLOSE = enum.auto()


def take_request(received: bytes | bytearray) -> tuple[dict[str, Any], bytes] | None:
    """The first frame of what was received, or None while it is not whole.

    Raises ValueError where it is no frame.
    """
    if len(received) < 2:
        return None
    (header_length,) = struct.unpack_from(">H", received)
    if len(received) < 2 + header_length:
        return None
    header = json.loads(received[2 : 2 + header_length].decode("utf-8"))
    if not isinstance(header, dict) or any(field not in header for field in REQUIRED_FIELDS):
        raise ValueError("a required header field is missing")
    length = header["content-length"]
    if type(length) is not int or length < 0:
        raise ValueError("content-length is not a length")
    start, end = 2 + header_length, 2 + header_length + length
    return (header, bytes(received[start:end])) if len(received) >= end else None


def respond(header: dict[str, Any], content: bytes) -> bytes | Silence:
    """The reply to one request as a whole frame, or the kind of silence that it meets.

    Raises ValueError where the reply cannot be written, as with a lone surrogate in the action's name.
    """
    if header["content-type"] != "text/json":
        if not content:
            return Silence.HOLD
        first = b"First 10 bytes of request: " + content[:10]
        return encode_frame(first, "binary/custom-server-binary-type", "binary")
    try:
        request = json.loads(content.decode(header["content-encoding"]))
    except (LookupError, ValueError, RecursionError, TypeError):
        return Silence.CLOSE
    if request is None or request == {}:
        return Silence.HOLD
    value = request.get("value") if isinstance(request, dict) else None
    if not isinstance(request, dict) or (request.get("action") == "search" and isinstance(value, list | dict)):
        # The original looks the value up in a dict; what cannot be hashed ends the connection.
        return Silence.CLOSE
    reply = json.dumps({"result": _result(request.get("action"), value)}, ensure_ascii=False)
    return encode_frame(reply.encode("utf-8"), "text/json", "utf-8")


def _result(action: Any, value: Any) -> str:
    if action == "search":
        return SAMPLES.get(value, f"No match for '{value}'.")
    return f"Error: invalid action '{action}'."


def encode_frame(content: bytes, content_type: str, content_encoding: str) -> bytes:
    """One frame with the four required fields and no other."""
    header = {
        "byteorder": sys.byteorder,
        "content-type": content_type,
        "content-encoding": content_encoding,
        "content-length": len(content),
    }
    encoded = json.dumps(header, ensure_ascii=False).encode("utf-8")
    return struct.pack(">H", len(encoded)) + encoded + content


class _Connection:
    """One accepted socket: what came in, what is still to go out, whether it is held in silence."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = bytearray()
        self.outgoing = b""
        self.held = False

    def read(self) -> bool:
        """Take what has arrived; False where the connection is to be closed."""
        data = self.sock.recv(CHUNK)
        if not data:
            return False
        if self.held:
            return True
        self.received += data
        try:
            request = take_request(self.received)
            if request is None:
                return True
            reply = respond(*request)
        except (ValueError, RecursionError):
            return False
        if isinstance(reply, Silence):
            self.held = reply is Silence.HOLD
            return self.held
        self.outgoing = reply
        return True

    def write(self) -> bool:
        """Send what the socket takes; False where the reply is out, after which a classic server closes."""
        self.outgoing = self.outgoing[self.sock.send(self.outgoing) :]
        return bool(self.outgoing)


def serve(listener: socket.socket, stop: socket.socket) -> None:
    """Serve connections of `listener` until `stop` becomes readable, then close those that are open."""
    listener.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(stop, selectors.EVENT_READ)
        try:
            while True:
                for key, _ in selector.select():
                    if key.fileobj is stop:
                        return
                    if key.fileobj is listener:
                        _accept(listener, selector)
                    else:
                        _advance(key.data, selector)
        finally:
            for key in list(selector.get_map().values()):
                if isinstance(key.data, _Connection):
                    key.data.sock.close()


def _accept(listener: socket.socket, selector: selectors.BaseSelector) -> None:
    with suppress(BlockingIOError, ConnectionError):  # The peer may be gone again before it is accepted.
        sock, _ = listener.accept()
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, _Connection(sock))


def _advance(connection: _Connection, selector: selectors.BaseSelector) -> None:
    try:
        goes_on = connection.write() if connection.outgoing else connection.read()
    except BlockingIOError:
        return
    except ConnectionError:
        goes_on = False
    if goes_on:
        events = selectors.EVENT_WRITE if connection.outgoing else selectors.EVENT_READ
        selector.modify(connection.sock, events, connection)
    else:
        selector.unregister(connection.sock)
        connection.sock.close()


@contextmanager
def running(host: str = "127.0.0.1", port: int = 0) -> Iterator[Address]:
    """Serve from a thread of its own while the block runs; yields the address, with the port that was chosen.

    At the end of the block every socket is closed and the thread has ended.
    """
    stop, stopped = socket.socketpair()
    with stopped, stop, socket.create_server((host, port)) as listener:
        thread = threading.Thread(target=serve, args=(listener, stopped), name="classic server")
        thread.start()
        try:
            yield listener.getsockname()[:2]
        finally:
            stop.close()
            thread.join()


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A classic server with three samples.")
    parser.add_argument("host", nargs="?", default="127.0.0.1")
    parser.add_argument("port", nargs="?", type=int, default=65432)
    chosen = parser.parse_args(arguments)
    stop, stopped = socket.socketpair()
    with stop, stopped, socket.create_server((chosen.host, chosen.port)) as listener:
        host, port = listener.getsockname()[:2]
        print(f"listening on {host}:{port}", flush=True)
        with suppress(KeyboardInterrupt):
            serve(listener, stopped)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A classic client: one connection, one request, one reply, as in the original application protocol.

What lives here: the client half of protocol sections 1 and 2, with the standard library alone.
The rules: whatever frame comes first is the reply; a `text/json` reply must hold a top-level `result`; the
connection is closed after the reply. `send_frame` and `receive_frame` work on any connected socket, so a
test can hold a connection open for several requests.
What this file must not know: Letterhead. Neither `id` nor `status` means anything here.

Run it: python client.py [--binary] HOST PORT ACTION VALUE
"""

import argparse
import json
import socket
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Address = tuple[str, int]

REQUIRED_FIELDS = ("byteorder", "content-length", "content-type", "content-encoding")
PATIENCE = 30.0


class ClassicError(Exception):
    """What came back is nothing that a classic client can take as its reply."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it was read: every header field, and the content bytes undecoded."""

    header: dict[str, Any]
    content: bytes

    @property
    def is_json(self) -> bool:
        """Whether a classic peer reads the content as JSON: only `text/json`, spelled exactly so."""
        return bool(self.header["content-type"] == "text/json")

    def json(self) -> Any:
        """The decoded content. Raises ClassicError where it is not JSON in the encoding named."""
        try:
            return json.loads(self.content.decode(self.header["content-encoding"]))
        except (LookupError, ValueError) as error:
            raise ClassicError(f"the content is not JSON: {error}") from error

    @property
    def result(self) -> Any:
        """The top-level `result` of a JSON reply. Raises ClassicError where there is none."""
        value = self.json()
        if not isinstance(value, dict) or "result" not in value:
            raise ClassicError(f"the reply has no top-level result: {value!r}")
        return value["result"]


def send_frame(
    sock: socket.socket,
    content: bytes,
    *,
    content_type: str,
    content_encoding: str,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write one frame.

    `extra` fields are added to the four required ones or replace them: an `id`, which a classic peer
    ignores, or a field that is wrong on purpose.
    """
    header = {
        "byteorder": sys.byteorder,
        "content-type": content_type,
        "content-encoding": content_encoding,
        "content-length": len(content),
        **(extra or {}),
    }
    encoded = json.dumps(header, ensure_ascii=False).encode("utf-8")
    sock.sendall(struct.pack(">H", len(encoded)) + encoded + content)


def send_json(sock: socket.socket, value: Any, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write one `text/json` frame in UTF-8."""
    content = json.dumps(value, ensure_ascii=False).encode("utf-8")
    send_frame(sock, content, content_type="text/json", content_encoding="utf-8", extra=extra)


def send_binary(sock: socket.socket, content: bytes, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write one frame of the classic client's own binary type."""
    send_frame(sock, content, content_type="binary/custom-client-binary-type", content_encoding="binary", extra=extra)


def receive_frame(sock: socket.socket) -> Frame | None:
    """Read exactly one frame and not a byte more; None where the stream ends before its first byte.

    Raises ClassicError where the stream ends inside a frame or what came is no frame.
    """
    start = _receive(sock, 2)
    if not start:
        return None
    (header_length,) = struct.unpack(">H", _whole(start, 2))
    try:
        header = json.loads(_whole(_receive(sock, header_length), header_length).decode("utf-8"))
    except ValueError as error:
        raise ClassicError(f"the header is not JSON in UTF-8: {error}") from error
    missing = [field for field in REQUIRED_FIELDS if not isinstance(header, dict) or field not in header]
    if missing:
        raise ClassicError(f"the header lacks {', '.join(missing)}")
    length = header["content-length"]
    if type(length) is not int or length < 0:
        raise ClassicError(f"content-length is {length!r}")
    return Frame(header, _whole(_receive(sock, length), length))


def receive_reply(sock: socket.socket) -> Frame:
    """Read the reply: the first frame that comes, whatever it is.

    Raises ClassicError where none comes, or where it is `text/json` without a top-level `result`.
    """
    reply = receive_frame(sock)
    if reply is None:
        raise ClassicError("the server closed the connection without a reply")
    if reply.is_json:
        _ = reply.result
    return reply


def request(address: Address, action: str, value: Any = None, *, timeout: float = PATIENCE) -> Frame:
    """Ask `{"action": action, "value": value}` on a connection of its own and return the reply.

    `timeout`: seconds for each step on the socket, after which TimeoutError is raised. The answer is
    `.result`. Raises ClassicError as `receive_reply` does, and OSError where the connection fails.
    """
    with socket.create_connection(address, timeout=timeout) as sock:
        send_json(sock, {"action": action, "value": value})
        return receive_reply(sock)


def request_binary(address: Address, content: bytes, *, timeout: float = PATIENCE) -> Frame:
    """Send bytes on a connection of their own and return the reply; errors as in `request`."""
    with socket.create_connection(address, timeout=timeout) as sock:
        send_binary(sock, content)
        return receive_reply(sock)


def _receive(sock: socket.socket, size: int) -> bytes:
    """Up to `size` bytes: fewer only where the stream ended."""
    received = bytearray()
    while len(received) < size:
        data = sock.recv(min(size - len(received), 1 << 20))
        if not data:
            break
        received += data
    return bytes(received)


def _whole(data: bytes, size: int) -> bytes:
    if len(data) < size:
        raise ClassicError("the server closed the connection inside a frame")
    return data


def main(arguments: list[str] | None = None) -> int:
    """Send one request from the command line and print the reply; 1 where there is none to print."""
    parser = argparse.ArgumentParser(description="One classic request, one reply.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("action")
    parser.add_argument("value")
    parser.add_argument("--binary", action="store_true", help="send ACTION and VALUE as bytes, not as JSON")
    chosen = parser.parse_args(arguments)
    address = (chosen.host, chosen.port)
    try:
        if chosen.binary:
            reply = request_binary(address, (chosen.action + chosen.value).encode("utf-8"))
        else:
            reply = request(address, chosen.action, chosen.value)
    except (ClassicError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(reply.result if reply.is_json else repr(reply.content))
    return 0


if __name__ == "__main__":
    sys.exit(main())

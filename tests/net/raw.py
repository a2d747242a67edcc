"""Raw sockets against a server: bytes out, frames in, and what the end of the stream looks like.

What this file must not know: how the package reads and writes frames.
"""

import socket
from typing import Any

from letterhead import App, Limits
from tests.classic.client import Frame, receive_frame
from tests.leaks import PATIENCE
from tests.wire.frames import frame, json_frame


def connect(address: str) -> socket.socket:
    """A connected socket; every step on it gives up after `PATIENCE`."""
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(address.removeprefix("unix:"))
        return sock
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE)


def opening(id: int | None, action: str, value: Any = None, **fields: Any) -> bytes:
    """A request in classic form."""
    own = {} if id is None else {"id": id}
    return json_frame({"action": action, "value": value}, {**own, **fields})


def named(id: int, action: str, content: bytes = b"{}", **fields: Any) -> bytes:
    """A request by name."""
    return frame(
        {"action": action, "content-type": "text/json", "content-encoding": "utf-8", "id": id, **fields}, content
    )


def received(sock: socket.socket) -> Frame:
    """The next frame; an AssertionError at the end of the stream."""
    got = receive_frame(sock)
    assert got is not None, "the server closed the connection"
    return got


def all_received(sock: socket.socket) -> list[Frame]:
    """All frames up to the end of the stream."""
    frames = []
    while (got := receive_frame(sock)) is not None:
        frames.append(got)
    return frames


def code_of(got: Frame) -> str:
    """The error's code, which stands in the content of every error reply."""
    code: str = got.json()["error"]["code"]
    assert got.header.get("status", code) == code
    return code


def echo_app(limits: Limits | None = None) -> App:
    """An application with `echo`, `size` and `zeros`."""
    app = App("echo", limits=limits)

    @app.action
    async def echo(value: Any = None) -> Any:
        return value

    @app.action
    async def size(data: bytes) -> int:
        return len(data)

    @app.action
    async def zeros(count: int) -> bytes:
        return bytes(count)

    return app

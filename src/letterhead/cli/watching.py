"""``--verbose``: every frame of a connection, shown on stderr as it goes and comes.

``Watched`` stands between a client and its pipe, and cuts what passes in both directions into frames. Of a frame it
shows the header and the beginning of the content, as soon as those are there; of bytes that are no frame the beginning
of each piece. It keeps no more than that, however much passes.

It only looks: neither what it sees nor a stderr that nobody reads changes what happens on the connection. What belongs
to nobody else's eyes (``authorization``) is not shown.
"""

import contextlib
import time
from collections import deque
from collections.abc import Sequence

import click

from letterhead.cli.text import as_json, one_line
from letterhead.errors import BadFrame
from letterhead.limits import Limits
from letterhead.message import Buffer
from letterhead.transport.address import parse
from letterhead.transport.connect import connect
from letterhead.transport.wire import Received, Wire
from letterhead.wire.header import Header, Headers
from letterhead.wire.reader import Reader

_CONTENT_BYTES = 200
_HEADER_CHARACTERS = 2_000
_SECRET = "authorization"


def watched(server: str, timeout: float | None) -> "Watched":
    """Connect to ``server`` with its user looking on: the ``connector=`` of a ``Client``.

    Raises:
        ConnectionFailed: a subclass says why there is no connection.
    """
    began = time.perf_counter()
    wire = connect(parse(server), timeout, Limits())
    _say("*", f"connected to {server} in {(time.perf_counter() - began) * 1_000:.1f} ms")
    return Watched(wire)


class Watched:
    """A pipe whose frames are shown."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._going = Direction(">")
        self._coming = Direction("<")

    def send(self, pieces: Sequence[Buffer]) -> int:
        went = left = self._wire.send(pieces)
        for piece in pieces:
            if left <= 0:
                break
            self._going.saw(bytes(memoryview(piece)[:left]))
            left -= len(piece)
        return went

    def receive(self, inbox: "deque[Received]", view: memoryview | None, timeout: float | None) -> bool:
        if not self._wire.receive(inbox, view, timeout):
            return False
        came = inbox[-1]
        if not came:
            self._coming.ended()
        elif isinstance(came, bytes):
            self._coming.saw(came)
        elif isinstance(came, int) and view is not None:
            self._coming.saw(bytes(view[:came]))
        return True

    def wait(self, *, write: bool, read: bool, timeout: float | None) -> bool:
        return self._wire.wait(write=write, read=read, timeout=timeout)

    def shutdown(self) -> None:
        self._wire.shutdown()

    def close(self) -> None:
        self._wire.close()
        _say("*", "connection closed")


class Direction:
    """The bytes that go one way, cut into frames.

    Args:
        mark: what its lines begin with.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        limits = Limits()
        self._reader = Reader(limits, Headers(limits))
        self._foreign = False

    def saw(self, data: bytes) -> None:
        """These bytes passed."""
        if self._foreign:
            self._show_foreign(data)
            return
        self._reader.feed(data)
        try:
            while (header := self._reader.header or self._reader.read_header()) is not None:
                beginning = min(header.shape.length, _CONTENT_BYTES)
                if self._reader.arrived < beginning:
                    return
                self._show(header, self._reader.first_bytes(beginning))
                self._reader.skip_content()
        except BadFrame as error:
            self._foreign = True
            _say(self._mark, f"no frame: {error.message}")
            self._show_foreign(data)

    def ended(self) -> None:
        """Nothing more passes."""
        within = ", within a frame" if self._reader.midway and not self._foreign else ""
        _say(self._mark, f"end of the stream{within}")

    def _show(self, header: Header, beginning: bytes) -> None:
        length = header.shape.length
        fields = header.fields
        if _SECRET in fields:
            fields[_SECRET] = "(not shown)"
        _say(self._mark, f"{header.frame_size:,} bytes: {one_line(as_json(fields, 0), _HEADER_CHARACTERS)}")
        if length:
            more = "…" if length > len(beginning) else ""
            _say(self._mark, f"    content, {length:,} bytes: {_shown(beginning)}{more}")

    def _show_foreign(self, data: bytes) -> None:
        more = "…" if len(data) > _CONTENT_BYTES else ""
        _say(self._mark, f"{len(data):,} bytes that are no frame: {_shown(data[:_CONTENT_BYTES])}{more}")


def _shown(data: bytes) -> str:
    return one_line(data.decode("utf-8", "backslashreplace"), _CONTENT_BYTES * 4)


def _say(mark: str, sentence: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads stderr: no reason for the call to fail
        click.echo(f"{mark} {sentence}", err=True)

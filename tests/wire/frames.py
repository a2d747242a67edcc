"""Frames as bytes, and bytes cut into pieces, for the tests of the layers without sockets.

What lives here: a writer and a reader of frames made of json and struct alone, and the ways in which bytes arrive.
What this file must not know: how the package reads and writes frames.
"""

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, NamedTuple

import pytest

BARE: dict[str, Any] = {
    "byteorder": "little",
    "content-type": "application/octet-stream",
    "content-encoding": "binary",
}


def header_bytes(fields: Mapping[str, Any] | None = None, length: int = 0, without: Sequence[str] = ()) -> bytes:
    """A sound header, with fields added, replaced or left out. ``id`` stands last, as the package writes it."""
    header = {**BARE, "content-length": length, **(fields or {})}
    for name in without:
        del header[name]
    if "id" in header:
        header["id"] = header.pop("id")
    return json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()


def framed(header: bytes, content: bytes = b"") -> bytes:
    """Header bytes, whatever they are, with their length in front and content behind."""
    return struct.pack(">H", len(header)) + header + content


def frame(fields: Mapping[str, Any] | None = None, content: bytes = b"", without: Sequence[str] = ()) -> bytes:
    """A whole frame."""
    return framed(header_bytes(fields, len(content), without), content)


def json_frame(value: Any, fields: Mapping[str, Any] | None = None) -> bytes:
    """A whole frame that holds a JSON value."""
    content = json.dumps(value).encode()
    return frame({"content-type": "text/json", "content-encoding": "utf-8", **(fields or {})}, content)


class Frame(NamedTuple):
    """One frame as it was read back."""

    header: dict[str, Any]
    content: bytes

    @property
    def value(self) -> Any:
        """The content, read as JSON."""
        return json.loads(self.content)

    @property
    def id(self) -> Any:
        return self.header.get("id")

    @property
    def status(self) -> Any:
        return self.header.get("status")

    @property
    def code(self) -> Any:
        """The error code in the content, or None where there is no error."""
        return self.value.get("error", {}).get("code") if self.content.startswith(b"{") else None


def frames_of(data: bytes) -> list[Frame]:
    """The frames that bytes are, with nothing left over."""
    frames = []
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from(">H", data, at)
        content = at + 2 + size
        header = json.loads(data[at + 2 : content])
        at = content + header["content-length"]
        assert len(data) >= at, "the last frame is not whole"
        frames.append(Frame(header, data[content:at]))
    return frames


@dataclass(frozen=True)
class Cut:
    """A way in which bytes arrive: in pieces of these sizes, over and over, into large content's own buffer or not."""

    name: str
    sizes: tuple[int, ...]
    direct: bool

    def pieces(self, data: bytes) -> Iterator[bytes]:
        at = 0
        for size in cycle(self.sizes):
            if at >= len(data):
                return
            yield data[at : at + size]
            at += size

    def deliver(
        self,
        data: bytes,
        receive: Callable[[bytes], None],
        buffer: Callable[[], memoryview | None],
        filled: Callable[[int], None],
    ) -> None:
        """Hand over bytes as a pipe does that reads these sizes."""
        sizes = cycle(self.sizes)
        at = 0
        while at < len(data):
            piece = data[at : at + next(sizes)]
            own = buffer() if self.direct else None
            if own is None:
                receive(piece)
            else:
                piece = piece[: len(own)]
                own[: len(piece)] = piece
                filled(len(piece))
            at += len(piece)


WHOLE = Cut("whole", (1 << 30,), direct=False)
BYTES = Cut("byte by byte", (1,), direct=False)
ODD = Cut("odd sizes", (1, 2, 3, 5, 7, 111, 13, 997), direct=False)
READS = Cut("as event loops read", (65_536,), direct=True)
DIRECT_BYTES = Cut("byte by byte into the own buffer", (1,), direct=True)
DIRECT_ODD = Cut("odd sizes into the own buffer", (3, 65_536, 1, 40_009, 2), direct=True)
CUTS = (WHOLE, BYTES, ODD, READS)
LARGE_CUTS = (WHOLE, Cut("large odd pieces", (70_001, 1, 30_013), direct=False), READS, DIRECT_ODD)

each_cut = pytest.mark.parametrize("cut", CUTS, ids=[cut.name for cut in CUTS])
each_large_cut = pytest.mark.parametrize("cut", LARGE_CUTS, ids=[cut.name for cut in LARGE_CUTS])

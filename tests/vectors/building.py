"""How the generator puts frames and cases together.

What lives here: headers, frames, events, and the list that collects the cases of frames.json.
The rules: a header goes out exactly as it was given; nothing is decoded.
What this file must not know: any implementation of the protocol, and the cases.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any

from tests.vectors.notation import Case, parts_of

MIB = 1 << 20
BARE: dict[str, Any] = {
    "byteorder": "little",
    "content-length": 0,
    "content-type": "application/octet-stream",
    "content-encoding": "binary",
}


def fields(extra: Mapping[str, Any] | None = None, /, *, length: int = 0, without: str = "") -> dict[str, Any]:
    """A sound header with a field added, replaced or left out."""
    header = BARE | {"content-length": length} | dict(extra or {})
    header.pop(without, None)
    return header


def compact(header: Mapping[str, Any]) -> str:
    return json.dumps(header, ensure_ascii=False, separators=(",", ":"))


def framed(header: Mapping[str, Any] | str | bytes, content: bytes = b"") -> bytes:
    """The bytes of a frame; a header given as text or bytes goes out as it is spelled."""
    text = header if isinstance(header, str | bytes) else compact(header)
    encoded = text.encode("utf-8") if isinstance(text, str) else text
    return struct.pack(">H", len(encoded)) + encoded + content


def spelled(members: str, *, length: str = "0") -> str:
    """A header text whose last members are given as they are spelled."""
    start = f'{{"byteorder":"little","content-length":{length},"content-type":"application/octet-stream",'
    return start + '"content-encoding":"binary"' + (f",{members}}}" if members else "}")


def frame_event(header: Mapping[str, Any], content: bytes = b"") -> dict[str, Any]:
    return {"header": dict(header), "content": parts_of(content)}


def error_event(code: str, connection: str) -> dict[str, Any]:
    return {"error": code, "connection": connection}


NEXT = fields(length=4), b"next"


class Cases(list[Case]):
    """The cases of one file, in order; each method adds one kind."""

    def add(self, name: str, says: str, data: bytes, events: list[dict[str, Any]], choice: str = "") -> None:
        """Any case: bytes, and what comes of them."""
        noted = {"choice": choice} if choice else {}
        large = {"large": True} if len(data) >= MIB else {}
        self.append({"name": name, "says": says} | noted | large | {"bytes": parts_of(data), "events": events})

    def good(self, name: str, says: str, header: dict[str, Any], content: bytes = b"", choice: str = "") -> None:
        """One frame that is accepted, its header written compactly."""
        self.add(name, says, framed(header, content), [frame_event(header, content)], choice)

    def spelt(self, name: str, says: str, text: str | bytes, header: dict[str, Any], choice: str = "") -> None:
        """One frame without content that is accepted, its header written just so."""
        self.add(name, says, framed(text), [frame_event(header)], choice)

    def lost(self, name: str, says: str, data: bytes, choice: str = "") -> None:
        """Bytes after which the framing is lost."""
        self.add(name, says, data, [error_event("bad-frame", "closed")], choice)

    def skipped(
        self, name: str, says: str, header: Mapping[str, Any] | str, content: bytes = b"", choice: str = ""
    ) -> None:
        """A frame that is refused as bad-header; the frame behind it is read."""
        data = framed(header, content) + framed(*NEXT)
        self.add(name, says, data, [error_event("bad-header", "kept"), frame_event(*NEXT)], choice)

"""The notation of the vector files: bytes as parts, cases as lines, and how to read both back.

What lives here: what README.md beside it describes, in Python, for the generator, the tests of the data and
the runners that hold the data against an implementation.
The rules: reading needs the standard library alone; writing the same cases gives the same bytes.
What this file must not know: any implementation of the protocol.
"""

import json
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CONVERSATION_FILES = ("classic.json", "multiplexed.json")

Part = str | dict[str, Any]
Case = dict[str, Any]

LONG = 48

# Long runs of one byte, or of readable ASCII; what lies between them is shown in hexadecimal. A readable run
# does not begin with the second length byte of a frame, which may by chance be readable too.
_RUN = b"(?P<%%b>.)(?P=%%b){%d,}" % (LONG - 1)
_RUNS = re.compile(
    rb"(?P<run>" + _RUN % (b"unit", b"unit") + rb")"
    rb'|(?P<text>(?!.\{")[ -~]{3,}?(?=' + _RUN % (b"next", b"next") + rb"|[^ -~]|\Z))",
    re.DOTALL,
)


def bytes_of(parts: Iterable[Part]) -> bytes:
    """The bytes that a list of parts stands for. Raises ValueError for anything that is no part."""
    return b"".join(_bytes_of_part(part) for part in parts)


def _bytes_of_part(part: Part) -> bytes:
    match part:
        case str():
            return bytes.fromhex(part)
        case {"text": str(text)} if len(part) == 1 and text.isascii() and text.isprintable():
            return text.encode("ascii")
        case {"repeat": str(unit), "times": int(times)} if len(part) == 2 and times > 0:
            return bytes.fromhex(unit) * times
    raise ValueError(f"no part: {part!r}")


def parts_of(data: bytes) -> list[Part]:
    """Parts that stand for the bytes, readable where they are."""
    # Megabytes of one byte at the end, as the large cases have them, are no work for a pattern.
    tail = len(data) - len(data.rstrip(data[-1:]))
    if tail >= LONG:
        return [*parts_of(data[:-tail]), {"repeat": data[-1:].hex(), "times": tail}]
    parts: list[Part] = []
    done = 0
    for found in _RUNS.finditer(data):
        if found.start() > done:
            parts.append(data[done : found.start()].hex())
        if found["run"] is not None:
            parts.append({"repeat": found["unit"].hex(), "times": len(found["run"])})
        else:
            parts.append({"text": found["text"].decode("ascii")})
        done = found.end()
    if done < len(data):
        parts.append(data[done:].hex())
    return parts


def read_cases(file: str) -> list[Case]:
    """The cases of one vector file, in their order; of a conversation with all its steps."""
    document = json.loads((HERE / file).read_text(encoding="utf-8"))
    cases: list[Case] = document["cases"]
    for case in cases:
        if "after" in case:
            case["steps"] = document[case["after"]] + case["steps"]
    return cases


def sent_bytes(step: Mapping[str, Any]) -> bytes:
    """What the client puts on the wire in one step; nothing where it ends its sending side."""
    if "ends" in step:
        return b""
    if "bytes" in step:
        return bytes_of(step["bytes"])
    frame = step["frame"]
    content, kind, encoding = _content(frame.get("content", {"bytes": []}))
    header = {
        "byteorder": "little",
        "content-length": len(content),
        "content-type": kind,
        "content-encoding": encoding,
    } | frame.get("header", {})
    for field in frame.get("without", ()):
        del header[field]
    encoded = json.dumps(header, ensure_ascii=False).encode("utf-8")
    times: int = step.get("times", 1)
    return (struct.pack(">H", len(encoded)) + encoded + content) * times


def _content(content: Mapping[str, Any]) -> tuple[bytes, str, str]:
    match content:
        case {"json": value}:
            return json.dumps(value, ensure_ascii=False).encode("utf-8"), "text/json", "utf-8"
        case {"text": str(text)}:
            return text.encode("utf-8"), "text/plain", "utf-8"
        case {"bytes": list(parts)}:
            return bytes_of(parts), "application/octet-stream", "binary"
    raise ValueError(f"no content: {content!r}")


def written(about: Mapping[str, Any], cases: Sequence[Case]) -> str:
    """A vector file: one case a line; what cannot be seen on a screen is escaped."""
    lines = [f" {_line(key)}: {_line(value)}," for key, value in about.items()]
    rows = ",\n".join(f"  {_line(case)}" for case in cases)
    return "{\n" + "\n".join(lines) + '\n "cases": [\n' + rows + "\n ]\n}\n"


def _line(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in shown)


def shown(value: str | bytes) -> str:
    """A short, readable part for a case's name."""
    if isinstance(value, bytes):
        value = value.decode("ascii") if value.isascii() and value.decode("ascii").isprintable() else value.hex()
    return value if value.isprintable() and value else json.dumps(value)[1:-1] or "empty"

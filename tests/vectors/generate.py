"""Writes frames.json and contents.json anew: python -m tests.vectors.generate

What lives here: which cases go into which file, and what stands at its head.
The rules: the same sources give the same bytes; the conversations are written by hand and not touched.
What this file must not know: any implementation of the protocol.
"""

from tests.vectors.content_cases import content_cases
from tests.vectors.header_cases import header_cases
from tests.vectors.notation import HERE, written


def documents() -> dict[str, str]:
    """The text of each generated file by its name."""
    frames = {"format": "letterhead-frames/1", "about": "protocol section 1: what a server reads"}
    contents = {"format": "letterhead-contents/1", "about": "protocol section 3: what content is"}
    return {
        "frames.json": written(frames, header_cases()),
        "contents.json": written(contents, content_cases()),
    }


if __name__ == "__main__":
    for name, text in documents().items():
        (HERE / name).write_text(text, encoding="utf-8", newline="\n")

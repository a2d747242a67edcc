"""``Encoded``: a value as it goes on the wire, before there is a frame for it.

It knows no conversation: ids, ``more`` and ``status`` are added by whoever sends it.

Where the value goes is not known here.
"""

from typing import Any

from letterhead.message import Buffer


class Encoded:
    """Content with what its header says of it.

    Attributes:
        content_type: as it stands in the header.
        encoding: the content encoding.
        content: the bytes.
        fields: further header fields, or None.
    """

    __slots__ = ("content", "content_type", "encoding", "fields")

    def __init__(self, content_type: str, encoding: str, content: Buffer, fields: dict[str, Any] | None = None) -> None:
        self.content_type = content_type
        self.encoding = encoding
        self.content = content
        self.fields = fields

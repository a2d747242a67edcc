"""``Message``: one frame as a user sees it, header and content. No bytes of the wire, no decoding."""

from typing import Any

from letterhead.errors import UsageError

Buffer = bytes | bytearray | memoryview


class Message:
    """A frame's header (a dict of JSON values) and its content (bytes).

    To send one, give the content and what should stand in the header; the four required fields are filled in where
    missing (``application/octet-stream``, ``binary``)::

        reply = client.send(Message(b"\\x00\\x01", {"content-type": "binary/sensor", "x-unit": "mV"}))
        reply.header["content-type"], reply.content

    Attributes:
        header: the header's fields by their names on the wire.
        content: the content as it stands on the wire; ``letterhead.decode(message)`` gives its Python value.

    Raises:
        UsageError: the content is no bytes, or the header no dict.
    """

    __slots__ = ("content", "header")

    def __init__(self, content: Buffer = b"", header: dict[str, Any] | None = None) -> None:
        self.content = as_octets(content)
        if header is not None and not isinstance(header, dict):
            raise UsageError(f"a message's header is a dict, not {type(header).__name__}")
        self.header: dict[str, Any] = {} if header is None else header

    @property
    def type(self) -> str:
        """The content type in lower case without parameters, such as ``text/json``."""
        return media_type(self.header.get("content-type", "application/octet-stream"))

    @property
    def encoding(self) -> str:
        """The content encoding as the header names it, in lower case."""
        return str(self.header.get("content-encoding", "binary")).lower()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.header == other.header and bytes(self.content) == bytes(other.content)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"<Message {self.type} {len(self.content)} bytes>"


def as_octets(content: Buffer) -> Buffer:
    """The same bytes such that ``len`` counts bytes: a ``memoryview`` of wider items counts those.

    Raises:
        UsageError: they are no bytes.
    """
    if not isinstance(content, (bytes, bytearray, memoryview)):
        kind = type(content).__name__
        raise UsageError(
            f"a message's content is bytes, not {kind}: letterhead.encode(value) makes a message of a value"
        )
    if isinstance(content, memoryview) and (content.ndim != 1 or content.itemsize != 1 or not content.c_contiguous):
        return content.tobytes()
    return content


def media_type(content_type: str) -> str:
    """``Text/JSON; charset=x`` → ``text/json``: types are compared without case and parameters."""
    return content_type.partition(";")[0].strip().lower()

"""Items of streams as applications see them: the values of those that come, the content of those that go.

Nothing is decided here about when: who waits for them are the clients. Items of one stream mostly look
alike, so what was found out about the last header is remembered for the next.
"""

from typing import Any

from letterhead.client.calls import Call
from letterhead.content.encoded import Encoded
from letterhead.content.registry import encode_content
from letterhead.errors import BadContent, UsageError
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol import frames
from letterhead.protocol.exchange import reader_of
from letterhead.protocol.fields import NOT_FROM_SERVERS
from letterhead.protocol.flow import Item
from letterhead.wire import strict_json
from letterhead.wire.header import JSON_TYPES, Shape, too_large

_PLAIN = frozenset({"utf-8", "utf8", "binary"})


class Values:
    """The values of a call's items.

    Args:
        call: the call.
        returns: the type that each is converted to, or None.
        limits: bounds on their nesting.
    """

    __slots__ = ("_call", "_depth", "_limits", "_plain", "_read", "_returns")

    def __init__(self, call: Call[Any, Any], returns: Any, limits: Limits) -> None:
        self._call = call
        self._returns = returns
        self._limits = limits
        self._depth = limits.content_depth
        self._read = strict_json.decode if returns is None else reader_of(returns).read_json
        self._plain: Shape | None = None  # the last header, if it said JSON in UTF-8 and no more

    def value(self, item: Item) -> Any:
        """The value of one item.

        Raises:
            BadContent: it is not what its header says, or does not fit ``returns``.
            TooLarge: it is above the limits once it is decompressed.
        """
        header, content = item
        shape = header.shape
        if shape is self._plain:
            try:
                return self._read(content, self._depth)
            except ValueError:
                pass  # the long way finds the words for it
        elif shape.type in JSON_TYPES and shape.encoding in _PLAIN and shape.meaning.compression is None:
            self._plain = shape
        exchange = self._call.exchange
        if exchange is None:
            raise UsageError("this item is no call's")
        return exchange.value(header, content, self._returns, self._limits)


def encode_item(value: Any, limits: Limits) -> Encoded:
    """One item of an upload. A ``Message`` keeps its type and header fields.

    Raises:
        UsageError: it has no form on the wire, or its header names a field that is the connection's own.
        TooLarge: it is above the limits.
    """
    try:
        encoded = encode_content(value)
    except BadContent as error:
        raise UsageError(f"an item of the upload cannot be sent: {error}") from None
    if isinstance(value, Message):
        mine = sorted(NOT_FROM_SERVERS.intersection(value.header))
        if mine:
            raise UsageError(f"the header field {mine[0]!r} is no item's", field=mine[0])
        frames.check(encoded, limits)
    fault = too_large(encoded.content_type, len(encoded.content), limits)
    if fault is not None:
        raise fault
    return encoded

"""``TypeReader``: content as one Python type that somebody wants, such as a handler's parameter or ``returns=``.

Content is decoded once, whether it fits or not. JSON is decoded straight into the type: that is fast, and keeps what a
detour would lose (the digits of a ``Decimal``); where it does not fit, the rest is looked through without making values
of it, since what is no JSON is told first. Everything else becomes the value that its content type says, and that is
converted; msgpack, too, because nothing can look through its text without decoding it.

Which error a misfit is, the caller decides: an argument that does not fit is another failing than a result.

Where the content comes from is not known here, nor what the value is for.
"""

from typing import Any

import msgspec

from letterhead.content.json import as_utf8, check_json, no_json
from letterhead.content.ndarray import fitted
from letterhead.content.registry import decode_content
from letterhead.wire import strict_json
from letterhead.wire.collecting import MUCH, without_collecting
from letterhead.wire.header import JSON_TYPES, MSGPACK, Shape
from letterhead.wire.values import KEPT

_MISFITS = (msgspec.ValidationError, TypeError)  # the latter of a list in a set, and the like


class DoesNotFit(ValueError):
    """The content is sound, but its value is none of the wanted type; says why in one sentence."""


class TypeReader:
    """Reads content as one type.

    Args:
        kind: the type hint.

    Raises:
        TypeError: no content could become this type.
    """

    __slots__ = ("_json", "kind")

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        try:
            self._json = msgspec.json.Decoder(kind, dec_hook=fitted)
        except TypeError:
            raise
        except Exception as error:  # the hints of classes are evaluated, and may raise anything
            raise TypeError(f"a type hint cannot be resolved: {type(error).__name__}: {error}") from None

    def read(self, content: bytes, shape: Shape, max_depth: int) -> Any:
        """The value of content whose header has this shape.

        Raises:
            BadContent: the content is not what its header says.
            DoesNotFit: it is, but its value does not fit the type.
        """
        if shape.type in JSON_TYPES:
            return self.read_json(as_utf8(content, shape.encoding, shape.byteorder), max_depth)
        value = decode_content(content, shape, max_depth)
        if self.kind is Any:
            return value
        exact = KEPT if shape.type == MSGPACK else ()  # there text is no bytes: it has its own
        try:
            if len(content) < MUCH:
                return msgspec.convert(value, self.kind, builtin_types=exact, dec_hook=fitted)
            return without_collecting(msgspec.convert, value, self.kind, builtin_types=exact, dec_hook=fitted)
        except _MISFITS as error:
            raise DoesNotFit(str(error)) from None
        except (RecursionError, OverflowError, ValueError):
            raise DoesNotFit("it does not fit its type") from None

    def read_json(self, data: bytes, max_depth: int) -> Any:
        """The value of JSON in UTF-8.

        Raises:
            BadContent: it is no strict JSON, or nests deeper than ``max_depth``.
            DoesNotFit: its value does not fit the type.
        """
        try:
            value = strict_json.decode_as(self._json, data, max_depth)
            strict_json.check_unread(data, max_depth)
            return value
        except _MISFITS as error:
            check_json(data, max_depth)
            raise DoesNotFit(str(error)) from None
        except strict_json.NotJson as error:
            raise no_json(data, error) from None

    def read_part(self, part: msgspec.Raw, max_depth: int) -> Any:
        """The value of a part of JSON in UTF-8 that was looked through as ``strict_json.check_unread`` does.

        Raises:
            BadContent: a number in it is out of range.
            DoesNotFit: its value does not fit the type.
        """
        try:
            return strict_json.decode_as(self._json, part, max_depth)
        except _MISFITS as error:
            check_json(bytes(part), max_depth)
            raise DoesNotFit(str(error)) from None
        except strict_json.NotJson as error:
            raise no_json(bytes(part), error) from None

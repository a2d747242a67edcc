"""``TypeReader``: content as one Python type that somebody wants, such as a handler's parameter or ``returns=``.

JSON and msgpack are decoded straight into the type: that is fast, and keeps what a detour would lose (the digits of a
``Decimal``).
Everything else becomes the value that its content type says, and that is converted. Which error a misfit is, the caller
decides: an argument that does not fit is another failing than a result.
"""

from typing import Any

import msgspec

from letterhead.content.json import as_utf8, decode_json
from letterhead.content.msgpack import check_msgpack
from letterhead.content.ndarray import fitted
from letterhead.content.registry import decode_content
from letterhead.wire import strict_json
from letterhead.wire.header import JSON_TYPES, MSGPACK, Shape


class DoesNotFit(ValueError):
    """The content is sound, but its value is none of the wanted type; says why in one sentence."""


class TypeReader:
    """Reads content as one type.

    Raises:
        TypeError: no content could become this type.
    """

    __slots__ = ("_json", "_msgpack", "kind")

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self._json = msgspec.json.Decoder(kind, dec_hook=fitted)
        self._msgpack = msgspec.msgpack.Decoder(kind, dec_hook=fitted)

    def read(self, content: bytes, shape: Shape, max_depth: int) -> Any:
        """The value of content whose header has this shape.

        Raises:
            BadContent: the content is not what its header says.
            DoesNotFit: it is, but its value does not fit the type.
        """
        if shape.type in JSON_TYPES:
            return self.read_json(as_utf8(content, shape.encoding, shape.byteorder), max_depth)
        if shape.type == MSGPACK:
            return self._read_msgpack(content, shape, max_depth)
        return self.convert(decode_content(content, shape, max_depth))

    def read_json(self, data: bytes, max_depth: int) -> Any:
        """The value of JSON in UTF-8.

        Raises:
            BadContent: it is no strict JSON, or nests deeper than ``max_depth``.
            DoesNotFit: its value does not fit the type.
        """
        try:
            value = self._json.decode(data)
            check_unseen(data, max_depth)
            return value
        except msgspec.ValidationError as error:
            decode_json(data, "utf-8", "little", max_depth)  # what is no JSON is told first
            raise DoesNotFit(str(error)) from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, strict_json.NotJson):
            return self.convert(decode_json(data, "utf-8", "little", max_depth))

    def _read_msgpack(self, content: bytes, shape: Shape, max_depth: int) -> Any:
        check_msgpack(content, shape.encoding, max_depth)
        try:
            return self._msgpack.decode(content)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            decode_content(content, shape, max_depth)
            raise DoesNotFit(str(error)) from None

    def convert(self, value: Any) -> Any:
        """A decoded value as the type.

        Raises:
            DoesNotFit: it does not fit.
        """
        return converted(value, self.kind)


def converted(value: Any, kind: Any, str_keys: bool = False) -> Any:
    """A decoded value as a type; ``str_keys``: the keys of its objects are text that may stand for numbers.

    Raises:
        DoesNotFit: it does not fit.
    """
    if kind is Any:
        return value
    try:
        return msgspec.convert(value, kind, str_keys=str_keys, dec_hook=fitted)
    except msgspec.ValidationError as error:
        raise DoesNotFit(str(error)) from None
    except (RecursionError, OverflowError, ValueError):
        raise DoesNotFit("it does not fit its type") from None


def check_unseen(data: bytes, max_depth: int) -> None:
    """Refuse what a decoder read past without a look, since its type has no such field: deep nesting, bad text.

    Raises:
        UnicodeDecodeError, strict_json.NotJson: it is no strict JSON, or nests deeper than ``max_depth``.
    """
    if len(data) > max_depth:  # each level takes a byte
        strict_json.check_depth(data, max_depth)
    if not data.isascii():
        data.decode()

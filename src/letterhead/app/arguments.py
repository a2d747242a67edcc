"""A handler's parameters: from the content of a request to keyword arguments, checked against the type hints.

JSON is looked through once, to be split into arguments, which takes a small part of the time that decoding takes. Then
each argument is decoded straight into the type of its parameter; the error can name the one that does not fit. That is
the same wherever the arguments stand (protocol section 4).

What is no JSON object is the unnamed argument: another JSON value, bytes, an array, a value in msgpack. It becomes the
type of its parameter as an item of a stream does (``ItemType``).

What the arguments are for is not known here, nor where the handler runs.
"""

import inspect
from collections.abc import Callable
from typing import Any

import msgspec

from letterhead.app.hints import Streamed, hints_of, is_final, parameters_of, streamed_parameter, streamed_result, told
from letterhead.content.json import as_utf8, check_json, no_json
from letterhead.content.ndarray import array_type_in, is_array_type
from letterhead.content.typed import DoesNotFit, TypeReader
from letterhead.errors import InvalidArgument, UsageError, escaped
from letterhead.protocol.requests import Request
from letterhead.wire import strict_json
from letterhead.wire.header import JSON_TYPES, Shape

_named = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TAKEN = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Parameters:
    """What an action takes.

    Attributes:
        types: parameter name → type, in order, but for ``upload``.
        required: names without a default.
        defaults: the other names and their defaults.
        returns: the annotated result type, or Any; of a stream the type of its items.
        streams: what the result is a stream of, or None.
        upload: the parameter that receives a stream, or None.
        single: the parameter that an argument without a name is for; None where there is none, or others are needed.
    """

    def __init__(self, function: Callable[..., Any], action: str) -> None:
        self.action = action
        self.types: dict[str, Any] = {}
        self.required: list[str] = []
        self.defaults: dict[str, Any] = {}
        hints = hints_of(function, f"action {action!r}")
        self.returns: Any = hints.get("return", Any)
        self.streams: Streamed | None = streamed_result(function, self.returns)
        if self.streams is not None:
            self.returns = self.streams.item
        self.upload: Upload | None = None
        for parameter in parameters_of(function, f"action {action!r}"):
            name = parameter.name
            if parameter.kind not in _TAKEN:
                raise UsageError(f"action {action!r}: parameter {name!r} must be an ordinary one that can be named")
            what = f"action {action!r}: parameter {name!r}"
            stream = streamed_parameter(hints.get(name, Any), what)
            if stream is not None:
                self._take_upload(name, stream, parameter, what)
                continue
            self.types[name] = _checked(hints.get(name, Any), what)
            if parameter.default is inspect.Parameter.empty:
                self.required.append(name)
            else:
                self.defaults[name] = parameter.default
        self._readers = {name: ItemType(kind, f"argument '{name}'", name) for name, kind in self.types.items()}
        self.single: str | None = None
        if self.types:
            first = next(iter(self.types))
            self.single = first if set(self.required) <= {first} else None
        for name, kind in self.types.items():
            if name != self.single and array_type_in(kind) is not None:
                raise UsageError(
                    f"action {action!r}: parameter {name!r} is an array, which comes as the single unnamed argument: "
                    "put it first, and give the others defaults"
                )

    def _take_upload(self, name: str, stream: Streamed, parameter: inspect.Parameter, what: str) -> None:
        if self.upload is not None:
            raise UsageError(f"{what} is a stream, and {self.upload.name!r} is one: an action receives one stream")
        if parameter.default is not inspect.Parameter.empty:
            raise UsageError(f"{what} is a stream, which has no default: leave it out")
        _checked(stream.item, f"{what}: its item type")
        self.upload = Upload(name, stream, ItemType(stream.item, f"an item of '{name}'", name))

    def bind(self, request: Request, max_depth: int) -> dict[str, Any]:
        """The keyword arguments for the handler, but for ``upload``.

        Raises:
            BadContent: the content is not what its header says.
            InvalidArgument: an argument is missing, unknown, or does not fit its type; the message names it.
        """
        shape = request.header.shape
        if shape.type not in JSON_TYPES:
            name = self._only()
            return {name: self._readers[name].decode(shape, request.content, max_depth)}
        if request.named:
            data = as_utf8(request.content, shape.encoding, shape.byteorder)
        else:
            data = request.classic_value()
            if data == b"null":
                data = b"{}"
        try:
            parts = strict_json.decode_as(_named, data, max_depth)
            strict_json.check_unread(data, max_depth)
        except msgspec.ValidationError:  # no object
            return self._bind_unnamed(data, max_depth)
        except strict_json.NotJson as error:
            raise no_json(data, error) from None
        if not parts.keys() <= self.types.keys():
            raise self._unknown(next(name for name in parts if name not in self.types))
        for name in self.required:
            if name not in parts:
                raise InvalidArgument(f"{self.action} needs the argument '{name}'", argument=name)
        return {name: self._readers[name].decode_part(part, max_depth) for name, part in parts.items()}

    def _bind_unnamed(self, data: bytes, max_depth: int) -> dict[str, Any]:
        if self.single is None:
            check_json(data, max_depth)  # what is no JSON is told first
        name = self._only()
        return {name: self._readers[name].decode_json(data, max_depth)}

    def _unknown(self, name: str) -> InvalidArgument:
        """The refusal of an argument that there is no parameter for."""
        if self.upload is not None and name == self.upload.name:
            return self.upload.missing()
        takes = ", ".join(self.types) or "no arguments"
        shown = escaped(name)
        return InvalidArgument(f"{self.action} has no argument '{shown}'; it takes {takes}", argument=shown)

    def _only(self) -> str:
        """The parameter that an unnamed argument is for."""
        if not self.types:
            raise InvalidArgument(f"{self.action} takes no arguments")
        if self.single is None:
            missing = next(name for name in self.required if name != next(iter(self.types)))
            raise InvalidArgument(f"{self.action} needs the argument '{missing}', too", argument=missing)
        return self.single


class Upload:
    """The parameter that receives a stream.

    Attributes:
        name: the parameter's name.
        stream: of what, and how it is read.
        item: the type of its items.
    """

    __slots__ = ("item", "name", "stream")

    def __init__(self, name: str, stream: Streamed, item: "ItemType") -> None:
        self.name = name
        self.stream = stream
        self.item = item

    def missing(self) -> InvalidArgument:
        """The refusal of a request that brings something else for it, or nothing."""
        return InvalidArgument(
            f"argument '{self.name}' is a stream: pass an iterator, such as iter([...])", argument=self.name
        )


class ItemType:
    """The type of one value that comes by itself: the single argument without a name, or an item of a stream.

    Args:
        kind: the type hint.
        what: what such a value is, for messages: ``argument 'size'``, ``item of 'rows'``.
        argument: the parameter that it is for, as a fact of the error.

    Raises:
        UsageError: no content could become this type.
    """

    __slots__ = ("_facts", "_reader", "_what")

    def __init__(self, kind: Any, what: str, argument: str | None = None) -> None:
        self._what = what
        self._facts = {} if argument is None else {"argument": argument}
        try:
            self._reader = TypeReader(kind)
        except TypeError as error:
            raise UsageError(f"{what} cannot be checked: {error}") from None

    def decode(self, shape: Shape, content: bytes, max_depth: int) -> Any:
        """The value of content whose header has this shape.

        Raises:
            BadContent: the content is not what its header says.
            InvalidArgument: it is, but its value does not fit the type.
        """
        try:
            return self._reader.read(content, shape, max_depth)
        except DoesNotFit as error:
            raise self._refusal(error) from None

    def decode_json(self, data: bytes, max_depth: int) -> Any:
        """The value of JSON in UTF-8; raises as ``decode`` does."""
        try:
            return self._reader.read_json(data, max_depth)
        except DoesNotFit as error:
            raise self._refusal(error) from None

    def decode_part(self, part: msgspec.Raw, max_depth: int) -> Any:
        """The value of a part of JSON in UTF-8 that was looked through; raises as ``decode`` does."""
        try:
            return self._reader.read_part(part, max_depth)
        except DoesNotFit as error:
            raise self._refusal(error) from None

    def _refusal(self, error: DoesNotFit) -> InvalidArgument:
        return InvalidArgument(f"{self._what}: {error}", **self._facts)


def _checked(kind: Any, what: str) -> Any:
    """A type that msgspec can check, or an error at once rather than at the first call."""
    if kind is object:
        return Any
    if is_final(kind):
        raise UsageError(f"{what} is Final, which is for variables and attributes: annotate the type alone")
    try:
        info = msgspec.inspect.type_info(kind)
    except Exception as error:  # of classes it evaluates the hints
        raise UsageError(f"{what} cannot be checked: {told(error)}") from None
    if isinstance(info, msgspec.inspect.CustomType) and not is_array_type(kind):
        raise UsageError(
            f"{what} has the type {kind!r}, which no content becomes: use builtin types, dataclasses, "
            "msgspec.Struct, enums, datetimes or unions of them, or numpy.ndarray"
        )
    return kind

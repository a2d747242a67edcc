"""A handler's parameters: from the content of a request to keyword arguments, checked against the type hints.

JSON is decoded straight into a Struct that mirrors the signature, or into the type of the one parameter that an unnamed
argument is for; wherever the arguments stand (protocol section 4), so that they come out the same. Where that fails the
JSON is decoded by itself and converted argument by argument, so that the error can name the one that does not fit.

What is no JSON is the unnamed argument: bytes, an array, a value in msgpack. It becomes the type of its parameter as an
item of a stream does (``ItemType``).
"""

import inspect
import typing
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from letterhead.app.hints import Streamed, streamed_parameter, streamed_result
from letterhead.content.json import as_utf8, decode_json
from letterhead.content.ndarray import array_type_in, fitted, is_array_type
from letterhead.content.typed import DoesNotFit, TypeReader, check_unseen, converted
from letterhead.errors import InvalidArgument, UsageError, escaped
from letterhead.protocol.requests import Request
from letterhead.wire import strict_json
from letterhead.wire.header import JSON_TYPES, Shape

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
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except (NameError, SyntaxError, TypeError) as error:
            raise UsageError(f"action {action!r}: a type hint cannot be resolved: {error}") from None
        self.returns: Any = hints.get("return", Any)
        self.streams: Streamed | None = streamed_result(function, self.returns)
        if self.streams is not None:
            self.returns = self.streams.item
        self.upload: Upload | None = None
        for name, parameter in inspect.signature(function).parameters.items():
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
        self._names = tuple(self.types)
        self._optional = len(self.required) < len(self.types)
        fields = [
            (name, kind) if name in self.required else (name, typing.Union[kind, UnsetType], UNSET)  # noqa: UP007  # of any kind of type
            for name, kind in self.types.items()
        ]
        try:
            struct = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
            self._decoder = msgspec.json.Decoder(struct, dec_hook=fitted)
        except TypeError as error:
            raise UsageError(f"action {action!r}: its type hints cannot be checked: {error}") from None
        self._first = ItemType(Any, "")
        self.single: str | None = None
        if self._names:
            first = self._names[0]
            self._first = ItemType(self.types[first], f"argument '{first}'", first)
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
            return {self._only(): self._first.decode(shape, request.content, max_depth)}
        data = as_utf8(request.content, shape.encoding, shape.byteorder)
        if not request.named:
            data = request.classic_value(data)
        try:
            arguments = msgspec.structs.asdict(self._decoder.decode(data))
            check_unseen(data, max_depth)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, strict_json.NotJson):
            value = decode_json(data, "utf-8", shape.byteorder, max_depth)
            if isinstance(value, dict):
                return self._convert(value)
            return {self._only(): self._first.decode_json(data, max_depth)}
        if self._optional:
            return {name: value for name, value in arguments.items() if value is not UNSET}
        return arguments

    def _convert(self, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if self.upload is not None and name == self.upload.name:
                raise self.upload.missing()
            if name not in self.types:
                takes = ", ".join(self.types) or "no arguments"
                raise InvalidArgument(
                    f"{self.action} has no argument '{escaped(name)}'; it takes {takes}", argument=escaped(name)
                )
        for name in self.required:
            if name not in value:
                raise InvalidArgument(f"{self.action} needs the argument '{name}'", argument=name)
        return {name: self._fit(name, item) for name, item in value.items()}

    def _only(self) -> str:
        """The parameter that an unnamed argument is for."""
        if not self._names:
            raise InvalidArgument(f"{self.action} takes no arguments")
        if self.single is None:
            missing = next(name for name in self.required if name != self._names[0])
            raise InvalidArgument(f"{self.action} needs the argument '{missing}', too", argument=missing)
        return self.single

    def _fit(self, name: str, value: Any) -> Any:
        try:
            return converted(value, self.types[name], str_keys=True)
        except DoesNotFit as error:
            raise InvalidArgument(f"argument '{name}': {error}", argument=name) from None


class Upload:
    """The parameter that receives a stream.

    Attributes:
        name: its name.
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

    def _refusal(self, error: DoesNotFit) -> InvalidArgument:
        return InvalidArgument(f"{self._what}: {error}", **self._facts)


def _checked(kind: Any, what: str) -> Any:
    """A type that msgspec can check, or an error at once rather than at the first call."""
    if kind is object:
        return Any
    try:
        info = msgspec.inspect.type_info(kind)
    except TypeError as error:
        raise UsageError(f"{what} cannot be checked: {error}") from None
    if isinstance(info, msgspec.inspect.CustomType) and not is_array_type(kind):
        raise UsageError(
            f"{what} has the type {kind!r}, which no content becomes: use builtin types, dataclasses, "
            "msgspec.Struct, enums, datetimes or unions of them, or numpy.ndarray"
        )
    return kind

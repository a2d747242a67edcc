"""``binary/ndarray``: numpy's arrays, in C order, with ``dtype`` and ``shape`` in the header.

numpy is an extra (``array``) and imported only to read an array. Nobody can have one to send, or name its type in a
hint, who did not import it; so nothing else here does.

* A name of a dtype from the wire is looked up in a fixed list and never given to numpy, whose own syntax of names is a
  language.
* What is read is a read-only view of the bytes that came, without a copy; in a foreign byte order it is one copy.
* What is sent must not change afterwards. An array goes without a copy where nobody can write to its memory, neither
  through it nor through what it is a view of; else it is copied once.

Where the content comes from is not known here. numpy is imported only when it is used.
"""

import math
import sys
import typing
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType, UnionType
from typing import Any

from letterhead.content.encoded import Encoded
from letterhead.errors import BadContent, escaped
from letterhead.message import Buffer
from letterhead.wire.header import Shape
from letterhead.wire.writer import NATIVE

NDARRAY = "binary/ndarray"
_SIZES = {
    "bool": 1,
    "int8": 1, "int16": 2, "int32": 4, "int64": 8,
    "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8,
    "float16": 2, "float32": 4, "float64": 8,
    "complex64": 8, "complex128": 16,
}  # fmt: skip
"""Every dtype there is on the wire, and the bytes of one item."""
_ALIAS: Any = getattr(typing, "TypeAliasType", ())  # there are none before Python 3.12
_MOST_DIMENSIONS = 64
_MOST_BYTES = 2**63 - 1


def is_array(value: object) -> bool:
    """Whether a value is a ``numpy.ndarray``."""
    numpy = sys.modules.get("numpy")
    kind = getattr(numpy, "ndarray", None)  # None while another thread imports it
    return kind is not None and isinstance(value, kind)


@lru_cache(maxsize=1)
def readable() -> bool:
    """Whether arrays can be read here: numpy is installed."""
    return find_spec("numpy") is not None


def decode_array(content: bytes, shape: Shape) -> Any:
    """The array that content is; read-only.

    Raises:
        BadContent: ``dtype`` or ``shape`` is missing or not what it should be, the sizes do not agree, or the encoding
            is not ``binary``; or there is no numpy here.
    """
    _check_encoding(shape.encoding)
    name = _dtype(shape.fields)
    dimensions = _dimensions(shape.fields)
    size = _SIZES[name]
    wanted = math.prod(dimensions) * size
    if wanted != len(content):
        shown = f"{wanted} bytes" if wanted <= _MOST_BYTES else "more bytes than there can be"
        raise BadContent(f"by 'dtype' and 'shape' the array has {shown}; the content has {len(content)}")
    if math.prod(filter(None, dimensions)) * size > _MOST_BYTES:  # some of them, with a 0 beside them
        raise BadContent("the dimensions in 'shape' are too large", field="shape")
    numpy = _numpy()
    dtype = numpy.dtype(name)
    if shape.byteorder != NATIVE and size > 1:
        array = numpy.ndarray(dimensions, dtype.newbyteorder(), content).astype(dtype)
        array.flags.writeable = False  # as the view is
        return array
    array = numpy.ndarray(dimensions, dtype, content)
    if name == "bool" and array.view(numpy.uint8).max(initial=0) > 1:  # numpy reckons with nothing else
        raise BadContent("an item of a bool array is 0 or 1")
    return array


def _numpy() -> ModuleType:
    try:
        import numpy
    except ImportError:
        raise BadContent(
            "an array cannot be read here without numpy: install Letterhead with its extra array "
            "(add [array] to what pip installs it from)"
        ) from None
    return numpy


def _check_encoding(encoding: str) -> None:
    if encoding != "binary":
        raise BadContent(f"an array has the encoding 'binary', not '{escaped(encoding)}'")


def _dtype(fields: dict[str, Any]) -> str:
    name = fields.get("dtype")
    if not isinstance(name, str):
        raise BadContent("the header of an array names its 'dtype', a string", field="dtype")
    if name not in _SIZES:
        raise BadContent(f"unknown dtype '{escaped(name)}': there are {', '.join(_SIZES)}", field="dtype")
    return name


def _dimensions(fields: dict[str, Any]) -> tuple[int, ...]:
    dimensions = fields.get("shape")
    if not isinstance(dimensions, list) or not all(type(n) is int and 0 <= n <= _MOST_BYTES for n in dimensions):
        raise BadContent("the header of an array has its 'shape', a list of integers from 0", field="shape")
    if len(dimensions) > _MOST_DIMENSIONS:
        raise BadContent(f"an array has at most {_MOST_DIMENSIONS} dimensions, not {len(dimensions)}", field="shape")
    return tuple(dimensions)


def encode_array(array: Any, content_type: str = NDARRAY, encoding: str = "binary") -> Encoded:
    """An array as it goes on the wire, in its own byte order.

    Raises:
        BadContent: it is no array, its items have no form on the wire (objects, text, times, structures, long doubles),
            it is masked, or another encoding than ``binary``.
    """
    _check_encoding(encoding)
    if not is_array(array):
        raise BadContent(f"{NDARRAY} content is a numpy.ndarray, not {type(array).__name__}")
    dtype = array.dtype
    if _SIZES.get(dtype.name) != dtype.itemsize:
        raise BadContent(f"an array of {dtype.name} cannot be sent: there are {', '.join(_SIZES)} ({_instead(dtype)})")
    masked = sys.modules.get("numpy.ma")
    if masked is not None and isinstance(array, masked.MaskedArray):
        raise BadContent("a masked array cannot be sent with its mask: fill it (array.filled(value))")
    fields: dict[str, Any] = {"dtype": dtype.name, "shape": list(array.shape)}
    if not dtype.isnative:
        fields["byteorder"] = "big" if NATIVE == "little" else "little"
    return Encoded(content_type, encoding, _bytes_of(array), fields)


def _instead(dtype: Any) -> str:
    """What to send instead of an array of items that have no form on the wire."""
    if dtype.kind in "mM":
        return "array.astype('int64') makes numbers of times; say by a header field of a Message what they count"
    if dtype.kind in "fc":
        return f"array.astype('{'float64' if dtype.kind == 'f' else 'complex128'}') rounds"
    return "array.astype converts, array.tolist() makes a list"


def _bytes_of(array: Any) -> Buffer:
    if not array.flags.c_contiguous or not _is_constant(array):
        copied: bytes = array.tobytes()
        return copied
    numpy = sys.modules["numpy"]
    view: memoryview = numpy.asarray(array).reshape(-1).view(numpy.uint8).data
    return view


def _is_constant(array: Any) -> bool:
    """Whether nobody can write to an array's memory: all it is a view of is read-only, down to who owns the memory."""
    below = array
    while is_array(below):
        array = below
        if array.flags.writeable:
            return False
        below = array.base
    if isinstance(below, memoryview):
        below = below.obj  # of a view of bytes; a read-only view of anything else says nothing
    return isinstance(below, bytes) or (below is None and array.flags.owndata)


def is_array_type(kind: object) -> bool:
    """Whether a type hint is ``numpy.ndarray`` or ``numpy.typing.NDArray[…]``."""
    numpy = sys.modules.get("numpy")
    array = getattr(numpy, "ndarray", None)
    kind = _unfolded(kind)
    return array is not None and (typing.get_origin(kind) or kind) is array


def _unfolded(kind: Any) -> Any:
    """A type hint, where it is an alias what that stands for: ``NDArray`` is one from numpy 2.5 on."""
    while isinstance(alias := typing.get_origin(kind) or kind, _ALIAS):
        arguments = typing.get_args(kind)
        kind = alias.__value__[arguments] if arguments else alias.__value__
    return kind


def array_type_in(kind: object) -> Any:
    """The array type that a hint is or, with ``None`` beside it, holds; else None."""
    kind = _unfolded(kind)
    either = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, UnionType) else (kind,)
    return next(filter(is_array_type, either), None)


def dtype_of_type(kind: object) -> str | None:
    """The dtype that an array type names, such as ``float64``; None where it takes several."""
    items = _items(kind)
    numpy = sys.modules["numpy"]
    return next((name for name in _SIZES if numpy.dtype(name).type is items), None)


def fitted(kind: Any, value: Any) -> Any:
    """What msgspec makes of a value for a type that it does not know: an array for an array type.

    Raises:
        TypeError: the value is none, or its items or dimensions are not what the type says.
    """
    kind = _unfolded(kind)
    if not is_array_type(kind):
        origin = typing.get_origin(kind) or kind
        if isinstance(value, origin):
            return value
        raise TypeError(f"Expected `{origin.__name__}`, got `{type(value).__name__}`")
    if not is_array(value):
        raise TypeError(f"Expected an array ({NDARRAY}), got `{type(value).__name__}`")
    items, dimensions = _items(kind), _hinted_dimensions(kind)
    if items is not None and not issubclass(value.dtype.type, items):
        wanted = dtype_of_type(kind) or getattr(items, "__name__", items)
        raise TypeError(f"Expected an array of {wanted}, got one of {value.dtype.name}")
    if dimensions is not None and value.ndim != dimensions:
        raise TypeError(f"Expected an array of {dimensions} dimensions, got one of {value.ndim}")
    return value


def _items(kind: object) -> Any:
    """The class, or union of classes, that an array type says its items are; None where it takes any."""
    _, dtype = typing.get_args(_unfolded(kind)) or (None, None)
    (items,) = typing.get_args(dtype) or (None,)
    return None if items is Any or isinstance(items, typing.TypeVar) else items


def _hinted_dimensions(kind: object) -> int | None:
    """How many dimensions an array type says, as ``numpy.ndarray[tuple[int, int], …]`` does; None where any will do."""
    shape, _ = map(_unfolded, typing.get_args(_unfolded(kind)) or (None, None))
    sizes = typing.get_args(shape)
    return None if typing.get_origin(shape) is not tuple or Ellipsis in sizes else len(sizes)

"""Arrays: what comes back, without which copies, and what is refused."""

import contextlib
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from letterhead.content import ndarray
from letterhead.content.ndarray import decode_array, dtype_of_type, encode_array, fitted, is_array_type
from letterhead.errors import BadContent
from letterhead.limits import Limits
from letterhead.wire.header import Shape
from letterhead.wire.writer import NATIVE

MIB = 1 << 20
ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
FOREIGN = "big" if NATIVE == "little" else "little"
DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip
any_array = arrays.arrays(
    st.sampled_from([np.dtype(name).newbyteorder(order) for name in DTYPES for order in ORDERS]),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
)


@pytest.fixture
def without_numpy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the package were not installed."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    ndarray.readable.cache_clear()
    yield
    ndarray.readable.cache_clear()


def shape_of(fields: dict[str, Any], byteorder: str = NATIVE, encoding: str = "binary") -> Shape:
    required = {"byteorder": byteorder, "content-type": "binary/ndarray", "content-encoding": encoding}
    return Shape({**required, **fields}, 0, Limits())


def decode(content: bytes, dtype: Any, shape: Any, byteorder: str = NATIVE) -> Any:
    return decode_array(content, shape_of({"dtype": dtype, "shape": shape}, byteorder))


def back(array: NDArray[Any]) -> NDArray[Any]:
    """What the other side makes of an array."""
    encoded = encode_array(array)
    fields = dict(encoded.fields or {})
    got: NDArray[Any] = decode_array(bytes(encoded.content), shape_of(fields, fields.get("byteorder", NATIVE)))
    return got


def peak(work: Callable[[], object]) -> int:
    """Bytes that it takes at most at one time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# there and back


@pytest.mark.smoke
@settings(deadline=None)
@given(any_array)
def test_an_array_comes_back(array: NDArray[Any]) -> None:
    got = back(array)
    assert got.dtype == array.dtype.newbyteorder("=")
    assert got.shape == array.shape
    assert got.tobytes() == array.astype(got.dtype).tobytes()


@settings(deadline=None)
@given(any_array, st.data())
def test_a_part_of_an_array_comes_back(array: NDArray[Any], data: st.DataObject) -> None:
    part = array[data.draw(arrays.basic_indices(array.shape, allow_ellipsis=True))]
    if isinstance(part, np.ndarray):  # else a single item
        for view in (part, part.T):
            got = back(view)
            assert got.shape == view.shape
            assert got.tobytes() == view.astype(got.dtype).tobytes()


@pytest.mark.parametrize("name", DTYPES)
def test_the_header_names_the_dtype_without_its_byte_order(name: str) -> None:
    for order in ORDERS:
        encoded = encode_array(np.zeros((2, 0, 3), np.dtype(name).newbyteorder(order)))
        assert encoded.fields is not None
        assert (encoded.fields["dtype"], encoded.fields["shape"]) == (name, [2, 0, 3])
        assert (encoded.content_type, encoded.encoding) == ("binary/ndarray", "binary")


def test_an_array_without_dimensions_stays_one() -> None:
    got = back(np.array(1.5))
    assert type(got) is np.ndarray
    assert got.shape == ()
    assert got == 1.5


def test_a_subclass_goes_as_a_plain_array() -> None:
    with pytest.warns(PendingDeprecationWarning):
        matrix = np.matrix([[1, 2], [3, 4]])
    matrix.flags.writeable = False
    got = back(matrix)
    assert type(got) is np.ndarray
    assert got.tolist() == [[1, 2], [3, 4]]


def test_64_dimensions_come_back() -> None:
    assert back(np.ones((1,) * 64, "int8")).ndim == 64


# byte order


@pytest.mark.parametrize("name", DTYPES)
def test_an_array_of_either_byte_order_is_read_in_the_native_one(name: str) -> None:
    values = np.array([0, 1, 1, 0] if name == "bool" else [0, 1, 100, 7], name)
    for order in ORDERS:
        content = values.astype(values.dtype.newbyteorder(order)).tobytes()
        got = decode(content, name, [2, 2], order)
        assert got.dtype == np.dtype(name)
        assert got.dtype.isnative
        assert got.tolist() == values.reshape(2, 2).tolist()


def test_a_foreign_array_is_sent_in_its_own_order_and_says_so() -> None:
    encoded = encode_array(np.array([1, 2], np.dtype("int16").newbyteorder()))
    assert encoded.fields == {"dtype": "int16", "shape": [2], "byteorder": FOREIGN}
    assert bytes(encoded.content) == (b"\x00\x01\x00\x02" if FOREIGN == "big" else b"\x01\x00\x02\x00")


# copies


def test_an_array_is_read_as_a_view_of_what_came() -> None:
    content = np.arange(MIB, dtype="float64").tobytes()
    array = decode(content, "float64", [1024, 1024])
    assert np.shares_memory(array, np.frombuffer(content, "uint8"))
    assert peak(lambda: decode(content, "float64", [1024, 1024])) < 100_000


def test_bools_are_looked_at_without_a_copy() -> None:
    content = bytes(8 * MIB)
    assert peak(lambda: decode(content, "bool", [8 * MIB])) < 100_000


def test_an_array_in_the_other_order_costs_one_copy() -> None:
    content = bytes(8 * MIB)
    assert 8 * MIB <= peak(lambda: decode(content, "float64", [MIB], FOREIGN)) < 9 * MIB


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_what_was_read_cannot_be_written_to(byteorder: str) -> None:
    array = decode(bytes(16), "float64", [2], byteorder)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def constant(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "array",
    [
        np.frombuffer(bytes(800), "float64"),
        np.frombuffer(memoryview(bytes(800))[8:], "float64"),
        np.frombuffer(bytes(800), "float64").reshape(4, 25)[1:3],
        decode(bytes(800), "float64", [4, 25]),
        constant(np.arange(100.0)),
        constant(np.arange(100.0))[10:20],
        constant(np.zeros((3, 4), np.dtype("int32").newbyteorder())),
    ],
    ids=["bytes", "view-of-bytes", "part", "received", "own", "part-of-own", "foreign-order"],
)
def test_an_array_that_nobody_can_write_to_is_sent_without_a_copy(array: NDArray[Any]) -> None:
    encoded = encode_array(array)
    assert np.shares_memory(np.frombuffer(encoded.content, "uint8"), array)
    assert bytes(encoded.content) == array.tobytes()
    assert len(encoded.content) == array.nbytes


def read_only_view(array: NDArray[Any]) -> NDArray[Any]:
    view = array[:]
    view.flags.writeable = False
    return view


@pytest.mark.parametrize(
    "array",
    [
        np.arange(100.0),
        np.arange(100.0)[10:20],
        read_only_view(np.arange(100.0)),
        constant(np.frombuffer(bytearray(800), "float64")),
        np.frombuffer(memoryview(bytearray(800)).toreadonly(), "float64"),
        np.broadcast_to(np.arange(10.0), (3, 10)),
        constant(np.arange(100.0))[::2],
        constant(np.arange(6.0)).reshape(2, 3).T,
    ],
    ids=["own", "part", "read-only-view", "bytearray", "view-of-bytearray", "broadcast", "stride", "transposed"],
)
def test_what_is_written_to_an_array_afterwards_is_not_sent(array: NDArray[Any]) -> None:
    encoded = encode_array(array)
    assert isinstance(encoded.content, bytes), "a copy of its own"
    assert encoded.content == array.tobytes()


def test_an_array_is_copied_once() -> None:
    array = np.zeros((1024, 1024))
    for view in (array, array.T, array[:, ::2]):
        assert view.nbytes <= peak(lambda view=view: encode_array(view)) < view.nbytes + 100_000  # type: ignore[misc]


# what cannot be sent


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()]),
        np.array(["text"]),
        np.array([b"bytes"]),
        np.array(["2024-01-01"], "datetime64[ns]"),
        np.array([1], "timedelta64[s]"),
        np.zeros(3, [("a", "int32"), ("b", "float64")]),
        np.zeros(3, np.longdouble),
        np.zeros(3, "V8"),
    ],
    ids=lambda array: str(array.dtype),
)
def test_items_without_a_form_on_the_wire_are_refused(array: NDArray[Any]) -> None:
    with pytest.raises(BadContent, match="cannot be sent"):
        encode_array(array)


def test_a_mask_is_not_dropped_silently() -> None:
    with pytest.raises(BadContent, match="filled"):
        encode_array(np.ma.masked_array([1, 2], [False, True]))


@pytest.mark.parametrize("value", [b"abc", [1, 2], 5, np.float64(1), None])
def test_what_is_no_array_is_refused(value: object) -> None:
    with pytest.raises(BadContent, match="numpy"):
        encode_array(value)


# what is refused when it comes


@pytest.mark.parametrize(
    "dtype",
    [
        None, 5, ["int8"], {"a": "int8"}, "", "object", "O", "i8", "<i8", ">f8", "=f8", "|b1", "float", "int",
        "float128", "longdouble", "str", "U4", "S4", "V8", "datetime64[ns]", "i4,f8", "(2,2)f8", "Float64", " float64",
        "float64 ", "bfloat16", "\x1b[31m" * 100,
    ],
    ids=lambda dtype: repr(dtype)[:20],
)  # fmt: skip
def test_a_dtype_that_is_not_on_the_list_is_refused(dtype: Any) -> None:
    with pytest.raises(BadContent) as caught:
        decode(bytes(8), dtype, [1])
    assert caught.value.field == "dtype"
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "shape",
    [None, 8, "8", [8.0], [True] * 3, ["8"], [-8], [-1, -8], [[8]], {"0": 8}, [None], [2**63], [10**4000, 0]],
    ids=lambda shape: repr(shape)[:20],
)
def test_a_shape_that_is_no_list_of_sizes_is_refused(shape: Any) -> None:
    with pytest.raises(BadContent) as caught:
        decode(bytes(8), "int8", shape)
    assert caught.value.field == "shape"
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("missing", ["dtype", "shape"])
def test_a_header_without_dtype_or_shape_is_refused(missing: str) -> None:
    fields = {"dtype": "int8", "shape": [8]}
    del fields[missing]
    with pytest.raises(BadContent, match=missing):
        decode_array(bytes(8), shape_of(fields))


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("int8", [7], 8),
        ("int8", [9], 8),
        ("int16", [8], 8),
        ("int8", [], 0),
        ("int8", [], 2),
        ("int8", [0], 1),
        ("int8", [0, 5], 5),
        ("float64", [2**61], 0),
        ("float64", [2**61], 8),
        ("int8", [2**32, 2**32], 0),
        ("int8", [2**63 - 1] * 64, 1),
        ("complex128", [2**60, 16], 0),
    ],
)
def test_sizes_that_do_not_agree_are_refused(dtype: str, shape: list[int], size: int) -> None:
    with pytest.raises(BadContent, match="bytes"):
        decode(bytes(size), dtype, shape)


@pytest.mark.parametrize("shape", [[0], [0, 5], [5, 0], [2**40, 0], [0, 2**62], [2**63 - 1, 0]])
def test_an_array_without_items_may_be_of_any_shape_and_costs_nothing(shape: list[int]) -> None:
    assert peak(lambda: decode(b"", "int8", shape)) < 100_000
    assert decode(b"", "int8", shape).shape == tuple(shape)


@pytest.mark.parametrize("shape", [[2**62, 0, 2**62], [2**63 - 1, 0, 2]])
def test_dimensions_that_no_array_can_have_are_refused_beside_a_zero(shape: list[int]) -> None:
    with pytest.raises(BadContent, match="too large"):
        decode(b"", "int8", shape)


def test_more_than_64_dimensions_are_refused() -> None:
    assert decode(b"a", "int8", [1] * 64).ndim == 64
    with pytest.raises(BadContent, match="64"):
        decode(b"a", "int8", [1] * 65)


@pytest.mark.parametrize("content", [b"\x02", b"\x00\x01\xff", b"\x80"])
def test_a_bool_is_0_or_1(content: bytes) -> None:
    with pytest.raises(BadContent, match="0 or 1"):
        decode(content, "bool", [len(content)])


def test_the_encoding_is_binary() -> None:
    for encoding in ("utf-8", "\x1b[31m"):
        with pytest.raises(BadContent, match="'binary'"):
            decode_array(b"a", shape_of({"dtype": "int8", "shape": [1]}, encoding=encoding))
        with pytest.raises(BadContent, match="'binary'"):
            encode_array(np.zeros(1), encoding=encoding)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.sampled_from(DTYPES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)


@settings(deadline=None, max_examples=500)
@given(
    st.fixed_dictionaries({}, optional={"dtype": json_values, "shape": json_values | st.lists(st.integers(-1, 2**63))}),
    st.sampled_from(["little", "big"]),
    st.binary(max_size=40),
)
def test_hostile_headers_and_bytes_raise_bad_content_alone(fields: dict[str, Any], order: str, content: bytes) -> None:
    with contextlib.suppress(BadContent):
        assert decode_array(content, shape_of(fields, order)).nbytes == len(content)


# hints


@pytest.mark.parametrize(
    "kind", [np.ndarray, NDArray[np.float64], NDArray[Any], np.ndarray[Any, np.dtype[np.int8]], NDArray]
)
def test_array_types_are_known(kind: Any) -> None:
    assert is_array_type(kind)


@pytest.mark.parametrize("kind", [list, list[int], int, Any, None, np.float64, NDArray[np.int8] | None, memoryview])
def test_other_types_are_none(kind: Any) -> None:
    assert not is_array_type(kind)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (np.ndarray, None),
        (NDArray[Any], None),
        (NDArray, None),
        (NDArray[np.float64], "float64"),
        (NDArray[np.bool_], "bool"),
        (NDArray[np.floating], None),
        (NDArray[np.float32 | np.float64], None),
        (NDArray[np.object_], None),
    ],
    ids=str,
)
def test_a_type_may_name_one_dtype(kind: Any, name: str | None) -> None:
    assert dtype_of_type(kind) == name


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        (np.ndarray, np.zeros(3)),
        (NDArray[Any], np.zeros(3, "int8")),
        (NDArray[np.float64], np.zeros(3)),
        (NDArray[np.floating], np.zeros(3, "float16")),
        (NDArray[np.float32 | np.float64], np.zeros(3, "float32")),
        (np.ndarray[tuple[int, int], np.dtype[np.float64]], np.zeros((3, 3))),
    ],
    ids=str,
)
def test_an_array_fits_its_type(kind: Any, array: NDArray[Any]) -> None:
    assert fitted(kind, array) is array


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (np.ndarray, [1, 2], "Expected an array .*got `list`"),
        (np.ndarray, np.float64(5), "got `float64`"),
        (NDArray[np.float64], np.zeros(3, "float32"), "of float64, got one of float32"),
        (NDArray[np.floating], np.zeros(3, "int8"), "of floating, got one of int8"),
        (np.ndarray[tuple[int, int], np.dtype[np.float64]], np.zeros(3), "2 dimensions, got one of 1"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_told(kind: Any, value: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        fitted(kind, value)


# numpy


@pytest.mark.usefixtures("without_numpy")
def test_without_numpy_an_array_is_bad_content_that_says_what_to_install() -> None:
    with pytest.raises(BadContent, match="extra array"):
        decode(bytes(8), "float64", [1])
    assert not ndarray.readable()


def test_numpy_is_imported_for_arrays_alone() -> None:
    script = """
import asyncio, sys
import letterhead
from letterhead import testing

app = letterhead.App()

@app.action
async def same(value: list[int] | None = None) -> list[int] | None:
    return value

async def main():
    async with testing.connected(app) as client:
        await client.call("same", value=[1])
        await client.call("same", [1])
        await client.call("letterhead.ping", letterhead.encode([b"x"], "application/msgpack"))
        await client.call("letterhead.describe")
        assert "numpy" not in sys.modules
        message = letterhead.Message(bytes(8), {"content-type": "binary/ndarray", "dtype": "float64", "shape": [1]})
        print((await client.call("letterhead.ping", message)).tolist())

asyncio.run(main())
assert "numpy" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0.0]\n", "")

"""Msgpack content: what comes back, what is refused, and that hostile bytes cost neither time nor memory."""

import contextlib
import datetime as dt
import tracemalloc
from itertools import islice
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.content.msgpack import decode_msgpack, encode_msgpack
from letterhead.errors import BadContent
from tests.ids import shown

MIB = 1 << 20
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.datetimes(timezones=st.just(dt.UTC))
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(scalars, inner, max_size=5),
    max_leaves=60,
)


def decode(data: bytes, depth: int = 64) -> Any:
    return decode_msgpack(data, "binary", depth)


@pytest.mark.smoke
@settings(deadline=None)
@given(values)
def test_a_value_comes_back(value: Any) -> None:
    assert decode(encode_msgpack(value), 99) == value


@settings(deadline=None)
@given(st.lists(scalars, max_size=300) | st.integers(0, 3000).map(lambda n: [*range(n), "a", *range(n)]))
def test_a_long_list_comes_back(value: list[Any]) -> None:
    assert decode(encode_msgpack({"a": value, "b": [[value]]})) == {"a": value, "b": [[value]]}


def test_nan_and_infinities_come_back() -> None:
    assert decode(encode_msgpack([float("inf"), float("-inf")])) == [float("inf"), float("-inf")]
    nan = decode(encode_msgpack(float("nan")))
    assert nan != nan


def test_an_unknown_extension_comes_back_as_it_was() -> None:
    got = decode(encode_msgpack([msgspec.msgpack.Ext(5, b"abc")]))
    assert (got[0].code, bytes(got[0].data)) == (5, b"abc")


def test_what_has_no_form_of_its_own_goes_as_in_json() -> None:
    assert decode(encode_msgpack({1, 2})) == [1, 2]
    assert decode(encode_msgpack(dt.date(2024, 2, 29))) == "2024-02-29"
    assert decode(encode_msgpack(dt.datetime(2024, 2, 29, 12))) == "2024-02-29T12:00:00"  # noqa: DTZ001


def test_of_a_key_that_stands_twice_the_last_one_counts() -> None:
    assert decode(b"\x82\xa1a\x01\xa1a\x02") == {"a": 2}


@pytest.mark.parametrize(
    "value",
    [2**64, -(2**63) - 1, "\ud800", {"a": ["\udfff"]}, object(), 1j, memoryview(b"abcd")[::2]],
    ids=lambda value: shown(value)[:20],
)
def test_what_has_no_msgpack_form_is_refused(value: Any) -> None:
    with pytest.raises(BadContent, match="no msgpack form"):
        encode_msgpack(value)


def test_what_contains_itself_is_refused() -> None:
    looped: list[Any] = []
    looped.append(looped)
    with pytest.raises(BadContent, match="contains itself"):
        encode_msgpack(looped)


@pytest.mark.parametrize("encoding", ["utf-8", "", "\x1b[31m"])
def test_the_encoding_is_binary(encoding: str) -> None:
    for use in (lambda: decode_msgpack(b"\xc0", encoding, 64), lambda: encode_msgpack(None, encoding)):
        with pytest.raises(BadContent, match="'binary'") as caught:
            use()
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91\xc1",
        b"\xc0\xc0",
        b"\x90\x90",
        b"\x92\xc0",
        b"\xa1",
        b"\x91\xa2a",
        b"\xa1\xff",
        b"\xa3\xed\xa0\x80",
        b"\x81\xa1a",
        b"\xcf\x00",
        b"\xdc\x00",
        b"\xd9",
        b"\x91\xd9\x05abc",
        b"\x91\xc7\x04\x05abc",
        b"\xd7\xff" + b"\xff" * 8,
        b"\xc7\x0c\xff\x00\x00\x00\x00" + b"\x7f" * 8,
        b"\xc7\x05\xff" + b"\x00" * 5,
        b"\x81\x80\xc0",
        b"\x81\xd4\x05a\x01",
    ],
    ids=bytes.hex,
)
def test_what_is_no_msgpack_is_bad_content(data: bytes) -> None:
    with pytest.raises(BadContent):
        decode(data)


@pytest.mark.parametrize(
    "data", [b"\x81\x90\xc0", b"\x81\x91\x01\xc0", b"\x82\xa1a\xc0\x92\x01\x02\xc0", b"\x91\x81\x90\xc0"]
)
def test_an_array_is_no_key(data: bytes) -> None:
    assert msgspec.msgpack.decode(data), "it is msgpack"
    with pytest.raises(BadContent, match="key"):
        decode(data)


def tuples_of_one_hash(count: int) -> list[tuple[int, int]]:
    """Pairs that all have the same hash: CPython's for tuples (xxHash, without a secret), solved for the second one."""
    size = 1 << 64
    prime, other = 11400714785074694791, 14029467366897019727

    def turned(value: int, bits: int) -> int:
        return (value << bits | value >> (64 - bits)) % size

    def pairs() -> Any:
        first = 0
        while True:
            first += 1
            before = turned((2870177450012600261 + first * other) % size, 31) * prime % size
            second = (turned(12345 * pow(prime, -1, size) % size, 33) - before) * pow(other, -1, size) % size
            second -= size * (second >> 63)
            if abs(second) < 2**61 - 1:  # then it is its own hash
                yield first, second

    return list(islice(pairs(), count))


def test_keys_whose_hashes_collide_are_refused_before_a_dict_is_made() -> None:
    keys = tuples_of_one_hash(60_000)
    assert len(set(map(hash, keys[:100]))) == 1
    data = b"\xdf" + len(keys).to_bytes(4, "big") + b"".join(msgspec.msgpack.encode(key) + b"\xc0" for key in keys)
    with pytest.raises(BadContent, match="key"):  # a dict would be busy with them for a minute: the test's limit
        decode(data)


@pytest.mark.parametrize(("levels", "sound"), [(64, True), (65, False), (100_000, False)])
def test_msgpack_nests_64_deep_and_no_deeper(levels: int, sound: bool) -> None:
    for data in (b"\x91" * levels + b"\xc0", b"\x81\xa1a" * levels + b"\xc0", b"\xdc\x00\x01" * levels + b"\xc0"):
        if sound:
            assert decode(data) == msgspec.msgpack.decode(data)
        else:
            with pytest.raises(BadContent, match=r"64|cut off"):
                decode(data)


@given(
    st.recursive(
        st.sampled_from([1, None, "\x90", [], {}, [[]] * 20, [{}] * 20, [1, []] * 20, [*range(20), []]]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=1), inner, max_size=3),
    )
)
def test_depth_is_counted_as_python_counts_it(value: Any) -> None:
    def depth(value: Any) -> int:
        if isinstance(value, (list, dict)):
            return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)
        return 0

    data = encode_msgpack(value)
    for allowed in range(9):
        if depth(value) <= allowed:
            assert decode(data, allowed) == value
        else:
            with pytest.raises(BadContent, match="deeper"):
                decode(data, allowed)


def test_depth_is_counted_in_values_that_do_not_count() -> None:
    deep = b"\x91" * 64 + b"\xc0"
    with pytest.raises(BadContent, match="64"):
        decode(b"\x82\xa1a" + deep + b"\xa1a\x01")


def test_side_by_side_is_not_deeper() -> None:
    assert decode(b"\xdc\x03\xe8" + b"\x90" * 1000) == [[]] * 1000


def test_bytes_that_look_like_containers_nest_nothing() -> None:
    data = bytes([0x91]) * 1000
    assert decode(encode_msgpack([data, {"a": data}])) == [data, {"a": data}]


def announcing(first: int, levels: int, size: int) -> bytes:
    """Containers in containers, each of which announces all that is left."""
    heads = b"".join(bytes([first]) + (size - 5 * (n + 1)).to_bytes(4, "big") for n in range(levels))
    return heads.ljust(size, b"\xc0")


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x05",
        b"\x91\xdb\x7f\xff\xff\xff",
        announcing(0xDD, 64, 400_000),
        announcing(0xDF, 64, 400_000),
    ],
    ids=lambda data: data[:8].hex(),
)
def test_sizes_that_are_announced_and_not_sent_cost_no_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadContent):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


@settings(deadline=None, max_examples=1000)
@given(st.data())
def test_hostile_bytes_raise_bad_content_alone_and_sound_ones_do_not(data: st.DataObject) -> None:
    containers = st.binary(max_size=60) | st.lists(
        st.sampled_from([*range(0x80, 0xA4), *range(0xC0, 0xE0), 0, 1, 2])
    ).map(bytes)
    hostile = data.draw(containers)
    try:
        value = msgspec.msgpack.decode(hostile)
    except (ValueError, RecursionError):
        with pytest.raises(BadContent):
            decode(hostile)
        return
    with contextlib.suppress(BadContent):
        assert msgspec.msgpack.encode(decode(hostile)) == msgspec.msgpack.encode(value)
        return
    with pytest.raises(BadContent, match=r"key of a map|deeper"):  # the only reasons to refuse what msgspec reads
        decode(hostile)


@settings(deadline=None, max_examples=300)
@given(values, st.data())
def test_damaged_content_raises_bad_content_alone(value: Any, data: st.DataObject) -> None:
    damaged = bytearray(encode_msgpack(value))
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadContent):
        decode(bytes(damaged))

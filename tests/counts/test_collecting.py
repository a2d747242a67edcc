"""While a large value is made the garbage collector rests, and is as it was afterwards."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from letterhead import BadContent, Limits
from letterhead.content.json import decode_json
from letterhead.content.msgpack import decode_msgpack
from letterhead.content.typed import DoesNotFit, TypeReader
from letterhead.wire.header import MSGPACK, Shape

ROWS = 100_000
JSON = b"[" + b",".join([b"[]"] * ROWS) + b"]"
PACKED = msgspec.msgpack.encode([[]] * ROWS)
LISTS = TypeReader(list[list[int]])
NUMBERS = TypeReader(list[int])


def packed_shape() -> Shape:
    return Shape({"content-type": MSGPACK, "content-encoding": "binary", "byteorder": "little"}, len(PACKED), Limits())


DECODERS: dict[str, Callable[[], Any]] = {
    "json": lambda: decode_json(JSON, "utf-8", "little", 64),
    "msgpack": lambda: decode_msgpack(PACKED, "binary", 64),
    "json as a type": lambda: LISTS.read_json(JSON, 64),
    "msgpack as a type": lambda: LISTS.read(PACKED, packed_shape(), 64),
}
FAILURES: dict[str, Callable[[], Any]] = {
    "json": lambda: decode_json(JSON[:-1], "utf-8", "little", 64),
    "msgpack": lambda: decode_msgpack(PACKED[:-1], "binary", 64),
    "json as a type": lambda: NUMBERS.read_json(JSON, 64),
    "msgpack as a type": lambda: NUMBERS.read(PACKED, packed_shape(), 64),
}


@pytest.fixture(autouse=True)
def collector_on() -> Iterator[None]:
    yield
    on = gc.isenabled()
    gc.enable()
    assert on


def looks() -> int:
    """How often the collector has looked."""
    return sum(generation["collections"] for generation in gc.get_stats())


@pytest.mark.parametrize("kind", DECODERS)
def test_it_hardly_looks_while_a_large_value_is_made(kind: str) -> None:
    before = looks()
    value = DECODERS[kind]()
    assert len(value) == ROWS
    assert looks() - before <= 10  # of 100,000 lists it would look more than a hundred times
    assert gc.isenabled()


@pytest.mark.parametrize("kind", FAILURES)
def test_it_goes_on_where_no_value_was_made(kind: str) -> None:
    with pytest.raises((BadContent, DoesNotFit)):
        FAILURES[kind]()
    assert gc.isenabled()


@pytest.mark.parametrize("kind", DECODERS)
def test_a_collector_that_the_program_turned_off_stays_off(kind: str) -> None:
    gc.disable()
    try:
        DECODERS[kind]()
        assert not gc.isenabled()
    finally:
        gc.enable()

"""Which arguments are streams."""

import array
import mmap
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from letterhead.client.openings import Streamed, action_opening, upload_opening
from letterhead.client.sources import is_stream, split
from letterhead.errors import UsageError
from letterhead.limits import Limits
from letterhead.wire import strict_json
from letterhead.wire.writer import head
from tests.wire.frames import frames_of


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class OwnIterable:
    """Neither a container nor an iterator."""

    def __iter__(self) -> Iterator[int]:
        return iter([1])


@pytest.mark.parametrize(
    "value",
    [generator(), iter([1]), range(3), map(int, "1"), {}.keys(), deque([1]), OwnIterable(), async_generator()],
    ids=lambda value: type(value).__name__,
)
def test_what_gives_its_items_one_by_one_is_a_stream(value: Any) -> None:
    assert is_stream(value)


def test_an_open_file_is_a_stream() -> None:
    with Path(__file__).open() as text, Path(__file__).open("rb") as octets:
        assert is_stream(text)
        assert is_stream(octets)


@pytest.mark.parametrize(
    "value",
    [
        [float("nan")],
        (object(),),
        {object()},
        {"a": object()},
        MappingProxyType({"a": 1}),
        "text",
        b"bytes",
        bytearray(b"bytes"),
        memoryview(b"bytes"),
        array.array("i", [1]),
        mmap.mmap(-1, 16),
        list,
        object(),
        1,
        None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_containers_bytes_and_what_holds_them_are_none(value: Any) -> None:
    assert not is_stream(value)


def test_an_array_is_none_whatever_it_holds() -> None:
    numpy = pytest.importorskip("numpy")
    assert not is_stream(numpy.zeros(3))
    assert not is_stream(numpy.array([object()]))


def test_the_other_arguments_are_what_is_left() -> None:
    source = iter([1])
    assert split("total", (), {"start": 1, "numbers": source}) == (source, {"start": 1})
    assert split("total", (source,), {}) == (source, {})
    assert split("total", (), {"start": 1}) is None


def test_two_streams_are_one_too_many() -> None:
    with pytest.raises(UsageError, match="of those of 'total', 'a' and 'b' are streams"):
        split("total", (), {"a": iter([1]), "b": iter([2]), "c": iter([3])})


# The opening of such a call


def test_a_call_with_a_stream_is_no_plain_one() -> None:
    for arg, args in (((iter([1]),), {}), ((), {"numbers": iter([1])})):
        with pytest.raises(Streamed):
            action_opening("total", arg, args, Limits())


def test_its_opening_announces_items_and_holds_the_other_arguments() -> None:
    source = iter([1])
    opening, taken = upload_opening("total", (), {"numbers": source, "start": 5}, Limits())
    assert taken is source
    assert opening.uploads
    assert opening.action is None, "a classic server could not take it"
    (frame,) = frames_of(head(opening.prefix, len(opening.content), 5) + bytes(opening.content))
    assert (frame.header["more"], frame.header["action"], frame.value) == (True, "total", {"start": 5})


def test_a_fault_in_the_other_arguments_is_told() -> None:
    with pytest.raises(UsageError, match="cannot be sent"):
        upload_opening("total", (), {"numbers": iter([1]), "start": object()}, Limits())
    with pytest.raises(UsageError, match="not both"):
        action_opening("total", (iter([1]),), {"start": 1}, Limits())


def test_whether_there_is_a_stream_is_not_asked_of_what_can_be_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Whole(list[int]):
        """A list that must not be iterated by anybody but the encoder."""

        def __iter__(self) -> Iterator[int]:
            raise AssertionError

    assert strict_json.encode(Whole([1])) == b"[1]"
    action_opening("echo", (), {"value": Whole([1])}, Limits())

"""What a server says of the time that it took."""

from typing import Any

import pytest

from letterhead import Timing


def test_microseconds_become_seconds() -> None:
    timing = Timing()
    timing.told({"queued": 1_500_000, "ran": 0})
    assert (timing.queued, timing.ran) == (1.5, 0.0)
    assert repr(timing) == "Timing(queued=1.5, ran=0.0, attempts=1)"


@pytest.mark.parametrize("said", [None, 5, "x", [], {}, {"queued": None}, {"other": 1}])
def test_where_nothing_is_said_there_are_none(said: Any) -> None:
    timing = Timing()
    timing.told({"queued": 1, "ran": 1})
    timing.told(said)
    assert (timing.queued, timing.ran) == (None, None)


@pytest.mark.parametrize("hostile", [-1, 1.5, True, "1", [1], 2**63, 10**400])
def test_what_is_no_number_of_microseconds_is_none(hostile: Any) -> None:
    timing = Timing()
    timing.told({"queued": hostile, "ran": 5})
    assert (timing.queued, timing.ran) == (None, 5e-06)

"""The limits: the defaults that the design document lists, and values that make no sense."""

import dataclasses
from typing import Any

import pytest

from letterhead.limits import KIB, MIB, Limits

# docs: "Default limits"; times in seconds, sizes in bytes.
DOCUMENTED: dict[str, float] = {
    "header_bytes": 16_383,
    "header_fields": 64,
    "header_depth": 8,
    "content_depth": 64,
    "content_bytes": 16 * MIB,
    "json_bytes": 4 * MIB,
    "msgpack_bytes": 4 * MIB,
    "max_open": 128,
    "initial_credit": MIB,
    "late_bytes": 18 * MIB,
    "skip_bytes": MIB,
    "buffered_bytes": 256 * MIB,
    "connections": 10_000,
    "header_seconds": 10,
    "content_quiet_seconds": 20,
    "content_rate": 1_000,
    "idle_seconds": 300,
    "first_byte_seconds": 10,
    "write_high": 256 * KIB,
    "write_low": 64 * KIB,
    "write_seconds": 10,
    "deadline_seconds": 30,
    "deadline_max_seconds": 300,
    "stream_quiet_seconds": 60,
    "linger_quiet_seconds": 2,
    "linger_seconds": 10,
    "drain_seconds": 30,
    "drain_cancel_seconds": 2,
    "ping_after_seconds": 20,
    "ping_wait_seconds": 20,
    "reconnect_seconds": 0.1,
    "reconnect_max_seconds": 2,
    "repeats": 5,
    "slow_start_seconds": 10,
    "eyeballs_seconds": 0.25,
    "control_frames": 200,
    "control_seconds": 10,
    "log_lines": 10,
    "backlog": 1_024,
    "keepalive_idle_seconds": 20,
    "keepalive_interval_seconds": 5,
    "keepalive_probes": 3,
    "user_timeout_seconds": 25,
    "search_query_bytes": KIB,
    "search_terms": 16,
    "search_prefixes": 2,
    "search_prefix_letters": 3,
    "search_ranked": 20_000,
    "search_seconds": 0.25,
    "search_rows": 100,
}


@pytest.mark.parametrize(("name", "value"), DOCUMENTED.items())
def test_the_default_is_the_documented_one(name: str, value: float) -> None:
    assert getattr(Limits(), name) == value


def test_one_limit_is_raised_and_the_rest_kept() -> None:
    raised = Limits(content_bytes=64 * MIB)
    assert raised.content_bytes == 64 * MIB
    assert dataclasses.replace(raised, content_bytes=16 * MIB) == Limits()


def test_limits_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().max_open = 5  # type: ignore[misc]


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("header_bytes", 0x4000),
        ("header_bytes", 65_535),
        ("header_bytes", 10),
        ("header_fields", 15),
        ("header_depth", 1),
        ("content_depth", 0),
        ("content_depth", 100_000),
        ("max_open", 0),
        ("max_open", 2**31),
        ("initial_credit", 0),
        ("initial_credit", 2**31),
        ("content_bytes", 2**31),
        ("content_bytes", 0),
        ("write_low", 256 * KIB),
        ("idle_seconds", -1),
        ("idle_seconds", float("nan")),
        ("idle_seconds", float("inf")),
        ("buffered_bytes", -1),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: value})


@pytest.mark.parametrize("value", [True, "5", None, 1.5, [1]])
def test_a_whole_number_is_wanted_for_sizes(value: Any) -> None:
    with pytest.raises(ValueError, match="content_bytes takes an integer"):
        Limits(content_bytes=value)


@pytest.mark.parametrize("value", [True, "5", None])
def test_a_number_is_wanted_for_times(value: Any) -> None:
    with pytest.raises(ValueError, match="idle_seconds takes a number"):
        Limits(idle_seconds=value)


@pytest.mark.parametrize(
    ("name", "value"), [("header_bytes", 16_383), ("header_bytes", 128), ("max_open", 1), ("idle_seconds", 0.5)]
)
def test_a_limit_at_its_bound_is_taken(name: str, value: Any) -> None:
    assert getattr(Limits(**{name: value}), name) == value


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Limits)])
def test_every_limit_has_a_documented_default_or_is_a_client_s(field: str) -> None:
    assert field in DOCUMENTED or field == "connect_seconds"

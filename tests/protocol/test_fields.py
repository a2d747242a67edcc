"""What header fields mean: their types, which side sends them, and what makes a control frame."""

from collections.abc import Callable
from typing import Any

import pytest

from letterhead.limits import Limits
from letterhead.protocol.fields import (
    BIG,
    FIELDS,
    HIDDEN,
    HOP,
    NOT_FROM_CLIENTS,
    NOT_FROM_SERVERS,
    Field,
    Kind,
    Meaning,
    from_classic_client,
    from_client,
    from_server,
)
from letterhead.wire.header import MAX_ID, Shape
from tests.wire.frames import BARE

LIMITS = Limits()


def shape(fields: dict[str, Any], length: int = 0) -> Shape:
    return Shape({**BARE, "content-length": length, **fields}, length, LIMITS)


def client(length: int = 0, **fields: Any) -> Meaning:
    return from_client(shape({name.replace("_", "-"): value for name, value in fields.items()}, length))


def server(length: int = 0, **fields: Any) -> Meaning:
    return from_server(shape({name.replace("_", "-"): value for name, value in fields.items()}, length))


def classic(**fields: Any) -> Meaning:
    return from_classic_client(shape({name.replace("_", "-"): value for name, value in fields.items()}))


WRONG: dict[str, list[Any]] = {
    "action": [5, None, True, ["a"], {}],
    "more": [None, 1, "true", []],
    "deadline": ["5", None, True, 0, -1, 2**31, 1.5, [1]],
    "timing": [None, 1, "yes", {}],
    "supersedes": [None, True, 0, -1, "1", 1.0, MAX_ID + 1],
    "accept": [None, "text/json", [1], {}],
    "accept_compression": [None, "gzip", [None]],
    "authorization": [None, 5, ["Bearer"]],
    "traceparent": [None, 5],
    "tracestate": [None, {}],
    "compression": [None, 5],
}


@pytest.mark.smoke
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_field_of_the_wrong_type_or_value_is_a_bad_header_that_keeps_the_connection(name: str, value: Any) -> None:
    meaning = client(**{name: value})
    assert meaning.fault is not None
    assert meaning.fault.facts["field"] == name.replace("_", "-")
    assert not meaning.fatal


@pytest.mark.parametrize("name", [*(name for name in WRONG if name != "more"), "cancel", "credit"])
def test_false_equals_absent(name: str) -> None:
    meaning = client(**{name: False})
    assert meaning.fault is None
    assert meaning.kind is Kind.PLAIN


@pytest.mark.parametrize("value", [True, False])
def test_more_is_true_or_false(value: bool) -> None:
    assert client(more=value).more is value


def test_absent_more_is_none() -> None:
    assert client().more is None


@pytest.mark.parametrize(("sent", "seconds"), [(1, 0.001), (1500, 1.5), (BIG, BIG / 1000)])
def test_a_deadline_is_in_milliseconds(sent: int, seconds: float) -> None:
    assert client(deadline=sent).deadline == seconds


def test_an_action_makes_a_named_frame() -> None:
    meaning = client(action="echo")
    assert (meaning.kind, meaning.action) == (Kind.NAMED, "echo")


def test_the_empty_string_is_an_action() -> None:
    assert client(action="").kind is Kind.NAMED


@pytest.mark.parametrize("name", ["status", "closing", "max_open"])
@pytest.mark.parametrize("value", [5, "x", None, True])
def test_what_a_server_sends_is_ignored_from_a_client(name: str, value: Any) -> None:
    meaning = client(**{name: value})
    assert (meaning.kind, meaning.fault, meaning.status) == (Kind.PLAIN, None, None)


@pytest.mark.parametrize("name", ["cancel", "deadline", "supersedes", "action", "accept"])
def test_what_a_client_sends_is_ignored_from_a_server(name: str) -> None:
    fields: dict[str, Any] = {name: None}
    meaning = server(**fields)
    assert (meaning.kind, meaning.fault) == (Kind.REPLY, None)


# Control frames


@pytest.mark.parametrize(("fields", "kind"), [({"cancel": True}, Kind.CANCEL), ({"credit": 1}, Kind.CREDIT)])
def test_a_control_frame_of_a_client(fields: dict[str, Any], kind: Kind) -> None:
    meaning = client(**fields)
    assert meaning.kind is kind
    assert meaning.fault is None
    assert kind in {field.control for field in FIELDS.values()}


@pytest.mark.parametrize(("fields", "kind"), [({"max_open": 5}, Kind.HELLO), ({"closing": 0}, Kind.CLOSING)])
def test_a_control_frame_of_a_server(fields: dict[str, Any], kind: Kind) -> None:
    assert server(**fields).kind is kind


MIXED: list[dict[str, Any]] = [
    {"cancel": True, "credit": 5},
    {"cancel": True, "action": "x"},
    {"cancel": True, "more": True},
    {"cancel": True, "more": False},
    {"cancel": True, "status": "ok"},
    {"cancel": True, "length": 1},
    {"cancel": True, "content_type": "text/json"},
    {"cancel": True, "content_encoding": "utf-8"},
    {"credit": 1, "action": "x"},
    {"credit": 1, "length": 5},
    {"cancel": 1},
    {"cancel": None},
    {"cancel": "true"},
    {"credit": 0},
    {"credit": 2**31},
    {"credit": True},
    {"credit": "5"},
]


@pytest.mark.parametrize("fields", MIXED, ids=str)
def test_a_control_frame_mixed_with_anything_closes(fields: dict[str, Any]) -> None:
    meaning = client(**fields)
    assert meaning.fault is not None
    assert meaning.fatal


@pytest.mark.parametrize(
    "fields",
    [
        {"max_open": 5, "closing": 1},
        {"max_open": 5, "more": True},
        {"max_open": 5, "status": "internal"},
        {"max_open": 5, "length": 3},
        {"max_open": 5, "content_type": "a/b"},
        {"max_open": 0},
        {"max_open": True},
        {"max_open": None},
        {"closing": -1},
        {"closing": "x"},
        {"closing": 0, "length": 2},
    ],
    ids=str,
)
def test_a_server_s_control_frame_mixed_with_anything_is_a_breach(fields: dict[str, Any]) -> None:
    assert server(**fields).fault is not None


def test_unknown_fields_do_not_spoil_a_control_frame() -> None:
    assert client(cancel=True, x_own=1, traceparent="x").kind is Kind.CANCEL


# Replies


@pytest.mark.parametrize(
    ("status", "told"), [(None, None), ("ok", None), ("internal", "internal"), ("own-code", "own-code")]
)
def test_the_status_alone_makes_a_reply_an_error(status: str | None, told: str | None) -> None:
    meaning = server() if status is None else server(status=status)
    assert (meaning.kind, meaning.status, meaning.fault) == (Kind.REPLY, told, None)


@pytest.mark.parametrize("value", [5, None, True, ["internal"]])
def test_a_status_of_the_wrong_type_is_a_breach(value: Any) -> None:
    assert server(status=value).fault is not None


# Classic connections


@pytest.mark.parametrize("name", ["more", "credit", "cancel", "supersedes"])
@pytest.mark.parametrize("value", [True, 5, None, "x"])
def test_four_fields_are_refused_on_a_classic_connection(name: str, value: Any) -> None:
    fault = classic(**{name: value}).fault
    assert fault is not None
    assert fault.facts["field"] == name


@pytest.mark.parametrize("name", ["credit", "cancel", "supersedes"])
def test_there_too_false_equals_absent(name: str) -> None:
    assert classic(**{name: False}).fault is None


@pytest.mark.parametrize(
    ("name", "value"), [("deadline", "5"), ("deadline", None), ("timing", 1), ("action", 5), ("accept", 1), ("id", 4)]
)
def test_other_fields_of_a_wrong_type_are_ignored_there(name: str, value: Any) -> None:
    meaning = classic(**{name: value})
    assert (meaning.fault, meaning.deadline, meaning.timing, meaning.action) == (None, None, False, None)


def test_a_sound_deadline_and_timing_count_there() -> None:
    meaning = classic(deadline=2_000, timing=True)
    assert (meaning.deadline, meaning.timing) == (2.0, True)


def test_the_fields_of_one_hop_are_those_of_the_protocol() -> None:
    assert {
        "id", "credit", "cancel", "closing", "max-open", "supersedes", "authorization", "compression",
        "accept-compression",
    } == HOP  # fmt: skip


def names_where(condition: Callable[[Field], object]) -> set[str]:
    return {field.name for field in FIELDS.values() if condition(field)}


def test_the_table_says_who_sends_a_field() -> None:
    both = {"credit", "more", "timing", "traceparent", "tracestate", "compression", "accept-compression"}
    client = {"action", "cancel", "supersedes", "deadline", "accept", "authorization"}
    assert names_where(lambda field: field.from_client and field.from_server) == both
    assert names_where(lambda field: field.from_client and not field.from_server) == client
    assert names_where(lambda field: field.from_server and not field.from_client) == {"status", "max-open", "closing"}


def test_what_belongs_to_one_hop_is_hidden_from_applications_and_so_are_two_more() -> None:
    assert {"status", "more"} == HIDDEN - HOP
    assert HOP < HIDDEN


def test_what_each_side_s_application_sees_of_the_known_fields() -> None:
    assert names_where(lambda field: field.name not in NOT_FROM_CLIENTS) == {
        "action", "deadline", "timing", "accept", "traceparent", "tracestate",
    }  # fmt: skip
    assert names_where(lambda field: field.name not in NOT_FROM_SERVERS) == {"timing", "traceparent", "tracestate"}


def test_every_field_that_is_remembered_has_its_place_in_a_meaning() -> None:
    attributes = {field.attribute for field in FIELDS.values() if field.attribute}
    assert attributes <= set(Meaning.__slots__)

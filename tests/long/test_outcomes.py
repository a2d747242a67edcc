"""The claims of `outcomes` fail where they should: else chaos would prove nothing."""

from collections import Counter

import pytest

from tests.long.outcomes import Outcome, Report


def outcome(what: str, action: str = "once", token: str = "t", ended: float = 1.0) -> Outcome:
    return Outcome("Client-0", action, token, 0.0, ended, what, "")


def broken(*outcomes: Outcome, ran: int, keeps_going: bool = False) -> list[str]:
    report = Report(list(outcomes), Counter(t=ran), timeout=30.0)
    return [sentence.partition(":")[0] for sentence in report.broken(keeps_going=keeps_going)]


@pytest.mark.parametrize(
    ("call", "ran", "sentence"),
    [
        (outcome("result"), 0, "a result of what never ran"),
        (outcome("result"), 2, "what may run once ran twice"),
        (outcome("none"), 0, "a call never ended"),
        (outcome("another's result"), 1, "an error that is not documented"),
        (outcome("undocumented: KeyError()"), 1, "an error that is not documented"),
        (outcome("ConnectRefused"), 1, "an error says that it did not run, and it did"),
        (outcome("Unavailable"), 1, "an error says that it did not run, and it did"),
        (outcome("ConnectionLost", ended=40.0), 1, "a call went on after its time"),
    ],
)
def test_what_must_not_be_is_found(call: Outcome, ran: int, sentence: str) -> None:
    assert broken(call, ran=ran) == [sentence]


def test_a_call_that_ended_twice_is_found() -> None:
    assert broken(outcome("result"), outcome("ConnectionLost"), ran=1) == ["a call ended twice"]


@pytest.mark.parametrize(
    ("call", "ran"),
    [
        (outcome("result"), 1),
        (outcome("result", action="again"), 3),
        (outcome("ConnectionLost"), 1),
        (outcome("ConnectionLost"), 0),
        (outcome("ConnectRefused"), 0),
    ],
)
def test_what_may_be_is_no_fault(call: Outcome, ran: int) -> None:
    assert broken(call, ran=ran) == []


@pytest.mark.parametrize(
    ("call", "ran", "sentence"),
    [
        (outcome("ConnectionLost", action="again"), 1, "a call that may be repeated failed"),
        (outcome("ConnectRefused"), 0, "a call that was known not to have run failed"),
    ],
)
def test_what_a_client_that_keeps_going_must_not_let_fail_is_found(call: Outcome, ran: int, sentence: str) -> None:
    assert broken(call, ran=ran) == []
    assert broken(call, ran=ran, keeps_going=True) == [sentence]


def test_a_client_that_keeps_going_may_fail_where_nobody_can_know_whether_it_ran() -> None:
    assert broken(outcome("ConnectionLost"), ran=0, keeps_going=True) == []


def test_recovery_is_counted_from_each_return_to_each_clients_next_result() -> None:
    calls = [outcome("result", ended=at) for at in (1.0, 2.5, 2.75, 4.0)]
    assert Report(calls, Counter(t=1), 30.0, back=[2.0, 3.0]).recoveries() == [0.5, 1.0]
    assert Report(calls, Counter(t=1), 30.0).recoveries() == []

"""The error tree: codes, facts, and what another program's errors become."""

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead import errors
from letterhead.errors import (
    BadFrame,
    BadHeader,
    Cancelled,
    ConnectionFailed,
    ConnectionLost,
    ConnectRefused,
    ConnectTimedOut,
    DeadlineExceeded,
    Fault,
    Forbidden,
    ForeignProtocol,
    FrameTimeout,
    Internal,
    InvalidArgument,
    LetterheadError,
    ListenFailed,
    NoReply,
    Refused,
    Rejected,
    TooLarge,
    UsageError,
    escaped,
    refusal,
)  # fmt: skip

OF_SECTION_5 = {
    "bad-frame": "BadFrame",
    "bad-header": "BadHeader",
    "too-large": "TooLarge",
    "bad-content": "BadContent",
    "unknown-action": "UnknownAction",
    "invalid-argument": "InvalidArgument",
    "unauthenticated": "Unauthenticated",
    "forbidden": "Forbidden",
    "too-many": "TooMany",
    "deadline-exceeded": "DeadlineExceeded",
    "cancelled": "Cancelled",
    "unavailable": "Unavailable",
    "internal": "Internal",
    "timeout": "FrameTimeout",
}


@pytest.mark.parametrize(("code", "name"), OF_SECTION_5.items())
def test_every_code_of_section_5_has_a_class(code: str, name: str) -> None:
    error = getattr(errors, name)("it went wrong")
    assert (error.code, error.message, str(error)) == (code, "it went wrong", "it went wrong")
    assert isinstance(error, Refused)


@pytest.mark.smoke
@pytest.mark.parametrize(("code", "name"), OF_SECTION_5.items())
def test_refused_with_a_code_of_section_5_is_of_its_class(code: str, name: str) -> None:
    assert type(Refused(code, "no", limit=3)) is getattr(errors, name)
    assert Refused(code, "no", limit=3).facts == {"limit": 3}


def test_an_application_s_own_code_is_plain_refused() -> None:
    error = Refused("not-found", "no such order", order=17)
    assert type(error) is Refused
    assert (error.code, error.message, error.order) == ("not-found", "no such order", 17)


@pytest.mark.parametrize(
    "code", ["", "ok", "Not-Found", "not_found", "-x", "x-", "a--b", "1a", "a b", "a\n", "ü", "x" * 65]
)
def test_a_code_is_lower_case_words_joined_by_hyphens(code: str) -> None:
    with pytest.raises(ValueError, match="code"):
        Refused(code, "no")


@pytest.mark.parametrize("name", ["code", "message"])
def test_a_fact_cannot_hide_code_or_message(name: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        Refused("not-found", "no", **{name: "x"})


@pytest.mark.parametrize("name", ["self", "cls", "args", "words", "facts", "limit", "a b", "", "errno", "__class__"])
@pytest.mark.parametrize("code", ["not-found", "too-large", "deadline-exceeded"])
def test_any_other_name_may_be_a_fact(code: str, name: str) -> None:
    assert Refused(code, "no", **{name: 1}).facts == {name: 1}


def test_facts_are_attributes() -> None:
    assert TooLarge("no", size=5, limit=3).limit == 3


def test_a_fact_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="limit"):
        _ = TooLarge("no").limit


def test_received_bytes_are_a_fact_of_a_foreign_protocol() -> None:
    assert ForeignProtocol("no", received="GET /").received == "GET /"


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (DeadlineExceeded("x"), TimeoutError),
        (ConnectTimedOut("x"), TimeoutError),
        (ConnectTimedOut("x"), ConnectionError),
        (ConnectionLost("x"), ConnectionError),
        (ListenFailed("x"), OSError),
    ],
)
def test_an_error_is_also_the_builtin_one_that_users_know(error: Exception, builtin: type[Exception]) -> None:
    assert isinstance(error, builtin)
    assert str(error) == "x"


@pytest.mark.parametrize("kind", [ConnectRefused, ConnectTimedOut, ConnectionLost, NoReply, ForeignProtocol, Rejected])
def test_what_the_network_does_is_connection_failed(kind: type[LetterheadError]) -> None:
    assert issubclass(kind, ConnectionFailed)
    assert not issubclass(kind, Refused)


def test_the_codes_of_the_tree_are_all_different() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LetterheadError)]
    codes = [kind.code for kind in kinds if not kind.__name__.startswith("_") and kind is not LetterheadError]
    assert len(codes) == len(set(codes))
    assert len(codes) > 20


ALL = [
    Refused("not-found", "no", order=17, self=1),
    TooLarge("no", size=5, limit=3),
    DeadlineExceeded("late", seconds=1.5),
    UsageError("no"),
    Rejected("no", status="too-many", address="a:1", limit=3),
    ConnectTimedOut("no", address="a:1"),
]


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.code)
@pytest.mark.parametrize("through", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])  # noqa: S301
def test_an_error_survives_being_copied(error: LetterheadError, through: Any) -> None:
    other = through(error)
    assert type(other) is type(error)
    assert (other.code, other.message, other.facts) == (error.code, error.message, error.facts)


# Another program's errors


def test_a_known_code_from_the_wire_is_its_class() -> None:
    error = refusal("forbidden", "no", {"code": "forbidden", "message": "no", "who": "ada"})
    assert type(error) is Forbidden
    assert error.facts == {"who": "ada"}


@pytest.mark.parametrize("code", ["", "ok", "NO", "a b", "\x1b[31m", "x" * 1_000])
def test_a_code_that_nobody_may_use_becomes_internal(code: str) -> None:
    assert type(refusal(code, "no", {})) is Internal


@settings(deadline=None)
@given(st.text(max_size=20), st.text(), st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text()))
def test_whatever_the_wire_says_a_refusal_comes_of_it(code: str, message: str, facts: dict[str, Any]) -> None:
    error = refusal(code, message, facts)
    assert isinstance(error, Refused)
    assert error.message == message
    assert error.facts == {name: value for name, value in facts.items() if name not in ("code", "message")}


def test_a_subclass_of_one_s_own_does_not_stand_for_the_code() -> None:
    class NotHere(Forbidden):
        def __init__(self, number: int) -> None:
            super().__init__(f"not here: {number}", number=number)

    assert type(refusal("forbidden", "no", {})) is Forbidden
    assert NotHere(3).code == "forbidden"
    assert NotHere(3).facts == {"number": 3}


def test_mistakes_in_making_a_refusal_are_told() -> None:
    kind: Any = TooLarge
    for words in ((), ("not-found", "no"), ("a", "b", "c")):
        with pytest.raises(TypeError, match="takes its message"):
            kind(*words)
    with pytest.raises(TypeError):
        kind(message="no")
    assert kind("too-large", "no").message == "no"


# Quoting a peer


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300), st.integers(1, 80))
def test_what_a_peer_sent_is_quoted_in_one_short_printable_line(data: bytes | str, limit: int) -> None:
    shown = escaped(data, limit)
    assert len(shown) <= limit + 1
    assert shown.rstrip("…").isascii()
    assert shown.rstrip("…").isprintable()


def test_a_quote_that_was_shortened_says_so() -> None:
    assert escaped(b"x" * 61) == "x" * 60 + "…"
    assert escaped(b"x" * 60) == "x" * 60


@pytest.mark.parametrize("kind", [BadHeader, InvalidArgument, Cancelled, FrameTimeout])
def test_an_error_shows_its_class_and_sentence(kind: Any) -> None:
    assert repr(kind("no", field="id")) == f"{kind.__name__}('no')"


def test_what_a_peer_sent_is_escaped_without_opening_a_file() -> None:
    program = """
import resource
from letterhead.errors import escaped
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
print(escaped(b"\\0\\x1b"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=False)
    assert (done.stdout, done.stderr) == ("\\x00\\x1b\n", "")


def test_a_fault_gives_a_fresh_error_with_its_facts_each_time() -> None:
    fault = Fault(TooLarge, "too large", size=5, limit=4)
    errors = [fault.error() for _ in range(2)]
    assert errors[0] is not errors[1]
    assert [(type(error), error.message, error.facts) for error in errors] == [
        (TooLarge, "too large", {"size": 5, "limit": 4})
    ] * 2


def test_a_fault_of_an_error_holds_on_to_nothing_but_its_words() -> None:
    try:
        raise BadFrame("no frame", received="x")
    except BadFrame as error:
        fault = Fault.of(error)
    assert fault.error().__traceback__ is None
    assert (fault.code, fault.message, fault.facts) == ("bad-frame", "no frame", {"received": "x"})

"""`letterhead ping`."""

import re

import pytest

from tests.classic import server as classic_server
from tests.cli.conftest import Everything
from tests.cli.shell import failure, letterhead


def test_times_are_printed_and_summed_up(server: Everything) -> None:
    done = letterhead("ping", server.address, "--count", "3")
    assert (done.status, done.err) == (0, "")
    connected, *times, counts, summary = done.out.splitlines()
    assert re.fullmatch(rf"connected to {server.address} in \d+\.\d\d\d ms", connected)
    figures = [float(re.fullmatch(rf" +{number}  (\d+\.\d\d\d) ms", line)[1]) for number, line in enumerate(times, 1)]  # type: ignore[index]  # a line that does not match fails here
    shortest, median, longest = sorted(figures)
    assert counts == "3 sent, 3 answered, 0% lost"
    assert summary == f"min {shortest:.3f} ms, median {median:.3f} ms, p99 {longest:.3f} ms, max {longest:.3f} ms"


def test_five_times_where_no_count_is_given(server: Everything) -> None:
    assert len(letterhead("ping", server.address).out.splitlines()) == 1 + 5 + 2


def test_a_classic_server_is_recognised() -> None:
    with classic_server.running() as (host, port):
        done = letterhead("ping", f"{host}:{port}", "--count", "1")
    assert done.status == 0
    assert "it answers as no Letterhead server does" in done.out


def test_a_server_that_is_down_is_told(nobody: str) -> None:
    assert failure("ping", nobody) == (
        1,
        f"nothing listens at {nobody}; is the server running, and is this its address?",
    )


@pytest.mark.parametrize("words", [["127.0.0.1:1", "--count", "0"], ["127.0.0.1"], []])
def test_wrong_usage_is_status_2(words: list[str]) -> None:
    status, _ = failure("ping", *words)
    assert status == 2

"""`letterhead ping`."""

import json
import os
import re
import signal
import subprocess
import time
from typing import Any

import pytest

import letterhead as library
from letterhead.app.actions import Proceed
from letterhead.testing.background import running
from tests.classic import server as classic_server
from tests.cli.application import HARM, OBEYED
from tests.cli.conftest import Everything
from tests.cli.shell import COMMAND, PLAIN, failure, letterhead
from tests.leaks import PATIENCE
from tests.processes import ended


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


def test_json_tells_times_and_summary(server: Everything) -> None:
    done = letterhead("ping", server.address, "--count", "4", "--json")
    assert (done.status, done.err) == (0, "")
    told = json.loads(done.out)
    times = told["times_ms"]
    assert (told["address"], told["letterhead"]) == (server.address, True)
    assert (told["sent"], told["received"], told["lost"], len(times)) == (4, 4, 0, 4)
    assert (told["min_ms"], told["p99_ms"], told["max_ms"]) == (min(times), max(times), max(times))
    assert told["min_ms"] <= told["median_ms"] <= told["max_ms"]
    assert told["connect_ms"] > 0


def test_there_is_a_pause_between_two(server: Everything) -> None:
    began = time.monotonic()
    assert letterhead("ping", server.address, "--count", "3", "--interval", "0.2").status == 0
    assert time.monotonic() - began >= 0.4


class Moody(library.App):
    """Answers pings until it has had enough."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self.pings = 0

        @self.around
        async def answer(call: library.Context, proceed: Proceed) -> Any:
            self.pings += 1
            if self.pings > good:
                raise library.Refused("moody", f"not now\n{HARM}")  # which no client asks again
            return await proceed()


def test_what_is_lost_is_told_and_the_next_is_tried() -> None:
    with running(Moody(2), "127.0.0.1:0") as served:  # the first one connects
        done = letterhead("ping", served.server.addresses[0], "--count", "4")
    assert done.status == 0
    lines = done.out.splitlines()
    assert [line[:12] for line in lines[2:5]] == ["   2  lost: ", "   3  lost: ", "   4  lost: "]
    assert lines[5] == "4 sent, 1 answered, 75% lost"
    assert lines[6].startswith("min ")
    assert not [character for character in OBEYED if character in done.out]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_where_none_is_answered_the_status_is_1(options: list[str]) -> None:
    with running(Moody(1), "127.0.0.1:0") as served:
        done = letterhead("ping", served.server.addresses[0], "--count", "2", *options)
    assert (done.status, done.err) == (1, "")
    if options:
        told = json.loads(done.out)
        assert (told["lost"], told["max_ms"], told["times_ms"]) == (2, None, [None, None])
    else:
        assert done.out.splitlines()[-1] == "2 sent, 0 answered, 100% lost"


def test_a_connection_that_broke_is_made_again() -> None:
    with running(library.App(limits=library.Limits(idle_seconds=0.1)), "127.0.0.1:0") as served:
        done = letterhead("ping", served.server.addresses[0], "--count", "2", "--interval", "0.5")
    assert "2 sent, 2 answered, 0% lost" in done.out


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_ctrl_c_prints_the_summary_so_far(server: Everything, options: list[str]) -> None:
    command = [*COMMAND, "ping", server.address, "--count", "1000", "--interval", "0.1", "-v", *options]
    with ended(
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env=os.environ | PLAIN
        )
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stderr:
            if line.startswith(">") and '"id":3' in line:  # the second one goes, so the first one came
                break
        process.send_signal(signal.SIGINT)
        out, err = process.stdout.read(), process.stderr.read()
        assert process.wait(PATIENCE) == 130
    assert "Traceback" not in err
    if options:
        told = json.loads(out)
        assert 1 <= told["sent"] == told["received"]
    else:
        assert re.search(r"^(\d+) sent, \1 answered, 0% lost\nmin ", out, re.MULTILINE)


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "x"])
def test_an_interval_is_a_number_of_seconds(seconds: str) -> None:
    status, line = failure("ping", "127.0.0.1:1", "--interval", seconds)
    assert status == 2
    assert "Invalid value for '--interval'" in line

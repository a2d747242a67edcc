"""The tests pass where signals are ignored from the start: SIGINT in a script's background job, SIGHUP under nohup."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.processes import ignoring

ROOT = Path(__file__).parents[2]
SAMPLES = [
    "tests/cli/test_call.py::test_ctrl_c_ends_a_call_quietly",
    "tests/cli/test_echo_server.py::test_it_echoes_and_a_signal_ends_it_in_order",
    "tests/examples/test_classic_usage.py::test_ctrl_c_ends_a_server_cleanly",
]


def test_tests_of_signals_pass_where_they_were_ignored_at_the_start() -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=30", *SAMPLES],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        encoding="utf-8",
        preexec_fn=ignoring(signal.SIGINT, signal.SIGHUP),
        check=False,
    )
    assert done.returncode == 0, done.stdout

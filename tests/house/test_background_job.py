"""The tests themselves pass as a background job of a script, which begins with SIGINT ignored."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.processes import ignoring

ROOT = Path(__file__).parents[2]
SAMPLES = [
    "tests/cli/test_call.py::test_ctrl_c_ends_a_call_quietly",
    "tests/examples/test_classic_usage.py::test_ctrl_c_ends_a_server_cleanly",
]


def test_tests_of_ctrl_c_pass_where_it_was_ignored_at_the_start() -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=30", *SAMPLES],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        encoding="utf-8",
        preexec_fn=ignoring(signal.SIGINT),
        check=False,
    )
    assert done.returncode == 0, done.stdout

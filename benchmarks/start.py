"""How long a command takes from the start of its process to its end: ``make bench-start``.

The commands run in turns, so that what else the machine does meets all of them alike; shown are median, fastest and
slowest of the rounds in milliseconds of wall time. The bare interpreter stands beside them: what it takes (start-up of
the environment included, which ``-I`` leaves out) no command can be without.
"""

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import time
from pathlib import Path

import letterhead


def serve(addresses: "multiprocessing.Queue[str]") -> None:
    """Serve the README's greeter."""
    app = letterhead.App("greeter")

    @app.action
    async def greet(name: str, times: int = 1) -> str:
        return ", ".join([f"hello {name}"] * times)

    app.run("127.0.0.1:0", on_ready=lambda server: addresses.put(server.addresses[0]))


def seconds(command: list[str]) -> float:
    """Run it to its end."""
    began = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="how often each command runs")
    options = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    addresses: multiprocessing.Queue[str] = processes.Queue()
    server = processes.Process(target=serve, args=(addresses,))
    server.start()
    try:
        address = addresses.get(timeout=30)
        script = str(Path(sys.executable).with_name("letterhead"))
        commands = {
            "python -I -c pass": [sys.executable, "-I", "-c", "pass"],
            "python -c pass": [sys.executable, "-c", "pass"],
            "python -c 'import click'": [sys.executable, "-c", "import click"],
            "python -c 'import msgspec'": [sys.executable, "-c", "import msgspec"],
            "letterhead --help": [script, "--help"],
            "letterhead call … greet name=Ada": [script, "call", address, "greet", "name=Ada"],
            "letterhead search --help": [script, "search", "--help"],
        }
        for command in commands.values():
            seconds(command)  # what is read from the disk for the first time is not what is measured
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                times[name].append(seconds(command) * 1e3)
    finally:
        server.terminate()
        server.join()
    print(f"{options.rounds} rounds, ms{'':<25}{'median':>8}{'min':>8}{'max':>8}")
    for name, taken in times.items():
        print(f"{name:<37}{statistics.median(taken):>8.1f}{min(taken):>8.1f}{max(taken):>8.1f}")


if __name__ == "__main__":
    main()

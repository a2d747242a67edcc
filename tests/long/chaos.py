"""Servers that go and come back, lines that break, under load; then every call is held against what the server ran.

    python -m tests.long.chaos restarts --times 100      a server killed, or stopped in order, and started again
    python -m tests.long.chaos resets --seconds 120      a line on which 1 % of all reads end in a reset
    python -m tests.long.chaos stopped --seconds 30      a server that stands still and goes on
    python -m tests.long.chaos mute --seconds 5          somebody who accepts and says nothing
    python -m tests.long.chaos partition --seconds 30    a network that is cut, and healed (root)

Prints a table, and each claim that does not hold; the exit status is 1 if there is one. With `--keeps-going` it also
claims what holds of clients that reconnect and repeat by themselves: while no server is away for as long as a call may
take, nothing fails that may be repeated, and nothing that is known not to have run.
"""

import argparse
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from letterhead import AsyncClient, Client, DeadlineExceeded, testing
from tests.leaks import run
from tests.long.network import SERVER, Namespace, network
from tests.long.outcomes import Report
from tests.net.ports import free_port

ROOT = Path(__file__).parents[2]
Process = subprocess.Popen[str]
_SETTLE = 2.0
"""Seconds of load before the first fault and after the last."""


class Scene:
    """A folder for records and ledger, one address, and the processes that run there."""

    def __init__(self, folder: Path, address: str, timeout: float) -> None:
        self.address = address
        self.timeout = timeout
        self.back: list[float] = []
        self._records = folder / "records"
        self._ledger = folder / "ledger"
        self._ledger.touch()

    def start_server(self, inside: Namespace | None = None) -> Process:
        """A server, once it listens."""
        process = _start(inside, "tests.long.counting", self.address, str(self._ledger))
        _ready(process)
        return process

    @contextmanager
    def load(self, address: str | None = None, inside: Namespace | None = None) -> Iterator[None]:
        """Calls all the time while the block runs; those that are open at its end are waited for."""
        process = _start(
            inside, "tests.long.load", address or self.address, str(self._records), "--timeout", str(self.timeout)
        )
        try:
            _ready(process)
            time.sleep(_SETTLE)
            yield
            time.sleep(_SETTLE)
            process.communicate(timeout=self.timeout + 30)
            if process.returncode:
                raise SystemExit("the load did not end as it should")
        finally:
            _end(process)

    def report(self) -> Report:
        """What came of it."""
        return Report.read(self._records, self._ledger, self.timeout, self.back)


def _start(inside: Namespace | None, module: str, *arguments: str) -> Process:
    if inside is not None:
        return inside.python(module, *arguments)
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ready(process: Process) -> None:
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise SystemExit("a program of the scene did not begin")


def _end(process: Process) -> None:
    process.kill()
    process.communicate()


# -- the scenes ------------------------------------------------------------------------------------------------------


def restarts(scene: Scene, options: argparse.Namespace) -> None:
    """The server goes and comes back, killed and stopped in order by turns."""
    server = scene.start_server()
    try:
        with scene.load():
            for number in range(options.times):
                time.sleep(random.uniform(0.2, 0.6))
                killed = options.how == "kill" or (options.how == "both" and number % 2 == 0)
                server.send_signal(signal.SIGKILL if killed else signal.SIGTERM)
                server.communicate()
                server = scene.start_server()
                scene.back.append(time.monotonic())
    finally:
        _end(server)


def resets(scene: Scene, options: argparse.Namespace) -> None:
    """A share of all reads on the line ends in a reset."""
    server = scene.start_server()
    try:
        faults = testing.Faults(reset_chance=options.share, seed=options.seed)
        with testing.proxy(scene.address, faults) as line, scene.load(line.address):
            time.sleep(options.seconds)
        print(f"{line.counts.connections:,} connections, {line.counts.reset:,} of them reset")
    finally:
        _end(server)


def stopped(scene: Scene, options: argparse.Namespace) -> None:
    """The server stands still: its kernel still takes connections and bytes."""
    server = scene.start_server()
    try:
        with scene.load():
            server.send_signal(signal.SIGSTOP)
            time.sleep(options.seconds)
            server.send_signal(signal.SIGCONT)
            scene.back.append(time.monotonic())
            time.sleep(5.0)
    finally:
        _end(server)


def partition(scene: Scene, options: argparse.Namespace) -> None:
    """The network is cut without a word, and healed."""
    with network() as net, ExitStack() as stack:
        stack.callback(_end, scene.start_server(net.server))
        with scene.load(inside=net.client):
            for _ in range(options.times):
                net.cut()
                time.sleep(options.seconds)
                net.heal()
                scene.back.append(time.monotonic())
                time.sleep(options.after)


def mute(scene: Scene, options: argparse.Namespace) -> None:
    """Somebody listens and says nothing: each call ends when its time is over; whoever answers later is heard."""
    host, _, port = scene.address.rpartition(":")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, int(port))))
        client = stack.enter_context(Client(scene.address))
        seconds = _seconds_until_late(lambda: client.call("once", token="mute", timeout=options.seconds))
        print(f"Client: a call of {options.seconds:g} s ended after {seconds:.2f} s")

        async def main() -> None:
            async with AsyncClient(scene.address) as other:
                began = time.monotonic()
                try:
                    await other.call("once", token="mute", timeout=options.seconds)
                except DeadlineExceeded:
                    print(f"AsyncClient: a call of {options.seconds:g} s ended after {time.monotonic() - began:.2f} s")
                else:
                    raise SystemExit("a call was answered, and nobody answers")

        run(main())
        listener.close()
        server = scene.start_server()
        stack.callback(_end, server)
        scene.back.append(time.monotonic())
        if client.call("once", token="after") != "after":
            raise SystemExit("the client did not come back")
        with scene.load():
            pass


def _seconds_until_late(call: Callable[[], object]) -> float:
    began = time.monotonic()
    try:
        call()
    except DeadlineExceeded:
        return time.monotonic() - began
    raise SystemExit("a call was answered, and nobody answers")


SCENES = {"restarts": restarts, "resets": resets, "stopped": stopped, "mute": mute, "partition": partition}


def main(arguments: list[str]) -> int:
    """Play one scene; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.long.chaos")
    scenes = parser.add_subparsers(dest="scene", required=True)
    for name, play in SCENES.items():
        options = scenes.add_parser(name, help=play.__doc__, description=play.__doc__)
        options.add_argument("--keeps-going", action="store_true", help="claim that nothing fails that need not")
        options.add_argument("--timeout", type=float, default=30.0, help="seconds of each call")
        if name == "restarts":
            options.add_argument("--times", type=int, default=100, help="how often")
            options.add_argument("--how", choices=("kill", "stop", "both"), default="both")
        else:
            default = {"resets": 120.0, "mute": 5.0}.get(name, 30.0)
            options.add_argument("--seconds", type=float, default=default, help="how long")
        if name == "resets":
            options.add_argument("--share", type=float, default=0.01, help="of the reads that end in a reset")
            options.add_argument("--seed", type=int, default=1)
        if name == "partition":
            options.add_argument("--times", type=int, default=1, help="how often")
            options.add_argument("--after", type=float, default=30.0, help="seconds after each healing")
    chosen = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="letterhead-chaos-") as folder:
        address = f"{SERVER}:7000" if chosen.scene == "partition" else f"127.0.0.1:{free_port()}"
        scene = Scene(Path(folder), address, chosen.timeout)
        SCENES[chosen.scene](scene, chosen)
        report = scene.report()
    print(report.table())
    broken = report.broken(keeps_going=chosen.keeps_going)
    for sentence in broken:
        print(f"BROKEN: {sentence}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Servers behind HAProxy, with the configuration that docs/balancing.md shows (Debian package ``haproxy``)."""

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from letterhead import AsyncClient, Client, ConnectionFailed, ConnectionLost, NoReply
from tests import leaks
from tests.house.readme_blocks import blocks
from tests.net.ports import free_port
from tests.net.processes import file_made
from tests.net.raw import connect, opening, received

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "balancing.md"

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")


class Server:
    """One of the servers; it may go and come back at its address."""

    def __init__(self, address: str, log: Path) -> None:
        self.address = address
        self.log = log
        self.process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Serve, from when this returns on."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.net.balanced", self.address],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), self.log.read_text()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def end(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


class Balanced:
    """HAProxy and its two servers."""

    def __init__(self, address: str, one: Server, two: Server, log: Path) -> None:
        self.address = address
        self.one = one
        self.two = two
        self.log = log

    def wait_for(self, server: str, state: str) -> None:
        """Wait until HAProxy has said that a server is `UP` or `DOWN`."""
        eventually(lambda: f"Server servers/{server} is {state}" in self.log.read_text())

    def reached(self) -> int:
        """The process that a fresh connection leads to."""
        with Client(self.address) as client:
            pid: int = client.call("pid", timeout=leaks.PATIENCE)
        return pid

    def client_of(self, server: Server) -> Client:
        """A client whose connection leads to this server."""
        others = []
        try:
            for _ in range(20):
                client = Client(self.address)
                if client.call("pid") == server.pid:
                    return client
                others.append(client)
        finally:
            for other in others:
                other.close()
        raise AssertionError("no connection leads there")


@pytest.fixture
def balanced(tmp_path: Path) -> Iterator[Balanced]:
    """HAProxy as the page configures it, on free ports, before two servers."""
    ports = {number: free_port() for number in ("65432", "65433", "65434")}
    (text,) = (block.text for block in blocks(PAGE.read_text(encoding="utf-8")) if block.file == "haproxy.cfg")
    for shown, port in ports.items():
        assert shown in text
        text = text.replace(shown, str(port))
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(text, encoding="utf-8")
    one, two = (Server(f"127.0.0.1:{ports[number]}", tmp_path / f"{number}.log") for number in ("65433", "65434"))
    log_file = tmp_path / "haproxy.log"
    with log_file.open("w") as log:
        proxy = None
        try:
            one.start()
            two.start()
            proxy = subprocess.Popen(["haproxy", "-db", "-f", str(configuration)], stdout=log, stderr=log)
            found = Balanced(f"127.0.0.1:{ports['65432']}", one, two, log_file)
            eventually(lambda: proxy_answers(found, proxy))
            yield found
        finally:
            if proxy is not None:
                proxy.kill()
                proxy.wait()
            one.end()
            two.end()


def proxy_answers(balanced: Balanced, proxy: "subprocess.Popen[bytes]") -> bool:
    """Whether HAProxy has begun."""
    assert proxy.poll() is None, balanced.log.read_text()
    try:
        balanced.reached()
    except ConnectionFailed:
        return False
    return True


def accepts(server: Server) -> bool:
    """Whether it takes connections."""
    try:
        connect(server.address).close()
    except ConnectionRefusedError:
        return False
    return True


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds; an error if it never does."""
    until = time.monotonic() + leaks.PATIENCE
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)


@contextmanager
def open_call(client: Client, seconds: float, folder: Path) -> Iterator[list[object]]:
    """A call of `slow`, open in a thread while the block runs; then the list has its result, or its error."""
    outcome: list[object] = []

    def call() -> None:
        try:
            outcome.append(client.call("slow", seconds=seconds, begun=str(folder / "begun")))
        except ConnectionFailed as error:
            outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    file_made(folder / "begun")
    try:
        yield outcome
    finally:
        thread.join()


def test_connections_are_spread_over_the_servers(balanced: Balanced) -> None:
    with Client(balanced.address) as first, Client(balanced.address) as second:
        assert {first.call("pid"), second.call("pid")} == {balanced.one.pid, balanced.two.pid}


def test_calls_streams_and_uploads_pass(balanced: Balanced) -> None:
    pieces = [bytes(60_000)] * 100
    with Client(balanced.address) as client:
        assert list(client.stream("count", to=5_000)) == list(range(5_000))
        assert client.call("size", bytes(8 << 20)) == 8 << 20
        assert client.call("total", pieces=iter(pieces)) == 6_000_000

    async def main() -> None:
        async with AsyncClient(balanced.address) as client:
            answers = await asyncio.gather(*(client.call("size", bytes(n)) for n in range(200)))
            assert answers == list(range(200))
            assert [n async for n in client.stream("count", to=5_000)] == list(range(5_000))
            assert await client.call("total", pieces=iter(pieces)) == 6_000_000

    leaks.run(main())


def test_a_client_that_ends_its_side_still_gets_its_answer(balanced: Balanced) -> None:
    with connect(balanced.address) as sock:
        sock.sendall(opening(None, "slow", 0.5))
        sock.shutdown(socket.SHUT_WR)
        assert received(sock).json()["result"] in (balanced.one.pid, balanced.two.pid)
        assert sock.recv(1) == b""


def test_the_caller_is_the_proxy(balanced: Balanced) -> None:
    with connect(balanced.address) as sock:
        sock.sendall(opening(None, "caller"))
        caller = received(sock).json()["result"]
        assert caller.startswith("127.0.0.1:")
        assert caller != f"127.0.0.1:{sock.getsockname()[1]}"


def test_a_server_that_is_killed_costs_what_was_open_there_and_nothing_else(balanced: Balanced, tmp_path: Path) -> None:
    with balanced.client_of(balanced.one) as client:
        with open_call(client, 60, tmp_path) as outcome:
            balanced.one.end()
        assert isinstance(outcome[0], ConnectionLost)
        assert client.call("pid") == balanced.two.pid
        for _ in range(10):
            assert balanced.reached() == balanced.two.pid


def test_a_server_that_comes_back_is_used_again(balanced: Balanced) -> None:
    balanced.one.end()
    balanced.wait_for("one", "DOWN")
    assert balanced.reached() == balanced.two.pid
    balanced.one.start()
    balanced.wait_for("one", "UP")
    with Client(balanced.address) as first, Client(balanced.address) as second:
        assert {first.call("pid"), second.call("pid")} == {balanced.one.pid, balanced.two.pid}


def test_a_server_that_drains_answers_what_is_open_while_new_connections_go_elsewhere(
    balanced: Balanced, tmp_path: Path
) -> None:
    draining = balanced.one.pid
    with balanced.client_of(balanced.one) as client:
        with open_call(client, 3, tmp_path) as outcome:
            balanced.one.signal(signal.SIGTERM)
            eventually(lambda: not accepts(balanced.one))
            for _ in range(10):
                assert balanced.reached() == balanced.two.pid
        assert outcome == [draining]
    assert balanced.one.process is not None
    assert balanced.one.process.wait(leaks.PATIENCE) == 0


def test_the_next_call_after_a_drained_server_goes_to_another(balanced: Balanced) -> None:
    async def main() -> None:
        async with AsyncClient(balanced.address) as client:
            first = await client.call("pid")
            stopped, other = (balanced.one, balanced.two) if first == balanced.one.pid else (balanced.two, balanced.one)
            stopped.signal(signal.SIGTERM)
            assert stopped.process is not None
            assert await asyncio.to_thread(stopped.process.wait, leaks.PATIENCE) == 0
            assert await client.call("pid") == other.pid

    leaks.run(main())


def test_a_server_that_hangs_is_taken_out(balanced: Balanced) -> None:
    balanced.one.signal(signal.SIGSTOP)
    try:
        balanced.wait_for("one", "DOWN")
        with Client(balanced.address) as first, Client(balanced.address) as second:
            assert {first.call("pid"), second.call("pid")} == {balanced.two.pid}
    finally:
        balanced.one.signal(signal.SIGCONT)
    balanced.wait_for("one", "UP")


def test_without_a_server_calls_fail_at_once(balanced: Balanced) -> None:
    balanced.one.end()
    balanced.two.end()
    with Client(balanced.address) as client, pytest.raises((NoReply, ConnectionLost)):
        client.call("pid", timeout=leaks.PATIENCE)


def test_a_client_goes_on_when_servers_are_killed_and_come_back(balanced: Balanced) -> None:
    with Client(balanced.address, idempotent=["pid"]) as client:
        assert client.call("pid") in (balanced.one.pid, balanced.two.pid)
        balanced.one.end()
        assert client.call("pid", timeout=leaks.PATIENCE) == balanced.two.pid
        balanced.two.end()
        waiting: list[int] = []
        thread = threading.Thread(target=lambda: waiting.append(client.call("pid", timeout=leaks.PATIENCE)))
        thread.start()
        eventually(lambda: client.counters["connect-failed"] > 1)  # the proxy takes connections, and hangs up
        balanced.one.start()
        thread.join()
        assert waiting == [balanced.one.pid]
        assert client.counters["connect-failed"] < 100


def test_the_health_check_leaves_no_line_in_a_servers_log(balanced: Balanced) -> None:
    with connect(balanced.one.address) as sock:

        def checked() -> int:
            sock.sendall(opening(None, "letterhead.health"))
            served: int = received(sock).json()["result"]["requests"]["served"]
            return served

        before = checked()
        eventually(lambda: checked() > before + 25)
    assert balanced.one.log.read_text() == ""

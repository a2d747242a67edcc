"""How many system calls a call costs, as strace counts them (Debian package ``strace``)."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import letterhead

CALLS = 500
SERVER = """
import letterhead

app = letterhead.App()

@app.action
async def echo(value: str) -> str:
    return value

app.run("127.0.0.1:0", on_ready=lambda server: print(server.addresses[0], flush=True))
"""
CLIENT = f"""
import sys
import letterhead

with letterhead.Client(sys.argv[1]) as client:
    client.call("echo", value="")
    sys.stdin.readline()
    for number in range({CALLS}):
        client.call("echo", value="x")
"""

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


class Traced:
    """A Python program under strace; ``calls`` says how often it made which system call."""

    def __init__(self, program: str, log: Path, *arguments: str) -> None:
        self._log = log
        command = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=network,desc,read,write"]
        self.process = subprocess.Popen(
            [*command, sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def calls(self) -> dict[str, int]:
        """Counts by name since the start; those that found nothing to do are `NAME in vain`."""
        counts: dict[str, int] = {}
        lines = self._log.read_text(errors="replace")
        for name, end in re.findall(r"^\d+ +(\w+)\((.*)$", lines, re.MULTILINE):
            kind = f"{name} in vain" if "= -1 EAGAIN" in end else name
            counts[kind] = counts.get(kind, 0) + 1
        return counts

    def stop(self) -> None:
        """End it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGTERM)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


def _since(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}


def _per_call(counts: dict[str, int], *names: str) -> float:
    return sum(counts.get(name, 0) for name in names) / CALLS


def _address(traced: Traced) -> str:
    assert traced.process.stdout is not None
    return traced.process.stdout.readline().strip()


def test_a_call_costs_the_server_one_read_and_one_write(tmp_path: Path) -> None:
    server = Traced(SERVER, tmp_path / "server")
    try:
        with letterhead.Client(_address(server)) as client:
            client.call("echo", value="")
            before = server.calls()
            for _ in range(CALLS):
                client.call("echo", value="x")
            made = _since(before, server.calls())
    finally:
        server.stop()
    assert _per_call(made, "read", "recvfrom", "recvmsg") < 1.1
    assert _per_call(made, "write", "sendto", "sendmsg", "writev") < 1.1
    assert _per_call(made, "read in vain", "recvfrom in vain", "recvmsg in vain") < 1.1
    assert _per_call(made, "epoll_wait", "epoll_pwait") < 2.1


def test_calls_that_arrive_together_are_answered_with_few_writes(tmp_path: Path) -> None:
    server = Traced(SERVER, tmp_path / "server")

    async def ask(address: str) -> dict[str, int]:
        async with letterhead.AsyncClient(address) as client:
            await client.call("echo", value="")
            before = server.calls()
            for _ in range(CALLS // 50):
                await asyncio.gather(*(client.call("echo", value="x") for _ in range(50)))
            return _since(before, server.calls())

    try:
        made = asyncio.run(ask(_address(server)))
    finally:
        server.stop()
    assert _per_call(made, "write", "sendto", "sendmsg", "writev") < 0.2


def test_a_call_costs_the_blocking_client_one_send_and_one_receive(tmp_path: Path) -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    client = Traced(CLIENT, tmp_path / "client", server.stdout.readline().strip())
    try:
        client.process.communicate("go\n")
        made = client.calls()
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
    assert 1.0 <= _per_call(made, "sendto", "sendmsg") < 1.1
    assert 1.0 <= _per_call(made, "recvfrom", "recvmsg") < 1.1
    # The look at a connection that idled: none in a row of calls, and never more than one a call.
    assert _per_call(made, "poll", "ppoll") <= 1.0

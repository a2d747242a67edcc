"""A network of three namespaces: `client`, `server`, and a router between them that can swallow everything.

It needs the rights of root (and Debian's ``iproute2`` and ``util-linux``). The namespaces belong to processes that
sleep: nothing of the machine's own network is touched, and nothing is left when the block has ended.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVER = "10.77.2.2"
CLIENT = "10.77.1.2"
_ESTABLISHED = "01"


@dataclass(frozen=True)
class Namespace:
    """One machine of the network; `holder` is the process that keeps it."""

    holder: int

    def command(self, *words: str) -> list[str]:
        """A command, as it runs in here."""
        return ["nsenter", "--target", str(self.holder), "--net", *words]

    def run(self, *words: str) -> None:
        """Run a command in here to its end."""
        subprocess.run(self.command(*words), check=True, capture_output=True, timeout=20)

    def python(self, module: str, *arguments: str) -> "subprocess.Popen[str]":
        """A Python module of these tests, started in here, with pipes to talk to it."""
        return subprocess.Popen(
            self.command(sys.executable, "-m", module, *arguments),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def connected(self) -> set[int]:
        """The ports at the server's end of the connections that the kernel in here holds for alive."""
        ports = set()
        for line in Path(f"/proc/{self.holder}/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, state, *_ = line.split()
            if state == _ESTABLISHED:
                ports |= {int(end.rpartition(":")[2], 16) for end in (local, remote)}
        return ports


@dataclass(frozen=True)
class Network:
    """The three of them."""

    client: Namespace
    between: Namespace
    server: Namespace

    def cut(self) -> None:
        """Swallow every packet from now on, in both directions, and tell nobody."""
        for place in (SERVER, CLIENT):
            self.between.run("ip", "route", "add", "blackhole", f"{place}/32")

    def heal(self) -> None:
        """Pass packets on again."""
        for place in (SERVER, CLIENT):
            self.between.run("ip", "route", "del", "blackhole", f"{place}/32")


@cache
def allowed() -> bool:
    """Whether this machine lets us make one."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        return False
    return subprocess.run(["unshare", "--net", "ip", "link"], capture_output=True, timeout=20).returncode == 0


@contextmanager
def network() -> Iterator[Network]:
    """The network, while the block runs; what runs in it must have ended by then."""
    with ExitStack() as stack:
        client, between, server = (stack.enter_context(_namespace()) for _ in range(3))
        for end, net in ((client, "10.77.1"), (server, "10.77.2")):
            name = net.replace(".", "-")
            between.run(
                "ip", "link", "add", name, "type", "veth", "peer", "name", "outward", "netns", str(end.holder)
            )  # fmt: skip
            between.run("ip", "address", "add", f"{net}.1/24", "dev", name)
            between.run("ip", "link", "set", name, "up")
            end.run("ip", "address", "add", f"{net}.2/24", "dev", "outward")
            for link in ("lo", "outward"):
                end.run("ip", "link", "set", link, "up")
            end.run("ip", "route", "add", "default", "via", f"{net}.1")
        between.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        yield Network(client, between, server)


@contextmanager
def _namespace() -> Iterator[Namespace]:
    command = ["unshare", "--net", "sh", "-c", "echo made; exec sleep 86400"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "made\n"
            yield Namespace(process.pid)
        finally:
            process.kill()

"""Cuts a network and measures how long until each side of each kind of connection notices.

`idle`: nothing is open. `waiting`: a call is open, and nothing is to be sent. `sending`: the client sends something
into the void. `reading`: the server does. One cut serves all of them.
"""

import subprocess
import time
from contextlib import ExitStack

from tests.long.network import SERVER, Namespace, network

KINDS = ("Client", "AsyncClient")
SITUATIONS = ("idle", "waiting", "sending", "reading")
PORTS = {(kind, situation): 7000 + n for n, (kind, situation) in enumerate((k, s) for k in KINDS for s in SITUATIONS)}
_GIVE_UP = 60.0

Measured = dict[tuple[str, str, str], float]


def measure(limits: str) -> Measured:
    """Seconds from the cut, by side (`client` and `server`: the kernel gave up; `call`: it raised), kind, situation.

    Args:
        limits: ``default``, or ``short``; see ``silence``.
    """
    found: Measured = {}
    with network() as net, ExitStack() as stack:
        addresses = [f"{SERVER}:{port}" for port in PORTS.values()]
        server = net.server.python("tests.long.silence", limits, "server", *addresses)
        stack.callback(_end, server)
        _ready(server)
        clients = {}
        for (kind, situation), port in PORTS.items():
            clients[kind, situation] = client = net.client.python(
                "tests.long.silence", limits, kind, situation, f"{SERVER}:{port}"
            )
            stack.callback(_end, client)
        for client in clients.values():
            _ready(client)
        time.sleep(1.0)  # what is under way has arrived
        for namespace in (net.client, net.server):
            assert namespace.connected() >= set(PORTS.values())
        net.cut()
        began = time.monotonic()
        for kind in KINDS:
            stdin = clients[kind, "sending"].stdin
            assert stdin is not None
            print(file=stdin, flush=True)
        sides = {"client": net.client, "server": net.server}
        while time.monotonic() < began + _GIVE_UP and len(found) < len(sides) * len(PORTS):
            for side, namespace in sides.items():
                _look(side, namespace, found, time.monotonic() - began)
            time.sleep(0.1)
        for (kind, situation), client in clients.items():
            if situation != "idle":
                assert client.stdout is not None
                at, _, sentence = client.stdout.readline().partition(" ")
                found["call", kind, situation] = float(at) - began
                print(f"{kind}, {situation}: {sentence.strip()}")
        for (side, kind, situation), seconds in sorted(found.items()):
            print(f"{side:6} {kind:11} {situation:7} {seconds:5.1f} s")
        return found


def _look(side: str, namespace: Namespace, found: Measured, seconds: float) -> None:
    alive = namespace.connected()
    for (kind, situation), port in PORTS.items():
        if port not in alive:
            found.setdefault((side, kind, situation), seconds)


def _ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()

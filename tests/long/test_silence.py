"""How long until either side notices that the other is gone without a word, measured in a network that is cut.

`idle`: nothing is open. `waiting`: a call is open, and nothing is to be sent. `sending`: the client sends something
into the void. `reading`: the server does. One cut serves all of them, since each takes half a minute.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.long.network import SERVER, Namespace, allowed, network

KINDS = ("Client", "AsyncClient")
SITUATIONS = ("idle", "waiting", "sending", "reading")
PORTS = {(kind, situation): 7000 + n for n, (kind, situation) in enumerate((k, s) for k in KINDS for s in SITUATIONS)}
IDLE_SECONDS = 40.0
PENDING_SECONDS = 30.0
_GIVE_UP = 60.0

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(180),
    pytest.mark.skipif(not allowed(), reason="network namespaces need root, and Debian's iproute2"),
    pytest.mark.xdist_group("silence"),
]

Measured = dict[tuple[str, str, str], float]


@pytest.fixture(scope="module")
def measured() -> Iterator[Measured]:
    """Seconds from the cut, by side (`client` and `server`: the kernel gave up; `call`: it raised), kind, situation."""
    found: Measured = {}
    with network() as net, ExitStack() as stack:
        addresses = [f"{SERVER}:{port}" for port in PORTS.values()]
        server = net.server.python("tests.long.silence", "server", *addresses)
        stack.callback(_end, server)
        _ready(server)
        clients = {}
        for (kind, situation), port in PORTS.items():
            clients[kind, situation] = client = net.client.python(
                "tests.long.silence", kind, situation, f"{SERVER}:{port}"
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
        yield found


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_peer_that_is_gone_without_a_word_is_noticed(
    measured: Measured, side: str, kind: str, situation: str
) -> None:
    pending = (side, situation) in {("client", "sending"), ("server", "reading")}
    assert measured[side, kind, situation] <= (PENDING_SECONDS if pending else IDLE_SECONDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("situation", ["waiting", "sending", "reading"])
def test_an_open_call_fails_when_the_peer_is_gone_without_a_word(measured: Measured, kind: str, situation: str) -> None:
    assert measured["call", kind, situation] <= (PENDING_SECONDS if situation == "sending" else IDLE_SECONDS)

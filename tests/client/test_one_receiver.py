"""One thread of a blocking client receives on a connection at a time, and what came is told before more comes."""

import random
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator

import pytest

from letterhead import App, Client
from letterhead.testing import background
from letterhead.transport.wire import Received, SocketWire
from tests.leaks import PATIENCE

SIZES = [1, 100, 65_537, 200_000]


class Watched(SocketWire):
    """Notes where two threads receive at once, or one does before the core knows what came; threads change often."""

    def __init__(self, sock: socket.socket, faults: list[str]) -> None:
        super().__init__(sock)
        self._faults = faults
        self._busy = threading.Lock()
        self._chance = random.Random(1)

    def receive(self, inbox: "deque[Received]", view: memoryview | None, timeout: float | None) -> bool:
        if not self._busy.acquire(blocking=False):
            self._faults.append("two at once")
            return False
        try:
            if inbox:
                self._faults.append("too early")
            self._rest()
            return super().receive(inbox, view, timeout)
        finally:
            self._busy.release()
            self._rest()

    def _rest(self) -> None:
        if self._chance.random() < 0.3:
            time.sleep(self._chance.random() * 2e-3)


@pytest.fixture
def address() -> Iterator[str]:
    app = App()

    @app.action
    async def echo(value: bytes) -> bytes:
        return value

    with background.running(app, "127.0.0.1:0") as served:
        yield served.server.addresses[0]


def test_one_receives_at_a_time_however_callers_come_and_go(address: str) -> None:
    faults: list[str] = []
    wrong: list[object] = []

    def connector(server: str, timeout: float | None) -> SocketWire:
        host, _, port = server.rpartition(":")
        return Watched(socket.create_connection((host, int(port)), timeout), faults)

    def calls(client: Client, caller: int) -> None:
        chance = random.Random(caller)
        for turn in range(400):
            value = bytes([caller]) * SIZES[turn % len(SIZES)]
            try:
                if client.call("echo", value, timeout=PATIENCE) != value:
                    wrong.append((caller, turn))
            except Exception as error:
                wrong.append(error)
            time.sleep(chance.random() * 3e-3)  # so that often nobody waits, or one alone

    with Client(address, connector=connector) as client:
        callers = [threading.Thread(target=calls, args=(client, caller), daemon=True) for caller in range(3)]
        for thread in callers:
            thread.start()
        for thread in callers:
            thread.join(PATIENCE)
        assert client.counters["connected"] == 1
    assert not wrong
    assert not faults

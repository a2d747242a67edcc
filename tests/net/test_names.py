"""Names are looked up in threads that hold nobody up."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from letterhead import ConnectTimedOut
from letterhead.transport import resolver as names
from letterhead.transport.address import Address
from tests import leaks
from tests.net.resolving import Found, hanging_resolver, resolver

NAME = Address("name.test", 80)
MOST = 64


@pytest.mark.parametrize(
    ("host", "literal"),
    [
        ("127.0.0.1", True), ("::1", True), ("fe80::1%lo", True), ("", False), ("localhost", False), ("1.2.3", False),
        ("a:b", False), ("1.2.3.4.example", False), ("x\0", False), ("ü", False),
    ],
)  # fmt: skip
def test_numbers_are_told_from_names(host: str, literal: bool) -> None:
    assert names.is_literal(host) is literal


def test_a_resolver_that_hangs_costs_a_bounded_number_of_threads() -> None:
    before = threading.active_count()
    with hanging_resolver():
        for _ in range(2 * MOST):
            with pytest.raises(ConnectTimedOut):
                names.look_up(NAME, 0.001)
        assert threading.active_count() - before == MOST


def test_what_nobody_waits_for_is_not_looked_up() -> None:
    gate = threading.Event()
    asked = []

    def answer() -> list[Found]:
        asked.append(threading.get_ident())
        gate.wait()
        return []

    with resolver(answer):
        for _ in range(2 * MOST):
            with pytest.raises(ConnectTimedOut):
                names.look_up(NAME, 0.001)
        gate.set()
        assert names.look_up(NAME, leaks.PATIENCE) == []
    assert len(asked) == MOST + 1


def test_more_names_than_threads_are_all_looked_up() -> None:
    def slow() -> list[Found]:
        time.sleep(0.02)
        return [("192.0.2.1", 80)]

    with resolver(slow), ThreadPoolExecutor(3 * MOST) as pool:
        found = list(pool.map(lambda _: names.look_up(NAME, leaks.PATIENCE), range(3 * MOST)))
    assert [places[0][1] for places in found] == [("192.0.2.1", 80)] * (3 * MOST)


FORKING = """
import os, socket, threading
from letterhead.transport import resolver as names
from letterhead.transport.address import Address

ask = socket.getaddrinfo
socket.getaddrinfo = lambda *args, **kwargs: threading.Event().wait()
for _ in range(100):
    try:
        names.look_up(Address("name.test", 80), 0.001)
    except TimeoutError:
        pass
if os.fork() == 0:
    socket.getaddrinfo = ask
    os._exit(0 if names.look_up(Address("localhost", 80), 10.0) else 1)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_the_child_of_a_fork_has_threads_of_its_own() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKING]  # newer Pythons warn of forks beside threads
    ended = subprocess.run(command, capture_output=True, text=True, timeout=leaks.PATIENCE)
    assert (ended.stdout, ended.stderr) == ("0\n", "")


PROGRAM = """
import asyncio, socket, sys, threading
import letterhead

socket.getaddrinfo = lambda *args, **kwargs: threading.Event().wait()

async def main():
    async with letterhead.AsyncClient("name.test:80") as client:
        await client.call("echo", 1, timeout=0.1)

try:
    if sys.argv[1] == "blocking":
        with letterhead.Client("name.test:80") as client:
            client.call("echo", 1, timeout=0.1)
    else:
        asyncio.run(main())
except TimeoutError:
    print("late")
"""


@pytest.mark.parametrize("kind", ["blocking", "async"])
def test_a_resolver_that_hangs_does_not_hold_up_the_end_of_the_program(kind: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, timeout=leaks.PATIENCE
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("late\n", "", 0)

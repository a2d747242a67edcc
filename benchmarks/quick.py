"""Letterhead beside plain sockets, in under a minute: ``make bench-quick``.

Server and client are processes of their own, each pinned to a core where there are two. Plain sockets and Letterhead
take turns within a round, and what counts is the median over rounds of the ratio within a round: machines drift by a
third within an hour, ratios by far less.

* ``ping-pong``: one request outstanding. Plain: 64 bytes out, 64 bytes back, blocking sockets. Letterhead: the blocking
  ``Client``, an ``async`` handler that returns its argument.
* ``window 64``: 64 requests outstanding. Plain: blocking sockets as written by hand, a ``recv`` and a ``sendall`` for
  each 64-byte frame on both sides, with 64 frames sent ahead. Letterhead: ``AsyncClient``, 64 tasks.
* ``1 MiB echo``: one request outstanding. Plain: ``sendall`` and ``recv_into`` a kept buffer. Letterhead: ``Client``.

Figures are requests a second. ``--seconds`` is the length of one measurement, ``--rounds`` how many there are of each.
"""

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import letterhead
from letterhead.server.app import loop_factory

FRAME = 64
WINDOW = 64
MIB = 1 << 20
VALUE = "0123456789abcdef"


def pin(core: int) -> None:
    """Stay on one core, where the machine has it and lets us."""
    # Not a choice among the cores we have: a process inherits them from the one that started it.
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setaffinity(0, {core})


# -- servers -----------------------------------------------------------------------------------------------------------


def serve_letterhead() -> None:
    """An application with one ``async`` action."""
    app = letterhead.App("bench")

    @app.action
    async def echo(value: object) -> object:
        return value

    app.run("127.0.0.1:0", on_ready=lambda server: print(server.addresses[0], flush=True))


def serve_plain() -> None:
    """Echo for one connection after the other: 64-byte frames at the first port, bulk at the second."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    print(*(listener.getsockname()[1] for listener in listeners), flush=True)
    with listeners[0].accept()[0] as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while frame := receive(sock):
            sock.sendall(frame)
    with listeners[1].accept()[0] as sock:
        view = memoryview(bytearray(MIB))
        while count := sock.recv_into(view):
            sock.sendall(view[:count])


# -- plain clients -----------------------------------------------------------------------------------------------------


def receive(sock: socket.socket) -> bytes:
    """One frame."""
    data = sock.recv(FRAME)
    while 0 < len(data) < FRAME:
        data += sock.recv(FRAME - len(data))
    return data


def plain_ping_pong(sock: socket.socket, seconds: float) -> float:
    """Requests a second, one outstanding."""
    frame = bytes(FRAME)
    done = 0
    until = (begin := time.perf_counter()) + seconds
    while time.perf_counter() < until:
        sock.sendall(frame)
        receive(sock)
        done += 1
    return done / (time.perf_counter() - begin)


def plain_window(sock: socket.socket, seconds: float) -> float:
    """Requests a second, 64 outstanding."""
    frame = bytes(FRAME)
    done = 0
    until = (begin := time.perf_counter()) + seconds
    for _ in range(WINDOW):
        sock.sendall(frame)
    while time.perf_counter() < until:
        receive(sock)
        sock.sendall(frame)
        done += 1
    elapsed = time.perf_counter() - begin
    for _ in range(WINDOW):  # what is still under way belongs to this measurement, not to the next
        receive(sock)
    return done / elapsed


def plain_bulk(sock: socket.socket, seconds: float) -> float:
    """Echoes of 1 MiB a second."""
    content = os.urandom(MIB)
    buffer = memoryview(bytearray(MIB))
    done = 0
    until = (begin := time.perf_counter()) + seconds
    sock.setblocking(False)
    while time.perf_counter() < until:
        sent = received = 0
        while received < MIB:  # both directions at once, else two full buffers wait for each other
            with contextlib.suppress(BlockingIOError):
                if sent < MIB:
                    sent += sock.send(memoryview(content)[sent:])
            with contextlib.suppress(BlockingIOError):
                received += sock.recv_into(buffer[received:])
        done += 1
    sock.setblocking(True)
    return done / (time.perf_counter() - begin)


# -- Letterhead's clients ----------------------------------------------------------------------------------------------


def ping_pong(client: letterhead.Client, seconds: float) -> float:
    """Calls a second, one outstanding."""
    done = 0
    until = (begin := time.perf_counter()) + seconds
    while time.perf_counter() < until:
        client.call("echo", value=VALUE)
        done += 1
    return done / (time.perf_counter() - begin)


def bulk(client: letterhead.Client, seconds: float) -> float:
    """Echoes of 1 MiB a second."""
    content = os.urandom(MIB)
    done = 0
    until = (begin := time.perf_counter()) + seconds
    while time.perf_counter() < until:
        client.call("echo", content)
        done += 1
    return done / (time.perf_counter() - begin)


async def window(client: letterhead.AsyncClient, seconds: float) -> float:
    """Calls a second, 64 outstanding."""
    until = (begin := time.perf_counter()) + seconds

    async def task() -> int:
        done = 0
        while time.perf_counter() < until:
            await client.call("echo", value=VALUE)
            done += 1
        return done

    counts = await asyncio.gather(*(task() for _ in range(WINDOW)))
    return sum(counts) / (time.perf_counter() - begin)


# -- the comparison ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def server(kind: str) -> Iterator[str]:
    """A server process of this file; its address."""
    command = [sys.executable, __file__, "--serve", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def compare(name: str, plain: Callable[[], float], ours: Callable[[], float], rounds: int) -> float:
    """Run both in turns; print the row; the median ratio."""
    plain(), ours()  # warm up
    pairs = [(plain(), ours()) for _ in range(rounds)]
    ratios = [mine / theirs for theirs, mine in pairs]
    theirs, mine = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(ratios)
    print(
        f"{name:<12} {theirs:>12,.0f} {mine:>12,.0f} {ratio:>9.2f}   {min(ratios):.2f} to {max(ratios):.2f}", flush=True
    )
    return ratio


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--serve", choices=["plain", "letterhead"], help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if options.serve:
        pin(0)
        (serve_plain if options.serve == "plain" else serve_letterhead)()
        return
    pin(1)
    seconds, rounds = options.seconds, options.rounds
    print(f"{'':<12} {'plain':>12} {'letterhead':>12} {'ratio':>9}   over {rounds} rounds")
    with server("plain") as ports, server("letterhead") as address:
        small, large = map(int, ports.split())
        with (
            letterhead.Client(address) as client,
            asyncio.Runner(loop_factory=loop_factory()) as runner,
        ):
            with connected(small) as sock:
                compare("ping-pong", lambda: plain_ping_pong(sock, seconds), lambda: ping_pong(client, seconds), rounds)
                many = letterhead.AsyncClient(address)
                compare(
                    "window 64", lambda: plain_window(sock, seconds), lambda: runner.run(window(many, seconds)), rounds
                )
                runner.run(many.close())
            with connected(large) as sock:
                compare("1 MiB echo", lambda: plain_bulk(sock, seconds), lambda: bulk(client, seconds), rounds)


def connected(port: int) -> socket.socket:
    """A plain connection."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


if __name__ == "__main__":
    main()

"""Streams: how fast, what a stalled or idle one costs, how soon a cancelled one ends: ``make bench-streams``.

Server and client are processes of their own, each pinned to a core where there are two.

* Throughput, beside plain sockets in turns, medians of ratios within a round. ``down`` and ``up``: 64 bytes of text an
  item; plain: a ``sendall`` for each 64-byte frame, and ``recv`` of 64 bytes. ``bulk``: items of 64 KiB; plain:
  ``sendall`` of as much, and ``recv_into`` a kept buffer. Down is an ``async`` generator read by a client, up is a
  client's generator read by an ``async`` handler.
* ``stalled``: 100 streams on one connection that nobody reads, while a caller on the same connection makes 1,000 calls
  a second: memory of both processes before and after, and how long a call took.
* ``cancel``: from the moment at which a client leaves a stream to the ``CancelledError`` in its handler, by the clock
  that the processes share, on a connection that does nothing else.
* ``idle``: streams on which nothing goes: memory for each at both sides, and the processor time of a second with all.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import letterhead
from benchmarks.quick import FRAME, compare, connected, pin, receive
from letterhead.server.app import loop_factory

TEXT = "0123456789abcdef" * 4
BULK = 64 * 1024
MIB = 1 << 20
STALLED = 100
RATE = 1_000
MANY = 2_000


# -- servers -----------------------------------------------------------------------------------------------------------


def serve_letterhead() -> None:
    """The streams that are measured."""
    app = letterhead.App("bench", limits=letterhead.Limits(max_open=4 * MANY))
    cancelled: list[float] = []

    @app.action
    async def down(count: int) -> AsyncIterator[str]:
        for _ in range(count):
            yield TEXT

    @app.action(name="down-bulk")
    async def down_bulk(count: int) -> AsyncIterator[bytes]:
        content = os.urandom(BULK)
        for _ in range(count):
            yield content

    @app.action
    async def up(items: AsyncIterator[str]) -> int:
        count = 0
        async for _ in items:
            count += 1
        return count

    @app.action(name="up-bulk")
    async def up_bulk(items: AsyncIterator[bytes]) -> int:
        count = 0
        async for item in items:
            count += len(item)
        return count

    @app.action
    async def endless() -> AsyncIterator[bytes]:
        content = bytes(1024)
        while True:
            yield content

    @app.action
    async def wait() -> AsyncIterator[str]:
        yield "begun"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(time.monotonic())
            raise

    @app.action(name="cancelled-at")
    async def cancelled_at() -> list[float]:
        times = list(cancelled)
        cancelled.clear()
        return times

    @app.action
    async def used() -> tuple[float, float]:
        return memory(), processor_time()

    @app.action
    async def echo(value: object) -> object:
        return value

    app.run("127.0.0.1:0", on_ready=lambda server: print(server.addresses[0], flush=True))


def serve_plain() -> None:
    """At four ports in turn: frames down, frames up, bulk down, bulk up; what is asked for is a count of items."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    print(*(listener.getsockname()[1] for listener in listeners), flush=True)
    socks = [listener.accept()[0] for listener in listeners]
    for sock in socks:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    frame, content, view = bytes(FRAME), bytes(BULK), memoryview(bytearray(BULK))
    while True:
        command = sys.stdin.readline().split()
        if not command:
            return
        which, count = int(command[0]), int(command[1])
        sock = socks[which]
        if which == 0:
            for _ in range(count):
                sock.sendall(frame)
        elif which == 1:
            for _ in range(count):
                receive(sock)
        elif which == 2:
            for _ in range(count):
                sock.sendall(content)
        else:
            left = count * BULK
            while left:
                left -= sock.recv_into(view, min(left, BULK))
        print("done", flush=True)


def memory() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / MIB


def processor_time() -> float:
    """Seconds that this process has run."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# -- the plain side ----------------------------------------------------------------------------------------------------


class Plain:
    """The client's end of the plain server."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._commands, self._answers = process.stdin, process.stdout
        self._socks = [connected(int(port)) for port in self._answers.readline().split()]

    def run(self, which: int, count: int) -> float:
        """Items a second."""
        sock = self._socks[which]
        view = memoryview(bytearray(BULK))
        frame, content = bytes(FRAME), bytes(BULK)
        begin = time.perf_counter()
        self._commands.write(f"{which} {count}\n")
        self._commands.flush()
        if which == 0:
            for _ in range(count):
                receive(sock)
        elif which == 1:
            for _ in range(count):
                sock.sendall(frame)
        elif which == 2:
            left = count * BULK
            while left:
                left -= sock.recv_into(view, min(left, BULK))
        else:
            for _ in range(count):
                sock.sendall(content)
        self._answers.readline()
        return count / (time.perf_counter() - begin)


# -- Letterhead's clients ----------------------------------------------------------------------------------------------


def timed(count: int, work: Callable[[], int]) -> float:
    """Items a second."""
    begin = time.perf_counter()
    assert work() == count
    return count / (time.perf_counter() - begin)


def read(client: letterhead.Client, action: str, count: int) -> int:
    """How many items came."""
    done = 0
    for _ in client.stream(action, count=count):
        done += 1
    return done


async def async_read(client: letterhead.AsyncClient, action: str, count: int) -> int:
    """How many items came."""
    done = 0
    async for _ in client.stream(action, count=count):
        done += 1
    return done


def throughput(address: str, plain: Plain, rounds: int, items: int, bulks: int) -> None:
    """The table of rates."""
    content = os.urandom(BULK)
    print(f"{'items/s':<12} {'plain':>12} {'letterhead':>12} {'ratio':>9}   over {rounds} rounds")
    with letterhead.Client(address) as client, asyncio.Runner(loop_factory=loop_factory()) as runner:
        other = letterhead.AsyncClient(address)

        def texts() -> Iterator[str]:
            return (TEXT for _ in range(items))

        def contents() -> Iterator[bytes]:
            return (content for _ in range(bulks))

        def row(name: str, which: int, count: int, work: Callable[[], int]) -> None:
            compare(name, lambda: plain.run(which, count), lambda: timed(count, work), rounds)

        row("down", 0, items, lambda: read(client, "down", items))
        row("down async", 0, items, lambda: runner.run(async_read(other, "down", items)))
        row("up", 1, items, lambda: int(client.call("up", items=texts())))
        row("up async", 1, items, lambda: int(runner.run(other.call("up", items=texts()))))
        row("bulk down", 2, bulks, lambda: read(client, "down-bulk", bulks))
        row("bulk d async", 2, bulks, lambda: runner.run(async_read(other, "down-bulk", bulks)))
        row("bulk up", 3, bulks, lambda: int(client.call("up-bulk", items=contents())) // BULK)
        row("bulk u async", 3, bulks, lambda: int(runner.run(other.call("up-bulk", items=contents()))) // BULK)
        runner.run(other.close())
    print(f"(a bulk item is {BULK >> 10} KiB: 16 of them a second are 1 MiB/s)")


async def stalled(address: str, seconds: float) -> None:
    """Streams that nobody reads, beside calls at a fixed rate."""
    async with letterhead.AsyncClient(address) as client:
        await client.call("echo", 1)
        alone = await calls(client, seconds)
        before, at_server = memory(), (await client.call("used"))[0]
        streams = [client.stream("endless") for _ in range(STALLED)]
        while await sent(client) < STALLED * MIB:  # noqa: ASYNC110  # what another process has done is no event here
            await asyncio.sleep(0.05)
        beside = await calls(client, seconds)
        after, then_at_server = memory(), (await client.call("used"))[0]
        for stream in streams:
            await stream.aclose()
    print(f"stalled: calls alone: {alone}; beside {STALLED} stalled streams: {beside}")
    print(f"stalled: client {before:.0f} → {after:.0f} MiB, server {at_server:.0f} → {then_at_server:.0f} MiB")


async def calls(client: letterhead.AsyncClient, seconds: float) -> str:
    """Calls at a fixed rate, and how long they took."""
    took: list[float] = []

    async def call() -> None:
        begin = time.perf_counter()
        await client.call("echo", 1)
        took.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * RATE)):
            await asyncio.sleep(max(0.0, begin + number / RATE - time.perf_counter()))
            group.create_task(call())
    elapsed = time.perf_counter() - begin
    took.sort()
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    return f"{len(took) / elapsed:,.0f}/s, p50 {p50 * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms"


async def sent(client: letterhead.AsyncClient) -> int:
    """Bytes that the server has sent so far."""
    health = await client.call("letterhead.health")
    return int(health["bytes"]["sent"])


async def cancels(address: str, count: int) -> None:
    """From leaving a stream to the end of its handler. Slower than the rate at which a server takes cancels."""
    took: list[float] = []
    async with letterhead.AsyncClient(address) as client:
        await client.call("cancelled-at")  # those of the measurement before
        for _ in range(count):
            stream = client.stream("wait")
            await anext(stream)
            left = time.monotonic()
            await stream.aclose()
            await asyncio.sleep(0.06)
            (ended,) = await client.call("cancelled-at")
            took.append(ended - left)
    took.sort()
    print(
        f"cancel: leaving to the handler's CancelledError, {count} times: p50 {took[count // 2] * 1e3:.2f} ms, "
        f"p99 {took[count * 99 // 100] * 1e3:.2f} ms, most {took[-1] * 1e3:.2f} ms"
    )


async def idle(address: str) -> None:
    """Streams on which nothing goes."""
    async with letterhead.AsyncClient(address) as client:
        await client.call("echo", 1)
        before, (at_server, _) = memory(), await client.call("used")
        streams = [client.stream("wait") for _ in range(MANY)]
        for stream in streams:
            await anext(stream)
        after, (then_at_server, ran) = memory(), await client.call("used")
        mine = processor_time()
        await asyncio.sleep(1.0)
        mine, (_, ran_then) = processor_time() - mine, await client.call("used")
        print(
            f"idle: {MANY} streams on one connection: client {(after - before) * 1024 / MANY:.1f} KiB each, "
            f"server {(then_at_server - at_server) * 1024 / MANY:.1f} KiB each, its handler's task included; "
            f"processor time of a second: client {mine * 1e3:.1f} ms, server {(ran_then - ran) * 1e3:.1f} ms"
        )


@contextlib.contextmanager
def server(kind: str) -> "Iterator[subprocess.Popen[str]]":
    """A server process of this file."""
    command = [sys.executable, "-m", "benchmarks.streams", "--serve", kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--serve", choices=["plain", "letterhead"], help=argparse.SUPPRESS)
    parser.add_argument("--items", type=int, default=60_000, help="small items in one measurement")
    parser.add_argument("--bulks", type=int, default=2_000, help="items of 64 KiB in one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cancels", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long calls are made beside stalled streams")
    options = parser.parse_args()
    if options.serve:
        pin(0)
        (serve_plain if options.serve == "plain" else serve_letterhead)()
        return
    pin(1)
    with server("plain") as plain, server("letterhead") as ours:
        assert ours.stdout is not None
        address = ours.stdout.readline().strip()
        # In this order: memory that one measurement has left would hide what the next one takes.
        for measurement in (idle(address), cancels(address, options.cancels), stalled(address, options.seconds)):
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(measurement)
        throughput(address, Plain(plain), options.rounds, options.items, options.bulks)


if __name__ == "__main__":
    main()

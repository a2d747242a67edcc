"""Handlers for worker processes: importable, since a worker finds them by the name of their module."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from letterhead import Client, Internal, Refused, current


def pid() -> int:
    """The worker's process."""
    return os.getpid()


def add(first: int, second: int = 1) -> int:
    """A sum."""
    return first + second


def note(path: str, name: str) -> None:
    """Write a name behind those that are in a file."""
    with Path(path).open("a") as file:
        file.write(f"{name}\n")


def refuse(order: int) -> None:
    """A refusal of the application's own."""
    raise Refused("not-found", f"no order {order}", order=order)


def fail() -> None:
    """A bug."""
    raise KeyError("/secret")


def fail_strangely() -> None:
    """An exception that cannot be sent between processes as it is."""

    class Local(Exception):
        pass

    raise Local


def give_unpicklable() -> Any:
    """A result that cannot be sent between processes."""
    return lambda: None


def die() -> None:
    """The worker ends, as by a crash."""
    os._exit(3)


def die_of_signal() -> None:
    """The worker is killed, as by a system that runs out of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def spin(started: str) -> None:
    """Keep a processor busy for ever; `started` is a file to make first, with the process in it."""
    _say_where(started)
    while True:
        sum(range(1000))


def _say_where(started: str) -> None:
    path = Path(started)
    path.with_suffix(".new").write_text(str(os.getpid()))
    path.with_suffix(".new").rename(path)


def wait_for(path: str, started: str | None = None) -> int:
    """Work on until there is a file of that name."""
    if started is not None:
        _say_where(started)
    while not Path(path).exists():
        time.sleep(0.005)
    return os.getpid()


def about_the_call() -> list[Any]:
    """What `current()` tells in a worker."""
    call = current()
    note = call.headers.get("x-note")
    return [call.action, call.caller, call.content_type, note, 0 < call.remaining <= 20.0, call.cancelled]


def call_back(address: str) -> str:
    """A nested call, refused by the other server."""
    with Client(address) as client:
        try:
            client.call("no-such-action")
        except Internal:
            return "wrong"
    return "unreachable"


def large(count: int = 1024 * 1024) -> bytes:
    """Much content out of a worker."""
    return bytes(count)


def size(data: bytes) -> int:
    """Much content into a worker."""
    return len(data)


def leave() -> None:
    """End the program, as a script would."""
    sys.exit(3)


def interrupt() -> None:
    raise KeyboardInterrupt

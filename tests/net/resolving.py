"""A resolver in place of the system's, for tests of what clients make of its answers."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

Found = tuple[str, int]
_ASK = socket.getaddrinfo


def entry(host: str, port: int) -> tuple[Any, ...]:
    """One line of an answer."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    where = (host, port, 0, 0) if family == socket.AF_INET6 else (host, port)
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where


@contextmanager
def resolver(answer: Callable[[], list[Found]], host: str = "name.test") -> Iterator[None]:
    """What ``answer`` returns or raises is what the system says of the name while the block runs."""

    def getaddrinfo(asked: Any, *args: Any, **kwargs: Any) -> Any:
        plain = asked.decode() if isinstance(asked, bytes) else asked
        return [entry(*found) for found in answer()] if plain == host else _ASK(asked, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@contextmanager
def hanging_resolver() -> Iterator[None]:
    """A resolver that does not answer while the block runs."""
    gate = threading.Event()

    def answer() -> list[Found]:
        gate.wait()
        return []

    try:
        with resolver(answer):
            yield
    finally:
        gate.set()

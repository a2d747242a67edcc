"""When the wire of a blocking client's connection is closed: once its conversation is over, and nobody waits on it."""

import socket
from collections.abc import Iterator

import pytest

from letterhead.client.blocking.connection import ClientConnection
from letterhead.transport.wire import SocketWire


class Counted(SocketWire):
    """A wire that counts how often it is shut down and closed."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.shut = self.ended = 0

    def shutdown(self) -> None:
        self.shut += 1
        super().shutdown()

    def close(self) -> None:
        self.ended += 1
        super().close()


@pytest.fixture
def wire() -> Iterator[Counted]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Counted(ours)


def test_it_is_not_freed_before_it_is_closed(wire: Counted) -> None:
    """A reader that ends because its client is about to close has no say in that."""
    pipe = ClientConnection(wire, 10.0)
    assert not pipe.free()
    assert wire.ended == 0
    assert wire.send([b"last words"]) == 10
    pipe.close()
    assert (wire.shut, wire.ended) == (0, 1)


@pytest.mark.parametrize("who", ["reader", "writer"])
def test_under_somebody_who_waits_it_is_shut_down_and_closed_afterwards(wire: Counted, who: str) -> None:
    pipe = ClientConnection(wire, 10.0)
    setattr(pipe, who, object())
    pipe.close()
    assert (wire.shut, wire.ended) == (1, 0)
    assert not pipe.free()
    setattr(pipe, who, None)
    assert pipe.free()
    assert pipe.free(), "again makes no difference"
    assert (wire.shut, wire.ended) == (1, 1)

"""Uploads whose server goes away before it has run them: every item, and the end, arrive where the call went."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests import leaks
from tests.classic.client import Frame, receive_frame
from tests.contract.callers import AsyncCaller
from tests.net import peers
from tests.net.kinds import Caller, Make, each_client
from tests.wire.frames import frame, json_frame


def greets(sock: socket.socket) -> Frame:
    """Answers the ping that comes first; the opening after it."""
    assert receive_frame(sock) is not None
    compressions = {"accept-compression": ["gzip"]}
    sock.sendall(frame({"id": 1, "max-open": 8, "credit": 1 << 20, **compressions}))
    sock.sendall(json_frame({"result": None}, {"id": 1}))
    opening = receive_frame(sock)
    assert opening is not None
    return opening


def leaves(sock: socket.socket) -> None:
    """Goes away when the upload is there."""
    greets(sock)
    sock.sendall(frame({"closing": 1}))
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(65536):
        continue


def counts(sock: socket.socket) -> None:
    """Answers with how many items came before the end."""
    opening = greets(sock)
    number = 0
    while (got := receive_frame(sock)) is not None:
        if got.header.get("more") is False:
            sock.sendall(json_frame(number, {"id": opening.header["id"]}))
            break
        number += 1
    while sock.recv(65536):
        continue


def items_after_the_move(caller: Caller, items: list[Any]) -> Iterator[Any] | AsyncIterator[Any]:
    """An iterable that gives nothing before its call has moved."""

    def give() -> Iterator[Any]:
        until = time.monotonic() + leaks.PATIENCE
        while not caller.client.counters["moved"] and time.monotonic() < until:
            time.sleep(0.005)
        yield from items

    async def give_on_the_loop() -> AsyncIterator[Any]:
        await leaks.until(lambda: caller.client.counters["moved"])
        for item in items:
            yield item

    return give_on_the_loop() if isinstance(caller, AsyncCaller) else give()


@pytest.mark.parametrize("items", [[], [1, 2, 3], ["a" * 50_000] * 3], ids=["none", "three", "compressed"])
def test_an_upload_that_moved_before_its_first_item_is_whole(items: list[Any]) -> None:
    plays = iter([leaves, counts] * 3)

    @each_client
    async def tried(make: Make) -> None:
        with peers.peer(lambda sock: next(plays)(sock)) as address:
            caller = make(address, compression=["gzip"])
            call = caller.call("count", numbers=items_after_the_move(caller, items))
            assert await asyncio.wait_for(call, leaks.PATIENCE) == len(items)
            await caller.close()

    for kind in ("Client-asyncio", "AsyncClient-asyncio", "AsyncClient-uvloop"):
        tried(kind)

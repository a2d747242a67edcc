"""Connections for event loops: the shell of ``eyeballs`` that waits on a loop, asyncio's and uvloop alike.

A socket that is not given out is closed before anything is returned or raised, also where the wait is cancelled; no
task and no timer is left on the loop.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import TypeVar

from letterhead import clock
from letterhead.limits import Limits
from letterhead.transport import address as addresses
from letterhead.transport import resolver as names
from letterhead.transport.address import Address, Place
from letterhead.transport.connect import QUEUE_PAUSE, Attempts
from letterhead.transport.happy_eyeballs import Race

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def connect(address: Address, factory: Callable[[], P], limits: Limits) -> tuple[asyncio.Transport, P]:
    """A transport connected to ``address`` within ``limits.connect_seconds``, and its protocol, made by ``factory``.

    Raises:
        ConnectionFailed: a subclass says why there is none.
    """
    loop = asyncio.get_running_loop()
    seconds = limits.connect_seconds
    try:
        if address.path is not None:
            sock = await _connected_unix(address.path, seconds)
        else:
            sock = await _connected(address, limits)
        try:
            if address.path is not None:
                return await loop.create_unix_connection(factory, sock=sock)
            return await loop.create_connection(factory, sock=sock)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise addresses.connect_failed(address, error, seconds) from None


async def _connected(address: Address, limits: Limits) -> socket.socket:
    loop = asyncio.get_running_loop()
    seconds = limits.connect_seconds
    began = clock.monotonic()
    places = await _look_up(address, seconds)
    race = Race(places, now=began, seconds=seconds, stagger=limits.eyeballs_seconds)
    attempts = Attempts(race)
    news = asyncio.Event()

    def ended(number: int) -> None:
        loop.remove_writer(number)
        attempts.ended(number, clock.monotonic())
        news.set()

    try:
        while True:
            now = clock.monotonic()
            for number in attempts.begin(now):
                loop.add_writer(number, ended, number)
            winner = attempts.taken()
            if winner is not None:
                return winner
            if race.lost(now):
                raise race.verdict(address, seconds)
            timer = loop.call_later(max(0.0, race.due - now), news.set)
            try:
                await news.wait()
            finally:
                timer.cancel()
            news.clear()
    finally:
        for number in attempts.under_way:
            loop.remove_writer(number)
        attempts.close()


async def _connected_unix(path: str, seconds: float) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        async with asyncio.timeout(seconds):
            while True:
                try:
                    sock.connect(path)
                    return sock
                except BlockingIOError:
                    await asyncio.sleep(QUEUE_PAUSE)
    except BaseException:
        sock.close()
        raise


async def _look_up(address: Address, seconds: float) -> list[Place]:
    if names.is_literal(address.host):
        return addresses.resolve(address, passive=False)
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def tell() -> None:
        with contextlib.suppress(RuntimeError):  # nobody waits: the loop is closed by now
            loop.call_soon_threadsafe(told.set)

    lookup = names.Lookup(address, tell)
    try:
        async with asyncio.timeout(seconds):
            await told.wait()
    except TimeoutError:
        raise names.overdue(address, seconds) from None
    finally:
        lookup.give_up()
    return lookup.places()

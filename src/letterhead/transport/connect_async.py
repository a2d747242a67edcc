"""Connecting on an event loop, asyncio's and uvloop alike: by any transport, and the TCP sockets that are raced for.

A socket that is not given out is closed before anything is returned or raised, also where the wait is cancelled; no
task and no timer is left on the loop.

What is sent on a connection is not known here.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from letterhead import clock
from letterhead.limits import Limits
from letterhead.transport import address as addresses
from letterhead.transport import resolver as names
from letterhead.transport.address import Address, P, Place
from letterhead.transport.connect import Attempts
from letterhead.transport.happy_eyeballs import Race


async def connect(address: Address, factory: Callable[[], P], limits: Limits) -> tuple[asyncio.Transport, P]:
    """A connection to an address of any transport, made within ``limits.connect_seconds``.

    Returns:
        the transport, and its protocol, which ``factory`` made.

    Raises:
        ConnectionFailed: a subclass says why there is none.
    """
    seconds = limits.connect_seconds
    try:
        return await address.transport.connect_async(address, factory, seconds, limits)
    except OSError as error:
        raise addresses.connect_failed(address, error, seconds) from None


async def tcp_socket(address: Address, seconds: float, limits: Limits) -> socket.socket:
    """A TCP socket connected within ``seconds`` to one of the addresses of a host.

    Raises:
        OSError: there is none; ConnectionFailed where several addresses were tried.
    """
    loop = asyncio.get_running_loop()
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


async def _look_up(address: Address, seconds: float) -> list[Place]:
    if names.is_literal(address.host):
        return names.resolve(address, passive=False)
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

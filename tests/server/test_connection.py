"""One connection of a server, whatever raises under it: what has to be done is done."""

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest

from letterhead import App, Limits
from tests.app.wire import Wire, opening, wire
from tests.leaks import run, until
from tests.wire.frames import frame

SOON = Limits(header_seconds=0.05, linger_quiet_seconds=0.05)


class Refusing(logging.Filter):
    """A filter that a program added, and that raises."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise RuntimeError("no log today")


@pytest.fixture
def refusing() -> Iterator[None]:
    """While the test runs, every log line of the server raises."""
    logger, refusing = logging.getLogger("letterhead.server"), Refusing()
    logger.addFilter(refusing)
    yield
    logger.removeFilter(refusing)


def quiet(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What a log handler raises is told to the loop, and is not what these tests are about."""


ENDS: dict[str, Callable[[Wire], object]] = {
    "a header that takes too long": lambda client: client.send(opening(2, "letterhead.ping")[:20]),
    "what is no frame": lambda client: client.send(b"\x00\x00"),
    "a breach": lambda client: client.send(frame({"id": 2, "cancel": True, "more": True})),
}


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_a_connection_of_a_peer_that_misbehaves_is_closed_although_the_log_raises(
    end: Callable[[Wire], object],
) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(quiet)
        async with wire(App(limits=SOON)) as client:
            client.send(opening(1, "letterhead.ping", value=1))
            await client.frame()
            end(client)
            await client.ended()
            shared = client.server.shared
            client.transport.close()
            await until(lambda: not shared.connections)
            assert (shared.counters.open_now, shared.budget.used) == (0, 0)

    run(main())

"""Writes what a client's core says to the log.

``logging`` is imported only when somebody could see the line: a program that only calls should start fast.

What is worth a line is the core's to say.
"""

import functools
import sys
from typing import TYPE_CHECKING

from letterhead.client.balancer import WARNING
from letterhead.client.core import Logged

if TYPE_CHECKING:
    import logging

LOGGER = "letterhead.client"


def write(logged: Logged) -> None:
    """Log one event, as docs/events.md lists them."""
    if logged.level < WARNING and "logging" not in sys.modules:
        return
    from letterhead.log import say

    say(_logger(), logged.level, logged.event, logged.sentence, *logged.args, **logged.fields)


def write_blocking(server: str) -> None:
    """Warn of a blocking call where an event loop runs."""
    sentence = (
        "a blocking call in the thread of an event loop, which stands still meanwhile: use AsyncClient there, or "
        "asyncio.to_thread"
    )
    write(Logged(WARNING, "blocking-on-loop", sentence, (), {"server": server}))


def write_failure(event: str, sentence: str, error: BaseException) -> None:
    """Log what a callback of the user's raised, which nobody else would hear of."""
    import logging

    from letterhead.log import say

    say(_logger(), logging.ERROR, event, sentence, exc_info=error)


@functools.cache
def _logger() -> "logging.Logger":
    """The client's logger, got once: a thread that is interrupted in ``getLogger`` keeps a lock that others need."""
    import logging

    return logging.getLogger(LOGGER)

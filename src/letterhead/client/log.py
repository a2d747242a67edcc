"""Writes what a client's core says to the log.

``logging`` is imported only when somebody could see the line: a program that only calls should start fast.

What is worth a line is the core's to say.
"""

import sys

from letterhead.client.balancer import WARNING
from letterhead.client.core import Logged

LOGGER = "letterhead.client"


def write(logged: Logged) -> None:
    """Log one event, as docs/events.md lists them."""
    if logged.level < WARNING and "logging" not in sys.modules:
        return
    import logging

    from letterhead.log import say

    say(logging.getLogger(LOGGER), logged.level, logged.event, logged.sentence, *logged.args, **logged.fields)


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

    say(logging.getLogger(LOGGER), logging.ERROR, event, sentence, exc_info=error)

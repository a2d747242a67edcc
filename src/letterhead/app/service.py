"""``Service``: what a program offers, as those who serve it see it. ``letterhead.App`` is one.

What lives here: the words that a runner and a server need of an application. How handlers are found, and where they
run, is not known here.
"""

from collections.abc import Callable
from typing import Any, Protocol

from letterhead.app.actions import Action, Around
from letterhead.limits import Limits
from letterhead.message import Message


class Service(Protocol):
    """What a program offers, and what serving it may cost.

    Attributes:
        name: shown by ``letterhead.describe``.
        limits: bounds on what clients may cost.
        threads: handlers that run in threads at once, and as many with a stream.
        processes: worker processes; None for one a processor.
        compression: names of compressions, the best first.
        actions: what is answered, by name.
        classic_forms: what answers an action on classic connections, where that is another function.
        binary_handler: answers requests without an action that are not JSON.
        start_hooks, stop_hooks, around_hooks: called before the first connection, after the last handler, and around
            every call.
    """

    name: str
    limits: Limits
    threads: int
    processes: int | None
    compression: tuple[str, ...]
    actions: dict[str, Action]
    classic_forms: dict[str, Callable[[Any], Any]]
    binary_handler: Callable[[Message], Any]
    start_hooks: list[Callable[[], Any]]
    stop_hooks: list[Callable[[], Any]]
    around_hooks: list[Around]

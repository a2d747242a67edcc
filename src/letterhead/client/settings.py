"""``Settings``: what a client was told when it was made, checked once for both clients.

What lives here: the settings, their checks and their defaults. What follows from them is not known here.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from letterhead.client.state import State
from letterhead.content.compression import readable
from letterhead.errors import UsageError
from letterhead.limits import Limits
from letterhead.message import media_type
from letterhead.protocol.exchange import NOTHING, Asks
from letterhead.wire.header import TYPE


@dataclass(frozen=True, slots=True)
class Settings:
    """How a client asks, and how it keeps going.

    Attributes:
        servers: addresses as they were written, each once.
        timeout: seconds for each call that names none; None: the server's own deadline holds.
        limits: bounds on what servers may send, and on what is sent.
        asks: what calls ask of their replies unless they say otherwise.
        compression: compressions that are wanted, best first.
        wait_for_ready: whether calls wait for a connection; None: once there has been one.
        idempotent: names of actions that may be sent again after a loss; None: what servers say of theirs.
        keep_alive: whether an idle connection is kept, and looked after.
        on_state: called with each new state, or None.
    """

    servers: tuple[str, ...]
    timeout: float | None
    limits: Limits
    asks: Asks
    compression: tuple[str, ...]
    wait_for_ready: bool | None
    idempotent: tuple[str, ...] | None
    keep_alive: bool
    on_state: Callable[[State], object] | None

    @property
    def address(self) -> str:
        """The servers, for messages."""
        return " or ".join(self.servers)


def settings_of(
    servers: Iterable[str],
    timeout: float | None,
    limits: Limits | None,
    accept: Sequence[str],
    compression: Sequence[str],
    wait_for_ready: bool | None,
    idempotent: Sequence[str] | None,
    keep_alive: bool,
    on_state: Callable[[State], object] | None,
) -> Settings:
    """The settings of a client, as its constructor takes them; ``servers`` are addresses, each once.

    Raises:
        UsageError: an argument is not what it should be; the sentence names it.
    """
    if isinstance(idempotent, str) or (
        idempotent is not None and not all(isinstance(name, str) for name in idempotent)
    ):
        raise UsageError(f"'idempotent' takes a list of names of actions, not {idempotent!r}")
    if wait_for_ready not in (None, True, False):
        raise UsageError(f"'wait_for_ready' is True, False or None, not {wait_for_ready!r}")
    if not isinstance(keep_alive, bool):
        raise UsageError(f"'keep_alive' is True or False, not {keep_alive!r}; Limits says how often it looks")
    if on_state is not None and not _is_plain(on_state):
        raise UsageError(f"'on_state' takes a plain function of one argument, not {on_state!r}")
    wanted = readable(compression)
    return Settings(
        tuple(servers),
        timeout,
        limits or Limits(),
        Asks(content_types(accept), wanted) if accept or wanted else NOTHING,
        wanted,
        wait_for_ready,
        None if idempotent is None else tuple(idempotent),
        keep_alive,
        on_state,
    )


def _is_plain(function: object) -> bool:
    import inspect  # only clients with ``on_state`` pay for it

    return callable(function) and not inspect.iscoroutinefunction(function)


def content_types(accept: Sequence[str]) -> tuple[str, ...]:
    """The argument ``accept`` of clients and calls.

    Raises:
        UsageError: it is no list of content types.
    """
    if isinstance(accept, (list, tuple)) and all(isinstance(t, str) and TYPE.match(media_type(t)) for t in accept):
        return tuple(accept)
    raise UsageError(f"'accept' takes a list of content types such as 'application/msgpack', not {accept!r}")

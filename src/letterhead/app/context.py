"""``letterhead.current()``: what a handler can know about the call that it answers.

Beside it, what a runner needs to know: the connection that a call came from (``Client``), and what in a call is to be
told when something moves (``Moved``).

How a request is answered is not known here, nor how its frames come and go.
"""

import math
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from letterhead import clock
from letterhead.content.encoded import Encoded
from letterhead.errors import Refused, UsageError
from letterhead.protocol.fields import NOT_IN_CONTEXTS
from letterhead.protocol.flow import Item
from letterhead.protocol.requests import Request

if TYPE_CHECKING:  # clients import this module, and not all of them need an event loop
    from asyncio import Task

    from letterhead.app.threads import Offloaded


class Client(Protocol):
    """Where requests come from: one connection. All of it is called in the runner's loop."""

    caller: str

    def answer(self, request: Request, outcome: Encoded | Refused | None) -> None:
        """Send the answer to a request although something of it still runs; None ends a stream. ``finish`` follows."""

    def finish(self, request: Request, outcome: Encoded | Refused | None) -> None:
        """Nothing of a request runs any more: send its answer, where it has none yet. Called once for each request."""

    def streams(self, request: Request) -> None:
        """The answer to a request is a stream."""

    def unpacked(self, request: Request, content: bytes) -> None:
        """The content of a request was decompressed.

        Raises:
            TooMany: the server cannot hold as much.
        """

    def send_item(self, request: Request, item: Encoded) -> int:
        """Send an item of a result: how many bytes that took; 0 where it has to wait for ``writable``."""

    def take(self, request: Request) -> Item | None:
        """The next item of an upload; None where none is there: ``readable`` follows, unless it is whole."""

    def fail(self, request: Request, why: Refused) -> None:
        """The request cannot be answered, whatever its handler says: its last frame is sent at once."""


class Moved(Protocol):
    """One end of a stream that waits for the other side."""

    def moved(self) -> None:
        """An item may be sent, or one is there to take; or nobody waits for the answer any longer."""


class Upload(Moved, Protocol):
    """The receiving end."""

    def close(self) -> None:
        """The handler has returned: nothing is given out any more."""


class Leaving(Protocol):
    """The server, as far as handlers may know it."""

    draining: bool


class Context:
    """The call that a handler answers.

    Attributes:
        action: its name; None for a binary request.
        caller: the address of the client, such as ``127.0.0.1:50312`` or ``unix``.
    """

    __slots__ = (
        "_content_type", "_deadline", "_headers", "_request", "action", "caller", "client", "sender", "server", "task",
        "upload", "waits", "work",
    )  # fmt: skip

    client: Client
    server: Leaving | None

    def __init__(self, request: Request, client: Client, server: Leaving) -> None:
        action = request.action
        self.action: str | None = action if isinstance(action, str) else None
        self.caller = client.caller
        self._content_type = ""  # this and the deadline are the request's, but in a worker process, which has none
        self._deadline = math.inf
        self._request: Request | None = request
        self._headers: Mapping[str, Any] | None = None
        # The runner's own: where the answer goes, and what is to be stopped or told.
        self.client = client
        self.server = server
        self.task: Task[None] | None = None
        self.work: dict[Offloaded[Any], Callable[[], object]] = {}
        """What runs for it in threads and processes, and what cancels that."""
        self.waits = 0
        """How often it is waited for that at the moment."""
        self.sender: Moved | None = None
        self.upload: Upload | None = None

    @property
    def request(self) -> Request:
        """The exchange; not in a worker process.

        Raises:
            UsageError: it is in another process.
        """
        if self._request is None:
            raise UsageError("the request is in the server's own process")
        return self._request

    @property
    def headers(self) -> Mapping[str, Any]:
        """The request's header fields that are not the connection's own: the caller's, trace context, ``action``."""
        if self._headers is None:
            fields = {} if self._request is None else self._request.header.fields
            self._headers = MappingProxyType({k: v for k, v in fields.items() if k not in NOT_IN_CONTEXTS})
        return self._headers

    @property
    def content_type(self) -> str:
        """The content type of the request, lower case, without parameters."""
        return self._content_type if self._request is None else self._request.header.shape.type

    @property
    def deadline(self) -> float:
        """When the last frame must be out, as ``time.monotonic()`` counts; ``math.inf`` where nothing ends the call."""
        return self._deadline if self._request is None else self._request.deadline

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; 0.0 once it has passed, ``math.inf`` for a stream whose client named none."""
        return clock.seconds_until(self.deadline)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any longer. A handler in a thread should look now and then."""
        return self._request is not None and self._request.stopped is not None

    @property
    def draining(self) -> bool:
        """Whether the server is going away. What would go on for long should end soon, and an endless stream now.

        What is not over when ``Limits.drain_seconds`` have passed is cancelled. In a worker process this is not known,
        and False.
        """
        return self.server is not None and self.server.draining

    def __reduce__(self) -> tuple[Any, ...]:
        # For ``run="process"``: the worker is killed when the call is cancelled, so it need not see that.
        return _in_worker, (self.action, self.caller, self.content_type, self.deadline, dict(self.headers))


def _in_worker(action: str | None, caller: str, content_type: str, deadline: float, headers: dict[str, Any]) -> Context:
    context = Context.__new__(Context)
    context.action, context.caller, context._content_type, context._deadline = action, caller, content_type, deadline
    context._request = context.server = None
    context._headers = MappingProxyType(headers)
    return context


SERVING: list[Any] = []
"""The event loops of this process on which servers run, one entry for each server."""

CURRENT: ContextVar[Context | None] = ContextVar("letterhead.current", default=None)


def current() -> Context:
    """The call that the running handler answers; also in tasks that it started and in threads.

    Raises:
        UsageError: no handler is running here.
    """
    context = CURRENT.get()
    if context is None:
        raise UsageError("letterhead.current() is for handlers: no call is being answered here")
    return context


def time_left(timeout: float | None) -> float | None:
    """Seconds for a call that is made here: a handler's calls get no more time than it has left itself (section 4).

    Tasks that a handler left running after it answered are not bound by that, nor what a handler does that has no
    deadline itself.
    """
    context = CURRENT.get()
    if context is None:
        return timeout
    request = context._request
    if request is not None and request.ended and request.stopped is None:
        return timeout
    remaining = context.remaining
    if remaining == math.inf:
        return timeout
    return remaining if timeout is None else min(timeout, remaining)


def refuse_to_block() -> bool:
    """For what would block this thread: it must not on an event loop that serves, nor in a handler there.

    Returns:
        whether it would hold up another event loop, whose matter that is.

    Raises:
        UsageError: the call would block the event loop that serves.
    """
    asyncio = sys.modules.get("asyncio")
    loop: Any = None if asyncio is None else asyncio._get_running_loop()
    if loop is not None and (CURRENT.get() is not None or loop in SERVING):
        raise UsageError(
            "a blocking call on an event loop that serves would stop the server, and may wait for itself: use "
            "AsyncClient there, or make the handler a plain function, which runs in a thread"
        )
    return loop is not None

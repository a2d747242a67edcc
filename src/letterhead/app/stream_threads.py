"""``StreamThreads``: the threads of handlers that give or take a stream.

Such a handler keeps its thread for as long as its stream lasts, and may wait in there for its client without end. So
that no client can keep threads from the others:

* One connection gets half of the threads at most, and a thread that becomes free goes to the connection with the
  fewest (``threads.py``).
* While others wait for a thread, one is taken back from the stream whose peer has been silent longest, if that is
  ``Limits.stream_quiet_seconds`` or more: the stream ends with ``timeout``. Silent is a peer that is waited for: it
  does not send the next item, or takes none. Where it is the handler that has nothing to say, or nobody else wants the
  thread, a stream may last for days.

All of it is called on the event loop.

What a handler does in its thread is not known here, nor how its items are sent.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from letterhead import clock
from letterhead.app.context import Context
from letterhead.app.threads import Offloaded, Threads
from letterhead.errors import FrameTimeout

T = TypeVar("T")

_NEXT_SECONDS = 1.0
"""After one was taken back, until another is, if the first has not returned by then."""


class StreamThreads:
    """The threads of one server for handlers with a stream.

    Args:
        loop: the server's event loop.
        most: how many threads.
        quiet_seconds: ``Limits.stream_quiet_seconds``.
        end: ends the stream of a call with an error.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        most: int,
        quiet_seconds: float,
        end: Callable[[Context, FrameTimeout], None],
    ) -> None:
        self._loop = loop
        self._quiet_seconds = quiet_seconds
        self._end = end
        self._threads = Threads(most, share=(most + 1) // 2)
        self._running: set[Context] = set()
        self._silent: dict[
            Context, float
        ] = {}  # those that wait for their peers, and since when; the first one longest
        self._timer: asyncio.TimerHandle | None = None
        self._ended_at = float("-inf")
        self._context = contextvars.Context()

    def submit(self, call: Context, function: Callable[..., T], /, *args: object) -> Offloaded[T]:
        """Run a call's handler in a thread, as soon as there is one for it; raises as ``Threads.submit`` does."""
        future = self._threads.submit(call.client, function, *args)
        self._running.add(call)

        def returned(_: "Future[T]") -> None:
            with contextlib.suppress(RuntimeError):  # the thread outlived the loop
                self._loop.call_soon_threadsafe(self._returned, call, context=contextvars.Context())

        future.add_done_callback(returned)
        self._look()
        return future

    def pause(self, client: object) -> None:
        """Begin no more handlers for a client, as ``Threads.pause`` does."""
        self._threads.pause(client)

    def resume(self, client: object) -> None:
        """Handlers for a client that was paused may begin again."""
        self._threads.resume(client)

    def waits(self, call: Context) -> None:
        """From now on a handler in a thread waits for its peer: for an item, or until an item may be sent."""
        if call in self._running and call not in self._silent:
            self._silent[call] = clock.monotonic()
            self._look()

    def goes_on(self, call: Context) -> None:
        """The peer of a call has done something."""
        self._silent.pop(call, None)

    def close(self) -> None:
        """End the threads; one that is in a call ends when that returns."""
        self._threads.close()
        self._silent.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _returned(self, call: Context) -> None:
        self._running.discard(call)
        self._silent.pop(call, None)
        self._ended_at = float("-inf")
        self._look()

    def _look(self) -> None:
        """End the stream that has been silent longest, if it keeps somebody waiting and has been silent long enough."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for call, since in self._silent.items():  # of one connection they are as many as its share, at most
            if not self._threads.would_begin(call.client):
                continue
            now = clock.monotonic()
            due = max(since + self._quiet_seconds, self._ended_at + _NEXT_SECONDS)
            if now >= due:
                del self._silent[call]
                self._running.discard(call)
                self._ended_at = now
                seconds = round(now - since, 3)
                sentence = f"the stream was silent for {seconds:g} s while others waited for its thread"
                self._end(call, FrameTimeout(sentence, seconds=seconds))
                due = now + _NEXT_SECONDS
            self._timer = self._loop.call_later(clock.seconds_until(due), self._look, context=self._context)
            return

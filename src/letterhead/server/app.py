"""``letterhead.App``: an application that can be served."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import FrameType
from typing import Any

from letterhead.app.app import Application
from letterhead.errors import UsageError
from letterhead.log import say
from letterhead.server.server import Server
from letterhead.server.signals import how_to_stop, stop_signals

log = logging.getLogger("letterhead.server")

_AT_ONCE_SECONDS = 0.5
_importing: ContextVar[bool] = ContextVar("letterhead.importing", default=False)


class App(Application):
    """What a program offers, and the server that offers it::

    app = letterhead.App()

    @app.action
    async def greet(name: str) -> str:
        return f"hello {name}"

    app.run("127.0.0.1:65432")
    """

    def serve(self, *addresses: str) -> Server:
        """A server for ``async with app.serve("127.0.0.1:0") as server:``.

        Args:
            addresses: one or several of ``HOST:PORT``, ``[::1]:PORT``, ``:PORT`` (every interface), ``unix:PATH``.
                Port 0 takes a free one; ``server.addresses`` tells it.

        Raises:
            UsageError: an address is not written so.
        """
        return Server(self, addresses or ("127.0.0.1:65432",))

    def run(self, *addresses: str, on_ready: Callable[[Server], object] | None = None) -> None:
        """Serve until SIGINT, SIGTERM or SIGHUP, then answer what was accepted and return.

        What is open has ``Limits.drain_seconds`` to end, is then cancelled, and after ``Limits.drain_cancel_seconds``
        left behind. A second signal ends the process at once. SIGINT and SIGHUP stay ignored in a program that was
        started so, as a background job of a script is, and what runs under ``nohup``.

        Args:
            addresses: as for ``serve``; default ``127.0.0.1:65432``.
            on_ready: called with the running server, instead of the log line that says where it listens.

        Raises:
            ListenFailed: an address cannot be listened at; the sentence says what to do.
            UsageError: an address is not written as one, or ``letterhead run`` is importing the module.
            KeyboardInterrupt, SystemExit: a signal came while the start hooks ran.
            Exception: what a hook raised; an ExceptionGroup where several stop hooks did.
        """
        if _importing.get():
            raise UsageError("'letterhead run' serves by itself: put app.run(…) under if __name__ == '__main__':")
        _log_somewhere()
        server = self.serve(*addresses)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(self._run(server, on_ready))

    async def _start(self, server: Server) -> None:
        """Start the server. A signal meanwhile interrupts the start hooks; a second one also what blocks the loop.

        Raises:
            KeyboardInterrupt: SIGINT came.
            SystemExit: SIGTERM or SIGHUP came; its status is 128 and the signal's number, as shells tell it.
        """
        starting = asyncio.ensure_future(server.start())
        loop = asyncio.get_running_loop()
        came: list[int] = []

        def interrupt(number: int, _: FrameType | None) -> None:
            came.append(number)
            if len(came) > 1:
                raise _end_of(number)
            loop.call_soon_threadsafe(starting.cancel)

        before = {number: signal.signal(number, interrupt) for number in stop_signals()}
        try:
            await starting
        except asyncio.CancelledError:
            if came:
                raise _end_of(came[0]) from None
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if came:  # too late to interrupt anything
            await server.close(0.0)
            raise _end_of(came[0])

    async def _run(self, server: Server, on_ready: Callable[[Server], object] | None) -> None:
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()
        again: asyncio.Future[int] = loop.create_future()

        def stop(number: int) -> None:
            if not asked.is_set():
                asked.set()
            elif not again.done():
                again.set_result(number)

        await self._start(server)
        numbers = stop_signals()
        for number in numbers:
            loop.add_signal_handler(number, stop, number)
        try:
            if on_ready is None:
                say(
                    log, logging.INFO, "listening", "listening at %s; %s stops", " and ".join(server.addresses),
                    how_to_stop(), addresses=server.addresses,
                )  # fmt: skip
            else:
                on_ready(server)
            await asked.wait()
            closing = loop.create_task(server.close())
            either: list[asyncio.Future[Any]] = [closing, again]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not closing.done():
                await self._end_now(server, again.result())
            closing.result()
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    async def _end_now(self, server: Server, number: int) -> None:
        """Cut off what is open, then end the process as the signal would have; what does not let go ends with it."""
        cutting = asyncio.get_running_loop().create_task(server.close(0.0))
        await asyncio.wait([cutting], timeout=_AT_ONCE_SECONDS)
        with contextlib.suppress(AttributeError, OSError, ValueError):  # a stream that is closed or none
            sys.stdout.flush()
            sys.stderr.flush()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)


def _end_of(number: int) -> BaseException:
    """How a program ends to which a signal came before it served."""
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


@contextlib.contextmanager
def not_while_imported() -> Iterator[None]:
    """While the block imports an application's module, ``App.run`` there is refused: it would serve at once."""
    token = _importing.set(True)
    try:
        yield
    finally:
        _importing.reset(token)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop where it is installed, else asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.SelectorEventLoop if sys.platform == "win32" else asyncio.new_event_loop
    return uvloop.new_event_loop


def _log_somewhere() -> None:
    """A program that has not set up logging still sees where it listens and what went wrong."""
    logger = logging.getLogger("letterhead")
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

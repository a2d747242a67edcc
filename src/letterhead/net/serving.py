"""``letterhead.App``: an application that can be served."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable

from letterhead.app.app import Application
from letterhead.net.server import Server

log = logging.getLogger("letterhead.server")


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

    def run(self, *addresses: str, on_ready: Callable[[Server], None] | None = None) -> None:
        """Serve until SIGINT or SIGTERM, then answer what was accepted and return. A second signal ends at once.

        Args:
            addresses: as for ``serve``; default ``127.0.0.1:65432``.
            on_ready: called with the running server, instead of the log line that says where it listens.

        Raises:
            ListenFailed: an address cannot be listened at; the sentence says what to do.
            UsageError: an address is not written as one.
        """
        _log_somewhere()
        server = self.serve(*addresses)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(self._run(server, on_ready))

    async def _run(self, server: Server, on_ready: Callable[[Server], None] | None) -> None:
        loop = asyncio.get_running_loop()
        asked = asyncio.Event()
        again = asyncio.Event()

        def stop() -> None:
            (again if asked.is_set() else asked).set()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        try:
            await server.start()
            if on_ready is None:
                log.info("listening at %s; Ctrl-C stops", " and ".join(server.addresses))
            else:
                on_ready(server)
            await asked.wait()
            closing = loop.create_task(server.close())
            impatient = loop.create_task(again.wait())
            await asyncio.wait([closing, impatient], return_when=asyncio.FIRST_COMPLETED)
            impatient.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await impatient
            if not closing.done():
                closing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await closing
                await server.close(0.0)
            else:
                closing.result()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)


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

"""``letterhead.App``: what a program offers, by name, and the server that offers it.

Handlers stay the functions that they were: a decorator only enters them here. How they are run is not known here, nor
how connections are served.
"""

import asyncio
import contextlib
import inspect
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from types import FrameType, SimpleNamespace
from typing import Any, TypeVar, overload

from letterhead.app.actions import Action, Around, Run, action_of, check_bound, check_whole, first_ten_bytes
from letterhead.app.hooks import is_async
from letterhead.content.compression import readable
from letterhead.errors import UsageError
from letterhead.limits import Limits
from letterhead.log import say
from letterhead.message import Message
from letterhead.server.server import Server
from letterhead.server.signals import how_to_stop, stop_signals

log = logging.getLogger("letterhead.server")

F = TypeVar("F", bound=Callable[..., Any])
A = TypeVar("A", bound=Around)

_AT_ONCE_SECONDS = 0.5
_importing: ContextVar[bool] = ContextVar("letterhead.importing", default=False)


class App:
    """What a program offers, and the server that offers it::

    app = letterhead.App()

    @app.action
    async def greet(name: str) -> str:
        return f"hello {name}"

    app.run("127.0.0.1:65432")

    Args:
        name: shown by ``letterhead.describe``.
        limits: bounds on what clients may cost.
        threads: handlers that run in threads at once; further ones wait. Those that call other handlers of the same
            server and wait for them need one thread each. Handlers with a stream, which keep their thread until that
            ends, have as many of their own, of which one connection gets half at most: a client that is slow to read
            or to send holds up no plain call.
        processes: worker processes for ``run="process"``; default: one a processor.
        compression: ``"zstd"`` (which needs the extra ``zstd``) and ``"gzip"``, or one of them: what clients may send
            compressed with, and in this order what answers are compressed with for clients that read it. Default:
            neither, since compressing costs more time than most networks save.

    Attributes:
        state: a namespace for what start hooks open and handlers use.

    Raises:
        UsageError: an argument is none of these.
    """

    def __init__(
        self,
        name: str = "letterhead",
        *,
        limits: Limits | None = None,
        threads: int = 64,
        processes: int | None = None,
        compression: Sequence[str] = (),
    ) -> None:
        if limits is not None and not isinstance(limits, Limits):
            raise UsageError(f"limits is a letterhead.Limits, not {type(limits).__name__}")
        for count, what in ((threads, "threads"), (processes, "processes")):
            if count is not None and (not isinstance(count, int) or count < 1):
                raise UsageError(f"{what} is a whole number from 1, not {count!r}")
        self.name = name
        self.limits = limits or Limits()
        self.threads = threads
        self.processes = processes
        self.compression = readable(compression)
        self.state = SimpleNamespace()
        self.actions: dict[str, Action] = {}
        self.classic_forms: dict[str, Callable[[Any], Any]] = {}
        self.binary_handler: Callable[[Message], Any] = first_ten_bytes
        self.start_hooks: list[Callable[[], Any]] = []
        self.stop_hooks: list[Callable[[], Any]] = []
        self.around_hooks: list[Around] = []

    @overload
    def action(self, function: F, /) -> F: ...
    @overload
    def action(
        self, /, *, name: str | None = None, run: Run | None = None, idempotent: bool = False
    ) -> Callable[[F], F]: ...
    def action(
        self, function: F | None = None, /, *, name: str | None = None, run: Run | None = None, idempotent: bool = False
    ) -> F | Callable[[F], F]:
        """Offer a function under its name. Its type hints are what arguments are converted to and checked by.

        A generator, plain or async, answers with a stream of what it yields. So does a function whose return type is
        ``AsyncIterator``, ``AsyncGenerator``, ``AsyncIterable``, ``Iterator`` or ``Generator``, such as a generator
        under a decorator; ``Iterable`` is no sign of a stream, since a list is one. A parameter annotated
        ``AsyncIterator[T]`` (in what runs on the loop) or ``Iterator[T]`` (in what runs in a thread) receives a stream.

        Args:
            name: the action's name; default: the function's.
            run: where it runs. An ``async def`` runs on the event loop, as does what gives an ``AsyncIterator``. A
                plain function runs in a thread unless told otherwise: ``"inline"`` on the loop, for what takes
                microseconds; ``"process"`` in a worker process, for what keeps a processor busy (a cancelled or late
                one is killed without harming others; the function must be importable from its module, and streams
                nothing).
            idempotent: running it twice with the same arguments does the same as running it once, as reading does, or
                setting a value. ``letterhead.describe`` says so, and clients may ask again where they cannot know
                whether it ran: when a connection broke.

        Raises:
            UsageError: the name is taken or reserved, a type hint cannot be checked, ``run`` does not fit, or it is a
                method in the body of a class.
        """

        def enter(handler: F) -> F:
            if not inspect.isroutine(handler):
                hint = f": write @app.action(name={handler!r})" if isinstance(handler, str) else ""
                raise UsageError(f"an action is a function or a method, not {handler!r}{hint}")
            taken = name or handler.__name__
            if taken in self.actions:
                raise UsageError(f"there is an action {taken!r} already")
            self.actions[taken] = action_of(handler, taken, run, idempotent)
            return handler

        return enter if function is None else enter(function)

    def binary(self, function: F) -> F:
        """Answer requests without an action that are not JSON: ``function(message) -> bytes | Message | value``.

        Raises:
            UsageError: it is a generator, since such an answer is whole, or a method in the body of a class.
        """
        check_bound(function, "the binary handler")
        check_whole(function, "the binary handler")
        self.binary_handler = function
        return function

    def classic(self, action: str) -> Callable[[F], F]:
        """Answer an action differently on classic connections: the function gets the request's ``value`` as it stands.

        For actions whose classic answer has another form than their own, such as the string that ``search`` gives.

        Raises:
            UsageError: the function is a generator, since such an answer is whole, or a method in the body of a class.
        """

        def enter(function: F) -> F:
            check_bound(function, f"the classic form of {action!r}")
            check_whole(function, f"the classic form of {action!r}")
            self.classic_forms[action] = function
            return function

        return enter

    def on_start(self, function: F) -> F:
        """Call this (plain or async, without arguments) before the first connection is accepted.

        Raises:
            UsageError: it is a method in the body of a class.
        """
        check_bound(function, "a start hook")
        self.start_hooks.append(function)
        return function

    def on_stop(self, function: F) -> F:
        """Call this (plain or async, no arguments) after the last handler has ended; last entered, first called.

        Each is called, whatever the others raise. A thread that does not return in time may be running still.

        Raises:
            UsageError: it is a method in the body of a class.
        """
        check_bound(function, "a stop hook")
        self.stop_hooks.insert(0, function)
        return function

    def around(self, function: A) -> A:
        """Wrap every call: ``async def hook(call, proceed): …; return await proceed()``.

        ``call`` is what ``letterhead.current()`` gives. A hook may raise ``Refused`` instead of proceeding, look at the
        result, or answer by itself. The first one entered is the outermost.

        Raises:
            UsageError: it is not async, or a method in the body of a class.
        """
        check_bound(function, "an around hook")
        if not is_async(function):
            raise UsageError(f"an around hook is async: write 'async def {getattr(function, '__name__', 'hook')}'")
        self.around_hooks.append(function)
        return function

    # -- serving ------------------------------------------------------------------------------------------------------

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
            UsageError: an address is not written as one, ``letterhead run`` is importing the module, or this is not
                the program's main thread.
            KeyboardInterrupt, SystemExit: a signal came while the start hooks ran.
            Exception: what a hook raised; an ExceptionGroup where several stop hooks did.
        """
        if _importing.get():
            raise UsageError("'letterhead run' serves by itself: put app.run(…) under if __name__ == '__main__':")
        if threading.current_thread() is not threading.main_thread():
            raise UsageError(
                "app.run(…) ends at signals, which only the main thread of a program hears: in another thread write "
                "'async with app.serve(…)' in a coroutine, and run that with asyncio.run"
            )
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
        try:
            for number in numbers:
                loop.add_signal_handler(number, stop, number)
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
        except BaseException:
            await server.close(0.0)  # ``on_ready`` failed; what has ended is not ended again
            raise
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

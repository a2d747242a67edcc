"""``Application``: what a program offers, by name. It opens no sockets; ``letterhead.App`` adds those.

Handlers stay the functions that they were: a decorator only enters them here.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal, TypeVar, overload

from letterhead.app.arguments import Parameters
from letterhead.app.context import Context
from letterhead.app.hints import holds_view
from letterhead.app.hooks import is_async
from letterhead.content.compression import readable
from letterhead.content.encoded import Encoded
from letterhead.content.registry import encode_content
from letterhead.errors import BadContent, UsageError
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.protocol.fields import NOT_IN_REPLIES
from letterhead.protocol.frames import check
from letterhead.wire.header import too_large

log = logging.getLogger("letterhead")

Run = Literal["loop", "inline", "thread", "process"]
Proceed = Callable[[], Awaitable[Any]]
Around = Callable[[Context, Proceed], Awaitable[Any]]
F = TypeVar("F", bound=Callable[..., Any])
A = TypeVar("A", bound=Around)

BINARY_TYPE = "binary/custom-server-binary-type"
"""What a server without a binary handler of its own answers (protocol section 2)."""


@dataclass(frozen=True, slots=True)
class Action:
    """One name and what answers it."""

    name: str
    function: Callable[..., Any]
    run: Run
    parameters: Parameters
    doc: str
    idempotent: bool = False


class Application:
    """What a program offers.

    Args:
        name: shown by ``letterhead.describe``.
        limits: bounds on what clients may cost.
        threads: handlers that run in threads at once; further ones wait. Those that call other handlers of the same
            server and wait for them need one thread each. Handlers with a stream, which keep their thread until that
            ends, have as many of their own: a client that is slow to read or to send holds up no plain call.
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
            UsageError: the name is taken or reserved, a type hint cannot be checked, or ``run`` does not fit.
        """

        def enter(handler: F) -> F:
            if not inspect.isroutine(handler):
                hint = f": write @app.action(name={handler!r})" if isinstance(handler, str) else ""
                raise UsageError(f"an action is a function or a method, not {handler!r}{hint}")
            self._enter(handler, name or handler.__name__, run, idempotent)
            return handler

        return enter if function is None else enter(function)

    def _enter(self, handler: Callable[..., Any], name: str, run: Run | None, idempotent: bool) -> None:
        if name in self.actions:
            raise UsageError(f"there is an action {name!r} already")
        if not name or not name.isprintable():
            raise UsageError(f"the name of an action is printable text, not {name!r}")
        if name.startswith("letterhead."):
            raise UsageError(f"the name {name!r} is reserved: names that begin with 'letterhead.' are the server's")
        check_bound(handler, f"action {name!r}")
        parameters = Parameters(handler, name)
        where = _place(handler, run, parameters, f"action {name!r}")
        self.actions[name] = Action(name, handler, where, parameters, inspect.getdoc(handler) or "", idempotent)

    def binary(self, function: F) -> F:
        """Answer requests without an action that are not JSON: ``function(message) -> bytes | Message | value``.

        Raises:
            UsageError: it is a generator: such an answer is whole.
        """
        check_bound(function, "the binary handler")
        _whole(function, "the binary handler")
        self.binary_handler = function
        return function

    def classic(self, action: str) -> Callable[[F], F]:
        """Answer an action differently on classic connections: the function gets the request's ``value`` as it stands.

        For actions whose classic answer has another form than their own, such as the string that ``search`` gives.

        Raises:
            UsageError: the function is a generator: such an answer is whole.
        """

        def enter(function: F) -> F:
            check_bound(function, f"the classic form of {action!r}")
            _whole(function, f"the classic form of {action!r}")
            self.classic_forms[action] = function
            return function

        return enter

    def on_start(self, function: F) -> F:
        """Call this (plain or async, without arguments) before the first connection is accepted."""
        check_bound(function, "a start hook")
        self.start_hooks.append(function)
        return function

    def on_stop(self, function: F) -> F:
        """Call this (plain or async, no arguments) after the last handler has ended; last entered, first called.

        Each is called, whatever the others raise. A thread that does not return in time may be running still.
        """
        check_bound(function, "a stop hook")
        self.stop_hooks.insert(0, function)
        return function

    def around(self, function: A) -> A:
        """Wrap every call: ``async def hook(call, proceed): …; return await proceed()``.

        ``call`` is what ``letterhead.current()`` gives. A hook may raise ``Refused`` instead of proceeding, look at the
        result, or answer by itself. The first one entered is the outermost.

        Raises:
            UsageError: it is not async.
        """
        if not is_async(function):
            raise UsageError(f"an around hook is async: write 'async def {getattr(function, '__name__', 'hook')}'")
        check_bound(function, "an around hook")
        self.around_hooks.append(function)
        return function


def _place(handler: Callable[..., Any], run: Run | None, parameters: Parameters, what: str) -> Run:
    """Where a handler runs.

    Raises:
        UsageError: not where it was told to, or its streams do not fit there.
    """
    streams, upload = parameters.streams, parameters.upload
    if run not in (None, "inline", "thread", "process", "loop"):
        raise UsageError(f"{what}: run is 'inline', 'thread' or 'process', not {run!r}")
    is_coroutine = inspect.iscoroutinefunction(handler)
    if is_coroutine and streams is not None and not streams.is_async:
        raise UsageError(f"{what} is async and gives an Iterator, which would hold the event loop: give AsyncIterator")
    on_loop = is_coroutine or (streams is not None and streams.is_async)
    if on_loop and run not in (None, "loop"):
        raise UsageError(f"{what} is async and runs on the event loop: leave out run={run!r}")
    if not on_loop and run == "loop":
        raise UsageError(f"{what} is a plain function: run='inline' calls it on the event loop")
    if run == "process" and "<" in handler.__qualname__:  # <locals>, <lambda>
        raise UsageError(f"{what}: run='process' needs a function that can be imported from its module")
    if run == "process" and (streams is not None or upload is not None):
        raise UsageError(f"{what} streams, which a worker process cannot: leave out run='process' for a thread")
    if run == "process":
        view = next((f"parameter {name!r}" for name, kind in parameters.types.items() if holds_view(kind)), None)
        if view is None and holds_view(parameters.returns):
            view = "the result"
        if view is not None:
            raise UsageError(f"{what}: {view} cannot be a memoryview, nor hold one, in another process: annotate bytes")
    place: Run = "loop" if on_loop else (run or "thread")
    if upload is not None:
        if place == "inline":
            raise UsageError(f"{what}: run='inline' cannot wait for the items of {upload.name!r}: make it async def")
        if on_loop and not upload.stream.is_async:
            raise UsageError(
                f"{what} is async: write {upload.name}: AsyncIterator[…], and read it with 'async for' instead of 'for'"
            )
        if not on_loop and upload.stream.is_async:
            raise UsageError(
                f"{what} is a plain function: write {upload.name}: Iterator[…], and read it with 'for'; "
                "or make it async def"
            )
    return place


def check_bound(function: Callable[..., Any], what: str) -> None:
    """Refuse a method that was entered in the body of its class, where there is no object yet for its ``self``.

    Raises:
        UsageError: it is one; the sentence says what to write instead.
    """
    if isinstance(function, classmethod):
        raise UsageError(f"{what} is a classmethod, which belongs to a class: enter it when the class is made")
    plain = inspect.unwrap(function) if inspect.isfunction(function) else function
    if not inspect.isfunction(plain):
        return
    inside, _, name = plain.__qualname__.rpartition(".")
    first = next(iter(inspect.signature(plain).parameters), None)
    if inside and not inside.endswith("<locals>") and first in ("self", "cls"):
        raise UsageError(
            f"{what} is a method in the body of a class, and would ask its callers for {first!r}: enter the method of "
            f"an object, as in app.action(thing.{name}), or make it a @staticmethod above the decorator"
        )


def _whole(function: Callable[..., Any], what: str) -> None:
    """Refuse a generator where an answer is whole."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{what} answers whole: return a value instead of yielding items")


def first_ten_bytes(message: Message) -> Message:
    """The default answer to a binary request: its first ten bytes (protocol section 2)."""
    answer = b"First 10 bytes of request: " + bytes(message.content[:10])
    return Message(answer, {"content-type": BINARY_TYPE, "content-encoding": "binary"})


def encode_result(value: Any, limits: Limits, accept: Sequence[str] = ()) -> Encoded:
    """A handler's result as it goes on the wire.

    Args:
        value: the result.
        limits: what a client takes.
        accept: content types that the client reads, best first.

    Raises:
        TypeError: it has no form on the wire, or is larger than a client takes. That is the handler's failing, and no
            refusal.
    """
    try:
        encoded = encode_content(value, accept)
        if isinstance(value, Message):
            fields = encoded.fields or {}
            encoded.fields = {name: field for name, field in fields.items() if name not in NOT_IN_REPLIES}
            check(encoded, limits)
            return encoded
    except (BadContent, UsageError) as error:
        raise TypeError(f"the result cannot be sent: {error}") from None
    fault = too_large(encoded.content_type, len(encoded.content), limits)
    if fault is not None:
        raise TypeError(f"the result cannot be sent: {fault}")
    return encoded

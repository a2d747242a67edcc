"""What an action is: a name and the handler that answers it, checked once, when it is entered.

Handlers stay the functions that they were. Where they run is decided here, what they take and give in ``arguments.py``;
nothing is run.

How an action is called is not known here, nor which request asks for it.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from letterhead.app.arguments import Parameters
from letterhead.app.context import Context
from letterhead.app.hints import holds_view
from letterhead.errors import UsageError
from letterhead.message import Message

Run = Literal["loop", "inline", "thread", "process"]
Proceed = Callable[[], Awaitable[Any]]
Around = Callable[[Context, Proceed], Awaitable[Any]]

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


def action_of(handler: Callable[..., Any], name: str, run: Run | None, idempotent: bool) -> Action:
    """The action that a handler answers.

    Args:
        handler: a function or a method.
        name: the action's name.
        run: where it is to run; None for where such a handler usually does.
        idempotent: running it twice does the same as running it once.

    Raises:
        UsageError: the name is reserved or none, a type hint cannot be checked, or ``run`` does not fit.
    """
    if not name or not name.isprintable():
        raise UsageError(f"the name of an action is printable text, not {name!r}")
    if name.startswith("letterhead."):
        raise UsageError(f"the name {name!r} is reserved: names that begin with 'letterhead.' are the server's")
    check_bound(handler, f"action {name!r}")
    parameters = Parameters(handler, name)
    where = place_of(handler, run, parameters, f"action {name!r}")
    return Action(name, handler, where, parameters, inspect.getdoc(handler) or "", idempotent)


def place_of(handler: Callable[..., Any], run: Run | None, parameters: Parameters, what: str) -> Run:
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
    inside, _, _ = plain.__qualname__.rpartition(".")
    first = next(iter(inspect.signature(plain).parameters), None)
    if inside and not inside.endswith("<locals>") and first in ("self", "cls"):
        raise UsageError(
            f"{what} is a method in the body of a class, and would ask its callers for {first!r}: enter the method of "
            f"an object, as in app.action(thing.{plain.__name__}), or make it a @staticmethod above the decorator"
        )


def check_whole(function: Callable[..., Any], what: str) -> None:
    """Refuse a generator where an answer is whole."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(f"{what} answers whole: return a value instead of yielding items")


def first_ten_bytes(message: Message) -> Message:
    """The default answer to a binary request: its first ten bytes (protocol section 2)."""
    answer = b"First 10 bytes of request: " + bytes(message.content[:10])
    return Message(answer, {"content-type": BINARY_TYPE, "content-encoding": "binary"})

"""``Client``: the blocking client, for any number of threads.

One lock guards all state. Here it is decided on which connection a call goes; ``link.py`` says who reads and writes
there. A classic server gets a connection for each call.

Nothing here imports asyncio: a program that only calls should start fast.
"""

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from letterhead.app.context import CURRENT, SERVING
from letterhead.errors import ConnectionFailed, ConnectTimedOut, UsageError
from letterhead.exchange.asking import Elsewhere, Phase
from letterhead.exchange.calls import Call
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.net import address as addresses
from letterhead.net.caller import Caller, out_of_time
from letterhead.net.link import Link
from letterhead.net.wire import Wire, connect

T = TypeVar("T")
Connector = Callable[[float | None], Wire]
_CLOSE_TO = 0.01
"""Seconds: a connection that timed out this close to the end of a call's time did so because of that call."""


_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()


class Client(Caller):
    """Calls actions of a Letterhead server, or of a classic one. Connects at the first call; any thread may call.

    Args:
        address: ``HOST:PORT``, ``[::1]:PORT`` or ``unix:PATH``.
        timeout: seconds for each call that names none, sent along as its deadline. None: the server's own deadline
            holds, and this side waits ``Limits.deadline_seconds`` (30 s).
        limits: bounds on what the server may send, and on what is sent.
        connector: instead of an address's own way to connect: ``connector(timeout) -> Wire``.

    Raises:
        UsageError: the address is not written as one.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float | None = None,
        limits: Limits | None = None,
        connector: Connector | None = None,
    ) -> None:
        super().__init__(address, timeout, limits)
        self._connector = connector or (lambda seconds: connect(self._address, seconds, self._limits))
        self._lock = threading.Lock()
        self._dialled = threading.Condition(self._lock)
        self._dialling: list[Call] | None = None  # calls that wait for the connection being made
        self._link: Link | None = None
        self._links: set[Link] = set()
        self._classic = False  # the server was classic when last seen
        self._closed = False
        _clients.add(self)

    # -- what users call -------------------------------------------------------------------------------------------

    @overload
    def call(self, action: str, /, *arg: Any, timeout: float | None = None, returns: type[T], **args: Any) -> T: ...
    @overload
    def call(self, action: str, /, *arg: Any, timeout: float | None = None, **args: Any) -> Any: ...
    def call(self, action: str, /, *arg: Any, timeout: float | None = None, returns: Any = None, **args: Any) -> Any:
        """Call an action and return its result.

        Args:
            action: its name.
            arg: one unnamed argument: JSON that is no object, or bytes.
            timeout: seconds until ``DeadlineExceeded``; the server gets the same deadline.
            returns: the type that the result is converted to and checked by, such as a dataclass or ``list[int]``.
            args: named arguments.

        Raises:
            Refused: the server refused the request; a subclass says why (``InvalidArgument``, ``UnknownAction``, …).
            DeadlineExceeded: no answer in time.
            ConnectionFailed: no connection, or it ended during the call; a subclass says how.
            BadContent: the result does not fit ``returns``.
            UsageError: arguments that cannot be sent, the client is closed, or the call would block the event loop of
                the very server that runs this handler.
        """
        call = self._action_call(action, arg, args, timeout, returns)
        self._perform(call)
        return call.result(returns, self._limits)

    def send(self, message: Message, *, timeout: float | None = None) -> Message:
        """Send a message with a header and content of your own, and return the reply as it is.

        With an ``action`` field in its header it calls that action; without, it is a request in classic form.

        Raises:
            As ``call``.
        """
        call = self._message_call(message, timeout)
        self._perform(call)
        reply: Message = call.result(None, self._limits)
        return reply

    def close(self) -> None:
        """Close the connection. Calls that are open in other threads fail with ``ConnectionLost``."""
        with self._lock:
            self._closed = True
            links = list(self._links)
            helpers = [link.helper for link in links if link.helper is not None]
            for link in links:
                link.end(self._gone())
        for helper in helpers:
            if helper is not threading.current_thread():
                helper.join()

    def _forget_connections(self) -> None:
        """In the child of a fork: what the parent has open stays the parent's; this side connects anew."""
        self._lock = threading.Lock()  # a thread of the parent may have held it
        self._dialled = threading.Condition(self._lock)
        self._dialling = None
        self._link = None
        links, self._links = self._links, set()
        for link in links:
            link.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- one call --------------------------------------------------------------------------------------------------

    def _perform(self, call: Call) -> None:
        loop = _running_loop()
        if loop is not None and (CURRENT.get() is not None or loop in SERVING):
            raise UsageError(
                "a blocking call on an event loop that serves would stop the server, and may wait for itself: use "
                "AsyncClient there, or make the handler a plain function, which runs in a thread"
            )
        until = time.monotonic() + call.seconds
        with self._lock:
            try:
                while call.header is None and call.error is None:
                    link: Link | None = call.home
                    if link is None:
                        self._place(call, until)
                    else:
                        link.wait(call, until)
                    if not call.done and time.monotonic() >= until:
                        error = out_of_time(call, str(self._address))
                        self._withdraw(call, late=True)
                        call.fail(error)
            except BaseException:  # Ctrl-C, or an exception thrown into this thread: nobody waits for the reply
                self._withdraw(call, late=False)
                raise

    def _withdraw(self, call: Call, *, late: bool) -> None:
        link: Link | None = call.home
        if link is not None:
            link.withdraw(call, late=late)

    # -- connections -----------------------------------------------------------------------------------------------

    def _place(self, call: Call, until: float | None) -> None:
        """Find or make a connection for a call (the lock is held; it is free while a connection is made)."""
        if self._closed:
            raise UsageError("this client is closed")
        link = self._link
        if link is not None and not self._classic and link.takes_calls():
            link.submit(call)
        elif self._classic:
            self._dial([call], until)
        elif self._dialling is None:
            calls = [call]
            try:
                self._dialling = calls
                self._dial(calls, until)
            finally:
                if self._dialling is calls:  # interrupted before it had begun
                    self._dialling = None
                    self._dialled.notify_all()
        else:
            self._dialling.append(call)
            self._dialled.wait(None if until is None else max(0.0, until - time.monotonic()))
            if self._dialling is not None and call in self._dialling:
                self._dialling.remove(call)

    def _dial(self, calls: list[Call], until: float | None) -> None:
        """Make a connection; where there is none, the calls that wait for it fail."""
        wire: Wire | None = None
        failure: ConnectionFailed | None = None
        self._lock.release()
        try:
            wire = self._connector(None if until is None else max(0.001, until - time.monotonic()))
        except Exception as error:  # also what a connector of the user's own raises
            failure = addresses.connect_failed(self._address, error, self._limits.connect_seconds)
        finally:
            self._lock.acquire()
            if calls is self._dialling:
                self._dialling = None
                self._dialled.notify_all()
        if wire is None:
            if isinstance(failure, ConnectTimedOut) and until is not None and time.monotonic() > until - _CLOSE_TO:
                return  # it was our own time that was over: the others, who may have more, try by themselves
            for call in calls:
                if not call.done and failure is not None:
                    call.fail(failure)
            return
        if self._closed:
            wire.close()
            for call in calls:
                call.fail(self._gone())
            return
        link = Link(self._lock, wire, self._requester(known_classic=self._classic), self)
        self._links.add(link)
        if not self._classic:
            self._link = link
        link.submit(calls[0])

    # -- what links report (the lock is held) ------------------------------------------------------------------------

    def handed_back(self, back: Elsewhere) -> None:
        """Calls that were not written on a connection that has ended; each thread places its own again."""
        self._classic = self._classic or back.classic
        if self._closed:
            for call in back.calls:
                call.fail(self._gone())

    def multiplexes(self, link: Link) -> None:
        """A server was found to multiplex: its connection is for all calls."""
        self._classic = False
        if self._link is None:
            self._link = link

    def parted(self, link: Link) -> None:
        """A connection has ended."""
        if self._link is link:
            self._link = None
        if link.requester.phase is Phase.CLASSIC:
            self._classic = True

    def closed(self, link: Link) -> None:
        """Its wire is closed."""
        self._links.discard(link)

    def keeps(self, link: Link) -> bool:
        """Whether an idle connection is kept for further calls."""
        return link is self._link


def _running_loop() -> Any:
    asyncio = sys.modules.get("asyncio")
    return None if asyncio is None else asyncio._get_running_loop()


def _forget_connections() -> None:
    for client in _clients:
        client._forget_connections()


os.register_at_fork(after_in_child=_forget_connections)

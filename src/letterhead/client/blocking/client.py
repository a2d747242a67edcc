"""``Client``: the blocking client, for any number of threads.

Here stands what users call. What is decided about calls stands in ``client/core.py``, who waits and reads in
``engine.py``.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from letterhead.client.blocking.connection import BlockingCall
from letterhead.client.blocking.engine import Connector, Engine
from letterhead.client.blocking.streams import Stream, Upload
from letterhead.client.calls import action_call, message_call, stream_call
from letterhead.client.items import Values
from letterhead.client.settings import settings_of
from letterhead.client.state import State
from letterhead.client.timing import Timing
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.transport import address as addresses

T = TypeVar("T")


class Client:
    """Calls actions of a Letterhead server, or of a classic one. Connects at the first call; any thread may call.

    Args:
        address: ``HOST:PORT``, ``[::1]:PORT`` or ``unix:PATH``; or a list of them, of servers that offer the same: each
            call goes to the one with the fewest open calls, and not to one that cannot be reached.
        timeout: seconds for each call that names none, sent along as its deadline. None: the server's own deadline
            holds, and this side waits ``Limits.deadline_seconds`` (30 s). Neither is for calls with a stream.
        limits: bounds on what the server may send, and on what is sent.
        accept: content types wanted for results, best first, such as ``["application/msgpack"]``; a result that fits
            none comes in its own type.
        compression: ``"zstd"`` (which needs the extra ``zstd``) and ``"gzip"``, or one of them, better ones first: what
            the server may send compressed so, and what goes so where the server reads it. Only ``call`` and ``stream``
            do; ``send`` sends what it is given.
        connector: instead of an address's own way to connect: ``connector(server, timeout)`` returns a ``Wire``
            (``letterhead.transport.wire``), with the address of the server that is meant.
        wait_for_ready: whether calls wait, within their timeout, while no server can be reached. None: not before the
            first connection, so that a wrong address shows at once, and from then on.
        idempotent: names of actions that do the same when they run twice: calls of them that are lost with their
            connection are sent again. None: the actions that the server declares idempotent.
        keep_alive: keep an idle connection open, and ask every ``Limits.ping_after_seconds`` whether it is.
        on_state: called with each new ``state``, one after the other, by a thread of its own.

    Raises:
        UsageError: the address is not written as one.
    """

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        timeout: float | None = None,
        limits: Limits | None = None,
        accept: Sequence[str] = (),
        compression: Sequence[str] = (),
        connector: Connector | None = None,
        wait_for_ready: bool | None = None,
        idempotent: Sequence[str] | None = None,
        keep_alive: bool = False,
        on_state: Callable[[State], object] | None = None,
    ) -> None:
        servers = addresses.parse_all(address)
        self._settings = settings_of(
            servers, timeout, limits, accept, compression, wait_for_ready, idempotent, keep_alive, on_state
        )
        self._engine = Engine(self._settings, servers, connector)

    @property
    def state(self) -> State:
        """The state of the connections: ``"idle"``, ``"connecting"``, ``"ready"``, ``"reconnecting"`` or ``"closed"``.

        Connections are made when a call needs one: an idle client whose server went away hears of it, and stays so.
        """
        return self._engine.core.balancer.state

    @property
    def counters(self) -> dict[str, int]:
        """Counts of what happened, by name.

        ``connected``, ``connect-failed``; ``lost``: connections that ended while calls were open, ``left``: that a
        server ended in order; ``moved``: calls that a leaving server did not run and another got, ``repeated``: calls
        that were sent again, after ``unavailable`` or a loss.
        """
        return dict(self._engine.core.balancer.counters)

    # -- what users call -------------------------------------------------------------------------------------------

    @overload
    def call(
        self,
        action: str,
        /,
        *arg: Any,
        timeout: float | None = None,
        returns: type[T],
        accept: Sequence[str] | None = None,
        supersedes: Hashable = None,
        timing: Timing | None = None,
        **args: Any,
    ) -> T: ...
    @overload
    def call(
        self,
        action: str,
        /,
        *arg: Any,
        timeout: float | None = None,
        accept: Sequence[str] | None = None,
        supersedes: Hashable = None,
        timing: Timing | None = None,
        **args: Any,
    ) -> Any: ...
    def call(
        self,
        action: str,
        /,
        *arg: Any,
        timeout: float | None = None,
        returns: Any = None,
        accept: Sequence[str] | None = None,
        supersedes: Hashable = None,
        timing: Timing | None = None,
        **args: Any,
    ) -> Any:
        """Call an action and return its result.

        One argument may be a stream: a generator, another iterator, ``range``, or an open file (its lines). Its items
        are sent as the server takes them, by a thread that iterates in a copy of this context: a call that is over
        does not wait for an iterable that blocks. When the call ends before the items do, a generator is closed, in
        that thread. What an iterable raises ends the call, and is raised here.

        Args:
            action: the action's name.
            arg: one unnamed argument: JSON that is no object, bytes, a ``Message``, or a stream.
            timeout: seconds until ``DeadlineExceeded``; the server gets the same deadline. A call with a stream has
                none unless it is named here.
            returns: the type that the result is converted to and checked by, such as a dataclass or ``list[int]``.
            accept: content types wanted for the result, best first, instead of the client's own.
            supersedes: any hashable key. The open call of this client that was made with the same key ends with
                ``Cancelled``, at the server, too: search as you type.
            timing: a ``Timing`` that is filled in with how long the server took.
            args: named arguments.

        Raises:
            Refused: the server refused the request; a subclass says why (``InvalidArgument``, ``UnknownAction``, …).
            DeadlineExceeded: no answer in time.
            Cancelled: a later call took its place.
            ConnectionFailed: no connection, or it ended during the call; a subclass says how.
            BadContent: the result does not fit ``returns``.
            UsageError: arguments that cannot be sent, the action answers with a stream, the client is closed, or the
                call would block the event loop of the very server that runs this handler.
        """
        call: BlockingCall = action_call(self._settings, action, arg, args, timeout, returns, accept, timing)
        self._engine.perform(call, supersedes, self._upload(call))
        return call.result(returns, self._settings.limits)

    @overload
    def stream(
        self,
        action: str,
        /,
        *arg: Any,
        timeout: float | None = None,
        returns: type[T],
        accept: Sequence[str] | None = None,
        supersedes: Hashable = None,
        timing: Timing | None = None,
        **args: Any,
    ) -> Stream[T]: ...
    @overload
    def stream(
        self,
        action: str,
        /,
        *arg: Any,
        timeout: float | None = None,
        accept: Sequence[str] | None = None,
        supersedes: Hashable = None,
        timing: Timing | None = None,
        **args: Any,
    ) -> Stream[Any]: ...
    def stream(
        self,
        action: str,
        /,
        *arg: Any,
        timeout: float | None = None,
        returns: Any = None,
        accept: Sequence[str] | None = None,
        supersedes: Hashable = None,
        timing: Timing | None = None,
        **args: Any,
    ) -> Stream[Any]:
        """Call an action that answers with a stream, and return its items as an iterator::

            for number in client.stream("count", to=3):
                print(number)

        The request is sent at once, in the order of calls, not with the first item. The server sends ahead up to 1 MiB
        of what was not read; a thread of the client's receives that as long as a stream is open. Leaving the loop early
        cancels the call there; a stream that has a name is left with ``with`` or ``close()``. A stream of arguments at
        the same time makes it a conversation.

        Args:
            timeout: seconds for all of it; by default a stream may take as long as it wants.
            returns: the type that each item is converted to and checked by.
            accept, supersedes, timing: as for ``call``.

        Raises:
            UsageError: arguments that cannot be sent, the client is closed, or reading would block the event loop of
                the very server that runs this handler.
            All else is raised where items are taken.
        """
        call: BlockingCall = stream_call(self._settings, action, arg, args, timeout, accept, timing)
        return self._open(call, returns, supersedes)

    def either(self, action: str, arguments: Mapping[str, Any], *, timeout: float | None = None) -> Stream[Any]:
        """Call an action however it answers, for tools that cannot know: one result is a stream of it alone.

        ``single`` of the stream says which it was, once an item is there.

        Args:
            action: the action's name.
            arguments: named ones, whatever their names.
            timeout: seconds for all of it; by default it may take as long as the server lets it.

        Raises:
            UsageError: arguments that cannot be sent, or the client is closed.
            All else is raised where items are taken.
        """
        call: BlockingCall = stream_call(self._settings, action, (), arguments, timeout, None, None, either=True)
        return self._open(call, None, None)

    def send(self, message: Message, *, timeout: float | None = None) -> Message:
        """Send a message with a header and content of your own, and return the reply as it is.

        With an ``action`` field in its header it calls that action; without, it is a request in classic form.

        Args:
            message: what is sent, with its header fields beside those of every frame.
            timeout: seconds until ``DeadlineExceeded``; default: the client's.

        Raises:
            Refused: the server refused the request; a subclass says why.
            DeadlineExceeded: no answer in time.
            ConnectionFailed: no connection, or it ended during the call; a subclass says how.
            TooLarge: the message is above the limits.
            UsageError: the message cannot be sent, or the client is closed.
        """
        call: BlockingCall = message_call(self._settings, message, timeout)
        self._engine.perform(call, None, None)
        reply: Message = call.result(None, self._settings.limits)
        return reply

    def close(self) -> None:
        """Close the connection. Calls and streams that are open in other threads fail with ``ConnectionLost``.

        A thread that waits in the iterable of an upload ends when that gives its next item.

        Raises:
            UsageError: in a signal handler, while this thread is in the midst of a call of this client.
        """
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, call: BlockingCall, returns: Any, key: Hashable) -> Stream[Any]:
        values = Values(call, returns, self._settings.limits)
        stream: Stream[Any] = Stream(self._engine, call, values)  # first: whatever is raised here, it leaves the call
        self._engine.open(call, key, self._upload(call))
        return stream

    def _upload(self, call: BlockingCall) -> Callable[[], None] | None:
        return None if call.source is None else Upload(self._engine, call).start

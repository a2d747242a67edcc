"""Every error Letterhead raises, in one tree.

    LetterheadError                 code, message, facts
    ├── UsageError                  you:      the call cannot be right, whatever the other side does
    ├── Refused                     the request: one side refused it, and says why with a code
    │   ├── BadFrame                  bad-frame          the peer's bytes are no frame
    │   ├── BadHeader                 bad-header         a header field is missing or wrong (field)
    │   ├── TooLarge                  too-large          content above the limit (size, limit)
    │   ├── BadContent                bad-content        content is not what its type and encoding say
    │   ├── UnknownAction             unknown-action     (action)
    │   ├── InvalidArgument           invalid-argument   (argument)
    │   ├── Unauthenticated           unauthenticated
    │   ├── Forbidden                 forbidden
    │   ├── TooMany                   too-many           (limit)
    │   ├── DeadlineExceeded          deadline-exceeded  also a TimeoutError (seconds)
    │   ├── Cancelled                 cancelled
    │   ├── Unavailable               unavailable        safe to try elsewhere
    │   ├── Internal                  internal           the handler failed
    │   └── FrameTimeout              timeout            a frame begun was not finished in time
    ├── ListenFailed                the server could not listen at an address; also an OSError (address)
    └── ConnectionFailed            the network: also a ConnectionError (address)
        ├── ConnectRefused            nothing listens there
        ├── ConnectTimedOut           no connection in time; also a TimeoutError
        ├── ConnectionLost            it ended while a call was open
        ├── NoReply                   it ended before the first frame came back
        ├── ForeignProtocol           what came back is no frame (received)
        └── Rejected                  a Letterhead server refused this connection (status)

The codes are those of section 5 of the protocol. A handler raises ``Refused`` (or a subclass) and the caller at the
other end catches the same class with the same facts. An application may use codes of its own, such as ``not-found``:
the caller then gets plain ``Refused`` with that ``code``.

Facts are keyword arguments: they stand in ``error.facts`` and are readable as attributes (``error.limit``).
"""

import codecs
import re
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

_CODE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*\Z")
_RESERVED = frozenset({"code", "message"})
# Looked up now: the first use of a codec opens a file, which a server without a free descriptor could not.
_ESCAPE = codecs.lookup("unicode_escape").encode


class LetterheadError(Exception):
    """Base of all errors of this package.

    ``code`` is a short stable word, ``message`` a sentence, ``facts`` a dict of JSON values that belong to it.
    """

    code: str = "error"
    relayed = False
    """Whether another program told it: an error that a handler's own call got is not the handler's answer."""

    def __init__(self, /, message: str, **facts: Any) -> None:  # a fact may be named anything else, ``self`` too
        message = str(message)  # ``raise Forbidden(error)``: another exception stands for its sentence
        super().__init__(message)
        self.message = message
        self.facts: dict[str, Any] = facts

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries (``run="process"``) with their facts.
        return _rebuild, (type(self), self.code, self.message, self.facts), {"relayed": self.relayed}

    def __getattr__(self, name: str) -> Any:
        facts: dict[str, Any] = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")


class UsageError(LetterheadError):
    """The caller's own mistake: a closed client, arguments that cannot be sent, a call that would wait for itself."""

    code = "usage"


class Refused(LetterheadError):
    """A request was refused, with a code of protocol section 5 or one of the application's own.

    Raise it in a handler, ``raise Refused("not-found", "no such order", order=17)``: the caller gets it with its facts.

    Raises:
        ValueError: the code is not lower-case words joined by hyphens, or a fact is named ``code`` or ``message``.
    """

    code = "refused"
    _by_code: ClassVar[dict[str, type["Refused"]]] = {}

    def __new__(cls, /, *words: Any, **facts: Any) -> Self:
        # ``Refused("forbidden", …)`` and ``Forbidden(…)`` are one thing, so that ``except Forbidden`` finds both.
        kind: type[Any] = Refused._by_code.get(words[0], cls) if cls is Refused and words else cls
        made: Self = super(Refused, kind).__new__(kind)
        return made

    def __init__(self, code: str, message: str, /, **facts: Any) -> None:
        if not _may_be_code(code):
            raise ValueError(f"an error code is lower-case words joined by hyphens, not {code!r}")
        if not _RESERVED.isdisjoint(facts):
            raise ValueError("a fact cannot be named 'code' or 'message'")
        super().__init__(message, **facts)
        self.code = code


class _OfSection5(Refused):
    """A refusal whose class says its code; constructed as ``Class(message, **facts)``."""

    @overload
    def __init__(self, message: str, /, **facts: Any) -> None: ...
    @overload
    def __init__(self, code: str, message: str, /, **facts: Any) -> None: ...
    def __init__(self, /, *words: str, **facts: Any) -> None:
        if len(words) == 2 and words[0] == self.code:  # built through ``Refused(code, message)``
            words = words[1:]
        if len(words) != 1:
            raise TypeError(f"{type(self).__name__} takes its message, and facts by name")
        super().__init__(self.code, words[0], **facts)


R = TypeVar("R", bound=_OfSection5)


class Fault(Generic[R]):
    """What is wrong with something that is kept, such as a header that may come again: the error to raise each time.

    An exception itself is never kept where it may be raised: each raise adds a traceback to it, which holds on to the
    variables of everybody who was called.

    Attributes:
        kind: the class of the error.
        message: the sentence for people.
        facts: the facts for programs.
    """

    __slots__ = ("facts", "kind", "message")

    def __init__(self, kind: type[R], message: str, **facts: Any) -> None:
        self.kind = kind
        self.message = message
        self.facts = facts

    @property
    def code(self) -> str:
        """The error's code."""
        return self.kind.code

    @classmethod
    def of(cls, error: R) -> "Fault[R]":
        """The fault that an error tells, without what the error holds on to."""
        return cls(type(error), error.message, **error.facts)

    def error(self) -> R:
        """A fresh error."""
        return self.kind(self.message, **self.facts)

    def __repr__(self) -> str:
        return f"Fault({self.kind.__name__}, {self.message!r})"


class BadFrame(_OfSection5):
    """The bytes are not a frame; framing is lost and the connection closes."""

    code = "bad-frame"


class BadHeader(_OfSection5):
    """A header field is missing, of the wrong type or not allowed here (``field``)."""

    code = "bad-header"


class TooLarge(_OfSection5):
    """Content above a limit (``size`` and ``limit`` in bytes)."""

    code = "too-large"


class BadContent(_OfSection5):
    """The content is not what its type and encoding say."""

    code = "bad-content"


class UnknownAction(_OfSection5):
    """The application has no such action (``action``)."""

    code = "unknown-action"


class InvalidArgument(_OfSection5):
    """An argument does not fit the action's type hints (``argument`` names it)."""

    code = "invalid-argument"


class Unauthenticated(_OfSection5):
    """The connection's token is missing or wrong."""

    code = "unauthenticated"


class Forbidden(_OfSection5):
    """The caller may not do this."""

    code = "forbidden"


class TooMany(_OfSection5):
    """Too many open exchanges, connections or buffered bytes, or too fast (``limit``)."""

    code = "too-many"


class DeadlineExceeded(_OfSection5, TimeoutError):
    """The answer was not there in time."""

    code = "deadline-exceeded"


class Cancelled(_OfSection5):
    """The request was cancelled before it had a result."""

    code = "cancelled"


class Unavailable(_OfSection5):
    """The server is going away or its backend is; the request was not run and is safe to send elsewhere."""

    code = "unavailable"


class Internal(_OfSection5):
    """The handler failed; the server's log says how."""

    code = "internal"


class FrameTimeout(_OfSection5):
    """A frame that had begun was not finished in time, or a stream was silent while others waited for its thread."""

    code = "timeout"


Refused._by_code.update({kind.code: kind for kind in _OfSection5.__subclasses__()})


class ListenFailed(LetterheadError, OSError):
    """A server could not listen at an address; the sentence says what to do."""

    code = "listen-failed"


class ConnectionFailed(LetterheadError, ConnectionError):
    """No connection, or the connection ended (``address``)."""

    code = "connection-failed"


class ConnectRefused(ConnectionFailed):
    """Nothing listens at the address."""

    code = "connect-refused"


class ConnectTimedOut(ConnectionFailed, TimeoutError):
    """The address did not answer in time."""

    code = "connect-timed-out"


class ConnectionLost(ConnectionFailed):
    """The connection ended while a call was open: whether the server ran it is unknown."""

    code = "connection-lost"


class NoReply(ConnectionFailed):
    """The connection ended before the first frame came back."""

    code = "no-reply"


class ForeignProtocol(ConnectionFailed):
    """What the server sent is not Letterhead (``received`` shows its first bytes, escaped)."""

    code = "foreign-protocol"


class Rejected(ConnectionFailed):
    """A Letterhead server refused this connection; ``status`` is its error code, its facts are this error's facts."""

    code = "rejected"


def _rebuild(kind: type[LetterheadError], code: str, message: str, facts: dict[str, Any]) -> LetterheadError:
    return refusal(code, message, facts) if issubclass(kind, Refused) else kind(message, **facts)


def refusal(code: str, message: str, facts: dict[str, Any]) -> Refused:
    """The refusal that an error reply describes: from another program, so facts and code may be anything.

    A code that no one may use becomes ``internal``; facts whose names collide are dropped.
    """
    known = {name: value for name, value in facts.items() if name not in _RESERVED}
    return Refused(code, message, **known) if _may_be_code(code) else Internal(message, **known)


def _may_be_code(code: str) -> bool:
    return _CODE.match(code) is not None and code != "ok" and len(code) <= 64


def escaped(data: bytes | str, limit: int = 60) -> str:
    """What came from a peer, shortened and escaped so that it can stand in a log line or a message."""
    text = data if isinstance(data, str) else data[: limit * 4].decode("utf-8", "backslashreplace")
    shown = _ESCAPE(text[:limit])[0].decode("ascii")
    return shown[:limit] + ("…" if len(text) > limit or len(shown) > limit else "")

"""Letterhead: self-describing frames over any pipe, and everything that two programs need to talk in them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from letterhead.app.context import Context as Context
    from letterhead.app.context import current as current
    from letterhead.client.aio.client import AsyncClient as AsyncClient
    from letterhead.client.aio.streams import AsyncStream as AsyncStream
    from letterhead.client.blocking.client import Client as Client
    from letterhead.client.blocking.streams import Stream as Stream
    from letterhead.client.state import State as State
    from letterhead.client.timing import Timing as Timing
    from letterhead.content.registry import decode as decode
    from letterhead.content.registry import encode as encode
    from letterhead.errors import BadContent as BadContent
    from letterhead.errors import BadFrame as BadFrame
    from letterhead.errors import BadHeader as BadHeader
    from letterhead.errors import Cancelled as Cancelled
    from letterhead.errors import ConnectionFailed as ConnectionFailed
    from letterhead.errors import ConnectionLost as ConnectionLost
    from letterhead.errors import ConnectRefused as ConnectRefused
    from letterhead.errors import ConnectTimedOut as ConnectTimedOut
    from letterhead.errors import DeadlineExceeded as DeadlineExceeded
    from letterhead.errors import Forbidden as Forbidden
    from letterhead.errors import ForeignProtocol as ForeignProtocol
    from letterhead.errors import FrameTimeout as FrameTimeout
    from letterhead.errors import Internal as Internal
    from letterhead.errors import InvalidArgument as InvalidArgument
    from letterhead.errors import LetterheadError as LetterheadError
    from letterhead.errors import ListenFailed as ListenFailed
    from letterhead.errors import NoReply as NoReply
    from letterhead.errors import Refused as Refused
    from letterhead.errors import Rejected as Rejected
    from letterhead.errors import TooLarge as TooLarge
    from letterhead.errors import TooMany as TooMany
    from letterhead.errors import Unauthenticated as Unauthenticated
    from letterhead.errors import Unavailable as Unavailable
    from letterhead.errors import UnknownAction as UnknownAction
    from letterhead.errors import UsageError as UsageError
    from letterhead.limits import Limits as Limits
    from letterhead.message import Message as Message
    from letterhead.server.app import App as App
    from letterhead.server.server import Server as Server

_ERRORS = (
    "BadContent BadFrame BadHeader Cancelled ConnectRefused ConnectTimedOut ConnectionFailed ConnectionLost "
    "DeadlineExceeded Forbidden ForeignProtocol FrameTimeout Internal InvalidArgument LetterheadError ListenFailed "
    "NoReply Refused Rejected TooLarge TooMany Unauthenticated Unavailable UnknownAction UsageError"
)
_HOMES = {
    **dict.fromkeys(_ERRORS.split(), "letterhead.errors"),
    "App": "letterhead.server.app",
    "AsyncClient": "letterhead.client.aio.client",
    "AsyncStream": "letterhead.client.aio.streams",
    "Client": "letterhead.client.blocking.client",
    "Context": "letterhead.app.context",
    "Limits": "letterhead.limits",
    "Message": "letterhead.message",
    "Server": "letterhead.server.server",
    "State": "letterhead.client.state",
    "Stream": "letterhead.client.blocking.streams",
    "Timing": "letterhead.client.timing",
    "current": "letterhead.app.context",
    "decode": "letterhead.content.registry",
    "encode": "letterhead.content.registry",
}
__all__ = sorted(_HOMES)  # the names that stand for type checkers above; a test compares the two

if not TYPE_CHECKING:  # else a type checker would take any name, misspelt ones too

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]

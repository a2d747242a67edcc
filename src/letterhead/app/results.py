"""``encode_result``: what a handler gave as it goes on the wire, checked against what a client takes.

Who waits for the result is not known here, nor when it is sent.
"""

from collections.abc import Sequence
from typing import Any

from letterhead.content.encoded import Encoded
from letterhead.content.registry import encode_content
from letterhead.errors import BadContent, Internal, Refused, TooLarge, UsageError
from letterhead.limits import Limits
from letterhead.message import Message, media_type
from letterhead.protocol.fields import NOT_IN_REPLIES
from letterhead.protocol.frames import check
from letterhead.wire.header import too_large


class CannotBeSent(TypeError):
    """A handler's result has no form on the wire, or is larger than a client takes: the handler's failing.

    Attributes:
        told: what its caller is told instead.
    """

    def __init__(self, reason: str, told: Refused | None = None) -> None:
        super().__init__(f"the result cannot be sent: {reason}")
        self.told = told or failed()


def failed() -> Internal:
    """What a caller is told whose handler failed."""
    return Internal("the handler failed; the server's log says how")


def encode_result(value: Any, limits: Limits, accept: Sequence[str] = ()) -> Encoded:
    """A handler's result as it goes on the wire.

    Args:
        value: the result.
        limits: what a client takes.
        accept: content types that the client reads, best first.

    Raises:
        CannotBeSent: it has no form on the wire, or is larger than a client takes.
    """
    try:
        encoded = encode_content(value, accept)
        if isinstance(value, Message):
            fields = encoded.fields or {}
            encoded.fields = {name: field for name, field in fields.items() if name not in NOT_IN_REPLIES}
            _check_size(encoded, limits)
            check(encoded, limits)
            return encoded
    except (BadContent, UsageError) as error:
        raise CannotBeSent(error.message) from None
    _check_size(encoded, limits)
    return encoded


def _check_size(encoded: Encoded, limits: Limits) -> None:
    content_type = encoded.content_type
    if not isinstance(content_type, str):  # of a message: ``check`` says that it is none
        return
    size = len(encoded.content)
    fault = too_large(media_type(content_type), size, limits)
    if fault is not None:
        limit = fault.facts["limit"]
        told = TooLarge(f"the result is too large: {size} bytes, and the limit is {limit}", size=size, limit=limit)
        raise CannotBeSent(f"{size} bytes of {content_type}, and the limit is {limit}", told)

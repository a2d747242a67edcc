"""Whether a frame that a server sent is the one that a conversation expects.

What lives here: the rules of README.md's "What a server's frame is held against", as functions that return
what is wrong, one sentence each, and an empty list where nothing is.
The rules: the standard library alone, and no tolerance that README.md does not name.
What this file must not know: any implementation of the protocol.
"""

import json
from collections.abc import Mapping
from typing import Any

from tests.vectors.notation import bytes_of

CODES = frozenset(
    (
        "bad-frame", "bad-header", "too-large", "bad-content", "unknown-action", "invalid-argument",
        "unauthenticated", "forbidden", "too-many", "deadline-exceeded", "cancelled", "unavailable",
        "internal", "timeout",
    )
)  # fmt: skip
# Fields with a meaning of their own: each is absent where a case does not say otherwise.
MEANINGFUL = (
    "id", "action", "status", "more", "max-open", "credit", "cancel", "supersedes", "deadline", "accept",
    "accept-compression", "timing", "closing", "authorization", "compression",
)  # fmt: skip
MAX_OPEN = 128
ABSENT = object()


def differences(
    expected: Mapping[str, Any], header: Mapping[str, Any], content: bytes, *, multiplexed: bool
) -> list[str]:
    """What is wrong with a reply, held against `frame` of a server's step."""
    wanted: dict[str, Any] = dict(expected.get("header", {}))
    maybe: dict[str, Any] = dict(expected.get("maybe", {}))
    said = expected["content"]
    found = _field_differences(header, content)
    usual = ("application/octet-stream", "binary") if "bytes" in said else ("text/json", "utf-8")
    wanted = {"content-type": usual[0], "content-encoding": usual[1]} | wanted
    if multiplexed and "error" in said:
        code = said["error"] or header.get("status")
        found += [] if code in CODES else [f"status is no error code: {code!r}"]
        wanted["status"] = code
    elif multiplexed:
        maybe["status"] = "ok"
    for field in sorted({*MEANINGFUL, *wanted} - set(expected.get("present", ()))):
        value = header.get(field, ABSENT)
        allowed = [wanted[field]] if field in wanted else [ABSENT, maybe.get(field, ABSENT)]
        if not any(same(value, one) for one in allowed):
            found.append(f"{field} is {'absent' if value is ABSENT else repr(value)}")
    found += [f"{field} is absent" for field in expected.get("present", ()) if field not in header]
    return found + _content_differences(said, content)


def hello_differences(number: int, header: Mapping[str, Any], content: bytes) -> list[str]:
    """What is wrong with a hello for the exchange of that number, under default limits."""
    found = _field_differences(header, content)
    wanted = {
        "content-type": "application/octet-stream",
        "content-encoding": "binary",
        "content-length": 0,
        "id": number,
        "max-open": MAX_OPEN,
    }
    found += [f"{field} is {header.get(field)!r}" for field, value in wanted.items() if header.get(field) != value]
    may = {*wanted, "credit", "accept-compression"}
    found += [f"{field} stands in a hello" for field in MEANINGFUL if field in header and field not in may]
    credit = header.get("credit", 1)
    if type(credit) is not int or not 1 <= credit < 2**31:
        found.append(f"credit is {credit!r}")
    names = header.get("accept-compression", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        found.append(f"accept-compression is {names!r}")
    return found


def same(one: Any, other: Any) -> bool:
    """Equal as JSON values: true is not 1, and the order of keys counts for nothing."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def holds(whole: Any, part: Any) -> bool:
    """Whether every key of `part` is in `whole`, at any depth; what is no object must be equal."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and holds(whole[key], part[key]) for key in part)
    return same(whole, part)


def _field_differences(header: Mapping[str, Any], content: bytes) -> list[str]:
    found = []
    if header.get("byteorder") not in ("little", "big"):
        found.append(f"byteorder is {header.get('byteorder')!r}")
    if not same(header.get("content-length"), len(content)):
        found.append(f"content-length is {header.get('content-length')!r} for {len(content)} bytes")
    return found


def _content_differences(said: Mapping[str, Any], content: bytes) -> list[str]:
    if "bytes" in said:
        return [] if content == bytes_of(said["bytes"]) else [f"content is {content[:100]!r}"]
    try:
        value = json.loads(content.decode("utf-8"))
    except ValueError as error:
        return [f"content is not JSON: {error}"]
    if "json" in said:
        return [] if same(value, said["json"]) else [f"content is {value!r}"]
    if "json-has" in said:
        return [] if holds(value, said["json-has"]) else [f"content is {value!r}"]
    return _error_differences(said, value)


def _error_differences(said: Mapping[str, Any], value: Any) -> list[str]:
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return [f"content holds no error: {value!r}"]
    found = []
    code, message = error.get("code"), error.get("message")
    if code not in CODES or (said["error"] is not None and code != said["error"]):
        found.append(f"code is {code!r}")
    if not isinstance(message, str) or not message or message != said.get("message", message):
        found.append(f"message is {message!r}")
    if said.get("result") == "present" and "result" not in value:
        found.append("result is absent")
    elif said.get("result") == "absent" and "result" in value:
        found.append("result is present")
    elif "result" in value and value["result"] != f"Error: {message}":
        found.append(f"result is {value['result']!r}")
    return found

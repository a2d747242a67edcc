"""The rules that server frames are held against, held against frames that are right and frames that are not.

What lives here: matching.py's own tests, one small frame a case.
The rules: every tolerance that README.md names has a frame that uses it, and one that goes beyond it.
What this file must not know: any implementation of the protocol.
"""

from typing import Any

import pytest

from tests.vectors.matching import differences, hello_differences

REPLY = {"byteorder": "big", "content-length": 12, "content-type": "text/json", "content-encoding": "utf-8"}
HELLO = {
    "byteorder": "big",
    "content-length": 0,
    "content-type": "application/octet-stream",
    "content-encoding": "binary",
    "id": 1,
    "max-open": 128,
}
FAILED = b'{"error":{"code":"internal","message":"m"},"result":"Error: m"}'
UNNAMED = FAILED.replace(b"result", b"r")


@pytest.mark.parametrize(
    ("expected", "extra", "content"),
    [
        ({"content": {"json": {"result": 1}}}, {}, b'{"result":1}'),
        ({"content": {"json": {"result": 1}}}, {"status": "ok", "x": 1}, b'{"result":1}'),
        ({"header": {"id": 3}, "content": {"json-has": {"a": {}}}}, {"id": 3}, b'{"a":{"b":1}}'),
        ({"present": ["timing"], "content": {"json": 1}}, {"timing": {}}, b"1"),
        ({"maybe": {"id": 2}, "content": {"error": "internal"}}, {"status": "internal"}, FAILED),
        ({"maybe": {"id": 2}, "content": {"error": "internal"}}, {"status": "internal", "id": 2}, FAILED),
        ({"content": {"error": "internal", "message": "m"}}, {"status": "internal"}, FAILED),
        ({"content": {"error": "internal", "result": "present"}}, {"status": "internal"}, FAILED),
        ({"content": {"error": None}}, {"status": "internal"}, FAILED),
        ({"header": {"content-type": "a/b", "content-encoding": "binary"}, "content": {"bytes": ["00"]}},
         {"content-type": "a/b", "content-encoding": "binary"}, b"\x00"),
    ],
)  # fmt: skip
def test_a_reply_that_is_expected_matches(expected: Any, extra: Any, content: bytes) -> None:
    header = REPLY | {"content-length": len(content)} | extra
    assert differences(expected, header, content, multiplexed=True) == []


@pytest.mark.parametrize(
    ("expected", "extra", "content"),
    [
        ({"content": {"json": {"result": 1}}}, {}, b'{"result":true}'),
        ({"content": {"json": {"result": 1}}}, {}, b'{"result":1,"error":{}}'),
        ({"content": {"json": 1}}, {"id": 1}, b"1"),
        ({"header": {"id": 1}, "content": {"json": 1}}, {}, b"1"),
        ({"content": {"json": 1}}, {"status": "internal"}, b"1"),
        ({"content": {"json": 1}}, {"more": False}, b"1"),
        ({"content": {"json": 1}}, {"content-length": 2}, b"1"),
        ({"content": {"json": 1}}, {"content-type": "text/plain"}, b"1"),
        ({"content": {"json-has": {"a": {"b": 1}}}}, {}, b'{"a":{}}'),
        ({"present": ["timing"], "content": {"json": 1}}, {}, b"1"),
        ({"content": {"error": "internal"}}, {}, FAILED),
        ({"content": {"error": "internal"}}, {"status": "timeout"}, FAILED),
        ({"content": {"error": "timeout"}}, {"status": "timeout"}, FAILED),
        ({"content": {"error": "internal", "result": "absent"}}, {"status": "internal"}, FAILED),
        ({"content": {"error": "internal"}}, {"status": "internal"}, FAILED.replace(b"Error: m", b"m")),
        ({"content": {"error": "internal", "result": "present"}}, {"status": "internal"}, UNNAMED),
        ({"content": {"error": "internal", "message": "n"}}, {"status": "internal"}, FAILED),
        ({"content": {"bytes": ["00"]}}, {"content-type": "application/octet-stream"}, b"\x00"),
    ],
)  # fmt: skip
def test_a_reply_that_is_not_expected_does_not_match(expected: Any, extra: Any, content: bytes) -> None:
    header = REPLY | {"content-length": len(content)} | extra
    assert differences(expected, header, content, multiplexed=True)


def test_a_classic_reply_has_no_status() -> None:
    expected = {"content": {"error": "internal"}}
    header = REPLY | {"content-length": len(FAILED)}
    assert differences(expected, header, FAILED, multiplexed=False) == []
    assert differences(expected, header | {"status": "internal"}, FAILED, multiplexed=False)
    maybe = expected | {"maybe": {"status": "internal"}}
    assert differences(maybe, header | {"status": "internal"}, FAILED, multiplexed=False) == []


def test_a_hello_is_a_control_frame_with_max_open() -> None:
    assert hello_differences(1, HELLO, b"") == []
    assert hello_differences(1, HELLO | {"credit": 1 << 20, "accept-compression": ["gzip"]}, b"") == []
    for wrong in (
        {"id": 2},
        {"max-open": 0},
        {"credit": 0},
        {"status": "ok"},
        {"accept-compression": "gzip"},
    ):
        assert hello_differences(1, HELLO | wrong, b"")

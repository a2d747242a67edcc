"""Other protocols are known by their first bytes, and none of them looks like a frame."""

import pytest

from letterhead.errors import BadFrame
from letterhead.wire.foreign import protocol_named
from letterhead.wire.reader import Reader

STARTS = [
    (b"GET / HTTP/1.1\r\n", "an HTTP request"),
    (b"POST /x HTTP/1.1\r\n", "an HTTP request"),
    (b"PRI * HTTP/2.0\r\n", "an HTTP request"),
    (b"HTTP/1.1 400 Bad Request\r\n", "an HTTP answer"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"),
    (b"\x15\x03\x03\x00\x02\x02\x28", "TLS"),
    (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
    (b"220 mail.example ESMTP\r\n", "an SMTP or FTP greeting"),
    (b"-ERR unknown command\r\n", "Redis or POP3"),
]


@pytest.mark.parametrize(("start", "name"), STARTS)
def test_a_known_protocol_is_named(start: bytes, name: str) -> None:
    assert protocol_named(start) == name


@pytest.mark.parametrize("start", [b"", b"{", b"\x00\x80{", b"hello", b"\xff\xff\xff"])
def test_what_looks_like_nothing_known_is_not_named(start: bytes) -> None:
    assert protocol_named(start) is None


@pytest.mark.parametrize("start", [start for start, _ in STARTS])
def test_another_protocol_is_a_bad_frame_from_its_first_three_bytes(start: bytes) -> None:
    reader = Reader()
    reader.feed(start[:3])
    with pytest.raises(BadFrame):
        reader.next_frame()

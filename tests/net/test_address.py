"""Addresses as users write them."""

import pytest

from letterhead import AsyncClient, Client, UsageError
from letterhead.transport import address as addresses
from letterhead.transport.address import Address, of_parts, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", Address("127.0.0.1", 80)),
        ("localhost:0", Address("localhost", 0)),
        (":65535", Address("", 65535)),
        ("[::1]:80", Address("::1", 80)),
        ("[fe80::1%lo]:80", Address("fe80::1%lo", 80)),
        ("unix:/run/a.sock", Address(path="/run/a.sock", scheme="unix")),
        ("unix:relative path:1", Address(path="relative path:1", scheme="unix")),
    ],
)
def test_what_is_written_is_read_and_written_again(text: str, address: Address) -> None:
    assert parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "localhost", "80", "::1:80", "[::1]", "host:", "host:port", "host:-1", "host:65536", "host:٣", "host: 80",
        "tls://host:80", "http://host:80", "unix:", "unix:a\0b", "unix:" + "x" * 108, "host:" + "9" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_in_one_line(text: str) -> None:
    for made in (parse, Client, AsyncClient):
        with pytest.raises(UsageError) as caught:
            made(text)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 300


def test_an_address_with_odd_characters_is_shown_escaped() -> None:
    with pytest.raises(UsageError) as caught:
        parse("\x1b[31mhost")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "beyond"),
    [("127.0.0.1", False), ("127.9.9.9", False), ("::1", False), ("0.0.0.0", True), ("::", True), ("192.0.2.1", True)],
)
def test_what_others_reach_is_known(host: str, beyond: bool) -> None:
    assert addresses.is_beyond_loopback(Address(host, 1)) is beyond
    assert not addresses.is_beyond_loopback(Address(path="/run/a.sock", scheme="unix"))


def test_callers_are_named_by_their_address() -> None:
    assert addresses.of_peer(("127.0.0.1", 5)) == "127.0.0.1:5"
    assert addresses.of_peer(("::1", 5, 0, 0)) == "[::1]:5"
    assert addresses.of_peer("") == addresses.of_peer(b"") == "unix"


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("127.0.0.1", "80", Address("127.0.0.1", 80)),
        ("::1", "80", Address("::1", 80)),
        ("[::1]", "0", Address("::1", 0)),
        ("fe80::1%lo", "80", Address("fe80::1%lo", 80)),
        ("", "80", Address("", 80)),
        ("localhost", "65535", Address("localhost", 65535)),
    ],
)
def test_host_and_port_may_be_written_apart(host: str, port: str, address: Address) -> None:
    assert of_parts(host, port) == address
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    ("host", "port"),
    [("host:80", "80"), ("a:b:c", "80"), ("host", ""), ("host", "port"), ("host", "-1"), ("host", "65536"), ("h", "٣")],
)
def test_what_is_no_host_and_port_is_refused(host: str, port: str) -> None:
    with pytest.raises(UsageError):
        of_parts(host, port)

"""``Message``: header and content as a user sees them."""

import array

import pytest

from letterhead.message import Message, as_octets, media_type


def test_a_message_without_header_is_octets() -> None:
    assert (Message(b"x").type, Message(b"x").encoding) == ("application/octet-stream", "binary")


def test_type_and_encoding_are_lower_case_without_parameters() -> None:
    message = Message(b"", {"content-type": " Text/JSON ; charset=x", "content-encoding": "UTF-8"})
    assert (message.type, message.encoding) == ("text/json", "utf-8")


def test_messages_are_equal_by_header_and_bytes() -> None:
    assert Message(b"ab", {"x": 1}) == Message(memoryview(b"ab"), {"x": 1})
    assert Message(b"ab", {"x": 1}) != Message(b"ab", {"x": 2})
    assert Message(b"ab") != Message(b"ac")


def test_messages_without_header_do_not_share_one() -> None:
    one, other = Message(), Message()
    one.header["x"] = 1
    assert other.header == {}


@pytest.mark.parametrize(
    "content", [memoryview(array.array("d", [1, 2])), memoryview(b"abcd" * 4)[::2], memoryview(b"ab")]
)
def test_the_length_of_the_content_is_its_bytes(content: memoryview) -> None:
    assert len(Message(content).content) == content.nbytes
    assert bytes(Message(content).content) == content.tobytes()


@pytest.mark.parametrize("content", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_plain_bytes_are_not_copied(content: bytes) -> None:
    assert as_octets(content) is content


@pytest.mark.parametrize(("written", "type_"), [("a/b", "a/b"), ("A/B;c=d", "a/b"), ("", ""), (";", "")])
def test_a_media_type_is_what_stands_before_the_parameters(written: str, type_: str) -> None:
    assert media_type(written) == type_

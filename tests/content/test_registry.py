"""Which content type stands for which Python value."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import letterhead.content.registry as registry
from letterhead.content.encoded import Encoded
from letterhead.content.registry import Codec, decode, decode_content, encode, encode_content, register
from letterhead.errors import BadContent
from letterhead.limits import Limits
from letterhead.message import Message
from letterhead.wire.header import Shape


def message(content: bytes, content_type: str, encoding: str = "utf-8", byteorder: str = "little") -> Message:
    return Message(content, {"content-type": content_type, "content-encoding": encoding, "byteorder": byteorder})


def shape(content_type: str, encoding: str = "utf-8", byteorder: str = "little") -> Shape:
    fields = {"content-type": content_type, "content-encoding": encoding, "byteorder": byteorder}
    return Shape(fields, 0, Limits())


@pytest.mark.parametrize(
    ("content", "content_type", "encoding", "value"),
    [
        (b'{"a":1}', "text/json", "utf-8", {"a": 1}),
        (b"[1]", "application/json", "binary", [1]),
        (b"[1]", "Text/JSON; charset=latin-1", "UTF-8", [1]),
        (b"\xe9", "text/plain", "iso-8859-1", "é"),
        (b"<p>", "TEXT/HTML; x=y", "ascii", "<p>"),
        (b"\xff\x00", "application/octet-stream", "binary", b"\xff\x00"),
        (b"\xff\x00", "image/png", "anything", b"\xff\x00"),
        (b"", "binary/x", "binary", b""),
        (b"", "text/plain", "utf-8", ""),
    ],
)
def test_content_is_read_by_its_type(content: bytes, content_type: str, encoding: str, value: Any) -> None:
    got = decode(message(content, content_type, encoding))
    assert (type(got), got) == (type(value), value)


def test_empty_json_is_bad_content() -> None:
    with pytest.raises(BadContent):
        decode(message(b"", "text/json"))


def test_wide_text_is_read_in_the_message_s_byte_order() -> None:
    assert decode(message("aü".encode("utf-16-be"), "text/plain", "utf-16", "big")) == "aü"


@pytest.mark.smoke
@settings(deadline=None)
@given(st.binary() | st.text(st.characters(exclude_categories=["Cs"])) | st.lists(st.integers(-5, 5)) | st.none())
def test_a_value_comes_back_in_the_type_that_it_chooses(value: Any) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    ("value", "content_type", "encoding"),
    [(b"x", "application/octet-stream", "binary"), ("x", "text/json", "utf-8"), ({"a": 1}, "text/json", "utf-8")],
)
def test_bytes_go_as_they_are_and_all_else_as_json(value: Any, content_type: str, encoding: str) -> None:
    encoded = encode_content(value)
    assert (encoded.content_type, encoded.encoding) == (content_type, encoding)


@pytest.mark.parametrize("value", [bytearray(b"ab"), memoryview(b"ab")])
def test_any_buffer_goes_as_bytes(value: Any) -> None:
    encoded = encode_content(value)
    assert (encoded.content_type, encoded.encoding, encoded.content) == ("application/octet-stream", "binary", b"ab")


@pytest.mark.parametrize(
    ("value", "content_type", "encoding", "content"),
    [
        ("é", "text/plain", "iso-8859-1", b"\xe9"),
        ("é", "text/plain", None, "é".encode()),
        ([1], "application/json", "utf-16-le", "[1]".encode("utf-16-le")),
        (b"x", "image/png", None, b"x"),
    ],
)
def test_a_value_may_be_written_in_a_type_of_the_caller_s_choice(
    value: Any, content_type: str, encoding: str | None, content: bytes
) -> None:
    made = encode(value, content_type, encoding)
    assert made.content == content
    assert made.header["content-type"] == content_type


@pytest.mark.parametrize(
    ("value", "content_type", "encoding"),
    [
        (5, "text/plain", None),
        ("x", "image/png", None),
        (float("nan"), None, None),
        (object(), "text/json", None),
        ("é", "text/plain", "ascii"),
        ("x", "text/plain", "rot13"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(value: Any, content_type: str | None, encoding: str | None) -> None:
    with pytest.raises(BadContent):
        encode(value, content_type, encoding)


def test_a_family_of_types_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_codecs", dict(registry._codecs))

    def encode_size(value: int, content_type: str, encoding: str) -> Encoded:
        return Encoded(content_type, encoding, bytes(value))

    def is_size(value: object) -> bool:
        return isinstance(value, int)

    register("Application/X-Upper", Codec(lambda data, *_: data.decode().upper(), encode_size, is_size))
    register("model/", Codec(lambda data, *_: len(data), encode_size, is_size))
    assert decode(message(b"abc", "application/x-upper; v=1")) == "ABC"
    assert decode(message(b"abc", "model/mesh")) == 3
    assert decode(message(b"abc", "application/other")) == b"abc"
    assert encode(3, "model/mesh").content == bytes(3)
    assert encode_content(3, ["model/mesh"]).content_type == "model/mesh"


def test_the_depth_of_json_is_bounded() -> None:
    data = b"[" * 65 + b"]" * 65
    with pytest.raises(BadContent, match="64"):
        decode_content(data, shape("text/json"))
    assert decode_content(data, shape("text/json"), 65) is not None

"""Which content type stands for which Python value."""

from typing import Any, Literal

import msgspec
import numpy as np
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
from letterhead.wire.writer import head_prefix


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


# what the receiver accepts


@pytest.mark.parametrize(
    ("value", "accept", "chosen"),
    [
        ({"a": 1}, ["application/msgpack"], "application/msgpack"),
        ({"a": 1}, ["application/json", "application/msgpack"], "application/json"),
        ({"a": 1}, ["text/json"], "text/json"),
        ({"a": 1}, ["Application/MsgPack; x=y"], "application/msgpack"),
        ({"a": 1}, ["text/plain", "application/octet-stream", "binary/ndarray"], "text/json"),
        ({"a": float("nan")}, ["text/json", "application/msgpack"], "application/msgpack"),
        (2**64, ["application/msgpack"], "text/json"),
        ("x", ["text/plain"], "text/plain"),
        ("x", ["TEXT/csv"], "text/csv"),
        ("x", ["text/json", "text/plain"], "text/json"),
        ("x", ["application/msgpack", "text/plain"], "application/msgpack"),
        (b"x", ["text/json", "application/json", "text/plain"], "application/octet-stream"),
        (b"x", ["application/msgpack", "application/octet-stream"], "application/msgpack"),
        (b"x", ["application/octet-stream", "application/msgpack"], "application/octet-stream"),
        (bytearray(b"x"), ["application/msgpack"], "application/msgpack"),
        (np.zeros(3), ["text/json", "application/msgpack", "application/octet-stream"], "binary/ndarray"),
        (np.float32(1.5), ["binary/ndarray", "application/msgpack"], "application/msgpack"),
        (msgspec.Raw(b"[1]"), ["application/msgpack"], "text/json"),
        ({"a": 1}, ["image/png", "", "*/*", "text/*", "application/xml", "binary/x"], "text/json"),
        ("x", ["text/*", "*/*", "text/", "text", "text/\x1b[31m", "text/" + "x" * 200, "text/a b"], "text/json"),
        ({"a": 1}, [], "text/json"),
    ],
)
def test_a_value_goes_in_the_first_accepted_type_that_fits_it(value: Any, accept: list[str], chosen: str) -> None:
    encoded = encode_content(value, accept)
    assert encoded.content_type == chosen
    made = Message(
        encoded.content, {"content-type": chosen, "content-encoding": encoded.encoding, **(encoded.fields or {})}
    )
    if not isinstance(value, (np.ndarray, msgspec.Raw)) and value == value and "nan" not in repr(value):
        assert decode(made) == value


def test_a_message_keeps_its_type() -> None:
    message = Message(
        b"{}", {"content-type": "application/x-own", "content-encoding": "utf-8", "x-a": 1, "byteorder": "big"}
    )
    for accept in ([], ["application/msgpack"]):
        encoded = encode_content(message, accept)
        assert (encoded.content_type, encoded.encoding, encoded.content) == ("application/x-own", "utf-8", b"{}")
        assert encoded.fields == {"x-a": 1, "byteorder": "big"}


def test_what_a_message_s_owner_changes_afterwards_is_not_sent() -> None:
    content = bytearray(b"before")
    encoded = encode_content(Message(content))
    content[:] = b"after!"
    assert encoded.content == b"before"
    assert (encoded.content_type, encoded.encoding) == ("application/octet-stream", "binary")


@pytest.mark.parametrize("value", [[np.zeros(3)], {"a": np.zeros(3)}, [object()]])
@pytest.mark.parametrize("accept", [[], ["application/msgpack", "text/json"]])
def test_what_has_no_form_is_refused_whatever_is_accepted(value: Any, accept: list[str]) -> None:
    with pytest.raises(BadContent, match="no JSON form"):
        encode_content(value, accept)


def test_a_hostile_list_makes_a_codec_try_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def refuse(_value: object, content_type: str, _encoding: str) -> Encoded:
        tries.append(content_type)
        raise BadContent("never")

    monkeypatch.setattr(registry, "_codecs", dict(registry._codecs))
    register("model/", Codec(lambda data, *_: data, refuse, lambda value: True))
    assert encode_content(5, [f"model/m{n}" for n in range(5000)]).content_type == "text/json"
    assert tries == ["model/m0"]


def test_only_the_first_16_accepted_types_are_looked_at() -> None:
    assert encode_content(5, ["image/png"] * 15 + ["application/msgpack"]).content_type == "application/msgpack"
    assert encode_content(5, ["image/png"] * 16 + ["application/msgpack"]).content_type == "text/json"


@settings(deadline=None)
@given(st.lists(st.text(max_size=20) | st.sampled_from(["text/plain", "application/msgpack", "text/json"])))
def test_any_list_gives_a_type_that_can_stand_in_a_header(accept: list[str]) -> None:
    for value in (5, "x", b"x", [None], np.zeros(2)):
        encoded = encode_content(value, accept)
        head_prefix(encoded.content_type, encoded.encoding, encoded.fields)


# numpy


@pytest.mark.parametrize("content_type", ["text/json", "application/msgpack"])
@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.float64(1.5), 1.5),
        (np.float16(1.5), 1.5),
        (np.int64(-3), -3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.bool_(True), True),
        ({"mean": np.float32(0.5), "n": [np.int8(1)]}, {"mean": 0.5, "n": [1]}),
    ],
    ids=repr,
)
def test_numbers_of_numpy_are_numbers(value: Any, plain: Any, content_type: str) -> None:
    got = decode(encode(value, content_type))
    assert got == plain
    assert type(got) is type(plain)


@pytest.mark.parametrize("value", [np.complex64(1j), np.longdouble(1), np.datetime64(5, "ns"), np.float32("nan")])
def test_numbers_of_numpy_that_json_cannot_say_are_refused(value: Any) -> None:
    with pytest.raises(BadContent, match="no JSON form"):
        encode({"a": value})


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_an_array_is_a_message_of_its_own(byteorder: Literal["little", "big"]) -> None:
    array = np.arange(6, dtype=np.dtype("int32").newbyteorder(byteorder)).reshape(2, 3)
    made = encode(array)
    assert made.header == {
        "byteorder": byteorder,
        "content-type": "binary/ndarray",
        "content-encoding": "binary",
        "dtype": "int32",
        "shape": [2, 3],
    }
    assert decode(made).tolist() == array.tolist()


def test_msgpack_may_be_asked_for_by_its_name() -> None:
    made = encode({"a": b"x"}, "application/msgpack")
    assert (made.header["content-encoding"], decode(made)) == ("binary", {"a": b"x"})
    with pytest.raises(BadContent, match="'binary'"):
        encode(5, "application/msgpack", "utf-8")

"""Text: the fixed list of encodings, and strict decoding both ways."""

import codecs
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterhead.content.text import codec_for, decode_text, encode_text
from letterhead.errors import BadContent

UNICODE = ["utf-8", "utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be", "gb18030"]
OTHERS = [
    "ascii",
    *(f"iso-8859-{part}" for part in range(1, 17) if part != 12),
    *(f"windows-{page}" for page in range(1250, 1259)),
    "koi8-r", "koi8-u", "gbk", "big5", "shift_jis", "euc-jp", "euc-kr",
]  # fmt: skip
any_text = st.text(st.characters(exclude_categories=["Cs"]))
orders = st.sampled_from(["little", "big"])


@pytest.mark.parametrize("encoding", [*UNICODE, *OTHERS])
def test_every_encoding_of_the_protocol_is_known(encoding: str) -> None:
    assert decode_text(encode_text("plain text", encoding, "big"), encoding, "big") == "plain text"


@pytest.mark.parametrize("encoding", [*UNICODE, *OTHERS])
def test_names_are_compared_without_case(encoding: str) -> None:
    assert codec_for(encoding.upper(), "little", b"") == codec_for(encoding, "little", b"")


@pytest.mark.smoke
@settings(deadline=None, max_examples=300)
@given(any_text, st.sampled_from(UNICODE), orders)
def test_any_text_comes_back_in_an_encoding_of_all_of_unicode(text: str, encoding: str, order: str) -> None:
    assert decode_text(encode_text(text, encoding, order), encoding, order) == text


@settings(deadline=None, max_examples=300)
@given(any_text, st.sampled_from(OTHERS), orders)
def test_any_text_comes_back_or_is_refused(text: str, encoding: str, order: str) -> None:
    try:
        data = encode_text(text, encoding, order)
    except BadContent:
        return
    again = decode_text(data, encoding, order)
    # A few characters of the older multi-byte encodings have two forms; the bytes are the same.
    assert again == text or encode_text(again, encoding, order) == data


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=40), st.sampled_from([*UNICODE, *OTHERS]), orders)
def test_any_bytes_are_text_or_bad_content(data: bytes, encoding: str, order: str) -> None:
    try:
        text = decode_text(data, encoding, order)
    except BadContent:
        return
    text.encode("utf-8")  # no lone surrogates ever


@settings(deadline=None)
@given(st.text(max_size=30))
def test_a_name_off_the_list_reaches_no_codec_search(name: str) -> None:
    try:
        codec_for(name, "little", b"")
    except BadContent as error:
        assert error.encoding.isprintable()
    else:
        assert name.lower().replace("_", "-").isascii()


def test_a_name_from_the_wire_imports_nothing() -> None:
    before = set(sys.modules)
    for name in ("punycode", "idna", "zlib", "rot13", "os", "letterhead", "utf-7", "raw_unicode_escape", "mbcs"):
        with pytest.raises(BadContent):
            decode_text(b"x", name, "little")
    assert {name for name in set(sys.modules) - before if name.startswith("encodings")} == set()


@pytest.mark.parametrize(
    "name", ["", "iso-8859-12", "utf-7", "hex", "base64", "unicode_escape", "utf-8-sig", "binary2"]
)
def test_what_is_not_on_the_list_is_bad_content(name: str) -> None:
    with pytest.raises(BadContent, match="content-encoding"):
        decode_text(b"x", name, "little")


def test_binary_is_read_and_written_as_utf_8() -> None:
    assert decode_text("ü".encode(), "binary", "little") == "ü"
    assert encode_text("ü", "binary", "little") == "ü".encode()


@pytest.mark.parametrize(
    ("encoding", "order", "codec"),
    [
        ("utf-16", "little", "utf-16-le"),
        ("utf-16", "big", "utf-16-be"),
        ("utf-32", "little", "utf-32-le"),
        ("utf-32", "big", "utf-32-be"),
    ],
)
def test_without_a_mark_wide_text_is_in_the_frame_s_byte_order(encoding: str, order: str, codec: str) -> None:
    assert decode_text("aü🐇".encode(codec), encoding, order) == "aü🐇"
    assert encode_text("aü🐇", encoding, order) == "aü🐇".encode(codec)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(
    ("encoding", "mark", "codec"),
    [
        ("utf-16", codecs.BOM_UTF16_LE, "utf-16-le"),
        ("utf-16", codecs.BOM_UTF16_BE, "utf-16-be"),
        ("utf-32", codecs.BOM_UTF32_LE, "utf-32-le"),
        ("utf-32", codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_byte_order_mark_goes_before_the_frame_s_byte_order(
    encoding: str, mark: bytes, codec: str, order: str
) -> None:
    assert decode_text(mark + "aü".encode(codec), encoding, order) == "aü"


@pytest.mark.parametrize("first", ["\ufeff", "\ufffe"])
@pytest.mark.parametrize("order", ["little", "big"])
def test_a_first_character_that_looks_like_a_mark_is_not_lost(first: str, order: str) -> None:
    for encoding in ("utf-16", "utf-32", "UTF_16"):
        assert decode_text(encode_text(first + "a", encoding, order), encoding, order) == first + "a"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"\xff", "utf-8"),
        (b"\xed\xa0\x80", "utf-8"),
        (b"\x80", "ascii"),
        (b"a", "utf-16"),
        (b"\x00\xd8", "utf-16-le"),
        (b"\x81", "windows-1252"),
    ],
)
def test_bytes_that_are_not_text_in_the_encoding_are_bad_content(data: bytes, encoding: str) -> None:
    with pytest.raises(BadContent, match="not"):
        decode_text(data, encoding, "little")


@pytest.mark.parametrize(
    ("text", "encoding"), [("ü", "ascii"), ("€", "iso-8859-1"), ("\ud800", "utf-8"), ("\udfff", "utf-16")]
)
def test_text_that_the_encoding_cannot_express_is_refused(text: str, encoding: str) -> None:
    with pytest.raises(BadContent):
        encode_text(text, encoding, "little")


@pytest.mark.parametrize("value", [5, b"x", None, ["x"]])
def test_what_is_no_text_is_not_written_as_text(value: object) -> None:
    with pytest.raises(BadContent, match="str"):
        encode_text(value, "utf-8", "little")
